"""Contacts: everybody the owner knows."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Row
from ..kit.buttons import IconButton
from ..kit.fields import Field
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.contacts import ContactLine
from ..values import Text, say
from .screen import Scene, Screen

ROWS_MAX = 100
"""Contacts that are shown at once; whoever has more types a part of a name."""


class ContactsScreen(Screen):
    """The list."""

    title: ClassVar[Text] = say("contacts.title")
    is_kept: ClassVar[bool] = True

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.contacts
        self._add = IconButton(look, "plus", key="contacts.add")
        self._add.when_tapped(lambda: scene.navigator.go("contact"))
        self._search = Field(look, say("contacts.search"), key="contacts.search", hint=say("contacts.hint"))
        self._search.when_typed(lambda _: self.refresh(scene.now_ms()))
        self._none = Words(look, ink="faint", halign="center")
        self._rows: Listing[ContactLine] = Listing(lambda line: line.address, self._make, self._show)
        self._card = Card(look, self._rows, padding=0)
        self.put(self._search, self._none, self._card)

    def actions(self) -> list[Widget]:
        """Return the icon that adds somebody."""
        return [self._add]

    def _make(self, line: ContactLine) -> Widget:
        row = Row(
            self.scene.look,
            line.name,
            key=f"contacts.{line.name}",
            below=_below(line),
            icon="eye" if line.is_watched else "person",
            end_icon="forward",
        )
        row.when_tapped(partial(self.scene.navigator.go, "contact", address=line.address))
        return row

    def _show(self, row: Any, line: ContactLine) -> None:
        row.key = f"contacts.{line.name}"
        row.title.say(line.name)
        row.below.say(_below(line))
        row.icon.show("eye" if line.is_watched else "person")

    def refresh(self, now_ms: int) -> None:
        """Show those whose name, note or address fits."""
        lines = self._model.lines(self._search.text)
        if lines:
            self._none.say("" if len(lines) <= ROWS_MAX else say("contacts.more", n=len(lines) - ROWS_MAX))
        else:
            self._none.say(say("activity.none-found") if self._model.count else say("contacts.none"))
        self._rows.fill(lines[:ROWS_MAX])
        self._card.opacity = 1 if lines else 0


def _below(line: ContactLine) -> str:
    """Return what is read second: the note, else enough of the address to tell two apart."""
    return line.note or f"{line.address[:12]}…{line.address[-8:]}"
