"""Words, passphrase, lock and logs by touch, at the node of a real folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from app_tools import AppScene
from chain_tools import test_key
from finger import Finger, shown
from phone_folder import PASSPHRASE, WORDS, make_phone

from supervm.common.host.prepare import LOG_FILE
from supervm.common.wallet import WALLET_FILE, unlock_wallet
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app.face import Face
from supervm.tier_l4_mobile.app.files import OwnersFiles
from supervm.tier_l4_mobile.app.link import NodeLink, open_link
from supervm.tier_l4_mobile.app.look_of import System
from supervm.tier_l4_mobile.app.screens.owner import OwnersApp
from supervm.tier_l4_mobile.app.session import Session
from supervm.tier_l4_mobile.messages import Info

BOB = encode_address(test_key("bob").public, test=False)
BETTER = "correct horse battery"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files for people go."""
    monkeypatch.setattr(OwnersFiles, "folder", staticmethod(lambda: tmp_path / "out"))
    return tmp_path / "out"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Finger, NodeLink]]:
    """The app at its settings, with the node of a folder in the same program."""
    config = make_phone(folder)
    models = AppScene(online=False).models
    with trio.fail_after(120):
        async with open_link(config, passphrase=PASSPHRASE) as link:
            session = Session(link.call, models, lambda: 1_700_000_000_000)

            async def story(face: Face) -> None:
                app = OwnersApp(face, session, session.now_ms, directory=config.directory, system=System("en"))
                await app.run()

            async with shown(story) as finger:
                await finger.tap("tab.settings")
                yield finger, link


async def test_the_words_are_shown_for_the_passphrase_alone_and_go_when_somebody_leaves(tmp_path: Path) -> None:
    async with opened(tmp_path / "phone") as (finger, _):
        await finger.tap("settings.backup")
        await finger.type("backup.secret", "not this one")
        await finger.tap("backup.show")
        await finger.until(lambda: finger.shows("This passphrase does not open the wallet."))
        assert not finger.shows("sausage")
        await finger.type("backup.secret", PASSPHRASE)
        await finger.tap("backup.show")
        await finger.until(lambda: finger.shows("sausage"))
        assert [text for text in finger.texts() if text in WORDS.split()] != []
        assert not finger.has("backup.secret")
        await finger.tap("backup.hide")
        assert not finger.shows("sausage")
        await finger.type("backup.secret", PASSPHRASE)
        await finger.tap("backup.show")
        await finger.until(lambda: finger.shows("sausage"))
        await finger.tap("back")
        await finger.tap("settings.backup")
        assert not finger.shows("sausage")
        assert finger.find("backup.secret").text == ""


async def test_the_passphrase_is_changed_when_all_three_are_right(tmp_path: Path) -> None:
    wallet = tmp_path / "phone" / WALLET_FILE
    async with opened(tmp_path / "phone") as (finger, _):
        await finger.tap("settings.passphrase")
        await finger.tap("secret.change")
        assert finger.shows("Type the one that opens the wallet now.")
        await finger.type("secret.old", "not this one")
        await finger.type("secret.new", BETTER)
        await finger.type("secret.again", BETTER + "!")
        await finger.tap("secret.change")
        assert finger.shows("The two are not the same.")
        await finger.type("secret.again", BETTER)
        await finger.tap("secret.change")
        await finger.until(lambda: finger.shows("This passphrase does not open the wallet."))
        await finger.type("secret.old", PASSPHRASE)
        await finger.tap("secret.change")
        await finger.until(lambda: finger.shows("From now on only the new one opens the wallet."))
        assert finger.has("settings.passphrase")
    assert unlock_wallet(wallet, BETTER).words() == WORDS


async def test_a_tap_locks_the_wallet(tmp_path: Path) -> None:
    async with opened(tmp_path / "phone") as (finger, link):
        assert not (await link.call(Info()))["locked"]
        await finger.tap("settings.lock")
        while not (await link.call(Info()))["locked"]:
            await finger.frames()


async def test_a_log_is_seen_as_it_will_be_written_and_redacted_unless_somebody_says_otherwise(
    tmp_path: Path, out: Path
) -> None:
    folder = tmp_path / "phone"
    async with opened(folder) as (finger, link):
        host = "10.1.2.3"
        with folder.joinpath(LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f'{{"event":"test","to":"{BOB}","peer":"{host}:9000"}}\n')
        await finger.tap("settings.logs")
        await finger.until(lambda: finger.shows('"to":"<address>","peer":"<host>:9000"'))
        assert not finger.shows(BOB)
        await finger.tap("logs.save")
        await finger.until(lambda: finger.shows(str(out / "supervm-log.txt")))
        await finger.tap("dialog.no")
        await finger.until(lambda: not finger.has("dialog.no"))
        written = out.joinpath("supervm-log.txt").read_text(encoding="utf-8")
        assert "<address>" in written
        assert not {word for word in (BOB, host, (await link.call(Info()))["chain_id"]) if word in written}
        await finger.tap("logs.redacts")
        await finger.until(lambda: finger.shows(BOB))


async def test_about_tells_the_network(tmp_path: Path) -> None:
    async with opened(tmp_path / "phone") as (finger, link):
        network = (await link.call(Info()))["chain_id"]
        await finger.tap("settings.about")
        await finger.until(lambda: finger.shows(network))
        assert finger.shows("GPL-3.0-or-later")
