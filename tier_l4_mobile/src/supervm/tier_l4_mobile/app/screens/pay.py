"""Pay: whom, how much, for what fee."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from kivy.uix.widget import Widget

from ..kit.boxes import Card, Column, Row
from ..kit.buttons import OUTLINED, PushButton
from ..kit.choices import Choices, Value
from ..kit.fields import Field, SwitchRow
from ..kit.scroll import Listing
from ..kit.words import Words
from ..values import Text, Unit, say
from .screen import Scene, Screen

OWN_FEE = "own"
"""Choice of a fee that is typed."""


class PayScreen(Screen):
    """The form; what it holds is the model's, so it is as it was when somebody comes back to it."""

    title: ClassVar[Text] = say("pay.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._model = scene.models.pay
        if self._model.shown_id is not None:
            self._model.clear()
        self._is_shown_wrong = False
        self._to = Field(look, say("pay.to"), key="pay.to", hint=say("pay.to-hint"))
        self._to.text = self._model.to
        self._to.when_typed(self._typed_to)
        self._asked = Words(look, ink="faint", letters="small")
        self._offers: Listing[Mapping[str, Any]] = Listing(
            lambda contact: contact["address"], self._offer, lambda row, contact: row.title.say(contact["name"])
        )
        scan = PushButton(look, say("pay.scan"), key="pay.scan", kind=OUTLINED, icon="scan")
        scan.when_tapped(lambda: scene.navigator.go("scan"))
        self._amount = Field(look, say("pay.amount"), key="pay.amount", hint="0", letters="title", input_type="number")
        self._amount.text = self._model.amount
        self._amount.when_typed(partial(self._typed, "amount"))
        self._units = Column()
        self._unit_choices: tuple[tuple[Unit, ...], Choices] | None = None
        self._fees = Column()
        self._fee_choices: tuple[tuple[tuple[Value, Text], ...], Choices] | None = None
        self._has_own_fee = bool(self._model.fee) and self._chosen_fee() == OWN_FEE
        self._fee = Field(look, say("pay.fee-own"), key="pay.fee", hint="0", input_type="number")
        self._fee.text = self._model.fee
        self._fee.when_typed(partial(self._typed, "fee"))
        self._fee_note = Words(look, letters="small", ink="bad")
        self._keeps = SwitchRow(look, say("pay.keep"), key="pay.keep", below=say("pay.keep-below"))
        self._keeps.put(is_on=self._model.is_offline)
        self._keeps.when_switched(self._keep)
        go_on = PushButton(look, say("pay.next"), key="pay.next")
        go_on.when_tapped(self._go_on)
        self._to.when_entered(self._go_on)
        self._amount.when_entered(self._go_on)
        self.put(
            Card(look, self._to, self._offers, self._asked, scan),
            Card(look, self._amount, self._units),
        )
        self.put(Card(look, self._fees, self._fee_note), Card(look, self._keeps, padding=0), go_on, side=1)

    # --- what is typed ------------------------------------------------------------------------------------------------

    def _typed_to(self, text: str) -> None:
        self._model.to = text
        self.refresh(self.scene.now_ms())

    def _typed(self, name: str, text: str) -> None:
        setattr(self._model, name, text)
        self.refresh(self.scene.now_ms())

    def _keep(self, is_on: bool) -> None:
        self._model.is_offline = is_on

    def _offer(self, contact: Mapping[str, Any]) -> Widget:
        row = Row(
            self.scene.look,
            contact["name"],
            key=f"pay.contact.{contact['name']}",
            below=contact["address"][:12] + "…" + contact["address"][-8:],
            icon="person",
        )
        row.when_tapped(partial(self._choose_contact, contact["address"]))
        return row

    def _choose_contact(self, address: str) -> None:
        names = [contact["name"] for contact in self._model.suggestions(address) if contact["address"] == address]
        self._to.text = names[0] if names else address

    def _choose_unit(self, value: Value) -> None:
        self._model.unit = next(unit for unit in self._model.units() if unit.symbol == value)
        self.refresh(self.scene.now_ms())

    # --- the fee ------------------------------------------------------------------------------------------------------

    def _chosen_fee(self) -> Value:
        """Return which suggestion stands in the model; `OWN_FEE` if none does."""
        if not self._model.fee.strip():
            return 0
        known = self._model.fee
        for place, choice in enumerate(self._model.fee_choices()):
            self._model.choose_fee(choice)
            same, self._model.fee = self._model.fee == known, known
            if same:
                return place
        return OWN_FEE

    def _choose_fee(self, value: Value) -> None:
        self._has_own_fee = value == OWN_FEE
        if value == OWN_FEE:
            self._fee.text = self._model.fee
        elif isinstance(value, int):
            self._model.choose_fee(self._model.fee_choices()[value])
        self.refresh(self.scene.now_ms())

    def _choose_fee_asset(self, value: Value) -> None:
        self._model.fee_unit = next(unit for unit in self._model.fee_assets() if unit.symbol == value)
        self._model.fee = self._fee.text = ""
        self._has_own_fee, self._fee_choices = False, None
        self.refresh(self.scene.now_ms())

    # --- what is shown ------------------------------------------------------------------------------------------------

    def refresh(self, now_ms: int) -> None:
        """Show what may be chosen, and what is wrong with what was typed."""
        model = self._model
        typed = model.to.strip()
        is_known = model.receiver_problem() is None
        self._offers.fill(model.suggestions(typed, 4) if not is_known else [])
        label, note = model.asked
        self._asked.say(say("pay.asked", name=label or "—", note=note or "—") if label or note else "")
        self._show_units()
        self._show_fees()
        self._show_problems()

    def _show_units(self) -> None:
        units = tuple(self._model.units())
        if self._unit_choices is None or self._unit_choices[0] != units:
            values = [(unit.symbol, say("pay.unit", unit=unit.symbol)) for unit in units]
            choices = Choices(self.scene.look, None, values, key="pay.unit", act=self._choose_unit)
            self._units.clear_widgets()
            self._units.add_widget(choices)
            self._unit_choices = units, choices
        self._unit_choices[1].choose(self._model.unit.symbol)

    def _show_fees(self) -> None:
        model = self._model
        values: tuple[tuple[Value, Text], ...] = (
            *(
                (place, say("pay.fee-choice", name=choice.name, amount=choice.amount))
                for place, choice in enumerate(model.fee_choices())
            ),
            (OWN_FEE, say("pay.fee-own")),
        )
        if self._fee_choices is None or self._fee_choices[0] != values:
            look = self.scene.look
            choices = Choices(look, say("pay.fee"), values, key="pay.fee", act=self._choose_fee)
            self._fees.clear_widgets()
            assets = model.fee_assets()
            if len(assets) > 1:
                named = [(unit.symbol, say("pay.unit", unit=unit.symbol)) for unit in assets]
                kinds = Choices(look, say("pay.fee-in"), named, key="pay.fee-in", act=self._choose_fee_asset)
                kinds.choose(model.fee_unit.symbol)
                self._fees.add_widget(kinds)
            self._fees.add_widget(choices)
            self._fee_choices = values, choices
        chosen = OWN_FEE if self._has_own_fee else self._chosen_fee()
        self._fee_choices[1].choose(chosen)
        if self._has_own_fee != (self._fee.parent is not None):
            if self._has_own_fee:
                self._fees.add_widget(self._fee)
            else:
                self._fees.remove_widget(self._fee)

    def _show_problems(self) -> None:
        """Say what is wrong with what somebody has begun to type; with what is empty only after a try to go on."""
        model, shows_all = self._model, self._is_shown_wrong
        problem = model.receiver_problem() if model.to.strip() or shows_all else None
        if problem is not None and not shows_all and model.suggestions(model.to):
            problem = None  # a name that is being typed
        self._to.tell(problem or "", is_wrong=True)
        problem = model.amount_problem() if model.amount.strip() or shows_all else None
        free = model.free()
        known = say("pay.free-unknown") if free is None else say("pay.free", amount=free)
        self._amount.tell(problem or known, is_wrong=problem is not None)
        self._fee_note.say(model.fee_problem() or "")

    def _go_on(self) -> None:
        self._is_shown_wrong = True
        if self._model.problems():
            self.refresh(self.scene.now_ms())
        else:
            self.scene.navigator.go("pay-check")
