"""The window, the tabs and the look, touched as a finger does."""

from __future__ import annotations

from pathlib import Path

import trio
from app_tools import AppScene
from finger import Finger, shown, story_of
from kivy.core.window import Window

from supervm.tier_l4_mobile.app.kit.keys import ENTER, ESCAPE, TAB
from supervm.tier_l4_mobile.app.models.settings import Settings
from supervm.tier_l4_mobile.app.settings_file import load_settings


async def test_the_app_opens_and_its_tabs_can_be_tapped() -> None:
    scene = AppScene()
    with trio.fail_after(240):
        async with shown(story_of(scene)) as finger:
            await finger.until(lambda: finger.shows("Proved at height"))
            assert finger.shows("0.001 SVM")
            await finger.tap("tab.settings")
            await finger.until(lambda: finger.has("settings.theme.dark"))
            await finger.tap("tab.home")
            await finger.until_shown("home.pay")
            await finger.tap("home.hide")
            assert finger.shows("•••••")
            assert not finger.shows("0.001 SVM")


async def test_what_is_chosen_is_seen_at_once_and_kept(tmp_path: Path) -> None:
    with trio.fail_after(240):
        async with shown(story_of(AppScene(), tmp_path)) as finger:
            await finger.tap("tab.settings")
            light = Window.clearcolor
            await finger.tap("settings.theme.dark")
            assert Window.clearcolor != light
            await finger.tap("settings.language.zh")
            assert finger.shows("语言")
            await finger.tap("settings.text_percent.130")
            await finger.until(lambda: load_settings(tmp_path)[0].text_percent == 130)
    assert load_settings(tmp_path) == (Settings(language="zh", theme="dark", text_percent=130), None)


async def test_the_keyboard_reaches_everything() -> None:
    with trio.fail_after(240):
        async with shown(story_of(AppScene())) as finger:
            marked: list[str] = []
            for _ in finger.targets():
                await finger.press(TAB)
                marked += [widget.key for widget in finger.targets() if widget.is_marked]
            assert sorted(marked) == sorted(widget.key for widget in finger.targets())
            await _go_to(finger, "tab.settings")
            await finger.press(ENTER)
            assert finger.has("settings.theme.dark")
            await finger.press(ESCAPE)
            assert finger.has("home.pay")


async def _go_to(finger: Finger, key: str) -> None:
    while not finger.find(key).is_marked:
        await finger.press(TAB, ["shift"])
