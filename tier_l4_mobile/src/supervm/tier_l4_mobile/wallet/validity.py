"""How long a payment may be valid, so that nobody on its way calls it "valid for too long" (consensus.md 3.9.1).

Three clocks decide on that: the phone's, which dates the payment; a miner's executed time; and each validator's. A
refusal for it is no fate - some seconds later the same bytes are valid - so an owner who believes it and pays again may
pay twice. What the wallet signs and lets go therefore stays below the chain's bound by a margin, and this is the one
place that knows it:

* a payment asked for with more than `validity_ms_allowed` is refused before it is signed;
* a payment leaves only when a *proved* header shows that chain time is near enough (`is_timely`). That holds also where
  this device's clock is days ahead: its payments stay here, and say why.

Half of the margin is for what the proof may be behind, half for miners and validators that are behind the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import PaymentError

MARGIN_MS: Final = 1_200_000
"""Margin below the chain's longest validity; an eighth of that if it is less."""


def _margin_ms(validity_ms_max: int) -> int:
    return min(MARGIN_MS, validity_ms_max // 8)


def validity_ms_allowed(validity_ms_max: int) -> int:
    """Return the longest validity in ms, from now on, that a wallet signs on a chain that allows `validity_ms_max`."""
    return validity_ms_max - _margin_ms(validity_ms_max)


@dataclass(frozen=True, slots=True)
class Validity:
    """How long the payments of one wallet are valid, in ms from when they are asked for.

    Attributes:
        default_ms: unless something else is asked for.
        allowed_ms: at most.
    """

    default_ms: int
    allowed_ms: int

    @classmethod
    def within(cls, validity_ms_max: int, default_ms: int) -> Validity:
        """Return what a wallet with this default signs on a chain that allows `validity_ms_max`."""
        allowed_ms = validity_ms_allowed(validity_ms_max)
        return cls(min(default_ms, allowed_ms), allowed_ms)

    def until_ms(self, now_ms: int, asked_ms: int | None) -> int:
        """Return when a payment ends that is asked for now, with `asked_ms` or the default.

        Raises:
            PaymentError: that is longer than allowed.
        """
        validity_ms = self.default_ms if asked_ms is None else asked_ms
        if validity_ms > self.allowed_ms:
            raise PaymentError(
                f"the validity is {validity_ms} ms; at most {self.allowed_ms} are allowed, so that no node whose clock "
                "is behind calls it too long"
            )
        return now_ms + validity_ms


def is_timely(valid_until_ms: int, proved_ms: int, validity_ms_max: int) -> bool:
    """Return whether a payment is not valid for too long anywhere, once chain time `proved_ms` is proved."""
    return valid_until_ms <= proved_ms + validity_ms_max - _margin_ms(validity_ms_max) // 2
