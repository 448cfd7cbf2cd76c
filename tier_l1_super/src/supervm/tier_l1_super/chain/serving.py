"""What an L1 gives to others: finalized blocks, batch bodies, certified checkpoints and proofs.

A follower (an L2) says once up to which height it has the chain and is then sent everything above it, in pieces that
each end in a finalization, so that every piece proves itself.

Whoever asks for blocks below the floor (`Pruning`) gets an empty `BlocksMessage`, and is a follower no more: it is to
ask another peer, or take a snapshot.

Everything that is given away is charged to who asked for it (`Manners`), by its bytes; a follower that owes is sent
nothing until it has paid. Pieces are encoded once for all who ask for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from supervm.common.contract.core import PeerDown
from supervm.common.parts.costs import ACCOUNT, RECEIPT
from supervm.common.parts.part import Part
from supervm.protocol.base import cbor
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.finalized import HEADERS_MAX, PIECE_BYTES_MAX, FinalizedBlocks, FinalizedPrefix
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.votes import Certificate
from supervm.protocol.state.leaves import parse_leaf_id
from supervm.protocol.wire.chain import BatchMessage, BlocksMessage, CheckpointMessage, Follow, GetBatches, GetBlocks
from supervm.protocol.wire.consensus import GetBlock, ProposalMessage
from supervm.protocol.wire.payments import GetLeaves, GetReceipt, LeafProofs, ReceiptAnswer

from ..batches.pool import Pool
from ..ground import Ground
from ..tables import BATCHES, BLOCKS, SEALS

RECENT_BLOCKS = 256
SEAL_BYTES_MAX = 64 << 20
"""Our own record of a sealing block's descendants, which no peer bounds."""
CHUNK_BLOCKS_MAX = 64
CHUNK_BYTES_MAX = 1 << 20
PROVED_BYTES_MAX = 3 << 20
"""Bytes of a piece with a sealing block's descendants, beyond which only the headers of these are sent."""
PUMP_CHUNKS = 4
"""Pieces sent to one follower at a time; the next ones follow at once unless the driver is busy."""
PUMP_US = 20_000
BODIES_BYTES_MAX = 8 << 20
"""Batch bodies in one answer: half of what a peer's outgoing queue holds, which closes the link when it is full."""
PIECES_MAX = 8
"""Encoded pieces that are remembered."""

NOT_KEPT = BlocksMessage(b"")
"""The answer to who asks for blocks below the floor."""

_Run = tuple[int, tuple[BlockHeader, ...], Certificate]
"""Height of the first header, headers up to a finalized one, and its finalization."""
_CERTIFICATE_HEAD = b"\x87" + cbor.dumps(Certificate.__struct_config__.tag)


class Serving(Part):
    """History and proofs of one L1 node.

    Args:
        ground: what every part stands on.
        pool: batch bodies that are in memory.
        proposed: returns a block that is not final here by its hash, and the write that it waits for.
    """

    takes = frozenset({Follow, GetLeaves, GetBatches, GetBlock, GetBlocks, GetReceipt})
    sends = frozenset({LeafProofs, BatchMessage, BlocksMessage, CheckpointMessage, ProposalMessage, ReceiptAnswer})

    def __init__(self, ground: Ground, pool: Pool, proposed: Callable[[bytes], tuple[Block | None, int]]) -> None:
        self._outbox, self._reader, self._ledger, self._pool = ground.outbox, ground.reader, ground.ledger, pool
        self._manners = ground.manners
        self._proposed = proposed
        self._pieces: OrderedDict[int, tuple[int, BlocksMessage, int]] = OrderedDict()  # (tip then, piece, next)
        self._recent: OrderedDict[int, tuple[Block, Certificate | None]] = OrderedDict()
        self._followers: dict[bytes, int] = {}
        self._pump_at_us: int | None = None
        self._run: _Run | None = None  # the newest that was served in pieces
        self._seal: tuple[int, FinalizedBlocks] | None = None  # the newest, which may not be on disk yet
        self._head = ground.head
        self._checkpoint: bytes = b""
        self._certified: CertifiedCheckpoint | None = None

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._pump_at_us

    def committed(
        self, blocks: tuple[Block, ...], finalization: Certificate, now_us: int, tail: tuple[Block, ...] = ()
    ) -> None:
        """Note finalized blocks and send them to the followers that have everything below."""
        for block in blocks:
            self._recent[block.header.height] = (block, None)
        last = blocks[-1]
        if tail:
            self._seal = (last.header.height, FinalizedBlocks(1, tail, finalization))
        elif finalization.digest == last.hash:
            self._recent[last.header.height] = (last, finalization)
        while len(self._recent) > RECENT_BLOCKS:
            self._recent.popitem(last=False)
        self.tick(now_us)

    @property
    def tip(self) -> int:
        """Height of the last finalized block."""
        return self._head.tip

    def jump(self) -> None:
        """Forget the chain below a snapshot that has taken the place of the state."""
        self._recent.clear()
        self._pieces.clear()

    def certified(self, checkpoint: CertifiedCheckpoint) -> None:
        """Note the newest certified checkpoint and tell the followers."""
        self._certified = checkpoint
        self._checkpoint = encode(checkpoint)
        message = CheckpointMessage(self._checkpoint)
        for peer, following in self._followers.items():
            if following > checkpoint.header.height:
                self._outbox.send(peer, message, after=self._head.written)

    def follow(self, peer: bytes, height: int, now_us: int) -> None:
        """Send `peer` everything above `height` from now on."""
        self._followers[peer] = height + 1
        self.tick(now_us)
        if self._checkpoint:
            self._outbox.send(peer, CheckpointMessage(self._checkpoint), after=self._head.written)

    def receive(
        self, now_us: int, peer: bytes, message: Follow | GetLeaves | GetBatches | GetBlock | GetBlocks | GetReceipt
    ) -> None:
        """Answer a question; the peer pays for the answer."""
        match message:
            case GetBlocks(from_height):
                self.blocks(now_us, peer, from_height)
            case GetBlock(view, digest):
                self._block_of(now_us, peer, view, digest)
            case GetBatches():
                self.batches(now_us, peer, message)
            case Follow(height):
                self.follow(peer, height, now_us)
            case GetLeaves():
                self.leaves(now_us, peer, message)
            case GetReceipt(transaction_id):
                self.receipt(now_us, peer, transaction_id)

    def _block_of(self, now_us: int, peer: bytes, view: int, digest: bytes) -> None:
        """Give the one block that a peer lacks; it may be our own proposal, whose record is not durable yet."""
        held, after = self._proposed(digest)
        held = held or self.recent(view, digest)
        if held is not None:
            block_bytes = encode(held)
            self._outbox.send(peer, ProposalMessage(block_bytes), after=after)
            self._manners.answered(now_us, peer, "history", len(block_bytes))

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a follower."""
        self.gone(event.peer)

    def info(self, now_us: int) -> dict[str, Any]:
        """Return how far the chain is final here."""
        return {"finalized_height": self.tip}

    def gone(self, peer: bytes) -> None:
        """Forget a follower."""
        self._followers.pop(peer, None)

    def tick(self, now_us: int) -> None:
        """Send each follower its next pieces."""
        behind = False
        for peer, start in list(self._followers.items()):
            if start < self._head.floor:
                self.gone(peer)
                self._outbox.send(peer, NOT_KEPT)
                continue
            following = start
            for _ in range(PUMP_CHUNKS):
                if following <= self.tip and not self._manners.can_afford(now_us, peer, "history"):
                    behind = True  # its turn comes
                    break
                piece = self._piece(following)
                if piece is None:
                    break
                message, following = piece
                self._outbox.send(peer, message, after=self._head.written)
                self._manners.answered(now_us, peer, "history", len(message.blocks))
                if self._checkpoint and self._certified is not None and following > self._certified.header.height:
                    self._outbox.send(peer, CheckpointMessage(self._checkpoint), after=self._head.written)
            self._followers[peer] = following
            behind = behind or (following <= self.tip and following != start)
        self._pump_at_us = now_us + PUMP_US if behind else None

    def blocks(self, now_us: int, peer: bytes, from_height: int) -> None:
        """Answer a peer that asks for finalized blocks from a height on; say nothing if there are none."""
        if 0 < from_height < self._head.floor:
            self._outbox.send(peer, NOT_KEPT)
            return
        piece = self._piece(from_height)
        if piece is not None:
            self._outbox.send(peer, piece[0], after=self._head.written)
            self._manners.answered(now_us, peer, "history", len(piece[0].blocks))

    def _piece(self, from_height: int) -> tuple[BlocksMessage, int] | None:
        """Return `chunk` encoded; what does not reach the tip stays as it is, the rest until the tip moves."""
        held = self._pieces.get(from_height)
        if held is not None and (held[2] <= held[0] or held[0] == self.tip):
            self._pieces.move_to_end(from_height)
            return held[1], held[2]
        chunk = self.chunk(from_height)
        if chunk is None:
            return None
        data = encode(chunk[0])
        if len(data) > PIECE_BYTES_MAX or len(getattr(chunk[0], "headers", ())) > HEADERS_MAX:
            return None  # a huge block below a long run of headers: a snapshot leads past it
        piece = BlocksMessage(data)
        self._pieces[from_height] = (self.tip, piece, chunk[1])
        self._pieces.move_to_end(from_height)
        if len(self._pieces) > PIECES_MAX:
            self._pieces.popitem(last=False)
        return piece, chunk[1]

    def seal(self, height: int) -> FinalizedBlocks | Certificate | None:
        """Return what made the block at this height final if it has no finalization of its own, as far as is known.

        Of a sealing block these are its descendants with the finalization of the last. Of the last block of a piece of
        a long run it is the finalization alone, which is of use at a restart, but proves nothing to others.
        """
        if self._seal is not None and self._seal[0] == height:
            return self._seal[1]
        row = SEALS.get(self._reader, height)
        if row is None:
            return None
        if row.proof.startswith(_CERTIFICATE_HEAD):
            return decode(Certificate, row.proof)
        return decode(FinalizedBlocks, row.proof, bytes_max=SEAL_BYTES_MAX)

    def chunk(self, from_height: int) -> tuple[FinalizedBlocks | FinalizedPrefix, int] | None:
        """Return blocks of one epoch from a height on, up to the last finalization that fits, and the height to go on.

        A sealing block without a finalization of its own is followed by the descendants that prove it. Where more
        blocks than fit became final through one later finalization, headers lead to it from the last that does fit.
        """
        if not 0 < from_height <= self.tip:
            return None
        blocks: list[Block] = []
        size = 0
        end: tuple[int, Certificate, int] | None = None  # blocks, their finalization, height to go on
        height = from_height
        while height <= self.tip:
            found = self._block(height)
            if found is None or (blocks and found[0].header.epoch != blocks[0].header.epoch):
                break
            block, finalization = found
            size += len(encode(block))
            if blocks and (len(blocks) >= CHUNK_BLOCKS_MAX or size > CHUNK_BYTES_MAX):
                if end is None:
                    return self._cut(blocks, height)
                break
            blocks.append(block)
            if finalization is not None:
                end = (len(blocks), finalization, height + 1)
            elif block.header.progress.closers and isinstance(proof := self.seal(height), FinalizedBlocks):
                if size + sum(len(encode(item)) for item in proof.blocks) > PROVED_BYTES_MAX:
                    headers = tuple(item.header for item in proof.blocks)
                    return FinalizedPrefix(1, tuple(blocks), headers, proof.finalization), height + 1
                blocks.extend(proof.blocks)
                end = (len(blocks), proof.finalization, height + 1)
                break
            height += 1
        if end is None:
            return None
        return FinalizedBlocks(1, tuple(blocks[: end[0]]), end[1]), end[2]

    def _cut(self, blocks: list[Block], height: int) -> tuple[FinalizedPrefix, int] | None:
        """Return blocks with the headers from `height` on that lead to the finalization of their run."""
        run = self._run
        if run is None or not run[0] <= height < run[0] + len(run[1]):
            run = self._run = self._run_from(height)
        if run is None:
            return None
        first, headers, finalization = run
        return FinalizedPrefix(1, tuple(blocks), headers[height - first :], finalization), height

    def _run_from(self, height: int) -> _Run | None:
        """Return the headers from a height on up to one that is finalized, and its finalization."""
        headers: list[BlockHeader] = []
        for at in range(height, min(self.tip, height + HEADERS_MAX - 1) + 1):
            found = self._block(at)
            if found is None or (headers and found[0].header.epoch != headers[0].epoch):
                return None
            headers.append(found[0].header)
            if found[1] is not None:
                return height, tuple(headers), found[1]
            if headers[-1].progress.closers and isinstance(proof := self.seal(at), FinalizedBlocks):
                headers.extend(block.header for block in proof.blocks)
                return (height, tuple(headers), proof.finalization) if len(headers) <= HEADERS_MAX else None
        return None

    def _block(self, height: int) -> tuple[Block, Certificate | None] | None:
        found = self._recent.get(height)
        if found is not None:
            return found
        row = BLOCKS.get(self._reader, height)
        if row is None:
            return None
        finalization = None if row.finalization is None else decode(Certificate, row.finalization)
        return decode(Block, row.block, bytes_max=8 << 20), finalization

    def recent(self, view: int, digest: bytes) -> Block | None:
        """Return one of the last finalized blocks by view and hash, for a peer that lacks just this one."""
        for block, _ in reversed(self._recent.values()):
            if block.header.view == view and block.hash == digest:
                return block
        return None

    def batches(self, now_us: int, peer: bytes, message: GetBatches) -> None:
        """Send the bodies that are asked for and here, until they are too many bytes; the rest is asked for again."""
        left = BODIES_BYTES_MAX
        for digest in dict.fromkeys(message.digests):
            raw = self._body(digest)
            if raw is None:
                continue
            if left < len(raw) and left < BODIES_BYTES_MAX:
                return
            left -= len(raw)
            self._outbox.send(peer, BatchMessage(raw))
            self._manners.answered(now_us, peer, "history", len(raw))

    def _body(self, digest: bytes) -> bytes | None:
        body = self._pool.bodies.get(digest)
        if body is not None:
            return encode(body.batch)
        row = BATCHES.get(self._reader, digest)
        return None if row is None else row.batch

    def leaves(self, now_us: int, peer: bytes, message: GetLeaves) -> None:
        """Answer with proofs under the newest certified checkpoint, of as many leaves as the peer may have.

        Raises:
            RemoteProtocolError: one of them is no leaf of the state; none is answered then.
        """
        leaf_ids = tuple(dict.fromkeys(message.leaves))
        for leaf_id in leaf_ids:
            parse_leaf_id(leaf_id)
        if self._certified is None:
            return
        granted = self._manners.take(now_us, peer, "accounts", len(leaf_ids), each=ACCOUNT)
        proofs = self._ledger.prove_leaves(self._certified.header.height, leaf_ids[:granted]) if granted else None
        if proofs is not None:
            self._outbox.send(peer, LeafProofs(self._checkpoint, tuple(proofs)), after=self._head.written)

    def receipt(self, now_us: int, peer: bytes, transaction_id: bytes) -> None:
        """Answer with the receipt of a transaction and its proof, or with nothing known; nor beyond its share."""
        if not self._manners.take(now_us, peer, "receipts", 1, each=RECEIPT):
            return
        proof = None if self._certified is None else self._ledger.prove_receipt(transaction_id, self._certified)
        self._outbox.send(peer, ReceiptAnswer(transaction_id, proof or b""), after=self._head.written)
