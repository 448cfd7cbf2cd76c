"""What is on its way: why each payment waits, until when, and what may still be done about it."""

from __future__ import annotations

from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Column, Line
from ..kit.buttons import OUTLINED, PLAIN, PushButton
from ..kit.icons import Icon
from ..kit.look import Look, space
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.waiting import WaitingRow
from ..values import Text, say
from .paying import ask_to_cancel
from .screen import Scene, Screen

ROWS_MAX = 30
"""Payments that are shown at once; of more the first ones are, and how many there are is told."""
GIVE_MAX = 16
"""Payments that go to another phone at once: so many pictures are shown in half a minute."""


class WaitingCard(Card):
    """One payment that is on its way."""

    def __init__(self, scene: Scene, row: WaitingRow) -> None:
        look: Look = scene.look
        self._to = Words(look, is_short=True)
        self._amount = Words(look)
        self._status = Words(look, ink="waiting")
        self._why = Words(look, ink="faint")
        self._until = Words(look, letters="small", ink="faint")
        self._cancel = PushButton(look, say("waiting.cancel"), key=f"waiting.cancel.{row.id}", kind=PLAIN)
        self._cancel.when_tapped(lambda: ask_to_cancel(scene, self._id))
        self._give = PushButton(look, say("waiting.give"), key=f"waiting.give.{row.id}", kind=PLAIN)
        self._give.when_tapped(lambda: scene.navigator.go("give", ids=(self._id,)))
        self._actions = Line()
        self._id = row.id
        super().__init__(
            look,
            self._amount,
            self._to,
            Line(Icon(look, "clock", ink="waiting", icon_dp=20), self._status),
            self._why,
            self._until,
            self._actions,
            spacing=space("small"),
        )
        self.show(row)

    def show(self, row: WaitingRow) -> None:
        """Show how it stands."""
        self._id = row.id
        self._to.say(row.to, "faint")
        self._amount.say(row.amount)
        self._status.say(row.status)
        self._why.say(row.why)
        self._until.say(say("waiting.until", until=row.until, left=row.left))
        wanted = [self._give, *([self._cancel] if row.may_cancel else [])]
        if self._actions.children[::-1] != wanted:
            self._actions.clear_widgets()
            for button in wanted:
                self._actions.add_widget(button)


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
        self._actions = Column()
        self.put(self._count, self._rows)
        self.put(self._actions, side=1)

    def _make(self, row: WaitingRow) -> Widget:
        return WaitingCard(self.scene, row)

    def refresh(self, now_ms: int) -> None:
        """Show what waits now."""
        model = self.scene.models.waiting
        rows = model.rows(now_ms, most=ROWS_MAX)
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

    def _hand_over(self) -> None:
        rows = self.scene.models.waiting.rows(self.scene.now_ms(), most=GIVE_MAX)
        self.scene.navigator.go("give", ids=tuple(row.id for row in rows))
