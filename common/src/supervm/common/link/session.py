"""One encrypted, mutually authenticated connection between two nodes, without the socket.

Theory of operation. `LinkSession` turns bytes of a connection into frames of the peer and back. It starts
with a Noise XX handshake (`noise.py`) whose prologue names the network, so that nodes of two chains cannot
even begin to talk, and goes on with records of frames (`records.py`). The X25519 static key that Noise proves
is not the node's identity: the handshake payload carries a `StaticKeyProof` in which the ed25519 node key
signs for the static key, until a date (network.md 3). The responder sends its proof in message 2, the
initiator in message 3, both encrypted.

On the wire every handshake message has a big-endian u16 length before it: message 1 is exactly 32 bytes (it
carries no payload), the others at most 1,024. Nothing is answered after a failure: the reason is for our own
log, a stranger learns nothing from it, and the owner closes the connection. A handshake that stays silent is
the owner's to time out.

Who drives it: write `bytes_to_send()` to the connection whenever something may be pending, give what arrives
to `receive`, put frames in with `send_frame`. The more frames are queued between two calls of
`bytes_to_send`, the fewer records are made and the cheaper each frame is.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import SigningKey

from .cipher import KEY_BYTES
from .identity import check_proof, make_proof
from .noise import HandshakeState
from .records import (
    FRAME_BYTES_MAX,
    FRAME_HEADER_BYTES,
    RECORD_PLAINTEXT_BYTES_MAX,
    REKEY_RECORDS,
    REKEY_US,
    FrameReader,
    RecordReader,
    RecordWriter,
    check_record_limits,
)

PROLOGUE: Final = b"supervm/1"
"""What the Noise prologue begins with; the 32-byte chain id follows (network.md 3)."""
HANDSHAKE_MESSAGE_BYTES_MAX: Final = 1_024
"""Longest handshake message that is read."""
QUEUE_BYTES_MAX: Final = 16 << 20
"""Frames that may wait for `bytes_to_send`, headers included."""
CHAIN_ID_BYTES: Final = 32

_U16 = Struct(">H")
_U32 = Struct(">I")


class LinkSession:
    """Both halves of one connection: handshake, then frames in and out.

    Args:
        initiator: True on the side that begins: the one that dialled, or, where both did, that of the lower node id.
        static_private: 32-byte X25519 private key, kept for many connections.
        ephemeral_private: 32 fresh random bytes; using them twice would give the session away.
        node_key: our ed25519 node key.
        chain_id: 32 bytes naming the network.
        expected_peer: the node id that was dialled; None accepts any node but ourselves.
        not_after_ms: when our word for the static key ends, Unix milliseconds; has to be in the future.
        now_ms: present wall-clock time, Unix milliseconds; peers' proofs are held against it.
        frame_bytes_max: longest frame either way; see `set_frame_bytes_max`.
        record_bytes_max: plaintext bytes of a record, 1 .. 65,519 (16 KiB on WebRTC data channels).
        queue_bytes_max: most bytes of frames (4 more each) that may wait to be drained.
        rekey_records: records under one key; both ends must agree.
        rekey_us: age at which our sending key is replaced, microseconds.
        prologue_extra: what the carrying transport adds to the prologue, such as both DTLS fingerprints.

    Raises:
        LocalProtocolError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        static_private: bytes,
        ephemeral_private: bytes,
        node_key: SigningKey,
        chain_id: bytes,
        expected_peer: bytes | None,
        not_after_ms: int,
        now_ms: int,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        record_bytes_max: int = RECORD_PLAINTEXT_BYTES_MAX,
        queue_bytes_max: int = QUEUE_BYTES_MAX,
        rekey_records: int = REKEY_RECORDS,
        rekey_us: int = REKEY_US,
        prologue_extra: bytes = b"",
    ) -> None:
        if len(chain_id) != CHAIN_ID_BYTES:
            raise LocalProtocolError(f"a chain id has {CHAIN_ID_BYTES} bytes, not {len(chain_id)}")
        if not now_ms < not_after_ms < 1 << 63:
            raise LocalProtocolError(
                f"our static key's proof ends at {not_after_ms} ms, now is {now_ms} ms: sign a new one"
            )
        check_record_limits(record_bytes_max, rekey_records)
        self._handshake = HandshakeState(
            initiator=initiator,
            prologue=PROLOGUE + chain_id + prologue_extra,
            static_private=static_private,
            ephemeral_private=ephemeral_private,
        )
        self._initiator = initiator
        self._node_key = node_key
        self._chain_id = chain_id
        self._expected_peer = expected_peer
        self._not_after_ms = not_after_ms
        self._now_ms = now_ms
        self._now_us: int | None = None
        self._record_bytes_max = record_bytes_max
        self._queue_bytes_max = queue_bytes_max
        self._rekey_records = rekey_records
        self._rekey_us = rekey_us
        self._reader: RecordReader | None = None
        self._writer: RecordWriter | None = None
        self._failure: RemoteProtocolError | None = None
        self._inbox = bytearray()  # of the handshake only
        self._outbox = bytearray()  # handshake messages
        self._queue: list[bytes] = []  # header, frame, header, frame ...
        self._queued_bytes = 0
        self._peer_id: bytes | None = None
        self._peer_not_after_ms: int | None = None
        self.set_frame_bytes_max(frame_bytes_max)
        if initiator:
            self._put_handshake(b"")

    @property
    def initiator(self) -> bool:
        """This side begins the handshake, and says Hello first."""
        return self._initiator

    @property
    def established(self) -> bool:
        """The peer is proven and frames may flow; False again after a failure."""
        return self._reader is not None and self._failure is None

    @property
    def failed(self) -> bool:
        """The session is dead; close the connection."""
        return self._failure is not None

    @property
    def peer_id(self) -> bytes | None:
        """The peer's proven 32-byte node id; None until established."""
        return self._peer_id

    @property
    def peer_not_after_ms(self) -> int | None:
        """When the peer's word for its static key ends, Unix milliseconds; None until established."""
        return self._peer_not_after_ms

    @property
    def handshake_hash(self) -> bytes | None:
        """64 bytes, equal on both ends and different in every session (Noise 11.2); None otherwise."""
        return self._handshake.handshake_hash if self._reader is not None else None

    @property
    def queued_bytes(self) -> int:
        """Bytes of frames, headers included, that wait for `bytes_to_send`."""
        return self._queued_bytes

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of a frame whose end has not arrived."""
        return self._reader.frames.buffered_bytes if self._reader is not None else 0

    @property
    def frame_bytes_max(self) -> int:
        """Longest frame either way."""
        return self._frame_bytes_max

    def set_frame_bytes_max(self, frame_bytes_max: int) -> None:
        """Change the longest frame, both ways, for frames whose header comes after; a Hello decides it.

        A peer may send longer frames only once it knows that we have raised our limit.

        Raises:
            LocalProtocolError: not 1 .. 2**32-1.
        """
        if not 1 <= frame_bytes_max < 1 << 32:
            raise LocalProtocolError(f"frame_bytes_max is {frame_bytes_max}; 1 to {2**32 - 1} are allowed")
        self._frame_bytes_max = frame_bytes_max
        if self._reader is not None:
            self._reader.frames.frame_bytes_max = frame_bytes_max

    def send_frame(self, frame: bytes) -> None:
        """Queue one frame; before the handshake is done it waits for it.

        Raises:
            LocalProtocolError: empty, longer than `frame_bytes_max`, the queue is full, or the session is
                dead.
        """
        size = len(frame)
        queued = self._queued_bytes + size + FRAME_HEADER_BYTES
        if not 0 < size <= self._frame_bytes_max or queued > self._queue_bytes_max or self._failure:
            self._refuse_frame(size)
        self._queued_bytes = queued
        self._queue += (_U32.pack(size), frame)

    def bytes_to_send(self, now_us: int | None = None) -> bytes:
        """Return everything pending, sealed into as few records as possible; empty when nothing is.

        Args:
            now_us: present time on the clock of `receive`, for the age of the key; by default the last time
                given.
        """
        if self._failure is not None:
            return b""
        if now_us is not None:
            self._now_us = now_us
        out = bytes(self._outbox)
        self._outbox.clear()
        if self._queue and self._writer is not None:
            stream = b"".join(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            records = self._writer.seal(stream, self._now_us or 0)
            out = out + records if out else records
        return out

    def receive(self, data: bytes | bytearray | memoryview, now_us: int) -> list[bytes]:
        """Take bytes from the connection, cut anywhere; return the frames they complete, in order.

        Args:
            data: what arrived.
            now_us: present time of one steady clock, microseconds.

        Raises:
            RemoteProtocolError: the peer is refused or broke the rules; the session is dead from then on,
                nothing more is sent and every later call raises the same reason (without a further penalty).
                Frames of this very call are lost. Codes: ``handshake``, ``decrypt``, ``wrong-peer``,
                ``self-dial``, ``expired``, ``bad-signature``, ``oversized``, ``malformed``.
        """
        if self._failure is not None:
            raise RemoteProtocolError(self._failure.reason, penalty=0, code=self._failure.code)
        self._now_us = now_us
        try:
            if self._reader is not None:
                return self._reader.feed(data if type(data) is bytes else bytes(data))
            return self._receive_handshake(data, now_us)
        except RemoteProtocolError as error:
            self._fail(error)
            raise

    def _receive_handshake(self, data: bytes | bytearray | memoryview, now_us: int) -> list[bytes]:
        inbox = self._inbox
        inbox += data
        while self._reader is None:
            if len(inbox) < 2:
                return []
            (size,) = _U16.unpack_from(inbox)
            first = not self._handshake.started
            if size > HANDSHAKE_MESSAGE_BYTES_MAX or (first and size != KEY_BYTES):
                allowed = f"exactly {KEY_BYTES}" if first else f"at most {HANDSHAKE_MESSAGE_BYTES_MAX}"
                raise RemoteProtocolError(
                    f"a handshake message of {size} bytes; {allowed} are allowed", penalty=100, code="handshake"
                )
            stop = 2 + size
            if len(inbox) < stop:
                return []
            message = bytes(inbox[2:stop])
            del inbox[:stop]
            self._step(message, now_us)
        rest = bytes(inbox)
        inbox.clear()
        return self._reader.feed(rest)

    def _step(self, message: bytes, now_us: int) -> None:
        """Take one whole handshake message and answer it."""
        handshake = self._handshake
        try:
            payload = handshake.read_message(message)
        except RemoteProtocolError as error:
            if error.code != "decrypt":
                raise
            raise RemoteProtocolError(
                "the handshake does not authenticate: the peer is on another chain or speaks another "
                "protocol, or the stream was altered or replayed",
                penalty=100,
                code="handshake",
            ) from error
        if handshake.remote_static is None:
            self._put_handshake(self._own_proof())  # message 1 came: answer it with message 2
            return
        proof = check_proof(
            payload,
            chain_id=self._chain_id,
            static_public=handshake.remote_static,
            own_id=self._node_key.public,
            expected_peer=self._expected_peer,
            now_ms=self._now_ms,
        )
        if handshake.our_turn:
            self._put_handshake(self._own_proof())
        send, receive = handshake.split()
        self._writer = RecordWriter(
            send,
            now_us=now_us,
            record_bytes_max=self._record_bytes_max,
            rekey_records=self._rekey_records,
            rekey_us=self._rekey_us,
        )
        self._reader = RecordReader(receive, FrameReader(self._frame_bytes_max), rekey_records=self._rekey_records)
        self._peer_id = proof.node_key
        self._peer_not_after_ms = proof.not_after_ms

    def _own_proof(self) -> bytes:
        return make_proof(
            self._node_key,
            chain_id=self._chain_id,
            static_public=self._handshake.static_public,
            not_after_ms=self._not_after_ms,
        )

    def _put_handshake(self, payload: bytes) -> None:
        message = self._handshake.write_message(payload)
        self._outbox += _U16.pack(len(message)) + message

    def _refuse_frame(self, size: int) -> None:
        if self._failure is not None:
            raise LocalProtocolError(f"the session is dead: {self._failure.reason}")
        if not 0 < size <= self._frame_bytes_max:
            raise LocalProtocolError(f"a frame of {size} bytes; 1 to {self._frame_bytes_max} are allowed on this link")
        raise LocalProtocolError(
            f"the link's queue holds {self._queued_bytes} bytes; a frame of {size} more would pass "
            f"{self._queue_bytes_max}: drain it with bytes_to_send first"
        )

    def _fail(self, error: RemoteProtocolError) -> None:
        self._failure = error
        self._reader = None
        self._writer = None
        self._inbox.clear()
        self._outbox.clear()
        self._queue.clear()
        self._queued_bytes = 0
