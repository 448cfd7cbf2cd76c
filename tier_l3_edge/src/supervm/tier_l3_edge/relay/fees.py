"""What this edge takes: its owner's fees as far as a miner takes them too, and whether it carries what pays it nothing.

A transaction is of use here only if some miner batches it, so what an edge takes is its own list together with those of
the miners that are up (`FeePolicy.with_those_of`). It changes as they come and go. A miner that has not said yet what
it takes, which it does right after Hello, is left out.
"""

from __future__ import annotations

from supervm.common.parts.fee_policy import FeePolicy
from supervm.protocol.base.address import encode_address
from supervm.protocol.money.transaction import Kind
from supervm.protocol.wire.payments import FeeTerms

from .routes import Routes

UNPAID = "edge-not-paid"
"""First word of a refusal because a transaction's share of an edge is another's."""


class Fees:
    """The fees that are taken now.

    Args:
        own: what the owner takes.
        routes: what the miners that are up take.
        payout: account that the edge's share is paid to; None: it earns nothing.
        carry_unpaid: whether transactions are carried that name no account, or another one, for that.
        test_network: how addresses are written.
    """

    def __init__(
        self, own: FeePolicy, routes: Routes, *, payout: bytes | None, carry_unpaid: bool, test_network: bool
    ) -> None:
        self._own = own
        self._routes = routes
        self._payout = payout or b""
        self._carry_unpaid = carry_unpaid
        self._test_network = test_network
        self._combined = own
        self._version = routes.fees_version

    @property
    def combined(self) -> FeePolicy:
        """What this edge and a miner take."""
        if self._version != self._routes.fees_version:
            self._version = self._routes.fees_version
            self._combined = self._own.with_those_of(
                route.fees for route in self._routes.up.values() if route.fees is not None
            )
        return self._combined

    @property
    def terms(self) -> FeeTerms:
        """The message that publishes it."""
        return self.combined.terms(self._payout)

    def refusal(self, body: Kind) -> str | None:
        """Return why a transaction is not carried, with what would be; None if it is."""
        reason = self.combined.refusal(body)
        if reason is None and not self._carry_unpaid and body.via != self._payout:
            paid = encode_address(self._payout, test=self._test_network) if self._payout else "nobody"
            reason = f"{UNPAID}: this edge carries only what names {paid} in via"
        return reason
