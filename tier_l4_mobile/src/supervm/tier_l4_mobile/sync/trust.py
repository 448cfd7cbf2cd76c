"""What this phone believes: forks that it finds or is shown, and whose fault it is that something is not believed.

Theory of operation (consensus.md 5). `LightMemory` is the light client and its rows; this part is what a phone does
about it. A fork is written, told to every edge that is up and to those that come. When belief ends the owner is told,
once. Some of what the light client refuses is nobody's fault and costs no edge: what validators sign that a change not
followed yet has brought in, whatever comes once nothing is believed any more, and what is dated ahead of our clock,
since it may as well be the clock that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.parts.chain_clock import ClockWatch
from supervm.common.parts.light_memory import TRUST_EVENTS, LightMemory
from supervm.common.parts.light_tables import TRUST_TABLES
from supervm.common.parts.part import Part
from supervm.common.parts.signed_time import SignedTime
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import ForkMessage, GetValidatorChanges, LeafProofs

from ..messages import NewestAnchor
from ..options import TRUST_OPTIONS
from ..wallet.books import Books
from .uplink import EDGE_TIER, Uplink


class Trust(Part):
    """Belief and doubt.

    Args:
        outbox: where messages and refusals go.
        memory: the light client.
        clock: told of what is dated ahead of our clock.
        signed_time: told of such times that a quorum has signed.
        uplink: the edges.
        books: takes the answer for the owner.
    """

    takes = frozenset({ForkMessage})
    sends = frozenset({ForkMessage, GetValidatorChanges})
    answers = (NewestAnchor,)
    tables = TRUST_TABLES
    options = TRUST_OPTIONS
    events = TRUST_EVENTS

    def __init__(
        self,
        outbox: Outbox,
        memory: LightMemory,
        clock: ClockWatch,
        signed_time: SignedTime,
        uplink: Uplink,
        books: Books,
    ) -> None:
        self._outbox = outbox
        self._memory = memory
        self._clock = clock
        self._signed_time = signed_time
        self._uplink = uplink
        self._books = books
        self.client = memory.client
        """Verifies."""

    def believes(self, now_us: int) -> bool:
        """Return whether anything new is believed."""
        return self.client.is_trusting(now_us // 1000)

    def doubt(self, now_us: int) -> str:
        """Return in plain words why nothing new is believed; empty while it is."""
        return self.client.doubt(now_us // 1000)

    def newest(self) -> tuple[int, int]:
        """Return height and time in ms of the newest header that is trusted."""
        header = self.client.header
        return header.height, header.ts_ms

    # --- what comes in ----------------------------------------------------------------------------------------------

    def started(self, now_us: int) -> None:
        """Write and tell what was found on disk."""
        self._memory.start()

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Tell an edge that comes of a fork that is known."""
        fork = self._memory.fork_message
        if fork is not None and event.tier == EDGE_TIER:
            self._outbox.send(event.peer, fork)

    def receive(self, now_us: int, peer: bytes, message: ForkMessage) -> None:
        """Look at a fork that an edge shows.

        Raises:
            RemoteProtocolError: it is none.
        """
        try:
            self._memory.fork(message, now_us // 1000)
        except RemoteProtocolError as error:
            if not self.excuses(now_us, peer, error, message):
                raise

    def excuses(self, now_us: int, peer: bytes, error: RemoteProtocolError, message: Message | None = None) -> bool:
        """Do what helps against something that was refused; return False if its sender is to be blamed for it.

        Args:
            now_us: the time.
            peer: who sent it.
            error: why it was refused; its penalty may be lowered here.
            message: what was refused, if it is at hand.
        """
        match error.code:
            case "unknown-set":
                self._memory.follower.ask_who(now_us, peer)
                return True
            case "fork" | "expired":
                return True  # nobody's fault, and told once in `settle`
            case "stale":
                return True  # an edge that has just started again is behind; it may be, and nobody can act on it
            case "future" if isinstance(message, LeafProofs):
                return self._from_the_future(now_us, message, error)
            case "future":
                error.penalty = 0
        return False

    def _from_the_future(self, now_us: int, message: LeafProofs, error: RemoteProtocolError) -> bool:
        """Note the time of a checkpoint that is ahead of our clock; return False if nobody who counts has signed it.

        The link stays (network.md 3). Whom a set that is not followed yet has signed it by cannot be told here: then it
        counts as shown, and no more.
        """
        checkpoint = decode(CertifiedCheckpoint, message.checkpoint, bytes_max=1 << 20)
        header = checkpoint.header
        if header.validators_hash == self.client.validators.hash:
            try:
                self._signed_time.note(self.client.signed_ms(checkpoint))
            except RemoteProtocolError as wrong:
                error.penalty = wrong.penalty
                return False
        self._clock.look(now_us, header.height, header.ts_ms)
        return True

    # --- what goes out ----------------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Tell the owner when belief ends, and everybody of a fork that is new."""
        self._memory.tell_doubt(now_us // 1000)
        fork = self._memory.take_fork()
        if fork is not None:
            for edge in self._uplink.edges():
                self._outbox.send(edge, fork[1], after=fork[0])

    def command(self, now_us: int, token: int, request: NewestAnchor) -> None:
        """Give the newest header that is trusted, for another client to start from."""
        doubt = self.doubt(now_us)
        if doubt:
            self._outbox.refuse(token, f"this node has no anchor to give: {doubt}")
            return
        anchor = self.client.newest_anchor()
        self._books.answer(
            token,
            {
                "anchor_hex": encode(anchor).hex(),
                "chain_id": anchor.header.chain_id.hex(),
                "height": anchor.header.height,
                "ts_ms": anchor.header.ts_ms,
            },
        )

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how trust stands (`LightMemory.info`)."""
        return {"trust": self._memory.info(now_us // 1000)}
