"""The read side: what an edge passes on is verified, fresh by its own header, and asked for once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import astuple

from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.state.account import Account
from supervm.protocol.state.leaves import account_leaf_id, parse_leaf_id
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetLeaves, GetReceipt, LeafProofs, ReceiptAnswer, Subscribe, Unsubscribe
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l3_edge.proofs.questions import TRIES_MAX
from supervm.tier_l3_edge.proofs.source import SUBSCRIBED_MAX
from supervm.tier_l3_edge.proofs.watched import AWAITED_MAX

NOBODY = bytes([66]) * 32
NOBODY_LEAF = account_leaf_id(NOBODY)
PHONE_2 = bytes([2]) * 32


def asked(driver: Any, miner: bytes, kind: type[Any]) -> list[bytes]:
    return [key for message in driver.take(kind, miner) for key in astuple(message)[0]]


def proved(world: Any, message: LeafProofs, now_us: int) -> dict[bytes, tuple[int, bool]]:
    """Check a message about accounts as a phone does."""
    client = LightClient(anchor_of(world.chain), verify)
    header = client.accept_checkpoint(message.checkpoint, now_us // 1000)
    answers = {}
    for leaf_id, proof in message.proofs:
        account = parse_leaf_id(leaf_id).account
        answers[account] = client.prove_account(header, account, proof)
    return {account: (answer.account.balance, answer.exists) for account, answer in answers.items()}


def test_the_union_of_subscriptions_is_held_at_one_miner_and_ends_with_the_last(world: Any, make: Any) -> None:
    driver, account = make(miners=1), world.senders[0].public
    miner = world.miners[0]
    driver.up(PHONE_2, 4)
    driver.receive(world.phone, Subscribe((account, NOBODY)))
    driver.receive(PHONE_2, Subscribe((account,)))
    assert asked(driver, miner, Subscribe) == [account, NOBODY]
    driver.receive(world.phone, Unsubscribe((account, NOBODY, world.payee)))
    assert asked(driver, miner, Unsubscribe) == [NOBODY]
    driver.down(PHONE_2)
    assert asked(driver, miner, Unsubscribe) == [account]


def test_a_pushed_proof_reaches_every_watcher_verified(world: Any, make: Any) -> None:
    driver, account = make(miners=1), world.senders[0].public
    driver.up(PHONE_2, 4)
    driver.receive(world.phone, Subscribe((account, NOBODY)))
    driver.receive(PHONE_2, Subscribe((account,)))
    driver.receive(world.miners[0], world.proofs(1, driver.now_us, account, NOBODY))
    (first,), (second,) = driver.take(LeafProofs, world.phone), driver.take(LeafProofs, PHONE_2)
    assert proved(world, first, driver.now_us) == {account: (10_000, True), NOBODY: (0, False)}
    assert proved(world, second, driver.now_us) == {account: (10_000, True)}


def test_a_question_is_answered_from_the_cache_while_the_header_is_young(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    leaf_id = account_leaf_id(account)
    driver.receive(world.phone, GetLeaves((leaf_id, NOBODY_LEAF)))
    assert asked(driver, miner, GetLeaves) == [leaf_id, NOBODY_LEAF]
    driver.receive(miner, world.proofs(1, driver.now_us, account, NOBODY))
    assert len(driver.take(LeafProofs, world.phone)) == 1
    driver.up(PHONE_2, 4)
    driver.now_us += 30_000_000
    driver.receive(PHONE_2, GetLeaves((leaf_id, NOBODY_LEAF)))
    (answer,) = driver.take(LeafProofs, PHONE_2)
    assert proved(world, answer, driver.now_us) == {account: (10_000, True), NOBODY: (0, False)}
    assert asked(driver, miner, GetLeaves) == []
    driver.now_us += 1_000
    driver.up(bytes(32), 4)
    driver.receive(bytes(32), GetLeaves((leaf_id,)))
    assert driver.take(LeafProofs, bytes(32)) == []
    assert asked(driver, miner, GetLeaves) == [leaf_id]
    cache = driver.core.standing.statistics()["cache"]
    assert (cache["hits"], cache["misses"], cache["entries"]) == (2, 3, 2)


def test_one_question_is_in_flight_per_account_whoever_asks(world: Any, make: Any) -> None:
    driver, miner = make(miners=1), world.miners[0]
    driver.up(PHONE_2, 4)
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    driver.receive(PHONE_2, GetLeaves((NOBODY_LEAF, NOBODY_LEAF)))
    assert asked(driver, miner, GetLeaves) == [NOBODY_LEAF]
    driver.receive(miner, world.proofs(1, driver.now_us, NOBODY))
    assert len(driver.take(LeafProofs, world.phone)) == len(driver.take(LeafProofs, PHONE_2)) == 1


def test_nothing_is_sent_below_a_height_that_was_sent(world: Any, make: Any) -> None:
    """A light client refuses what is below the highest header it has seen, so it would be no answer."""
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    leaf_id = account_leaf_id(account)
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, GetLeaves((leaf_id,)))
    driver.receive(miner, world.proofs(1, driver.now_us, account))
    driver.receive(world.phone, Subscribe((NOBODY,)))
    driver.receive(miner, world.proofs(2, driver.now_us + 1_000, NOBODY))
    driver.take(LeafProofs, world.phone)
    driver.take(GetLeaves, miner)
    driver.receive(world.phone, GetLeaves((leaf_id,)))  # cached, but under height 1
    assert driver.take(LeafProofs, world.phone) == []
    assert asked(driver, miner, GetLeaves) == [leaf_id]


def test_who_asks_again_for_what_it_was_sent_gets_a_fresh_one_too(world: Any, make: Any) -> None:
    driver, miner = make(miners=1), world.miners[0]
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, GetLeaves((NOBODY_LEAF,)))
    driver.receive(miner, world.proofs(1, driver.now_us, NOBODY))
    driver.take(GetLeaves, miner)
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    assert asked(driver, miner, GetLeaves) == []
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    assert asked(driver, miner, GetLeaves) == [NOBODY_LEAF]
    assert len(driver.take(LeafProofs, world.phone)) == 2


def lies(world: Any, now_us: int) -> dict[str, LeafProofs]:
    """Return messages about the first sender that a miner may make up."""
    account, other = world.senders[0].public, world.senders[1].public
    good = world.proofs(1, now_us, account)
    leaf_id = account_leaf_id(account)
    absent = encode(world.trie.prove(NOBODY_LEAF))
    two = world.checkpoint(1, now_us, signers=2)
    world.set_account(account, Account(10**6, 0, bytes(32), 0))
    forged = world.proofs(1, now_us, account).proofs
    world.set_account(account, world.chain.first_state().accounts[account])
    return {
        "a balance that is not under the root": LeafProofs(good.checkpoint, forged),
        "absence of an account that is there": LeafProofs(good.checkpoint, ((leaf_id, absent),)),
        "another account's proof": LeafProofs(
            good.checkpoint, ((leaf_id, encode(world.trie.prove(account_leaf_id(other)))),)
        ),
        "a checkpoint below the quorum": LeafProofs(two, good.proofs),
        "garbage for a checkpoint": LeafProofs(b"\x80", good.proofs),
        "garbage for a proof": LeafProofs(good.checkpoint, ((leaf_id, b"\x80"),)),
    }


LIES = [
    "a balance that is not under the root",
    "absence of an account that is there",
    "another account's proof",
    "a checkpoint below the quorum",
    "garbage for a checkpoint",
    "garbage for a proof",
]


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_miner_is_hung_up_and_its_lie_goes_nowhere(world: Any, make: Any, lie: str) -> None:
    driver, account = make(), world.senders[0].public
    driver.receive(world.phone, Subscribe((account,)))
    liar = next(miner for miner in world.miners if driver.take(Subscribe, miner))
    honest = next(miner for miner in world.miners if miner != liar)
    message = lies(world, driver.now_us)[lie]
    driver.receive(liar, message)
    assert list(driver.hung_up) == [liar]
    assert driver.take(LeafProofs, world.phone) == []
    assert asked(driver, honest, Subscribe) == [account]  # the other one is the source now
    driver.up(liar, 2)
    driver.receive(honest, world.proofs(1, driver.now_us, account))
    assert len(driver.take(LeafProofs, world.phone)) == 1


def test_a_proof_nobody_asked_for_does_not_fill_the_cache(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.receive(world.miners[0], world.proofs(1, driver.now_us, NOBODY))
    assert driver.core.standing.statistics()["cache"]["entries"] == 0


def test_a_chain_ahead_of_the_clock_blames_no_miner_and_is_said(world: Any, make: Any) -> None:
    """However often the miner shows it (case 13); age is unknown then, not zero."""
    driver = make(miners=1)
    for height in range(1, 30):
        driver.receive(world.miners[0], CheckpointMessage(world.checkpoint(height, driver.now_us + 3_600_000_000)))
    assert driver.hung_up == {}
    info = driver.core.info(driver.now_us)
    assert info["miners"] != []
    assert ["s behind block 29" in text for text in info["problems"]] == [True]


def test_a_checkpoint_from_the_future_is_no_proof_of_a_lie(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.receive(world.miners[0], CheckpointMessage(world.checkpoint(1, driver.now_us + 2_001_000)))
    assert driver.hung_up == {}
    assert driver.core.info(driver.now_us)["height"] == 0


def test_an_answer_of_a_miner_one_block_behind_is_verified_and_used(world: Any, make: Any) -> None:
    driver = make()
    behind = world.proofs(4, driver.now_us - 1_000, NOBODY)
    driver.receive(world.miners[0], CheckpointMessage(world.checkpoint(5, driver.now_us)))
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    driver.receive(world.miners[1], behind)
    (answer,) = driver.take(LeafProofs, world.phone)
    assert proved(world, answer, driver.now_us) == {NOBODY: (0, False)}
    assert driver.core.info(driver.now_us)["height"] == 5
    driver.receive(world.phone, GetLeaves((account_leaf_id(world.payee),)))
    driver.receive(world.miners[1], LeafProofs(world.checkpoint(3, driver.now_us - 2_000, signers=2), ()))
    assert list(driver.hung_up) == [world.miners[1]]


def test_a_source_that_goes_down_or_silent_is_replaced(world: Any, make: Any) -> None:
    driver = make()
    driver.receive(world.phone, Subscribe((NOBODY,)))
    first = next(miner for miner in world.miners if driver.take(Subscribe, miner))
    second = next(miner for miner in world.miners if miner != first)
    driver.receive(first, CheckpointMessage(world.checkpoint(1, driver.now_us)))
    driver.receive(first, Heartbeat(1, 0, 0, 0))
    driver.wait(12_999_999)  # the beat of an idle chain, and three seconds
    assert asked(driver, first, Unsubscribe) == []
    driver.wait(1)
    assert asked(driver, first, Unsubscribe) == asked(driver, second, Subscribe) == [NOBODY]
    driver.down(second)
    assert asked(driver, first, Subscribe) == [NOBODY]
    driver.down(first)
    driver.up(second, 2)
    assert asked(driver, second, Subscribe) == [NOBODY]


def test_a_source_is_asked_for_thousands_of_accounts_bit_by_bit(world: Any, make: Any) -> None:
    """The answer to all at once is longer than what a connection may have waiting: it would end it, each time anew."""
    driver, wanted = make(miners=1, options=EdgeOptions(subscriptions_max=3_000)), AWAITED_MAX + SUBSCRIBED_MAX
    accounts, miner = [number.to_bytes(32, "big") for number in range(3_000)], world.miners[0]
    for start in range(0, 3_000, 500):
        driver.receive(world.phone, Subscribe(tuple(accounts[start : start + 500])))
    first = asked(driver, miner, Subscribe)
    assert AWAITED_MAX <= len(first) < wanted
    driver.down(miner)  # and the same for all of them at a miner that comes back
    driver.up(miner, 2)
    shown: list[bytes] = []
    while told := asked(driver, miner, Subscribe):
        assert len(told) < wanted
        shown += told
        driver.receive(miner, world.proofs(1, driver.now_us, *told))
    assert sorted(shown) == accounts
    assert all(driver.core.proofs.current.account(driver.now_us, account) is not None for account in accounts)


def test_an_answer_that_never_comes_does_not_hold_up_the_other_accounts(world: Any, make: Any) -> None:
    driver, miner = make(miners=1), world.miners[0]
    accounts = [number.to_bytes(32, "big") for number in range(AWAITED_MAX + 300)]
    driver.receive(world.phone, Subscribe(tuple(accounts[:500])))
    driver.receive(world.phone, Subscribe(tuple(accounts[500:])))
    first = asked(driver, miner, Subscribe)
    driver.wait(3_000_000)
    assert asked(driver, miner, GetLeaves) == [account_leaf_id(account) for account in first]
    assert first + asked(driver, miner, Subscribe) == accounts


def test_while_the_chain_stands_still_the_source_changes_ever_more_rarely(world: Any, make: Any) -> None:
    driver = make()
    driver.receive(world.phone, Subscribe((NOBODY,)))
    moves = 0
    for _ in range(12):
        driver.wait(5_000_000)
        for miner in world.miners:
            driver.receive(miner, Heartbeat(1, 0, 0, 0))
            moves += len(driver.take(Unsubscribe, miner))
        driver.receive(world.phone, Heartbeat(1, 0, 0, 0))
    assert 2 <= moves <= 5


def test_a_question_goes_to_another_miner_when_it_is_not_answered(world: Any, make: Any) -> None:
    driver = make()
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    first = next(miner for miner in world.miners if driver.take(GetLeaves, miner))
    second = next(miner for miner in world.miners if miner != first)
    driver.wait(3_000_000)
    assert asked(driver, second, GetLeaves) == [NOBODY_LEAF]
    driver.down(second)
    assert asked(driver, first, GetLeaves) == [NOBODY_LEAF]


def test_a_question_without_miners_waits_for_one(world: Any, make: Any) -> None:
    driver = make(miners=0)
    driver.receive(world.phone, GetLeaves((NOBODY_LEAF,)))
    driver.up(world.miners[0], 2)
    assert asked(driver, world.miners[0], GetLeaves) == [NOBODY_LEAF]


def test_receipts_are_passed_on_to_all_who_asked(world: Any, make: Any) -> None:
    driver, identity = make(miners=1), bytes([3]) * 32
    driver.up(PHONE_2, 4)
    driver.receive(world.phone, GetReceipt(identity))
    driver.receive(PHONE_2, GetReceipt(identity))
    assert driver.take(GetReceipt, world.miners[0]) == [GetReceipt(identity)]
    answer = ReceiptAnswer(identity, b"proof")
    driver.receive(world.miners[0], answer)
    driver.receive(world.miners[0], answer)
    assert driver.take(ReceiptAnswer, world.phone) == driver.take(ReceiptAnswer, PHONE_2) == [answer]


def test_a_receipt_that_nobody_answers_ends_as_unknown(world: Any, make: Any) -> None:
    driver, identity = make(miners=1), bytes([3]) * 32
    driver.receive(world.phone, GetReceipt(identity))
    driver.wait(3_000_000 * TRIES_MAX)
    assert len(driver.take(GetReceipt, world.miners[0])) == TRIES_MAX
    assert driver.take(ReceiptAnswer, world.phone) == [ReceiptAnswer(identity, b"")]


def test_subscribers_get_newer_checkpoints_now_and_then(world: Any, make: Any) -> None:
    driver, miner = make(miners=1), world.miners[0]
    driver.up(PHONE_2, 4)
    driver.receive(world.phone, Subscribe((NOBODY,)))
    for height in range(1, 9):
        driver.receive(miner, CheckpointMessage(world.checkpoint(height, driver.now_us)))
        driver.wait(1_000_000)
    (bare,) = driver.take(LeafProofs, world.phone)
    assert bare.proofs == ()
    assert driver.take(LeafProofs, PHONE_2) == []


def test_subscriptions_of_one_peer_are_bounded(world: Any, make: Any) -> None:
    driver = make(options=EdgeOptions(subscriptions_max=3), miners=1)
    accounts = tuple(bytes([number]) * 32 for number in range(4))
    driver.receive(world.phone, Subscribe(accounts[:3]))
    assert driver.hung_up == {}
    driver.receive(world.phone, Subscribe(accounts))
    assert driver.hung_up == {world.phone: "too-many"}
    assert driver.core.standing.statistics()["clients"]["watched_accounts"] == 0


def test_a_question_about_no_account_asks_for_the_newest_checkpoint(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.receive(world.phone, GetLeaves(()))
    assert driver.take(LeafProofs, world.phone) == []
    driver.receive(world.miners[0], CheckpointMessage(world.checkpoint(1, driver.now_us)))
    driver.receive(world.phone, GetLeaves(()))
    assert driver.take(LeafProofs, world.phone) == [LeafProofs(world.checkpoint(1, driver.now_us), ())]
