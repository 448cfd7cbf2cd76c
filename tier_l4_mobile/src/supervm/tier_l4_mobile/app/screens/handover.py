"""Hand-overs: payments that came from other phones and what is certain of them, and those that went to others."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Column, Line, Row
from ..kit.buttons import OUTLINED, PushButton
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.handover import GivenLine, PromiseLine
from ..values import Text, say
from .screen import Scene, Screen


class PromiseRow(Row):
    """One payment that came here: what, from whom, how it stands, what is proved."""

    def __init__(self, scene: Scene, line: PromiseLine) -> None:
        super().__init__(scene.look, line.amount, key=f"promise.{line.id}", below="…", icon="clock", end_icon="forward")
        self._status = Words(scene.look)
        self._certainty = Words(scene.look, letters="small", ink="faint")
        self._text.add_widget(self._status)
        self._text.add_widget(self._certainty)
        self.when_tapped(partial(scene.navigator.go, "promise", id=line.id))
        self.show(line)

    def show(self, line: PromiseLine) -> None:
        """Show how it stands."""
        self.below.say(promise_way(line))
        icon, ink = promise_mark(line)
        assert self.icon is not None
        self.icon.show(icon, ink)
        self._status.say(line.status, ink)
        self._certainty.say(line.certainty)


def promise_mark(line: PromiseLine) -> tuple[str, str]:
    """Return the icon and the colour of how a promise stands."""
    if line.is_settled:
        return "done", "sure"
    return ("clock", "waiting") if line.is_open else ("warning", "bad")


def promise_way(line: PromiseLine) -> Text:
    """Return who pays whom."""
    return (
        say("handover.for-me", name=_short(line.source)) if line.is_mine else say("handover.for", name=_short(line.to))
    )


def _short(name: str) -> str:
    """Return a name; of an address as much as a line holds: it is shown whole on its page."""
    return name if len(name) <= 24 else f"{name[:10]}…{name[-6:]}"


class HandoverScreen(Screen):
    """What was handed over, both ways."""

    title: ClassVar[Text] = say("handover.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._told: Listing[tuple[int, Text]] = Listing(lambda told: told[0], self._tell, self._tell_anew)
        self._news = Card(look, Words(look, say("handover.told"), letters="small", ink="faint"), self._told)
        take = PushButton(look, say("handover.take"), key="handover.take", icon="scan")
        take.when_tapped(lambda: scene.navigator.go("scan"))
        give = PushButton(look, say("handover.give"), key="handover.give", kind=OUTLINED, icon="handover")
        give.when_tapped(lambda: scene.navigator.go("waiting"))
        self._taken: Listing[PromiseLine] = Listing(
            lambda line: line.id, partial(PromiseRow, scene), lambda row, line: row.show(line)
        )
        self._given: Listing[GivenLine] = Listing(lambda line: line.id, self._make_given, self._show_given)
        self._taken_card = Card(look, Words(look, say("handover.taken"), letters="small", ink="faint"), self._taken)
        self._given_card = Card(look, Words(look, say("handover.given"), letters="small", ink="faint"), self._given)
        self._none = Words(look, say("handover.none"), ink="faint")
        self._cards = Column(spacing=space("pad"))
        self.put(Words(look, say("handover.why"), ink="faint"), Line(take, give, spacing=space("pad")))
        self.put(self._cards, side=1)

    def entered(self) -> None:
        """Ask what there is now."""
        self.scene.work(self.scene.session.handovers)

    def left(self) -> None:
        """What was told is known."""
        self.scene.models.handover.told = ()

    def refresh(self, now_ms: int) -> None:
        """Show what was handed over."""
        model = self.scene.models.handover
        promises, handed = model.promises(), model.handed()
        self._told.fill(list(enumerate(model.told)))
        self._taken.fill(promises)
        self._given.fill(handed)
        wanted: list[Widget] = [
            *([self._news] if model.told else []),
            *([self._taken_card] if promises else []),
            *([self._given_card] if handed else []),
        ] or [self._none]
        if self._cards.children[::-1] != wanted:
            self._cards.clear_widgets()
            for card in wanted:
                self._cards.add_widget(card)

    def _tell(self, told: tuple[int, Text]) -> Widget:
        return Words(self.scene.look, told[1])

    def _tell_anew(self, words: Any, told: tuple[int, Text]) -> None:
        words.say(told[1])

    def _make_given(self, line: GivenLine) -> Widget:
        look = self.scene.look
        row = Line(Icon(look, "clock", ink="waiting"), Column(Words(look), Words(look), Words(look, ink="faint")))
        row.padding = (0, space("gap"))
        row.spacing = space("pad")
        self._show_given(row, line)
        return row

    def _show_given(self, row: Any, line: GivenLine) -> None:
        text, icon = row.children
        when, status, amount = text.children
        icon.show("done" if line.is_paid else "clock", "sure" if line.is_paid else "waiting")
        amount.say(say("handover.to", amount=line.amount, name=_short(line.to)))
        status.say(line.status, "sure" if line.is_paid else "waiting")
        when.say(say("handover.when", at=line.when))
