"""The table of classes of faults is what the fuzzer draws by, what its cases may hold and what the docs say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from supervm.common.errors import InputError
from supervm.sim.errors import SimulationError
from supervm.sim.exact import PPM, Stream
from supervm.sim.fuzz.case import CASE_VERSION, Case, read_case, write_case
from supervm.sim.fuzz.chaos import Chaos
from supervm.sim.fuzz.classes import CLASSES, Between, Pair, Sides, lines
from supervm.sim.fuzz.config import Config, draw_config
from supervm.sim.fuzz.mutations import MUTATIONS
from supervm.sim.fuzz.run import run_seed
from supervm.sim.scenario.faults import FAULTS

NOT_FUZZED = {
    "stop": "an orderly stop loses nothing that a crash does not",
    "bit-flip": "a log that is damaged is found as one that is gone (`amnesia`)",
    "churn": "crashes at random times are what `crash` is",
}
"""Kinds of a scenario that no class of the fuzzer is like, and why."""


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert "\n\n{}\n\n".format("\n".join(lines())) in text


def test_both_languages_name_the_same_faults() -> None:
    like = [kind for class_ in CLASSES.values() for kind in class_.like]
    assert [kind for kind in like if kind not in FAULTS] == []
    assert sorted({*FAULTS} - {*like}) == sorted(NOT_FUZZED)


@pytest.mark.parametrize("name", [name for name, class_ in CLASSES.items() if class_.about])
def test_a_class_of_ticks_has_values_and_a_method_that_draws_them(name: str) -> None:
    """Where it surely happens its choices are there, and within the bounds that the table gives."""
    class_ = CLASSES[name]
    assert hasattr(Chaos, f"_{name.replace('-', '_')}")
    assert class_.draw is not None
    config = Config(classes=(name,), chaos_ms=2_500, tick_ms=700, calm_s=0, rate_ppm=PPM * class_.rare, candidates=1)
    choices = [choice for choice in run_seed(3, config=config).choices if choice.kind == name]
    assert choices
    if isinstance(class_.draw, Between):
        assert all(class_.draw.low <= choice.value <= class_.draw.high for choice in choices)


def test_every_value_of_a_draw_stands_for_something() -> None:
    stream = Stream(1)
    assert {Between(2, 4)(stream, 0) for _ in range(100)} == {2, 3, 4}
    assert {(Pair()(stream, 5) - 1) % 5 for _ in range(200)} == {0, 1, 2, 3, 4}
    assert {value for _ in range(200) if (value := Sides()(stream, 2))} == {1, 2, 3, 4}


def test_a_class_that_there_is_not_is_refused(tmp_path: Path) -> None:
    for knobs in ({"on": ("crush",)}, {"classes": ("crush",)}):
        with pytest.raises(SimulationError, match="no class of faults crush; there are crash, trap"):
            draw_config(1, knobs)
    case = Case(CASE_VERSION, 1, None, Config(classes=("crash", "crush")), (), None, "", 0)
    file = tmp_path / "case.json"
    write_case(file, case)
    with pytest.raises(InputError, match=r"case\.json: there is no class of faults crush"):
        read_case(file)
    write_case(file, msgspec.structs.replace(case, config=Config(classes=("crash",))))
    assert read_case(file).config.classes == ("crash",)


def test_planted_faults_turn_on_classes_that_there_are() -> None:
    names: list[Any] = []
    for mutation in MUTATIONS.values():
        names += [*mutation.knobs.get("on", ()), *mutation.knobs.get("classes", ())]
    assert [name for name in names if name not in CLASSES] == []


def test_how_often_a_class_is_drawn_is_in_the_table() -> None:
    """Ten times rarer there is ten times rarer in the run."""

    def count(rare: int) -> int:
        with patch.dict(CLASSES, {"disk-slow": replace(CLASSES["disk-slow"], rare=rare)}):  # type: ignore[arg-type]
            config = Config(classes=("disk-slow",), chaos_ms=3_000, tick_ms=50, calm_s=0, rate_ppm=PPM // 2)
            return sum(choice.kind == "disk-slow" for choice in run_seed(5, config=config).choices)

    assert count(10) * 5 < count(1)
