"""What a phone does for others: the table of modes, reviews, the owner's word and limits, and what is counted."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from reach_node import CHAIN_ID, RATE
from reach_samples import sample_record

from supervm.common.contract.core import PeerUp, Sensed
from supervm.common.parts.costs import CLASSES
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Shell
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.reach import Find, Found, RecordPut, Wanted
from supervm.tier_l4_mobile.events import ModeChanged
from supervm.tier_l4_mobile.messages import Info, TakePart
from supervm.tier_l4_mobile.options import AUTO
from supervm.tier_l4_mobile.tables import TAKING_PART, TakingPartRow
from supervm.tier_l4_mobile.taking_part import modes
from supervm.tier_l4_mobile.taking_part.ability import GB, Demand, suited
from supervm.tier_l4_mobile.taking_part.modes import DAY_US, MIB, REVIEW_US, Modes

NOW_US = (GENESIS_TIME_MS * 1_000 // DAY_US + 1) * DAY_US + 1_000_000  # a day has just begun
RICH = Sensed(8 * GB, 80, False, False)
SOUGHT = Demand(200, 150)
ASKER = test_key("asker").public


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "demand", "present", "mode"),
    [
        (RICH, SOUGHT, STANDARD, ACTIVE),
        (Sensed(), SOUGHT, STANDARD, STANDARD),  # nothing is known: neither less nor more
        (msgspec.structs.replace(RICH, memory_bytes=GB - 1), SOUGHT, ACTIVE, PASSIVE),
        (msgspec.structs.replace(RICH, memory_bytes=4 * GB), SOUGHT, STANDARD, STANDARD),
        (msgspec.structs.replace(RICH, metered=True), SOUGHT, ACTIVE, PASSIVE),
        (msgspec.structs.replace(RICH, metered=None), SOUGHT, ACTIVE, STANDARD),
        (msgspec.structs.replace(RICH, battery_percent=19), SOUGHT, STANDARD, PASSIVE),
        (msgspec.structs.replace(RICH, battery_percent=19, charging=True), SOUGHT, STANDARD, PASSIVE),
        (msgspec.structs.replace(RICH, battery_percent=20), SOUGHT, STANDARD, STANDARD),
        (msgspec.structs.replace(RICH, battery_percent=24), SOUGHT, PASSIVE, PASSIVE),  # hysteresis, and below
        (msgspec.structs.replace(RICH, battery_percent=25), SOUGHT, PASSIVE, STANDARD),
        (msgspec.structs.replace(RICH, battery_percent=50), SOUGHT, STANDARD, STANDARD),
        (msgspec.structs.replace(RICH, battery_percent=51), SOUGHT, STANDARD, ACTIVE),
        (msgspec.structs.replace(RICH, battery_percent=40), SOUGHT, ACTIVE, ACTIVE),
        (msgspec.structs.replace(RICH, battery_percent=39), SOUGHT, ACTIVE, STANDARD),
        (msgspec.structs.replace(RICH, battery_percent=30, charging=True), SOUGHT, STANDARD, ACTIVE),
        (msgspec.structs.replace(RICH, battery_percent=None, charging=True), SOUGHT, STANDARD, ACTIVE),
        (RICH, Demand(100, 100), STANDARD, STANDARD),
        (RICH, Demand(101, 101), STANDARD, ACTIVE),
        (RICH, Demand(50, 50), ACTIVE, ACTIVE),
        (RICH, Demand(49, 49), ACTIVE, STANDARD),
        (RICH, Demand(200, 100), STANDARD, STANDARD),
        (RICH, Demand(200, 102), STANDARD, ACTIVE),
        (RICH, Demand(200, 80), ACTIVE, ACTIVE),
        (RICH, Demand(200, 79), ACTIVE, STANDARD),
    ],
)
def test_the_mode_that_suits(facts: Sensed, demand: Demand, present: str, mode: str) -> None:
    assert suited(facts, demand, present) == mode


@pytest.mark.parametrize(("asked", "found", "pays"), [(0, 0, True), (19, 0, True), (20, 10, False), (20, 11, True)])
def test_a_standard_phone_answers_where_that_is_of_use(asked: int, found: int, pays: bool) -> None:
    assert Demand(asked, found).pays is pays


# --- the part ---------------------------------------------------------------------------------------------------------


class Node(Shell):
    """A phone that finds peers and does nothing else."""

    PARTS = (*FINDERS[4], Modes)
    TIER = 4
    INFO = Info

    def __init__(self, store: MemoryStore, mode: str, *, metered: bool | None = None, finds_peers: bool = True) -> None:
        budgets = dict.fromkeys(Rank, Budget({**dict.fromkeys(CLASSES, RATE)}))
        super().__init__(targets=(), rng=random.Random(1), budgets=budgets, reader=store)
        self.node_id, self.chain_id = test_key("phone").public, CHAIN_ID
        modes = Modes(self.outbox, self.taking_part, store, mode=mode, metered=metered, finds_peers=finds_peers)
        found = finders(self, OwnNode(test_key("phone")), verify, random.Random(2))
        self.compose([self.links, *found, modes])

    @property
    def height(self) -> int:
        """None of the chain."""
        return 0

    def rank(self, event: PeerUp) -> Rank:
        """Nobody is anything to it."""
        return Rank.STRANGER


Phone = HandDriver[Node]
Make = Callable[[MemoryStore], Node]


def made(mode: str = AUTO, **options: bool | None) -> tuple[Phone, Make]:
    def make(store: MemoryStore) -> Node:
        return Node(store, mode, **options)  # type: ignore[arg-type]

    store = MemoryStore(Node.declared_tables())
    return HandDriver(make(store), store, now_us=NOW_US), make


def mode_of(phone: Phone) -> str:
    return str(phone.call(Info())["taking_part"]["mode"])


def wanted(phone: Phone, asked: int, found: int) -> None:
    """Others have asked so often since the last review."""
    for number in range(asked):
        phone.core.taking_part.note_question(found=number < found)


def review(phone: Phone, asked: int = 0, found: int = 0) -> str:
    wanted(phone, asked, found)
    phone.wait(REVIEW_US)
    return mode_of(phone)


def test_up_takes_two_reviews_and_down_takes_one() -> None:
    phone, _ = made()
    phone.step(RICH)
    assert review(phone, 200, 200) == STANDARD
    assert review(phone) == ACTIVE  # what was wanted before is not forgotten at once
    told = phone.told(ModeChanged)
    assert told[-1] == ModeChanged(ACTIVE, "what this device can spare")
    now = phone.core.taking_part.now
    assert (now.answers, now.carries, now.punches) == (True, True, True)
    phone.step(msgspec.structs.replace(RICH, battery_percent=10))
    assert mode_of(phone) == ACTIVE  # nothing changes between reviews
    assert review(phone) == PASSIVE
    now = phone.core.taking_part.now
    assert (now.answers, now.carries, now.punches) == (False, False, False)
    phone.step(RICH)
    assert [review(phone, 200, 200), review(phone, 200, 200)] == [PASSIVE, ACTIVE]


def test_one_good_moment_is_no_step_up() -> None:
    phone, _ = made()
    for charge in (80, 30, 80, 30, 80):
        phone.step(msgspec.structs.replace(RICH, battery_percent=charge))
        assert review(phone, 200, 200) == STANDARD


def test_a_charge_that_swings_around_a_limit_changes_nothing() -> None:
    phone, _ = made()
    phone.step(RICH)
    assert [review(phone, 200, 200), review(phone)] == [STANDARD, ACTIVE]
    for charge in (52, 48, 52, 48):
        phone.step(msgspec.structs.replace(RICH, battery_percent=charge))
        assert review(phone, 50, 50) == ACTIVE


def test_what_was_wanted_is_forgotten_within_hours() -> None:
    phone, _ = made()
    phone.step(RICH)
    assert [review(phone, 200, 200), review(phone)] == [STANDARD, ACTIVE]
    later = [review(phone) for _ in range(24)]
    assert later[-1] == STANDARD
    assert ACTIVE in later[2:]


def test_a_phone_that_is_told_first_that_it_is_small_does_nothing_at_once() -> None:
    phone, _ = made()
    phone.step(Sensed(GB // 2, 90, True))
    assert mode_of(phone) == PASSIVE


def test_what_the_owner_says_of_the_connection_comes_before_what_the_machine_says() -> None:
    phone, _ = made(metered=True)
    phone.step(RICH)
    assert mode_of(phone) == PASSIVE


# --- the owner --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [PASSIVE, STANDARD, ACTIVE])
def test_the_owners_word_always_wins_and_holds_over_a_restart(mode: str) -> None:
    phone, make = made()
    phone.step(Sensed(GB // 2, 5, False, True))
    assert mode_of(phone) == PASSIVE
    answer = phone.call(TakePart(mode))  # type: ignore[arg-type]
    assert (answer["mode"], answer["choice"], answer["reason"]) == (mode, mode, "the owner's choice")
    assert review(phone) == mode
    phone.restart(make)
    assert mode_of(phone) == mode
    assert phone.call(TakePart())["choice"] == AUTO  # and back to what the configuration says


def test_the_word_is_answered_once_it_is_on_disk() -> None:
    phone, make = made()
    phone.disk_at_once = False
    token = phone.ask(TakePart("active"))
    assert token not in phone.replies
    phone.restart(make)
    assert phone.call(Info())["taking_part"]["choice"] == AUTO
    phone.call(TakePart("active"))
    phone.restart(make)
    assert phone.call(Info())["taking_part"]["choice"] == ACTIVE


@pytest.mark.parametrize(
    "changes", [{"mode": "wild"}, {"battery_percent_min": 101}, {"carried_bytes": -1}, {"day": -1}]
)
def test_a_row_that_the_disk_gives_back_changed_is_none(changes: dict[str, str | int]) -> None:
    store = MemoryStore(Node.declared_tables())
    store.commit([TAKING_PART.put(msgspec.structs.replace(TakingPartRow(0, "active"), **changes))])
    phone = HandDriver(Node(store, STANDARD), store, now_us=NOW_US)
    told = phone.call(Info())["taking_part"]
    assert (told["mode"], told["choice"], told["carried_bytes"]) == (STANDARD, STANDARD, 0)


def test_the_owners_limits_hold_in_every_mode() -> None:
    phone, make = made(ACTIVE)
    phone.step(msgspec.structs.replace(RICH, battery_percent=45))
    answer = phone.call(TakePart("active", battery_percent_min=50, data_mib_per_day_max=1))
    assert (answer["mode"], "below 50 %" in answer["reason"]) == (PASSIVE, True)
    phone.step(msgspec.structs.replace(RICH, battery_percent=60))
    assert review(phone) == ACTIVE
    phone.core.taking_part.note_carried(MIB - 1)
    assert mode_of(phone) == ACTIVE
    phone.core.taking_part.note_carried(1)
    assert review(phone) == PASSIVE
    phone.restart(make)
    phone.step(msgspec.structs.replace(RICH, battery_percent=60))
    assert mode_of(phone) == PASSIVE  # a restart is no new day
    assert phone.call(Info())["taking_part"]["carried_bytes"] == MIB
    phone.wait(DAY_US)
    assert mode_of(phone) == ACTIVE


def test_only_while_charging() -> None:
    phone, _ = made()
    phone.step(RICH)
    answer = phone.call(TakePart("active", on_battery=False))
    assert (answer["mode"], answer["reason"]) == (STANDARD, "it is not charging")
    phone.step(msgspec.structs.replace(RICH, charging=True))
    assert review(phone) == ACTIVE


# --- what others notice -----------------------------------------------------------------------------------------------


def asked(phone: Phone, number: int) -> int:
    """Return how many records a question is answered with."""
    phone.receive(ASKER, Heartbeat(1, 0, phone.now_us // 1_000, 0))
    phone.receive(ASKER, Find(number, (test_key("edge1").public,), Wanted(), 4))
    found = phone.take(Found)[-1]
    assert found.number == number
    return len(found.items)


def test_a_passive_phone_answers_that_it_knows_nobody_and_counts_the_question() -> None:
    phone, _ = made(STANDARD)
    phone.up(ASKER, 3, features=("reach1",))
    expires_ms = phone.now_us // 1_000 + 3_600_000
    raw = encode(sample_record("edge1", chain_id=CHAIN_ID, endpoints=("11.2.0.1:7003",), expires_ms=expires_ms))
    phone.receive(ASKER, RecordPut((raw,)))
    assert asked(phone, 1) == 1
    phone.call(TakePart("passive"))
    assert asked(phone, 2) == 0
    told = phone.call(Info())["taking_part"]
    assert (told["asked"], told["found"]) == (2, 2)


def test_a_phone_that_finds_no_peers_never_wakes_for_it() -> None:
    phone, _ = made(ACTIVE, finds_peers=False)
    part = next(part for part in phone.core.parts if isinstance(part, Modes))
    assert part.deadline_us is None
    phone.step(Sensed(GB // 2, 5))
    assert mode_of(phone) == ACTIVE
    assert not phone.told(ModeChanged)


# --- faults that are planted are noticed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "fault", "test"),
    [
        (
            "suited",
            lambda facts, demand, _present: suited(facts, demand, STANDARD),
            test_a_charge_that_swings_around_a_limit_changes_nothing,
        ),
        ("KEPT_OF_12", 12, test_what_was_wanted_is_forgotten_within_hours),
        ("KEPT_OF_12", 0, test_up_takes_two_reviews_and_down_takes_one),
        ("DAY_US", 1, test_the_owners_limits_hold_in_every_mode),
    ],
)
def test_a_planted_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, place: str, fault: object, test: Callable[[], None]
) -> None:
    monkeypatch.setattr(modes, place, fault)
    with pytest.raises(AssertionError):
        test()
