"""The locked wallet: asks for the passphrase or PIN, and shows the wait after wrong ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

import trio

from ..face import Face
from ..kit.boxes import Card, Centred
from ..kit.buttons import PushButton
from ..kit.fields import Field
from ..kit.look import Look, space
from ..kit.mark import Mark
from ..kit.words import Words
from ..models.lock import LockModel
from ..values import Text, say
from .navigator import Place
from .screen import Page
from .stage import Stage

Unlock = Callable[[str], Awaitable[Text | None]]
"""Tries a passphrase or PIN at the node; returns why it does not open the wallet."""


class LockPage(Page):
    """Asks for what opens the wallet.

    Args:
        look: what it is drawn with.
        model: what there is to say.
        attempt: told what was typed.
    """

    title: ClassVar[Text] = say("lock.title")
    is_kept: ClassVar[bool] = True

    def __init__(self, look: Look, model: LockModel, attempt: Callable[[str], None]) -> None:
        super().__init__(look)
        self._model = model
        self._attempt = attempt
        name = say("lock.pin") if model.is_guarded else say("lock.passphrase")
        self._field = Field(look, name, key="lock.secret", is_secret=True)
        self._field.when_entered(self._try)
        self._button = PushButton(look, say("lock.open"), key="lock.open", icon="lock")
        self._button.when_tapped(self._try)
        self.put(
            Centred(Mark(look)),
            Words(look, say("lock.why"), ink="faint", halign="center"),
            Card(look, self._field, self._button, spacing=space("pad")),
        )

    def _try(self) -> None:
        secret = self._field.text
        if secret and not self._button.disabled:
            self._field.text = ""
            self._attempt(secret)

    def refresh(self, now_ms: int) -> None:
        """Show what is wrong, and how long it is to wait."""
        view = self._model.view(now_ms)
        self._field.tell(view.problem or "", is_wrong=True)
        self._button.disabled = not view.may_try


async def locked(face: Face, model: LockModel, unlock: Unlock, *, now_ms: Callable[[], int]) -> None:
    """Show the locked wallet until it is open."""
    done = trio.Event()

    def attempt(secret: str) -> None:
        model.begin_try()
        stage.changed()

        def answered(problem: Text | None) -> None:
            model.take_answer(problem, now_ms())
            if problem is None:
                done.set()

        async def work() -> Text | None:
            return await unlock(secret)

        stage.work(work, answered)

    def make(_place: Place) -> Page:
        return LockPage(face.look, model, attempt)

    stage = Stage(face, make, tabs=("lock",), places={}, now_ms=now_ms)
    stage.begin()
    try:
        await done.wait()
    finally:
        stage.end()
