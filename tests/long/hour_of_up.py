"""One hour of `supervm up` under mixed load: how memory, disk and the time of a start grow, printed and asserted.

    PYTHONPATH=tests/tools python tests/long/hour_of_up.py [--minutes 60] [--out build/hour_of_up.json]

The network, 8 processes, runs for a twelfth of that time first, is stopped, and its folders are copied. Then it runs
for the hour, in six equal parts; in each it is idle, then takes two payments a second, then bursts of a hundred, then
questions for balances, then is idle again. Now and then a node is killed (SIGKILL) and `up` starts it again. At the end
nodes are started from the early copies and from the folders as they are then, in turn.

Nodes that are killed are not those whose memory is held against the bounds. What memory does in the first third is not
either: caches fill until then, each of which has a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_usage import Usage, folder_bytes, look, pid_of, slope

from supervm.common.services.lines import NoOwner
from supervm.common.services.once import call_sync

SUPERVM = (sys.executable, "-m", "supervm.common.cli")
NAMES = [f"name{number:02}" for number in range(20)]
NODES = ("l1-0", "l1-1", "l1-2", "l1-3", "l2-0", "l3-0", "l4-0", "l4-1")
HELD_TO = ("l1-0", "l1-1", "l1-2", "l2-0", "l3-0", "l4-0")
"""Nodes that run through the part of the hour in which memory is held to its bounds."""
KILLS = ((0.06, "l2-0"), (0.11, "l3-0"), (0.17, "l1-3"), (0.23, "l4-1"), (0.45, "l1-3"), (0.56, "l4-1"), (0.71, "l1-3"))
LAST_KILLS = ("l2-0", "l3-0", "l1-3", "l4-1")
"""Killed one after the other when the hour is over."""
PARTS = 6
LOOK_S = 10.0
STEP_S = 0.1
BURST = 100
STARTS = 9
START_TIMEOUT_S = 60.0
DAY_S = 86_400
MIB = 1 << 20

GROWTH_MAX = 0.05
"""Memory over the second half."""
IDLE_DISK_MAX = 25_000_000
"""Bytes a day that an idle validator may add; no other node adds more."""
PAYMENT_DISK_MAX = {"l1": 12_288, "l2": 8_192, "l3": 1_024, "l4": 4_096}
"""Bytes that a payment may add at two a second, when it has a block of its own: an idle validator's budget is 2,900
bytes a block, a payment takes two blocks and its own rows, of which each has an index, and a phone keeps it twice."""
LOG_MAX = 1_000_000
"""Bytes of a validator's log between two compactions."""
START_RATIO_MAX, START_SLACK_S = 1.2, 0.05
"""Of a start's CPU time; how long it takes is printed, and is whatever else the machine does, too."""


@dataclass
class Seen:
    """What was seen of the network, and what was done to it."""

    looks: dict[str, list[tuple[float, str, Usage]]] = field(default_factory=lambda: {name: [] for name in NODES})
    """Node -> (second, phase, usage)."""
    paid: list[tuple[float, int]] = field(default_factory=list)
    """(second, payments asked for until then)."""
    kills: list[tuple[float, str, float]] = field(default_factory=list)
    """(second, node, seconds until it answered again)."""
    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)


class Up:
    """A `supervm up` in a folder, as a process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        rows = "".join(f"{one},{other},5,1\n" for one, other in zip(NAMES, NAMES[1:] + NAMES[:1], strict=True))
        file = directory.with_name(directory.name + ".csv")
        file.write_text("from,to,amount,fee\n" + rows)
        command = [*SUPERVM, "up", "--dir", str(directory), "--payments", str(file), "--json"]
        self.output = directory.with_name(directory.name + ".json").open("w+")
        self.errors = directory.with_name(directory.name + ".err").open("a+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.errors, start_new_session=True
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(self.try_ask(name, {"request": "info"}) is None for name in NODES):
            assert time.monotonic() < deadline, self._said()
            assert self._process.poll() is None, self._said()
            time.sleep(STEP_S)
        self.wallets = json.loads((directory / "network.json").read_text())["wallets"]

    def _said(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-3000:]

    def try_ask(self, name: str, request: dict[str, Any]) -> Any:
        """Ask a node; None if it is just not there."""
        try:
            return call_sync(self.directory / name / "node.sock", request)
        except NoOwner:
            return None

    def ask(self, name: str, request: dict[str, Any]) -> Any:
        """Ask a node, waiting for it if it is being started again."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (answer := self.try_ask(name, request)) is None:
            assert time.monotonic() < deadline, f"{name} does not come back: {self._said()}"
            time.sleep(STEP_S)
        return answer

    def end(self) -> dict[str, Any]:
        """Stop it as Ctrl-C does, and return its document."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(60)
        assert status == 0, (status, self._said())
        self.output.seek(0)
        document: dict[str, Any] = json.load(self.output)
        return document

    def kill_all(self) -> None:
        """End it whatever happens; nodes follow their parent."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)


class Load:
    """Asks a network for things, and looks at it.

    Args:
        up: the network.
        seen: takes what is seen.
        begin_s: when the clock of `seen` began.
        rng: decides who pays whom.
    """

    def __init__(self, up: Up, seen: Seen, begin_s: float, rng: random.Random) -> None:
        self._up, self._seen, self._begin_s, self._rng = up, seen, begin_s, rng
        self._next_look_s = 0.0

    def now_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin_s

    def pay(self, count: int) -> None:
        """Ask for payments, each phone for those of its own accounts."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for _ in range(count):
            one, other = self._rng.sample(NAMES, 2)
            node, source = self._up.wallets[one]
            self._seen.asked["payments"] += 1
            key = f"hour{os.getpid()}-{self._seen.asked['payments']}"
            to = self._up.wallets[other][1]
            row = {"to": to, "amount": self._rng.randrange(1, 100), "fee": 1, "source": source, "key": key}
            rows.setdefault(node, []).append(row)
        for node, part in rows.items():
            self._up.ask(node, {"request": "pay_many", "rows": part})

    def balance(self) -> None:
        """Ask a phone for a balance."""
        node, address = self._up.wallets[self._rng.choice(NAMES)]
        self._seen.asked["balances"] += self._up.try_ask(node, {"request": "balance", "address": address}) is not None

    def phase(self, name: str, until_s: float, per_s: float = 0.0, act: Callable[[], None] = lambda: None) -> None:
        """Act `per_s` times a second until a second of the clock, and look at the nodes now and then."""
        next_s = self.now_s()
        while (now_s := self.now_s()) < until_s:
            if now_s >= self._next_look_s:
                self._look(name, now_s)
            while per_s and next_s <= now_s:
                act()
                next_s += 1 / per_s
            time.sleep(STEP_S)
        self._look(name, self.now_s())

    def _look(self, phase: str, now_s: float) -> None:
        self._next_look_s = now_s + LOOK_S
        self._seen.paid.append((now_s, self._seen.asked["payments"]))
        for name in NODES:
            try:
                self._seen.looks[name].append((now_s, phase, look(self._up.directory / name)))
            except (OSError, ValueError):
                continue  # it is being started again

    def kill(self, name: str) -> None:
        """Kill a node and wait until `up` has started it again and it answers."""
        began_s, pid = self.now_s(), pid_of(self._up.directory / name)
        os.kill(pid, signal.SIGKILL)
        while not self._is_another(name, pid):
            time.sleep(STEP_S)
        self._up.ask(name, {"request": "info"})
        self._seen.kills.append((began_s, name, self.now_s() - began_s))

    def _is_another(self, name: str, pid: int) -> bool:
        try:
            return pid_of(self._up.directory / name) != pid
        except ValueError:  # its file is being written just now
            return False

    def settle(self, within_s: float = 60.0) -> Counter[str]:
        """Wait until every payment is proved; return the statuses."""
        deadline = time.monotonic() + within_s
        while True:
            statuses: Counter[str] = Counter()
            for phone in ("l4-0", "l4-1"):
                statuses.update(self._up.ask(phone, {"request": "info"})["payments"])
            if set(statuses) == {"R4"} or time.monotonic() > deadline:
                return statuses
            time.sleep(1)


def live(up: Up, seconds: float, rng: random.Random) -> Seen:
    """Run the hour."""
    seen = Seen()
    load = Load(up, seen, time.monotonic(), rng)
    kills = [(share * seconds, name) for share, name in KILLS]

    def phases() -> Iterator[tuple[str, float, float, Callable[[], None]]]:
        for part in range(PARTS):
            begin, length = part * seconds / PARTS, seconds / PARTS
            yield "calm", begin + 0.05 * length, 0, lambda: None  # what was under way comes to its end
            yield "idle", begin + 0.30 * length, 0, lambda: None
            yield "pay", begin + 0.60 * length, 2, lambda: load.pay(1)
            yield "burst", begin + 0.75 * length, PARTS / seconds * 20, lambda: load.pay(BURST)
            yield "ask", begin + 0.90 * length, 5, load.balance
            yield "calm", begin + length, 0, lambda: None

    for name, until_s, per_s, act in phases():
        while kills and kills[0][0] < until_s:
            at_s, victim = kills.pop(0)
            load.phase(name, at_s, per_s, act)
            load.kill(victim)
        load.phase(name, until_s, per_s, act)
        print(f"{load.now_s():7.0f} s  {name}: {dict(seen.asked)}", file=sys.stderr, flush=True)
    for victim in LAST_KILLS:
        load.kill(victim)
    seen.statuses = load.settle()
    return seen


# --- starts -----------------------------------------------------------------------------------------------------------


def copy_network(source: Path, target: Path) -> None:
    """Copy a stopped network's folders; the copies' nodes know nobody, so that no key is in two places."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("node.sock", "lock", "backups"))
    for path in target.glob("*/config.toml"):
        text = re.sub(r"^listen = .*$", "", path.read_text(), flags=re.MULTILINE)
        path.write_text(re.sub(r"^peers = \[.*?\]$", "", text, flags=re.MULTILINE | re.DOTALL))


def start_s(folder: Path) -> tuple[float, float]:
    """Start a node of a copy; return the seconds from exec to its line ``ready``, and its CPU time until then."""
    tier = folder.name[1]
    extra = ["--passphrase-file", str(folder.parent / "passphrase")] if tier == "4" else []
    command = [*SUPERVM, f"l{tier}", "run", "--config", str(folder / "config.toml"), *extra]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    taken_s = time.perf_counter() - began_s
    cpu_s = look(folder).cpu_s if b'"ready"' in line else 0.0
    process.terminate()
    rest = process.communicate(timeout=START_TIMEOUT_S)
    assert b'"ready"' in line, (folder, line, rest[1][-2000:])
    return taken_s, cpu_s


def measure_starts(early: Path, late: Path) -> dict[str, dict[str, float]]:
    """Start one node of each tier from both copies, in turn; return medians in seconds."""
    found = {}
    for name in ("l1-0", "l2-0", "l3-0", "l4-0"):
        times: dict[str, list[tuple[float, float]]] = {"early": [], "late": []}
        for _ in range(STARTS):
            times["early"].append(start_s(early / name))
            times["late"].append(start_s(late / name))
        found[name] = {
            f"{when}_{what}": statistics.median(item[index] for item in taken)
            for when, taken in times.items()
            for index, what in enumerate(("s", "cpu_s"))
        }
    return found


# --- results ----------------------------------------------------------------------------------------------------------


class Checks:
    """What was measured, beside what is allowed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def at_most(self, what: str, value: float, bound: float, unit: str) -> None:
        """Note a figure and its bound."""
        self.rows.append({"what": what, "value": value, "bound": bound, "unit": unit, "holds": value <= bound})

    def note(self, what: str, value: float, unit: str) -> None:
        """Note a figure."""
        self.rows.append({"what": what, "value": value, "unit": unit})

    def table(self) -> str:
        """All of it, a line each."""
        lines = []
        for row in self.rows:
            allowed = "" if "bound" not in row else f"  <= {row['bound']:g}  {'ok' if row['holds'] else 'TOO MUCH'}"
            lines.append(f"{row['what']:<44} {row['value']:12.4g} {row['unit']:<8}{allowed}")
        return "\n".join(lines)


def judge(seen: Seen, seconds: float, starts: dict[str, dict[str, float]]) -> Checks:
    """Fit what was seen, and hold it against the bounds."""
    checks = Checks()
    for name in HELD_TO:
        half = [(at, usage) for at, _, usage in seen.looks[name] if seconds / 2 <= at <= seconds]
        mean = statistics.fmean(usage.rss for _, usage in half)
        rate = slope([(at, usage.rss) for at, usage in half])
        checks.note(f"{name} memory, mean of the second half", mean / MIB, "MiB")
        checks.note(f"{name} memory, slope of the second half", rate * DAY_S / MIB, "MiB/day")
        checks.at_most(f"{name} memory, growth over the second half", rate * seconds / 2 / mean, GROWTH_MAX, "")
        first = slope([(at, usage.rss) for at, _, usage in seen.looks[name] if at <= seconds / 3])
        checks.note(f"{name} memory, slope of the first third", first * DAY_S / MIB, "MiB/day")
    for name in ("l1-0", "l2-0", "l3-0", "l4-0"):
        idle_s, idle_disk, idle_written, idle_cpu_s, busy_disk = 0.0, 0, 0, 0.0, 0
        for (at, phase, before), (then, later, after) in zip(seen.looks[name], seen.looks[name][1:], strict=False):
            if after.cpu_s < before.cpu_s:  # it was started again
                continue
            if phase == later == "idle":  # the first payments of the next phase come before its first look
                idle_s += then - at
                idle_disk += after.disk - before.disk
                idle_written += after.written - before.written
                idle_cpu_s += after.cpu_s - before.cpu_s
            else:
                busy_disk += after.disk - before.disk
        checks.at_most(f"{name} disk, idle", idle_disk / idle_s * DAY_S / 1e6, IDLE_DISK_MAX / 1e6, "MB/day")
        checks.at_most(
            f"{name} log, largest", max(usage.promises for _, _, usage in seen.looks[name]), LOG_MAX, "bytes"
        )
        checks.note(f"{name} written, idle", idle_written / idle_s * DAY_S / 1e6, "MB/day")
        checks.note(f"{name} CPU, idle", 1000 * idle_cpu_s / idle_s, "ms/s")
        per_payment = busy_disk / seen.asked["payments"]
        checks.at_most(f"{name} disk, per payment", per_payment, PAYMENT_DISK_MAX[name[:2]], "bytes")
    for phase in ("pay", "burst"):
        cpu_s, paid = 0.0, 0
        for name in NODES:
            for (_, one, before), (_, _, after) in zip(seen.looks[name], seen.looks[name][1:], strict=False):
                cpu_s += after.cpu_s - before.cpu_s if one == phase and after.cpu_s >= before.cpu_s else 0
        phases = {at: one for at, one, _ in seen.looks["l1-0"]}
        for (at, before_count), (_, after_count) in zip(seen.paid, seen.paid[1:], strict=False):
            paid += after_count - before_count if phases.get(at) == phase else 0
        checks.note(f"CPU of all nodes per payment, {phase}", 1000 * cpu_s / max(1, paid), "ms")
    for at, name, taken_s in seen.kills:
        checks.note(f"{name} killed at {at:.0f} s, answers after", taken_s, "s")
    for name, times in starts.items():
        for when in ("early", "late"):
            checks.note(f"{name} start, {when}", times[f"{when}_s"], "s")
        checks.note(f"{name} start, CPU early", times["early_cpu_s"], "s")
        allowed_s = START_RATIO_MAX * times["early_cpu_s"] + START_SLACK_S
        checks.at_most(f"{name} start, CPU late", times["late_cpu_s"], allowed_s, "s")
    checks.at_most("payments that are not proved", sum(n for s, n in seen.statuses.items() if s != "R4"), 0, "")
    return checks


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("build/hour_of_up.json"))
    parser.add_argument("--dir", type=Path, default=None, help="folder for the network; default: a temporary one")
    chosen = parser.parse_args()
    seconds = 60 * chosen.minutes
    root = chosen.dir or Path(tempfile.mkdtemp(prefix="supervm-hour-"))
    root.mkdir(parents=True, exist_ok=True)
    rng = random.Random(9)
    up = Up(root / "net")
    try:
        load = Load(up, Seen(), time.monotonic(), rng)
        load.phase("pay", seconds / PARTS / 2, 1, lambda: load.pay(1))
        before = load.settle()
        up.end()
        copy_network(root / "net", root / "early")
        up = Up(root / "net")
        began = {name: folder_bytes(root / "net" / name) for name in NODES}
        seen = live(up, seconds, rng)
        document = up.end()
    finally:
        up.kill_all()
    copy_network(root / "net", root / "late")
    checks = judge(seen, seconds, measure_starts(root / "early", root / "late"))
    print(checks.table())
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "minutes": chosen.minutes,
        "asked": seen.asked,
        "statuses": seen.statuses,
        "statuses_before": before,
        "supply": document["supply"],
        "checks": checks.rows,
        "kills": seen.kills,
        "folders_at_begin": began,
        "looks": {
            name: [[round(at, 1), phase, usage.document()] for at, phase, usage in looks]
            for name, looks in seen.looks.items()
        },
        "paid": [[round(at, 1), count] for at, count in seen.paid],
    }
    chosen.out.write_text(json.dumps(result) + "\n")
    if chosen.dir is None:
        shutil.rmtree(root)
    return 0 if all(row.get("holds", True) for row in checks.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
