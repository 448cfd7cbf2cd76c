"""Holdings: told with the account they are of, pushed, proved absent when they are gone, and bounded."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import astuple

from supervm.common.parts.buckets import Rate
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.state.account import Account
from supervm.protocol.state.leaves import (
    ACCOUNT,
    HOLDING,
    account_leaf_id,
    asset_leaf_id,
    holding_leaf_id,
    parse_leaf_id,
)
from supervm.protocol.wire.payments import GetLeaves, LeafProofs, Submit, Subscribe, Unsubscribe
from supervm.tier_l3_edge.options import DEFAULT_RATES, EdgeOptions
from supervm.tier_l3_edge.proofs.cache import ENTRY_OVERHEAD_BYTES
from supervm.tier_l3_edge.proofs.watched import DOUBT_US, HOLDINGS_MAX, THIN_US

GOLD = genesis_asset_id("gold")
"""The first sender has 500 of it."""
PHONE_2 = bytes([2]) * 32
REFUSED = 10


def asset(number: int) -> bytes:
    return number.to_bytes(32, "big")


def asked(driver: Any, miner: bytes, kind: type[Any]) -> list[bytes]:
    return [key for message in driver.take(kind, miner) for key in astuple(message)[0]]


def shown(driver: Any, height: int, *keys: bytes) -> LeafProofs:
    """What a miner sends under a height: later heights have later times."""
    message: LeafProofs = driver.world.proofs(height, driver.now_us + 1_000 * height, *keys)
    return message


class Phone:
    """What a phone believes: balances of assets, under the newest header that it has seen."""

    def __init__(self, world: Any) -> None:
        self._client = LightClient(anchor_of(world.chain), verify)
        self.amounts: dict[tuple[bytes, bytes], int] = {}
        self.heights: dict[bytes, int] = {}
        self.assets: dict[bytes, Any] = {}

    def read(self, driver: Any, peer: bytes) -> list[bytes]:
        """Check all that an edge has sent; return the leaves in their order."""
        leaf_ids = []
        for message in driver.take(LeafProofs, peer):
            header = self._client.accept_checkpoint(message.checkpoint, driver.now_us // 1000)
            for leaf_id, proof in message.proofs:
                name = parse_leaf_id(leaf_id)
                leaf_ids.append(leaf_id)
                self.heights[leaf_id] = header.height
                if name.kind == ACCOUNT:
                    amount = self._client.prove_account(header, name.account, proof).account.balance
                elif name.kind == HOLDING:
                    amount = self._client.prove_holding(header, name.account, name.asset, proof)
                else:
                    self.assets[name.asset] = self._client.prove_asset(header, name.asset, proof)
                    continue
                self.amounts[name.account, name.asset] = amount
        return leaf_ids


@pytest.fixture
def phone(world: Any) -> Phone:
    return Phone(world)


def test_a_subscription_brings_the_holdings_that_the_miner_knows(world: Any, make: Any, phone: Phone) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, gold))
    assert phone.read(driver, world.phone) == [account_leaf_id(account), gold]
    assert phone.amounts == {(account, b""): 10_000, (account, GOLD): 500}


def test_a_later_client_is_told_the_same_without_a_question(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, gold))
    driver.up(PHONE_2, 4)
    driver.sent.clear()
    driver.receive(PHONE_2, Subscribe((account,)))
    second = Phone(world)
    assert second.read(driver, PHONE_2) == [account_leaf_id(account), gold]
    assert second.amounts[account, GOLD] == 500
    assert driver.take(Subscribe, miner) == driver.take(GetLeaves, miner) == []
    driver.now_us += 31_000_000  # too old to be served as it is
    driver.up(bytes(32), 4)
    driver.sent.clear()
    driver.receive(bytes(32), Subscribe((account,)))
    assert driver.take(LeafProofs, bytes(32)) == []
    assert asked(driver, miner, GetLeaves) == [account_leaf_id(account), gold]


def test_a_client_that_subscribed_gets_a_new_holding_under_its_own_header(world: Any, make: Any, phone: Phone) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[1].public
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account))
    gold = world.set_holding(account, GOLD, 7)
    driver.receive(miner, shown(driver, 2, gold))
    assert phone.read(driver, world.phone) == [account_leaf_id(account), gold]
    assert phone.amounts[account, GOLD] == 7
    assert phone.heights == {account_leaf_id(account): 1, gold: 2}
    world.set_holding(account, GOLD, 9)
    driver.receive(miner, shown(driver, 3, gold))
    phone.read(driver, world.phone)
    assert (phone.amounts[account, GOLD], phone.heights[gold]) == (9, 3)


def test_a_holding_that_is_gone_is_proved_absent_and_forgotten(world: Any, make: Any, phone: Phone) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, gold))
    world.set_holding(account, GOLD, 0)
    driver.receive(miner, shown(driver, 2, account, gold))
    phone.read(driver, world.phone)
    assert (phone.amounts[account, GOLD], phone.heights[gold]) == (0, 2)
    assert driver.core.proofs.cache.peek(gold) is None
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, Subscribe((account,)))
    assert Phone(world).read(driver, PHONE_2) == [account_leaf_id(account)]


def test_a_miner_that_is_behind_does_not_make_the_edge_forget(world: Any, make: Any) -> None:
    driver, (one, two), account = make(), world.miners, world.senders[1].public
    driver.receive(world.phone, Subscribe((account,)))
    gold = holding_leaf_id(account, GOLD)
    before = shown(driver, 4, account, gold)
    world.set_holding(account, GOLD, 7)
    driver.receive(one, shown(driver, 5, account, gold))
    driver.receive(two, before)
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, Subscribe((account,)))
    second = Phone(world)
    second.read(driver, PHONE_2)
    assert (second.amounts[account, GOLD], second.heights[gold]) == (7, 5)


def test_what_is_gone_while_the_source_changes_is_asked_for_by_id(world: Any, make: Any, phone: Phone) -> None:
    """The new source's answer has no word about what is gone."""
    driver, account = make(), world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    driver.receive(world.phone, Subscribe((account,)))
    first = next(miner for miner in world.miners if driver.take(Subscribe, miner))
    second = next(miner for miner in world.miners if miner != first)
    driver.receive(first, shown(driver, 1, account, gold))
    world.set_holding(account, GOLD, 0)
    driver.down(first)
    assert asked(driver, second, Subscribe) == [account]
    driver.receive(second, shown(driver, 2, account))
    driver.wait(DOUBT_US - 1)
    assert asked(driver, second, GetLeaves) == []
    driver.wait(1)
    assert asked(driver, second, GetLeaves) == [gold]
    driver.wait(DOUBT_US)
    assert asked(driver, second, GetLeaves) == []  # once is enough
    driver.receive(second, shown(driver, 3, gold))
    phone.read(driver, world.phone)
    assert (phone.amounts[account, GOLD], phone.heights[gold]) == (0, 3)


def test_nothing_is_asked_by_id_when_the_source_has_shown_all(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, holding_leaf_id(account, GOLD)))
    driver.down(miner)
    driver.up(miner, 2)
    driver.receive(miner, shown(driver, 1, account, holding_leaf_id(account, GOLD)))
    driver.wait(3 * DOUBT_US)
    assert driver.take(GetLeaves, miner) == []


def test_any_leaf_may_be_asked_for_by_id(world: Any, make: Any, phone: Phone) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    leaf_ids = (
        holding_leaf_id(account, GOLD),
        asset_leaf_id(GOLD),
        holding_leaf_id(world.payee, GOLD),
        asset_leaf_id(asset(1)),
    )
    driver.receive(world.phone, GetLeaves(leaf_ids))
    assert asked(driver, miner, GetLeaves) == list(leaf_ids)
    driver.receive(miner, shown(driver, 1, *leaf_ids))
    assert phone.read(driver, world.phone) == list(leaf_ids)
    assert phone.amounts == {(account, GOLD): 500, (world.payee, GOLD): 0}
    assert phone.assets[GOLD].supply == 500
    assert phone.assets[asset(1)] is None
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, GetLeaves(leaf_ids))  # absence is cached like presence
    assert Phone(world).read(driver, PHONE_2) == list(leaf_ids)
    assert driver.take(GetLeaves, miner) == []


@pytest.mark.parametrize("leaf_id", [b"\x04" + bytes(32), b"\x01" + bytes(64), b"\x02" + bytes(32), bytes(33)])
def test_what_is_no_leaf_is_a_fault_of_whoever_says_it(world: Any, make: Any, leaf_id: bytes) -> None:
    driver = make(miners=1)
    for _ in range(10):
        driver.receive(world.phone, GetLeaves((leaf_id,)))
    assert driver.take(GetLeaves) == []
    assert driver.hung_up == {world.phone: "bad-leaf"}
    driver.receive(world.miners[0], LeafProofs(world.checkpoint(1, driver.now_us), ((leaf_id, b"\x80"),)))
    assert driver.hung_up[world.miners[0]] == "bad-leaf"


def test_a_lie_about_a_holding_costs_its_miner_the_link(world: Any, make: Any) -> None:
    account = world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    others = encode(world.trie.prove(account_leaf_id(account)))
    good = world.proofs(1, world.start_us + 1_000, gold)
    world.set_holding(account, GOLD, 10**6)
    forged = encode(world.trie.prove(gold))
    world.set_holding(account, GOLD, 0)
    gone = encode(world.trie.prove(gold))
    for lie in (others, forged, gone, b"\x80"):
        driver = make(miners=1)
        driver.receive(world.phone, Subscribe((account,)))
        driver.receive(world.miners[0], LeafProofs(good.checkpoint, ((gold, lie),)))
        assert list(driver.hung_up) == [world.miners[0]]
        assert driver.take(LeafProofs, world.phone) == []


# --- bounds ---------------------------------------------------------------------------------------------------------


def many(world: Any, account: bytes, count: int, first: int = 1) -> list[bytes]:
    return [world.set_holding(account, asset(number), number) for number in range(first, first + count)]


def test_of_an_account_with_many_holdings_the_latest_are_known(world: Any, make: Any, phone: Phone) -> None:
    """Anybody can send an account a thousand assets; each is pushed to who subscribed, and the edge forgets most."""
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    driver.receive(world.phone, Subscribe((account,)))
    sent = many(world, account, 1_000)
    for height, start in enumerate(range(0, 1_000, 200), 1):
        driver.receive(miner, shown(driver, height, account, *sent[start : start + 200]))
    assert set(phone.read(driver, world.phone)) == {account_leaf_id(account), *sent}
    assert len(driver.core.proofs.cache) == 1 + HOLDINGS_MAX
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, Subscribe((account,)))
    assert set(Phone(world).read(driver, PHONE_2)) == {account_leaf_id(account), *sent[-HOLDINGS_MAX:]}


def test_what_is_known_of_holdings_fits_the_cache_and_is_asked_for_again(world: Any, make: Any) -> None:
    size = len(world.proofs(1, world.start_us + 1_000, *many(world, world.senders[0].public, 50)).proofs[0][1])
    options = EdgeOptions(cache_bytes_max=25 * (size + ENTRY_OVERHEAD_BYTES))
    driver, miner, account = make(options=options, miners=1), world.miners[0], world.senders[0].public
    holdings = [holding_leaf_id(account, asset(number)) for number in range(1, 51)]
    driver.receive(world.phone, Subscribe((account,)))
    assert asked(driver, miner, Subscribe) == [account]
    driver.receive(miner, shown(driver, 1, account, *holdings))
    cache = driver.core.proofs.cache
    assert cache.bytes_used <= cache.bytes_max
    assert 0 < len(cache) < 30
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, Subscribe((account,)))
    assert driver.take(Subscribe, miner) == []  # it was asked a moment ago
    driver.receive(PHONE_2, Unsubscribe((account,)))
    driver.wait(THIN_US)
    driver.receive(miner, shown(driver, 2, account))
    driver.sent.clear()
    driver.receive(PHONE_2, Subscribe((account,)))
    assert asked(driver, miner, Subscribe) == [account]
    driver.receive(miner, shown(driver, 3, account, *holdings))
    assert set(Phone(world).read(driver, PHONE_2)) >= {account_leaf_id(account), *holdings}
    driver.receive(PHONE_2, Unsubscribe((account,)))
    driver.receive(PHONE_2, Subscribe((account,)))
    assert driver.take(Subscribe, miner) == []


def test_the_last_client_of_an_account_takes_what_is_known_of_it_along(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, holding_leaf_id(account, GOLD)))
    driver.receive(world.phone, Unsubscribe((account,)))
    driver.sent.clear()
    driver.receive(miner, shown(driver, 2, holding_leaf_id(account, GOLD)))
    assert driver.take(LeafProofs, world.phone) == []
    driver.wait(2 * DOUBT_US)
    assert driver.take(GetLeaves, miner) == []


def test_a_client_is_told_at_once_what_it_can_pay_for(world: Any, make: Any) -> None:
    rates = {**DEFAULT_RATES, "accounts": Rate(1, 10)}
    driver, miner = make(options=EdgeOptions(rates=rates), miners=1), world.miners[0]
    account = world.senders[0].public
    holdings = many(world, account, 30)
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, *holdings))
    assert len(Phone(world).read(driver, world.phone)) == 31  # what it could not foresee is owed
    assert [hold.peer for hold in driver.holds][-1:] == [world.phone]
    driver.up(PHONE_2, 4)
    driver.receive(PHONE_2, Subscribe((account,)))
    assert Phone(world).read(driver, PHONE_2) == [account_leaf_id(account), *holdings[-9:]]


def test_what_a_block_touches_later_costs_a_client_nothing(world: Any, make: Any) -> None:
    rates = {**DEFAULT_RATES, "accounts": Rate(1, 2 * HOLDINGS_MAX)}
    driver, miner = make(options=EdgeOptions(rates=rates), miners=1), world.miners[0]
    account = world.senders[0].public
    (dust,) = many(world, account, 1)
    driver.receive(world.phone, Subscribe((account,)))
    for height in range(1, 400):
        driver.receive(miner, shown(driver, height, dust))
    assert [hold for hold in driver.holds if hold.peer == world.phone] == []
    assert len(driver.take(LeafProofs, world.phone)) == 399


# --- what is certain of holdings --------------------------------------------------------------------------------------


def submit(*transactions: Any) -> Submit:
    return Submit(tuple(transaction.raw for transaction in transactions))


def refusals(driver: Any, peer: bytes) -> list[str]:
    return [reason for _, level, reason in driver.statuses(peer) if level == REFUSED]


def test_money_of_each_asset_is_looked_at_by_itself(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, holding_leaf_id(account, GOLD)))
    too_much = [
        world.transaction(amount=501, asset=GOLD),
        world.transaction(amount=1, asset=GOLD, fee=10_001),
        world.transaction(amount=10_001, asset=b""),
        world.transaction(amount=10_000, asset=b"", fee=1),
    ]
    driver.receive(world.phone, submit(*too_much))
    assert refusals(driver, world.phone) == [
        f"overdraft: 501 of {GOLD.hex()} would be spent, the balance is 500",
        "overdraft: 10001 of svm would be spent, the balance is 10000",
        "overdraft: 10002 of svm would be spent, the balance is 10000",
        "overdraft: 10001 of svm would be spent, the balance is 10000",
    ]
    driver.receive(world.phone, submit(world.transaction(amount=500, asset=GOLD, fee=10_000)))
    assert refusals(driver, world.phone) == []


def test_an_asset_of_which_nothing_is_known_is_left_to_the_miner(world: Any, make: Any) -> None:
    driver, miner, account = make(miners=1), world.miners[0], world.senders[1].public
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account))
    driver.receive(world.phone, submit(world.transaction(1, amount=5, asset=GOLD)))
    assert refusals(driver, world.phone) == []
    assert len(driver.take(Submit, miner)) == 1


def test_a_holding_newer_than_the_account_says_nothing_of_its_transactions(world: Any, make: Any) -> None:
    """What has reduced it may be the very transaction, whose execution the account's older leaf does not show."""
    driver, miner, account = make(miners=1), world.miners[0], world.senders[0].public
    gold = holding_leaf_id(account, GOLD)
    driver.receive(world.phone, Subscribe((account,)))
    driver.receive(miner, shown(driver, 1, account, gold))
    spent = world.transaction(amount=400, asset=GOLD)
    world.set_holding(account, GOLD, 100)
    driver.receive(miner, shown(driver, 2, gold))
    driver.receive(world.phone, submit(spent))
    assert refusals(driver, world.phone) == []
    world.set_account(account, Account(9_999, 1, spent.id, 0))
    driver.receive(miner, shown(driver, 3, account))
    too_much = world.transaction(seq=1, prev=spent.id, amount=101, asset=GOLD)
    driver.receive(world.phone, submit(too_much))
    assert len(refusals(driver, world.phone)) == 1


def test_what_a_new_source_has_not_shown_is_not_certain(world: Any, make: Any) -> None:
    driver, account = make(), world.senders[0].public
    keys = (account, holding_leaf_id(account, GOLD))
    driver.receive(world.phone, Subscribe((account,)))
    first = next(miner for miner in world.miners if driver.take(Subscribe, miner))
    second = next(miner for miner in world.miners if miner != first)
    driver.receive(first, shown(driver, 1, *keys))
    driver.now_us += 4_000_000  # older than what anybody may rely on unless the source pushes
    current = driver.core.proofs.current
    driver.receive(first, shown(driver, 2))
    assert current.holding(driver.now_us, account, GOLD) == 500
    driver.down(first)
    driver.receive(second, shown(driver, 3))
    assert current.holding(driver.now_us, account, GOLD) is None
    assert current.account(driver.now_us, account) is None
    driver.receive(second, shown(driver, 4, *keys))
    assert current.holding(driver.now_us, account, GOLD) == 500
