"""What a command loads: one that asks a node which runs already needs neither an event loop nor a database layer.

On a small machine SQLAlchemy takes 0.5 s to import and trio 0.25 s, more than everything else that such a command does.
"""

from __future__ import annotations

import subprocess
import sys

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
