"""Encrypted records that carry a stream of frames, many frames to a record.

Theory of operation. On the wire a record is a big-endian u16 length and that many bytes of ciphertext. The
plaintexts of one direction, put end to end, are a stream of frames: a big-endian u32 length, 1 or more, and
that many bytes. Frames and records are independent cuts of one stream: 300 small frames share a record, a
large frame spans many. One encryption and one send per record instead of per frame is worth a factor of
thirty (limits.md, rule 3).

Rekey. Both directions replace their key on their own (Noise 11.3) in two cases:

* by count: after every `rekey_records` records under one key. Both ends count, so nothing is sent;
* by time: the sender puts in an *empty record* (tag only) and both ends rekey after it. Data records are
  never empty, so the marker cannot be mistaken; it is sealed under its own nonce, so nobody else can make,
  move or remove one. Two markers with no data between them are refused: a marker is never free work for the
  receiver.

The nonce counts on through a rekey. A truncated stream is not noticed here: what was delivered and
acknowledged is known to the session above by its sequence numbers.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError

from .cipher import TAG_BYTES, CipherState
from .noise import NOISE_MESSAGE_BYTES_MAX

RECORD_PLAINTEXT_BYTES_MAX: Final = NOISE_MESSAGE_BYTES_MAX - TAG_BYTES
"""65,519: what one record carries."""
FRAME_HEADER_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 1 << 20
"""Frame limit of an ordinary link (network.md 7)."""
FRAME_BYTES_MAX_BATCH: Final = 4 << 20
"""Frame limit of a link that carries batches, between L1 and L2 (network.md 7)."""
REKEY_RECORDS: Final = 1 << 20
"""Records under one key (network.md 3)."""
REKEY_US: Final = 3_600_000_000
"""Age of a key at which its sender replaces it: 1 h (network.md 3)."""

_U16 = Struct(">H")
_U32 = Struct(">I")


def check_record_limits(record_bytes_max: int, rekey_records: int) -> None:
    """Check what a `RecordWriter` is given.

    Raises:
        LocalProtocolError: the record is not 1 .. 65,519 bytes, or a key would carry no record.
    """
    if not 1 <= record_bytes_max <= RECORD_PLAINTEXT_BYTES_MAX:
        raise LocalProtocolError(
            f"record_bytes_max is {record_bytes_max}; 1 to {RECORD_PLAINTEXT_BYTES_MAX} are allowed"
        )
    if rekey_records < 1:
        raise LocalProtocolError(f"rekey_records is {rekey_records}; at least 1 is allowed")


class FrameReader:
    """Cuts a plaintext stream back into frames.

    Args:
        frame_bytes_max: longest frame that is accepted; may be changed between calls and holds for headers
            read after.
    """

    __slots__ = ("_partial", "_size", "frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._partial = bytearray()
        self._size = 0  # header and body of the frame in _partial; 0 while its header is incomplete

    @property
    def buffered_bytes(self) -> int:
        """Bytes held of a frame whose end has not arrived."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """Return every frame that `data` completes, in order.

        Raises:
            RemoteProtocolError: code ``oversized`` (found at the header, before anything of the frame is
                kept) or ``malformed`` (an empty frame).
        """
        frames: list[bytes] = []
        offset = self._finish_partial(data, frames) if self._partial else 0
        end = len(data)
        append = frames.append
        unpack_from = _U32.unpack_from
        frame_bytes_max = self.frame_bytes_max
        body = offset + FRAME_HEADER_BYTES
        while body <= end:
            (size,) = unpack_from(data, offset)
            if not 0 < size <= frame_bytes_max:
                self._refuse(size)
            stop = body + size
            if stop > end:
                self._size = FRAME_HEADER_BYTES + size
                break
            append(data[body:stop])
            offset = stop
            body = stop + FRAME_HEADER_BYTES
        if offset < end:
            self._partial += data[offset:] if offset else data
        return frames

    def _finish_partial(self, data: bytes, frames: list[bytes]) -> int:
        """Add to the frame begun earlier; return how many bytes of `data` it took."""
        partial = self._partial
        taken = 0
        if not self._size:
            taken = FRAME_HEADER_BYTES - len(partial)
            partial += data[:taken]
            if len(partial) < FRAME_HEADER_BYTES:
                return len(data)
            (size,) = _U32.unpack_from(partial)
            if not 0 < size <= self.frame_bytes_max:
                self._refuse(size)
            self._size = FRAME_HEADER_BYTES + size
        stop = taken + self._size - len(partial)
        partial += data[taken:stop]
        if len(partial) < self._size:
            return len(data)
        with memoryview(partial) as view:
            frames.append(bytes(view[FRAME_HEADER_BYTES:]))
        partial.clear()
        self._size = 0
        return stop

    def _refuse(self, size: int) -> None:
        if size == 0:
            raise RemoteProtocolError("a frame of 0 bytes; a frame has at least 1", penalty=100)
        raise RemoteProtocolError(
            f"a frame of {size} bytes; at most {self.frame_bytes_max} are allowed on this link",
            penalty=100,
            code="oversized",
        )


class RecordWriter:
    """Collects frames and seals them into as few records as possible.

    Args:
        cipher: the sending cipher; this object alone uses it.
        now_us: when the key was made, microseconds of the clock that `seal` is given.
        record_bytes_max: plaintext bytes of a record, 1 .. 65,519; less where the transport's unit is
            smaller.
        rekey_records: records under one key, at least 1; both ends must agree.
        rekey_us: age of a key at which it is replaced, microseconds.
    """

    def __init__(
        self,
        cipher: CipherState,
        *,
        now_us: int,
        record_bytes_max: int = RECORD_PLAINTEXT_BYTES_MAX,
        rekey_records: int = REKEY_RECORDS,
        rekey_us: int = REKEY_US,
    ) -> None:
        check_record_limits(record_bytes_max, rekey_records)
        self._cipher = cipher
        self._record_bytes_max = record_bytes_max
        self._rekey_records = rekey_records
        self._rekey_us = rekey_us
        self._key_since_us = now_us
        self._records = 0  # under the present key

    def seal(self, stream: bytes, now_us: int) -> bytes:
        """Return the records that carry `stream` (frames with their headers), ready for the wire.

        Args:
            stream: the next bytes of the plaintext stream; nothing gives nothing.
            now_us: present time; decides whether the key has grown too old.
        """
        if not stream:
            return b""
        cipher = self._cipher
        out: list[bytes] = []
        if now_us - self._key_since_us >= self._rekey_us and self._records:
            marker = cipher.encrypt(b"")
            out += (_U16.pack(len(marker)), marker)
            self._rekey(now_us)
        step = self._record_bytes_max
        for start in range(0, len(stream), step):
            record = cipher.encrypt(stream[start : start + step])
            out += (_U16.pack(len(record)), record)
            self._records += 1
            if self._records == self._rekey_records:
                self._rekey(now_us)
        return b"".join(out)

    def _rekey(self, now_us: int) -> None:
        self._cipher.rekey()
        self._key_since_us = now_us
        self._records = 0


class RecordReader:
    """Opens records from a byte stream cut anywhere and returns the frames in them.

    Args:
        cipher: the receiving cipher; this object alone uses it.
        frames: where the plaintext goes.
        rekey_records: as the sender's.
    """

    def __init__(self, cipher: CipherState, frames: FrameReader, *, rekey_records: int = REKEY_RECORDS) -> None:
        self.frames = frames
        self._cipher = cipher
        self._rekey_records = rekey_records
        self._records = 0
        self._partial = bytearray()
        self._need = _U16.size  # bytes that must be in _partial before anything can be done

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes, in order. After an error this object is of no more use.

        Raises:
            RemoteProtocolError: ``decrypt``, ``oversized`` or ``malformed``; frames of the same call are lost
                with it.
        """
        partial = self._partial
        if partial:
            partial += data
            if len(partial) < self._need:
                return []
            data = bytes(partial)
            partial.clear()
        offset, end = 0, len(data)
        out: list[bytes] = []
        self._need = _U16.size
        while offset + 2 <= end:
            size = data[offset] << 8 | data[offset + 1]
            if size < TAG_BYTES:
                raise RemoteProtocolError(
                    f"a record of {size} bytes; its tag alone takes {TAG_BYTES}", penalty=100, code="decrypt"
                )
            stop = offset + 2 + size
            if stop > end:
                self._need = 2 + size
                break
            frames = self._open(data[offset + 2 : stop])
            if out:
                out += frames
            else:
                out = frames
            offset = stop
        if offset < end:
            partial += data[offset:]
        return out

    def _open(self, record: bytes) -> list[bytes]:
        plaintext = self._cipher.decrypt(record)
        if not plaintext:
            if not self._records:
                raise RemoteProtocolError("a rekey marker although the key has carried nothing", penalty=100)
            self._cipher.rekey()
            self._records = 0
            return []
        self._records += 1
        if self._records == self._rekey_records:
            self._cipher.rekey()
            self._records = 0
        return self.frames.feed(plaintext)
