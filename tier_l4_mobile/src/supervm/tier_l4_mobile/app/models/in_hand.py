"""The payment that was asked for last: how far it is, and what may still be done about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import explain_text
from ..values import Moment, Text
from .steps import Step, is_open, is_paid, status_text, steps_of


@dataclass(slots=True)
class PaymentInHand:
    """State of a payment from the moment that it is asked for.

    Args:
        new_key: makes the name under which the node knows this payment: the same one never pays twice, so a payment
            whose answer was lost is asked for again under its own.
    """

    new_key: Callable[[], str]
    _key: str = ""
    _payment: Mapping[str, Any] | None = None
    _failure: Text | None = None

    @property
    def key(self) -> str:
        """The name of this payment, made when it is first asked for."""
        self._key = self._key or self.new_key()
        return self._key

    def take_payment(self, payment: Mapping[str, Any]) -> bool:
        """Take a payment as the node shows it; return whether it is this one."""
        if not self._key or payment["key"] != self._key:
            return False
        self._payment, self._failure = payment, None
        return True

    @property
    def shown_id(self) -> str | None:
        """What the node calls this payment, whatever happens to its transaction; None before the node has it."""
        return None if self._payment is None else f"row-{self._payment['number']}"

    def take_refusal(self, reason: str) -> None:
        """Take the node's word that it will not pay; what is typed stays, and can be changed and asked anew."""
        self._failure = explain_text(reason)
        self._key = ""

    @property
    def is_asked(self) -> bool:
        """Whether the node has been asked for this payment, so that what is typed now would be another one."""
        return bool(self._key)

    @property
    def may_cancel(self) -> bool:
        """Whether it has never left this device, so that cancelling it is still true."""
        return self._payment is not None and is_open(self._payment) and not self._payment["released"]

    @property
    def may_hand_over(self) -> bool:
        """Whether it may go to another phone that brings it: it is signed and has no fate."""
        return self._payment is not None and is_open(self._payment) and self._payment["seq"] is not None

    @property
    def reason(self) -> Text | None:
        """Why it waits or came to nothing; None if there is nothing to say."""
        reason = None if self._payment is None else self._payment["reason"]
        return None if reason is None else explain_text(reason)

    @property
    def until(self) -> Moment | None:
        """After which time it can no longer execute; None before the node has it, and once it is over."""
        is_under_way = self._payment is not None and is_open(self._payment)
        return Moment(self._payment["valid_until_ms"]) if self._payment is not None and is_under_way else None

    def status(self) -> Text | None:
        """Return how it stands in a word; None before it was asked for."""
        return self._failure or (None if self._payment is None else status_text(self._payment))

    @property
    def is_paid(self) -> bool:
        """Whether it may be called paid."""
        return self._payment is not None and is_paid(self._payment)

    def line(self) -> list[Step]:
        """Return the steps of this payment; empty before the node has it."""
        return [] if self._payment is None else steps_of(self._payment)

    def let_go(self) -> None:
        """Be about another payment from now on."""
        self._key, self._payment, self._failure = "", None, None
