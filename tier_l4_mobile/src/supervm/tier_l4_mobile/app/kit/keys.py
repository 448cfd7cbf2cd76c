"""The keyboard on a desktop: Tab goes on, Shift-Tab back, Enter does it, Escape goes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kivy.core.window import Window
from kivy.uix.modalview import ModalView
from kivy.uix.widget import Widget

from .fields import Entry
from .scroll import Scroll
from .target import Target, shown_in

TAB, ENTER, ESCAPE, SPACE, PAD_ENTER = 9, 13, 27, 32, 271
"""Numbers of keys; Android's back button is Escape to Kivy."""


class Keys:
    """Moves a mark from one thing that can be touched to the next.

    Args:
        root: all that is shown, dialogs excepted.
        back: what Escape does where no dialog is open; returns whether there was anything to go back to.
    """

    def __init__(self, root: Callable[[], Widget], back: Callable[[], bool]) -> None:
        self._root = root
        self._back = back
        self._marked: Widget | None = None

    def attach(self) -> None:
        """Take the keys of the window."""
        Window.bind(on_key_down=self._on_key, on_touch_down=self._on_touch)

    def detach(self) -> None:
        """Leave them alone."""
        Window.unbind(on_key_down=self._on_key, on_touch_down=self._on_touch)

    def _on_touch(self, *_: object) -> None:
        self._mark(None)

    def _on_key(self, _window: object, key: int, _scancode: int, _text: str | None, modifiers: Sequence[str]) -> bool:
        if key == TAB:
            self._step(-1 if "shift" in modifiers else 1)
        elif key == ESCAPE:
            top = Window.children[0]
            if isinstance(top, ModalView):
                top.dismiss()
            else:
                self._mark(None)
                return self._back()
        elif key in (ENTER, PAD_ENTER, SPACE) and isinstance(self._marked, Target):
            self._marked.tap()
        else:
            return False
        return True

    def _things(self) -> list[Widget]:
        top = Window.children[0] if Window.children else self._root()
        shown = shown_in(top if isinstance(top, ModalView) else self._root())
        return [thing for thing in shown if isinstance(thing, Target | Entry) and not thing.disabled]

    def _step(self, by: int) -> None:
        things = self._things()
        focused = [thing for thing in things if isinstance(thing, Entry) and thing.focus]
        now = focused[0] if focused else self._marked
        if not things:
            return
        place = things.index(now) + by if now in things else (0 if by > 0 else -1)
        self._mark(things[place % len(things)])

    def _mark(self, thing: Widget | None) -> None:
        if self._marked is not None:
            self._marked.is_marked = False
            if isinstance(self._marked, Entry) and thing is not None:
                self._marked.focus = False
        self._marked = thing
        if thing is not None:
            thing.is_marked = True
            _bring_into_view(thing)


def _bring_into_view(thing: Widget) -> None:
    above = thing.parent
    while above is not None and above is not above.parent:
        if isinstance(above, Scroll):
            above.scroll_to(thing, padding=16, animate=False)
            return
        above = above.parent
