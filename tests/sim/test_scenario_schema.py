"""Scenario files: every mistake is an error that says file, line, key and what is allowed; every shipped file loads."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from supervm.common.errors import InputError
from supervm.sim.disturb.faults import FaultPlayer
from supervm.sim.exact import ACTORS, Choices
from supervm.sim.run import check_selections
from supervm.sim.scenario import Change, keys, library_names, load_named, load_scenario, read_scenario
from supervm.sim.scenario.expect import SUMMARY, holds
from supervm.sim.scenario.faults import FAULTS, key_lines, kind_lines
from supervm.sim.scenario.naming import check_selector, select

HEAD = """\
[scenario]
name = "x"
question = "?"
duration_s = 10
"""


CHANGE = '[[change]]\nkind = "validators"\nat_s = 1\nwho = ["l1-0..2"]\n'


@pytest.mark.parametrize(
    ("rest", "line", "words"),
    [
        ("[tiers.l1]\ncuont = 4", 6, ("tiers.l1.cuont", "no such key", "count")),
        ("[tiers.l1]\ncount = 0", 6, ("tiers.l1.count", "it is 0", "from 1 to")),
        ("[tiers.l1]\ncount = 4.0", 6, ("it is 4.0", "whole number")),
        ("[tiers.l1]\ncount = true", 6, ("it is True", "whole number")),
        ("[tiers.l5]\ncount = 4", 5, ("tiers.l5", "l1, l2, l3, l4")),
        ("[tiers.l3]\ncount = 0", 6, ("phones need an edge",)),
        ("[weather]\nrain = 1", 5, ("weather", "[workload]", "[[fault]]")),
        ("[workload]\nlookups_per_s = 1", 6, ("lookups_per_s", "topology.find_peers")),
        ('[topology]\nregions = ["mars"]', 6, ("'mars'", "eu-central-1")),
        ('[topology]\nplacement = "near"', 6, ("'near'", "spread, random")),
        ('[workload]\npayments_per_s = "many"', 6, ("'many'", "number per second")),
        ("[workload]\namount_min = 9\namount_max = 3", 7, ("below amount_min",)),
        ("[workload]\nstop_s = 11", 6, ("after the end",)),
        ('[workload]\nsenders = ["l3"]', 6, ("tier 3", "only l4")),
        ("[[fault]]\nat_s = 1", 5, ("must say its kind",)),
        ('[[fault]]\nkind = "flood"\nat_s = 1', 6, ("'flood'", "partition", "crash-point")),
        ('[[fault]]\nkind = "crash"\nat_s = 1', 5, ("fault.1.who", "missing")),
        ('[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l1-9"]', 8, ("l1-9", "0 to 3")),
        ('[[fault]]\nkind = "crash"\nat_s = 11\nwho = ["l1"]', 7, ("after the end",)),
        ('[[fault]]\nkind = "crash"\nat_s = 1\nwho = []', 8, ("names nobody",)),
        ('[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l1@mars"]', 8, ("mars", "one LAN")),
        (
            '[[fault]]\nkind = "stop"\nat_s = 1\nwho = ["l1"]\n[[fault]]\nkind = "crash"\nat_s = 1\nfactor = 2\n'
            'who = ["l1"]',
            12,
            ("fault.2.factor", "at_s, for_s, who"),
        ),
        ('[[fault]]\nkind = "crash-point"\nat_s = 1\nwho = ["l1"]\nboundary = "later"', 9, ("after-durable",)),
        ("epoch_s = 0.5", 5, ("scenario.epoch_s", "it is 0.5", "from 1 to")),
        ("[tiers.l1]\ncount = 4\nmembers = 5", 7, ("tiers.l1.members", "it is 5", "at most count, 4")),
        ("[tiers.l2]\nmembers = 1", 6, ("tiers.l2.members", "no such key")),
        ('[[change]]\nkind = "weather"\nat_s = 1', 6, ("change.1.kind", "'weather'", "validators")),
        ('[[change]]\nkind = "validators"\nat_s = 1', 5, ("change.1.who", "missing")),
        ('[[change]]\nkind = "validators"\nat_s = 1\nwho = ["l2-0"]', 8, ("tier 2", "only l1")),
        ('[[change]]\nkind = "validators"\nat_s = 11\nwho = ["l1"]', 7, ("after the end",)),
        (CHANGE + "for_s = 1", 9, ("change.1.for_s", "at_s, who, weights")),
        (CHANGE + "weights = [1, 0, 1]", 9, ("change.1.weights", "[1, 0, 1]", "from 1 to")),
        (CHANGE + 'weights = ["1"]', 9, ("a list, each a whole number",)),
        (CHANGE + "weights = 1", 9, ("a list, each a whole number",)),
        (CHANGE + "weights = []", 9, ("it is empty", "one weight of all")),
        (CHANGE + "weights = [1, 2]", 9, ("2 weights for 3 nodes",)),
        (
            '[[change]]\nkind = "validators"\nat_s = 1\nwho = ["l1:f"]\nweights = [1, 2]',
            9,
            ("2 weights need nodes by name",),
        ),
        ('[[adversary]]\nkind = "grumpy"', 6, ("'grumpy'", "equivocator")),
        ('[[adversary]]\nkind = "twins"\nlate_s = 1', 7, ("no such key here", "who")),
        ('[[adversary]]\nkind = "equivocator"\nwho = ["l2-0"]', 7, ("tier 2", "only l1")),
        ("[expect]\nspeed_min = 3", 6, ("speed_min", "_min, _max or _is")),
        ('[expect]\nforks_max = "few"', 6, ("a number is allowed",)),
        ('[sweep]\nkey = "count"\nvalues = ["1"]', 6, ("tiers.l1.count",)),
        ("[report]\nsample_s = 0.0000001", 6, ("at most 6 decimals",)),
        ("fault = 3", 5, ("scenario.fault", "no such key")),
        ('[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l1:20%"]', 8, ("'l1:20%' chooses nobody", "20% of 4 nodes")),
        ('[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l2", "l1:0"]', 8, ("'l1:0' chooses nobody",)),
        (
            '[topology]\nregions = ["us-east-1", "eu-central-1"]\n[[fault]]\nkind = "crash"\nat_s = 1\n'
            'who = ["l3@eu-central-1"]',
            10,
            ("chooses nobody: l3 has no node in eu-central-1",),
        ),
        ('[tiers.l4]\ncount = 0\n[[fault]]\nkind = "stop"\nat_s = 1\nwho = ["l4"]', 10, ("l4 has no node",)),
        ('[tiers.l1]\ncount = 3\n[[adversary]]\nkind = "equivocator"', 7, ("'f' chooses nobody", "f of 3 nodes")),
        ('[[change]]\nkind = "validators"\nat_s = 1\nwho = ["l1:10%"]', 8, ("'l1:10%' chooses nobody",)),
    ],
)
def test_mistake_is_named_with_line_and_what_is_allowed(rest: str, line: int, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        read_scenario(HEAD + rest, "mine.toml")
    text = str(caught.value)
    assert text.startswith(f"mine.toml, line {line}, key "), text
    assert all(word in text for word in words), text
    assert "\n" not in text


def test_scale_engine_is_refused_and_says_so() -> None:
    with pytest.raises(InputError, match=r"line 5, key scenario.engine: the scale engine is not part of this release"):
        read_scenario(HEAD + 'engine = "scale"', "mine.toml")


def test_text_that_is_not_toml() -> None:
    with pytest.raises(InputError, match=r"mine.toml: this is not TOML: .*line 2"):
        read_scenario("[scenario]\nname = \n", "mine.toml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("count=3", "table.key=value is needed"),
        ("tiers.l1.count", "table.key=value is needed"),
        ("tiers.l1.count=none", "--set tiers.l1.count=none: it is 'none'"),
        ("tiers.l1.speed=1", "--set tiers.l1.speed=1: there is no such key"),
        ("fault.1.at_s=2", "is no table|there is no such key|entries"),
        ("scenario.name.x=1", "scenario.name is no table"),
        ('fault=[{kind="crash"}]', "--set fault=.*the key is missing"),
    ],
)
def test_wrong_change_names_the_option(change: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_scenario(HEAD, "mine.toml", [change])


def test_changes_reach_tables_entries_and_whole_lists() -> None:
    text = HEAD + '[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l1-0"]\n'
    scenario = read_scenario(text, "m.toml", ["tiers.l4.count=9", "fault.1.at_s=2.5", "scenario.name=other"])
    assert (scenario.tier(4).count, scenario.faults[0].at_us, scenario.name) == (9, 2_500_000, "other")
    scenario = read_scenario(text, "m.toml", ['fault=[{kind="stop", at_s=3, who=["l2"]}]'])
    assert [fault.kind for fault in scenario.faults] == ["stop"]


def test_a_change_of_validators_has_who_and_weights() -> None:
    text = HEAD + "epoch_s = 2.5\n[tiers.l1]\ncount = 6\nmembers = 4\n" + CHANGE
    scenario = read_scenario(text, "m.toml")
    assert (scenario.epoch_us, scenario.tier(1).members) == (2_500_000, 4)
    assert scenario.changes == (Change("validators", 1_000_000, ("l1-0..2",), (1,), 9),)
    scenario = read_scenario(text, "m.toml", ["change.1.weights=[3, 1, 1]", "change.1.at_s=2"])
    assert (scenario.changes[0].weights, scenario.changes[0].at_us) == ((3, 1, 1), 2_000_000)
    scenario = read_scenario(text, "m.toml", ['change=[{kind="validators", at_s=3, who=["l1:2"], weights=[5]}]'])
    assert [(change.who, change.weights) for change in scenario.changes] == [(("l1:2",), (5,))]


def test_decimals_are_exact() -> None:
    """0.1 s is 100,000 us, not what a binary fraction makes of it."""
    scenario = read_scenario(HEAD + "[report]\nsample_s = 0.1\n[workload]\npayments_per_s = 0.003\n", "m.toml")
    assert (scenario.sample_us, scenario.workload.payments_per_1000s) == (100_000, 3)


@pytest.mark.parametrize("name", library_names())
def test_library_scenario_loads_and_states_question_claim_and_expectations(name: str) -> None:
    scenario = load_named(name)
    assert scenario.name == name
    assert scenario.question.endswith("?")
    assert scenario.claim
    assert scenario.text.startswith("# Question: ")
    assert "# Claimed: " in scenario.text
    assert len(scenario.expect) >= 5


def test_library_has_the_named_scenarios() -> None:
    wanted = {"global-baseline", "partition-heal", "byzantine", "churn-diurnal", "wal-crash", "validator-change"}
    assert wanted | {"many-assets", "addressing"} <= dict.fromkeys(library_names()).keys()
    with pytest.raises(InputError, match="partition-heal"):
        load_scenario("no-such")
    with pytest.raises(InputError, match="there is no such file"):
        load_scenario("no/such.toml")


def test_byzantine_sweeps_every_actor() -> None:
    """A new actor that no scenario runs would be an actor that nobody sees."""
    sweep = load_named("byzantine").sweep
    assert sweep is not None
    assert sorted(sweep.values) == sorted(f'"{name}"' for name in (*ACTORS, *keys.ADVERSARIES_APART))


def test_every_key_has_help_and_every_metric_a_meaning() -> None:
    tables = [*keys.TABLES.values(), *(kind.keys for kind in FAULTS.values()), *keys.CHANGES.values(), keys.ADVERSARY]
    tables += keys.ADVERSARIES_APART.values()
    tables += [keys.tier_keys(tier) for tier in range(1, 5)]
    assert all(key.help for table in tables for key in table.values())
    assert all(SUMMARY.values())


NAMES = {tier: [f"l{tier}-{index}" for index in range(count)] for tier, count in ((1, 7), (2, 2), (3, 3), (4, 8))}
REGION_OF = {name: "eu-central-1" if int(name[-1]) % 2 else "us-east-1" for tier in NAMES for name in NAMES[tier]}


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ("all", 20),
        ("l1", 7),
        ("l4-2", 1),
        ("l4-2..5", 4),
        ("l1:f", 2),
        ("l4:25%", 2),
        ("l3:2", 2),
        ("l2:f", 1),
        ("region:us-east-1", 11),
        ("l4@eu-central-1", 4),
        ("l4:50%@eu-central-1", 2),
    ],
)
def test_selector_chooses(selector: str, count: int) -> None:
    assert check_selector(selector, counts=[7, 2, 3, 8], regions=["us-east-1", "eu-central-1"]) is None
    chosen = select([selector], NAMES, REGION_OF, Choices(1).stream("test"))
    assert len(chosen) == count
    assert chosen == select([selector], NAMES, REGION_OF, Choices(1).stream("test"))


@pytest.mark.parametrize("selector", ["", "l5", "l1-", "l1-3..1", "l1-7", "f", "l1:x", "everything", "l1-0..9"])
def test_selector_that_names_nobody_is_refused(selector: str) -> None:
    assert check_selector(selector, counts=[7, 2, 3, 8]) is not None


def test_bounds() -> None:
    scenario = read_scenario(HEAD + "[expect]\nforks_max = 0\nr3_ms_p50_max = 2.5\nobservers_is = 1\n", "m.toml")
    forks, latency, observers = scenario.expect
    assert holds(forks, 0)
    assert not holds(forks, 1)
    assert holds(latency, 2.5)
    assert not holds(latency, 2.500001)
    assert holds(observers, 1)
    assert not holds(observers, 2)
    assert not holds(forks, None), "what was not measured satisfies nothing"


def test_every_key_fault_and_metric_is_documented() -> None:
    """docs/simulator.md names everything that a file may say."""
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    kinds = {**{name: kind.keys for name, kind in FAULTS.items()}, **keys.CHANGES, **keys.ADVERSARIES_APART}
    names = [*SUMMARY, *ACTORS, *kinds, *(name for table in kinds.values() for name in table)]
    names += [name for table in (*keys.TABLES.values(), keys.tier_keys(1), keys.tier_keys(4)) for name in table]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_tables_of_faults_are_those_of_the_code() -> None:
    """docs/simulator.md has every kind and every key with its default and bounds, and none beside them."""
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    for lines in (kind_lines(), key_lines()):
        assert "\n\n{}\n\n".format("\n".join(lines)) in text, lines[0]


def test_every_kind_of_fault_is_played() -> None:
    """The player finds a kind's method by its name, and has none for a kind that there is not."""
    taken = ["self", "number", "fault", "who", "draws"]
    played = [
        name
        for name, method in inspect.getmembers(FaultPlayer, inspect.isfunction)
        if [item.strip("_") for item in inspect.signature(method).parameters] == taken and name != "_schedule"
    ]
    assert sorted(played) == sorted(f"_{name.replace('-', '_')}" for name in FAULTS)


def test_a_byte_order_mark_is_no_part_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load_scenario(str(path)).name == "x"
    assert read_scenario("\ufeff" + HEAD, "mine.toml").duration_us == 10_000_000


def test_regions_that_follow_from_the_seed_are_looked_at_before_the_run() -> None:
    """With some seeds both validators stand in one region, and a fault in the other strikes nobody."""
    text = HEAD + (
        '[topology]\nregions = ["us-east-1", "eu-central-1"]\nplacement = "random"\n[tiers.l1]\ncount = 2\n'
        '[[fault]]\nkind = "crash"\nat_s = 1\nwho = ["l1@eu-central-1"]\n'
    )
    scenario = read_scenario(text, "mine.toml")
    empty = []
    for seed in range(12):
        try:
            check_selections(scenario, seed)
        except InputError as error:
            empty.append(str(error))
    assert 0 < len(empty) < 12
    assert empty[0].startswith("mine.toml, line 10, key fault.1.who: 'l1@eu-central-1' chooses nobody")
    assert empty[0].endswith("of this seed")
