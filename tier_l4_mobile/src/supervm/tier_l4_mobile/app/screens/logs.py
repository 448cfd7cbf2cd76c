"""Logs for support: exactly what would be given away is shown before it is written."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

import trio

from ..kit.boxes import Card, Column
from ..kit.buttons import PushButton
from ..kit.fields import SwitchRow
from ..kit.look import space
from ..kit.words import Words
from ..values import Text, say
from .saved import keep_file
from .screen import Scene, Screen

LINES_MAX: Final = 40
"""Lines that are shown at once, the newest ones; all of them go into the file."""
LINE_CHARS_MAX: Final = 400
"""Letters of a line that are shown."""


class LogsScreen(Screen):
    """The end of the node's log."""

    title: ClassVar[Text] = say("logs.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._text = ""
        self._redacts = SwitchRow(look, say("settings.redacts"), key="logs.redacts", below=say("logs.redacts-below"))
        self._redacts.when_switched(self._switch)
        self._save = PushButton(look, say("logs.save"), key="logs.save", icon="file")
        self._save.when_tapped(self._write)
        self._count = Words(look, letters="small", ink="faint")
        self._lines = Column(spacing=space("gap"))
        self.put(
            Words(look, say("logs.why"), ink="faint"),
            Card(look, self._redacts, padding=0),
            self._save,
        )
        self.put(self._count, Card(look, self._lines), side=1)

    def entered(self) -> None:
        """Read the log."""
        self._read()

    def _switch(self, is_on: bool) -> None:
        problem = self.scene.choose("redacts", is_on)
        if problem is not None:
            self.scene.tell(problem, True)
        self._read()

    def _read(self) -> None:
        redacts = self.scene.models.settings.settings.redacts
        self._redacts.put(is_on=redacts)
        names = [name for name in self.scene.session.names.values() if name]

        async def work() -> Text | None:
            try:
                text = await trio.to_thread.run_sync(partial(self.scene.files.log, names, redacts=redacts))
            except OSError as error:
                return say("logs.unreadable", sentence=error.strerror or type(error).__name__)
            self._show(text)
            return None

        self.scene.work(work)

    def _show(self, text: str) -> None:
        self._text = text
        lines = text.splitlines()
        self._save.disabled = not lines
        self._count.say(
            say("logs.count", n=len(lines), shown=min(len(lines), LINES_MAX)) if lines else say("logs.none")
        )
        self._lines.clear_widgets()
        for line in reversed(lines[-LINES_MAX:]):
            self._lines.add_widget(Words(self.scene.look, line[:LINE_CHARS_MAX], letters="small"))

    def _write(self) -> None:
        text = self._text

        async def read() -> list[bytes]:
            return [text.encode()]

        keep_file(self.scene, say("logs.saved"), "supervm-log", ".txt", read)
