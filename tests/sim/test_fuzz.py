"""Random schedules of faults, lies and payments over all four tiers; afterwards the network must be whole.

``SUPERVM_FUZZ_SEEDS=first:last`` plays those seeds instead of the few of every test run.
"""

from __future__ import annotations

import os

import pytest
from fuzz_network import Fuzz

from supervm.tier_l1_super import consensus as node


def seeds() -> range:
    """The seeds to play."""
    first, _, last = os.environ.get("SUPERVM_FUZZ_SEEDS", "0:20").partition(":")
    return range(int(first), int(last))


@pytest.mark.parametrize("seed", seeds())
def test_the_network_is_whole_after_faults_and_lies(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No node contradicts itself, nothing is paid twice, and every payment has one true fate; seed by seed."""
    monkeypatch.setattr(node, "COMPACT_EVERY", 8)  # so that runs of minutes compact their write-ahead logs, too
    fuzz = Fuzz(seed, liars=seed % 4 != 0)
    try:
        fuzz.play()
    except Exception as error:
        error.add_note("\n".join(fuzz.history[-25:]))
        raise
