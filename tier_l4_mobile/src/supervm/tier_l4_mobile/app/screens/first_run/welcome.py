"""The first page: the language, and whether there is a wallet already."""

from __future__ import annotations

from typing import ClassVar

from ...kit.boxes import Card, Centred
from ...kit.buttons import OUTLINED, PushButton
from ...kit.choices import Choices
from ...kit.look import space
from ...kit.mark import Mark
from ...kit.words import Words
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene

LANGUAGES = (("en", say("settings.english")), ("zh", say("settings.chinese")))
"""Languages to choose from before anything is read."""


class WelcomePage(Page):
    """Where everybody begins."""

    title: ClassVar[Text] = say("first.title")
    is_kept: ClassVar[bool] = True

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look = scene.look
        create = PushButton(look, say("first.create"), key="first.create")
        take = PushButton(look, say("first.import"), key="first.import", kind=OUTLINED)
        create.when_tapped(lambda: self._begin(is_import=False))
        take.when_tapped(lambda: self._begin(is_import=True))
        self._languages = Choices(look, None, LANGUAGES, key="first.language", act=self._speak)
        self.put(
            Centred(Mark(look)),
            Words(look, say("app.name"), letters="amount", halign="center"),
            Words(look, say("first.tagline"), ink="faint", halign="center"),
            Card(look, create, take, spacing=space("pad")),
            self._languages,
        )

    def _speak(self, code: str | int | bool) -> None:
        self._scene.choose("language", code)
        self._languages.choose(code)

    def _begin(self, *, is_import: bool) -> None:
        self._scene.is_import = is_import
        self._scene.after_welcome()

    def refresh(self, now_ms: int) -> None:
        """Show which language is spoken."""
        self._languages.choose(self._scene.look.language.code)
