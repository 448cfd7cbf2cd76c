"""The app of an owner whose node answers: the screens in their frame, fed by the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
from kivy.clock import Clock

from ..face import Face
from ..look_of import System, look_values
from ..session import Models, Session
from ..settings_file import save_settings
from ..values import Text, say
from .frame import Frame
from .navigator import Navigator, Place
from .registry import TABS, screen_class
from .screen import Finished, Scene, Screen, Work

REFRESH_S = 1
"""Ages that are shown grow by themselves."""


class OwnersApp:
    """Screens of one wallet.

    Args:
        face: the window.
        models: what the session feeds.
        session: the talk with the node.
        now_ms: tells the time, in ms of Unix time.
        directory: where settings are kept; None: nowhere.
        system: what the system likes, for settings that follow it.
    """

    def __init__(
        self,
        face: Face,
        models: Models,
        session: Session,
        now_ms: Callable[[], int],
        *,
        directory: Path | None,
        system: System,
    ) -> None:
        self._face = face
        self._models = models
        self._session = session
        self._now_ms = now_ms
        self._directory = directory
        self._system = system
        self._kept: dict[str, Screen] = {}
        self.navigator = Navigator(tuple(TABS), self._moved)
        self.scene = Scene(models, session, face.look, self.navigator, now_ms, self._work, face.tell, self._choose)
        self.frame = Frame(face.look, self.navigator)
        self._draw = Clock.create_trigger(self._refresh)

    async def run(self) -> None:
        """Show the screens and keep them fed, until cancelled."""
        self._face.back = self.navigator.back
        self._face.put(self.frame)
        self._moved(self.navigator.place)
        ages = Clock.schedule_interval(lambda _: self._refresh(), REFRESH_S)
        try:
            await self._session.run(self._changed)
        finally:
            ages.cancel()
            self._draw.cancel()

    def _changed(self, _problem: Text | None) -> None:
        self._draw()  # at most once a frame, however often models change

    def _refresh(self, *_: object) -> None:
        screen = self.frame.screen
        if screen is not None:
            screen.refresh(self._now_ms())
            self.frame.retitle()

    def _moved(self, place: Place) -> None:
        if self.frame.screen is not None:
            self.frame.screen.left()
        screen = self._kept.get(place.name)
        if screen is None:
            kind = screen_class(place.name)
            screen = kind(self.scene, **place.arguments)
            if kind.is_kept:
                self._kept[place.name] = screen
        self.frame.show(screen)
        screen.entered()
        screen.refresh(self._now_ms())

    def _work(self, work: Work, then: Finished | None = None, *, is_quiet: bool = False) -> None:
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
                self._face.tell(problem, True)
            self._draw()

        self._face.nursery.start_soon(task)

    def _choose(self, name: str, value: str | int | bool) -> Text | None:
        model = self._models.settings
        problem = model.change(name, value)
        if problem is not None:
            return problem
        theme, language, percent = look_values(model.settings, self._system)
        self._face.look.change(theme=theme, language=language, percent=percent)
        if self._directory is not None:
            settings, directory = model.settings, self._directory

            async def save() -> Text | None:
                try:
                    await trio.to_thread.run_sync(save_settings, directory, settings)
                except OSError as error:
                    return say("settings.unsaved", sentence=error.strerror or type(error).__name__)
                return None

            self._work(save)
        return None
