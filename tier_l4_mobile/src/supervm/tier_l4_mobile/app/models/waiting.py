"""Queue: what waits, why, until when, and whether it can still be cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import explain_text
from ..values import Amount, Moment, Span, Text, say
from .steps import note_open, status_text

WINDOW: Final = 100
"""Rows that are made at once: a full queue would take longer than a frame."""


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """One payment that is on its way.

    Attributes:
        id: what the node calls it.
        to: the receiver: a contact's name or an address.
        amount: what is paid.
        status: how far it is.
        why: what it waits for.
        until: after which time it can no longer execute.
        left: how long that is from now.
        may_cancel: whether it never left this device, so that cancelling it is still true.
    """

    id: str
    to: str
    amount: Text
    status: Text
    why: Text
    until: Moment
    left: Span
    may_cancel: bool


@dataclass(slots=True)
class WaitingModel:
    """State of the queue screen."""

    _open: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    _names: Mapping[str, str] = field(default_factory=dict)
    _is_online: bool = False

    def restart(self) -> None:
        """Forget what is on its way: all of it is read anew."""
        self._open = {}

    def take_payments(self, payments: Iterable[Mapping[str, Any]]) -> None:
        """Take payments as the node shows them."""
        note_open(self._open, payments)

    def take_contacts(self, contacts: Iterable[Mapping[str, Any]]) -> None:
        """Take the contacts of `messages.ContactList`."""
        self._names = {contact["address"]: contact["name"] for contact in contacts}

    def take_info(self, info: Mapping[str, Any] | None) -> None:
        """Take the answer to `messages.Info`; None: the node does not answer."""
        self._is_online = info is not None and info["link"] is not None

    @property
    def count(self) -> Text:
        """How many wait."""
        return say("queue.count", n=len(self._open))

    def rows(self, now_ms: int, first: int = 0, most: int = WINDOW) -> list[WaitingRow]:
        """Return a part of what waits, the first that was asked for first."""
        return [self._row(self._open[number], now_ms) for number in sorted(self._open)[first : first + most]]

    def _row(self, payment: Mapping[str, Any], now_ms: int) -> WaitingRow:
        return WaitingRow(
            payment["id"],
            self._names.get(payment["to"], payment["to"]),
            amount_of(payment),
            status_text(payment),
            self._why(payment, now_ms),
            Moment(payment["valid_until_ms"]),
            Span.between(now_ms, payment["valid_until_ms"]),
            not payment["released"],
        )

    def _why(self, payment: Mapping[str, Any], now_ms: int) -> Text:
        if payment["valid_until_ms"] <= now_ms:
            return say("wait.expiring")
        if payment["reason"]:
            return explain_text(payment["reason"])
        if payment["released"]:
            return say("wait.network") if self._is_online else say("wait.released-offline")
        if payment["kept"]:
            return say("wait.kept")
        if not self._is_online:
            return say("wait.offline")
        return say("wait.proof") if payment["seq"] is None else say("wait.turn")


def amount_of(payment: Mapping[str, Any]) -> Text:
    """Return what a payment moves; of an issue the new supply."""
    if payment["kind"] == "issue":
        return say("payment.issue", supply=payment["amount"])
    return say("home.amount", amount=Amount.of(payment["amount"], payment["asset"]))
