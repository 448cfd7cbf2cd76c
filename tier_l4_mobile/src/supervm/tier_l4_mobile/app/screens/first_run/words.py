"""New words, shown once; then four of them are asked back."""

from __future__ import annotations

from typing import ClassVar

from kivy.uix.gridlayout import GridLayout

from ...kit.boxes import Card, Column, Line, Numbered
from ...kit.buttons import PushButton
from ...kit.fields import Field
from ...kit.icons import Icon
from ...kit.look import space
from ...kit.words import Words
from ...models.first_run import AskedModel
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene


class WordsPage(Page):
    """Shows the words; they are on no other page and in no file."""

    title: ClassVar[Text] = say("first.words-title")

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        look = scene.look
        assert scene.new is not None
        grid = GridLayout(cols=2, size_hint_y=None, spacing=(space("wide"), space("gap")))
        grid.bind(minimum_height=grid.setter("height"))
        shown = scene.new.show()
        half = (len(shown) + 1) // 2
        for row in range(half):  # down the left column, then down the right one
            for place in (row, row + half):
                if place < len(shown):
                    grid.add_widget(Numbered(look, place + 1, shown[place]))
        warning = Line(Icon(look, "warning", ink="waiting"), Words(look, say("first.words-why")), spacing=space("pad"))
        done = PushButton(look, say("first.words-done"), key="first.written")
        done.when_tapped(lambda: scene.navigator.replace("asked"))
        self.put(warning, Card(look, grid, padding=(space("gap"), space("pad"))))
        self.put(done)


class AskedPage(Page):
    """Asks four of the words back."""

    title: ClassVar[Text] = say("first.asked-title")

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look = scene.look
        assert scene.new is not None
        self._model = AskedModel(scene.new)
        self._fields = [
            Field(look, question, key=f"first.asked.{number}")
            for number, question in enumerate(self._model.questions())
        ]
        for field, after in zip(self._fields, self._fields[1:], strict=False):
            field.when_entered(after.take_keyboard)
        self._fields[-1].when_entered(self._check)
        self._wrong = Words(look, ink="bad")
        self._button = PushButton(look, say("first.check"), key="first.check")
        self._button.when_tapped(self._check)
        self.put(
            Words(look, say("first.asked-why"), ink="faint"),
            Card(look, Column(*self._fields, spacing=space("gap")), self._wrong),
            self._button,
        )

    def _check(self) -> None:
        if self._model.is_over:
            self._scene.navigator.go("welcome")
            return
        problem = self._model.answer([field.text for field in self._fields])
        self._wrong.say(problem or "")
        if problem is None:
            self._scene.navigator.replace("secret")
        elif self._model.is_over:
            self._button.say(say("first.begin-anew"))
