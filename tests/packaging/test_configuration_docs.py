"""docs/configuration.md lists every key with its default, and no key that does not exist."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervm.common.cli.registry import tier_options
from supervm.common.contract.options import OptionSpec
from supervm.common.host.config import BROWSERS_OPTIONS, DEFAULT_PORTS, HOUSEKEEPING_OPTIONS, NodeConfig
from supervm.common.parts.policy.rules import POLICY_OPTIONS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| `([^`]*)` \|", re.MULTILINE)


def section(title: str) -> str:
    """The text under a heading, up to the next one."""
    _, found, rest = TEXT.partition(f"# {title}\n")
    assert found, f"docs/configuration.md has no heading {title!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def shown(option: OptionSpec) -> str:
    if option.kind is bool:
        return "true" if option.default else "false"
    return f'"{option.default}"' if option.kind is str else str(option.default)


SHARED: Mapping[str, Mapping[str, OptionSpec]] = {
    "housekeeping": HOUSEKEEPING_OPTIONS,
    "browsers": BROWSERS_OPTIONS,
    "policy": POLICY_OPTIONS,
}


@pytest.mark.parametrize("name", [*SHARED, "l1", "l2", "l3", "l4"])
def test_every_option_stands_there_with_its_default(name: str) -> None:
    options = SHARED[name] if name in SHARED else tier_options(int(name[1:]))
    assert dict(ROW.findall(section(f"Table `[{name}]`"))) == {key: shown(option) for key, option in options.items()}


def test_every_top_level_key_stands_there() -> None:
    keys = set(re.findall(r"^\| `(\w+)` \|", section("Keys"), re.MULTILINE))
    fields = {field.name for field in dataclasses.fields(NodeConfig)}
    assert keys == fields - {"housekeeping", "browsers", "policy", "tier_options"}


def test_every_port_stands_there() -> None:
    assert re.findall(r"^\| (\d+)/tcp \| L(\d)", section("Ports"), re.MULTILINE) == [
        (str(port), str(tier)) for tier, port in DEFAULT_PORTS.items()
    ]
