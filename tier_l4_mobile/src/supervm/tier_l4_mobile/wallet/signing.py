"""From a payment that has its slot to the signed bytes of its transaction."""

from __future__ import annotations

from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.kinds import ISSUE
from supervm.protocol.money.transaction import SignedTransaction, sign_issue, sign_transfer

from .payments import Payment


def sign_payment(key: SigningKey, chain_id: bytes, payment: Payment) -> SignedTransaction:
    """Sign a payment for its slot and the edge that it names; its fields are in their bounds (`check_request`).

    Args:
        key: the payer's.
        chain_id: the network.
        payment: what is signed.
    """
    if payment.kind == ISSUE:
        return sign_issue(
            key,
            chain_id=chain_id,
            seq=payment.seq,
            prev=payment.prev,
            supply=payment.amount,
            fee=payment.fee,
            valid_until_ms=payment.valid_until_ms,
            fee_asset=payment.fee_asset,
            via=payment.via,
            payload=payment.payload,
        )
    return sign_transfer(
        key,
        chain_id=chain_id,
        seq=payment.seq,
        prev=payment.prev,
        to=payment.to,
        amount=payment.amount,
        fee=payment.fee,
        valid_until_ms=payment.valid_until_ms,
        asset=payment.asset,
        fee_asset=payment.fee_asset,
        via=payment.via,
        payload=payment.payload,
    )
