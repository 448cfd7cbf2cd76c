"""The page of one payment: every step with its time, where the fee goes, who is paid, and a proof for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from supervm.common.services.lines import NoOwner, RequestRefused

from ..errors import explain
from ..kit.bill import BillLine
from ..kit.boxes import Card, Column, Line
from ..kit.buttons import DANGER, OUTLINED, PLAIN, PushButton
from ..kit.groups import Groups
from ..kit.icons import Icon
from ..kit.look import space
from ..kit.walk import WalkStep
from ..kit.words import Words
from ..models.payment import PaymentModel
from ..values import Text, say
from .paying import ask_to_cancel, step_time
from .saved import copy, keep_file
from .screen import Scene, Screen

ID_CHARS = 8
"""Letters of the id in the names of files."""


class PaymentScreen(Screen):
    """One payment; `arguments` name it by its ``id``."""

    title: ClassVar[Text] = say("payment.title")

    def __init__(self, scene: Scene, **arguments: Any) -> None:
        super().__init__(scene, **arguments)
        look = scene.look
        self._page: PaymentModel | None = None
        self._icon = Icon(look, "clock", ink="waiting", icon_dp=40)
        self._status = Words(look, letters="title")
        self._reason = Words(look, ink="faint")
        self._amount = Words(look, letters="title")
        self._name = Words(look)
        self._groups = Groups(look)
        self._who = PushButton(look, say("payment.keep-contact"), key="payment.contact", kind=PLAIN, icon="person")
        self._who.when_tapped(self._contact)
        self._receiver = Column(spacing=space("small"))
        self._steps = [WalkStep(look, is_first=place == 0) for place in range(5)]
        self._until = Words(look, letters="small", ink="faint")
        self._fees = Column(spacing=space("small"))
        self._fee_note = Words(look, letters="small", ink="faint")
        self._proof = PushButton(look, say("payment.save-proof"), key="payment.proof", kind=OUTLINED, icon="checked")
        self._proof.when_tapped(self._save_proof)
        self._proof_note = Words(look, say("payment.proof-why"), letters="small", ink="faint")
        self._id = Words(look, letters="small", ink="faint", is_short=True)
        copy_id = PushButton(look, say("payment.copy-id"), key="payment.copy", kind=OUTLINED, icon="copy")
        copy_id.when_tapped(lambda: copy(scene, "" if self._page is None else self._page.id))
        self._give = PushButton(look, say("paying.give"), key="payment.give", kind=OUTLINED, icon="handover")
        self._give.when_tapped(self._hand_over)
        self._cancel = PushButton(look, say("waiting.cancel"), key="payment.cancel", kind=DANGER)
        self._cancel.when_tapped(lambda: ask_to_cancel(scene, None if self._page is None else self._page.row_id))
        self._more = Column(spacing=space("gap"))
        self._fee_shown: object = None
        top = Line(self._icon, Column(self._status, self._reason, spacing=space("small")), spacing=space("pad"))
        self.put(
            Card(look, top, self._amount),
            Card(look, Words(look, say("payment.to"), letters="small", ink="faint"), self._receiver),
            Card(look, *self._steps, self._until, spacing=0),
        )
        self.put(
            Card(look, Words(look, say("payment.fee"), letters="small", ink="faint"), self._fees, self._fee_note),
            Card(look, Words(look, say("payment.id"), letters="small", ink="faint"), self._id, copy_id),
            self._more,
            side=1,
        )

    def entered(self) -> None:
        """Ask for the payment."""
        identity = str(self.arguments["id"])

        async def work() -> Text | None:
            try:
                self._page = await self.scene.session.page(identity)
            except (RequestRefused, NoOwner) as error:
                return explain(error)
            return None

        self.scene.work(work)

    def refresh(self, now_ms: int) -> None:
        """Show how it stands."""
        page = self._page
        if page is None:
            return
        icon, ink = ("done", "sure") if page.is_paid else ("clock", "waiting") if page.is_open else ("warning", "bad")
        self._icon.show(icon, ink)
        self._status.say(page.status)
        self._reason.say(page.reason or "")
        self._amount.say(page.amount)
        self._id.say(page.id)
        steps = page.steps()
        for widget, step in zip(self._steps, steps, strict=True):
            widget.show(step.name, step.state, step_time(step, steps[0].at))
        self._until.say(say("paying.until", until=page.until) if page.is_open else "")
        self._show_receiver(page)
        self._show_fee(page)
        actions = [
            *([self._proof, self._proof_note] if page.is_paid else []),
            *([self._give] if page.is_open else []),
            *([self._cancel] if page.may_cancel else []),
        ]
        if self._more.children[::-1] != actions:
            self._more.clear_widgets()
            for action in actions:
                self._more.add_widget(action)

    def _show_receiver(self, page: PaymentModel) -> None:
        name, groups = page.receiver
        self._name.say(name)
        self._groups.show(groups)
        wanted = [self._name, self._groups] if name else [self._groups, self._who]
        if self._receiver.children[::-1] != wanted:
            self._receiver.clear_widgets()
            for thing in wanted:
                self._receiver.add_widget(thing)

    def _show_fee(self, page: PaymentModel) -> None:
        parts = page.fee_parts()
        self._fee_note.say(say("payment.fee-taken") if page.is_paid else say("payment.fee-not-yet"))
        if self._fee_shown == (page.fee, parts):
            return
        self._fee_shown = page.fee, parts
        look = self.scene.look
        self._fees.clear_widgets()
        self._fees.add_widget(BillLine(look, say("check.total"), say("home.amount", amount=page.fee)))
        for part in parts:
            self._fees.add_widget(BillLine(look, part.name, say("home.amount", amount=part.amount)))

    # --- what may be done ---------------------------------------------------------------------------------------------

    def _contact(self) -> None:
        if self._page is not None:
            self.scene.navigator.go("contact", address=self._page.payment["to"])

    def _hand_over(self) -> None:
        if self._page is not None:
            self.scene.navigator.go("give", ids=(self._page.row_id,))

    def _save_proof(self) -> None:
        page = self._page
        if page is None:
            return

        async def read() -> Sequence[bytes] | None:
            proof = await self.scene.session.prove_payment(page)
            self._proof_note.say(page.proof_text() or say("payment.no-proof"))
            return None if proof is None else (proof,)

        name = f"payment-{page.id[:ID_CHARS]}"
        keep_file(self.scene, say("payment.proof-saved"), name, ".answer", read)
