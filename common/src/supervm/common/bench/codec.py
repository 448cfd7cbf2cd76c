"""Wire frames and agreed bytes: typed and checked, against the same library reading without types."""

from __future__ import annotations

import cbor2
import msgspec

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import parse_transaction, sign_transfer
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import Submit

from .measure import BenchOptions, Row, interleaved, rate_row

_TRANSACTIONS = 256


def run(options: BenchOptions) -> list[Row]:
    """Frames per second for a small and a large message, and transactions parsed per second."""
    key = SigningKey(bytes(32))
    raws = tuple(
        sign_transfer(
            key,
            chain_id=ZERO_HASH,
            seq=seq,
            prev=ZERO_HASH,
            to=bytes(range(32)),
            amount=10**9,
            fee=1_000,
            valid_until_ms=1_700_000_000_000,
        ).raw
        for seq in range(_TRANSACTIONS)
    )
    rows = []
    rows += _frames(options, "heartbeat", Heartbeat(123_456, 42, 1_700_000_000_000, 99_999))
    rows += _frames(options, "submit64", Submit(raws[:64]))
    options.progress("transactions")

    def parse() -> int:
        for raw in raws:
            parse_transaction(raw, ZERO_HASH)
        return len(raws)

    def bare() -> int:
        for raw in raws:
            cbor2.loads(raw)
        return len(raws)

    rates = interleaved({"parse": parse, "limit": bare}, options.rounds)
    return [*rows, rate_row("codec.transaction.parse", "transactions/s", rates["parse"], rates["limit"])]


def _frames(options: BenchOptions, name: str, message: Message) -> list[Row]:
    options.progress(name)
    frame = encode_message(message)
    repeats = 200 if options.quick else 2_000
    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()
    plain = decoder.decode(frame)

    def encode() -> int:
        for _ in range(repeats):
            encode_message(message)
        return repeats

    def encode_limit() -> int:
        for _ in range(repeats):
            encoder.encode(plain)
        return repeats

    def decode() -> int:
        for _ in range(repeats):
            decode_message(frame)
        return repeats

    def decode_limit() -> int:
        for _ in range(repeats):
            decoder.decode(frame)
        return repeats

    rates = interleaved(
        {"encode": encode, "encode limit": encode_limit, "decode": decode, "decode limit": decode_limit}, options.rounds
    )
    return [
        rate_row(f"codec.{name}.{way}", "frames/s", rates[way], rates[f"{way} limit"]) for way in ("encode", "decode")
    ]
