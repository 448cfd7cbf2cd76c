"""The app as Kivy runs it: its window, its frames beside everything else in one trio loop, and its orderly end.

Theory of operation. `Face.live` opens a nursery and runs in it Kivy's loop, what is shown (a story: first run, locked,
open), and whatever screens start. The end of Kivy's loop cancels the rest before widgets go, so nothing changes a
widget that is no more. Between frames the loop belongs to the node and the session; a story shows a root widget and
changes it for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio
from kivy.app import App
from kivy.core.window import Window
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.widget import Widget

from .kit.keys import Keys
from .kit.look import Look
from .kit.pace import Pace
from .kit.told import Notices
from .values import Text, say

Story = Callable[["Face"], Awaitable[None]]
"""What happens in the app, from its start on; when it ends the app goes on showing what it showed last."""


class Face(App):
    """The window with what is in it.

    Args:
        look: what everything is drawn with.

    Attributes:
        look: likewise.
        notices: what is told for a few seconds.
        nursery: in which everything of the app runs; there is one while `live` runs.
        back: what Escape, or the back button of a phone, does; returns whether it did anything.
    """

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look
        self.notices = Notices(look)
        self.back: Callable[[], bool] = lambda: False
        self.nursery: trio.Nursery
        self._layers = FloatLayout()
        self._layers.add_widget(self.notices)
        self._pace = Pace()
        self._keys = Keys(lambda: self._layers, lambda: self.back())
        self.title = look.write(say("app.name"))

    def build(self) -> Widget:
        """Return the root of all widgets."""
        Window.softinput_mode = "below_target"
        Window.clearcolor = self.look.colour("ground")
        return self._layers

    def put(self, widget: Widget) -> None:
        """Show a widget under the notices, in place of the one before."""
        for old in self._layers.children[:]:
            if old is not self.notices:
                self._layers.remove_widget(old)
        self._layers.add_widget(widget, index=len(self._layers.children))

    def tell(self, text: Text, is_bad: bool = False) -> None:
        """Show a notice."""
        self.notices.tell(text, is_bad=is_bad)

    async def live(self, story: Story) -> None:
        """Show the window until it is closed.

        Raises:
            Exception: what ended the story, or a screen's work.
        """
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            # a task that changed a widget after the end would find it half taken down
            self.bind(on_stop=lambda *_: nursery.cancel_scope.cancel())
            self._keys.attach()
            self._pace.begin()
            try:
                nursery.start_soon(partial(story, self))
                await self.async_run(async_lib="trio")
            finally:
                self._pace.end()
                self._keys.detach()
                nursery.cancel_scope.cancel()
