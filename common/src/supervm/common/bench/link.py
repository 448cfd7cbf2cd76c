"""The Noise link: frames sealed, carried and opened per second, against the bare cipher on the same bytes.

The first rows are the link alone, without socket, queue and messages. Those of `link.socket` go through the whole of
two drivers (`link_socket`): payments one in a message, and as many in a message as fit, in bytes.
"""

from __future__ import annotations

import time

import trio
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.wire.frames import encode_message

from ..driver.peer import FRAME_HEADER_BYTES
from ..link import RECORD_PLAINTEXT_BYTES_MAX, LinkSession
from .link_socket import LARGE, SocketPair, payments
from .measure import BenchOptions, Row, interleaved, rate_row

_FRAME_BYTES = 200
_CHAIN_ID = bytes(32)


def run(options: BenchOptions) -> list[Row]:
    """Frames of 200 bytes per second, one way, both ends in one process; then messages over a real socket."""
    return [*(_frames(options, per_send) for per_send in (1, 256)), *trio.run(_over_socket, options)]


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


async def _over_socket(options: BenchOptions) -> list[Row]:
    found: list[Row] = []
    for name, unit, held, distinct, count in (
        ("messages", "messages/s", 1, 256, 2_000 if options.quick else 10_000),
        ("bytes", "MB/s", LARGE, 4, 20 if options.quick else 100),
    ):
        options.progress(f"{held} payments in a message, through two drivers")
        messages = payments(held, distinct)
        size = len(encode_message(messages[0])) + FRAME_HEADER_BYTES
        per_unit = 1 if held == 1 else 1e6 / size
        rates: dict[str, list[float]] = {"ours": [], "limit": []}
        async with trio.open_nursery() as nursery:
            pair = await SocketPair.start(nursery)
            for number in range(options.rounds + 1):  # the first warms up
                ours, limit = await pair.rate(messages, size, count), _cipher_rate(size, count)
                if number:
                    rates["ours"].append(ours / per_unit)
                    rates["limit"].append(limit / per_unit)
            nursery.cancel_scope.cancel()
        found.append(rate_row(f"link.socket.{name}", unit, rates["ours"], rates["limit"]))
    return found


def _cipher_rate(size: int, count: int) -> float:
    """Return messages per second that the bare cipher seals and opens, many small ones to a record."""
    key, nonce = bytes(32), bytes(12)
    together = max(1, min(count, RECORD_PLAINTEXT_BYTES_MAX // size))
    stream = bytes(size * together)
    started = time.perf_counter()
    for _ in range(count // together):
        for start in range(0, len(stream), RECORD_PLAINTEXT_BYTES_MAX):
            part = stream[start : start + RECORD_PLAINTEXT_BYTES_MAX]
            sealed = crypto_aead_chacha20poly1305_ietf_encrypt(part, b"", nonce, key)
            crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", nonce, key)
    return count // together * together / (time.perf_counter() - started)


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
