"""Receive: a code with the address and what is asked for, the same as text, and what others hand over."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import trio
from kivy.metrics import dp

from ..kit import clip
from ..kit.boxes import Card, Column, Line, Row
from ..kit.buttons import OUTLINED, PushButton
from ..kit.choices import Choices, Value
from ..kit.fields import Field
from ..kit.groups import Groups
from ..kit.look import space
from ..kit.qr import Modules, QrPicture, modules_of
from ..kit.words import Words
from ..values import Text, Unit, say
from .screen import Scene, Screen

CODE_DP = 292
"""Height of the code."""


class ReceiveScreen(Screen):
    """How to be paid."""

    title: ClassVar[Text] = say("receive.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.receive
        self._payload = ""
        self._code = QrPicture(size_hint_y=None, height=dp(CODE_DP))
        self._groups = Groups(look)
        copy = PushButton(look, say("receive.copy"), key="receive.copy", kind=OUTLINED, icon="copy")
        copy.when_tapped(lambda: self._copy(self._model.address))
        share = PushButton(look, say("receive.copy-text"), key="receive.text", kind=OUTLINED, icon="share")
        share.when_tapped(lambda: self._copy(look.write(self._model.share_text()) if self._model.address else ""))
        self._amount = Field(look, say("receive.amount"), key="receive.amount", hint="0", input_type="number")
        self._amount.text = self._model.amount
        self._amount.when_typed(partial(self._typed, "amount"))
        self._note = Field(look, say("receive.note"), key="receive.note", hint=say("receive.note-hint"))
        self._note.text = self._model.note
        self._note.when_typed(partial(self._typed, "note"))
        self._units = Column()
        self._choices: tuple[tuple[Unit, ...], Choices] | None = None
        take = Row(
            look, say("receive.scan"), key="receive.scan", below=say("receive.scan-below"), icon="scan",
            end_icon="forward",
        )  # fmt: skip
        take.when_tapped(lambda: scene.navigator.go("scan"))
        listed = Row(look, say("handover.title"), key="receive.handovers", icon="handover", end_icon="forward")
        listed.when_tapped(lambda: scene.navigator.go("handover"))
        self.put(
            Card(look, self._code, self._groups, spacing=space("pad")),
            Line(copy, share),
        )
        self.put(
            Card(look, self._amount, self._units, self._note),
            Card(look, take, listed, padding=0, spacing=0),
            Words(look, say("receive.why"), letters="small", ink="faint"),
            side=1,
        )

    def _typed(self, name: str, text: str) -> None:
        setattr(self._model, name, text)
        self.refresh(self.scene.now_ms())

    def _choose_unit(self, value: Value) -> None:
        self._model.unit = next(unit for unit in self._model.units() if unit.symbol == value)
        self.refresh(self.scene.now_ms())

    def refresh(self, now_ms: int) -> None:
        """Show what is asked for now."""
        model = self._model
        self._groups.show(model.groups)
        self._amount.tell(model.problem() or "", is_wrong=True)
        self._note.tell(model.note_problem() or "", is_wrong=True)
        units = tuple(model.units())
        if self._choices is None or self._choices[0] != units:
            values = [(unit.symbol, say("pay.unit", unit=unit.symbol)) for unit in units]
            choices = Choices(self.scene.look, None, values, key="receive.unit", act=self._choose_unit)
            self._units.clear_widgets()
            self._units.add_widget(choices)
            self._choices = units, choices
        self._choices[1].choose(model.unit.symbol)
        self._draw_code(model.payload())

    def _draw_code(self, payload: str) -> None:
        """Draw the code of what is asked for; a code takes longer than a frame, so it is made beside them."""
        if payload == self._payload or not payload:
            return
        self._payload = payload

        async def work() -> None:
            modules: Modules = await trio.to_thread.run_sync(modules_of, payload)
            if payload == self._payload:  # nobody has typed on meanwhile
                self._code.show(modules)

        self.scene.work(work, is_quiet=True)

    def _copy(self, text: str) -> None:
        if text:
            clip.copy(text)
            self.scene.tell(say("receive.copied"))
