"""Pages in a frame, with the ways between them and the work beside them: what all parts of the app are shown on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kivy.clock import Clock

from ..face import Face
from ..values import Text
from .frame import Frame
from .navigator import Navigator, Place
from .screen import Finished, Page, Work

REFRESH_S = 1
"""Between two looks at the page that is shown: ages and waits grow and shrink by themselves."""


class Stage:
    """One part of the app: first run, locked, or open.

    Args:
        face: the window.
        make: makes the page of a place.
        tabs: names of the places that forget how they were reached; the first is where it begins.
        places: what stands in the bar (`frame.Frame`).
        now_ms: tells the time, in ms of Unix time.

    Attributes:
        face: the window.
        navigator: goes from one page to another.
        frame: what is around them.
    """

    def __init__(
        self,
        face: Face,
        make: Callable[[Place], Page],
        *,
        tabs: tuple[str, ...],
        places: Mapping[str, tuple[Text, str]],
        now_ms: Callable[[], int],
    ) -> None:
        self.face = face
        self._make = make
        self._now_ms = now_ms
        self._kept: dict[str, Page] = {}
        self.navigator = Navigator(tabs, self._moved)
        self.frame = Frame(face.look, self.navigator, places)
        self._soon = Clock.create_trigger(self._refresh)
        self._ages = Clock.create_trigger(self._refresh, REFRESH_S, interval=True)

    def begin(self) -> None:
        """Be what the window shows."""
        self.face.back = self.navigator.back
        self.face.put(self.frame)
        self._moved(self.navigator.place)
        self._ages()

    def end(self) -> None:
        """Show nothing anew any more."""
        self._ages.cancel()
        self._soon.cancel()
        if self.frame.screen is not None:
            self.frame.screen.left()

    def changed(self) -> None:
        """Models may have changed: show them with the next frame, once, however often this is called."""
        self._soon()

    def work(self, work: Work, then: Finished | None = None, *, is_quiet: bool = False) -> None:
        """Do something beside the frames (`screen.Scene.work`)."""

        async def task() -> None:
            if not is_quiet:
                self.frame.busy.begin()
            try:
                problem = await work()
            finally:
                if not is_quiet:
                    self.frame.busy.end()
            if then is not None:
                then(problem)
            elif problem is not None:
                self.face.tell(problem, True)
            self._soon()

        self.face.nursery.start_soon(task)

    def _refresh(self, *_: object) -> None:
        screen = self.frame.screen
        if screen is not None:
            screen.refresh(self._now_ms())
            self.frame.retitle()

    def _moved(self, place: Place) -> None:
        if self.frame.screen is not None:
            self.frame.screen.left()
        page = self._kept.get(place.name)
        if page is None:
            page = self._make(place)
            if page.is_kept:
                self._kept[place.name] = page
        self.frame.show(page)
        page.entered()
        page.refresh(self._now_ms())
