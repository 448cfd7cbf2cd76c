"""One payment on its way: how far it is, each step with its time; paid only once that is proved."""

from __future__ import annotations

from typing import Any, ClassVar

from ..kit.boxes import Card, Column, Line
from ..kit.buttons import DANGER, OUTLINED, PushButton
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.told import Dialog
from ..kit.walk import WalkStep
from ..kit.words import Words
from ..models.steps import Step
from ..values import Moment, Span, Text, say
from .screen import Scene, Screen

SOON_MS = 10_000
"""Times after the first step are told in ms up to here, and in larger units from then on."""


class PayingScreen(Screen):
    """The payment that was asked for last."""

    title: ClassVar[Text] = say("paying.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.pay
        self._icon = Icon(look, "clock", ink="waiting", icon_dp=40)
        self._status = Words(look, letters="title")
        self._reason = Words(look, ink="faint")
        self._until = Words(look, letters="small", ink="faint")
        self._steps = [WalkStep(look, is_first=place == 0) for place in range(5)]
        self._cancel = PushButton(look, say("waiting.cancel"), key="paying.cancel", kind=DANGER)
        self._cancel.when_tapped(self._ask_to_cancel)
        self._give = PushButton(look, say("paying.give"), key="paying.give", kind=OUTLINED, icon="handover")
        self._give.when_tapped(self._hand_over)
        done = PushButton(look, say("paying.done"), key="paying.done")
        done.when_tapped(lambda: scene.navigator.go("home"))
        self._more = Column(spacing=space("gap"))
        self.put(
            Card(
                look,
                Line(self._icon, Column(self._status, self._reason, spacing=space("small")), spacing=space("pad")),
                self._until,
            ),
            Card(look, *self._steps, spacing=0),
        )
        self.put(self._more, done, side=1)

    def refresh(self, now_ms: int) -> None:
        """Show how far it is."""
        model = self._model
        status, until = model.status(), model.until
        self._status.say(status or say("paying.asking"))
        is_over = until is None and status is not None
        icon, ink = ("done", "sure") if model.is_paid else ("warning", "bad") if is_over else ("clock", "waiting")
        self._icon.show(icon, ink)
        self._reason.say(model.reason or "")
        self._until.say("" if until is None else say("paying.until", until=until))
        steps = model.line()
        first = steps[0].at if steps else None
        for widget, step in zip(self._steps, steps, strict=False):
            widget.show(step.name, step.state, step_time(step, first))
        wanted = [
            *([self._give] if model.may_hand_over else []),
            *([self._cancel] if model.may_cancel else []),
        ]
        if self._more.children[::-1] != wanted:
            self._more.clear_widgets()
            for button in wanted:
                self._more.add_widget(button)

    def _hand_over(self) -> None:
        if self._model.shown_id is not None:
            self.scene.navigator.go("give", ids=(self._model.shown_id,))

    def _ask_to_cancel(self) -> None:
        ask_to_cancel(self.scene, self._model.shown_id)


def ask_to_cancel(scene: Scene, identity: str | None) -> None:
    """Ask whether a payment that never left is to be cancelled, and cancel it."""
    if identity is None:
        return
    Dialog(
        scene.look,
        say("waiting.cancel-title"),
        say("waiting.cancel-why"),
        yes=say("waiting.cancel"),
        no=say("waiting.cancel-no"),
        kind=DANGER,
        act=lambda: scene.work(lambda: scene.session.cancel(identity)),
    ).open()


def step_time(step: Step, first: Moment | None) -> Text | str:
    """Return when a step was: the first by the clock, the others counted from it."""
    if step.at is None or first is None:
        return ""
    if step.at is first:
        return say("paying.at", at=step.at)
    later_ms = max(0, step.at.ms - first.ms)
    if later_ms < SOON_MS:
        return say("paying.later-ms", ms=later_ms)
    return say("paying.later", age=Span(later_ms // 1000))
