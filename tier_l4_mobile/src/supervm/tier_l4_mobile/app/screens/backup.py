"""The words of the wallet, behind its passphrase: for writing them down, and nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import trio

from supervm.common.errors import CommonError

from ..errors import explain
from ..kit.boxes import Card, Column, Line
from ..kit.buttons import OUTLINED, PushButton
from ..kit.fields import Field
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.word_grid import WordGrid
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene, Screen


class BackupScreen(Screen):
    """Asks for the passphrase, then shows the words until somebody goes elsewhere."""

    title: ClassVar[Text] = say("backup.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._secret = Field(look, say("change.present"), key="backup.secret", is_secret=True)
        self._secret.when_entered(self._ask)
        self._button = PushButton(look, say("backup.show"), key="backup.show", icon="eye")
        self._button.when_tapped(self._ask)
        self._hide = PushButton(look, say("backup.hide"), key="backup.hide", kind=OUTLINED, icon="eye-off")
        self._hide.when_tapped(self._forget)
        self._form = Card(look, self._secret, self._button, spacing=space("pad"))
        self._inner = Column(self._form, spacing=space("pad"))
        warning = Words(look, say("backup.why"))
        self.put(
            Line(Icon(look, "warning", ink="waiting"), warning, spacing=space("pad")),
            self._inner,
        )

    def _ask(self) -> None:
        secret = self._secret.text
        if not secret or self._button.disabled:
            return
        self._secret.text = ""
        self._button.disabled = True

        async def work() -> Text | None:
            try:
                words = await trio.to_thread.run_sync(partial(self.scene.files.words, secret))
            except CommonError as error:
                return explain(error)
            self._show(words)
            return None

        self.scene.work(work, self._done)

    def _done(self, problem: Text | None) -> None:
        self._button.disabled = False
        self._secret.tell(problem or "", is_wrong=True)

    def _show(self, words: tuple[str, ...]) -> None:
        if self.parent is None:  # its owner has gone elsewhere meanwhile
            return
        self._inner.clear_widgets()
        look = self.scene.look
        self._inner.add_widget(Card(look, WordGrid(look, words), padding=(space("gap"), space("pad"))))
        self._inner.add_widget(self._hide)

    def _forget(self) -> None:
        self._inner.clear_widgets()
        self._inner.add_widget(self._form)

    def left(self) -> None:
        """Show the words no longer."""
        self._forget()
        self._secret.text = ""
