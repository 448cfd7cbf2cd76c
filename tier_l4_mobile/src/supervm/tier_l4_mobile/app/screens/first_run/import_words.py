"""Words that their owner has: typed or pasted, completed from the list, checked as they come."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from kivy.uix.stacklayout import StackLayout

from ...kit.boxes import Card
from ...kit.buttons import PushButton
from ...kit.choices import Chip
from ...kit.fields import Field
from ...kit.look import space
from ...models.first_run import ImportModel, Offer
from ...values import Text, say
from ..screen import Page
from .scene import FirstScene


class ImportPage(Page):
    """Takes the words of a wallet."""

    title: ClassVar[Text] = say("first.import-title")

    def __init__(self, scene: FirstScene) -> None:
        super().__init__(scene.look)
        self._scene = scene
        look = scene.look
        self._model = ImportModel()
        hint = say("first.import-hint")
        self._field = Field(look, say("first.import-words"), key="first.words", hint=hint, lines=6)
        self._field.when_typed(self._typed)
        self._offers: list[Offer] = []
        self._chips = StackLayout(size_hint_y=None, spacing=space("gap"))
        self._chips.bind(minimum_height=self._chips.setter("height"))
        self._next = PushButton(look, say("first.next"), key="first.next", disabled=True)
        self._next.when_tapped(self._go_on)
        self.put(Card(look, self._field, self._chips, spacing=space("pad")), self._next)
        self._show()

    def _typed(self, text: str) -> None:
        self._model.typed = text
        self._show()

    def _show(self) -> None:
        model = self._model
        is_right = model.is_right()
        self._next.disabled = not is_right
        note = say("first.words-right") if is_right else model.problem()
        self._field.tell(note or "", is_wrong=model.is_wrong())
        offers = model.offers()
        if offers != self._offers:
            self._offers = offers
            self._chips.clear_widgets()
            for offer in offers:
                chip = Chip(self._scene.look, offer.word, key=f"first.offer.{offer.word}")
                chip.when_tapped(partial(self._take, offer))
                self._chips.add_widget(chip)

    def _take(self, offer: Offer) -> None:
        self._model.take(offer)
        entry = self._field.entry
        entry.text = self._model.typed
        entry.focus = True
        entry.cursor = entry.get_cursor_from_index(len(entry.text))

    def _go_on(self) -> None:
        if self._model.is_right():
            self._scene.imported = self._model.words()
            self._scene.navigator.go("secret")
