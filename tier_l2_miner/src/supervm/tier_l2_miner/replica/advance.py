"""What a step has made of the state, and how those parts read it that live by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from supervm.common.parts.ledger import Applied
from supervm.protocol.state.account import Account


@dataclass(frozen=True, slots=True)
class Advance:
    """The state is another than before the step.

    Attributes:
        blocks: what was executed; none if a snapshot has taken the place of the state.
        changed: accounts that may be others than before, in what they hold of any asset, too; None: any may be.
    """

    blocks: Sequence[Applied]
    changed: Collection[bytes] | None


class State(Protocol):
    """The executed state, as the mempool reads it."""

    def account(self, key: bytes) -> Account:
        """Return an account; an empty one if it is not there."""

    def balance(self, account: bytes, asset: bytes) -> int:
        """Return how much of an asset an account has."""

    @property
    def ts_ms(self) -> int:
        """Time of the last executed block, Unix milliseconds."""

    @property
    def advance(self) -> Advance | None:
        """What this step has made of it; None if it is as it was."""

    @property
    def is_current(self) -> bool:
        """Whether it is near the network's, so that transactions can be judged by it."""
