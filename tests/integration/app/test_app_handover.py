"""A payment goes from one app's screen to another's scanner without a network, and its proof comes back as a file.

Both apps run the nodes of two phones of a real network, one after the other in this program. The payer's has proved its
balance once; from then on it meets no edge any more.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from by_touch import pay, unlock
from finger import Finger, shown
from lens import Camera, photographed
from life_tools import LifeScene
from process_network import ProcessNetwork, lose_network, running

from supervm.common.up.layout import PASSPHRASE_FILE, Counts
from supervm.tier_l4_mobile.app.kit.viewfinder import Viewfinder
from supervm.tier_l4_mobile.app.screens.give import GiveScreen

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

LOST_PERCENT = 30
PICTURES = 14


async def photographed_payment(finger: Finger, to: str, folder: Path) -> list[Path]:
    """Pay without an edge, and photograph most of the pictures that hand the payment over."""
    await pay(finger, to, "1")
    assert finger.shows("Waiting")
    await finger.tap("paying.give")
    assert finger.shows("cannot be cancelled any more")
    await finger.tap("give.start")
    pictures = await photographed(finger, folder, PICTURES)
    await finger.tap("give.done")
    await finger.until(lambda: finger.shows("1 SVM to "))
    assert not finger.shows("Paid")
    rng = random.Random(3)
    return [path for path in pictures if rng.randrange(100) >= LOST_PERCENT]


async def carried(finger: Finger) -> Path:
    """Take what the camera sees, wait until it is settled, and give its proof back as a file."""
    await finger.tap("home.receive")
    await finger.tap("receive.scan")
    await finger.until(lambda: finger.shows("Just taken"))
    assert finger.shows("Promised, not settled")
    assert not finger.shows("Settled")
    while not finger.shows("Settled and proved"):
        assert not finger.shows("Paid")
        await finger.frames()
    [row] = [target.key for target in finger.targets() if target.key.startswith("promise.")]
    await finger.tap(row)
    await finger.tap("promise.give")
    await finger.tap("give.save")
    await finger.until(lambda: finger.shows("Saved"))
    return Path(finger.find("give.file").text)


async def test_a_payment_is_handed_over_in_pictures_and_its_proof_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net").mkdir()
    network = ProcessNetwork(tmp_path / "net", Counts(1, 1, 1, 2), ["ann", "bob"])
    passphrase = (network.directory / PASSPHRASE_FILE).read_text().strip()
    ann, bob = (LifeScene(network.nodes[name].directory) for name in ("l4-0", "l4-1"))
    monkeypatch.setattr(GiveScreen, "rates", dict.fromkeys(GiveScreen.rates, 0))
    monkeypatch.setattr(GiveScreen, "folder", staticmethod(lambda: tmp_path))
    monkeypatch.setattr(Viewfinder, "looks_per_s", 0)
    with trio.fail_after(270):
        async with running(network, "l1-0", "l2-0", "l3-0"):
            async with shown(ann.life().story) as finger:
                await unlock(finger, passphrase)
                await finger.until(lambda: finger.shows("Proved at height"))
                await network.kill("l3-0")
                await finger.until(lambda: finger.shows("Offline"))
                seen = await photographed_payment(finger, network.layout.wallets["bob"].address, tmp_path)
            lose_network(ann.directory)
            await network.start("l3-0")
            monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: Camera(seen)))
            async with shown(bob.life().story) as finger:
                await unlock(finger, passphrase)
                proof = await carried(finger)
            monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: None))
            async with shown(ann.life().story) as finger:
                await unlock(finger, passphrase)
                await finger.until_shown("home.waiting")
                await finger.tap("home.receive")
                await finger.tap("receive.scan")
                await finger.type("scan.file", str(proof))
                await finger.tap("scan.open")
                await finger.until(lambda: finger.shows("Your payment of 1 SVM: Paid and proved"))
                await finger.tap("back")
                assert finger.shows("Offline")
    assert network.complaints() == []
