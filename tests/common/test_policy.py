"""The owner's policy: reading its table, deciding by it, the record of decisions, and a node that keeps to it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import given
from hypothesis import strategies as st
from reach_node import ReachNode, RootNode
from reach_samples import sample_record

from supervm.common.contract.core import Dial, DialFailed, Outbox, PeerUp, Publish
from supervm.common.errors import InputError
from supervm.common.host.config import load_config
from supervm.common.parts.book import BACKOFF_US_MIN, Book
from supervm.common.parts.directory.root import DIRECTORY
from supervm.common.parts.events import PolicyDecision
from supervm.common.parts.policy.audit import AGAIN_US, REMEMBERED_MAX, Audit
from supervm.common.parts.policy.policy import OPEN, Policy
from supervm.common.parts.policy.rules import POLICY_OPTIONS, Rules, read_rules, scheme_of
from supervm.common.parts.reach.tables import PROVEN
from supervm.common.services.housekeeping import HousekeepingConfig, jobs_of, remove_older
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.wire.reach import RecordPut

SECOND = 1_000_000
NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000


# --- the table --------------------------------------------------------------------------------------------------------


def test_without_a_table_there_is_no_rule() -> None:
    assert read_rules({}) == Rules()
    assert OPEN.write(0, is_reachable=False).verdict == "allow"
    assert OPEN.link(0, "serial:/dev/ttyUSB0", "XX").verdict == "allow"
    assert OPEN.info() == {}


def test_a_table_is_read() -> None:
    values = {"transports": "tcp, serial", "regions": "eu", "writes_per_minute": 6, "when_unreachable": "read-only"}
    rules = read_rules(values)
    assert (rules.transports, rules.regions, rules.writes_burst, rules.read_only) == (
        ("tcp", "serial"),
        ("eu",),
        6,
        True,
    )


CONFIG = "tier = 3\n{line}\n[policy]\n{policy}\n"


@pytest.mark.parametrize(
    ("line", "policy", "words"),
    [
        ("", 'transports = "tcp,,lan"', ["line 4", "policy.transports", "words of at most 16"]),
        ("", 'regions = "eu,eu"', ["line 4", "policy.regions", "twice"]),
        ("", 'stores = "a very long name of a region"', ["policy.stores"]),
        ("", "retention_days = -1", ["policy.retention_days", "from 0 to 36500"]),
        ("", 'when_unreachable = "panic"', ["policy.when_unreachable", "queue, read-only"]),
        ("", "transport = 1", ["no such key in [policy]"]),
        ("", 'transports = "tcp"\n[browsers]\nlisten = "127.0.0.1:1"', ["browsers.listen", "forbids webrtc"]),
        ('listen = "0.0.0.0:1"', 'transports = "serial"', ["line 2", "key listen", "policy.transports forbids tcp"]),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, line: str, policy: str, words: list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(line=line, policy=policy))
    with pytest.raises(InputError) as told:
        load_config(path, tier=3, options={})
    assert all(word in str(told.value) for word in words), told.value


def test_a_configuration_without_the_table_has_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("tier = 3\n")
    assert load_config(path, tier=3, options={}).policy == {}
    path.write_text("tier = 3\n[policy]\n")
    assert set(load_config(path, tier=3, options={}).policy) == set(POLICY_OPTIONS)


# --- deciding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("127.0.0.1:1", "tcp"),
        ("[::1]:1", "tcp"),
        ("host.example:4301", "tcp"),
        ("tcp:host:1", "tcp"),
        ("serial:/dev/ttyUSB0", "serial"),
        ("webrtc:0123@x", "webrtc"),
    ],
)
def test_the_transport_of_an_address(address: str, scheme: str) -> None:
    assert scheme_of(address) == scheme


@pytest.mark.parametrize(
    ("address", "region", "rule"),
    [
        ("20.1.1.1:1", "eu", ""),
        ("serial:x", "eu", ""),
        ("webrtc:x", "eu", "transports"),
        ("20.1.1.1:1", "us", "regions"),
        ("20.1.1.1:1", "", "regions"),  # it was found, and says nothing
        ("20.1.1.1:1", None, ""),  # the owner wrote it down
        ("", "us", "regions"),  # it dialled us
        ("", None, ""),
    ],
)
def test_links(address: str, region: str | None, rule: str) -> None:
    policy = Policy(Rules(transports=("tcp", "serial"), regions=("eu", "ch")))
    decided = policy.link(0, address, region)
    assert (decided.verdict, decided.rule) == (("deny", rule) if rule else ("allow", ""))
    assert decided.refusal.startswith(f"policy.{rule}:")


def test_writes_have_a_rate_and_a_burst() -> None:
    policy = Policy(Rules(writes_per_minute=6, writes_burst=2))
    assert [policy.write(0, is_reachable=True).rule for _ in range(3)] == ["", "", "writes_per_minute"]
    assert [policy.write(10 * SECOND, is_reachable=True).goes_on for _ in range(2)] == [True, False]


@given(st.lists(st.integers(0, 30), max_size=60))
def test_no_pattern_gets_more_than_twice_the_burst_and_the_rate(pauses_s: list[int]) -> None:
    policy, now_s, taken = Policy(Rules(writes_per_minute=6, writes_burst=3)), 0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        taken += policy.write(now_s * SECOND, is_reachable=True).goes_on
    assert taken <= 2 * 3 + now_s * 6 // 60 + 1


def test_while_nobody_can_be_reached_payments_wait_but_not_for_ever() -> None:
    policy = Policy(Rules(queue_age_s_max=100))
    first = policy.write(0, is_reachable=False)
    assert (first.verdict, first.goes_on) == ("queue-only", True)
    assert policy.write(100 * SECOND, is_reachable=False).goes_on
    last = policy.write(101 * SECOND, is_reachable=False)
    assert (last.verdict, last.rule) == ("deny", "queue_age_s_max")
    assert policy.write(102 * SECOND, is_reachable=True).verdict == "allow"
    assert policy.write(103 * SECOND, is_reachable=False).goes_on  # a new wait begins


def test_read_only_takes_nothing_while_nobody_can_be_reached() -> None:
    policy = Policy(Rules(read_only=True))
    decided = policy.write(0, is_reachable=False)
    assert (decided.verdict, decided.goes_on) == ("read-only", False)
    assert "policy.when_unreachable" in decided.refusal
    assert policy.write(1, is_reachable=True).verdict == "allow"


# --- the record -------------------------------------------------------------------------------------------------------


def audited(rules: Rules, secret: bytes = b"s" * 16) -> tuple[Policy, Outbox]:
    outbox = Outbox()
    return Policy(rules, Audit(outbox, secret)), outbox


def told(outbox: Outbox) -> list[PolicyDecision]:
    return [effect.event for effect in outbox.drain() if isinstance(effect, Publish)]  # type: ignore[misc]


def test_every_decision_is_counted_and_what_is_kept_from_the_node_is_told() -> None:
    policy, outbox = audited(Rules(transports=("tcp",)))
    policy.link(0, "20.1.1.1:1", None)
    policy.link(0, "serial:/dev/secret-place", None)
    policy.link(0, "serial:/dev/secret-place", None)
    assert policy.info() == {"link.allow": 1, "link.deny.transports": 2}
    [event] = told(outbox)
    assert (event.act, event.verdict, event.rule, event.times) == ("link", "deny", "transports", 1)
    policy.link(AGAIN_US, "serial:/dev/secret-place", None)
    [again] = told(outbox)
    assert (again.times, again.mark) == (2, event.mark)


def test_nothing_that_is_told_names_anybody() -> None:
    name = test_key("somebody").public.hex()
    policy, outbox = audited(Rules(transports=("serial",), regions=("eu",), stores=("eu",), read_only=True))
    policy.link(0, f"webrtc:{name}@198.51.100.7:4000", None)
    policy.link(0, "198.51.100.7:4000", "us")
    policy.keep(0, "us")
    policy.write(0, is_reachable=False)
    events = told(outbox)
    assert len(events) == 4
    for event in events:
        text = repr(event)
        assert name not in text
        assert "198.51" not in text
        assert "4000" not in text
    other, others = audited(Rules(transports=("serial",)), b"t" * 16)
    other.link(0, f"webrtc:{name}@198.51.100.7:4000", None)
    assert told(others)[0].mark != events[0].mark  # another start, another mark


def test_nobody_fills_memory_or_a_disk_by_asking() -> None:
    policy, _ = audited(Rules(transports=("serial",)))
    for number in range(3 * REMEMBERED_MAX):
        policy.link(0, f"20.1.{number >> 8}.{number & 255}:1", None)
    audit = policy._audit
    assert audit is not None
    assert len(audit._told) == REMEMBERED_MAX
    assert policy.info() == {"link.deny.transports": 3 * REMEMBERED_MAX}


# --- a node that keeps to it ------------------------------------------------------------------------------------------


def node(rules: Rules, *targets: str) -> HandDriver[ReachNode]:
    store = MemoryStore(ReachNode.declared_tables())
    core = ReachNode(test_key("me"), ("11.1.0.1:7003",), [(None, target) for target in targets], store)
    core.govern(Policy(rules, Audit(core.outbox, b"s" * 16)))
    return HandDriver(core, store, now_us=NOW_US)


def record(name: str, region: str) -> bytes:
    expires_ms = GENESIS_TIME_MS + 3 * 3_600_000
    chain_id = ReachNode(test_key("me"), (), (), MemoryStore(ReachNode.declared_tables())).chain_id
    known: dict[str, Any] = {"chain_id": chain_id, "endpoints": ("20.5.0.1:7003",), "expires_ms": expires_ms}
    return encode(sample_record(name, region=region, **known))


def test_a_node_dials_no_transport_that_is_not_allowed_and_says_so() -> None:
    run = node(Rules(transports=("tcp",)), "serial:/dev/ttyUSB0", "20.1.1.1:1")
    assert [dial.address for dial in run.dials] == ["20.1.1.1:1"]
    [event] = run.told(PolicyDecision)
    assert (event.rule, event.reason) == ("transports", "serial is not among tcp")
    run.wait(30 * SECOND)
    assert {dial.address for dial in run.dials} == {"20.1.1.1:1"}
    assert run.core.info(run.now_us)["policy"]["link.deny.transports"] > 1


def test_who_is_in_another_region_is_not_dialled_not_kept_up_and_not_written_down() -> None:
    run = node(Rules(regions=("eu",)))
    teller = test_key("teller").public
    run.up(teller, 3, features=("reach1",))
    run.receive(teller, RecordPut((record("far", "us"), record("near", "eu"))))
    run.wait(1)
    assert [dial.peer for dial in run.dials] == [test_key("near").public]
    far = test_key("far").public
    run.step(PeerUp(far, 3, ("reach1",), 0, None, "20.5.0.1"))
    assert run.hung_up[far] == "policy"
    newcomer = test_key("newcomer").public
    run.up(newcomer, 3, features=("reach1",))
    run.receive(newcomer, RecordPut((record("newcomer", "us"),)))  # it says where it is once it is up
    assert run.hung_up[newcomer] == "policy"


@pytest.mark.parametrize(("stores", "kept"), [((), 1), (("eu",), 1), (("ch",), 0)])
def test_only_nodes_of_regions_that_may_be_kept_are_written_down(stores: tuple[str, ...], kept: int) -> None:
    run = node(Rules(stores=stores))
    peer = test_key("near").public
    run.up(peer, 3, features=("reach1",), address="20.5.0.1:7003")
    run.receive(peer, RecordPut((record("near", "eu"),)))
    run.disk()
    assert len(list(PROVEN.rows(run.store))) == kept


def test_a_roots_directory_keeps_only_regions_that_may_be_kept() -> None:
    store = MemoryStore(RootNode.declared_tables())
    core = RootNode(test_key("me"), ("11.1.0.1:7003",), (), store)
    core.govern(Policy(Rules(stores=("eu",))))
    run = HandDriver(core, store, now_us=NOW_US)
    miner = test_key("miner").public
    run.up(miner, 2, features=("reach1",))
    run.receive(miner, RecordPut((record("near", "eu"), record("far", "us"))))
    run.wait(60 * SECOND)
    assert [row.node_id for row in DIRECTORY.rows(store)] == [test_key("near").public]


def test_of_one_node_the_preferred_transport_is_dialled_first_and_the_next_when_it_fails() -> None:
    outbox, peer = Outbox(), test_key("peer").public
    book = Book(outbox, [(peer, "serial:x"), (peer, "20.1.1.1:1"), (None, "serial:y")], random.Random(1), {})
    book.preference = Policy(Rules(transports=("tcp", "serial"))).preference

    def dialled(now_us: int) -> list[str]:
        book.tick(now_us)
        return [effect.address for effect in outbox.drain() if isinstance(effect, Dial)]

    assert dialled(0) == ["20.1.1.1:1", "serial:y"]
    book.dial_failed(0, DialFailed("20.1.1.1:1", "no answer"))
    assert "serial:x" in dialled(BACKOFF_US_MIN)
    book.peer_up(BACKOFF_US_MIN, peer, "20.1.1.1:1")
    assert dialled(60 * SECOND) == ["serial:y"]


# --- what is too old --------------------------------------------------------------------------------------------------


def test_logs_and_backups_go_when_they_are_older_than_allowed(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    ages = {"node.log": 100, "node.log.1": 5, "node.log.2": 50}
    ages |= {
        f"backups/{number:06d}.{suffix}": age
        for number, age in ((1, 50), (2, 40), (3, 35))
        for suffix in ("sqlite", "log")
    }
    for name, days in ages.items():
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (10**9 - days * 86_400,) * 2)
    remove_older(tmp_path, 10**9 - 30 * 86_400)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*") if path.is_file())
    assert left == ["backups/000003.log", "backups/000003.sqlite", "node.log", "node.log.1"]


@pytest.mark.parametrize(("days", "wanted"), [(0, False), (7, True)])
def test_they_are_looked_at_once_a_day_if_there_is_a_rule(tmp_path: Path, days: int, wanted: bool) -> None:
    jobs = jobs_of(HousekeepingConfig(retention_days=days), tmp_path)
    assert ("retention" in [job.name for job in jobs]) is wanted
    for job in jobs:
        if job.name == "retention":
            (tmp_path / "node.log").write_text("a line\n")
            job.work()  # type: ignore[unused-coroutine]
            assert (tmp_path / "node.log.1").read_text() == "a line\n"


# --- faults that are planted are noticed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "place", "fault", "test"),
    [
        (Audit, "_mark", lambda _self, subject: subject, test_nothing_that_is_told_names_anybody),
        (
            Policy,
            "_has_waited",
            lambda _self, _now_us: False,
            test_while_nobody_can_be_reached_payments_wait_but_not_for_ever,
        ),
        (Policy, "_has_room", lambda _self, _now_us: True, test_writes_have_a_rate_and_a_burst),
        (
            Policy,
            "preference",
            lambda _self, _address: 0,
            test_of_one_node_the_preferred_transport_is_dialled_first_and_the_next_when_it_fails,
        ),
        (
            ReachNode,
            "_denied",
            lambda _self, _address, _peer: "",
            test_a_node_dials_no_transport_that_is_not_allowed_and_says_so,
        ),
        (
            ReachNode,
            "region_of",
            lambda _self, _peer: None,
            test_who_is_in_another_region_is_not_dialled_not_kept_up_and_not_written_down,
        ),
    ],
    ids=["marks", "queue age", "rate", "preference", "dials", "regions"],
)
def test_a_planted_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, kind: type, place: str, fault: Any, test: Any
) -> None:
    test()
    monkeypatch.setattr(kind, place, fault)
    with pytest.raises((AssertionError, ValueError)):
        test()
