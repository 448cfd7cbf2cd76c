"""One payment: every step with its time, where the fee goes, and its proof for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.protocol.money.fees import split_fee

from ...messages import Balance
from ..errors import explain_text
from ..values import Amount, Moment, Text, say
from .groups import groups_of
from .steps import Step, is_paid, status_text, steps_of
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
