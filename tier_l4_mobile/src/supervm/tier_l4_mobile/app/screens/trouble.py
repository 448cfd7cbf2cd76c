"""What is shown while there is no wallet to show: that it is being opened, or what keeps it from being opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import trio

from ..face import Face
from ..kit.boxes import Card, Centred, Line
from ..kit.buttons import PushButton
from ..kit.icons import Icon
from ..kit.look import Look, space
from ..kit.mark import Mark
from ..kit.words import Words
from ..values import Text, say
from .screen import Page
from .stage import Stage


class StartingPage(Page):
    """The wallet is being opened."""

    title: ClassVar[Text] = say("app.name")

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.put(Centred(Mark(look)), Words(look, say("starting.title"), ink="faint", halign="center"))


class TroublePage(Page):
    """The wallet cannot be opened.

    Args:
        look: what it is drawn with.
        problem: why.
        again: tries again.
    """

    title: ClassVar[Text] = say("trouble.title")

    def __init__(self, look: Look, problem: Text, again: Callable[[], None]) -> None:
        super().__init__(look)
        button = PushButton(look, say("trouble.again"), key="trouble.again")
        button.when_tapped(again)
        words = Line(Icon(look, "warning", ink="bad"), Words(look, problem), spacing=space("pad"))
        self.put(Card(look, words, button, spacing=space("wide")))


def starting(face: Face, now_ms: Callable[[], int]) -> None:
    """Show that the wallet is being opened."""
    Stage(face, lambda _: StartingPage(face.look), tabs=("starting",), places={}, now_ms=now_ms).begin()


async def trouble(face: Face, problem: Text, now_ms: Callable[[], int]) -> None:
    """Show what keeps the wallet from being opened, until its owner wants to try again."""
    again = trio.Event()
    stage = Stage(
        face, lambda _: TroublePage(face.look, problem, again.set), tabs=("trouble",), places={}, now_ms=now_ms
    )
    stage.begin()
    try:
        await again.wait()
    finally:
        stage.end()
