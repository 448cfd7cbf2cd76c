"""The accounts of this wallet: how their owner and others call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.common.parts.part import Part
from supervm.protocol.base.address import decode_address, encode_address
from supervm.protocol.state.leaves import NATIVE, write_asset

from ..errors import PaymentError
from ..options import ACCOUNT_OPTIONS
from .lane import Lane
from .payments import printable


class Accounts(Part):
    """Own accounts by name and address, and what is proved of each.

    Args:
        lanes: account id -> lane, in account order.
        names: names that the configuration gives some of them.
        test_network: which addresses are this network's.
    """

    options = ACCOUNT_OPTIONS

    def __init__(self, lanes: Mapping[bytes, Lane], names: Mapping[str, bytes], *, test_network: bool) -> None:
        self._lanes = lanes
        self._names = dict(names)
        self._name_of = {account: name for name, account in names.items()}
        self.test_network = test_network
        """Whether addresses are a test network's."""

    def named(self, names: Mapping[str, bytes]) -> None:
        """Take the names of accounts that an opened wallet gives."""
        self._names = dict(names)
        self._name_of = {account: name for name, account in names.items()}

    def payer(self, text: str) -> bytes:
        """Return the own account of a name or an address; of an empty text the first one.

        Raises:
            PaymentError: it is not in this wallet.
            LocalProtocolError: it is no address.
        """
        if not text:
            if not self._lanes:
                raise PaymentError("this node has no account, or its wallet was never unlocked here")
            return next(iter(self._lanes))
        account = self.account(text)
        if account not in self._lanes:
            raise PaymentError(f"{printable(text)} is not an account of this wallet")
        return account

    def account(self, text: str) -> bytes:
        """Return the account of an own account's name, or of anybody's address.

        Raises:
            PaymentError: the address is another network's.
            LocalProtocolError: it is no address.
        """
        named = self._names.get(text)
        return named if named is not None else self.receiver(text)

    def receiver(self, text: str) -> bytes:
        """Return the account of an address.

        Raises:
            PaymentError: the address is another network's.
            LocalProtocolError: it is no address.
        """
        account, test = decode_address(text)
        if test != self.test_network:
            kind = "a test network" if self.test_network else "the main network"
            raise PaymentError(f"the address {text} is another network's; this node is on {kind}")
        return account

    def address(self, account: bytes) -> str:
        """Return the address of an account."""
        return encode_address(account, test=self.test_network)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return what is proved of each account, and what its payments leave of it."""
        return {
            "accounts": [
                {
                    "name": self._name_of.get(account),
                    "address": self.address(account),
                    "proved": lane.proved is not None,
                    "balance": lane.proved.balance if lane.proved else None,
                    "available": lane.available(NATIVE) if lane.proved else None,
                    "height": lane.proved.height if lane.proved else None,
                    "holdings": [
                        {
                            "asset": write_asset(asset),
                            "balance": holding.amount,
                            "available": lane.available(asset),
                            "height": holding.height,
                        }
                        for asset, holding in sorted(lane.holdings.items())
                        if holding.amount
                    ],
                    "open": len(lane.sent) + len(lane.held) + len(lane.unsigned),
                }
                for account, lane in self._lanes.items()
            ],
        }
