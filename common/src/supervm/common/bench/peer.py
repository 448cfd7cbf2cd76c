"""A development node of another network beside ours in the same run, where one is installed: ``anvil``.

It is one process that signs for its own ten accounts, executes and keeps everything in memory; it has no consensus, no
links to others, no disk and no proofs. So its figures are not those of a network: they say what executing a payment
behind a JSON-RPC socket costs. Payments are asked for as fast as they are taken, in requests of `BATCH`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..errors import CommonError
from ..up.layout import HOST, free_ports
from .measure import Row, short
from .procfs import usage_of

PROGRAM = "anvil"
PAYMENTS, PAYMENTS_QUICK = 20_000, 2_000
BATCH, SENDERS = 50, 4
READY_S, DONE_S, PAUSE_S = 20.0, 60.0, 0.05


def rows(*, quick: bool) -> list[Row]:
    """Return its payments per second and CPU per payment; nothing where it is not installed.

    Raises:
        CommonError: it is there and does not work.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return []
    count = PAYMENTS_QUICK if quick else PAYMENTS
    (port,) = free_ports(1)
    command = [program, "--port", str(port), "--block-time", "1", "--disable-block-gas-limit", "--silent"]
    # a group of its own: some packages start the program behind a script, which does not pass the signal on
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        rate, cpu_s = _measure(process.pid, port, count)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise CommonError(f"{PROGRAM} does not answer as it should: {error!r:.200}") from error
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(DONE_S)
    return [
        Row(f"network.peer_{PROGRAM}", short(rate), "payments/s", None, None, count),
        Row(f"network.peer_{PROGRAM}.cpu", short(cpu_s / count * 1e6), "us/payment", None, None, count),
    ]


def _measure(pid: int, port: int, count: int) -> tuple[float, float]:
    accounts = _ready(port)
    calls = [("eth_sendTransaction", [_payment(accounts, number)]) for number in range(count)]
    parts = [calls[start : start + BATCH] for start in range(0, count, BATCH)]
    used, began_s = usage_of(pid), time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(lambda sender: [_ask(port, part) for part in parts[sender::SENDERS]], range(SENDERS)))
    while sum(int(nonce, 16) for nonce in _ask(port, [_nonce(account) for account in accounts])) < count:
        if time.perf_counter() - began_s > DONE_S:
            raise CommonError(f"{PROGRAM} has not executed {count} payments within {DONE_S:g} s")
        time.sleep(PAUSE_S)
    return count / (time.perf_counter() - began_s), (usage_of(pid) - used).cpu_s


def _payment(accounts: Sequence[str], number: int) -> dict[str, str]:
    """Return a payment with its place among those of its account: requests of one batch run side by side."""
    source, nonce = number % len(accounts), number // len(accounts)
    to = accounts[(source + 1) % len(accounts)]
    return {"from": accounts[source], "to": to, "value": "0x1", "gas": hex(21_000), "nonce": hex(nonce)}


def _nonce(account: str) -> tuple[str, list[Any]]:
    return "eth_getTransactionCount", [account, "latest"]


def _ready(port: int) -> list[str]:
    """Wait until it answers; return its accounts."""
    until_s = time.perf_counter() + READY_S
    while True:
        try:
            accounts: list[str] = _ask(port, [("eth_accounts", [])])[0]
            return accounts[:10]
        except OSError:
            if time.perf_counter() > until_s:
                raise
            time.sleep(PAUSE_S)


def _ask(port: int, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    """Ask many things in one request; return the results in their order."""
    body = [
        {"jsonrpc": "2.0", "id": number, "method": name, "params": what} for number, (name, what) in enumerate(calls)
    ]
    connection = http.client.HTTPConnection(HOST, port, timeout=DONE_S)
    try:
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    failed = [answer["error"] for answer in answers if "error" in answer]
    if failed:
        raise CommonError(f"{PROGRAM} refuses a request: {failed[0]}")
    return [answer["result"] for answer in sorted(answers, key=lambda answer: int(answer["id"]))]
