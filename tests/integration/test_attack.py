"""Real processes under attack: a stranger with a hundred connections, and a validator that has turned hostile.

While they flood every validator with one class of message after the other, payments go on: R4 in two seconds in the
median, no node's memory or disk runs away, and the logs name who did it. `SUPERVM_ATTACK_S` sets how long each part
takes; docs/faults.md ("What an attacker can cost you") has the figures of a run with 30.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running
from raw_client import RawClient, now_us

from supervm.common.host.keyfile import load_key_file
from supervm.common.up.layout import Counts
from supervm.protocol.base.errors import ProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, statement
from supervm.protocol.wire.chain import (
    BatchCertificateMessage,
    CheckpointMessage,
    Follow,
    GetBatches,
    GetBlocks,
    GetSnapshot,
)
from supervm.protocol.wire.consensus import CertificateMessage, GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.payments import GetValidatorChanges, Subscribe

SECONDS = float(os.environ.get("SUPERVM_ATTACK_S", "10"))
"""How long each of the three parts takes: undisturbed, strangers, a validator."""
pytestmark = [pytest.mark.processes, pytest.mark.timeout(180 + 8 * SECONDS)]

COUNTS = Counts(4, 1, 1, 2)
NAMES = [f"name{index}" for index in range(8)]
STRANGERS = 100
STRANGER_BYTES_PER_S = 1_000_000
"""Of all strangers, to each validator."""
VALIDATOR_BYTES_PER_S = 2_000_000
WRITE_S = 0.05
R4_MS_MAX = 2_000
RSS_GROWTH_BYTES_MAX = 64 << 20
PAGES_BYTES = 64 << 10
"""What a database may grow by when nothing much happens: it takes whole pages, and several at once."""

Flood = Callable[[], Sequence[Message]]
_NUMBERS = count(1)


def garbage(kind: VoteKind, number: int) -> Certificate:
    signatures = tuple((index, secrets.token_bytes(64)) for index in (0, 1, 2))
    return Certificate(1, kind, 0, number, secrets.token_bytes(32), signatures)


BOMB = b"\x9a\x00\x0f\xff\xff" + b"\x80" * 4_000
"""A list that says it has a million items, and begins with empty lists."""


FLOODS: dict[str, Flood] = {
    "not for an L1": lambda: [GetBlocks(1), Subscribe((ZERO_HASH,))],
    "blocks": lambda: [GetBlocks(1)],
    "follow": lambda: [Follow(0)],
    "block, snapshot, changes": lambda: [GetBlock(1, ZERO_HASH), GetSnapshot(0, ZERO_HASH, 0), GetValidatorChanges(0)],
    "bodies": lambda: [GetBatches((secrets.token_bytes(32),) * 64)],
    "certificates": lambda: [CertificateMessage(tuple(garbage(VoteKind.NULLIFY, 1 + n) for n in range(20)))],
    "proposals": lambda: [ProposalMessage(secrets.token_bytes(4_000)), ProposalMessage(BOMB)],
    "batch certificates": lambda: [BatchCertificateMessage(secrets.token_bytes(500))],
    "checkpoints": lambda: [CheckpointMessage(secrets.token_bytes(500))],
}


@dataclass
class Attacker:
    """Floods nodes over connections that it makes anew whenever they end."""

    network: ProcessNetwork
    targets: Sequence[str]
    connections: int
    bytes_per_s: float
    keys: Callable[[], SigningKey]
    floods: dict[str, Flood]
    sent_bytes: int = 0
    ended: int = 0
    """Connections that were up and that the node ended."""
    _frames: list[bytes] = field(default_factory=list)

    async def run(self) -> None:
        """Flood with each class in turn until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(self.connections):
                nursery.start_soon(self._connection, self.targets[number % len(self.targets)])
            while True:
                for flood in self.floods.values():
                    self._frames = [encode_message(message) for message in flood()]
                    await trio.sleep(SECONDS / len(self.floods))

    async def _connection(self, name: str) -> None:
        port = self.network.layout.nodes[name]["port"]
        share = self.bytes_per_s * len(self.targets) / self.connections * WRITE_S
        while True:
            client = None
            try:
                client = await RawClient.connect(port, self.network.chain, tier=1, key=self.keys())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, client, nursery.cancel_scope)
                    await self._write(client, share)
            except (EOFError, OSError, trio.BrokenResourceError, trio.TooSlowError, RemoteProtocolError):
                pass
            except BaseExceptionGroup as group:
                rest = group.split((OSError, trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError))[1]
                if rest is not None:
                    raise
            finally:
                if client is not None:
                    self.ended += 1
                    with suppress(Exception):
                        await client.aclose()
            await trio.sleep(WRITE_S)

    async def _write(self, client: RawClient, share: float) -> None:
        while True:
            frames, size = self._frames, 0
            while frames and size < share:
                for frame in frames:
                    client.session.send_frame(frame)
                    size += len(frame) + 4
            await client.flush()
            self.sent_bytes += size
            await trio.sleep(WRITE_S)

    async def _read(self, client: RawClient, scope: trio.CancelScope) -> None:
        """Read everything and look at nothing, until the node hangs up."""
        while client.connection.state == "up":
            data = await client.stream.receive_some(1 << 16)
            if not data:
                break
            client.connection.receive(data, now_us())
        scope.cancel()


@dataclass
class Part:
    """What was measured in one part."""

    r4_ms: list[float]
    rss: dict[str, int]
    disk: dict[str, int]


async def pay(network: ProcessNetwork, part: str, seconds: float) -> list[float]:
    """Send a payment a second from each phone while the time lasts; return how long each took to be proved."""
    took: list[float] = []
    deadline = trio.current_time() + seconds
    while trio.current_time() < deadline:
        number = next(_NUMBERS)  # of no other part: rows that were sent before are not sent again
        rows = [(NAMES[n], NAMES[(n + 1) % len(NAMES)], number, 1 + n) for n in range(4)]
        run = network.payments(rows)
        with trio.fail_after(60):
            await run.run()
        assert not any(item.sent_before for item in run.payments)
        assert {item.status for item in run.payments} == {"R4"}, part
        took += [item.document()["latency_ms"]["r4"] for item in run.payments]
        await trio.sleep(0.2)
    return took


def disk_bytes(network: ProcessNetwork, name: str) -> int:
    folder = network.nodes[name].directory
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-wal"))


async def measured(network: ProcessNetwork, part: str, meanwhile: Callable[[], Awaitable[None]] | None) -> Part:
    """Pay for a while, attacked or not; return latencies and growth."""
    names = [name for name in network.nodes if network.is_running(name)]
    rss = {name: (await network.metrics(name))["rss_bytes"] for name in names}
    disk = {name: disk_bytes(network, name) for name in names}
    async with trio.open_nursery() as nursery:
        if meanwhile is not None:
            nursery.start_soon(meanwhile)
        took = await pay(network, part, SECONDS)
        nursery.cancel_scope.cancel()
    return Part(
        took,
        {name: (await network.metrics(name))["rss_bytes"] - rss[name] for name in names},
        {name: disk_bytes(network, name) - disk[name] for name in names},
    )


def faults(network: ProcessNetwork, name: str) -> list[dict[str, Any]]:
    """Events of blame and of held peers in a node's log."""
    lines = (network.nodes[name].directory / "node.log").read_text(errors="replace").splitlines()
    return [entry for entry in map(json.loads, lines) if entry.get("event") in ("peer-fault", "throttled")]


def validator_floods(network: ProcessNetwork, name: str) -> dict[str, Flood]:
    """What only a validator can say: votes for far heights, rivals with garbage, genuine votes over and over."""
    key = load_key_file(network.nodes[name].directory / "validator.key")
    index = network.chain.validators.keys.index(key.public)

    def signed(kind: VoteKind, number: int, digest: bytes) -> Vote:
        signature = key.sign(statement(network.chain.chain_id, kind, 0, number, digest))
        return Vote(1, kind, 0, number, digest, index, signature)

    def rivals() -> list[Message]:
        bad = tuple(
            Vote(1, VoteKind.CHECKPOINT, 0, 900, secrets.token_bytes(32), index, secrets.token_bytes(64))
            for _ in range(500)
        )
        return [VoteMessage((signed(VoteKind.CHECKPOINT, 900, b"\x01" * 32),)), VoteMessage(bad)]

    return {
        "rivals": rivals,
        "genuine votes": lambda: [
            VoteMessage(tuple(signed(VoteKind.CHECKPOINT, number, secrets.token_bytes(32)) for number in range(1, 60)))
        ],
        **FLOODS,
    }


async def test_payments_go_on_under_floods_of_strangers_and_of_a_validator(tmp_path: Path) -> None:
    network = ProcessNetwork(tmp_path, COUNTS, NAMES)
    async with running(network):
        await pay(network, "warming up", 1)
        calm = await measured(network, "calm", None)
        strangers = Attacker(
            network,
            COUNTS.names(1),
            STRANGERS,
            STRANGER_BYTES_PER_S,
            lambda: SigningKey(secrets.token_bytes(32)),
            FLOODS,
        )
        first = await measured(network, "strangers", strangers.run)

        await network.terminate("l1-3")
        key = load_key_file(network.nodes["l1-3"].directory / "node.key")
        validator = Attacker(
            network, ["l1-0", "l1-1", "l1-2"], 3, VALIDATOR_BYTES_PER_S, lambda: key, validator_floods(network, "l1-3")
        )
        second = await measured(network, "validator", validator.run)
        honest = [name for name in network.nodes if network.is_running(name)]
        await network.terminate()

    assert network.complaints() == []
    assert strangers.sent_bytes > 0 < validator.sent_bytes
    for attacker in (strangers, validator):
        assert attacker.ended, "nobody was hung up on"
    for name in COUNTS.names(1):
        assert "peer-fault" in {entry["event"] for entry in faults(network, name)}, name
    for name in ("l1-0", "l1-1", "l1-2"):
        assert {entry["event"] for entry in faults(network, name)} == {"peer-fault", "throttled"}, name
    for part in (first, second):
        assert median(part.r4_ms) <= R4_MS_MAX, sorted(part.r4_ms)
        for name in honest:
            assert part.rss.get(name, 0) <= RSS_GROWTH_BYTES_MAX, part.rss
            assert part.disk.get(name, 0) <= max(2 * calm.disk[name], PAGES_BYTES), (part.disk, calm.disk)
    (tmp_path / "figures.json").write_text(
        json.dumps(
            {
                part_name: {
                    "r4_ms_median": median(part.r4_ms),
                    "r4_ms_max": max(part.r4_ms),
                    "payments": len(part.r4_ms),
                    "rss_growth_bytes": max(part.rss.values()),
                    "disk_growth_bytes": max(part.disk.values()),
                }
                for part_name, part in (("calm", calm), ("strangers", first), ("validator", second))
            },
            indent=1,
        )
    )
    print(
        (tmp_path / "figures.json").read_text(),
        strangers.sent_bytes,
        strangers.ended,
        validator.sent_bytes,
        validator.ended,
    )
