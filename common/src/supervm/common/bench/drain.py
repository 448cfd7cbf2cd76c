"""``supervm bench drain``: a phone that was offline sends its queue through one edge.

One node per tier on the loopback interface, real sockets and disks. Payments of one account are queued at the phone
while it keeps them, and then it is told to send them, as it does by itself when an edge is back. They hang together -
each names the one before - so they go as one lane, which is the worst case. The first row counts until the edge has
answered for the last of them that it has it on its disk (R0), the second until the phone has verified the proof of the
last (R4).

The limits are what signature checks alone allow, raw libsodium in the same run: one check of each payment on one core,
which the edge cannot do without, and the three checks of edge, miner and validator on all cores.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from ..errors import CommonError
from ..services.client import ControlClient, open_control
from ..up.layout import Counts
from .measure import BenchOptions, Row, short
from .open_loop.running import running_network
from .verify import raw_rate, raw_rate_of_cores

PAYMENTS, PAYMENTS_QUICK = 1_000, 200
ROUNDS = 3
CHECKS_PER_PAYMENT = 3
TIMEOUT_S = 120.0
LOOK_S = 0.05
_CHECKS = 20_000


@dataclass(frozen=True, slots=True)
class Drained:
    """How fast one queue went, in payments per second.

    Attributes:
        accepted: until the edge had the last one.
        proved: until the last one was proved.
    """

    accepted: float
    proved: float


def run(options: BenchOptions) -> list[Row]:
    """Measure three queues one after another, and the raw limit before and after them."""
    count = PAYMENTS_QUICK if options.quick else PAYMENTS
    cores = os.cpu_count() or 1
    raw, raw_of_cores = raw_rate(_CHECKS), raw_rate_of_cores(cores)
    with tempfile.TemporaryDirectory(prefix="supervm-bench-", dir=options.directory) as folder:
        found = trio.run(drained_queues, Path(folder), count, ROUNDS, options.progress)
    raw, raw_of_cores = max(raw, raw_rate(_CHECKS)), max(raw_of_cores, raw_rate_of_cores(cores))
    accepted = statistics.median(each.accepted for each in found)
    proved = statistics.median(each.proved for each in found)
    limit = raw_of_cores / CHECKS_PER_PAYMENT
    return [
        Row("drain.accepted", short(accepted), "payments/s", short(raw), short(accepted / raw), len(found)),
        Row("drain.proved", short(proved), "payments/s", short(limit), short(proved / limit), len(found)),
    ]


async def drained_queues(folder: Path, count: int, rounds: int, say: Callable[[str], None]) -> list[Drained]:
    """Run a network in an empty folder and drain queues through its edge, one after another.

    Args:
        folder: where; what is in it is left there.
        count: payments of each queue.
        rounds: how many queues.
        say: told what is measured now.

    Raises:
        CommonError: the network does not start, or does not prove what was paid.
    """
    say("one node per tier")
    async with running_network(folder, Counts(1, 1, 1, 1), ()) as network:
        phone = network.nodes[network.network.counts.names(4)[0]]
        async with await open_control(phone.socket) as control:
            await _until_proved(control)
            found = []
            for number in range(rounds):
                say(f"queue {number + 1} of {rounds}: {count} payments")
                found.append(await _drain(control, number * count, count))
    return found


async def _until_proved(control: ControlClient) -> None:
    """Wait until the phone has an edge that has proved its accounts."""
    with trio.move_on_after(TIMEOUT_S):
        while not all(account["proved"] for account in (await control.call({"request": "info"}))["accounts"]):
            await trio.sleep(LOOK_S)
        return
    raise CommonError("the phone found no edge that proves its balance")


async def _drain(control: ControlClient, first: int, count: int) -> Drained:
    """Queue payments, let them go, and wait until all are proved."""
    own = (await control.call({"request": "info"}))["accounts"][0]["address"]
    for number in range(first, first + count):
        row = {"to": own, "amount": 1 + number, "fee": 10, "key": f"drain{number}"}
        shown = await control.call({"request": "pay", "row": row, "offline": True})
        if shown["status"] != "queued":
            raise CommonError(f"a payment was not queued: {shown['reason']}")
    begun_us = time.time_ns() // 1_000
    await control.call({"request": "flush"})
    with trio.move_on_after(TIMEOUT_S):
        while any(account["open"] for account in (await control.call({"request": "info"}))["accounts"]):
            await trio.sleep(LOOK_S)
        rows = (await control.call({"request": "queue_list", "limit": count}))["payments"]
        return Drained(_rate(rows, "r0", begun_us), _rate(rows, "r4", begun_us))
    raise CommonError(f"{count} payments were not proved within {TIMEOUT_S:.0f} s")


def _rate(rows: list[dict[str, Any]], level: str, begun_us: int) -> float:
    """Return payments per second from the beginning until the last one reached a level."""
    late = [row for row in rows if row["latency_ms"][level] is None]
    if late:
        raise CommonError(f"payment {late[0]['id']} is {late[0]['status']}: {late[0]['reason']}")
    last_us: float = max(row["created_us"] + row["latency_ms"][level] * 1_000 for row in rows)
    return len(rows) / max(last_us - begun_us, 1) * 1e6
