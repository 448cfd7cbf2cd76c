"""The app on a virtual screen and a real network: a new wallet is paid, pays, pays without its edge, locks, and moves.

Everything is touched as an owner touches it; the nodes are processes on the loopback interface, and the app's own node
runs in its loop. What the screen says on the way is looked at: nothing is called paid before it is proved.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from by_touch import pay, unlock
from finger import Finger, shown
from life_tools import LifeScene, new_bytes
from process_network import ProcessNetwork, running

from supervm.common.up.layout import Counts
from supervm.common.wallet import WALLET_FILE, unlock_wallet
from supervm.common.wallet.words import words_of
from supervm.protocol.base.address import encode_address

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

COUNTS = Counts(4, 1, 1, 1)
SECRET = "seven horses in a boat"
WORDS = words_of(new_bytes(32)).split()


def edge_of(network: ProcessNetwork) -> str:
    return f"127.0.0.1:{network.layout.nodes['l3-0']['port']}"


async def make_wallet(finger: Finger, network: ProcessNetwork) -> None:
    """The first run: the network by its file, 24 words of which four are asked back, and a passphrase."""
    await finger.until_shown("first.create")
    await finger.tap("first.create")
    await finger.type("first.genesis", str(network.directory / "genesis.cbor"))
    await finger.type("first.edges", edge_of(network))
    await finger.tap("first.next")
    await finger.until_shown("first.written")
    await finger.tap("first.written")
    await finger.until_shown("first.check")
    asked = [int(text.removeprefix("Word ")) for text in finger.texts() if text.startswith("Word ")]
    for number, place in enumerate(asked):
        await finger.type(f"first.asked.{number}", WORDS[place - 1])
    await finger.tap("first.check")
    await choose_secret(finger)
    await finger.until(lambda: finger.shows("Connected to edge"))


async def choose_secret(finger: Finger) -> None:
    await finger.until_shown("secret.make")
    await finger.type("secret.once", SECRET)
    await finger.type("secret.again", SECRET)
    await finger.tap("secret.make")
    await finger.until_shown("home.pay")


async def test_a_wallet_is_made_paid_and_pays_with_and_without_its_edge(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    network = ProcessNetwork(tmp_path / "net", COUNTS, ["ann"])
    scene = LifeScene(tmp_path / "app")
    with trio.fail_after(270):
        async with running(network):
            async with shown(scene.life().story) as finger:
                await make_wallet(finger, network)
                key = unlock_wallet(scene.directory / WALLET_FILE, SECRET).account(0)
                own = encode_address(key.public, test=network.chain.parameters.test_network)
                ann = network.layout.wallets["ann"].address
                begun = await network.balance("ann")
                request = {"request": "pay", "row": {"to": own, "amount": 5_000, "fee": 10, "source": ann}}
                await network.call("l4-0", request)
                await finger.until(lambda: finger.shows("0.000005 SVM"))
                await finger.until(lambda: finger.shows("Proved at height"))

                await pay(finger, ann, "0.000001")
                while not finger.shows("Paid and proved"):
                    assert "Paid" not in finger.texts()
                    await finger.frames()
                await finger.tap("paying.done")

                await network.kill("l3-0")
                await finger.until(lambda: finger.shows("Offline"))
                await pay(finger, ann, "0.000002")
                assert finger.shows("Waiting")
                await network.start("l3-0")
                await finger.until(lambda: finger.shows("Paid and proved"))
            question = {"request": "balance", "address": ann}  # her phone meets the edge again, too
            await network.until("l4-0", question, lambda told: told["balance"] == begun - 5_010 + 3_000, 60)
            async with shown(scene.life().story) as finger:  # the same wallet again: locked, and what it knew is there
                await finger.until_shown("lock.open")
                await finger.type("lock.secret", "seven horses in a boot")
                await finger.tap("lock.open")
                await finger.until(lambda: finger.shows("This passphrase does not open the wallet"))
                await finger.until(lambda: finger.find("lock.secret").text == "" or finger.has("lock.open"))
                scene.uptime_ms += 60_000
                await unlock(finger, SECRET)
                await finger.until(lambda: finger.shows("Proved at height"))
            other = LifeScene(tmp_path / "other")
            other.folder.take_network(network.directory / "genesis.cbor", edge_of(network))
            async with shown(other.life().story) as finger:  # the same words on a second phone
                await finger.tap("first.import")
                await finger.type("first.words", " ".join(WORDS))
                await finger.tap("first.next")
                await choose_secret(finger)
                await finger.until(lambda: finger.shows("0.000001998 SVM"))
                await finger.until(lambda: finger.shows("Proved at height"))
                assert not finger.shows("Another device"), "what the words did before is no other device's"
                await pay(finger, ann, "0.0000001")
                await finger.until(lambda: finger.shows("Paid and proved"))
            async with shown(scene.life().story) as finger:  # the first phone finds out, and says so
                await unlock(finger, SECRET)
                await finger.until(lambda: finger.shows("Another device uses the same words and has paid"))
