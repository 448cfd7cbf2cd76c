"""When signatures are checked: a lone one at once, a stream of them together, and no peer at the cost of the others."""

from __future__ import annotations

from typing import Any

from supervm.common.parts.policy.policy import Policy
from supervm.common.parts.policy.rules import Rules
from supervm.protocol.wire.payments import Submit
from supervm.tier_l3_edge.intake.intake import CHECK_INTERVAL_US, CHECK_MAX

R0, REFUSED = 0, 10
OTHER = bytes([8]) * 32


def submit(*transactions: Any) -> Submit:
    return Submit(tuple(transaction.raw for transaction in transactions))


def test_the_first_is_checked_at_once_and_those_behind_it_wait_for_each_other(world: Any, make: Any) -> None:
    driver = make(miners=1)
    first, *others = world.chain_of(5)
    driver.receive(world.phone, submit(first))
    assert driver.statuses(world.phone) == [(first.id, R0, "")]
    assert [message.transactions for message in driver.take(Submit, world.miners[0])] == [(first.raw,)]
    for transaction in others:
        driver.wait(10_000)
        driver.receive(world.phone, submit(transaction))
    assert driver.statuses(world.phone) == []
    driver.wait(CHECK_INTERVAL_US - 40_000)
    assert driver.statuses(world.phone) == [(transaction.id, R0, "") for transaction in others]
    (message,) = driver.take(Submit, world.miners[0])  # one check, one write, one answer, one message
    assert message.transactions == tuple(transaction.raw for transaction in others)
    driver.wait(CHECK_INTERVAL_US)
    last = world.chain_of(6)[-1]
    driver.receive(world.phone, submit(last))
    assert driver.statuses(world.phone) == [(last.id, R0, "")]


def test_a_full_check_does_not_wait(world: Any, make: Any) -> None:
    driver = make(miners=1)
    chain = world.chain_of(1 + CHECK_MAX)
    driver.receive(world.phone, submit(chain[0]))
    driver.receive(world.phone, submit(*chain[1:]))
    assert len(driver.statuses(world.phone)) == 1 + CHECK_MAX


def test_who_sends_much_does_not_keep_the_others_waiting(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.up(OTHER, 4)
    flood, lone = world.chain_of(300), world.transaction(sender=1)
    driver.work_at_once = False
    driver.receive(OTHER, submit(*flood))
    driver.receive(world.phone, submit(lone))
    driver.work()
    assert driver.statuses(world.phone) == []  # it came behind the first check
    driver.work()
    assert driver.statuses(world.phone) == [(lone.id, R0, "")]
    assert len(driver.statuses(OTHER)) < 2 * CHECK_MAX


def test_a_bad_signature_costs_its_own_sender_alone(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.up(OTHER, 4)
    bad, good, first = world.transaction(sender=1), *world.chain_of(2)[::-1]
    driver.receive(world.phone, submit(first))
    driver.receive(OTHER, Submit((bad.raw[:-1] + bytes([bad.raw[-1] ^ 1]),)))
    driver.receive(world.phone, submit(good))
    driver.wait(CHECK_INTERVAL_US)
    assert [level for _, level, _ in driver.statuses(world.phone)] == [R0, R0]
    ((_, level, reason),) = driver.statuses(OTHER)
    assert (level, reason) == (REFUSED, "bad signature: it is not the sender's")


def govern(driver: Any, rules: Rules) -> None:
    driver.core.govern(Policy(rules))


def test_what_the_owner_grants_is_used_up_by_payments_only_and_the_rule_is_named(world: Any, make: Any) -> None:
    driver = make(miners=1)
    govern(driver, Rules(writes_per_minute=2, writes_burst=2))
    bad, chain = world.transaction(sender=1), world.chain_of(3)
    driver.receive(world.phone, Submit((bad.raw[:-1] + bytes([bad.raw[-1] ^ 1]),)))
    driver.wait(CHECK_INTERVAL_US)
    driver.statuses(world.phone)
    driver.receive(world.phone, submit(*chain))
    driver.wait(CHECK_INTERVAL_US)
    told = driver.statuses(world.phone)
    assert [level for _, level, _ in told] == [R0, R0, REFUSED]
    assert told[2][2] == "policy.writes_per_minute: 2 a minute and 2 at once are taken"
    driver.receive(world.phone, submit(*chain[:2]))  # what is known already costs nothing
    driver.wait(CHECK_INTERVAL_US)
    assert [level for _, level, _ in driver.statuses(world.phone)] == [R0, R0]


def test_an_edge_that_reaches_no_miner_keeps_payments_or_takes_none_as_its_owner_says(world: Any, make: Any) -> None:
    queueing, reading = make(miners=0), make(miners=0)
    govern(queueing, Rules(queue_age_s_max=1))
    govern(reading, Rules(read_only=True))
    first, second = world.chain_of(2)
    for driver in (queueing, reading):
        driver.receive(world.phone, submit(first))
    assert driver.statuses(world.phone)[0][2].startswith("policy.when_unreachable: nobody above can be reached")
    assert queueing.statuses(world.phone) == [(first.id, R0, "")]
    queueing.wait(2_000_000)
    queueing.receive(world.phone, submit(second))
    queueing.wait(CHECK_INTERVAL_US)
    ((_, level, reason),) = queueing.statuses(world.phone)
    assert (level, reason.partition(":")[0]) == (REFUSED, "policy.queue_age_s_max")
