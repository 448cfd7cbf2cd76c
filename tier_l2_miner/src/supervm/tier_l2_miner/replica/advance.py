"""What a step has made of the state, and how those parts read it that live by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from supervm.common.parts.ledger import Applied
from supervm.protocol.state.account import Account


@dataclass(frozen=True, slots=True)
class Advance:
    """The state is another than before the step.

    Attributes:
        blocks: what was executed; none if a snapshot has taken the place of the state.
        changed: accounts that may be others than before.
    """

    blocks: Sequence[Applied]
    changed: Iterable[bytes]


class State(Protocol):
    """The executed state, as the mempool reads it."""

    @property
    def accounts(self) -> Mapping[bytes, Account]:
        """The accounts; the same mapping for as long as the node lives."""

    @property
    def ts_ms(self) -> int:
        """Time of the last executed block, Unix milliseconds."""

    @property
    def advance(self) -> Advance | None:
        """What this step has made of it; None if it is as it was."""

    @property
    def is_current(self) -> bool:
        """Whether it is near the network's, so that transactions can be judged by it."""
