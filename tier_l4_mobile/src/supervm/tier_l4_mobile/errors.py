"""Errors of the L4 profile."""

from __future__ import annotations

from supervm.common.errors import CommonError


class MobileError(CommonError):
    """Root of every error that `supervm.tier_l4_mobile` raises."""


class PaymentError(MobileError):
    """A payment, or something asked of one, is refused here, before anything is signed; the text says why."""


class HandoverError(MobileError):
    """A container, or something asked of one, is refused; the text says why, and what is allowed."""
