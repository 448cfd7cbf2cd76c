"""What a command loads: one that asks a node which runs already needs neither an event loop nor a database layer.

On a small machine SQLAlchemy takes 0.5 s to import and trio 0.25 s, more than everything else that such a command does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"trio", "sqlalchemy", "asyncio", "apscheduler", "zeroconf"}
LIGHT = [
    "supervm.tier_l1_super.cli",
    "supervm.tier_l2_miner.cli",
    "supervm.tier_l3_edge.cli",
    "supervm.tier_l4_mobile.cli.run",
    "supervm.tier_l4_mobile.cli.wallet",
    "supervm.tier_l4_mobile.cli.pay",
    "supervm.tier_l4_mobile.cli.queue",
    "supervm.tier_l4_mobile.cli.balance",
    "supervm.tier_l4_mobile.cli.verify",
    "supervm.common.cli.init",
    "supervm.common.cli.genesis",
    "supervm.common.cli.evidence",
    "supervm.common.cli.fee",
    "supervm.common.services.once",
]


@pytest.mark.parametrize("module", LIGHT)
def test_a_command_loads_nothing_heavy_before_it_needs_it(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_supervising_a_network_needs_no_database_layer() -> None:
    code = "import sys, supervm.common.up.session; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


NODE = """
import sys
from supervm.common.cli.program import main
tier = sys.argv[1]
assert main(sys.argv[2:]) == 0
owns = "supervm.tier_l"
print(*sorted(name for name in sys.modules if name.startswith(owns) and name.rpartition(".")[2] not in {allowed!r}))
print("supervm.common.parts.shell" in sys.modules)
"""


def loaded(tier: int, arguments: list[str], allowed: set[str]) -> list[str]:
    """What a command has loaded of the tiers besides modules of these names, and whether of a node's shell."""
    code = NODE.replace("{allowed!r}", repr(allowed))
    done = subprocess.run([sys.executable, "-c", code, str(tier), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-2:]


PACKAGES = {"tier_l1_super", "tier_l2_miner", "tier_l3_edge", "tier_l4_mobile"}


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
def test_a_folder_is_made_without_a_node(tier: int, tmp_path: Path) -> None:
    """`supervm init` needs a tier's options, and these stand apart from its core."""
    arguments = ["init", f"l{tier}", "--dir", str(tmp_path / "node")]
    assert loaded(tier, arguments, PACKAGES | {"commands", "options", "more"}) == ["", "False"]


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
def test_help_needs_no_node(tier: int) -> None:
    arguments = [f"l{tier}", "run", "--help"]
    of_commands = {"commands", "options", "more", "cli", "run", "access", "messages", "errors", "wallet", "payments"}
    assert loaded(tier, arguments, PACKAGES | of_commands) == ["", "False"]
