"""What goes into the Simplex core and what comes out of it (consensus.md 2.1).

Validators are named by their index in the epoch's set; the node that hosts the core maps indices to peers and local
tokens to its own. A local token is 1, 2, 3, ...; 0 means "waits for nothing". The host appends the payload of each
`PersistPromise` to its write-ahead log and releases an effect with ``after=t`` only when the promise with token t is
durable. Promises become durable in the order of their tokens, so waiting for one token means waiting for all before it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from supervm.common.contract.core import Started, Tick
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.finalized import FinalizedBlocks, FinalizedPrefix
from supervm.protocol.chain.header import BlockHeader, CheckpointRef
from supervm.protocol.chain.votes import Certificate, Vote
from supervm.protocol.wire.fields import Message

# --- events ----------------------------------------------------------------------------------------------------------


class VoteReceived(msgspec.Struct, frozen=True, gc=False):
    """A Notarize, Nullify, Finalize or span vote came over the authenticated link of validator `from_index`."""

    from_index: int
    vote: Vote


class ProposalReceived(msgspec.Struct, frozen=True):
    """A proposed block came from validator `from_index`: from its leader, or as the answer to a `FetchBlock`."""

    from_index: int
    block: Block


class CertificateReceived(msgspec.Struct, frozen=True, gc=False):
    """A notarization, nullification, finalization or certified span came from validator `from_index`."""

    from_index: int
    certificate: Certificate


class Built(msgspec.Struct, frozen=True):
    """The answer to `AskBuild`.

    Attributes:
        view: the view that was asked for.
        body: the content, or None if the host cannot propose: then the view is nullified at once.
        ts_ms: the host's clock; the block's time is this or the parent's plus one, whichever is later.
        last_checkpoint: the newest certified checkpoint of this chain, the one in `body` included.
    """

    view: int
    body: BlockBody | None
    ts_ms: int
    last_checkpoint: CheckpointRef


class BlockVerified(msgspec.Struct, frozen=True):
    """The answer to `AskVerify`: the verdict of `supervm.protocol.chain.block.check_block`, which never changes."""

    hash: bytes
    ok: bool


class BlockWanted(msgspec.Struct, frozen=True, gc=False):
    """Something waits for a block on a chain that was idle: patience with the leader begins now, not at the beat."""


class FinalizedChain(msgspec.Struct, frozen=True):
    """Finalized blocks that the host fetched and checked with `check_finalized_chain`."""

    chain: FinalizedBlocks | FinalizedPrefix


Event = (
    Started
    | Tick
    | VoteReceived
    | ProposalReceived
    | CertificateReceived
    | Built
    | BlockVerified
    | BlockWanted
    | FinalizedChain
)

# --- effects ---------------------------------------------------------------------------------------------------------


class PersistPromise(msgspec.Struct, frozen=True):
    """Append `payload` (a record of `promises`) to the write-ahead log; the record is named `token`."""

    token: int
    payload: bytes


class CompactLog(msgspec.Struct, frozen=True):
    """Many records are void, since a certified span stands for them: rewrite the log with what `prune(view)` returns.

    `view` is that of the last block handed out in `Committed` before this.
    """

    view: int


class Broadcast(msgspec.Struct, frozen=True, gc=False):
    """Send to every other validator, once the promise `after` is durable."""

    message: Message
    after: int = 0


class SendTo(msgspec.Struct, frozen=True):
    """Send to one validator, once the promise `after` is durable."""

    index: int
    message: Message
    after: int = 0


class AskBuild(msgspec.Struct, frozen=True):
    """This validator leads `view`: answer with `Built`, when there is content or after the block interval.

    Where nothing is under way that further blocks finish, that may be at the beat (`Simplex.beat_us`).
    """

    view: int
    parent_hash: bytes
    parent: BlockHeader


class AskVerify(msgspec.Struct, frozen=True):
    """Check `block` against its parent's header with `check_block` and answer with `BlockVerified`."""

    block: Block
    parent: BlockHeader


class Committed(msgspec.Struct, frozen=True):
    """These blocks are final, in ascending consecutive heights; `finalization` is for the last of them, or of `tail`.

    When a run of blocks comes in pieces, `finalization` is that of a later block; the next pieces follow.

    A `tail` comes only with a sealing block: its descendants, of which the last is finalized. They are no part of the
    chain; kept with `finalization` they prove the sealing block to others.

    Whatever is told to others because of it waits for the promise `after`: the finalization may contain this
    validator's own vote. A write asked for from here on is durable after that promise by order alone.
    """

    blocks: tuple[Block, ...]
    finalization: Certificate
    after: int = 0
    tail: tuple[Block, ...] = ()


class EvidenceFound(msgspec.Struct, frozen=True):
    """One validator signed both votes: E1 two blocks in one view, E2 Nullify and Finalize (consensus.md 2.10).

    The Nullify may be that of a span.
    """

    kind: Literal["E1", "E2"]
    first: Vote
    second: Vote


class Blame(msgspec.Struct, frozen=True):
    """Validator `index` sent something wrong; the fields are those of `RemoteProtocolError`."""

    index: int
    reason: str
    penalty: int
    code: str


class FetchBlock(msgspec.Struct, frozen=True):
    """Ask these validators for one block; it comes back as `ProposalReceived`."""

    view: int
    hash: bytes
    from_indices: tuple[int, ...]


class FetchFinalized(msgspec.Struct, frozen=True):
    """Ask any validator for finalized blocks from this height on; they come back as `FinalizedChain`."""

    from_height: int


class ForkFound(msgspec.Struct, frozen=True):
    """A finalized block does not extend what is committed here: more than f validators are faulty. Stop the node."""

    reason: str
    finalization: Certificate


Effect = (
    PersistPromise
    | CompactLog
    | Broadcast
    | SendTo
    | AskBuild
    | AskVerify
    | Committed
    | EvidenceFound
    | Blame
    | FetchBlock
    | FetchFinalized
    | ForkFound
)

__all__ = [
    "AskBuild",
    "AskVerify",
    "Blame",
    "BlockVerified",
    "BlockWanted",
    "Broadcast",
    "Built",
    "CertificateReceived",
    "Committed",
    "CompactLog",
    "Effect",
    "Event",
    "EvidenceFound",
    "FetchBlock",
    "FetchFinalized",
    "FinalizedChain",
    "ForkFound",
    "PersistPromise",
    "ProposalReceived",
    "SendTo",
    "Started",
    "Tick",
    "VoteReceived",
]
