"""What the parts of a node declare is what there is: directions, requests, tables, options, events, costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import typing
from pathlib import Path
from types import ModuleType

import pytest

from supervm.common.contract.events import Event
from supervm.common.parts.costs import COSTS
from supervm.common.parts.part import Part
from supervm.common.parts.shell import Shell
from supervm.protocol.wire.directions import ACCEPTS
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import (
    AnyMessage,
    BatchCertificateMessage,
    CheckpointMessage,
    GetBlocks,
    GetLeaves,
    GetReceipt,
    Hello,
    LeafProofs,
    ReceiptAnswer,
)
from supervm.protocol.wire.reach import BundleData, BundleOffer, BundleTaken, PunchAsk, RelayCount

ROOT = Path(__file__).parents[2]
MEMBERS = {1: "tier_l1_super", 2: "tier_l2_miner", 3: "tier_l3_edge", 4: "tier_l4_mobile"}
SHARED = ROOT / "common" / "src" / "supervm" / "common" / "parts"
Kinds = frozenset[type[Message]]

UNBUILT: Kinds = frozenset({PunchAsk, BundleOffer, BundleData, BundleTaken, RelayCount})
UNSENT: dict[int, Kinds] = {
    # a miner has the state itself, follows instead of asking for blocks, and never shows a checkpoint without proofs
    2: frozenset({CheckpointMessage, GetLeaves, GetBlocks, GetReceipt}),
    # an edge and a phone neither punch nor carry for others yet
    3: UNBUILT,
    4: UNBUILT,
}
"""What the directions let a tier send and its nodes never do."""
UNTAKEN: dict[int, Kinds] = {
    # a miner makes certificates itself, and asks a validator for no proofs
    2: frozenset({LeafProofs, BatchCertificateMessage, ReceiptAnswer}),
}
"""What the directions let a tier be sent and its nodes refuse."""


def module(tier: int, name: str) -> ModuleType:
    return importlib.import_module(f"supervm.{MEMBERS[tier]}.{name}")


def node_of(tier: int) -> type[Shell]:
    """The node class of a tier: a shell with parts."""
    found = [
        kind
        for _, kind in inspect.getmembers(module(tier, "node"), inspect.isclass)
        if issubclass(kind, Shell) and kind.PARTS
    ]
    (node,) = found
    return node


@pytest.fixture(params=sorted(MEMBERS), ids=[f"l{tier}" for tier in sorted(MEMBERS)])
def tier(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def node(tier: int) -> type[Shell]:
    return node_of(tier)


def names(kinds: typing.Iterable[type]) -> list[str]:
    return sorted(kind.__name__ for kind in kinds)


def assert_same(node: type[Shell], what: str, declared: list[str], place: str, there: list[str]) -> None:
    """Show what is on one side only, by name."""
    more, less = sorted(set(declared) - set(there)), sorted(set(there) - set(declared))
    assert not more, f"{what}: declared by parts of {node.__name__}, not in {place}: {', '.join(more)}"
    assert not less, f"{what}: in {place}, declared by no part of {node.__name__}: {', '.join(less)}"
    assert len(declared) == len(set(declared)), f"{what}: two parts of {node.__name__} declare one of {declared}"


# --- messages and requests --------------------------------------------------------------------------------------------


def test_a_tier_takes_what_it_may_be_sent(tier: int, node: type[Shell]) -> None:
    wire = node.declared_wire()
    allowed: Kinds = frozenset().union(*(wire.accepted_kinds(sender, tier) for sender in range(5)))
    takes: Kinds = frozenset().union(*(part.takes for part in node.kinds_of_parts()))
    expected = allowed - UNTAKEN.get(tier, frozenset()) - {Hello}
    assert_same(node, "takes", names(takes), f"what directions.py lets an L{tier} be sent", names(expected))


def test_a_tier_sends_what_it_may_send(tier: int, node: type[Shell]) -> None:
    wire = node.declared_wire()
    allowed: Kinds = frozenset().union(*(wire.accepted_kinds(tier, receiver) for receiver in range(5)))
    sends: Kinds = frozenset().union(*(part.sends for part in node.kinds_of_parts()))
    expected = allowed - UNSENT.get(tier, frozenset()) - {Hello}
    assert_same(node, "sends", names(sends), f"what directions.py lets an L{tier} send", names(expected))


def test_every_kind_in_a_direction_can_be_read_is_documented_and_has_a_cost() -> None:
    listed = set(re.findall(r"^\| \d+ \| `(\w+)` \|", (ROOT / "docs" / "messages.md").read_text(), re.MULTILINE))
    for direction, kinds in ACCEPTS.items():
        for kind in kinds:
            assert kind in typing.get_args(AnyMessage), f"{kind.__name__} of {direction} cannot be read"
            assert kind.__name__ in listed, f"{kind.__name__} of {direction} is not in docs/messages.md"
            assert kind in COSTS, f"{kind.__name__} of {direction} has no cost"


def test_every_kind_of_a_subject_has_a_part_that_takes_it_and_a_cost(tier: int, node: type[Shell]) -> None:
    """A subject's kinds are known only to nodes with its parts, which may be several."""
    parts = node.kinds_of_parts()
    takes: Kinds = frozenset().union(*(part.takes for part in parts))
    for part in parts:
        for kind, ways in (item for subject in part.subjects for item in subject.directions.items()):
            is_sent_here = any(receiver == tier for _, receiver in ways)
            assert not is_sent_here or kind in takes, f"no part of {node.__name__} takes {kind.__name__}"
            assert kind in part.costs, f"{part.__name__} has no cost for {kind.__name__}"


def test_the_owners_requests_are_declared_once(tier: int, node: type[Shell]) -> None:
    union = module(tier, "messages").Request
    requests = typing.get_args(union) or (union,)
    assert_same(node, "answers", names(node.declared_requests()), "messages.Request", names(requests))


# --- tables and options -----------------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_tier(tier: int, node: type[Shell]) -> None:
    declared, tables = node.declared_tables(), module(tier, "tables").TABLES
    assert_same(node, "tables", [table.name for table in declared], "tables.TABLES", [table.name for table in tables])
    assert set(declared) == set(tables)


def test_the_options_are_those_of_the_tier(tier: int, node: type[Shell]) -> None:
    options = module(tier, "options").OPTIONS
    keys = [key for part in node.kinds_of_parts() for key in part.options]
    assert_same(node, "options", keys, "options.OPTIONS", list(options))
    assert node.declared_options() == dict(options)


# --- events -----------------------------------------------------------------------------------------------------------


def imported_as(path: Path) -> ModuleType:
    """The module that a source file is."""
    return importlib.import_module(".".join(path.with_suffix("").parts[path.parts.index("src") + 1 :]))


def called(call: ast.Call, module: ModuleType) -> object:
    """What a call in a module's text calls: a name of the module or of a module in it; else None."""
    match call.func:
        case ast.Name(name):
            return vars(module).get(name)
        case ast.Attribute(ast.Name(place), name):
            return getattr(vars(module).get(place), name, None)
    return None


def published(path: Path) -> set[type[Event]]:
    """The events that a module gives to `publish`; one that cannot be read off the text is an error."""
    found: set[type[Event]] = set()
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "publish":
            made = [called(leaf, imported_as(path)) for leaf in ast.walk(call.args[0]) if isinstance(leaf, ast.Call)]
            kinds = [kind for kind in made if isinstance(kind, type) and issubclass(kind, Event)]
            assert kinds, f"{path.relative_to(ROOT)}:{call.lineno}: no event is made in the call"
            found.update(kinds)
    return found


def imports(path: Path) -> set[Path]:
    """The modules of `common.parts` that a module takes something from."""
    found: set[Path] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if not isinstance(item, ast.ImportFrom):
            continue
        if item.level and path.is_relative_to(SHARED):
            base = path.parents[item.level - 1].joinpath(*(item.module or "").split("."))
        elif (item.module or "").startswith("supervm.common.parts"):
            base = SHARED.joinpath(*str(item.module).split(".")[3:])
        else:
            continue
        for place in (base, *(base / alias.name for alias in item.names)):
            file = place.with_suffix(".py")
            if file.exists() and file.is_relative_to(SHARED):
                found.add(file)
    return found


def folder(tier: int) -> list[Path]:
    return sorted((ROOT / MEMBERS[tier] / "src").rglob("*.py"))


def shared_by(tier: int) -> list[Path]:
    """The shared modules that a tier's node is made of, however far away."""
    found: set[Path] = set()
    new = set().union(*map(imports, folder(tier)))
    while new:
        found |= new
        new = set().union(*map(imports, new)) - found
    return sorted(found)


def where(event: type[Event]) -> str:
    return f"{event.__module__.removeprefix('supervm.')}.{event.__name__}"


def test_every_event_is_declared_and_every_declared_one_published(tier: int, node: type[Shell]) -> None:
    events = [*node.EVENTS, *(event for part in node.kinds_of_parts() for event in part.events)]
    said = {event for path in (*folder(tier), *shared_by(tier)) for event in published(path)}
    place = f"what {MEMBERS[tier]} and the shared parts in it publish"
    assert_same(node, "events", sorted(map(where, events)), place, sorted(map(where, said)))
    assert set(node.declared_events()) == said


SAID_OF_ALL = "every node"
SECTIONS = {SAID_OF_ALL: (1, 2, 3, 4), "validators": (1,), "miners": (2,), "edges and phones": (3, 4)}
"""Section of docs/configuration.md -> the tiers that it is about."""
Row = tuple[str, tuple[str, ...]]


def rows(section: str) -> dict[Row, str]:
    """(Name, fields) of each event that a section lists -> its level."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    _, found, rest = text.partition(f"### Events of {section}\n")
    assert found, f"docs/configuration.md has no section of the events of {section}"
    listed = re.findall(r"^\| `([\w-]+)` \| ([\w ]+) \| ([\w, ]*) ?\|", rest.split("\n#")[0], re.MULTILINE)
    return {(name, tuple(re.findall(r"\w+", fields))): level for name, level, fields in listed}


def row_of(event: type[Event]) -> Row:
    fields = tuple(name for name in event.__struct_fields__ if name not in ("level", "about"))
    return event.NAME, fields


def said_by_all() -> set[type[Event]]:
    """What the driver and the host of every node say."""
    modules = [importlib.import_module(f"supervm.common.{place}.events") for place in ("driver", "host")]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    }


def events_of(tier: int) -> dict[Row, type[Event]]:
    return {row_of(event): event for event in (*node_of(tier).declared_events(), *said_by_all())}


def test_every_event_of_a_tier_stands_in_the_owners_tables(tier: int) -> None:
    listed: dict[Row, str] = {}
    for section, tiers in SECTIONS.items():
        if tier in tiers:
            listed |= rows(section)
    for row, event in events_of(tier).items():
        assert row in listed, f"{where(event)}: docs/configuration.md has no row of {row}"
        levels = listed[row].split(" or ")
        assert levels == [event.LEVEL] if event.level is Event.level else len(levels) > 1, f"{where(event)}: {levels}"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_owners_tables_list_nothing_else(section: str) -> None:
    for row in rows(section):
        assert any(row in events_of(tier) for tier in SECTIONS[section]), f"nobody says {row}"


# --- hooks ------------------------------------------------------------------------------------------------------------


def defines(part: type[Part], hook: str) -> bool:
    return getattr(part, hook) is not getattr(Part, hook)


def test_parts_define_the_hooks_that_they_declare(node: type[Shell]) -> None:
    for part in node.kinds_of_parts():
        for declared, hook in ((part.takes, "receive"), (part.answers, "command")):
            assert defines(part, hook) == bool(declared), (
                f"{part.__name__} declares {names(declared)} and {'has' if defines(part, hook) else 'lacks'} {hook}"
            )
        if defines(part, "deadline_us"):
            assert defines(part, "tick") or defines(part, "settle"), f"{part.__name__} has no use for the tick it wants"


def test_hooks_have_the_parameters_that_the_shell_gives(node: type[Shell]) -> None:
    hooks = [name for name, value in vars(Part).items() if inspect.isfunction(value)]
    for part in node.kinds_of_parts():
        for hook in filter(lambda name: defines(part, name), hooks):
            given = list(inspect.signature(getattr(Part, hook)).parameters)
            taken = list(inspect.signature(getattr(part, hook)).parameters)
            assert taken == given, f"{part.__name__}.{hook}{tuple(taken)}; the shell gives {tuple(given)}"


def test_each_part_says_what_it_holds(node: type[Shell]) -> None:
    for part in node.kinds_of_parts():
        assert part.__doc__, f"{part.__name__} has no docstring"
