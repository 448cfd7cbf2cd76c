"""D2 by reading: what a core's modules import and what they iterate over.

A core may use no clock, no source of randomness but the one it is given, and no order that depends on hashing. The
modules of all cores are read as syntax trees; what a test of equal digests finds only by luck is then seen at once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

CORE_PACKAGES = (
    "supervm.protocol",
    "supervm.tier_l1_super",
    "supervm.tier_l2_miner",
    "supervm.tier_l3_edge",
    "supervm.tier_l4_mobile",
    "supervm.common.contract",
    "supervm.common.parts",
)
OUTSIDE = ("app", "bench", "cli", "commands", "config", "run")
"""Modules of a tier that start its node, show it to people or measure it: no part of its core."""
WRITES_DATES = "parts/chain_clock.py"
"""It writes times for people; it asks no clock."""
FORBIDDEN = ("time", "datetime", "secrets", "os", "uuid", "threading", "socket", "trio", "multiprocessing")
KEYS_MAY = ("protocol/base/keys.py", "protocol/base/derivation.py")
"""They make new keys, on request of a person."""


def faults_in(source: str, name: str) -> list[str]:
    """Return what is wrong in one module's text, a line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [
                f"{name}:{node.lineno}: a core must not import {module}"
                for module in modules
                if module.partition(".")[0] in FORBIDDEN and not getattr(node, "level", 0)
            ]
        elif isinstance(node, ast.Call) and _is_attribute(node.func, "random") and node.func.attr != "Random":  # type: ignore[attr-defined]
            found.append(f"{name}:{node.lineno}: a core must draw from the stream it was given, not from random")
        elif isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            found.append(f"{name}:{node.iter.lineno}: the order of a set is not the same twice")
    return found


def _is_attribute(node: ast.expr, module: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")


def core_files() -> Iterator[Path]:
    """Yield the files of every core."""
    for package in CORE_PACKAGES:
        spec = find_spec(package)
        for place in [] if spec is None else list(spec.submodule_search_locations or ()):
            for path in sorted(Path(place).rglob("*.py")):
                parts = path.relative_to(place).with_suffix("").parts
                if parts[0] not in OUTSIDE and not str(path).endswith((*KEYS_MAY, WRITES_DATES)):
                    yield path


def scan_cores() -> list[str]:
    """Return every fault in any core (D2); empty is what must be."""
    return [fault for path in core_files() for fault in faults_in(path.read_text(encoding="utf-8"), path.name)]
