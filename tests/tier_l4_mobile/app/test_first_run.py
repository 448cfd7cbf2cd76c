"""A first run by touch, in a real folder with a real node: from nothing to Home, and what is said on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_tools import make_test_chain
from finger import Finger, shown
from lens import Camera
from life_tools import LifeScene, genesis_file, new_bytes
from phone_folder import PASSPHRASE, WORDS, make_phone, running_process

from supervm.common.host.anchor_file import anchor_text, load_anchor
from supervm.common.wallet import WALLET_FILE, unlock_wallet
from supervm.common.wallet.words import words_of
from supervm.protocol.light.client import anchor_of
from supervm.tier_l4_mobile.app import session
from supervm.tier_l4_mobile.app.folder import ANCHOR_FILE
from supervm.tier_l4_mobile.app.kit.keys import ENTER, ESCAPE, TAB
from supervm.tier_l4_mobile.app.kit.viewfinder import Viewfinder
from supervm.tier_l4_mobile.app.link import open_link
from supervm.tier_l4_mobile.app.settings_file import load_settings
from supervm.tier_l4_mobile.handover.qr import png_of
from supervm.tier_l4_mobile.messages import Info

SECRET = "seven horses in a boat"
NEW_WORDS = words_of(new_bytes(32)).split()


async def to_the_words(finger: Finger, begin: str, tmp_path: Path) -> None:
    await finger.tap(begin)
    await finger.type("first.genesis", str(tmp_path / "missing.cbor"))
    await finger.tap("first.next")
    await finger.until(lambda: finger.shows("This is no file of a network"))
    await finger.type("first.genesis", str(genesis_file(tmp_path)))
    await finger.type("first.edges", "nowhere")
    await finger.tap("first.next")
    await finger.until(lambda: finger.shows("An edge is written host:port"))
    await finger.type("first.edges", "")
    await finger.type("first.anchor", WORDS)
    await finger.tap("first.next")
    await finger.until(lambda: finger.shows("This is no anchor"))
    await finger.type("first.anchor", anchor_text(anchor_of(make_test_chain(4).chain)))
    await finger.tap("first.next")


async def choose_secret(finger: Finger) -> None:
    await finger.type("secret.once", "short")
    await finger.tap("secret.make")
    assert finger.shows("It has 5 characters")
    await finger.type("secret.once", SECRET)
    await finger.type("secret.again", SECRET + "!")
    await finger.tap("secret.make")
    assert finger.shows("not the same")
    await finger.type("secret.again", SECRET)
    await finger.tap("secret.make")


async def test_a_new_wallet_shows_its_words_once_and_asks_four_back(tmp_path: Path) -> None:
    scene = LifeScene(tmp_path / "phone")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.until_shown("first.create")
            await to_the_words(finger, "first.create", tmp_path)
            await finger.until_shown("first.written")
            assert [word for word in finger.texts() if word in NEW_WORDS] != []
            assert set(NEW_WORDS) <= set(finger.texts())
            await finger.tap("first.written")
            await finger.until_shown("first.check")
            assert set(NEW_WORDS).isdisjoint(finger.texts())
            await finger.tap("first.check")
            assert finger.shows("all four")
            asked = [int(text.removeprefix("Word ")) for text in finger.texts() if text.startswith("Word ")]
            for number in range(4):
                await finger.type(f"first.asked.{number}", "zoo")
            await finger.tap("first.check")
            assert finger.shows("You can try 4 more times")
            for number, place in enumerate(asked):
                await finger.type(f"first.asked.{number}", f" {NEW_WORDS[place - 1].upper()} ")
            await finger.tap("first.check")
            await finger.until_shown("secret.make")
            await choose_secret(finger)
            await finger.until_shown("home.pay")
            await finger.until(lambda: finger.shows("Offline"))
    assert scene.folder.config().tier_options["anchor"] == "anchor.cbor"
    opened = unlock_wallet(scene.directory / WALLET_FILE, SECRET)
    assert opened.words() == " ".join(NEW_WORDS)


async def test_words_that_are_wrong_too_often_are_thrown_away(tmp_path: Path) -> None:
    scene = LifeScene(tmp_path / "phone")
    scene.folder.take_network(genesis_file(tmp_path), "")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.tap("first.create")
            await finger.tap("first.written")
            for number in range(4):
                await finger.type(f"first.asked.{number}", "zoo")
            for _ in range(5):
                await finger.tap("first.check")
            assert finger.shows("thrown away")
            await finger.tap("first.check")
            assert finger.has("first.create")
    assert not scene.directory.joinpath(WALLET_FILE).exists()


async def test_a_wallet_is_imported_with_help(tmp_path: Path) -> None:
    scene = LifeScene(tmp_path / "phone")
    scene.folder.take_network(genesis_file(tmp_path), "127.0.0.1:1")
    *begin, last = WORDS.split()
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.tap("first.language.zh")
            assert finger.shows("创建新钱包")
            await finger.tap("first.language.en")
            await finger.tap("first.import")
            await finger.type("first.words", "legal winer thank")
            assert finger.shows("Word 2, winer, is not in the list")
            await finger.tap("first.offer.winner")
            assert finger.find("first.words").text == "legal winner thank"
            await finger.type("first.words", " ".join([*begin, last[:3]]))
            await finger.tap(f"first.offer.{last}")
            assert finger.shows("These are the words")
            await finger.type("first.words", " ".join([*begin, "zoo"]))
            assert finger.shows("They do not fit together")
            await finger.tap("first.next")
            assert finger.has("first.words"), "what is wrong leads nowhere"
            await finger.type("first.words", WORDS)
            await finger.tap("first.next")
            await choose_secret(finger)
            await finger.until_shown("home.pay")
    assert unlock_wallet(scene.directory / WALLET_FILE, SECRET).words() == WORDS
    assert load_settings(scene.directory)[0].language == "en"


async def test_a_locked_wallet_opens_with_its_passphrase_and_locks_when_nobody_touches_it(tmp_path: Path) -> None:
    make_phone(tmp_path / "phone")
    scene = LifeScene(tmp_path / "phone")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.until_shown("lock.open")
            await finger.type("lock.secret", "wrong")
            await finger.press(ENTER)
            finger.find("lock.secret").dispatch("on_text_validate")
            await finger.until(lambda: finger.shows("does not open the wallet"))
            await finger.type("lock.secret", PASSPHRASE)
            await finger.tap("lock.open")
            await finger.until_shown("home.pay")
            scene.uptime_ms += 119_000
            await finger.tap("tab.settings")
            scene.uptime_ms += 119_000
            await finger.tap("tab.home")
            assert finger.has("home.pay")
            scene.uptime_ms += 120_000
            await finger.until_shown("lock.open")


async def test_the_wait_after_wrong_passphrases_is_shown_and_outlives_the_app(tmp_path: Path) -> None:
    make_phone(tmp_path / "phone")
    scene = LifeScene(tmp_path / "phone")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            for _ in range(5):
                await finger.type("lock.secret", "wrong")
                await finger.tap("lock.open")
                await finger.until(lambda: finger.shows("does not open"))
            await finger.type("lock.secret", PASSPHRASE)
            await finger.tap("lock.open")
            await finger.until(lambda: finger.shows("5 passphrases were wrong"))
            assert finger.find("lock.open").disabled
        async with shown(scene.life().story) as finger:
            await finger.until(lambda: finger.shows("5 passphrases were wrong"))
            assert finger.find("lock.open").disabled
            scene.ahead_ms = 31_000
            await finger.until(lambda: not finger.find("lock.open").disabled)


async def test_a_folder_in_use_is_a_sentence_and_a_button(tmp_path: Path) -> None:
    from supervm.common.storage import DirectoryLock

    make_phone(tmp_path / "phone")
    scene = LifeScene(tmp_path / "phone")
    lock = DirectoryLock(scene.directory)
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.until_shown("trouble.again")
            assert finger.shows("Another program (process ")
            await finger.press(ESCAPE)
            lock.release()
            await finger.press(TAB)
            await finger.press(ENTER)
            await finger.until_shown("lock.open")


async def test_an_anchor_is_taken_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = make_test_chain(4).chain
    code, other = tmp_path / "anchor.png", tmp_path / "other.png"
    code.write_bytes(png_of(anchor_text(anchor_of(chain)), scale=3))
    other.write_bytes(png_of("hello"))
    cameras = iter([Camera([other]), Camera([code])])
    monkeypatch.setattr(Viewfinder, "camera", staticmethod(lambda: next(cameras)))
    scene = LifeScene(tmp_path / "phone")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await finger.tap("first.import")
            await finger.type("first.genesis", str(genesis_file(tmp_path)))
            await finger.tap("first.anchor-scan")
            await finger.until(lambda: finger.shows("This code is no anchor"))
            await finger.tap("back")
            await finger.tap("first.anchor-scan")
            await finger.until_shown("first.genesis")
            assert finger.find("first.anchor").text == anchor_text(anchor_of(chain))
            await finger.tap("first.next")
            await finger.until_shown("first.words")
    assert scene.folder.config().tier_options["anchor"] == ANCHOR_FILE
    assert load_anchor(scene.directory / ANCHOR_FILE, chain) == anchor_of(chain)


async def test_a_node_that_runs_is_used_and_when_it_is_gone_the_app_opens_its_own(tmp_path: Path) -> None:
    config = make_phone(tmp_path / "phone")
    scene = LifeScene(config.directory)
    with trio.fail_after(240):
        async with running_process(config.directory) as process, shown(scene.life().story) as finger:
            await finger.until_shown("lock.open")
            async with open_link(config) as link:
                assert not link.is_own
                await finger.type("lock.secret", PASSPHRASE)
                await finger.tap("lock.open")
                await finger.until_shown("home.pay")
                assert not (await link.call(Info()))["locked"], "it is the same node"
            process.kill()
            await finger.until_shown("lock.open")  # of a node of the app's own, which nobody has unlocked
            await finger.type("lock.secret", PASSPHRASE)
            await finger.tap("lock.open")
            await finger.until_shown("home.pay")


async def test_it_locks_itself_although_the_node_is_gone_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_fed = trio.Event()

    async def run(self: session.Session, changed: Callable[[Any], None]) -> None:
        changed(await self.refresh())
        was_fed.set()
        await trio.sleep_forever()  # so nobody else finds out before

    monkeypatch.setattr(session.Session, "run", run)
    config = make_phone(tmp_path / "phone")
    scene = LifeScene(config.directory)
    with trio.fail_after(240):
        async with running_process(config.directory) as process, shown(scene.life().story) as finger:
            await finger.until_shown("lock.open")
            await finger.type("lock.secret", PASSPHRASE)
            await finger.tap("lock.open")
            await finger.until_shown("home.pay")
            await was_fed.wait()
            scene.uptime_ms += 10_000_000
            process.kill()
            await finger.until_shown("lock.open")
            assert not finger.has("trouble.again")
