"""Signature checks through the node's verification workers, against raw libsodium (limits.md rule 1).

The limit is a bare loop over libsodium's single verification in worker processes of its own: one process for one core,
two at the same time for two. The node's way is the very `JobRunner` that the driver uses, fed with works of 64.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import trio
from nacl._sodium import ffi, lib  # type: ignore[import-not-found,unused-ignore]  # compiled, no stubs

from supervm.protocol.base.keys import SigningKey, verify_many

from ..contract.jobs import VerifySignatures
from ..driver.workers import JobRunner
from .measure import BenchOptions, Row, rate_row

_MESSAGE_BYTES = 32
_WORK_ITEMS = 64
_KEYS = 64
_CORE_ITEMS = 512

Item = tuple[bytes, bytes, bytes]


def run(options: BenchOptions) -> list[Row]:
    """Checks per second with one and two workers and an idle parent, and with a busy one."""
    return trio.run(_measure, options)


def raw_rate(count: int) -> float:
    """Return checks per second of a bare loop over `count` signatures in this process."""
    prepared = [
        (signature + message, len(signature) + len(message), public) for public, message, signature in make_items(_KEYS)
    ]
    check, null = lib.crypto_sign_open, ffi.NULL
    started = time.perf_counter()
    for _ in range(count // len(prepared)):
        for joined, size, public in prepared:
            check(null, null, joined, size, public)
    return count // len(prepared) * len(prepared) / (time.perf_counter() - started)


def raw_rate_of_cores(cores: int) -> float:
    """Return checks per second with a thread on each core; libsodium lets go of the interpreter while it checks."""
    items = make_items(_CORE_ITEMS)
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(verify_many, [items[:8]] * cores))
        started = time.perf_counter()
        jobs = 4 * cores
        list(pool.map(verify_many, [items] * jobs))
        return jobs * len(items) / (time.perf_counter() - started)


def make_items(count: int) -> list[Item]:
    """Return `count` valid (public key, message, signature)."""
    items = []
    for number in range(count):
        key = SigningKey(number.to_bytes(32, "big"))
        message = number.to_bytes(_MESSAGE_BYTES, "big")
        items.append((key.public, message, key.sign(message)))
    return items


class _Bench:
    """A `JobRunner` under load."""

    def __init__(self, workers: int, items: list[Item], count: int) -> None:
        self._items = items
        self._works = count // _WORK_ITEMS
        self._left = 0
        self._done = trio.Event()
        self.verifier = JobRunner(workers, self._on_done, outstanding_max=count * 2)

    def _on_done(self, _token: int, _results: list[bool]) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()

    async def rate(self) -> float:
        """Return checks per second, this process idle meanwhile."""
        self._left, self._done = self._works, trio.Event()
        started = time.perf_counter()
        for token in range(self._works):
            self.verifier.add(token, token.to_bytes(4, "big"), VerifySignatures(self._items[:_WORK_ITEMS]))
        await self._done.wait()
        return self._works * _WORK_ITEMS / (time.perf_counter() - started)

    async def busy_rate(self) -> float:
        """As `rate`, while this process's loop runs pure Python in steps of about a millisecond."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_spin)
            rate = await self.rate()
            nursery.cancel_scope.cancel()
        return rate


async def _spin() -> None:
    while True:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass
        await trio.lowlevel.checkpoint()


async def _raw(context: object, processes: int, count: int) -> float:
    """Return the summed rate of bare loops in that many processes at once."""
    rates: list[float] = []

    async def one() -> None:
        rates.append(await context.run_sync(raw_rate, count))  # type: ignore[attr-defined]

    async with trio.open_nursery() as nursery:
        for _ in range(processes):
            nursery.start_soon(one)
    return sum(rates)


async def _measure(options: BenchOptions) -> list[Row]:
    from trio_parallel import open_worker_context  # type: ignore[import-untyped,unused-ignore]  # no stubs

    count = 2_048 if options.quick else 8_192
    items = make_items(_KEYS)
    one, two = _Bench(1, items, count), _Bench(2, items, count)
    async with open_worker_context() as context, trio.open_nursery() as nursery:
        nursery.start_soon(one.verifier.run)
        nursery.start_soon(two.verifier.run)
        cases: dict[str, Callable[[], Awaitable[float]]] = {
            "raw1": partial(_raw, context, 1, count),
            "one": one.rate,
            "one busy": one.busy_rate,
            "raw2": partial(_raw, context, 2, count),
            "two": two.rate,
            "two busy": two.busy_rate,
        }
        rates: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(options.rounds + 1):  # the first starts the processes and is not counted
            options.progress(f"round {number} of {options.rounds}")
            for name, case in cases.items():
                rate = await case()
                if number:
                    rates[name].append(rate)
        nursery.cancel_scope.cancel()
    return [
        rate_row(f"verify.{name}", "checks/s", rates[case], rates[limit])
        for name, case, limit in (
            ("workers1.idle_parent", "one", "raw1"),
            ("workers1.busy_parent", "one busy", "raw1"),
            ("workers2.idle_parent", "two", "raw2"),
            ("workers2.busy_parent", "two busy", "raw2"),
        )
    ]
