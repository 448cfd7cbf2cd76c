"""Messages that are well-formed and mean harm: every field drawn from the edges of what its type allows.

`Wild.message` fills a message type from its declared bounds. Fields that carry the canonical bytes of an agreed object
get bytes of a random agreed object, filled the same way, or plain noise; fields of 32 bytes often name things that
exist, so that the checks behind the first one are reached too.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from msgspec import inspect

from supervm.protocol.base.codec import INT_MAX, Agreed, encode
from supervm.protocol.chain import batch, batch_certificate, block, checkpoint, finalized, votes
from supervm.protocol.light import client as light
from supervm.protocol.money import issue, transfer
from supervm.protocol.state import trie_proof
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import AnyMessage

from ..errors import SimulationError

MESSAGES: tuple[type[Message], ...] = get_args(AnyMessage)
"""Every kind of message."""
AGREED: tuple[type[Agreed], ...] = (
    batch.Batch,
    batch.BatchHeader,
    batch_certificate.BatchCertificate,
    batch_certificate.BatchVote,
    block.Block,
    finalized.FinalizedBlocks,
    checkpoint.CertifiedCheckpoint,
    checkpoint.CheckpointHeader,
    light.ReceiptProof,
    light.AccountAnswer,
    transfer.Transfer,
    issue.Issue,
    trie_proof.TrieProof,
    votes.Vote,
    votes.Certificate,
)
"""What a field of bytes may carry."""
LONG = 512
"""Bytes from which on a field is taken to carry an agreed object."""


class Wild:
    """Makes values.

    Args:
        rng: decides everything.
        known: byte strings that mean something on the network: keys, ids, hashes.
    """

    def __init__(self, rng: random.Random, known: Sequence[bytes]) -> None:
        self._rng = rng
        self._known = list(known)

    def message(self, kind: type[Message]) -> Message:
        """Return a message of this kind."""
        return self._fill(kind, depth=0)  # type: ignore[no-any-return]

    def agreed(self, kind: type[Agreed], depth: int = 0) -> bytes:
        """Return canonical bytes of an agreed object of this kind."""
        return encode(self._fill(kind, depth))

    def _fill(self, kind: type[msgspec.Struct], depth: int) -> Any:
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        return kind(*(self._value(field.type, depth + 1) for field in info.fields))

    def _value(self, info: inspect.Type, depth: int) -> Any:
        rng = self._rng
        match info:
            case inspect.IntType(ge=low, le=high):
                low, high = 0 if low is None else low, INT_MAX if high is None else high
                return rng.choice((low, high, min(high, low + 1), max(low, min(high, rng.randrange(1 << 16)))))
            case inspect.BytesType(min_length=least, max_length=most):
                return self._bytes(least or 0, 64 if most is None else most, depth)
            case inspect.StrType(max_length=most):
                text = rng.choice(("", "x", "\x1b[31m\n\x00", "\U0001f600", "x" * 4_096))
                return text[: 64 if most is None else most]
            case inspect.BoolType():
                return rng.random() < 0.5
            case inspect.LiteralType(values=values):
                return rng.choice(values)
            case inspect.EnumType(cls=kind):
                return rng.choice(list(kind))
            case inspect.TupleType(item_types=items):
                return tuple(self._value(item, depth + 1) for item in items)
            case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
                least, most = least or 0, 4 if most is None else most
                longest = most if depth <= 1 else 3
                count = max(least, min(most, rng.choice((least, 1, 2, min(longest, 64)))))
                return tuple(self._value(item, depth + 1) for _ in range(count))
            case inspect.UnionType(types=types):
                return self._value(rng.choice(types), depth)
            case inspect.StructType(cls=kind):
                return self._fill(kind, depth)
            case inspect.Metadata(type=inner):
                return self._value(inner, depth)
            case inspect.NoneType():
                return None
            case _:
                raise SimulationError(f"no wild value for {info}")

    def _bytes(self, least: int, most: int, depth: int) -> bytes:
        rng = self._rng
        if least == most == 32:
            return rng.choice(self._known) if rng.random() < 0.5 else rng.randbytes(32)
        if most >= LONG and depth <= 3 and rng.random() < 0.8:
            data = self.agreed(rng.choice(AGREED), depth + 1)
            cut = rng.choice((len(data), len(data), len(data), rng.randrange(len(data))))
            return data[:cut][:most]
        return rng.randbytes(max(least, min(most, rng.choice((0, 1, 100, most)))))
