"""Rules of `Pool`: what a leader puts into a block, and which bodies stay in memory."""

from __future__ import annotations

from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain

from supervm.protocol.base.codec import encode
from supervm.protocol.base.limits import REFS_MAX
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.batch_certificate import BatchCertificate
from supervm.protocol.chain.body import BODY_BYTES_MAX, BlockBody
from supervm.protocol.state.account import Account
from supervm.tier_l1_super.batches.pool import Pool, parse_body
from supervm.tier_l1_super.consensus.seat import Seat

NOW_MS = GENESIS_TIME_MS + 1_000


def seat_of(chain: TestChain) -> Seat:
    return Seat(chain.validators.node_ids[0], chain.validator_keys[0], chain.rules, amnesia=False)


def new_pool(chain: TestChain) -> tuple[Pool, dict[bytes, Account]]:
    state = chain.chain.first_state()
    return Pool(state, seat_of(chain)), state.accounts


def batches(chain: TestChain, count: int) -> list[Batch]:
    """Batches of one transaction each, which must execute in this order."""
    return [chain.batch([chain.transaction("alice", chain.account("bob"))]) for _ in range(count)]


def put(pool: Pool, chain: TestChain, batch: Batch) -> bytes:
    digest = batch.header.digest
    pool.put(digest, parse_body(batch, chain.chain_id))
    return digest


def digests(refs: tuple[BatchCertificate, ...] | None) -> list[bytes]:
    assert refs is not None
    return [ref.digest for ref in refs]


def test_references_leave_room_for_what_else_the_body_holds() -> None:
    """Evidence and set changes take their part of the body: what is chosen is as much as still fits."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    made = batches(chain, 5)
    for batch in made:
        put(pool, chain, batch)
        pool.add_certificate(chain.batch_certificate(batch), 0)
    each = len(encode(chain.batch_certificate(made[0])))
    for taken_bytes in (0, BODY_BYTES_MAX // 2, BODY_BYTES_MAX - 4 * each, BODY_BYTES_MAX):
        refs = pool.select([], NOW_MS, taken_bytes=taken_bytes)
        assert refs is not None
        assert len(encode(BlockBody(1, refs, ()))) + taken_bytes <= BODY_BYTES_MAX or refs == ()
        assert len(refs) == (5 if taken_bytes <= BODY_BYTES_MAX // 2 else min(len(refs), 3))


def test_predecessors_come_first_whatever_came_first() -> None:
    """Certificates that arrive in reverse order are chosen in the order in which they execute."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    made = batches(chain, 5)
    for batch in reversed(made):
        put(pool, chain, batch)
        assert pool.add_certificate(chain.batch_certificate(batch), 0)
    assert digests(pool.select([], NOW_MS)) == [batch.header.digest for batch in made]


def test_what_cannot_execute_there_is_left_out() -> None:
    """Without its body, after its validity, without certified bits, or already in an ancestor: not in the block."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    first, second = batches(chain, 2)
    certificate = chain.batch_certificate(first)
    pool.add_certificate(certificate, 0)
    pool.add_certificate(chain.batch_certificate(second), 0)
    assert digests(pool.select([], NOW_MS)) == []
    put(pool, chain, second)
    assert digests(pool.select([], NOW_MS)) == []
    assert pool.select([(certificate,)], NOW_MS) is None
    put(pool, chain, first)
    assert len(digests(pool.select([], NOW_MS))) == 2
    assert digests(pool.select([(certificate,)], NOW_MS)) == [second.header.digest]
    assert digests(pool.select([], first.header.bytes + 2**62)) == []
    empty = chain.batch([chain.transaction("bob", chain.account("alice"))])
    put(pool, chain, empty)
    pool.add_certificate(chain.batch_certificate(empty, dict.fromkeys(chain.quorum_signers, 0)), 0)
    assert empty.header.digest not in digests(pool.select([], NOW_MS))


def test_at_most_the_allowed_number_of_references() -> None:
    """A block takes 64, and the next one the rest."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    made = batches(chain, REFS_MAX + 3)
    for batch in made:
        put(pool, chain, batch)
        pool.add_certificate(chain.batch_certificate(batch), 0)
    chosen = pool.select([], NOW_MS)
    assert chosen is not None
    assert len(chosen) == REFS_MAX
    assert len(digests(pool.select([chosen], NOW_MS))) == 3


def test_a_certificate_counts_as_news_only_with_new_bits() -> None:
    """A second certificate of a batch is taken only if it certifies more."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    batch = chain.batch([chain.transaction("alice", chain.account("bob")) for _ in range(2)])
    part = chain.batch_certificate(batch, {0: 1, 1: 1, 2: 3})
    assert pool.add_certificate(part, 0)
    assert not pool.add_certificate(part, 0)
    assert pool.add_certificate(chain.batch_certificate(batch), 0)
    assert pool.held[batch.header.digest].bits == 3


def test_bodies_stay_only_while_something_needs_them() -> None:
    """Needed: a waiting block, a live promise, or a certified transaction that can still execute; memory follows."""
    chain = make_test_chain()
    pool, accounts = new_pool(chain)
    made = batches(chain, 4)
    names = [put(pool, chain, batch) for batch in made]
    miner = chain.miner_keys[0].public
    assert pool.bytes_of(miner) == sum(batch.header.bytes for batch in made)
    pool.add_certificate(chain.batch_certificate(made[2]), 0)
    assert pool.forget_dead(NOW_MS, [names[0]], {names[1]: 1}) == [names[3]]
    transaction = chain.account("alice")
    accounts[transaction] = accounts[transaction]._replace(next_seq=3)
    assert sorted(pool.forget_dead(NOW_MS)) == sorted(names[:3])
    assert (pool.bodies, pool.held, pool.bytes_of(miner)) == ({}, {}, 0)


def test_a_transaction_that_nobody_supports_keeps_no_body() -> None:
    """A stuck transaction, batched again and again until its validity ends, does not fill the memory."""
    chain = make_test_chain()
    pool, _ = new_pool(chain)
    stuck = chain.transaction("alice", chain.account("bob"), seq=9, prev=bytes(32))
    for number in range(50):
        other = chain.transaction("bob", chain.account("alice"), amount=number + 1, seq=0, prev=bytes(32))
        put(pool, chain, chain.batch([other, stuck]))
        pool.forget_dead(NOW_MS + number)
    assert not pool.bodies
