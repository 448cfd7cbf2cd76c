"""Settings that are changed on a screen: applied at once, kept beside the frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from ..kit.look import Look
from ..look_of import System, look_values
from ..models.settings import SettingsModel
from ..settings_file import save_settings
from ..values import Text, say
from .screen import Work


class Chooser:
    """Changes settings.

    Args:
        model: the settings.
        look: what they change.
        system: what the system likes, for those that follow it.
        directory: where they are kept; None: nowhere.
        work: does something beside the frames.
    """

    def __init__(
        self,
        model: SettingsModel,
        look: Look,
        system: System,
        directory: Path | None,
        work: Callable[[Work], None],
    ) -> None:
        self._model = model
        self._look = look
        self._system = system
        self._directory = directory
        self._work = work
        self._alone = trio.Lock()

    def choose(self, name: str, value: str | int | bool) -> Text | None:
        """Change a setting; return what is wrong with its value."""
        problem = self._model.change(name, value)
        if problem is None:
            theme, language, percent = look_values(self._model.settings, self._system)
            self._look.change(theme=theme, language=language, percent=percent)
            if self._directory is not None:
                self._work(self._save)
        return problem

    async def _save(self) -> Text | None:
        assert self._directory is not None
        async with self._alone:  # the last one that writes writes what is chosen then
            try:
                await trio.to_thread.run_sync(save_settings, self._directory, self._model.settings)
            except OSError as error:
                return say("settings.unsaved", sentence=error.strerror or type(error).__name__)
        return None
