"""One payment of somebody else: what is certain of it, and what may be done with it."""

from __future__ import annotations

from typing import Any, ClassVar

from ..kit.boxes import Card, Column, Line, Rule
from ..kit.buttons import DANGER, OUTLINED, PushButton
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.told import Dialog
from ..kit.words import Words
from ..values import Text, say
from .handover import promise_mark
from .screen import Scene, Screen


class PromiseScreen(Screen):
    """A payment that was handed over; `arguments` name it by its ``id``."""

    title: ClassVar[Text] = say("promise.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._id: str = arguments["id"]
        self._amount = Words(look, letters="amount")
        self._icon = Icon(look, "clock", ink="waiting")
        self._status = Words(look)
        self._certainty = Words(look, ink="faint")
        self._until = Words(look, letters="small", ink="faint")
        self._source = Words(look)
        self._to = Words(look)
        self._give = PushButton(look, say("promise.give"), key="promise.give", kind=OUTLINED, icon="handover")
        self._give.when_tapped(lambda: scene.navigator.go("give", ids=(self._id,)))
        forget = PushButton(look, say("promise.forget"), key="promise.forget", kind=DANGER)
        forget.when_tapped(self._ask_to_forget)
        self.put(
            Card(
                look,
                self._amount,
                Line(self._icon, Column(self._status, self._certainty, spacing=space("small")), spacing=space("pad")),
                self._until,
            )
        )
        self.put(
            Card(
                look,
                Words(look, say("promise.from"), letters="small", ink="faint"),
                self._source,
                Rule(look),
                Words(look, say("promise.to"), letters="small", ink="faint"),
                self._to,
            ),
            self._give,
            forget,
            side=1,
        )

    def refresh(self, now_ms: int) -> None:
        """Show how it stands."""
        line = self.scene.models.handover.promise(self._id)
        if line is None:
            return
        icon, ink = promise_mark(line)
        self._amount.say(line.amount)
        self._icon.show(icon, ink)
        self._status.say(line.status, ink)
        self._certainty.say(line.certainty)
        self._until.say("" if line.until is None else say("paying.until", until=line.until))
        self._source.say(line.source)
        self._to.say(say("promise.to-me") if line.is_mine else line.to)
        self._give.say(say("promise.give") if line.is_open else say("promise.give-back"))
        self._give.disabled = not (line.is_open or line.is_settled)

    def _ask_to_forget(self) -> None:
        Dialog(
            self.scene.look,
            say("promise.forget-title"),
            say("promise.forget-why"),
            yes=say("promise.forget"),
            no=say("waiting.cancel-no"),
            kind=DANGER,
            act=self._forget,
        ).open()

    def _forget(self) -> None:
        self.scene.work(lambda: self.scene.session.drop_promise(self._id), self._forgotten)

    def _forgotten(self, problem: Text | None) -> None:
        if problem is None:
            self.scene.navigator.lead("handover")
        else:
            self.scene.tell(problem, True)
