"""Watched addresses: balances of others, each proved on this phone."""

from __future__ import annotations

from typing import Any, ClassVar

from ..kit.boxes import Card, Column, Line
from ..kit.buttons import OUTLINED, PushButton
from ..kit.icons import Icon
from ..kit.look import Look, space
from ..kit.scroll import Listing
from ..kit.words import Words
from ..models.settings import WatchedLine
from ..values import Text, say
from .screen import Scene, Screen

FRESH = "home.proved"
"""Key of the text of a proof that is young enough."""


class WatchedCard(Card):
    """One address."""

    def __init__(self, look: Look, line: WatchedLine) -> None:
        self._name = Words(look, line.name)
        self._amount = Words(look, letters="title")
        self._icon = Icon(look, "clock", icon_dp=20)
        self._certainty = Words(look)
        super().__init__(
            look,
            self._name,
            self._amount,
            Line(self._icon, self._certainty),
            Words(look, line.address, letters="small", ink="faint", is_short=True),
            spacing=space("small"),
        )
        self.show(line)

    def show(self, line: WatchedLine) -> None:
        """Show what it has now."""
        is_sure = line.certainty.key == FRESH
        self._name.say(line.name)
        self._amount.say(line.amount)
        self._icon.show("check" if is_sure else "clock", "sure" if is_sure else "waiting")
        self._certainty.say(line.certainty, "sure" if is_sure else "waiting")


class WatchedScreen(Screen):
    """All watched addresses; they are asked for when somebody looks."""

    title: ClassVar[Text] = say("watched.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._none = Words(look, ink="faint")
        self._cards: Listing[WatchedLine] = Listing(
            lambda line: line.address,
            lambda line: WatchedCard(look, line),
            lambda card, line: card.show(line),
            spacing=space("pad"),
        )
        add = PushButton(look, say("watched.add"), key="watched.add", kind=OUTLINED, icon="plus")
        add.when_tapped(lambda: scene.navigator.go("contact", is_watched=True))
        again = PushButton(look, say("watched.again"), key="watched.again", kind=OUTLINED, icon="check")
        again.when_tapped(self._ask)
        self.put(Words(look, say("watched.why"), ink="faint"), self._none, self._cards)
        self.put(Column(again, add, spacing=space("pad")), side=1)

    def entered(self) -> None:
        """Ask for what they have."""
        self._ask()

    def _ask(self) -> None:
        self.scene.work(self.scene.session.watched)

    def refresh(self, now_ms: int) -> None:
        """Show what is known of them."""
        lines = self.scene.models.settings.watched(now_ms)
        self._none.say("" if lines else say("watched.none"))
        self._cards.fill(lines)
