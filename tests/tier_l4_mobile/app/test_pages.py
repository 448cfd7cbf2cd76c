"""Activity, the page of a payment, Network and Contacts by touch, against a phone on a real chain."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from app_tools import AppScene
from chain_tools import test_key
from click.testing import CliRunner
from finger import Finger, shown, story_of
from kivy.core.clipboard import Clipboard

from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import encode
from supervm.tier_l4_mobile.app.files import OwnersFiles
from supervm.tier_l4_mobile.app.kit.recycled import Recycled
from supervm.tier_l4_mobile.app.settings_file import load_settings
from supervm.tier_l4_mobile.cli.verify import verify
from supervm.tier_l4_mobile.messages import Cancel, Pay, PaymentRow

ALICE, BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("alice", "bob", "carol"))


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files for people go."""
    monkeypatch.setattr(OwnersFiles, "folder", staticmethod(lambda: tmp_path / "out"))
    return tmp_path / "out"


@asynccontextmanager
async def opened(
    scene: AppScene, tab: str, *, directory: Path | None = None, size: tuple[int, int] = (390, 844)
) -> AsyncIterator[Finger]:
    """The app at one of its tabs, for two minutes at most."""
    with trio.fail_after(120):
        async with shown(story_of(scene, directory), size=size) as finger:
            await finger.until(lambda: finger.shows("Proved at height"))
            await finger.tap(f"tab.{tab}")
            yield finger


async def paid(scene: AppScene, *amounts: int, to: str = BOB) -> None:
    for amount in amounts:
        await scene.ask(Pay(PaymentRow(to=to, amount=amount, fee=13)))
    scene.accept()
    scene.seal()


def listing(finger: Finger) -> Recycled:  # type: ignore[type-arg]
    [found] = [widget for widget in finger.all() if isinstance(widget, Recycled)]
    return found


def rows(finger: Finger) -> list[str]:
    return [widget.key for widget in finger.targets() if widget.key.startswith("activity.row.")]


async def test_an_empty_list_says_so() -> None:
    async with opened(AppScene(), "activity") as finger:
        await finger.until(lambda: finger.shows("Nothing was paid and nothing came in yet"))
        await finger.tap("activity.part.paid")
        await finger.until(lambda: finger.shows("Nothing fits"))


async def test_payments_are_listed_found_and_told_apart() -> None:
    scene = AppScene()
    await scene.session.put_contact(CAROL, "Carol")
    await paid(scene, 500, 600)
    await paid(scene, 700, to=CAROL)
    kept = await scene.ask(Pay(PaymentRow(to=BOB, amount=5, fee=1), offline=True))
    await scene.ask(Cancel(kept["id"]))
    async with opened(scene, "activity") as finger:
        await finger.until(lambda: len(rows(finger)) == 4)
        assert finger.shows("Carol")
        assert finger.shows("0.0000007 SVM")
        await finger.tap("activity.part.void")
        await finger.until(lambda: len(rows(finger)) == 1)
        assert finger.shows("Cancelled")
        await finger.tap("activity.part.all")
        await finger.type("activity.search", "carol")
        await finger.until(lambda: len(rows(finger)) == 1)
        await finger.type("activity.search", "nobody")
        await finger.until(lambda: finger.shows("Nothing fits"))
        await finger.type("activity.search", "")
        await finger.until(lambda: len(rows(finger)) == 4)
        scene.models.home.tap()
        await finger.until(lambda: not finger.shows("0.0000007 SVM"))


async def test_a_payment_that_is_proved_moves_from_one_part_to_the_other() -> None:
    scene = AppScene()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=13)))
    async with opened(scene, "activity") as finger:
        await finger.tap("activity.part.open")
        await finger.until(lambda: len(rows(finger)) == 1)
        scene.accept()
        scene.seal()
        await finger.until(lambda: finger.shows("Nothing fits"))
        await finger.tap("activity.part.paid")
        await finger.until(lambda: len(rows(finger)) == 1)


async def test_what_came_in_is_listed_without_a_payer() -> None:
    scene = AppScene()
    async with opened(scene, "activity") as finger:
        await finger.until(lambda: finger.shows("Nothing was paid"))
        scene.network.seal([scene.network.tools.transaction("bob", test_key("alice").public, 900, 1)])
        scene.seal()
        await finger.until(lambda: finger.shows("+0.0000009 SVM"))
        [row] = rows(finger)
        await finger.tap(row)
        await finger.until(lambda: finger.shows("not who paid"))


async def test_a_long_list_is_read_as_it_is_scrolled_and_makes_few_rows() -> None:
    scene = AppScene()
    await paid(scene, *range(1, 131))
    async with opened(scene, "activity") as finger:
        await finger.until(lambda: rows(finger))
        shown_list = listing(finger)
        while not scene.models.activity.is_all_read:
            shown_list.scroll_y = 0
            await finger.frames(2)
        shown_list.scroll_y = 0
        await finger.until(lambda: finger.shows("0.000000001 SVM"))
        assert scene.models.activity.listed_count == 130
        assert shown_list.rows_made < 20
        await finger.tap(f"activity.row.{(await scene.session.page('row-1')).id}")
        await finger.until(lambda: finger.shows("Fee, and who gets it"))
        await finger.tap("back")
        await finger.until(lambda: finger.shows("0.000000001 SVM"))  # the list is where it was


async def test_all_payments_go_into_a_file_and_its_place_is_told(out: Path) -> None:
    scene = AppScene()
    await scene.session.put_contact(BOB, "=Bob")
    await paid(scene, *range(1, 121))
    async with opened(scene, "activity") as finger:
        for name in ("supervm-payments.csv", "supervm-payments-2.csv"):
            await finger.tap("activity.export")
            await finger.until(lambda name=name: finger.shows(str(out / name)))
            await finger.tap("dialog.yes")
            await finger.until(lambda: not finger.has("dialog.yes"))
            assert Clipboard.paste() == str(out / name)
    with out.joinpath("supervm-payments.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [int(row["amount"]) for row in written] == list(range(120, 0, -1))
    assert {row["to_name"] for row in written} == {"'=Bob"}
    assert sorted(path.name for path in out.iterdir()) == ["supervm-payments-2.csv", "supervm-payments.csv"]


async def test_a_payments_page_shows_every_step_and_gives_a_proof_that_verify_takes(tmp_path: Path, out: Path) -> None:
    scene = AppScene()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=1_000)))
    async with opened(scene, "activity") as finger:
        await finger.until(lambda: rows(finger))
        await finger.tap(rows(finger)[0])
        await finger.until(lambda: finger.shows("It is taken only when"))
        assert finger.shows("Validators")
        assert finger.shows("0.0000004 SVM")  # their part of the fee
        assert not finger.has("payment.proof")
        scene.accept()
        scene.seal()
        await finger.until(lambda: finger.shows("Paid and proved"))
        await finger.tap("payment.copy")
        page = await scene.session.page("row-1")
        assert Clipboard.paste() == page.id
        await finger.tap("payment.proof")
        proof = out / f"payment-{page.id[:8]}.answer"
        await finger.until(lambda: finger.shows(str(proof)))
        await finger.tap("dialog.no")
        await finger.until(lambda: not finger.has("dialog.no"))
        assert finger.shows("below number 1 were executed; this is number 0.")
        await finger.tap("payment.contact")
        await finger.type("contact.name", "Bob")
        await finger.tap("contact.save")
        await finger.until(lambda: finger.shows("Bob") and finger.has("payment.copy"))
        assert not finger.has("payment.contact")
    anchor = tmp_path / "genesis.cbor"
    anchor.write_bytes(encode(scene.network.chain.genesis))
    now_s = scene.network.ledger.header.ts_ms // 1000 + 1
    asked = [str(proof), "--anchor", str(anchor), "--now", str(now_s), "--json"]
    told = CliRunner().invoke(verify, asked, standalone_mode=False)
    assert (told.return_value, json.loads(told.stdout)["next_seq"]) == (0, 1)


async def test_a_payment_that_never_left_can_be_cancelled_on_its_page() -> None:
    scene = AppScene()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=1), offline=True))
    async with opened(scene, "activity") as finger:
        await finger.until(lambda: rows(finger))
        await finger.tap(rows(finger)[0])
        await finger.tap("payment.cancel")
        await finger.tap("dialog.yes")
        await finger.until(lambda: finger.shows("You cancelled it before it left."))
        assert not finger.has("payment.cancel")


async def test_a_wide_window_shows_the_payment_beside_the_list() -> None:
    scene = AppScene()
    await paid(scene, 500, 600)
    async with opened(scene, "activity", size=(1280, 800)) as finger:
        await finger.until(lambda: len(rows(finger)) == 2)
        await finger.tap(rows(finger)[0])
        await finger.until(lambda: finger.shows("Fee, and who gets it"))
        assert len(rows(finger)) == 2
        await finger.resize(390, 844)
        await finger.until(lambda: not finger.shows("Fee, and who gets it"))
        assert len(rows(finger)) == 2


async def test_the_network_shows_the_edge_and_keeps_what_is_chosen(tmp_path: Path) -> None:
    scene = AppScene()
    async with opened(scene, "network", directory=tmp_path) as finger:
        await finger.until(lambda: finger.shows("Your edge: …"))
        assert finger.shows("You are here")
        assert finger.shows("Nothing yet: this phone has carried no payment of others")
        assert not finger.has("network.battery_percent_min.80")
        await finger.tap("network.takes_part.standard")
        await finger.tap("network.battery_percent_min.80")
        await finger.tap("network.data_mib_per_day_max.10")
        await finger.until(lambda: load_settings(tmp_path)[0].data_mib_per_day_max == 10)
        scene.disconnect()
        await finger.until(lambda: not finger.shows("Your edge: …"))
        assert finger.shows("Offline: payments wait on this phone")
    kept = load_settings(tmp_path)[0]
    assert (kept.takes_part, kept.battery_percent_min) == ("standard", 80)


async def test_contacts_are_added_changed_watched_and_removed() -> None:
    scene = AppScene()
    async with opened(scene, "settings") as finger:
        await finger.tap("settings.contacts")
        assert finger.shows("Nobody yet")
        await finger.tap("contacts.add")
        await finger.tap("contact.save")
        assert finger.shows("Paste or type an address.")
        assert finger.shows("Give the contact a name.")
        Clipboard.copy(f" {BOB}\n")
        await finger.tap("contact.paste")
        await finger.type("contact.name", "Bob")
        await finger.tap("contact.save")
        await finger.until_shown("contacts.Bob")
        await finger.tap("contacts.Bob")
        await finger.type("contact.name", "Robert")
        await finger.tap("contact.watch")
        await finger.tap("contact.save")
        await finger.until_shown("contacts.Robert")
        await finger.type("contacts.search", "rob")
        assert finger.has("contacts.Robert")
        await finger.type("contacts.search", "x y")
        assert not finger.has("contacts.Robert")
        await finger.type("contacts.search", "")
        await finger.tap("back")
        await finger.tap("settings.watched")
        await finger.until(lambda: finger.shows("0.001 SVM"))
        assert finger.shows("Proved at height")
        await finger.tap("back")
        await finger.tap("settings.contacts")
        await finger.tap("contacts.Robert")
        await finger.tap("contact.remove")
        await finger.tap("dialog.yes")
        await finger.until(lambda: finger.shows("Nobody yet"))
