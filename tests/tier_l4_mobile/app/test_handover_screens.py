"""Two phones and no network between them: what one screen shows, the other's scanner reads."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from app_tools import AppScene
from chain_tools import make_test_chain, test_key
from finger import Finger, shown, story_of
from handover_tools import FUNDS
from kivy.core.clipboard import Clipboard
from kivy.core.window import Window
from lens import Camera, photographed
from mobile_tools import Network
from PIL import Image

from supervm.common.host.anchor_file import anchor_text
from supervm.protocol.base.address import encode_address
from supervm.protocol.light.client import anchor_of
from supervm.tier_l4_mobile.app.android.permissions import CAMERA, Permissions
from supervm.tier_l4_mobile.app.kit.camera import open_camera
from supervm.tier_l4_mobile.app.kit.viewfinder import Viewfinder
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.screens.give import GiveScreen
from supervm.tier_l4_mobile.handover.payment_request import parse_request
from supervm.tier_l4_mobile.handover.qr import codes_in, png_of
from supervm.tier_l4_mobile.messages import PaymentRow

ALICE, BOB = (encode_address(test_key(name).public, test=False) for name in ("alice", "bob"))


@pytest.fixture(autouse=True)
def at_full_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures change with every frame, and none is waited for; files go into the test's folder."""
    monkeypatch.setattr(GiveScreen, "rates", dict.fromkeys(GiveScreen.rates, 0))
    monkeypatch.setattr(GiveScreen, "folder", staticmethod(lambda: tmp_path))
    monkeypatch.setattr(Viewfinder, "looks_per_s", 0)
    monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: None))


@asynccontextmanager
async def opened(scene: AppScene) -> AsyncIterator[Finger]:
    with trio.fail_after(120):
        async with shown(story_of(scene)) as finger:
            await finger.until_shown("home.pay")
            yield finger


def pair() -> tuple[AppScene, AppScene]:
    """Alice's phone, which has met an edge once, and Bob's, which has one."""
    network = Network(**FUNDS)
    alice, bob = AppScene(network=network), AppScene(network=network, name="bob")
    alice.disconnect()
    return alice, bob


async def test_a_payment_goes_from_screen_to_scanner_though_pictures_are_lost_and_its_proof_goes_back_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair()
    await alice.session.refresh()
    await alice.session.pay_many([PaymentRow(to=BOB, amount=500, fee=1)], lambda _: None)
    async with opened(alice) as finger:
        await finger.tap("home.waiting")
        await finger.tap("waiting.give")
        assert finger.shows("cannot be cancelled any more")
        assert not alice.phone.core.queue.payments[1].released
        await finger.tap("give.start")
        pictures = await photographed(finger, tmp_path, 14)
        assert alice.phone.core.queue.payments[1].released
        await finger.tap("give.done")
        await finger.until(lambda: finger.shows("0.0000005 SVM to svm1q"))
        assert not finger.shows("Paid")
    assert len({codes_in(path.read_bytes())[0] for path in pictures}) == 14
    rng = random.Random(3)
    camera = Camera([path for path in pictures if rng.randrange(100) >= 30])
    monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: camera))
    async with opened(bob) as finger:
        await finger.tap("home.receive")
        await finger.tap("receive.scan")
        await finger.until(lambda: finger.shows("Just taken"))
        assert not camera.is_on
        assert finger.shows("Promised, not settled")
        assert finger.shows("The payer's balance, proved at height 0, covers it")
        assert not finger.shows("Settled")
        await finger.tap("back")
        await finger.until(
            lambda: finger.shows("0.0000005 SVM promised, not settled; the payer's balance is proved at height 0")
        )
        bob.serve()
        bob.bring()
        await finger.until(lambda: not finger.shows("promised, not settled"))
        await finger.tap("home.receive")
        await finger.tap("receive.handovers")
        await finger.until(lambda: finger.shows("Settled and proved"))
        [row] = [target.key for target in finger.targets() if target.key.startswith("promise.")]
        await finger.tap(row)
        await finger.tap("promise.give")
        assert finger.shows("sees its payment proved without any network")
        await finger.tap("give.save")
        await finger.until(lambda: finger.shows("Saved"))
        await finger.tap("give.save")
        await finger.until(lambda: finger.shows("There is a file of this name already"))
        file = Path(finger.find("give.file").text)
    monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: None))
    async with opened(alice) as finger:
        await finger.tap("home.receive")
        await finger.tap("receive.scan")
        await finger.type("scan.file", str(file))
        await finger.tap("scan.open")
        await finger.until(lambda: finger.shows("Your payment of 0.0000005 SVM: Paid and proved"))


async def test_a_request_on_one_screen_fills_the_form_of_another_phone(tmp_path: Path) -> None:
    alice, bob = pair()
    async with opened(bob) as finger:
        await finger.tap("home.receive")
        await finger.type("receive.amount", "0.00002")
        await finger.type("receive.note", "bread")
        picture = tmp_path / "request.png"

        def is_drawn() -> bool:
            finger.picture(picture)
            codes = codes_in(picture.read_bytes())
            return bool(codes) and b"bread" in codes[0]

        await finger.touch(5, 5)
        await finger.until(is_drawn)
        [code] = codes_in(picture.read_bytes())
        assert (parse_request(code.decode()).amount, parse_request(code.decode()).address) == (20_000, BOB)
        await finger.tap("receive.text")
        assert Clipboard.paste() == f"Please pay me 0.00002 SVM with SuperVM: {code.decode()}"
        await finger.tap("receive.copy")
        assert Clipboard.paste() == BOB
    async with opened(alice) as finger:
        await finger.tap("home.pay")
        await finger.tap("pay.scan")
        Window.dispatch("on_drop_file", str(picture).encode(), 5, 5)
        await finger.until_shown("pay.to")
        assert (finger.find("pay.to").text, finger.find("pay.amount").text) == (BOB, "0.00002")
        assert finger.shows("for: bread")
        await finger.tap("back")
        assert finger.has("home.pay")  # the way back leads out, not through the scanner


def _garbage(folder: Path) -> str:
    path = folder / "garbage"
    path.write_bytes(bytes(range(256)))
    return str(path)


def _empty_picture(folder: Path) -> str:
    path = folder / "empty.png"
    Image.new("RGB", (50, 50), "white").save(path)
    return str(path)


def _pipe(folder: Path) -> str:
    path = folder / "pipe"
    os.mkfifo(path)
    return str(path)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_garbage, "no request, no address and no hand-over"),
        (_empty_picture, "no code in this picture"),
        (lambda folder: str(folder / "nothing"), "This file cannot be read"),
        (_pipe, "That is a folder or a device, not a file."),
    ],
    ids=["garbage", "empty", "nothing", "pipe"],
)
async def test_files_that_lead_nowhere_are_told(tmp_path: Path, make: Callable[[Path], str], told: str) -> None:
    async with opened(AppScene()) as finger:
        await finger.tap("home.pay")
        await finger.tap("pay.scan")
        assert finger.shows("There is no camera here")
        await finger.type("scan.file", make(tmp_path))
        await finger.tap("scan.open")
        await finger.until(lambda: finger.shows(told))
        assert finger.has("scan.open")


async def test_what_is_pasted_goes_where_it_belongs_and_an_anchor_nowhere() -> None:
    scene = AppScene()
    async with opened(scene) as finger:
        await finger.tap("home.pay")
        await finger.tap("pay.scan")
        for text, told in (
            (anchor_text(anchor_of(make_test_chain(4, FUNDS).chain)), "It is never taken here"),
            (" ".join(["abandon"] * 11 + ["about"]), "Show them to nobody"),
        ):
            Clipboard.copy(text)
            await finger.tap("scan.paste")
            await finger.until(lambda told=told: finger.shows(told))
        Clipboard.copy(BOB)
        await finger.tap("scan.paste")
        await finger.until_shown("pay.to")
        assert finger.find("pay.to").text == BOB


async def test_a_promise_is_forgotten_on_request() -> None:
    alice, bob = pair()
    await alice.session.refresh()
    await alice.session.pay_many([PaymentRow(to=BOB, amount=500, fee=1)], lambda _: None)
    await alice.session.hand_over(["row-1"])
    assert alice.models.handover.given is not None
    await bob.session.take_handover(alice.models.handover.given.container)
    async with opened(bob) as finger:
        await finger.tap("home.receive")
        await finger.tap("receive.handovers")
        await finger.until(lambda: finger.shows(f"To you, from {ALICE[:10]}"))
        [row] = [target.key for target in finger.targets() if target.key.startswith("promise.")]
        await finger.tap(row)
        await finger.tap("promise.forget")
        await finger.tap("dialog.yes")
        await finger.until(lambda: finger.shows("Nothing was handed over yet"))


def test_where_there_is_no_camera_none_is_opened() -> None:
    assert open_camera() is None


class Phone:
    """A phone whose owner answers when he is asked for the camera."""

    api = 34

    def __init__(self, *, says_yes: bool) -> None:
        self._says_yes = says_yes
        self._is_granted = False

    def is_granted(self, name: str) -> bool:
        return self._is_granted

    def request(self, name: str, answered: Callable[[], None]) -> None:
        self._is_granted = self._says_yes
        answered()


@pytest.mark.parametrize("says_yes", [True, False])
async def test_on_a_phone_the_camera_is_asked_for_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says_yes: bool
) -> None:
    code = tmp_path / "bob.png"
    code.write_bytes(png_of(BOB))
    phone = Phone(says_yes=says_yes)
    monkeypatch.setattr(Viewfinder, "permissions", staticmethod(lambda: Permissions(phone)))
    monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: Camera([code])))
    async with opened(AppScene()) as finger:
        await finger.tap("home.pay")
        await finger.tap("pay.scan")
        assert CAMERA.why is not None
        assert CAMERA.without is not None
        assert finger.shows(Language("en").write(CAMERA.why))
        await finger.tap("scan.allow")
        if says_yes:
            await finger.until_shown("pay.to")
            assert finger.find("pay.to").text == BOB
        else:
            await finger.until(lambda: finger.shows(Language("en").write(CAMERA.without)))
            assert finger.has("scan.paste")
