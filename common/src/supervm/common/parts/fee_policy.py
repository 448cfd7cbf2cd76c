"""Which fees a node takes: what it publishes, and what it says to a transaction that offers less (economics.md 1).

Consensus knows no price. A miner batches, and an edge accepts, only what pays a fee that its operator takes: an asset,
and the least amount of it. Both say so on every link to those below them (`FeeTerms`), so that a wallet knows before it
signs; a refusal names what would be taken, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.money.transaction import Kind
from supervm.protocol.state.leaves import NATIVE, check_asset, read_asset, write_asset
from supervm.protocol.wire.payments import FEE_ASSETS_MAX, FeeTerms

from ..contract.options import OptionSpec

CODE: Final = "fee-not-taken"
"""First word of a refusal for its fee; what comes after it is for people."""
_NAMED_MAX = 2
"""Assets that a refusal names: an asset takes 64 letters, and a reason has 256."""

FEES_OPTION: Final = OptionSpec(
    str, "svm:1", "fees that are taken: ASSET:LEAST,... where ASSET is svm or an asset id; others are refused"
)
"""Key ``fees`` of L2 and L3."""


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """The fees that one node takes.

    Attributes:
        least: asset -> least fee in it, ascending by asset; an asset that is not there is not taken.
    """

    least: Mapping[bytes, int]

    def refusal(self, body: Kind) -> str | None:
        """Return why a transaction's fee is not taken, with what would be; None if it is."""
        least = self.least.get(body.fee_asset)
        if least is not None and body.fee >= least:
            return None
        return f"{CODE}: {self.text}"

    @property
    def text(self) -> str:
        """What is taken, for people: the asset of the fee first that most have, at most a few."""
        if not self.least:
            return "takes no fee at present"
        named = [f"{least} of {write_asset(asset)}" for asset, least in list(self.least.items())[:_NAMED_MAX]]
        more = len(self.least) - len(named)
        return "takes at least " + " or ".join(named) + (f" or one of {more} more" if more else "")

    def terms(self, payout: bytes = b"") -> FeeTerms:
        """Return the message that publishes this."""
        return FeeTerms(payout, tuple(self.least.items()))

    def with_those_of(self, others: Iterable[FeePolicy]) -> FeePolicy:
        """Return what both this node and at least one of the others take: the cheapest of them decides for each asset.

        With no others known this is what this node takes.
        """
        listed = list(others)
        if not listed:
            return self
        both = {}
        for asset, least in self.least.items():
            taken = [other.least[asset] for other in listed if asset in other.least]
            if taken:
                both[asset] = max(least, min(taken))
        return FeePolicy(both)


ANY_FEE: Final = FeePolicy({NATIVE: 1})
"""The default: whatever is paid in the native asset."""


def read_terms(message: FeeTerms) -> FeePolicy:
    """Return what a peer takes.

    Raises:
        RemoteProtocolError: an asset or payout of a length that is not allowed, or assets double or out of order.
    """
    before: bytes | None = None
    for asset, _ in message.fees:
        check_asset(asset)
        if before is not None and asset <= before:
            raise RemoteProtocolError("the assets of a fee list must be ascending", code="bad-terms")
        before = asset
    if len(message.payout) not in (0, 32):
        raise RemoteProtocolError("a payout is an account of 32 bytes, or empty", code="bad-terms")
    return FeePolicy(dict(message.fees))


def read_policy(text: str) -> FeePolicy:
    """Read the option ``fees``: ``svm:1000,<64 hex digits>:5``.

    Raises:
        LocalProtocolError: what is wrong and what is allowed.
    """
    least: dict[bytes, int] = {}
    for part in text.split(","):
        name, _, amount = part.strip().partition(":")
        asset = read_asset(name.strip())
        if not (amount.isascii() and amount.isdigit() and 1 <= int(amount[:20]) <= INT_MAX) or asset in least:
            raise LocalProtocolError(
                f"fees: {part.strip()[:90]!r} is not allowed; write ASSET:LEAST, each asset once, 1 to {INT_MAX}, "
                "for example svm:1000"
            )
        least[asset] = int(amount)
    if len(least) > FEE_ASSETS_MAX:
        raise LocalProtocolError(f"fees: {len(least)} assets; at most {FEE_ASSETS_MAX} are allowed")
    return FeePolicy(dict(sorted(least.items())))
