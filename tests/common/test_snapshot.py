"""Snapshots between two ends: whatever peers do and whenever the power fails, only the certified state arrives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from snapshot_tools import EVERY, START_US, TABLES, Answer, Offering, Taking, known_changes, many_accounts

from supervm.common.contract.core import Persist, Send
from supervm.common.parts.ledger import Ledger, SupplyMismatch
from supervm.common.parts.ledger_tables import HEADERS, LEAVES, SNAPSHOT, LeafRow
from supervm.common.parts.snapshot import offering, taking
from supervm.common.parts.snapshot.taking import ANSWER_US, SEEK_AGAIN_US, SnapshotTaker
from supervm.common.parts.validator_changes import ChangeStore
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light.client import ValidatorChange
from supervm.protocol.light.snapshot import decode_snapshot_start
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import NATIVE, account_leaf_id
from supervm.protocol.state.trie_range import FIRST_KEY, decode_trie_range
from supervm.protocol.wire.chain import GetSnapshot, SnapshotChunk
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

replace = msgspec.structs.replace
HEIGHTS = 26
CHAIN, STEPS = many_accounts(HEIGHTS)
FAR = 100


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "CHUNK_BYTES_MAX", 36 << 10)
    monkeypatch.setattr(taking, "SNAPSHOT_LAG", 10)


@pytest.fixture
def source() -> Offering:
    return Offering(CHAIN, STEPS)


def peer_of(source: Offering) -> Answer:
    return lambda request: source.answer(0, request)


def same_state(ledger: Ledger, source: Offering, height: int) -> None:
    view = source.ledger.view(height)
    assert view is not None
    assert ledger.header == source.checkpoints[height].header
    assert dict(ledger.state.leaves()) == dict(view.items())


# --- the good case --------------------------------------------------------------------------------------------------


def test_a_snapshot_is_taken_and_blocks_follow_from_there(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.behind(START_US, FAR, b"a")
    assert node.run()
    assert len(node.asked) > 3
    assert (node.ledger.height, node.taker.is_taking) == (0, True)
    node.adopt()
    assert (node.ledger.height, node.ledger.base_height, node.taker.is_taking) == (24, 24, False)
    same_state(node.ledger, source, 24)
    for step in STEPS[24:]:
        applied = node.ledger.apply(step[0], step[1])
        node.store.commit(applied.records)
        assert applied.header == source.checkpoints[applied.header.height].header
    again = Ledger(CHAIN.chain, node.store)
    assert (again.header, again.state, again.base_height) == (source.ledger.header, source.ledger.state, 24)
    now_and_then = zip(source.ledger.fees[NATIVE], fees_at(24), strict=True)
    assert again.fees[NATIVE] == tuple(now - then for now, then in now_and_then)


def fees_at(height: int) -> tuple[int, int, int, int]:
    return Offering(CHAIN, STEPS[:height]).ledger.fees[NATIVE]


def test_receipts_are_proved_from_the_snapshot_on_and_are_not_here_below(source: Offering) -> None:
    store = MemoryStore(TABLES)
    ledger = Ledger(CHAIN.chain, store)
    for step in STEPS[:3]:  # history of its own, which ends before the snapshot
        store.commit(ledger.apply(step[0], step[1]).records)
    node = Taking(CHAIN, {b"a": peer_of(source)}, store=store)
    node.taker.behind(START_US, FAR, b"a")
    assert node.run()
    node.adopt()
    for step in STEPS[24:]:
        store.commit(node.ledger.apply(step[0], step[1]).records)
    newest = source.checkpoints[HEIGHTS]
    for ledger in (node.ledger, Ledger(CHAIN.chain, store)):
        for height, (_, _, transactions) in enumerate(STEPS, start=1):
            proof = ledger.prove_receipt(transactions[0].id, newest)
            assert (proof is None) == (height <= 24)
            if proof is not None:
                assert proof == source.ledger.prove_receipt(transactions[0].id, newest)


def test_a_second_snapshot_takes_the_place_of_the_first() -> None:
    node = Taking(CHAIN, {b"a": peer_of(Offering(CHAIN, STEPS[:17]))})
    node.taker.behind(START_US, FAR)
    assert node.run()
    node.adopt()
    assert node.ledger.base_height == 16
    more_chain, more_steps = many_accounts(40)
    assert more_chain.chain_id == CHAIN.chain_id
    node.peers = {b"a": peer_of(Offering(more_chain, more_steps))}
    node.taker.behind(START_US, FAR)
    assert node.run()
    node.adopt()
    assert node.ledger.base_height == 40
    assert {row.since for row in LEAVES.rows(node.store)} == {40}
    assert [row.name for row in SNAPSHOT.rows(node.store)] == ["base"]


def test_on_a_real_database_it_is_the_same(source: Offering, tmp_path: Path) -> None:
    with closing(SqlStore(tmp_path / "node.db", TABLES)) as store:
        ledger = Ledger(CHAIN.chain, store)
        for step in STEPS[:5]:
            store.commit(ledger.apply(step[0], step[1]).records)
        taker = SnapshotTaker(CHAIN.chain, source.outbox, store, ChangeStore(store, source.outbox), lambda: [b"a"], 5)
        taker.behind(START_US, FAR, b"a")
        while taker.finished is None:
            effects = source.outbox.drain()
            store.commit([record for effect in effects if isinstance(effect, Persist) for record in effect.records])
            [request] = [effect.message for effect in effects if isinstance(effect, Send)]
            if isinstance(request, GetValidatorChanges):
                taker.followed(START_US, b"a", source.changes.answer(request.after_height))
            else:
                assert isinstance(request, GetSnapshot)
                taker.chunk(START_US, b"a", source.answer(0, request))
        store.commit(
            [record for effect in source.outbox.drain() if isinstance(effect, Persist) for record in effect.records]
        )
        store.commit(taker.records())
        ledger.reload()
        same_state(ledger, source, 24)
        assert LEAVES.count(store) == len(dict(ledger.state.leaves()))
        assert HEADERS.count(store) == 0


# --- bad peers ------------------------------------------------------------------------------------------------------


def changed_leaf(chunk: SnapshotChunk) -> SnapshotChunk:
    run = decode_trie_range(chunk.leaves)
    address, _ = run.leaves[1]
    rich = encode_account(Account(10**15, 0, bytes(32), 0))
    return replace(chunk, leaves=encode(replace(run, leaves=(run.leaves[0], (address, rich), *run.leaves[2:]))))


def missing_leaf(chunk: SnapshotChunk) -> SnapshotChunk:
    run = decode_trie_range(chunk.leaves)
    return replace(chunk, leaves=encode(replace(run, leaves=run.leaves[:3] + run.leaves[4:])))


def false_end(chunk: SnapshotChunk) -> SnapshotChunk:
    run = decode_trie_range(chunk.leaves)
    return replace(chunk, leaves=encode(replace(run, right_masks=bytes(len(run.right_masks)), right_siblings=b"")))


def other_height(chunk: SnapshotChunk) -> SnapshotChunk:
    return replace(chunk, height=chunk.height + EVERY)


def garbage(chunk: SnapshotChunk) -> SnapshotChunk:
    return replace(chunk, leaves=b"\xff" * 40)


def no_quorum(chunk: SnapshotChunk) -> SnapshotChunk:
    start = decode_snapshot_start(chunk.start)
    return replace(
        chunk,
        start=encode(replace(start, checkpoint=replace(start.checkpoint, signatures=start.checkpoint.signatures[:1]))),
    )


def garbage_start(chunk: SnapshotChunk) -> SnapshotChunk:
    return replace(chunk, start=b"\x80")


def no_start(chunk: SnapshotChunk) -> SnapshotChunk:
    return replace(chunk, start=b"")


def other_validators(chunk: SnapshotChunk) -> SnapshotChunk:
    """A start whose epoch belongs to the peer's own validators."""
    start = decode_snapshot_start(chunk.start)
    own = replace(start.epoch.validators, members=start.epoch.validators.members[:1])
    return replace(chunk, start=encode(replace(start, epoch=replace(start.epoch, validators=own))))


def other_root(chunk: SnapshotChunk) -> SnapshotChunk:
    """A start whose epoch begins elsewhere, so that its leaders are others."""
    start = decode_snapshot_start(chunk.start)
    root = replace(start.epoch.root, ts_ms=start.epoch.root.ts_ms + 1)
    return replace(chunk, start=encode(replace(start, epoch=replace(start.epoch, root=root))))


@pytest.mark.parametrize("spoil", [changed_leaf, missing_leaf, false_end, other_height, garbage])
@pytest.mark.parametrize("place", [0, 2])
def test_a_bad_chunk_is_its_sender_s_fault_and_is_asked_elsewhere(
    source: Offering, spoil: Callable[[SnapshotChunk], SnapshotChunk], place: int
) -> None:
    served = 0

    def bad(request: GetSnapshot) -> SnapshotChunk:
        nonlocal served
        served += 1
        chunk = source.answer(0, request)
        return spoil(chunk) if served == place + 1 else chunk

    node = Taking(CHAIN, {b"bad": bad, b"good": peer_of(source)})
    node.taker.behind(START_US, FAR, b"bad")
    assert node.run()
    assert [peer for peer, _ in node.errors] == [b"bad"]
    assert node.errors[0][1].penalty == 100
    asked = [peer for peer, _ in node.asked]
    assert asked[: place + 2] == [b"bad"] * (place + 1) + [b"good"]
    node.adopt()
    same_state(node.ledger, source, 24)


@pytest.mark.parametrize("spoil", [no_quorum, garbage_start, no_start, other_validators, other_root])
def test_a_start_that_is_not_certified_begins_nothing(
    source: Offering, spoil: Callable[[SnapshotChunk], SnapshotChunk]
) -> None:
    node = Taking(CHAIN, {b"bad": lambda request: spoil(source.answer(0, request))})
    node.taker.behind(START_US, FAR)
    assert not node.run()
    assert [peer for peer, _ in node.errors] == [b"bad"]
    assert not node.taker.is_taking
    assert [table.count(node.store) for table in (LEAVES, SNAPSHOT)] == [0, 0]


@pytest.mark.parametrize("rest", [None, SnapshotChunk(24, FIRST_KEY, b"", b"")], ids=["silent", "not here"])
def test_a_peer_that_stops_answering_is_passed_over(source: Offering, rest: SnapshotChunk | None) -> None:
    """Silence costs `ANSWER_US`; a peer that says it has nothing costs nothing."""
    served = 0

    def tired(request: GetSnapshot) -> SnapshotChunk | None:
        nonlocal served
        served += 1
        if served <= 2:
            return source.answer(0, request)
        return None if rest is None else replace(rest, first_key=request.first_key)

    node = Taking(CHAIN, {b"tired": tired, b"good": peer_of(source)})
    node.taker.behind(START_US, FAR, b"tired")
    assert node.run()
    assert node.now_us - START_US == (ANSWER_US if rest is None else 0)
    assert node.errors == []
    node.adopt()
    same_state(node.ledger, source, 24)


def test_a_peer_that_goes_away_is_followed_by_another_at_once(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": lambda _: None, b"b": peer_of(source)})
    node.taker.behind(START_US, FAR, b"a")
    node.effects()
    del node.peers[b"a"]
    node.taker.gone(START_US, b"a")
    assert node.run()
    assert node.now_us == START_US
    assert [peer for peer, _ in node.asked][:2] == [b"a", b"b"]


def test_answers_that_nobody_asked_for_or_that_come_late_change_nothing(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source), b"b": peer_of(source)})
    first = source.answer(0, GetSnapshot(0, FIRST_KEY, 0))
    node.taker.chunk(START_US, b"a", first)
    assert node.effects() == []
    node.taker.behind(START_US, FAR, b"a")
    node.effects()
    assert not node.taker.chunk(START_US, b"b", first)
    assert not node.taker.is_taking
    assert node.taker.chunk(START_US, b"a", first)
    assert not node.taker.chunk(START_US, b"a", first), "whoever says it twice is not refunded"
    assert node.taker.is_taking
    assert len(node.effects()) == 1


def test_who_asks_for_a_chunk_pays_for_its_bytes(source: Offering) -> None:
    """Else a stranger has each validator prove and send ten pieces of up to a MiB a second."""
    before = len(source.answered)
    chunk = source.answer(0, GetSnapshot(0, FIRST_KEY, 0))
    assert [(peer, size) for _, peer, size in source.answered[before:]] == [
        (b"taker", len(chunk.start) + len(chunk.leaves))
    ]


def test_an_answer_that_comes_late_is_taken_and_its_sender_asked_on(source: Offering) -> None:
    """On slow links everybody is passed over: what comes in the end is as good as if it had come in time."""
    node = Taking(CHAIN, {b"a": peer_of(source), b"b": peer_of(source)})
    node.taker.behind(START_US, FAR, b"a")
    node.run(1)
    [(_, second)] = node.effects()
    node.taker.tick(START_US + ANSWER_US)
    assert node.effects() == [(b"b", second)]
    node.taker.chunk(START_US + ANSWER_US, b"a", source.answer(0, second))
    [(peer, third)] = node.effects()
    assert peer == b"a"
    assert third.first_key > second.first_key
    node.taker.chunk(START_US + ANSWER_US, b"b", source.answer(0, second))
    assert node.effects() == []
    node.taker.tick(START_US + 2 * ANSWER_US)
    with pytest.raises(RemoteProtocolError):
        node.taker.chunk(START_US + 2 * ANSWER_US, b"a", garbage(source.answer(0, third)))
    assert node.effects() == [(b"b", third)]
    node.taker.chunk(START_US + 2 * ANSWER_US, b"b", source.answer(0, third))
    assert node.run()
    node.adopt()
    same_state(node.ledger, source, 24)


def test_a_node_that_is_not_far_behind_takes_none(source: Offering) -> None:
    """Neither the claim nor the offer may be too near; the claim of a liar leads to nothing but a pause."""
    near = Offering(CHAIN, STEPS[:10])
    node = Taking(CHAIN, {b"a": peer_of(near), b"b": lambda request: near.answer(0, replace(request, above=0))})
    node.taker.behind(START_US, 10, b"a")
    assert node.effects() == []
    node.taker.behind(START_US, FAR, b"a")
    assert not node.run()
    assert not node.taker.is_taking
    assert node.errors == []
    node.taker.behind(START_US, FAR, b"a")
    assert node.effects() == []
    node.peers = {b"a": peer_of(source)}
    node.taker.behind(START_US + SEEK_AGAIN_US, FAR, b"a")
    assert node.run()


def test_a_node_that_got_the_blocks_meanwhile_drops_the_snapshot(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.behind(START_US, FAR)
    node.run(3)
    assert node.taker.is_taking
    node.taker.reached(23)
    assert node.taker.is_taking
    node.taker.reached(24)
    node.effects()
    assert not node.taker.is_taking
    assert SNAPSHOT.count(node.store) == 0
    # what was on its way to the disk when the rest was removed goes at the next start
    node.start()
    node.effects()
    assert LEAVES.count(node.store) == 0


def test_a_peer_that_offers_what_it_does_not_serve_is_not_asked_first_for_ever(source: Offering) -> None:
    old = Offering(CHAIN, STEPS[:17])
    node = Taking(
        CHAIN,
        {
            b"a": lambda request: old.answer(0, request) if request.first_key == FIRST_KEY else None,
            b"b": peer_of(source),
        },
    )
    source.offers._offers.pop(16)
    node.taker.behind(START_US, FAR, b"a")
    assert node.run()
    assert node.taker.height == 24
    assert node.now_us - START_US == ANSWER_US
    node.adopt()
    same_state(node.ledger, source, 24)


def test_a_snapshot_that_nobody_has_any_more_gives_way_to_a_newer_one() -> None:
    old = Offering(CHAIN, STEPS[:17])
    node = Taking(CHAIN, {b"a": peer_of(old)})
    node.taker.behind(START_US, FAR)
    node.run(3)
    assert node.taker.height == 16
    assert {row.since for row in LEAVES.rows(node.store)} == {16}
    more_chain, more_steps = many_accounts(40)
    newer = Offering(more_chain, more_steps)
    node.peers = {b"a": peer_of(newer), b"b": peer_of(newer)}
    assert newer.offers.heights == (32, 40)
    assert node.run()
    assert node.taker.height == 40
    node.adopt()
    same_state(node.ledger, newer, 40)
    assert {row.since for row in LEAVES.rows(node.store)} == {40}


def test_with_nobody_connected_it_waits_and_goes_on(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.behind(START_US, FAR)
    node.run(2)
    peers, node.peers = node.peers, {}
    node.taker.gone(START_US, b"a")
    assert not node.run(5)
    assert node.taker.is_taking
    node.peers = peers
    assert node.run()


# --- validators -----------------------------------------------------------------------------------------------------


def changes_after(height: int) -> tuple[bytes, ...]:
    answer = known_changes(b"", GetValidatorChanges(height))
    assert answer is not None
    return answer.changes


def test_changes_of_validators_are_followed_first_and_kept(source: Offering) -> None:
    """One change a time: it is asked until the peer knows no more. The second set has certified the snapshot of 24."""
    node = Taking(
        CHAIN,
        {b"a": peer_of(source)},
        ratchet=lambda _, request: ValidatorChanges(changes_after(request.after_height)[:1]),
    )
    node.taker.behind(START_US, FAR, b"a")
    assert node.run()
    assert node.asked_changes == [(b"a", 0), (b"a", 16), (b"a", 32)]
    node.adopt()
    assert [change.checkpoint.header.height for change in node.changes.all()] == [16, 32]
    assert (node.ledger.epoch, node.ledger.proposed) == (source.ledger.epoch, None)
    assert node.ledger.rules.validators.hash == source.ledger.header.validators_hash
    # they are on disk: after a restart they are not asked for again
    node.start()
    node.asked_changes.clear()
    node.taker.behind(START_US, FAR + 24, b"a")
    node.effects()
    assert node.asked_changes == [(b"a", 32)]


def test_a_peer_that_hides_changes_is_passed_over_and_its_snapshot_not_believed(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)}, ratchet=lambda peer, request: ValidatorChanges(()))
    node.taker.behind(START_US, FAR, b"a")
    assert not node.run()
    assert [(peer, error.code, error.penalty) for peer, error in node.errors] == [(b"a", "unknown-set", 0)]
    assert not node.taker.is_taking
    # another peer that gives them is enough
    node.peers = {b"a": peer_of(source)}
    node.ratchet = known_changes
    node.taker.behind(START_US + SEEK_AGAIN_US, FAR, b"a")
    assert node.run()


def test_a_false_change_of_validators_is_its_sender_s_fault(source: Offering) -> None:
    def ratchet(peer: bytes, request: GetValidatorChanges) -> ValidatorChanges | None:
        if peer == b"good":
            return known_changes(peer, request)
        change = decode(ValidatorChange, changes_after(0)[0])
        mine = replace(change.validators, members=change.validators.members[:1])
        return ValidatorChanges((encode(replace(change, validators=mine)),))

    node = Taking(CHAIN, {b"bad": peer_of(source), b"good": peer_of(source)}, ratchet=ratchet)
    node.taker.behind(START_US, FAR, b"bad")
    assert node.run()
    assert [(peer, error.code) for peer, error in node.errors] == [(b"bad", "bad-change")]
    node.adopt()
    same_state(node.ledger, source, 24)


def test_changes_that_nobody_asked_for_are_not_looked_at(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.followed(START_US, b"a", ValidatorChanges((b"\xff",)))
    node.taker.behind(START_US, FAR, b"a")
    node.taker.followed(START_US, b"b", ValidatorChanges((b"\xff",)))
    assert node.run()
    node.taker.followed(START_US, b"a", ValidatorChanges((b"\xff",)))
    assert node.errors == []


# --- crashes --------------------------------------------------------------------------------------------------------


def test_a_crash_after_any_write_goes_on_from_what_is_on_disk(source: Offering) -> None:
    """No leaf that is stored is asked for again, and what arrives is the state, wherever the power failed."""
    whole = Taking(CHAIN, {b"a": peer_of(source)})
    whole.taker.behind(START_US, FAR)
    assert whole.run()
    positions = [request.first_key for _, request in whole.asked]
    for written in range(1, len(positions) + 1):
        node = Taking(CHAIN, {b"a": peer_of(source)})
        node.taker.behind(START_US, FAR)
        node.run(written)
        node.effects() if written < len(positions) else node.run()
        node.durable = False
        node.run(1)  # one more chunk, whose write is lost
        node.store.crash()
        node.durable = True
        node.asked.clear()
        node.start()
        assert node.taker.is_taking
        assert node.run()
        assert [request.first_key for _, request in node.asked] == positions[written:]
        assert all(request.height == 24 for _, request in node.asked)
        node.adopt()
        same_state(node.ledger, source, 24)


@pytest.mark.parametrize("flushed", [False, True])
def test_a_crash_at_the_swap_leaves_the_old_state_or_the_new_one(source: Offering, *, flushed: bool) -> None:
    store = MemoryStore(TABLES)
    ledger = Ledger(CHAIN.chain, store)
    for step in STEPS[:5]:
        store.commit(ledger.apply(step[0], step[1]).records)
    node = Taking(CHAIN, {b"a": peer_of(source)}, store=store)
    node.taker.behind(START_US, FAR)
    assert node.run()
    store.stage(node.taker.records())
    if flushed:
        store.flush()
    store.crash()
    node.start()
    same_state(node.ledger, source, 24 if flushed else 5)
    assert (node.taker.finished is None) == flushed
    if not flushed:
        node.adopt()
        same_state(node.ledger, source, 24)


def test_a_snapshot_on_disk_that_the_state_has_passed_is_removed_at_start(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.behind(START_US, FAR)
    node.run(3)
    for step in STEPS:
        node.store.commit(node.ledger.apply(step[0], step[1]).records)
    node.start()
    assert not node.taker.is_taking
    node.effects()
    assert {row.since for row in LEAVES.rows(node.store)} == {0}
    assert SNAPSHOT.count(node.store) == 0


def test_leaves_that_rotted_on_disk_stop_the_node(source: Offering) -> None:
    node = Taking(CHAIN, {b"a": peer_of(source)})
    node.taker.behind(START_US, FAR)
    assert node.run()
    node.store.commit(
        [LEAVES.put(LeafRow(24, account_leaf_id(CHAIN.account("alice")), encode_account(Account(1, 0, bytes(32), 0))))]
    )
    with pytest.raises(SupplyMismatch):
        node.adopt()


# --- the offering side ----------------------------------------------------------------------------------------------


def test_the_newest_two_heights_are_offered_once_they_are_certified(source: Offering) -> None:
    assert source.offers.heights == (16, 24)
    assert source.answer(0, GetSnapshot(0, FIRST_KEY, 0)).height == 24
    assert source.answer(0, GetSnapshot(16, FIRST_KEY, 0)).height == 16
    assert not source.answer(0, GetSnapshot(0, FIRST_KEY, 24)).leaves
    assert source.answer(0, GetSnapshot(0, FIRST_KEY, 23)).leaves
    for height in (8, 17, 32):
        assert source.answer(0, GetSnapshot(height, FIRST_KEY, 0)) == SnapshotChunk(height, FIRST_KEY, b"", b"")
    fresh = Offering(CHAIN, [])
    assert fresh.answer(0, GetSnapshot(0, FIRST_KEY, 0)) == SnapshotChunk(0, FIRST_KEY, b"", b"")


def test_a_snapshot_without_certificate_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Offering(CHAIN, STEPS[:7])
    monkeypatch.setattr(source.offers, "certified", lambda checkpoint: None)
    source.apply(STEPS[7])
    assert source.offers.heights == ()
    assert not source.answer(0, GetSnapshot(0, FIRST_KEY, 0)).leaves


def test_chunks_leave_one_at_a_time_to_one_peer_after_the_other(source: Offering) -> None:
    """A peer that asks a hundred times gets what one gets that asks once."""
    for number in range(100):
        source.offers.ask(0, b"greedy", GetSnapshot(24, number.to_bytes(32, "big"), 0))
    source.offers.ask(0, b"modest", GetSnapshot(24, FIRST_KEY, 0))
    source.offers.ask(0, b"away", GetSnapshot(24, FIRST_KEY, 0))
    source.offers.gone(b"away")
    sent = [effect.peer for effect in source.outbox.drain() if isinstance(effect, Send)]
    assert sent == [b"greedy"]
    for now_us, due in (
        (offering.CHUNK_US - 1, []),
        (offering.CHUNK_US, [b"greedy"]),
        (2 * offering.CHUNK_US, [b"modest"]),
    ):
        assert source.offers.deadline_us is not None
        source.offers.tick(now_us)
        assert [effect.peer for effect in source.outbox.drain() if isinstance(effect, Send)] == due
    assert source.offers.deadline_us is None


def test_a_request_that_waits_too_long_is_answered_with_nothing(source: Offering) -> None:
    source.offers.ask(0, b"a", GetSnapshot(16, FIRST_KEY, 0))
    source.offers.ask(0, b"b", GetSnapshot(16, FIRST_KEY, 0))
    _, more_steps = many_accounts(32)
    for step in more_steps[HEIGHTS:]:
        source.apply(step)
    source.outbox.drain()
    source.offers.tick(offering.CHUNK_US)
    [effect] = source.outbox.drain()
    assert isinstance(effect, Send)
    assert effect.message == SnapshotChunk(16, FIRST_KEY, b"", b"")
