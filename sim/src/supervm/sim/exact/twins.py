"""Twins: one validator identity run twice, and a mask per view that says who sees which of the two.

Theory of operation (after "Twins: BFT systems made robust"). Two correct instances under one key, kept apart, behave
like any equivocating, double-voting or forgetful validator, without anybody having to write that attacker. Both live
behind one connection: `Masks` decides, by the view that a message is about, which instance a peer's messages reach and
whose messages reach the peer. Beyond the views of the table both see and reach everybody.

Each instance has a disk of its own. The second one's writes become durable together with an empty write of the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from msgspec.structs import replace

from supervm.common.contract.core import (
    Command,
    Core,
    Dial,
    Durable,
    Effect,
    Halt,
    Input,
    PeerDown,
    PeerUp,
    Persist,
    Received,
    Reply,
    Send,
    Started,
    Work,
    WorkDone,
    earliest,
)
from supervm.common.contract.records import Record
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message

from ..errors import SimulationError
from .actor import rules_of

NEITHER, FIRST, SECOND, BOTH = 0, 1, 2, 3
VIEW_KINDS = (VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE)
"""Kinds of votes whose number is a view."""


class Masks:
    """Who sees which twin, by view.

    Args:
        rows: for each view from 1 on, one of `NEITHER`, `FIRST`, `SECOND`, `BOTH` per validator.

    Raises:
        SimulationError: rows of different lengths, or other values.
    """

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self.rows = tuple(tuple(row) for row in rows)
        for row in self.rows:
            if len(row) != len(self.rows[0]) or any(not NEITHER <= mask <= BOTH for mask in row):
                raise SimulationError(f"a row of twin masks is {row}; it has one of 0..3 per validator")

    def of(self, view: int, index: int) -> int:
        """Return the mask of validator `index` in a view."""
        if 1 <= view <= len(self.rows) and index < len(self.rows[0]):
            return self.rows[view - 1][index]
        return BOTH

    @classmethod
    def halves(cls, validators: int, views: int) -> Masks:
        """Return masks that show the first twin to one half and the second to the other, shifted by one each view."""
        return cls(
            [
                [
                    FIRST if (index + view) % validators < (validators + 1) // 2 else SECOND
                    for index in range(validators)
                ]
                for view in range(views)
            ]
        )

    @classmethod
    def enumerate(cls, validators: int, views: int, twin: int) -> Iterator[Masks]:
        """Return every way of splitting the others in two in each view; the two sides are interchangeable at first."""
        others = [index for index in range(validators) if index != twin]
        splits = list(product((FIRST, SECOND), repeat=len(others)))
        for rows in product(splits, repeat=views):
            if rows[0][0] != FIRST:
                continue
            table = []
            for row in rows:
                masks = [BOTH] * validators
                for index, mask in zip(others, row, strict=True):
                    masks[index] = mask
                table.append(masks)
            yield cls(table)


class Twins:
    """Two instances of one validator behind one connection (`supervm.common.contract.core.Core`).

    Args:
        first: the instance whose disk is the host's.
        second: the other one.
        second_disk: where the second one's writes go.
        chain: the network.
        masks: who sees whom.
    """

    def __init__(self, first: Core, second: Core, second_disk: MemoryStore, chain: Chain, masks: Masks) -> None:
        self.twins = (first, second)
        self.alive = [True, True]
        self.views_split = 0
        """Messages that only one of the two was shown, or that only one of them could send."""
        self._disk = second_disk
        self._chain = chain
        self._masks = masks
        self._next_token = 1
        self._outer: dict[tuple[int, int], int] = {}  # (twin, its token) -> ours, until it is durable
        self._inner: dict[int, tuple[int, int]] = {}
        self._records: dict[int, Sequence[Record]] = {}

    @property
    def deadline_us(self) -> int | None:
        """When one of the two wants a `Tick`."""
        return earliest(*(twin.deadline_us for twin, alive in zip(self.twins, self.alive, strict=True) if alive))

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.contract.core`."""
        match event:
            case Durable(token) | WorkDone(token, _):
                which, inner = self._inner.pop(token, (0, 0))
                self._outer.pop((which, inner), None)
                if not inner:
                    return []
                records = self._records.pop(token, None)
                if records is not None:
                    self._disk.commit(records)
                return self._one(which, now_us, replace(event, token=inner))
            case Command():
                return self._one(0, now_us, event)
            case Received(peer, message):
                mask = self._mask(peer, message)
            case _:
                mask = BOTH
        effects: list[Effect] = []
        for which in (0, 1):
            if mask >> which & 1:
                effects.extend(self._one(which, now_us, event))
            else:
                self.views_split += 1
        return effects

    def _mask(self, peer: bytes, message: Message) -> int:
        index = rules_of(self.twins[0], self._chain).validators.index_of_node.get(peer)
        if index is None:
            return BOTH
        view = view_of(message)
        if view is None:
            return BOTH
        return self._masks.of(view, index)

    def _one(self, which: int, now_us: int, event: Input) -> list[Effect]:
        if not self.alive[which]:
            return []
        effects: list[Effect] = []
        for effect in self.twins[which].step(now_us, event):
            self._translate(which, effect, effects)
        return effects

    def _translate(self, which: int, effect: Effect, effects: list[Effect]) -> None:
        match effect:
            case Persist(token, records):
                outer = self._token(which, token)
                if which:
                    self._records[outer] = records
                effects.append(Persist(outer, () if which else records))
            case Send(peer, message, after):
                if self._mask(peer, message) >> which & 1:
                    effects.append(Send(peer, message, self._outer.get((which, after), 0)))
                else:
                    self.views_split += 1
            case Work(token, lane, job):
                effects.append(Work(self._token(which, token), bytes([which]) + lane, job))
            case Reply(after=after):
                effects.append(replace(effect, after=self._outer.get((which, after), 0)))
            case Dial():
                if which == 0 or not self.alive[0]:
                    effects.append(effect)
            case Halt():
                self.alive[which] = False
                if not any(self.alive):
                    effects.append(effect)
            case _:
                effects.append(effect)

    def _token(self, which: int, inner: int) -> int:
        outer = self._next_token
        self._next_token += 1
        self._outer[which, inner] = outer
        self._inner[outer] = (which, inner)
        return outer


class Late(NamedTuple):
    """When the key of a validator is started a second time.

    Attributes:
        after_us: how long after the first.
        listen_us: how long the copy listens for its key; None: as long as all validators at their start.
    """

    after_us: int
    listen_us: int | None = None


class LateTwins(Twins):
    """A validator whose key is started a second time while it runs: a copy of its folder as it was at first.

    Both see and reach everybody. The copy should find out while it listens, and stop (consensus.md 2.2).

    Args:
        first, second, second_disk, chain: as for `Twins`.
        late_us: when the second one is switched on, after the first.
    """

    def __init__(self, first: Core, second: Core, second_disk: MemoryStore, chain: Chain, late_us: int) -> None:
        super().__init__(first, second, second_disk, chain, Masks(()))
        self.alive[1] = False
        self.late_votes = 0
        """Votes and proposals of the copy."""
        self.starts = 0
        """Times that the copy was switched on."""
        self._late_us = late_us
        self._begin_us: int | None = None
        self._up: dict[bytes, PeerUp] = {}

    @property
    def deadline_us(self) -> int | None:
        """When one of the two wants a `Tick`, or the second one begins."""
        return earliest(super().deadline_us, self._begin_us)

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.contract.core`."""
        effects: list[Effect] = []
        if isinstance(event, Started):
            self._begin_us = now_us + self._late_us
        elif self._begin_us is not None and self._begin_us <= now_us:
            self._begin_us = None
            self.alive[1] = True
            self.starts += 1
            effects.extend(self._one(1, now_us, Started()))
            for up in self._up.values():
                effects.extend(self._one(1, now_us, up))
        if isinstance(event, PeerUp):
            self._up[event.peer] = event
        elif isinstance(event, PeerDown):
            self._up.pop(event.peer, None)
        return effects + super().step(now_us, event)

    def _translate(self, which: int, effect: Effect, effects: list[Effect]) -> None:
        if which and isinstance(effect, Send) and isinstance(effect.message, VoteMessage | ProposalMessage):
            self.late_votes += 1
        super()._translate(which, effect, effects)


def place_of(message: Message) -> tuple[int, int] | None:
    """Return the epoch and view that a consensus message is about, None if it is about none."""
    match message:
        case VoteMessage(votes):
            return next(((vote.epoch, vote.number) for vote in votes if vote.kind in VIEW_KINDS), None)
        case CertificateMessage(certificates):
            return next(((item.epoch, item.number) for item in certificates), None)
        case ProposalMessage(raw):
            try:
                header = decode(Block, raw, bytes_max=8 << 20).header
            except RemoteProtocolError:
                return None
            return header.epoch, header.view
        case _:
            return None


def view_of(message: Message) -> int | None:
    """Return the view that a consensus message is about, None if it is about none."""
    place = place_of(message)
    return None if place is None else place[1]


__all__ = [
    "BOTH",
    "FIRST",
    "NEITHER",
    "SECOND",
    "VIEW_KINDS",
    "Late",
    "LateTwins",
    "Masks",
    "Twins",
    "place_of",
    "view_of",
]
