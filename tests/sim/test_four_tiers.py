"""The shipped cores of all four tiers under virtual time: payments, crashes, conflicts and lies."""

from __future__ import annotations

import random

import pytest

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN, sign_transfer
from supervm.protocol.wire.payments import Submit
from supervm.sim.exact import GENESIS_MS, GRANT, Deployment
from supervm.tier_l4_mobile.messages import Balance, PaymentRow


def check_books(net: Deployment) -> None:
    """All validators agree on every root, and fees and supply are exact."""
    net.world.run(3_000_000)
    infos = net.validator_info()
    payments = net.payments()
    fees = sum(item["fee"] for item in payments if item["status"] == "R4")
    for info in infos:
        assert sum(info["fees"]["svm"].values()) == fees
        assert info["supply"] == net.chain.supply
    by_height = {info["height"]: info["state_root"] for info in infos}
    for info in infos:
        assert by_height[info["height"]] == info["state_root"]
    assert max(by_height) - min(by_height) <= 1


def test_one_phones_payment_is_proved_by_another_phone() -> None:
    """Alice's phone pays; Bob's phone proves the new balance for itself."""
    net = Deployment()
    net.start()
    net.pay(0, [PaymentRow(to=net.address(1, 0), amount=250, fee=10, source=net.address(0, 0), key="one")])
    assert net.settle(10) == {"R4": 1}
    answer = net.world.call(net.l4[1].public, Balance(address=net.address(1, 0)))
    assert (answer["balance"], answer["proof_verified"]) == (GRANT + 250, True)
    answer = net.world.call(net.l4[1].public, Balance(address=net.address(0, 0)))
    assert (answer["balance"], answer["proof_verified"]) == (GRANT - 260, True)
    check_books(net)


def test_many_payments_all_reach_proof() -> None:
    """600 payments between 6 accounts on two phones, two edges and two miners are all proved; the books balance."""
    net = Deployment()
    net.start()
    rng = random.Random(7)
    for phone in range(2):
        net.pay(phone, net.random_rows(phone, 300, rng))
    assert net.settle(30) == {"R4": 600}
    check_books(net)


def test_same_seed_same_trace() -> None:
    """Two runs of one seed deliver the same bytes in the same order."""

    def digest() -> bytes:
        net = Deployment(seed=3)
        net.start()
        net.pay(0, net.random_rows(0, 20, random.Random(1)))
        net.settle(5)
        return net.world.digest

    assert digest() == digest()


@pytest.mark.parametrize("victim", range(4))
def test_one_validator_may_be_down(victim: int) -> None:
    """With any one of four validators off, payments are proved; when it is back it has the same state."""
    net = Deployment(l2=1, l3=1)
    net.start()
    net.world.crash(net.l1[victim].public)
    net.pay(0, net.random_rows(0, 40, random.Random(victim)))
    assert net.settle(60) == {"R4": 40}
    net.world.start(net.l1[victim].public)
    net.world.run(10_000_000)
    check_books(net)


def test_all_validators_restart_together() -> None:
    """All validators lose power in the middle of payments; after restart every payment is still proved, once."""
    net = Deployment()
    net.start()
    net.pay(0, net.random_rows(0, 60, random.Random(5)))
    net.world.run(57_000)
    for node in net.l1:
        net.world.crash(node.public)
    net.world.run(2_000_000)
    for node in net.l1:
        net.world.start(node.public)
    assert net.settle(60) == {"R4": 60}
    check_books(net)


@pytest.mark.parametrize("moment_us", [500, 3_000, 54_700, 58_000, 62_000, 66_000])
def test_crash_of_everybody_in_turn(moment_us: int) -> None:
    """Each node in turn is switched off and on in the middle of the payments; each payment is proved exactly once."""
    net = Deployment()
    net.start()
    rng = random.Random(moment_us)
    for number, node in enumerate((*net.l1, *net.l2, *net.l3, *net.l4)):
        net.pay(number % 2, net.random_rows(number % 2, 5, rng, prefix=f"turn{number}"))
        net.world.run(moment_us)
        net.world.crash(node.public)
        net.world.run(500_000)
        net.world.start(node.public)
        net.world.run(1_500_000)
    statuses = net.settle(90)
    assert statuses == {"R4": 5 * (4 + len(net.l2) + len(net.l3) + len(net.l4))}
    check_books(net)


def test_conflicting_pair_ends_in_at_most_one_execution() -> None:
    """Two transactions for one slot, submitted through two edges: never both executed, and the account lives on."""
    net = Deployment()
    net.start()
    chain = net.chain
    sender = net.wallets[0][2]
    now_ms = net.world.now_us // 1000
    pair = [
        sign_transfer(
            sender,
            chain_id=chain.chain_id,
            seq=0,
            prev=ZERO_HASH,
            to=net.wallets[1][index].public,
            amount=5,
            fee=1,
            valid_until_ms=now_ms + 8_000,
        )
        for index in range(2)
    ]
    for index, transaction in enumerate(pair):
        net.world.inject(net.l4[index].public, net.l3[index].public, Submit((transaction.raw,)))
    net.world.run(20_000_000)
    answers = [net.world.call(net.l4[1].public, Balance(address=net.address(1, index))) for index in range(2)]
    received = [answer["balance"] - GRANT for answer in answers]
    assert sorted(received) in ([0, 0], [0, 5])
    # the slot is free again or used: the phone that owns the account can pay
    net.pay(0, [PaymentRow(to=net.address(1, 2), amount=7, fee=1, source=net.address(0, 2), key="after")])
    assert net.settle(60)["R4"] == 1


def test_overdraft_wrong_chain_and_replay_change_nothing() -> None:
    """Hostile submissions are refused; the state stays what honest payments make it."""
    net = Deployment()
    net.start()
    chain = net.chain
    sender = net.wallets[0][1]
    until = GENESIS_MS + 10**8

    def signed(**changes: object) -> bytes:
        fields: dict[str, object] = {
            "chain_id": chain.chain_id,
            "seq": 0,
            "prev": ZERO_HASH,
            "to": net.wallets[1][0].public,
            "amount": 5,
            "fee": 1,
            "valid_until_ms": until,
        }
        fields.update(changes)
        return sign_transfer(sender, **fields).raw  # type: ignore[arg-type]

    good = signed(chain_id=bytes(32))
    hostile = [good, signed(amount=2 * GRANT), signed(seq=900), signed(valid_until_ms=1), bytes(TRANSACTION_BYTES_MIN)]
    broken = bytearray(signed())
    broken[-1] ^= 1
    hostile.append(bytes(broken))
    for raw in hostile:
        net.world.inject(net.l4[0].public, net.l3[0].public, Submit((raw,)))
        net.world.run(3_000_000)
    answer = net.world.call(net.l4[1].public, Balance(address=net.address(1, 0)))
    assert answer["balance"] == GRANT
    net.pay(1, net.random_rows(1, 5, random.Random(1)))
    assert net.settle(60) == {"R4": 5}
    check_books(net)


def test_edges_and_miners_may_all_be_away_for_a_while() -> None:
    """A phone without any edge keeps its payments and delivers them when one is back."""
    net = Deployment()
    net.start()
    for node in (*net.l3, *net.l2):
        net.world.crash(node.public)
    net.pay(0, net.random_rows(0, 20, random.Random(2)))
    net.world.run(20_000_000)
    assert net.statuses() == {"queued": 20}
    for node in (*net.l2, *net.l3):
        net.world.start(node.public)
    assert net.settle(60) == {"R4": 20}
    check_books(net)
