"""Receive: the address, and what is asked for, as text that can be shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..money import NoAmount, read_amount
from ..values import SVM, Amount, Text, Unit, say
from .pay import groups_of


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        address: of whom is asked to be paid.
        amount: in smallest units; None: whatever the payer likes.
        asset: as the node writes it.
    """

    address: str
    amount: int | None
    asset: str


def bare_address(request: Request) -> str:
    """Return a request as an address alone: what every wallet reads."""
    return request.address


@dataclass(slots=True)
class ReceiveModel:
    """State of the receive screen.

    Attributes:
        payload_of: writes a request as what a QR code carries.
        amount: what was typed as the amount; empty: none is asked for.
        unit: what it is counted in.
    """

    payload_of: Callable[[Request], str] = bare_address
    amount: str = ""
    unit: Unit = SVM
    _addresses: tuple[str, ...] = ()
    _chosen: int = 0

    def take_info(self, info: Mapping[str, Any]) -> None:
        """Take the answer to `messages.Info`."""
        self._addresses = tuple(account["address"] for account in info["accounts"])
        self._chosen = min(self._chosen, max(0, len(self._addresses) - 1))

    def choose(self, place: int) -> None:
        """Receive on another account, counting from 0."""
        if 0 <= place < len(self._addresses):
            self._chosen = place

    @property
    def address(self) -> str:
        """The address; empty before the node has said any."""
        return self._addresses[self._chosen] if self._addresses else ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The address in groups that can be compared with the eye."""
        return groups_of(self.address) if self.address else ()

    def problem(self) -> Text | None:
        """Say what is wrong with the amount; None if nothing is."""
        if not self.amount.strip():
            return None
        try:
            read_amount(self.amount, self.unit)
        except NoAmount as error:
            return error.text
        return None

    def request(self) -> Request:
        """Return what is asked for; an amount that cannot be read is left out."""
        units = None if not self.amount.strip() or self.problem() else read_amount(self.amount, self.unit)
        return Request(self.address, units, self.unit.asset)

    def payload(self) -> str:
        """Return what the QR code carries."""
        return self.payload_of(self.request())

    def share_text(self) -> Text:
        """Return what is shared as text."""
        request = self.request()
        if request.amount is None:
            return say("receive.share", address=self.payload())
        return say("receive.share-amount", address=self.payload(), amount=Amount(request.amount, self.unit))
