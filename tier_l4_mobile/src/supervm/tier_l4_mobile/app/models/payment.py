"""One payment: every step with its time, where the fee goes, and its proof for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.protocol.money.fees import split_fee

from ...messages import Balance
from ..errors import explain_text
from ..values import Amount, Moment, Text, say
from .groups import groups_of
from .steps import Step, is_open, is_paid, status_text, steps_of
from .waiting import amount_of


@dataclass(frozen=True, slots=True)
class FeePart:
    """What one tier gets of a fee."""

    name: Text
    amount: Amount


@dataclass(slots=True)
class PaymentModel:
    """State of the page of one payment.

    Args:
        payment: as the node shows it.
        names: address -> what the owner calls it.
        shares_bps: how the network splits fees, in basis points, L1 first, as the node says it; None if it has not.
    """

    payment: Mapping[str, Any]
    names: Mapping[str, str]
    shares_bps: Sequence[int] | None
    _reached: int | None = None

    def take_payments(self, payments: Iterable[Mapping[str, Any]]) -> None:
        """Take payments that changed: this one may be among them, under another id."""
        for payment in payments:
            if payment["number"] == self.payment["number"]:
                self.payment = payment

    @property
    def id(self) -> str:
        """What the node calls it; it changes where it has to be signed again."""
        return str(self.payment["id"])

    @property
    def row_id(self) -> str:
        """What the node calls it whatever happens to its transaction."""
        return f"row-{self.payment['number']}"

    @property
    def is_open(self) -> bool:
        """Whether it is on its way."""
        return is_open(self.payment)

    @property
    def is_paid(self) -> bool:
        """Whether it may be called paid."""
        return is_paid(self.payment)

    @property
    def may_cancel(self) -> bool:
        """Whether it never left this device, so that cancelling it is still true."""
        return self.is_open and not self.payment["released"]

    @property
    def fee(self) -> Amount:
        """What the network gets for it."""
        return Amount.of(self.payment["fee"], self.payment["fee_asset"])

    @property
    def status(self) -> Text:
        """How it stands."""
        return status_text(self.payment)

    @property
    def amount(self) -> Text:
        """What it moves."""
        return amount_of(self.payment)

    @property
    def receiver(self) -> tuple[str, tuple[str, ...]]:
        """What the owner calls the receiver (empty: nothing), and the address in groups."""
        address = self.payment["to"]
        return self.names.get(address, ""), groups_of(address)

    @property
    def reason(self) -> Text | None:
        """Why it waits or came to nothing; None if there is nothing to say."""
        reason = self.payment["reason"]
        return None if reason is None else explain_text(reason)

    @property
    def until(self) -> Moment:
        """After which time it can no longer execute."""
        return Moment(self.payment["valid_until_ms"])

    def steps(self) -> list[Step]:
        """Return every step with its time."""
        return steps_of(self.payment)

    def fee_parts(self) -> list[FeePart]:
        """Return where the fee goes; the parts sum to it. None before it is known how fees are split."""
        if self.shares_bps is None:
            return []
        fee, asset = self.payment["fee"], self.payment["fee_asset"]
        names = (say("tier.l1"), say("tier.l2"), say("tier.l3"), say("tier.l4"))
        parts = split_fee(fee, self.shares_bps)
        return [FeePart(name, Amount.of(part, asset)) for name, part in zip(names, parts, strict=True)]

    # --- proof --------------------------------------------------------------------------------------------------------

    def proof_request(self) -> Balance | None:
        """Return what the node is to be asked for a proof that others can check; None while this is not paid.

        A payer's account tells how many payments of it were executed, one by one, so its leaf proves every one of them
        that came before (consensus.md 5).
        """
        return Balance(self.payment["from"], answer=True) if is_paid(self.payment) else None

    def take_proof(self, answer: Mapping[str, Any]) -> bytes:
        """Return what goes into the file that ``supervm verify`` reads."""
        self._reached = answer["next_seq"]
        return bytes.fromhex(answer["answer_hex"])

    def proof_text(self) -> Text | None:
        """Say what the file proves; None before there is one, or if it proves nothing of this payment."""
        seq = self.payment["seq"]
        if self._reached is None or seq is None or self._reached <= seq:
            return None
        return say("payment.proof", seq=seq, reached=self._reached)
