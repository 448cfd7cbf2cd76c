"""The app as on Android: its node is a service, and its owner is asked whether that may be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from android_java import Owner, Phone
from finger import Finger, shown
from life_tools import LifeScene
from phone_folder import make_phone

from supervm.tier_l4_mobile.app.android.notify import telling
from supervm.tier_l4_mobile.app.android.permissions import NOTIFY, Permissions
from supervm.tier_l4_mobile.app.android.service import run_while_needed
from supervm.tier_l4_mobile.app.face import Story

WHY, WITHOUT = "One line tells you", "you will not see it"


def story(scene: LifeScene, owner: Owner) -> Story:
    return telling(scene.life().story, scene.folder, Permissions(owner))


@pytest.mark.parametrize("agrees", [True, False])
async def test_the_node_is_a_service_and_the_owner_is_told_why_a_line_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agrees: bool
) -> None:
    scene, owner, phone = LifeScene(tmp_path / "phone"), Owner(agrees=agrees), Phone(monkeypatch)
    config = make_phone(scene.directory)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            phone.run = lambda: nursery.start_soon(run_while_needed, config)
            async with shown(story(scene, owner)) as finger:
                await finger.until(lambda: finger.shows(WHY))
                await finger.until(lambda: finger.has("lock.open"))
                if not agrees:
                    await finger.until(lambda: finger.shows(WITHOUT))
            nursery.cancel_scope.cancel()
    assert owner.asked == [NOTIFY.name]
    assert len(phone.started) == 1


async def is_quiet(finger: Finger) -> bool:
    await finger.frames(20)
    return not finger.shows(WHY)


async def test_nobody_is_asked_before_there_is_a_wallet_or_once_it_is_granted(tmp_path: Path) -> None:
    owner = Owner()
    with trio.fail_after(60):
        async with shown(story(LifeScene(tmp_path / "none"), owner)) as finger:
            await finger.until_shown("first.create")
            assert await is_quiet(finger)
        owner.granted.add(NOTIFY.name)
        make_phone(tmp_path / "phone")
        async with shown(story(LifeScene(tmp_path / "phone"), owner)) as finger:
            assert await is_quiet(finger)
    assert owner.asked == []
