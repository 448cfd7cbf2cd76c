"""The app of an owner whose wallet is open: the screens in their frame, fed by the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from supervm.common.wallet.keystore import platform_keystore

from ..face import Face
from ..files import OwnersFiles
from ..look_of import System
from ..session import Session
from ..values import Text
from .chosen import Chooser
from .navigator import Place
from .registry import TABS, screen_class
from .screen import Page, Scene
from .stage import Stage


class OwnersApp:
    """Screens of one wallet.

    Args:
        face: the window.
        session: the talk with the node, and the models that it feeds.
        now_ms: tells the time, in ms of Unix time.
        directory: where settings are kept, and the node's files are; None: nowhere.
        system: what the system likes, for settings that follow it.

    Attributes:
        stage: what the screens are shown on.
        scene: what each of them is given.
    """

    def __init__(
        self, face: Face, session: Session, now_ms: Callable[[], int], *, directory: Path | None, system: System
    ) -> None:
        self._session = session
        self.stage = stage = Stage(face, self._make, tabs=tuple(TABS), places=TABS, now_ms=now_ms)
        chooser = Chooser(session.models.settings, face.look, system, directory, stage.work)
        self.scene = Scene(
            session.models,
            session,
            face.look,
            stage.navigator,
            now_ms,
            stage.work,
            face.tell,
            chooser.choose,
            OwnersFiles(directory, platform_keystore()),
        )

    def _make(self, place: Place) -> Page:
        return screen_class(place.name)(self.scene, **place.arguments)

    async def run(self, told: Callable[[Text | None], object] = lambda _: None) -> None:
        """Show the screens and keep them fed, until cancelled.

        Args:
            told: told after each look at the node what is wrong if it does not say.
        """

        def changed(problem: Text | None) -> None:
            self.stage.changed()
            told(problem)

        self.stage.begin()
        try:
            await self._session.run(changed)
        finally:
            self.stage.end()
