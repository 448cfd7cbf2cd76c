"""Check a payment before it is signed: the whole address, the amount, the fee."""

from __future__ import annotations

from typing import Any, ClassVar

from ..kit.bill import BillLine
from ..kit.boxes import Card, Line, Rule
from ..kit.buttons import PLAIN, PushButton
from ..kit.groups import Groups
from ..kit.icons import Icon
from ..kit.words import Words
from ..values import Text, say
from .screen import Scene, Screen


class PayCheckScreen(Screen):
    """What the owner looks at before anything is signed."""

    title: ClassVar[Text] = say("check.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look, shown = scene.look, scene.models.pay.confirmation()
        groups = Groups(look, letters="title")
        groups.show(shown.groups)
        person = Icon(look, "person" if shown.is_known else "warning", ink="sure" if shown.is_known else "waiting")
        self.put(
            Card(
                look,
                Line(person, Words(look, shown.name)),
                Rule(look),
                Words(look, say("check.address"), letters="small", ink="faint"),
                groups,
            )
        )
        bill = Card(look, BillLine(look, say("pay.amount"), say("home.amount", amount=shown.amount), letters="title"))
        bill.add_widget(BillLine(look, say("pay.fee"), say("home.amount", amount=shown.fee)))
        if shown.total is not None:
            bill.add_widget(Rule(look))
            bill.add_widget(BillLine(look, say("check.total"), say("home.amount", amount=shown.total)))
        if shown.waits is not None:
            bill.add_widget(
                Line(Icon(look, "clock", ink="waiting", icon_dp=20), Words(look, shown.waits, ink="waiting"))
            )
        self._problem = Words(look, ink="bad")
        self._pay = PushButton(look, say("check.pay", amount=shown.amount), key="check.pay", icon="pay")
        self._pay.when_tapped(self._do)
        change = PushButton(look, say("check.change"), key="check.change", kind=PLAIN)
        change.when_tapped(scene.navigator.back)
        self.put(bill, self._problem, self._pay, change, side=1)

    def _do(self) -> None:
        self._pay.disabled = True  # a second tap would be the same payment, and would only confuse
        self._problem.say("")
        self.scene.work(self.scene.session.pay, self._done)

    def _done(self, problem: Text | None) -> None:
        self._pay.disabled = False
        if problem is None:
            self.scene.navigator.lead("paying")
        else:
            self._problem.say(problem)
