"""A network set up by hand, as docs/several-machines.md says: folders by ``init``, the network by ``genesis``.

Everything goes through the ``supervm`` program, as an operator would do it; nodes are real processes on the loopback
interface.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

SUPERVM = (sys.executable, "-m", "supervm.common.cli")
ENVIRONMENT = {**os.environ, "SUPERVM_PASSPHRASE": "correct horse", "NO_COLOR": "1"}
GRANT = 1_000_000_000
COMMAND_TIMEOUT_S = 60


def run(*args: object, preexec: Callable[[], None] | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SUPERVM, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env=ENVIRONMENT | more,
        stdin=subprocess.DEVNULL,
        preexec_fn=preexec,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def ask(*args: object, status: int = 0) -> dict[str, Any]:
    """Run a command with --json; its standard output is one document."""
    done = run(*args, "--json")
    assert done.returncode == status, (args, done.stdout, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


class Nodes:
    """The folders of a small network, and the processes that run in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.made: dict[str, dict[str, Any]] = {}

    def folder(self, name: str) -> Path:
        return self.directory / name

    def set_up(self, validators: int, *, candidates: int = 0, params: Sequence[str] = ()) -> None:
        """Make keys, wallets, genesis and configuration with the commands that operators use.

        Args:
            validators: L1 nodes that genesis names.
            candidates: further ones.
            params: for ``genesis new --param``.
        """
        ports = iter(_free_ports(validators + candidates + 2))
        made = self.made
        self.addresses: dict[str, str] = {}
        ones = [f"one-{index}" for index in range(validators + candidates)]
        tiers = [*(("l1", name) for name in ones), ("l2", "miner"), ("l3", "edge")]
        purse = self.folder("purse")
        ask("wallet", "new", "--dir", purse, "--test", "--words", 12)
        shown = ask("wallet", "show", "--dir", purse, "--accounts", len(tiers), "--test")["accounts"]
        for (tier, name), account in zip(tiers, shown, strict=True):
            self.addresses[name] = account["address"]
            made[name] = ask(
                "init",
                tier,
                "--dir",
                self.folder(name),
                "--listen",
                f"127.0.0.1:{next(ports)}",
                "--payout",
                self.addresses[name],
            )
        for name in ("phone", "other"):
            made[name] = ask("init", "l4", "--dir", self.folder(name))
            self.addresses[name] = ask("wallet", "new", "--dir", self.folder(name), "--test")["address"]
        self._make_genesis(made, ones[:validators], params)
        endpoint = {name: f"{made[name]['node_id']}@{self._config(name)['listen']}" for _, name in tiers}
        for name in ones:
            self._set_peers(name, [endpoint[other] for other in ones if other != name])
        self._set_peers("miner", [endpoint[name] for name in ones])
        self._set_peers("edge", [endpoint["miner"]])
        for name in ("phone", "other"):
            self._set_peers(name, [endpoint["edge"]])
        self.names = [name for _, name in tiers]

    def validators(self, weights: Mapping[str, int]) -> str:
        """The CSV that lists these L1 nodes with their weights."""
        return "key,node_id,weight,payout\n" + "".join(
            f"{self.made[name]['validator_key']},{self.made[name]['node_id']},{weight},{self.addresses[name]}\n"
            for name, weight in weights.items()
        )

    def _make_genesis(self, made: dict[str, dict[str, Any]], ones: Sequence[str], params: Sequence[str]) -> None:
        files = {
            "validators": self.validators(dict.fromkeys(ones, 1)),
            "miners": f"node_id,payout\n{made['miner']['node_id']},{self.addresses['miner']}\n",
            "alloc": "account,amount\n" + "".join(f"{self.addresses[name]},{GRANT}\n" for name in ("phone", "other")),
        }
        for name, text in files.items():
            (self.directory / f"{name}.csv").write_text(text)
        genesis = self.directory / "genesis.cbor"
        options = [item for name in files for item in (f"--{name}", self.directory / f"{name}.csv")]
        options += [item for param in params for item in ("--param", param)]
        shown = ask("genesis", "new", *options, "--out", genesis, "--test-network", "--name", "by hand")
        assert shown["supply"] == 2 * GRANT
        assert ask("genesis", "show", genesis)["chain_id"] == shown["chain_id"]
        for name in made:
            (self.folder(name) / "genesis.cbor").write_bytes(genesis.read_bytes())
            if name == "miner" or name.startswith("one"):
                (self.folder(name) / "genesis.alloc").write_bytes(genesis.with_suffix(".alloc").read_bytes())

    def _config(self, name: str) -> dict[str, str]:
        """The text keys of a configuration, as a person would read them."""
        pairs = [
            line.split(" = ", 1)
            for line in (self.folder(name) / "config.toml").read_text().splitlines()
            if " = " in line and not line.startswith("#")
        ]
        return {key: value.strip('"') for key, value in pairs}

    def _set_peers(self, name: str, peers: list[str]) -> None:
        """Edit the line of a configuration that a person would edit."""
        path = self.folder(name) / "config.toml"
        lines = path.read_text().splitlines()
        found = [index for index, line in enumerate(lines) if line.removeprefix("#").strip().startswith("peers = ")]
        assert found, path.read_text()
        lines[found[0]] = f"peers = {json.dumps(peers)}"
        path.write_text("\n".join(lines) + "\n")

    def start(self, *names: str) -> None:
        """Start nodes and wait for the line in which each says that it is ready."""
        for name in names:
            tier = self._config(name)["tier"]
            errors = (self.folder(name) / "errors").open("a")
            self.processes[name] = subprocess.Popen(
                [*SUPERVM, f"l{tier}", "run", "--config", str(self.folder(name) / "config.toml")],
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=ENVIRONMENT,
                start_new_session=True,
            )
            errors.close()
        for name in names:
            output = self.processes[name].stdout
            assert output is not None
            line = output.readline()
            assert line, (self.folder(name) / "errors").read_text()
            assert json.loads(line)["event"] == "ready"

    def stop(self, *names: str, number: int = signal.SIGTERM) -> list[int]:
        """Stop nodes (default: all) and return their exit statuses."""
        chosen = names or tuple(self.processes)
        processes = [self.processes.pop(name) for name in chosen]
        for process in processes:
            process.send_signal(number)
        return [_finish(process) for process in processes]


def _finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=30)
    return process.returncode


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def until(look: Callable[[], Any], good: Callable[[Any], bool], within_s: float = 60) -> Any:
    """Ask again until the answer is good; each question is a whole process, so this is no tight loop."""
    deadline = time.monotonic() + within_s
    while not good(value := look()):
        assert time.monotonic() < deadline, value
    return value
