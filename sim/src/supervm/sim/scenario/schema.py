"""Reading a scenario: TOML, then ``--set``, then every key against `keys`, with the line in every error.

A key that nobody knows, and one that the chosen engine does not support, is an error (simulation.md 1): what is
ignored in silence makes a run answer another question than the one that was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from supervm.common.errors import InputError
from supervm.common.text import toml_text
from supervm.common.text.options import whole_number
from supervm.common.text.quoting import quoted, shorten

from . import expect, keys
from .faults import FAULTS
from .keys import Key
from .model import Adversary, Bound, Change, Fault, Hardware, Scenario, Sweep, TierPlan, Topology, Workload
from .naming import NAMED, check_selector, choosing_nobody, node_names, region_of_each, select

_ARRAYS: Final = ("fault", "change", "adversary")
_TOP: Final = (*keys.TABLES, "tiers", "expect")


def library_names() -> list[str]:
    """Return the names of the scenarios that ship."""
    folder = files(__package__) / "library"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def library_text(name: str) -> str:
    """Return the text of a scenario that ships.

    Raises:
        InputError: there is none of that name.
    """
    if name not in library_names():
        known = ", ".join(library_names())
        raise InputError(f"there is no scenario {quoted(name)}; there are {known}, or give a FILE.toml")
    return (files(__package__) / "library" / f"{name}.toml").read_text(encoding="utf-8")


def load_named(name: str, changes: Sequence[str] = ()) -> Scenario:
    """Read a scenario that ships, with the ``table.key=value`` of `changes`.

    Raises:
        InputError: there is none of that name, or a change is wrong.
    """
    return read_scenario(library_text(name), f"{name}.toml", changes)


def load_scenario(name: str, changes: Sequence[str] = ()) -> Scenario:
    """Read the scenario `name`: a path if it ends in ``.toml`` or has a folder, else one that ships.

    Raises:
        InputError: what is wrong, where, and what is allowed.
    """
    text, source = scenario_text(name)
    return read_scenario(text, source, changes)


def scenario_text(name: str) -> tuple[str, str]:
    """Return the text of the scenario `name`, as `load_scenario` takes it, and what errors call it.

    Raises:
        InputError: there is none, or its file cannot be read.
    """
    if not name.endswith(".toml") and "/" not in name:
        return library_text(name), f"{name}.toml"
    return toml_text.read_text(Path(name), f"the library has {', '.join(library_names())}"), name


def read_scenario(text: str, source: str, changes: Sequence[str] = ()) -> Scenario:
    """Check a scenario's text.

    Args:
        text: TOML.
        source: its file's name, for errors.
        changes: ``table.key=value``, ``tiers.l4.count=9`` or ``fault.1.at_s=3`` (entries count from 1).

    Raises:
        InputError: what is wrong, in which file, line and key, and what is allowed.
    """
    text = text.removeprefix("\ufeff")
    document = toml_text.parse(text, source, decimals=True)
    changed = {}
    for change in changes:
        changed[_apply(document, change)] = change
    return _Reader(source, text, document, changed).read()


def _apply(document: dict[str, Any], change: str) -> str:
    path, separator, value = change.partition("=")
    path = path.strip()
    parts = path.split(".")
    source = f"--set {shorten(change)}"
    if separator and path in _ARRAYS:  # a whole list: fault=[{kind="crash", ...}]
        document[path] = toml_text.parse_value(value.strip(), source)
        return path
    if not separator or not 2 <= len(parts) <= toml_text.KEY_PARTS_MAX or not all(parts):
        raise InputError(f"{source}: table.key=value is needed, for example --set tiers.l4.count=100")
    here: Any = document
    for place, part in enumerate(parts[:-1]):
        if isinstance(here, list):
            entry = whole_number(part)
            if entry is None or not 1 <= entry <= len(here):
                problem = f"{parts[place - 1]} has entries 1 to {len(here)}, not {quoted(part)}"
                raise InputError(f"{source}: {problem}")
            here = here[entry - 1]
        else:
            here = here.setdefault(part, {})
        if not isinstance(here, dict | list):
            raise InputError(f"{source}: {shorten('.'.join(parts[: place + 1]))} is no table")
    if isinstance(here, list):
        raise InputError(f"{source}: say which entry of {parts[-2]}, for example {parts[-2]}.1.KEY=value")
    here[parts[-1]] = toml_text.parse_value(value.strip(), source)  # what is no TOML is a text without quotes
    return path


class _Reader:
    """One pass over a parsed document."""

    def __init__(self, source: str, text: str, document: dict[str, Any], changed: Mapping[str, str]) -> None:
        self._source = source
        self._text = text
        self._document = document
        self._changed = changed
        self._lines = text.splitlines()
        self._heads: dict[str, list[int]] = {}

    def read(self) -> Scenario:
        for key in self._document:
            if key not in (*_TOP, *_ARRAYS):
                tables = ", ".join(f"[{name}]" for name in _TOP)
                arrays = ", ".join(f"[[{name}]]" for name in _ARRAYS)
                raise self._error("", key, f"there is no such table; there are {tables}, {arrays}")
        head = self._table("scenario", keys.TABLES["scenario"])
        if head["engine"] != "exact":
            raise self._error("scenario", "engine", 'the scale engine is not part of this release; "exact" is allowed')
        topology, work = (self._table(name, keys.TABLES[name]) for name in ("topology", "workload"))
        hardware, report = (self._table(name, keys.TABLES[name]) for name in ("hardware", "report"))
        tiers = self._tiers()
        duration_us = head["duration_s"]
        self._check_topology(topology)
        self._check_workload(work, duration_us)
        if work["lookups_per_s"] and not topology["find_peers"]:
            raise self._error("workload", "lookups_per_s", "nodes are not in the directory: topology.find_peers = true")
        return Scenario(
            name=head["name"],
            question=head["question"],
            claim=head["claim"],
            source=self._source,
            text=self._text + "".join(f"\n# --set {change}" for change in self._changed.values()),
            engine=head["engine"],
            duration_us=duration_us,
            settle_us=head["settle_s"],
            view_timeout_ms=head["view_timeout_ms"],
            block_interval_ms=head["block_interval_ms"],
            idle_interval_ms=head["idle_interval_ms"],
            epoch_us=head["epoch_s"],
            topology=Topology(topology["regions"], topology["placement"], topology["jitter"], topology["find_peers"]),
            hardware=Hardware(
                hardware["write_us"],
                hardware["write_jitter_us"],
                hardware["step_us"],
                hardware["verify_us"],
                hardware["dead_after_s"],
            ),
            tiers=tiers,
            workload=Workload(
                payments_per_1000s=work["payments_per_s"],
                balances_per_1000s=work["balances_per_s"],
                lookups_per_1000s=work["lookups_per_s"],
                lookups_of=work["lookups_of"],
                lookups_as=work["lookups_as"],
                lookups_any_percent=work["lookups_any_percent"],
                arrivals=work["arrivals"],
                amount_min=work["amount_min"],
                amount_max=work["amount_max"],
                fee_min=work["fee_min"],
                fee_max=work["fee_max"],
                senders=work["senders"],
                accounts=work["accounts"],
                assets=work["assets"],
                start_us=work["start_s"],
                stop_us=work["stop_s"] or duration_us // 2,
                validity_us=work["validity_s"],
            ),
            faults=self._faults(topology, tiers, duration_us),
            changes=self._changes(topology, tiers, duration_us),
            adversaries=self._adversaries(topology, tiers),
            sweep=self._sweep(),
            expect=self._expect(),
            sample_us=report["sample_s"] or duration_us,
            report_title=report["title"] or head["name"],
        )

    # --- tables -------------------------------------------------------------------------------------------------------

    def _table(self, name: str, known: Mapping[str, Key]) -> dict[str, Any]:
        given: Any = self._document
        for part in name.split("."):
            given = given.get(part, {}) if isinstance(given, dict) else None
        if not isinstance(given, dict):
            raise self._error("", name, f"it is {quoted(given)}; a table [{name}] is allowed")
        return self._keys(name, 0, given, known)

    def _keys(self, table: str, entry: int, given: Mapping[str, Any], known: Mapping[str, Key]) -> dict[str, Any]:
        for key in given:
            if key not in known:
                raise self._error(table, key, f"there is no such key here; allowed: {', '.join(known)}", entry)
        values: dict[str, Any] = {}
        for key, spec in known.items():
            if key not in given:
                if spec.default is None:
                    raise self._error(table, key, f"the key is missing; it must be {spec.allowed}", entry)
                values[key] = spec.default
                continue
            value = spec.read(given[key])
            if value is None:
                raise self._error(table, key, f"it is {_shown(given[key])}; {spec.allowed} is allowed", entry)
            values[key] = value
        return values

    def _tiers(self) -> tuple[TierPlan, TierPlan, TierPlan, TierPlan]:
        given = self._document.get("tiers", {})
        if not isinstance(given, dict):
            raise self._error("", "tiers", "tables [tiers.l1] to [tiers.l4] are allowed")
        for key in given:
            if key not in ("l1", "l2", "l3", "l4"):
                raise self._error(f"tiers.{key}", "", "there is no such tier; allowed: l1, l2, l3, l4")
        plans = []
        for tier in range(1, 5):
            values = self._table(f"tiers.l{tier}", keys.tier_keys(tier))
            plans.append(
                TierPlan(
                    values["count"],
                    values["down_mbit_per_s"] * 1_000_000,
                    values["up_mbit_per_s"] * 1_000_000,
                    values["last_mile_us"],
                    values["loss_ppm"],
                    values.get("links", 0),
                    values.get("members", 0),
                )
            )
        if plans[0].members > plans[0].count:
            raise self._error("tiers.l1", "members", f"it is {plans[0].members}; at most count, {plans[0].count}")
        if plans[3].count and not plans[2].count:
            raise self._error("tiers.l3", "count", "it is 0, but phones need an edge; 1 or more is allowed")
        return plans[0], plans[1], plans[2], plans[3]

    def _check_topology(self, topology: Mapping[str, Any]) -> None:
        from ..exact import REGIONS

        for region in topology["regions"]:
            if region not in REGIONS:
                allowed = ", ".join(REGIONS)
                raise self._error("topology", "regions", f"there is no region {quoted(region)}; allowed: {allowed}")

    def _check_workload(self, work: Mapping[str, Any], duration_us: int) -> None:
        for name in ("amount", "fee"):
            if work[f"{name}_min"] > work[f"{name}_max"]:
                raise self._error("workload", f"{name}_max", f"it is below {name}_min, which is {work[f'{name}_min']}")
        if work["stop_s"] > duration_us:
            raise self._error("workload", "stop_s", "it is after the end of the run, scenario.duration_s")
        if work["start_s"] > (work["stop_s"] or duration_us // 2):
            raise self._error("workload", "start_s", "it is after the payments' end, workload.stop_s")
        for key, tiers in (("senders", (4,)), ("lookups_of", (1, 2, 3, 4))):
            for selector in work[key]:
                problem = check_selector(selector, tiers=tiers)
                if problem is not None:
                    raise self._error("workload", key, problem)

    # --- lists --------------------------------------------------------------------------------------------------------

    def _entries(self, table: str) -> Iterator[tuple[int, dict[str, Any], str, int]]:
        given = self._document.get(table, [])
        if not isinstance(given, list) or any(not isinstance(item, dict) for item in given):
            raise self._error("", table, f"entries [[{table}]] are allowed")
        for number, item in enumerate(given, 1):
            values = dict(item)
            kind = values.pop("kind", None)
            if not isinstance(kind, str):
                raise self._error(table, "kind", f"every [[{table}]] must say its kind, a text in quotes", number)
            yield number, values, kind, self._line(table, "", number)

    def _faults(self, topology: Mapping[str, Any], tiers: Sequence[TierPlan], duration_us: int) -> tuple[Fault, ...]:
        found = []
        for number, given, kind, line in self._entries("fault"):
            if kind not in FAULTS:
                allowed = ", ".join(FAULTS)
                raise self._error("fault", "kind", f"there is no fault {quoted(kind)}; allowed: {allowed}", number)
            values = self._keys("fault", number, given, FAULTS[kind].keys)
            who = self._who("fault", number, values.pop("who"), topology, tiers)
            at_us, for_us = values.pop("at_s"), values.pop("for_s", 0)
            if at_us > duration_us:
                raise self._error("fault", "at_s", "it is after the end of the run, scenario.duration_s", number)
            found.append(Fault(kind, at_us, for_us, who, values, line))
        return tuple(found)

    def _changes(self, topology: Mapping[str, Any], tiers: Sequence[TierPlan], duration_us: int) -> tuple[Change, ...]:
        from ..exact import Choices

        names = node_names([plan.count for plan in tiers])
        found = []
        for number, given, kind, line in self._entries("change"):
            if kind not in keys.CHANGES:
                allowed = ", ".join(keys.CHANGES)
                raise self._error("change", "kind", f"there is no change {quoted(kind)}; allowed: {allowed}", number)
            values = self._keys("change", number, given, keys.CHANGES[kind])
            who, weights = self._who("change", number, values["who"], topology, tiers, only=1), values["weights"]
            if values["at_s"] > duration_us:
                raise self._error("change", "at_s", "it is after the end of the run, scenario.duration_s", number)
            if not weights:
                raise self._error("change", "weights", "it is empty; one weight of all, or one of each", number)
            if len(weights) > 1:
                if not all(NAMED.fullmatch(selector) for selector in who):
                    problem = f"{len(weights)} weights need nodes by name in who, such as l1-0..3; one is of all"
                    raise self._error("change", "weights", problem, number)
                count = len(select(who, names, {}, Choices(0).stream("none")))
                if len(weights) != count:
                    problem = f"{len(weights)} weights for {count} nodes; one of each, or one of all"
                    raise self._error("change", "weights", problem, number)
            found.append(Change(kind, values["at_s"], who, weights, line))
        return tuple(found)

    def _adversaries(self, topology: Mapping[str, Any], tiers: Sequence[TierPlan]) -> tuple[Adversary, ...]:
        from ..exact import ACTORS

        others = keys.ADVERSARIES_APART
        found = []
        for number, given, kind, line in self._entries("adversary"):
            if kind not in ACTORS and kind not in others:
                allowed = ", ".join((*ACTORS, *others))
                problem = f"there is no adversary {quoted(kind)}; allowed: {allowed}"
                raise self._error("adversary", "kind", problem, number)
            values = self._keys("adversary", number, given, {**keys.ADVERSARY, **others.get(kind, {})})
            tier = 1 if kind in others else ACTORS[kind].tier
            who = self._who("adversary", number, values.pop("who"), topology, tiers, only=tier)
            found.append(Adversary(kind, who, values, line))
        return tuple(found)

    def _who(
        self,
        table: str,
        number: int,
        who: tuple[str, ...],
        topology: Mapping[str, Any],
        tiers: Sequence[TierPlan],
        only: int | None = None,
    ) -> tuple[str, ...]:
        if not who:
            raise self._error(table, "who", "it names nobody; at least one selector is needed", number)
        for selector in who:
            problem = check_selector(
                selector,
                counts=[plan.count for plan in tiers],
                regions=topology["regions"],
                tiers=(1, 2, 3, 4) if only is None else (only,),
                bare_share=only is not None,
            )
            if problem is not None:
                raise self._error(table, "who", problem, number)
        names = node_names([plan.count for plan in tiers])
        spread = topology["placement"] == "spread"  # else the regions follow from the seed: the run looks again
        region_of = region_of_each(names, topology["regions"]) if spread else None
        nobody = choosing_nobody(who, names, region_of, only)
        if nobody is not None:
            raise self._error(table, "who", nobody, number)
        return who

    def _sweep(self) -> Sweep | None:
        if "sweep" not in self._document:
            return None
        values = self._table("sweep", keys.TABLES["sweep"])
        key = values["key"]
        if not values["values"] or not (key in _ARRAYS or "." in key) or key.startswith("sweep."):
            problem = "a key such as tiers.l1.count, fault or adversary.1.kind, and at least one value, are needed"
            raise self._error("sweep", "key", problem)
        return Sweep(values["key"], values["values"])

    def _expect(self) -> tuple[Bound, ...]:
        given = self._document.get("expect", {})
        if not isinstance(given, dict):
            raise self._error("", "expect", "a table [expect] is allowed")
        bounds = []
        for name, value in given.items():
            split = expect.split_name(name)
            if split is None:
                allowed = ", ".join(expect.SUMMARY)
                raise self._error("expect", name, f"it must be a metric with _min, _max or _is; metrics: {allowed}")
            target = expect.bound_of(value)
            if target is None:
                raise self._error("expect", name, f"it is {_shown(value)}; a number is allowed")
            bounds.append(Bound(name, *split, target, self._line("expect", name)))
        return tuple(bounds)

    # --- errors -------------------------------------------------------------------------------------------------------

    def _line(self, table: str, key: str, entry: int = 0) -> int:
        """Return the line of a key; of the entry's head if the entry does not hold it."""
        if not entry:
            line = toml_text.find_line(self._text, table, key)
            return line if line > 1 or not table else self._head(table)
        lines, heads = self._lines, self._heads_of(table)
        if entry > len(heads):
            return toml_text.find_line(self._text, "", table)
        first = heads[entry - 1]
        after = (number for number in range(first + 1, len(lines)) if re.match(r"\s*\[", lines[number]))
        part = "\n".join(lines[first : next(after, len(lines))])
        return first + toml_text.find_line(part, table, key)

    def _heads_of(self, table: str) -> list[int]:
        """Return where the entries of a list begin, from 0."""
        if table not in self._heads:
            pattern = re.compile(rf"\s*\[\[\s*{re.escape(table)}\s*]]")
            self._heads[table] = [number for number, line in enumerate(self._lines) if pattern.match(line)]
        return self._heads[table]

    def _head(self, table: str) -> int:
        for number, line in enumerate(self._text.splitlines(), 1):
            if re.match(rf"\s*\[\s*{re.escape(table)}\s*]", line):
                return number
        return 1

    def _error(self, table: str, key: str, problem: str, entry: int = 0) -> InputError:
        where = ".".join(part for part in (table, str(entry) if entry else "", key) if part)
        for path, change in self._changed.items():
            if path == where or (path in _ARRAYS and where.startswith(path)):
                return InputError(f"--set {shorten(change)}: {problem}")
        return InputError(f"{self._source}, line {self._line(table, key, entry)}, key {shorten(where)}: {problem}")


def _shown(value: Any) -> str:
    return shorten(str(value)) if isinstance(value, Decimal) else quoted(value)
