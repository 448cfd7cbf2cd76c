"""Forks that edges show: kept, told to the owner, and passed on to the other edges (consensus.md 5, 2.10).

A miner executes the chain itself and compares every certified checkpoint with its own, so a fork does not lead it
astray; what it can do is see to it that the edges of others, and their phones, hear of it. One fork per height is
looked at, and `FORKS_MAX` in all: one is enough to stop whoever believes certificates alone.
"""

from __future__ import annotations

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.contract.records import Reader
from supervm.common.parts.events import ForkEvidence
from supervm.common.parts.light_tables import FORKS, ForkRow
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.set_change import proposed_set
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.light.forks import FORK_BYTES_MAX, CheckpointFork, check_fork
from supervm.protocol.wire.payments import ForkMessage

EDGE_TIER = 3
FORKS_MAX = 16
"""Forks that are kept."""


class Forks(Part):
    """The forks that a miner knows.

    Args:
        chain: the network.
        reader: durable state, with the table `FORKS`.
        outbox: where effects go.
        changes: the changes of validators, which lead to everybody who ever validated.
        peering: who is there.
    """

    takes = frozenset({ForkMessage})
    sends = frozenset({ForkMessage})
    tables = (FORKS,)
    events = (ForkEvidence,)

    def __init__(self, chain: Chain, reader: Reader, outbox: Outbox, changes: ChangeStore, peering: Peering) -> None:
        self._chain, self._outbox, self._changes, self._peering = chain, outbox, changes, peering
        self._known = {row.height: row.fork for row in FORKS.rows(reader)}

    def receive(self, now_us: int, peer: bytes, message: ForkMessage) -> None:
        """Check a fork that a peer shows; keep it and pass it on to the other edges if it is news.

        Raises:
            RemoteProtocolError: it proves nothing, which costs its sender the connection.
        """
        try:
            fork = decode(CheckpointFork, message.fork, bytes_max=FORK_BYTES_MAX)
            if fork.height in self._known or len(self._known) >= FORKS_MAX:
                return
            check_fork(fork, self._chain.chain_id, self._answerable(now_us // 1000), self._chain.verify)
        except RemoteProtocolError as error:
            error.penalty = error.penalty and 100
            raise
        self._known[fork.height] = message.fork
        token = self._outbox.persist(FORKS.put(ForkRow(fork.height, message.fork)))
        self._outbox.publish(ForkEvidence(height=fork.height, reason=fork.reason, evidence=message.fork.hex()))
        for edge in self._peering.of_tier(EDGE_TIER):
            if edge != peer:
                self._outbox.send(edge, message, after=token)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Tell an edge that comes what is known."""
        if event.tier == EDGE_TIER:
            for raw in self._known.values():
                self._outbox.send(event.peer, ForkMessage(raw))

    def _answerable(self, now_ms: int) -> list[ValidatorSet]:
        """Return the sets that answer for what they signed: the present one, and those of a trusting period ago."""
        period_ms = self._chain.parameters.trusting_period_ms
        found, validators = [], self._chain.validators
        for change in self._changes.all():
            if change.checkpoint.header.ts_ms + period_ms > now_ms:
                found.append(validators)
            validators = proposed_set(change.validators)
        return [*found, validators]
