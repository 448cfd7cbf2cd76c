"""A finger, a keyboard and an eye for the app's window: real touches on real widgets, no waiting by the clock.

`shown` opens the window with a story in it and gives a `Finger`. What a test waits for is a condition that is looked at
after each frame of Kivy's; frames come as fast as they can be drawn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from app_tools import AppScene
from kivy.base import EventLoop
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.tests.common import UnitTestTouch
from kivy.uix.label import Label
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from supervm.tier_l4_mobile.app.face import Face, Story
from supervm.tier_l4_mobile.app.kit.fields import Entry
from supervm.tier_l4_mobile.app.kit.look import Look
from supervm.tier_l4_mobile.app.kit.scroll import Scroll
from supervm.tier_l4_mobile.app.kit.target import Target, shown_in
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.look_of import System
from supervm.tier_l4_mobile.app.screens.owner import OwnersApp
from supervm.tier_l4_mobile.app.theme import THEMES

WAIT_S = 60
"""After so long what is waited for is thought not to come; machines that do much else are slow."""
SIZES = ((320, 568), (390, 844), (820, 1180), (1280, 800))
"""Width and height of the windows that the layout must be right in."""


def look_for(language: str = "en", theme: str = "light", percent: int = 100) -> Look:
    """A look of a test's choice."""
    return Look(THEMES[theme], Language(language), percent)


def story_of(scene: AppScene, directory: Path | None = None) -> Story:
    """The screens of a wallet whose node is in the test's hands."""

    async def story(face: Face) -> None:
        system = System("en")
        await OwnersApp(face, scene.session, lambda: scene.now_ms, directory=directory, system=system).run()

    return story


class Finger:
    """Touches, types and looks at what the window shows.

    Args:
        face: the app.
    """

    def __init__(self, face: Face) -> None:
        self.face = face

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def frames(self, count: int = 1) -> None:
        """Let so many frames be drawn."""
        for _ in range(count):
            drawn = trio.Event()
            Clock.schedule_once(lambda _, drawn=drawn: drawn.set(), 0)
            await drawn.wait()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be so after a frame."""
        with trio.move_on_after(WAIT_S):
            while not condition():
                await self.frames()
            return
        raise AssertionError(f"not so after {WAIT_S} s; shown are {sorted(self.texts())}")

    async def until_shown(self, key: str) -> None:
        """Wait for something that can be touched."""
        await self.until(lambda: self.has(key))

    # --- looking ------------------------------------------------------------------------------------------------------

    def all(self) -> Iterator[Widget]:
        """Yield all widgets of the window, those in front last."""
        for layer in reversed(Window.children):
            yield from shown_in(layer)

    def targets(self) -> list[Widget]:
        """Everything that can be touched."""
        return [widget for widget in self.all() if isinstance(widget, Target | Entry)]

    def has(self, key: str) -> bool:
        """Whether something of this name is shown."""
        return any(widget.key == key for widget in self.targets())

    def find(self, key: str) -> Widget:
        """What has this name."""
        found = [widget for widget in self.targets() if widget.key == key]
        if len(found) != 1:
            names = sorted(widget.key for widget in self.targets())
            raise AssertionError(f"{len(found)} things are called {key}; shown are {names}")
        return found[0]

    def texts(self) -> list[str]:
        """All words that are shown."""
        labels = [widget for widget in self.all() if isinstance(widget, Label)]
        return [label.text for label in labels if label.text]

    def shows(self, text: str) -> bool:
        """Whether a text is shown, or is a part of one that is."""
        return any(text in shown for shown in self.texts())

    def cut_labels(self) -> list[str]:
        """Words that do not fit into their place or into the window, except those that may lose their middle."""
        cut = []
        for label in self.all():
            if not isinstance(label, Label) or not label.text or getattr(label, "is_short", False):
                continue
            left, _ = label.to_window(label.x, label.y)
            is_out = left < -1 or left + label.width > Window.width + 1
            is_large = label.texture_size[0] > label.width + 1 or label.texture_size[1] > label.height + 1
            if is_out or is_large:
                cut.append(f"{label.text} {label.texture_size} in {label.size} at {left}")
        return cut

    def small_targets(self, least: float = 48) -> list[str]:
        """Names of what is too small to be touched."""
        return [widget.key for widget in self.targets() if min(widget.width, widget.height) < least - 0.5]

    def picture(self, path: Path) -> None:
        """Write what is shown as a PNG."""
        root = self.face.root
        assert root is not None
        root.export_to_png(str(path))

    # --- doing --------------------------------------------------------------------------------------------------------

    async def tap(self, key: str) -> None:
        """Touch the middle of something, after scrolling to it."""
        await self.until_shown(key)
        widget = self.find(key)
        above = widget.parent
        while above is not None and above is not above.parent:
            if isinstance(above, Scroll):
                above.scroll_to(widget, padding=20, animate=False)
            above = above.parent
        await self.frames(2)
        await self.touch(*widget.to_window(widget.center_x, widget.center_y))

    async def touch(self, x: float, y: float) -> None:
        """Touch a place of the window, counting from its lower left corner."""
        touch = UnitTestTouch(x, y)
        touch.touch_down()
        await self.frames()
        touch.touch_up()
        await self.frames(2)

    async def type(self, key: str, text: str) -> None:
        """Touch a field, and type into it in place of what it holds."""
        await self.tap(key)
        entry = self.find(key)
        assert isinstance(entry, TextInput)
        entry.select_all()
        entry.delete_selection()
        await self.frames()
        if text:
            Window.dispatch("on_textinput", text)
        await self.frames(2)

    async def press(self, key: int, modifiers: Sequence[str] = ()) -> None:
        """Press a key of the keyboard."""
        if not Window.dispatch("on_key_down", key, 0, None, list(modifiers)):
            Window.dispatch("on_keyboard", key, 0, None, list(modifiers))
        Window.dispatch("on_key_up", key, 0)
        await self.frames(2)

    async def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        Window.size = (width, height)
        await self.frames(4)


@asynccontextmanager
async def shown(story: Story, *, look: Look | None = None, size: tuple[int, int] = (390, 844)) -> AsyncIterator[Finger]:
    """Open the window with a story in it while the body runs."""
    Window.size = size
    if Window not in EventLoop.event_listeners:
        EventLoop.add_event_listener(Window)
    face = Face(look or look_for())
    finger = Finger(face)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(face.live, story)
            try:
                await finger.frames(3)
                yield finger
            finally:
                face.nursery.cancel_scope.cancel()
    finally:
        for child in Window.children[:]:
            Window.remove_widget(child)
