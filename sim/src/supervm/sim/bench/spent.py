"""Where the time of a run goes: samples of the stack, taken while it runs and sorted by what the code is for.

Theory of operation. A profiler that is called at every function entry makes small functions look expensive. A timer on
the process's CPU time instead interrupts the run every few ms and looks at the stack once, which costs a few
microseconds per sample - well below 1 % - and costs every function the same. From the innermost frame outwards, the
first module that belongs to a *purpose* takes the sample; so a helper of `supervm.common` counts for the core that
called it, but the codec and signatures count for themselves whoever uses them. Python delivers a signal between two
steps of its own: the time of a call into C goes to the function that made the call.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

EVERY_S: Final = 0.002
"""CPU time between two samples; a kernel with a coarser clock takes 4 ms."""

PURPOSES: Final = {
    "engine": "queue and the engine's loop",
    "network": "links, delay, bandwidth, loss",
    "codec": "encoding and decoding",
    "crypto": "signatures and hashes",
    "storage": "virtual disks",
    "core_l1": "L1 cores",
    "core_l2": "L2 cores",
    "core_l3": "L3 cores",
    "core_l4": "L4 cores",
    "observers": "recorder and invariants",
    "workload": "payments and questions",
    "other": "everything else",
}
"""Purpose -> what it covers, in the order of a report."""

_MODULES: Final = {
    "supervm.sim.exact.queue": "engine",
    "supervm.sim.exact.world": "engine",
    "supervm.sim.exact.host": "engine",
    "supervm.sim.exact.clock": "engine",
    "supervm.sim.exact.network": "network",
    "supervm.sim.exact.links": "network",
    "supervm.sim.exact.flows": "network",
    "supervm.sim.exact.geography": "network",
    "supervm.sim.exact.crypto": "crypto",
    "supervm.protocol.base.keys": "crypto",
    "supervm.protocol.base.hashing": "crypto",
    "nacl": "crypto",
    "supervm.protocol.base.codec": "codec",
    "supervm.protocol.wire": "codec",
    "supervm.sim.exact.disk": "storage",
    "supervm.common.storage": "storage",
    "supervm.tier_l1_super": "core_l1",
    "supervm.tier_l2_miner": "core_l2",
    "supervm.tier_l3_edge": "core_l3",
    "supervm.tier_l4_mobile": "core_l4",
    "supervm.sim.report.observing": "observers",
    "supervm.sim.report.metrics": "observers",
    "supervm.sim.invariants": "observers",
    "supervm.sim.workload": "workload",
}
"""Module, or package with all below it -> purpose; the longest name that fits decides."""


class Spent:
    """Samples by purpose.

    Attributes:
        samples: purpose -> how often the run was found there.
    """

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()
        self._purposes: dict[str, str] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take samples of what runs inside; only in a process's main thread."""
        before = signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def per_message_us(self, cpu_s: float, messages: int) -> dict[str, float]:
        """Return what of a message's time each purpose takes, in us; zeros if there are no samples."""
        total = self.samples.total()
        each_us = cpu_s * 1e6 / messages / total if total else 0.0
        return {purpose: self.samples[purpose] * each_us for purpose in PURPOSES}

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self.samples[self._purpose_at(frame)] += 1

    def _purpose_at(self, frame: FrameType | None) -> str:
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            purpose = self._purposes.get(module)
            if purpose is None:
                purpose = self._purposes[module] = purpose_of(module)
            if purpose:
                return purpose
            frame = frame.f_back
        return "other"


def purpose_of(module: str) -> str:
    """Return the purpose of a module's code, empty if that depends on who called it."""
    name = module
    while name:
        purpose = _MODULES.get(name)
        if purpose is not None:
            return purpose
        name = name.rpartition(".")[0]
    return ""
