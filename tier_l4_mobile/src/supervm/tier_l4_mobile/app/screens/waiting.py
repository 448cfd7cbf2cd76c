"""What is on its way: why each payment waits, until when, and what may still be done about it."""

from __future__ import annotations

from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Column, Line, Row
from ..kit.buttons import OUTLINED, PLAIN, PushButton
from ..kit.look import Look, space
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.waiting import WaitingRow
from ..values import Text, say
from .paying import ask_to_cancel
from .screen import Scene, Screen

ROWS = 8
"""Payments that are shown at first, and that each tap on `more` adds: as many as a frame can make."""
GIVE_MAX = 16
"""Payments that go to another phone at once: so many pictures are shown in half a minute."""


class WaitingCard(Card):
    """One payment that is on its way; a tap shows what may be done about it."""

    def __init__(self, scene: Scene, row: WaitingRow) -> None:
        look: Look = scene.look
        self._scene = scene
        self._shown = row
        self._row = Row(
            look, row.amount, key=f"waiting.{row.id}", below="…", icon="clock", end_icon="forward", is_short=True
        )
        self._row.when_tapped(self._open)
        self._why = Words(look)
        self._until = Words(look, letters="small", ink="faint")
        self._actions: Line | None = None
        told = Column(self._why, self._until, spacing=space("small"), padding=(space("pad"), 0, space("pad"), 0))
        super().__init__(look, self._row, told, padding=(0, 0, 0, space("pad")), spacing=0)
        self.show(row)

    def show(self, row: WaitingRow) -> None:
        """Show how it stands."""
        was, self._shown = self._shown, row
        self._row.title.say(row.amount)
        self._row.below.say(say("waiting.to", name=row.to))
        assert self._row.icon is not None
        self._row.icon.show(ink="waiting")
        self._why.say(say("waiting.why", status=row.status, why=row.why))
        self._until.say(say("waiting.until", until=row.until, left=row.left))
        if self._actions is not None and was.may_cancel != row.may_cancel:
            self._close()
            self._open()

    def _open(self) -> None:
        if self._actions is not None:
            self._close()
            return
        look, scene = self.look, self._scene
        give = PushButton(look, say("waiting.give"), key="waiting.give-one", kind=PLAIN)
        give.when_tapped(lambda: scene.navigator.go("give", ids=(self._shown.id,)))
        self._actions = Line(give)
        if self._shown.may_cancel:
            cancel = PushButton(look, say("waiting.cancel"), key="waiting.cancel", kind=PLAIN)
            cancel.when_tapped(lambda: ask_to_cancel(scene, self._shown.id))
            self._actions.add_widget(cancel)
        self.add_widget(self._actions)

    def _close(self) -> None:
        if self._actions is not None:
            self.remove_widget(self._actions)
            self._actions = None


class WaitingScreen(Screen):
    """The queue."""

    title: ClassVar[Text] = say("waiting.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._count = Words(look, ink="faint")
        self._rows: Listing[WaitingRow] = Listing(
            lambda row: row.id, self._make, lambda card, row: card.show(row), spacing=space("pad")
        )
        self._send = PushButton(look, say("waiting.send"), key="waiting.send", kind=OUTLINED, icon="pay")
        self._send.when_tapped(lambda: scene.work(scene.session.send_kept))
        self._give = PushButton(look, say("waiting.give-all"), key="waiting.give", kind=OUTLINED, icon="handover")
        self._give.when_tapped(self._hand_over)
        self._more = PushButton(look, say("waiting.more"), key="waiting.more", kind=PLAIN)
        self._more.when_tapped(self._show_more)
        self._most = ROWS
        self._below = Column()
        self._actions = Column()
        self.put(self._count, self._rows, self._below)
        self.put(self._actions, side=1)

    def _make(self, row: WaitingRow) -> Widget:
        return WaitingCard(self.scene, row)

    def refresh(self, now_ms: int) -> None:
        """Show what waits now."""
        model = self.scene.models.waiting
        rows = model.rows(now_ms, most=self._most)
        self._count.say(model.count if rows else say("waiting.none"))
        self._rows.fill(rows)
        wanted = [
            *([self._send] if any(row.why.key == "wait.kept" for row in rows) else []),
            *([self._give] if rows else []),
        ]
        if self._actions.children[::-1] != wanted:
            self._actions.clear_widgets()
            for button in wanted:
                self._actions.add_widget(button)

        has_more = len(rows) == self._most and model.count.values["n"] != len(rows)
        if has_more != (self._more.parent is not None):
            if has_more:
                self._below.add_widget(self._more)
            else:
                self._below.remove_widget(self._more)

    def _show_more(self) -> None:
        self._most += ROWS
        self.refresh(self.scene.now_ms())

    def _hand_over(self) -> None:
        rows = self.scene.models.waiting.rows(self.scene.now_ms(), most=GIVE_MAX)
        self.scene.navigator.go("give", ids=tuple(row.id for row in rows))
