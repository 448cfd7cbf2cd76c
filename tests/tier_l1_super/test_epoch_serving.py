"""History that is served across the ends of epochs.

The parts are the real ones on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import msgspec
import pytest
from epoch_scene import Bench, ground_of, sealed_by_descendants, seat_of
from epoch_tools import EpochChain

from supervm.common.contract.core import Outbox
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.finalized import (
    HEADERS_MAX,
    FinalizedBlocks,
    FinalizedPrefix,
    check_finalized_chain,
    committed_part,
    decode_finalized,
)
from supervm.protocol.chain.header import BlockHeader, CheckpointRef
from supervm.protocol.chain.progress import NO_PROGRESS
from supervm.protocol.chain.votes import Certificate, VoteKind
from supervm.protocol.wire.chain import BlocksMessage, GetBlocks
from supervm.tier_l1_super.batches.pool import Pool
from supervm.tier_l1_super.chain import serving
from supervm.tier_l1_super.chain.serving import Serving
from supervm.tier_l1_super.tables import BLOCKS, SEALS, TABLES, BlockRow, SealRow

replace = msgspec.structs.replace


class Served:
    """A `Serving` with a store of its own."""

    def __init__(self, chain: EpochChain, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(TABLES)
        self.outbox = Outbox()
        ledger = Ledger(chain.chain, MemoryStore(LEDGER_TABLES))
        seat = seat_of(chain, epoch=0)
        ground = ground_of(chain, seat, ledger, self.store, self.outbox)
        self.head = ground.head
        self.part = Serving(ground, Pool(ledger.state, seat), lambda digest: (None, 0))

    def committed(
        self, blocks: tuple[Block, ...], finalization: Certificate, now_us: int, tail: tuple[Block, ...] = ()
    ) -> None:
        """Make blocks final, as `Consensus` does."""
        self.head.finalized(blocks[-1].header.height, 0)
        self.part.committed(blocks, finalization, now_us, tail)

    def chunks(self, start: int = 1) -> list[FinalizedBlocks]:
        found = []
        while (chunk := self.part.chunk(start)) is not None:
            assert chunk[1] > start
            found.append(chunk[0])
            start = chunk[1]
        return found


def follow(chain: EpochChain, chunks: list[FinalizedBlocks]) -> list[int]:
    """Check chunks as a follower does that begins at genesis; return the heights that count."""
    head, heights = chain.chain.genesis_header, []
    for chunk in chunks:
        rules = chain.rules_of[chunk.blocks[0].header.epoch]
        check_finalized_chain(chunk, head, rules)
        counted = chunk.blocks[: committed_part(chunk.blocks, rules)]
        head = counted[-1].header
        heights += [block.header.height for block in counted]
    return heights


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "after a restart"])
@pytest.mark.parametrize("with_tail", [False, True], ids=["own finalization", "through descendants"])
def test_history_is_served_across_epochs(stored: bool, with_tail: bool) -> None:
    """Each piece is of one epoch and proves itself, the sealing block through its descendants if need be."""
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain)
    chain.add()
    chain.add()
    served = Served(chain)
    own = chain.certificate(VoteKind.FINALIZE, blocks[-1].header.view, blocks[-1].hash, rules=chain.rules_of[0])
    newer = chain.finalized(chain.blocks[3:])
    if stored:
        rows = [
            (blocks[0], None),
            (blocks[1], None),
            (blocks[2], None if with_tail else own),
            (chain.blocks[3], None),
            (chain.blocks[4], newer.finalization),
        ]
        for block, finalization in rows:
            raw = None if finalization is None else encode(finalization)
            served.store.commit([BLOCKS.put(BlockRow(block.header.height, encode(block), raw))])
        if with_tail:
            served.store.commit([SEALS.put(SealRow(3, encode(proof)))])
        served.head.found(5)
    elif with_tail:
        served.committed(tuple(blocks), proof.finalization, 0, proof.blocks)
        served.committed(tuple(chain.blocks[3:]), newer.finalization, 0)
    else:
        served.committed(tuple(blocks), own, 0)
        served.committed(tuple(chain.blocks[3:]), newer.finalization, 0)
    chunks = served.chunks()
    assert follow(chain, chunks) == [1, 2, 3, 4, 5]
    assert [len(chunk.blocks) for chunk in chunks] == [5 if with_tail else 3, 2]
    assert follow(chain, [decode(FinalizedBlocks, encode(chunk)) for chunk in chunks]) == [1, 2, 3, 4, 5]
    (last,) = served.chunks(4)
    assert [block.header.height for block in last.blocks] == [4, 5]
    assert served.part.chunk(6) is None
    assert served.part.chunk(0) is None


def test_a_piece_that_begins_at_the_sealing_block_brings_its_proof() -> None:
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain, tail=4)
    served = Served(chain)
    served.committed(tuple(blocks), proof.finalization, 0, proof.blocks)
    found = served.part.chunk(3)
    assert found is not None
    assert ([block.header.height for block in found[0].blocks], found[1]) == ([3, 4, 5, 6, 7], 4)
    check_finalized_chain(found[0], blocks[1].header, chain.rules_of[0])
    assert served.part.chunk(4) is None


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "after a restart"])
def test_a_run_that_one_late_finalization_made_final_is_served_in_pieces(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece proves itself, by headers that lead to the finalization; nothing is read twice for it."""
    monkeypatch.setattr(serving, "CHUNK_BLOCKS_MAX", 7)
    chain = EpochChain(4)
    for _ in range(40):
        chain.add()
    served = Served(chain)
    whole = chain.finalized(chain.blocks)
    if stored:
        for block in chain.blocks:
            raw = encode(whole.finalization) if block is chain.blocks[-1] else None
            served.store.commit([BLOCKS.put(BlockRow(block.header.height, encode(block), raw))])
        served.head.found(40)
    else:
        served.committed(tuple(chain.blocks), whole.finalization, 0)
    chunks = served.chunks()
    assert [len(chunk.blocks) for chunk in chunks] == [7, 7, 7, 7, 7, 5]
    assert [type(chunk) for chunk in chunks] == [FinalizedPrefix] * 5 + [FinalizedBlocks]
    assert follow(chain, [decode_finalized(encode(chunk)) for chunk in chunks]) == list(range(1, 41))
    head = chain.blocks[6].header
    for headers in (chunks[1].headers[1:], chunks[1].headers[:-1], chunks[1].headers[::-1], chunks[2].headers):
        with pytest.raises(RemoteProtocolError) as caught:
            check_finalized_chain(replace(chunks[1], headers=headers), head, chain.rules_of[0])
        assert caught.value.code == "bad-chain"
    # a node takes the pieces one by one, also over restarts in between, and asks for the next
    store = MemoryStore(TABLES)
    node = Bench(chain, 1, store)
    for place, chunk in enumerate(chunks):
        node.linked(0, 2, 3)
        node.get(0, BlocksMessage(encode(chunk)))
        assert node.core.serving.tip == chunk.blocks[-1].header.height
        assert node.core.ledger.height == node.core.serving.tip
        assert node.core.simplex.final.view == 40
        if place < 5:
            assert GetBlocks(node.core.serving.tip + 1) in [message for _, message in node.sent]
        if place % 2:
            store.reopen()
            node = Bench(chain, 1, store, now_us=node.now_us)
    assert (node.hung_up, node.halted) == ({}, "")


def test_a_piece_that_is_longer_than_a_message_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked would have to hang up on it; without an answer it takes a snapshot when there is one."""
    chain = EpochChain(4)
    for _ in range(3):
        chain.add()
    served = Served(chain)
    served.committed(tuple(chain.blocks), chain.finalized(chain.blocks).finalization, 0)
    piece = served.part._piece(1)
    assert piece is not None
    for size, fits in ((len(piece[0].blocks), True), (len(piece[0].blocks) - 1, False)):
        monkeypatch.setattr(serving, "PIECE_BYTES_MAX", size)
        served.part._pieces.clear()
        assert (served.part._piece(1) == piece) == fits


def test_the_longest_run_that_can_be_served_fits_into_a_message() -> None:
    mask = b"\xff" * 32
    header = BlockHeader(
        1,
        mask,
        1 << 20,
        1 << 31,
        1 << 31,
        mask,
        1 << 31,
        255,
        1 << 42,
        mask,
        mask,
        CheckpointRef(1, 1 << 31, mask),
        replace(NO_PROGRESS, next_validators_hash=mask, closers=mask, ready=mask, accused=mask[:4]),
    )
    block = EpochChain(4).add()
    finalization = Certificate(1, VoteKind.FINALIZE, 1, 1, mask, tuple((index, bytes(64)) for index in range(255)))
    piece = FinalizedPrefix(1, (block,), (header,) * HEADERS_MAX, finalization)
    assert len(encode(piece)) + serving.CHUNK_BYTES_MAX <= 4 << 20
