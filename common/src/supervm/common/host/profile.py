"""What a tier gives for its nodes to be run, and how the installed tiers are found.

A tier announces its `Profile` under the entry-point group ``supervm.profiles``, by the name l1, l2, l3 or l4. Whoever
has a configuration then needs to know nothing else of the tier: `supervm.common.host.open` does the rest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Final, Generic, TypeVar

from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain

from ..contract.core import Core
from ..contract.tables import AnyTable
from ..errors import InputError
from ..installed import entry_points
from ..parts.shell import Shell
from ..storage.sql import SqlStore
from .config import NodeConfig

PROFILES_GROUP: Final = "supervm.profiles"
"""Entry points named l1 .. l4 whose values are a `Profile`."""

C = TypeVar("C", bound=Core)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What a tier's core is built from.

    Attributes:
        config: as read.
        chain: the network.
        node_key: this node's key.
        store: what is durable, to be read only.
        log_lost: this installation had a write-ahead log and it is gone or damaged: it must not vote on what it may
            have voted on before (consensus.md 2.2).
        rng: jitter and tie-breaks; never keys.
        now_us: the clock's time now, Unix microseconds.
        passphrase: of the wallet, for tiers that have one; None if nobody gave it.
    """

    config: NodeConfig
    chain: Chain
    node_key: SigningKey
    store: SqlStore
    log_lost: bool
    rng: random.Random
    now_us: int
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Profile(Generic[C]):
    """One tier, to those who run its nodes.

    Attributes:
        build: makes the core; may raise `InputError`, or a `ProtocolError` if what was stored cannot be.
        requests: the struct or union of structs that the owner may ask; None if there are none.
        tables: the tables of the core.
        with_log: whether it needs a write-ahead log.
        features: words for Hello.
        about: further fields of the event ``ready``, told by the core.
    """

    build: Callable[[NodeContext], C]
    requests: Any = None
    tables: tuple[AnyTable, ...] = ()
    with_log: bool = False
    features: tuple[str, ...] = ()
    about: Callable[[C], Mapping[str, Any]] | None = None


def profile_of_shell(
    node: type[Shell],
    build: Callable[[NodeContext], C],
    *,
    with_log: bool = False,
    about: Callable[[C], Mapping[str, Any]] | None = None,
) -> Profile[C]:
    """Return the profile of a node that is a shell with parts: requests and tables are those that its parts declare."""
    return Profile(
        build,
        requests=reduce(or_, node.declared_requests()),
        tables=node.declared_tables(),
        with_log=with_log,
        about=about,
    )


def find_profile(tier: int) -> Profile[Any]:
    """Return the installed profile of `tier` (1..4).

    Raises:
        InputError: that tier is not installed.
    """
    from ..cli.registry import PROFILES  # here: a process that was given its profile needs no registry

    name = f"l{tier}"
    for entry in entry_points(group=PROFILES_GROUP, name=name):
        found: Profile[Any] = entry.load()
        return found
    raise InputError(f"tier {tier} is not installed here: install {PROFILES.get(name, 'one of tiers 1 to 4')}")
