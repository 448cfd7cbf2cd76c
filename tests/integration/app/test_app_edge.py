"""The app, by touch, at an edge that lies and under a clock that is two days wrong; blocks come from real processes.

The edge and the app's node run in this program, over a real link. The lying edge is a real one whose answers are forged
on their way out: ten times the balance, in a proof that is otherwise the true one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio
from by_touch import pay, unlock
from finger import Finger, shown
from life_tools import LifeScene
from process_network import ProcessNetwork, running

from supervm.common.contract.core import Effect, Input, Send
from supervm.common.driver.clock import SystemClock
from supervm.common.host.config import load_any_config
from supervm.common.host.node import Node
from supervm.common.host.open import open_node
from supervm.common.host.profile import NodeContext
from supervm.common.up.layout import PASSPHRASE_FILE, Counts
from supervm.protocol.base.codec import encode
from supervm.protocol.state.account import decode_account, encode_account
from supervm.protocol.state.trie_proof import decode_trie_proof
from supervm.protocol.wire.payments import LeafProofs
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.profile import PROFILE as EDGE

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

TIMES = 10
"""So much richer does the lying edge make everybody."""
HELD, FORGED = "100,000,000 SVM", "1,000,000,000 SVM"
"""What the wallet has, and what the lying edge says that it has."""
DAY_US = 86_400_000_000


def forged(effect: Effect) -> Effect:
    """Return what an edge does, with larger balances in all that it proves."""
    if not isinstance(effect, Send) or not isinstance(effect.message, LeafProofs):
        return effect
    proofs = []
    for leaf_id, data in effect.message.proofs:
        proof = decode_trie_proof(data)
        if proof.value:  # of nothing there is no ten times
            account = decode_account(proof.value)
            richer = encode_account(account._replace(balance=account.balance * TIMES))
            data = encode(msgspec.structs.replace(proof, value=richer))
        proofs.append((leaf_id, data))
    return Send(effect.peer, LeafProofs(effect.message.checkpoint, tuple(proofs)), effect.after)


def build_liar(context: NodeContext) -> EdgeNode:
    """Make an edge that does all that edges do, and lies."""
    edge = EDGE.build(context)
    honest = edge.step

    def step(now_us: int, event: Input) -> list[Effect]:
        return [forged(effect) for effect in honest(now_us, event)]

    edge.step = step  # type: ignore[method-assign]
    return edge


@asynccontextmanager
async def edge_of(network: ProcessNetwork, name: str = "l3-0", *, lies: bool = False) -> AsyncIterator[Node]:
    """Run an edge of the network in this program."""
    config = load_any_config(network.nodes[name].directory / "config.toml")
    async with open_node(config, profile=replace(EDGE, build=build_liar) if lies else EDGE) as edge:
        yield edge


@asynccontextmanager
async def validated(folder: Path) -> AsyncIterator[tuple[ProcessNetwork, LifeScene, str]]:
    """A network whose validator and miner run, the folder of its phone, and what opens the wallet in it."""
    folder.mkdir()
    network = ProcessNetwork(folder, Counts(1, 1, 2, 1), ["ann", "bob"])
    with trio.fail_after(270):
        async with running(network, "l1-0", "l2-0"):
            scene = LifeScene(network.nodes["l4-0"].directory)
            yield network, scene, (network.directory / PASSPHRASE_FILE).read_text().strip()
    assert network.complaints() == []


async def until_without(finger: Finger, wanted: str, never: str) -> None:
    """Wait for a text, and see to it that another one is shown in no frame before."""
    while not finger.shows(wanted):
        assert not finger.shows(never)
        await finger.frames()


async def test_an_edge_that_lies_is_named_and_nothing_of_it_believed(tmp_path: Path) -> None:
    async with validated(tmp_path / "net") as (network, scene, passphrase), shown(scene.life().story) as finger:
        async with edge_of(network, "l3-1"):
            await unlock(finger, passphrase)
            await finger.until(lambda: finger.shows("Proved at height"))
            assert finger.shows(HELD)
        async with edge_of(network, "l3-0", lies=True) as liar:
            await until_without(finger, f"Edge …{liar.name[-8:]} sent a proof that does not hold", FORGED)
            assert finger.shows(HELD)
            await pay(finger, network.layout.wallets["bob"].address, "1")
            assert finger.shows("Waiting")
            async with edge_of(network, "l3-1"):  # the liar is there still
                await until_without(finger, "Paid and proved", FORGED)


async def test_under_a_clock_that_is_two_days_wrong_payments_wait_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with validated(tmp_path / "net") as (network, scene, passphrase), edge_of(network):
        bob = network.layout.wallets["bob"].address
        for days, side in ((2, "ahead of"), (-2, "behind")):

            class WrongClock(SystemClock):
                """What a machine gives whose clock was set wrong."""

                def now_us(self, days: int = days) -> int:
                    return super().now_us() + days * DAY_US

            monkeypatch.setattr("supervm.common.host.prepare.SystemClock", WrongClock)
            scene.ahead_ms = days * DAY_US // 1000
            async with shown(scene.life().story) as finger:
                await unlock(finger, passphrase)
                await until_without(finger, f"This phone's clock is 172800 s {side} the network's", "Proved at")
                await pay(finger, bob, "1")
                assert finger.shows("Waiting")
                assert not finger.shows("Paid")
            monkeypatch.undo()  # somebody has set it
            scene.ahead_ms = 0
            async with shown(scene.life().story) as finger:
                await unlock(finger, passphrase)
                await finger.until(lambda: finger.shows("Proved at"))
                assert not finger.shows("clock")
                await finger.until(lambda: not finger.has("home.waiting"))
