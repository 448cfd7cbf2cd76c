"""Every screen of the app with something on it: how a finger gets there. For pictures, and for measuring the layout.

A screen joins by one `view` here.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from app_tools import AppScene
from chain_tools import test_key
from finger import Finger, look_for, shown, story_of
from life_tools import LifeScene, genesis_file
from phone_folder import WORDS, make_phone

from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app.kit.qr import QrPicture
from supervm.tier_l4_mobile.app.models.settings import Settings
from supervm.tier_l4_mobile.app.settings_file import save_settings
from supervm.tier_l4_mobile.messages import HandoverExport, HandoverTake, Pay, PaymentRow, PutContact

ALICE, BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("alice", "bob", "carol"))


@dataclass(frozen=True, slots=True)
class View:
    """One screen.

    Attributes:
        name: of its pictures.
        go: goes there from where the app begins.
        folder: fills the folder of an app that begins in it; None: it begins at Home, over a phone of a test's.
    """

    name: str
    go: Callable[[Finger], Awaitable[None]]
    folder: Callable[[Path], object] | None = None


async def scene_with_history() -> AppScene:
    """A phone that has paid, pays, waits, and was promised something by another one."""
    scene = AppScene()
    await scene.ask(PutContact(BOB, "Bob 小明", watched=True))
    for amount in (120_000, 4_500, 33):
        await scene.ask(Pay(PaymentRow(to=BOB, amount=amount, fee=2)))
        scene.seal()
    await scene.ask(Pay(PaymentRow(to=CAROL, amount=70_000, fee=1)))
    scene.accept()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=250, fee=1), offline=True))
    payer = AppScene(network=scene.network, name="bob")
    payment = await payer.ask(Pay(PaymentRow(to=ALICE, amount=30_000, fee=1)))
    given = await payer.ask(HandoverExport((payment["id"],)))
    await scene.ask(HandoverTake(given["container_hex"]))
    return scene


@asynccontextmanager
async def opened(view: View, language: str, theme: str, size: tuple[int, int]) -> AsyncIterator[Finger]:
    """Open the app and go to a screen."""
    look = look_for(language, theme)
    if view.folder is None:
        scene = await scene_with_history()
        scene.models.settings.settings = Settings(language=language, theme=theme)
        async with shown(story_of(scene), look=look, size=size) as finger:
            await finger.until_shown("home.pay")
            await view.go(finger)
            yield finger
        return
    with tempfile.TemporaryDirectory() as folder:
        life = LifeScene(Path(folder) / "phone")
        life.directory.mkdir()
        view.folder(life.directory)
        save_settings(life.directory, Settings(language=language, theme=theme))
        async with shown(life.life().story, look=look, size=size) as finger:
            await view.go(finger)
            yield finger


def _join(directory: Path) -> None:
    LifeScene(directory).folder.take_network(genesis_file(directory.parent), "")


async def _home(finger: Finger) -> None:
    await finger.until(lambda: any("0.0" in text for text in finger.texts()))


async def _settings(finger: Finger) -> None:
    await finger.tap("tab.settings")


async def _pay(finger: Finger) -> None:
    await finger.tap("home.pay")
    await finger.type("pay.to", BOB)
    await finger.type("pay.amount", "0.0000025")


async def _check(finger: Finger) -> None:
    await _pay(finger)
    await finger.tap("pay.next")
    await finger.until_shown("check.pay")


async def _paying(finger: Finger) -> None:
    await _check(finger)
    await finger.tap("check.pay")
    await finger.until(lambda: not finger.has("check.pay"))


async def _receive(finger: Finger) -> None:
    await finger.tap("home.receive")
    await finger.until(lambda: any(isinstance(code, QrPicture) and code.modules for code in finger.all()))


async def _waiting(finger: Finger) -> None:
    await finger.until_shown("home.waiting")
    await finger.tap("home.waiting")


async def _scan(finger: Finger) -> None:
    await finger.tap("home.receive")
    await finger.tap("receive.scan")


async def _give(finger: Finger) -> None:
    await _waiting(finger)
    await finger.tap("waiting.give")
    await finger.tap("give.start")
    await finger.until(lambda: any(isinstance(code, QrPicture) and code.modules for code in finger.all()))


async def _handover(finger: Finger) -> None:
    await finger.tap("home.receive")
    await finger.tap("receive.handovers")
    await finger.until(lambda: any(target.key.startswith("promise.") for target in finger.targets()))


async def _promise(finger: Finger) -> None:
    await _handover(finger)
    await finger.tap(next(target.key for target in finger.targets() if target.key.startswith("promise.")))


async def _anchor(finger: Finger) -> None:
    await _network(finger)
    await finger.tap("first.anchor-scan")


async def _activity(finger: Finger) -> None:
    await finger.tap("tab.activity")
    await finger.until(lambda: any(widget.key.startswith("activity.row.") for widget in finger.targets()))


async def _payment(finger: Finger) -> None:
    await _activity(finger)
    await finger.tap([widget.key for widget in finger.targets() if widget.key.startswith("activity.row.")][-1])
    await finger.until_shown("payment.proof")


async def _around(finger: Finger) -> None:
    await finger.tap("tab.network")
    await finger.tap("network.takes_part.standard")


async def _contact(finger: Finger) -> None:
    await _under_settings("contacts")(finger)
    await finger.tap("contacts.Bob 小明")


async def _new_contact(finger: Finger) -> None:
    await _under_settings("contacts")(finger)
    await finger.tap("contacts.add")
    await finger.tap("contact.save")


async def _weak(finger: Finger) -> None:
    await _under_settings("passphrase")(finger)
    await finger.type("secret.new", "short")
    await finger.tap("secret.change")


def _under_settings(name: str) -> Callable[[Finger], Awaitable[None]]:
    async def go(finger: Finger) -> None:
        await finger.tap("tab.settings")
        await finger.tap(f"settings.{name}")

    return go


async def _welcome(finger: Finger) -> None:
    await finger.until_shown("first.create")


async def _network(finger: Finger) -> None:
    await finger.tap("first.create")
    await finger.until_shown("first.genesis")


async def _words(finger: Finger) -> None:
    await finger.tap("first.create")
    await finger.until_shown("first.written")


async def _asked(finger: Finger) -> None:
    await _words(finger)
    await finger.tap("first.written")
    await finger.tap("first.check")


async def _import(finger: Finger) -> None:
    await finger.tap("first.import")
    await finger.type("first.words", " ".join([*WORDS.split()[:6], "lega"]))


async def _secret(finger: Finger) -> None:
    await finger.tap("first.import")
    await finger.type("first.words", WORDS)
    await finger.tap("first.next")
    await finger.type("secret.once", "short")
    await finger.tap("secret.make")


async def _lock(finger: Finger) -> None:
    await finger.type("lock.secret", "wrong")
    await finger.tap("lock.open")
    await finger.until(lambda: not finger.find("lock.open").disabled)


async def _trouble(finger: Finger) -> None:
    await finger.until_shown("trouble.again")


def _broken(directory: Path) -> None:
    make_phone(directory)
    directory.joinpath("config.toml").write_text('tier = 4\ngenesis = "nothing.cbor"\n')


VIEWS: Final = (
    View("first-welcome", _welcome, lambda directory: None),
    View("first-network", _network, lambda directory: None),
    View("first-anchor", _anchor, lambda directory: None),
    View("first-words", _words, _join),
    View("first-asked", _asked, _join),
    View("first-import", _import, _join),
    View("first-secret", _secret, _join),
    View("lock", _lock, make_phone),
    View("trouble", _trouble, _broken),
    View("home", _home),
    View("activity", _activity),
    View("payment", _payment),
    View("network", _around),
    View("settings", _settings),
    *(View(name, _under_settings(name)) for name in ("contacts", "watched", "backup", "logs", "about")),
    View("contact", _contact),
    View("contact-new", _new_contact),
    View("passphrase", _weak),
    View("pay", _pay),
    View("pay-check", _check),
    View("paying", _paying),
    View("receive", _receive),
    View("waiting", _waiting),
    View("scan", _scan),
    View("give", _give),
    View("handover", _handover),
    View("promise", _promise),
)
"""All screens."""


async def settled(finger: Finger) -> None:
    """Wait until nothing moves any more: work is done, and words have their place."""
    for _ in range(3):
        await finger.frames(4)
        await trio.lowlevel.checkpoint()
