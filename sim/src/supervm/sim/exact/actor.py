"""The base of all Byzantine actors: a core that contains a shipped core and tampers with what goes in and out.

An actor has everything the node it plays has - its keys, its connections, a correct core that keeps up with the
network - and no more: it cannot forge others' signatures. `hear` sees every input and may swallow or change it; `say`
sees every message that the correct core would send and returns what is sent instead; `more` adds messages of its own.
`acted` counts its misdeeds, so that a test can demand that there were any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from supervm.common.contract.core import Core, Effect, Input, PeerDown, PeerUp, Send, Tick
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.votes import Vote, VoteKind, statement
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode

from .choices import Stream

GRANT: Final = 10**12
"""What each account has at genesis, in grain."""


@dataclass(frozen=True, slots=True)
class ActorContext:
    """What an actor knows beside its core.

    Attributes:
        name: of its host.
        index: of its host within the tier.
        chain: the network.
        key: the validator key of an L1, the node key of any other.
        stream: its randomness.
        wallet: keys of its accounts, of an L4.
        others: account ids that exist.
    """

    name: str
    index: int
    chain: Chain
    key: SigningKey
    stream: Stream
    wallet: Sequence[SigningKey] = ()
    others: Sequence[bytes] = ()


def rules_of(core: Core, chain: Chain) -> ChainRules:
    """Return the rules of the epoch that a core stands in; edges and phones know none but the first epoch's."""
    if isinstance(core, ValidatorNode):
        return core.seat.rules
    return core.replica.voting_rules if isinstance(core, MinerNode) else chain.rules


class Actor:
    """A shipped core under foreign control; as it is, it does nothing wrong.

    Args:
        core: the correct core.
        context: what else it knows.
    """

    every_us: int | None = None
    """How often `more` is also called without any input; None: not at all."""

    def __init__(self, core: Core, context: ActorContext) -> None:
        self.inner = core
        self.context = context
        self.chain = context.chain
        self.acted = 0
        self.now_us = 0
        self.up: dict[bytes, int] = {}
        self._wake_us: int | None = None

    @property
    def rules(self) -> ChainRules:
        """The epoch that the core stands in."""
        return rules_of(self.inner, self.chain)

    @property
    def index(self) -> int:
        """Index of this validator in the epoch's set; of its host if it has none there."""
        keys = self.rules.validators.keys
        return keys.index(self.context.key.public) if self.context.key.public in keys else self.context.index

    @property
    def deadline_us(self) -> int | None:
        """When the core or the actor wants a `Tick`."""
        inner = self.inner.deadline_us
        if self._wake_us is None or (inner is not None and inner < self._wake_us):
            return inner
        return self._wake_us

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.contract.core`."""
        self.now_us = now_us
        if isinstance(event, PeerUp):
            self.up[event.peer] = event.tier
        elif isinstance(event, PeerDown):
            self.up.pop(event.peer, None)
        heard = self.hear(event)
        effects: list[Effect] = []
        inner_us = self.inner.deadline_us
        if heard is not None and not (isinstance(heard, Tick) and (inner_us is None or inner_us > now_us)):
            for effect in self.inner.step(now_us, heard):
                if isinstance(effect, Send):
                    effects.extend(self.say(effect))
                else:
                    effects.append(effect)
        if self.every_us is not None and (self._wake_us is None or self._wake_us <= now_us):
            self._wake_us = now_us + self.every_us
            effects.extend(self.now_and_then())
        effects.extend(self.more(event))
        return effects

    def hear(self, event: Input) -> Input | None:
        """Return what the correct core is told instead; None: nothing."""
        return event

    def say(self, send: Send) -> Iterable[Effect]:
        """Return what is sent instead of a message of the correct core."""
        return (send,)

    def more(self, event: Input) -> Iterable[Effect]:
        """Return what else is done after an input."""
        return ()

    def now_and_then(self) -> Iterable[Effect]:
        """Return what else is done every `every_us`."""
        return ()

    # --- helpers ------------------------------------------------------------------------------------------------------

    def sign_vote(self, kind: VoteKind, number: int, digest: bytes, *, ahead: int = 0) -> Vote:
        """Return this validator's vote for anything, in the present epoch or `ahead` of it."""
        epoch = self.rules.epoch + ahead
        signature = self.context.key.sign(statement(self.chain.chain_id, kind, epoch, number, digest))
        return Vote(1, kind, epoch, number, digest, self.index, signature)

    def validators(self) -> list[bytes]:
        """Return the other validators that are connected, in the order of the set."""
        return [node_id for node_id in self.rules.validators.node_ids if node_id in self.up]

    def edges(self) -> list[bytes]:
        """Return the edges that are connected."""
        return [peer for peer, tier in self.up.items() if tier == 3]

    def number_of(self, peer: bytes) -> int | None:
        """Return a validator's index, None if the peer is none."""
        return self.rules.validators.index_of_node.get(peer)

    def to_all(self, message: Message) -> list[Effect]:
        """Return a message to every other validator."""
        return [Send(peer, message) for peer in self.validators()]


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """A named actor.

    Attributes:
        name: as in scenario files.
        tier: of the hosts that it can play.
        summary: what it does, in one sentence.
        make: wraps a core.
    """

    name: str
    tier: int
    summary: str
    make: Callable[[Core, ActorContext], Actor]


ACTORS: dict[str, ActorSpec] = {}
"""Every named actor; filled by the modules that `adversaries` lists."""

A = TypeVar("A", bound=type[Actor])


def named(name: str, tier: int) -> Callable[[A], A]:
    """Register an actor under a name, behind all others; its summary is the first line of its docstring."""

    def register(actor: A) -> A:
        ACTORS[name] = ActorSpec(name, tier, (actor.__doc__ or "").strip().splitlines()[0], actor)
        return actor

    return register
