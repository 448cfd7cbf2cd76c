"""What the app says when the disk is full or gives back something else than was written, by touch, in a real folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from by_touch import begin_to_pay, pay, unlock
from chain_tools import test_key
from finger import Finger, shown
from life_tools import LifeScene
from phone_folder import PASSPHRASE, make_phone

from supervm.common.contract.tables import AnyTable
from supervm.common.host import prepare
from supervm.common.host.config import NodeConfig
from supervm.common.host.mend import DATABASE_FILE
from supervm.common.services.client import call
from supervm.common.services.lines import SOCKET_FILE
from supervm.common.storage.errors import StorageFailed
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app.link import open_link
from supervm.tier_l4_mobile.messages import Pay, PaymentRow

BOB = encode_address(test_key("bob").public, test=False)
ROW = PaymentRow(to=BOB, amount=100_000, fee=1)


def database(scene: LifeScene, command: str) -> list[Any]:
    """Read or change the node's database while no node runs."""
    connection = sqlite3.connect(scene.directory / DATABASE_FILE)
    try:
        with connection:
            return connection.execute(command).fetchall()
    finally:
        connection.close()


async def pay_and_leave(finger: Finger) -> None:
    """Queue a payment, and go back to Home."""
    await pay(finger, BOB, "0.0001")
    assert finger.shows("Waiting")
    await finger.tap("paying.done")


@pytest.mark.parametrize("change", ["amount = -5", "status = 'paid'", "released = 1"])
async def test_a_row_of_the_queue_that_the_disk_has_changed_stops_the_app_with_a_sentence(
    tmp_path: Path, change: str
) -> None:
    make_phone(tmp_path / "phone")
    scene = LifeScene(tmp_path / "phone")
    with trio.fail_after(240):
        async with shown(scene.life().story) as finger:
            await unlock(finger, PASSPHRASE)
            await pay_and_leave(finger)
        column = change.split()[0]
        [(written,)] = database(scene, f"SELECT {column} FROM payments")
        database(scene, f"UPDATE payments SET {change}")
        async with shown(scene.life().story) as finger:
            await finger.until_shown("trouble.again")
            assert finger.shows("Delete nothing: put the newest file of backups in place")
            await finger.tap("trouble.again")
            await finger.until_shown("trouble.again")
            database(scene, f"UPDATE payments SET {column} = {written!r}")
            await finger.tap("trouble.again")
            await unlock(finger, PASSPHRASE)
            await finger.until(lambda: finger.shows("1 payment waits"))


class Disk:
    """Gives the databases of nodes that are opened while it is full no room for a single page more.

    Args:
        monkeypatch: puts itself in the way of whoever opens one.

    Attributes:
        is_full: likewise.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = prepare.open_store
        self.is_full = True
        monkeypatch.setattr(prepare, "open_store", self._opened)

    def _opened(self, config: NodeConfig, tables: Iterable[AnyTable], **more: Any) -> tuple[SqlStore, bool]:
        store, is_lost = self._open(config, tables, **more)
        if self.is_full:
            with store._database.transaction() as transaction:
                [(pages,)] = transaction.execute("PRAGMA page_count")
                transaction.execute(f"PRAGMA max_page_count={pages}")
        return store, is_lost


async def until_full(config: NodeConfig) -> int:
    """Pay until the disk is full, and return how often that went."""
    count = 0
    try:
        async with open_link(config, passphrase=PASSPHRASE) as link:
            while True:
                await link.call(Pay(ROW))
                count += 1
    except StorageFailed as error:
        assert "database or disk is full" in str(error)  # noqa: PT017 - the only way out
    return count


async def test_a_full_disk_is_said_and_what_was_queued_is_there_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    scene = LifeScene(make_phone(tmp_path / "phone").directory)
    with trio.fail_after(240):
        room = await until_full(make_phone(tmp_path / "other"))
        async with shown(scene.life().story) as finger:
            await unlock(finger, PASSPHRASE)
            queued = room - 1
            for _ in range(queued):
                await call(scene.directory / SOCKET_FILE, Pay(ROW))
            while not finger.has("trouble.again"):
                await begin_to_pay(finger, BOB, "0.0001")
                await finger.until(lambda: finger.shows("Waiting") or finger.has("trouble.again"))
                assert not finger.shows("Paid")
                if finger.has("paying.done"):
                    queued += 1
                    await finger.tap("paying.done")
            assert finger.shows("There is no room left on this device")
            disk.is_full = False
            await finger.tap("trouble.again")
            await unlock(finger, PASSPHRASE)
            await finger.until(lambda: finger.shows(f"{queued} payments wait"))
