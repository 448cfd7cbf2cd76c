"""The Noise link: frames sealed, carried and opened per second, against the bare cipher on the same bytes."""

from __future__ import annotations

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey

from ..link import RECORD_PLAINTEXT_BYTES_MAX, LinkSession
from .measure import BenchOptions, Row, interleaved, rate_row

_FRAME_BYTES = 200
_CHAIN_ID = bytes(32)


def run(options: BenchOptions) -> list[Row]:
    """Frames of 200 bytes per second, one way, both ends in one process: one by one and 256 per send."""
    return [_frames(options, per_send) for per_send in (1, 256)]


def _frames(options: BenchOptions, per_send: int) -> Row:
    options.progress(f"{per_send} frames per send")
    sender, receiver = _pair()
    frame = bytes(_FRAME_BYTES)
    count = 2_048 if options.quick else 16_384
    sends = count // per_send
    stream = bytes((_FRAME_BYTES + 4) * per_send)
    key, nonce = bytes(32), bytes(12)

    def ours() -> int:
        got = 0
        for _ in range(sends):
            for _ in range(per_send):
                sender.send_frame(frame)
            got += len(receiver.receive(sender.bytes_to_send(0), 0))
        return got

    def limit() -> int:
        for _ in range(sends):
            for start in range(0, len(stream), RECORD_PLAINTEXT_BYTES_MAX):
                part = stream[start : start + RECORD_PLAINTEXT_BYTES_MAX]
                sealed = crypto_aead_chacha20poly1305_ietf_encrypt(part, b"", nonce, key)
                crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", nonce, key)
        return sends * per_send

    rates = interleaved({"ours": ours, "limit": limit}, options.rounds)
    return rate_row(f"link.frames{_FRAME_BYTES}.per_send{per_send}", "frames/s", rates["ours"], rates["limit"])


def _pair() -> tuple[LinkSession, LinkSession]:
    """Return two sessions with each other, their handshake done."""
    ends = [
        LinkSession(
            initiator=number == 1,
            static_private=bytes([number]) * 32,
            ephemeral_private=bytes([number + 2]) * 32,
            node_key=SigningKey(bytes([number]) * 32),
            chain_id=_CHAIN_ID,
            expected_peer=None,
            not_after_ms=1 << 62,
            now_ms=0,
        )
        for number in (1, 2)
    ]
    for _ in range(3):
        for one, other in (ends, ends[::-1]):
            other.receive(one.bytes_to_send(0), 0)
    if not all(end.established for end in ends):
        raise LocalProtocolError("the handshake of the benchmark did not finish")
    return ends[0], ends[1]
