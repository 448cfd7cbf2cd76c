"""Records of the write-ahead log: what a validator must remember before a signature leaves it (consensus.md 2.2).

Theory of operation. A vote that is sent and then forgotten is how a correct validator turns into a faulty one: after a
restart it might sign the opposite. So each promise is one agreed record (canonical CBOR), appended and synced before
the message that contains the signature leaves. The signature itself is not stored: ed25519 is deterministic, and
signing the same statement twice is no second promise.

W1 carries the block that was voted for, also when another validator proposed it. Safety needs this only of the
proposer; but if all validators crash at once and the proposer stays away, a notarized block must survive at the f + 1
correct voters, or no later block could ever extend it. For the same reason certificates are recorded too, although
nothing waits for them: without them, the votes of a faulty validator that once completed a certificate might not
come again.

A log is pruned by what the tables hold, so it means something only beside tables that are as new. `LogFloor` says how
new; `supervm.tier_l1_super.consensus.recall` asks at the start.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from supervm.protocol.base import cbor
from supervm.protocol.base.codec import Agreed, Hash, Uint, Uint16, decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.limits import BATCH_TRANSACTIONS_MAX
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.votes import Certificate

PROMISE_BYTES_MAX = 8 << 20
"""A block of the largest allowed size with its justification fits."""


class NotarizePromise(Agreed, frozen=True, tag="w1"):
    """W1: in this view, this block and no other; `block` is the block voted for."""

    version: Literal[1]
    epoch: Uint
    view: Uint
    digest: Hash
    block: Annotated[tuple[Block, ...], msgspec.Meta(max_length=1)]


class NullifyPromise(Agreed, frozen=True, tag="w2"):
    """W2: never finalize in this view."""

    version: Literal[1]
    epoch: Uint
    view: Uint


class FinalizePromise(Agreed, frozen=True, tag="w3"):
    """W3: never nullify this view."""

    version: Literal[1]
    epoch: Uint
    view: Uint
    digest: Hash


class SpanPromise(Agreed, frozen=True, tag="ws"):
    """W2 of a whole span: never finalize in any of the `width` views up to `view` (`supervm.protocol.chain.spans`)."""

    version: Literal[1]
    epoch: Uint
    view: Uint
    width: Uint


class CheckpointPromise(Agreed, frozen=True, tag="w4"):
    """W4: at this height, this checkpoint header and no other."""

    version: Literal[1]
    height: Uint
    digest: Hash


class BatchPromise(Agreed, frozen=True, tag="w5"):
    """W5: the vote on a batch; bit j of `bitmap` promises to support transaction j and no other for its slot."""

    version: Literal[1]
    epoch: Uint
    digest: Hash
    count: Uint16
    bitmap: Annotated[bytes, msgspec.Meta(max_length=(BATCH_TRANSACTIONS_MAX + 7) // 8)]


class ClosePromise(Agreed, frozen=True, tag="w8"):
    """W8: no batch vote in this epoch any more."""

    version: Literal[1]
    epoch: Uint


class HeldCertificate(Agreed, frozen=True, tag="wc"):
    """Not a promise: a notarization, nullification or certified span that is held, so that a restart finds its view."""

    version: Literal[1]
    certificate: Certificate


class LogFloor(Agreed, frozen=True, tag="wf"):
    """Not a promise: how far the tables had come when this was written, as three heights.

    What the log lacks - because it was pruned, or because it was never promised in this place - rests on tables that
    hold at least this much. Every rewrite of the log begins with one, and another is appended with a batch vote when
    execution has gone on since; the highest of each height counts.
    """

    version: Literal[1]
    finalized_height: Uint
    certified_height: Uint
    executed_height: Uint


Promise = (
    NotarizePromise
    | NullifyPromise
    | FinalizePromise
    | SpanPromise
    | CheckpointPromise
    | BatchPromise
    | ClosePromise
    | HeldCertificate
    | LogFloor
)
ConsensusPromise = NotarizePromise | NullifyPromise | FinalizePromise | SpanPromise | HeldCertificate
"""The records that `Simplex` writes and wants back."""

_KINDS: tuple[type[Promise], ...] = (
    NotarizePromise,
    NullifyPromise,
    FinalizePromise,
    CheckpointPromise,
    BatchPromise,
    ClosePromise,
    HeldCertificate,
    SpanPromise,
    LogFloor,
)
_KIND_OF_TAG = {cbor.dumps(kind.__struct_config__.tag): kind for kind in _KINDS}


def encode_promise(promise: Promise) -> bytes:
    """Return the payload of a write-ahead record."""
    return encode(promise)


def decode_promise(payload: bytes) -> Promise:
    """Read a record back.

    Raises:
        LocalProtocolError: the record is of no known kind or damaged; the node must not vote on what is left.
    """
    kind = _KIND_OF_TAG.get(payload[1:4])
    if kind is None:
        raise LocalProtocolError(
            f"the write-ahead log holds a record that starts with {payload[:4].hex()!r}, which this version does not "
            "know; run the version that wrote it, or start as an observer"
        )
    try:
        return decode(kind, payload, bytes_max=PROMISE_BYTES_MAX)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"the write-ahead log is damaged: {error}") from error


def epoch_of(promise: ConsensusPromise) -> int:
    """Return the epoch that a consensus record is about."""
    return promise.certificate.epoch if isinstance(promise, HeldCertificate) else promise.epoch


def view_of(promise: ConsensusPromise) -> int:
    """Return the view that a consensus record is about; it may be pruned once that view is durably finalized.

    Of a span this is the last.
    """
    return promise.certificate.number if isinstance(promise, HeldCertificate) else promise.view
