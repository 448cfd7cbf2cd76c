"""At rest the loop looks for touches less often, and as often as ever from the first touch on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
from app_tools import AppScene
from finger import shown, story_of
from kivy.clock import Clock

from supervm.tier_l4_mobile.app.kit import pace


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loop with a bound, and hardly any patience."""
    monkeypatch.setattr(pace, "USED_S", 0.05)
    before, Clock._max_fps = Clock._max_fps, 240.0
    yield
    after, Clock._max_fps = Clock._max_fps, before
    assert after == 240, "it is left as it was"


async def test_a_window_that_nobody_touches_looks_less_often(bounded: None) -> None:
    with trio.fail_after(240):
        async with shown(story_of(AppScene())) as finger:
            await finger.until(lambda: Clock._max_fps == pace.SLOW_PER_S)
            await finger.until_shown("home.hide")
            paces = []
            finger.find("home.hide").bind(on_press=lambda _: paces.append(Clock._max_fps))
            await finger.tap("home.hide")
            assert paces == [240]
            await finger.until(lambda: Clock._max_fps == pace.SLOW_PER_S)
