"""What a node has loaded when it is ready: its time is its imports, so these are held instead of a time.

Every module that a start brings in costs each node of each machine a third of a millisecond or more, and memory for as
long as it runs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import cache
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest

from supervm.common.up.layout import PASSPHRASE_FILE, Counts, open_network

THIRD_PARTY = {
    "_cffi_backend", "attr", "attrs", "cbor2", "click", "idna", "msgspec", "nacl", "outcome", "sniffio",
    "sortedcontainers", "trio", "typing_extensions",
}  # fmt: skip
"""What a node needs, with what that brings; `msgspec` takes `typing_extensions` where it is installed."""
HEAVY = {"asyncio", "concurrent", "http", "multiprocessing", "unittest", "xml"}
"""Parts of Python that no start needs; each takes 5 to 50 ms."""
COMMANDS = {"anchor", "numbers", "output", "program", "registry"}
"""Modules of `supervm.common.cli` that a tier's own commands may use."""
ELSEWHERE = ("supervm.common.up", "supervm.common.bench", "supervm.common.testing")
TIERS = {1: "tier_l1_super", 2: "tier_l2_miner", 3: "tier_l3_edge", 4: "tier_l4_mobile"}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a network of one node per tier, none of which keeps house: that begins after the start."""
    directory = tmp_path_factory.mktemp("network")
    open_network(directory, Counts(1, 1, 1, 1), [])
    for path in directory.glob("*/config.toml"):
        path.write_text(path.read_text().replace("[housekeeping]", "[housekeeping]\nenabled = false"))
    return directory


@cache
def imported(*arguments: str) -> frozenset[str]:
    """Return the modules that Python imports until the line ``ready``, or until its end."""
    command = [sys.executable, "-X", "importtime", *arguments]
    found = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"event":"ready"'):
                break
            if line.startswith("import time:"):
                found.add(line.rpartition("|")[2].strip())
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode in (0, -signal.SIGTERM), rest
    return frozenset(found)


def loaded_by_node(tier: int, network: Path) -> frozenset[str]:
    """Return what a node imports besides what every Python process here does."""
    arguments = ["-m", "supervm.common.cli", f"l{tier}", "run", "--config", str(network / f"l{tier}-0" / "config.toml")]
    if tier == 4:
        arguments += ["--passphrase-file", str(network / PASSPHRASE_FILE)]
    found = imported(*arguments)
    assert "supervm.common.host.node" in found
    return found - imported("-c", "pass")


@pytest.mark.parametrize("tier", TIERS)
def test_a_start_loads_no_package_that_it_does_not_need(tier: int, network: Path) -> None:
    packages = {name.partition(".")[0] for name in loaded_by_node(tier, network)}
    foreign = packages - sys.stdlib_module_names - THIRD_PARTY - {"supervm"}
    assert {name for name in foreign if find_spec(name) is not None} == set()  # `copy` tries `org` of Jython
    assert packages & HEAVY == set()


@pytest.mark.parametrize("tier", TIERS)
def test_a_start_loads_no_other_tier_and_nothing_of_other_commands(tier: int, network: Path) -> None:
    modules = {name for name in loaded_by_node(tier, network) if name.startswith("supervm.")}
    for other, package in TIERS.items():
        own = {f"supervm.{package}", f"supervm.{package}.commands"}
        if other != tier:
            assert {name for name in modules if name.startswith(f"supervm.{package}")} <= own
    assert {name for name in modules if name.startswith("supervm.sim")} <= {"supervm.sim", "supervm.sim.commands"}
    assert {name for name in modules if name.startswith(ELSEWHERE)} == set()
    commands = {name.rpartition(".")[2] for name in modules if name.startswith("supervm.common.cli.")}
    assert commands <= COMMANDS


@pytest.mark.parametrize("module", ["click", "msgspec", "nacl", "trio", "supervm.common.cli"])
def test_what_a_start_loads_is_compiled(module: str) -> None:
    """`./run setup` leaves bytecode, which halves a start, also where Python is told not to write any."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    assert Path(cache_from_source(spec.origin)).exists(), "run ./run setup"
