"""What the edge that payments are signed for takes: its fees, and the account that it is paid to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from supervm.common.parts.fee_policy import CODE, FeePolicy

from .payments import in_words


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of one edge.

    Attributes:
        payout: account that its share of a fee goes to, for `via`; empty if it names none, or nothing is known.
        fees: what it takes; None if nothing is known, and then nothing is refused for its fee.
    """

    payout: bytes = b""
    fees: FeePolicy | None = None

    def refusal(self, fee_asset: bytes, fee: int) -> str:
        """Say why a fee is not taken, and what would be; empty if it is, or nothing is known."""
        if self.fees is None:
            return ""
        least = self.fees.least.get(fee_asset)
        if least is not None and fee >= least:
            return ""
        taken = self.fees.text if self.fees.least else "takes no fees now"
        return f"{CODE}: the fee is {in_words(fee, fee_asset)}; the edge {taken}"


UNKNOWN_TERMS: Final = Terms()
"""Of an edge that has not said any."""
