"""Every named actor, f of n of its tier: the network goes on, payments are proved and the books balance."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.validators import ValidatorList
from supervm.sim.errors import SimulationError
from supervm.sim.exact import ACTORS, FIRST, GRANT, SECOND, Deployment, Masks, Twins
from supervm.sim.exact.actor import Actor
from supervm.tier_l1_super.messages import Approve
from supervm.tier_l4_mobile.messages import Balance, PaymentRow

PAYMENTS = 6


def check_books(net: Deployment, fees: int | None) -> None:
    """Honest validators agree on every root; supply and, if nobody else paid any, fees are exact."""
    net.world.run(3_000_000)
    infos = net.validator_info()
    assert all(host.halted is None for tier in range(1, 5) for host in net.honest(tier))
    roots = {info["height"]: info["state_root"] for info in infos}
    for info in infos:
        assert info["supply"] == net.chain.supply
        assert roots[info["height"]] == info["state_root"]
        if fees is not None:
            assert sum(info["fees"]["svm"].values()) == fees


def survive(net: Deployment, phones: tuple[int, ...], within_s: int, prefix: str = "") -> None:
    """Pay from honest phones and demand that everything is proved."""
    rng = random.Random(5)
    for phone in phones:
        rows = [
            PaymentRow(
                to=net.address(phones[0], 1),
                amount=rng.randrange(1, 99),
                fee=3,
                source=net.address(phone, 0),
                key=f"{phone}:{prefix}:{number}",
            )
            for number in range(PAYMENTS)
        ]
        net.pay(phone, rows)
    honest: list[dict[str, object]] = []
    for _ in range(within_s):
        honest = [item for item in net.payments() if str(item["key"]).partition(":")[0] in [str(one) for one in phones]]
        if all(item["status"] == "R4" for item in honest):
            return
        net.world.run(1_000_000)
    raise AssertionError(f"not all were proved in {within_s} s: {[item['status'] for item in honest]}")


COMPANIONS = {"body-withholder": {"l2-0": "batch-withholder"}}
"""Actors that only matter beside another one."""
HUNG_UP = ("vote-repeater", "early-filler")
"""Actors that are hung up on for longer each time: their own core follows when they may come back."""
EPOCHS = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500, epoch_ms=2_000)
"""Parameters of a network with short epochs."""


@pytest.mark.parametrize("name", ACTORS)
def test_the_network_survives(name: str) -> None:
    """One of four validators, two miners, two edges or two phones is the actor; honest phones notice nothing."""
    spec = ACTORS[name]
    actors = {f"l{spec.tier}-0": name, **COMPANIONS.get(name, {})}
    net = Deployment(actors=actors, parameters=EPOCHS if name == "close-withholder" else None, keep_events=False)
    phones = (1,) if spec.tier == 4 else (0, 1)
    net.start()
    actor = net.host(f"l{spec.tier}-0").core
    assert isinstance(actor, Actor)
    rounds = 0
    while rounds == 0 or (actor.acted == 0 and rounds < 12):  # some leaders lead a block with content late
        net.world.run(137_000 * rounds)
        survive(net, phones, 90, str(rounds))
        rounds += 1
    assert actor.acted > 0
    check_books(net, None if spec.tier == 4 else 3 * PAYMENTS * len(phones) * rounds)


@pytest.mark.parametrize("name", [name for name, spec in ACTORS.items() if spec.tier == 1])
def test_they_go_on_in_later_epochs(name: str) -> None:
    """With another index, among other validators, an actor does there what it did before, and harms nobody."""
    actors = {"l1-0": name, **COMPANIONS.get(name, {})}
    net = Deployment(l1=5, members=4, l4=1, actors=actors, parameters=EPOCHS, keep_events=False)
    net.start()
    following = Approve(validators=encode(ValidatorList(1, tuple(net.member(index) for index in (4, 2, 0, 1)))))
    for host in net.honest(1):
        net.world.command(host.node_id, following)
    net.world.run(6_000_000)
    infos = net.validator_info()
    assert min(info["epoch"] for info in infos) >= 2
    assert [info["validator"] for info in infos] == [3, 1, None, 0]
    actor = net.host("l1-0").core
    assert isinstance(actor, Actor)
    for _ in range(90 if name in HUNG_UP else 0):
        if actor.index == 2:
            break
        net.world.run(1_000_000)
    assert actor.index == 2
    before = actor.acted
    rounds = 0
    while rounds == 0 or (actor.acted == before and rounds < 12):
        if rounds:  # some have their say when they are asked for what somebody has missed
            net.world.crash(net.l1[3].public)
            net.world.run(1_137_000 * rounds)
            net.world.start(net.l1[3].public)
        survive(net, (0,), 60, str(rounds))
        rounds += 1
    assert actor.acted > before
    check_books(net, 3 * PAYMENTS * rounds)


@pytest.mark.parametrize("name", ["equivocator", "nuller", "double-notarizer", "finalize-nullifier"])
def test_two_of_seven(name: str) -> None:
    """Two of seven validators, f of n, play the same actor."""
    net = Deployment(l1=7, l2=1, l3=1, actors={"l1-2": name, "l1-5": name}, keep_events=False)
    net.start()
    survive(net, (0, 1), 90)
    check_books(net, 6 * PAYMENTS)


def test_a_double_spender_gets_at_most_one_through() -> None:
    """The double-spender's account is debited at most once for its first slot."""
    net = Deployment(actors={"l4-0": "double-spender"}, keep_events=False)
    net.start()
    survive(net, (1,), 60)
    net.world.run(30_000_000)
    answer = net.world.call(net.l4[1].public, Balance(address=net.address(0, 2)))
    assert GRANT - 1_001 <= answer["balance"] <= GRANT


def test_one_wallet_on_two_phones() -> None:
    """Two phones with one wallet conflict over slots; each payment has one fate and money is conserved."""
    net = Deployment(l4=2, same_wallet=[(0, 1)], keep_events=False)
    net.start()
    for phone in range(2):
        net.pay(
            phone,
            [
                PaymentRow(
                    to=net.address(0, 1), amount=10 + number, fee=1, source=net.address(0, 0), key=f"{phone}:{number}"
                )
                for number in range(3)
            ],
        )
    net.world.run(60_000_000)
    infos = net.validator_info()
    assert len({info["state_root"] for info in infos}) == 1
    assert all(info["supply"] == net.chain.supply for info in infos)
    proved = [item for item in net.payments() if item["status"] == "R4"]
    assert 0 < len(proved) <= 6


@pytest.mark.parametrize("seed", range(3))
def test_twins_cannot_split_the_network(seed: int) -> None:
    """One validator of four runs twice, each instance shown to one half in every view: no fork, payments go on."""
    rng = random.Random(seed)
    rows = [[rng.choice((FIRST, SECOND)) for _ in range(4)] for _ in range(12)]
    net = Deployment(twins={"l1-1": Masks(rows)}, keep_events=False)
    net.start()
    survive(net, (0, 1), 90)
    twins = net.host("l1-1").core
    if twins is not None:
        assert isinstance(twins, Twins)
        assert twins.views_split > 0
    check_books(net, 6 * PAYMENTS)


def test_twin_masks_are_enumerated_once_each() -> None:
    """Four validators and two views give 2^6 / 2 tables, all different, and halves show each peer exactly one twin."""
    tables = [masks.rows for masks in Masks.enumerate(4, 2, twin=0)]
    assert len(tables) == 32
    assert len(dict.fromkeys(tables)) == 32
    assert all(mask in (FIRST, SECOND) for row in Masks.halves(7, 5).rows for mask in row)


@pytest.mark.parametrize(
    ("actors", "reason"),
    [({"l1-0": "unheard-of"}, "no actor"), ({"l2-0": "equivocator"}, "is an L1"), ({"l1-9": "nuller"}, "no host")],
)
def test_actors_that_do_not_fit_are_refused(actors: Mapping[str, str], reason: str) -> None:
    """A wrong name of an actor or of a host is an error that says what is allowed."""
    with pytest.raises(SimulationError, match=reason):
        Deployment(actors=actors)
