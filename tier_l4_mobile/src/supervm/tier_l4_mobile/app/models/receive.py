"""Receive: the address, and what is asked for, as a payment request that a code or a text carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervm.protocol.base.address import decode_address
from supervm.protocol.state.leaves import read_asset

from ...handover.payment_request import PaymentRequest, RequestError, format_request
from ..money import NoAmount, read_amount
from ..values import GRAIN, SVM, Amount, Text, Unit, say, unit_of
from .groups import groups_of


@dataclass(slots=True)
class ReceiveModel:
    """State of the receive screen.

    Attributes:
        amount: what was typed as the amount; empty: none is asked for.
        unit: what it is counted in.
        note: what was typed as what it is for; the payer sees it.
    """

    amount: str = ""
    unit: Unit = SVM
    note: str = ""
    _accounts: tuple[Mapping[str, Any], ...] = ()
    _chosen: int = 0

    def take_info(self, info: Mapping[str, Any]) -> None:
        """Take the answer to `messages.Info`."""
        self._accounts = tuple(info["accounts"])
        self._chosen = min(self._chosen, max(0, len(self._accounts) - 1))

    def choose(self, place: int) -> None:
        """Receive on another account, counting from 0."""
        if 0 <= place < len(self._accounts):
            self._chosen = place

    @property
    def address(self) -> str:
        """The address; empty before the node has said any."""
        return str(self._accounts[self._chosen]["address"]) if self._accounts else ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The address in groups that can be compared with the eye."""
        return groups_of(self.address) if self.address else ()

    def units(self) -> list[Unit]:
        """Return what an amount may be counted in: the native asset, in both units, and what is held already."""
        held = self._accounts[self._chosen]["holdings"] if self._accounts else ()
        return list(dict.fromkeys((SVM, GRAIN, *(unit_of(item["asset"]) for item in held), self.unit)))

    def problem(self) -> Text | None:
        """Say what is wrong with the amount; None if nothing is."""
        if not self.amount.strip():
            return None
        try:
            read_amount(self.amount, self.unit)
        except NoAmount as error:
            return error.text
        return None

    def note_problem(self) -> Text | None:
        """Say what is wrong with the note; None if nothing is."""
        try:
            PaymentRequest(bytes(32), test_network=False, note=self.note.strip())
        except RequestError:
            return say("receive.note-wrong")
        return None

    def request(self) -> PaymentRequest:
        """Return what is asked for; an amount or a note that cannot be read is left out. There must be an `address`."""
        units = None if not self.amount.strip() or self.problem() else read_amount(self.amount, self.unit)
        account, test_network = decode_address(self.address)
        return PaymentRequest(
            account,
            test_network,
            units,
            read_asset(self.unit.asset),
            "svm" if units is not None and self.unit == SVM else "grain",
            note="" if self.note_problem() else self.note.strip(),
        )

    def payload(self) -> str:
        """Return what the code carries: a payment request; empty before the node has said any address."""
        return format_request(self.request()) if self.address else ""

    def share_text(self) -> Text:
        """Return what is shared as text; there must be an `address`."""
        request = self.request()
        if request.amount is None:
            return say("receive.share", address=self.payload() if request.note else self.address)
        return say("receive.share-amount", address=self.payload(), amount=Amount(request.amount, self.unit))
