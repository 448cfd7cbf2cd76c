"""Sending the rows of a payments file through the phones, and following each to its fate.

Every row has a name that lasts - hash of the file and row number - which the phone keeps in its journal beside the
payment, and a row that an earlier version of the file held is found by what it says (`history`), so that a second
`supervm up --dir` never sends a row twice. Rows of one payer go to one phone, in file order.
A name that is new to an existing network is first funded from its reserve by an ordinary transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from supervm.common.errors import CommonError, InputError
from supervm.protocol.state.leaves import NATIVE_NAME

from .history import doubts, recall
from .rows import PaymentsFile, Row

CHUNK_ROWS = 500
"""Rows in one request to a phone."""
CHANGED_MAX = 2_000
"""Payments in one answer of a phone."""
POLL_S = 0.2
FATES = ("R4", "refused", "expired", "cancelled")
"""Statuses that end a payment (decisions.md, Statuses)."""
FUNDING_GRAIN = 10**12
FUNDING_FEE_GRAIN = 1_000


class NodeLost(CommonError):
    """A node has ended and is not started again; nobody answers for it."""


Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""(node name, request) -> answer of that node's control socket; raises `NodeLost`."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """Where a name's account lives: which phone, and its address."""

    node: str
    address: str


@dataclass(slots=True)
class Followed:
    """A row and the last that its phone said of it."""

    row: Row
    key: str
    sent_before: bool = False
    shown: Mapping[str, Any] | None = None

    @property
    def status(self) -> str:
        """Its status; queued before the phone has said anything."""
        return "queued" if self.shown is None else str(self.shown["status"])

    @property
    def done(self) -> bool:
        """Whether it has a fate."""
        return self.status in FATES

    def document(self) -> dict[str, Any]:
        """The row of the JSON document (surface.md)."""
        shown = self.shown or {}
        return {
            "id": shown.get("id"),
            "from": self.row.source,
            "to": self.row.to,
            "amount": self.row.amount,
            "fee": self.row.fee,
            "asset": self.row.asset,
            "fee_asset": self.row.fee_asset,
            "status": self.status,
            "reason": shown.get("reason"),
            "proof_verified": bool(shown.get("proof_verified", False)),
            "sent_before": self.sent_before,
            "created_us": shown.get("created_us"),
            "latency_ms": shown.get("latency_ms") or {"r0": None, "r1": None, "r3": None, "r4": None},
        }


class PaymentRun:
    """All payments of one `supervm up`.

    Args:
        call: how to reach a node.
        wallets: name -> wallet; includes the reserve.
        file: the rows.
        unfunded: names whose account has no money at genesis.
        reserve: name of the wallet that funds them.
        asset_ids: what genesis calls an asset -> its id.
    """

    def __init__(
        self,
        call: Call,
        wallets: Mapping[str, Wallet],
        file: PaymentsFile,
        unfunded: Sequence[str],
        reserve: str,
        asset_ids: Mapping[str, str],
    ) -> None:
        self._call = call
        self._wallets = wallets
        self._unfunded = list(unfunded)
        self._reserve = reserve
        self._digest = file.digest
        self._asset_ids = asset_ids
        self.payments = [Followed(row, f"{file.digest}:{row.number}") for row in file.rows]
        self._by_key = {item.key: item for item in self.payments}
        self._cursors: dict[str, int] = {}
        self._funding: dict[str, str] = {}

    @property
    def done(self) -> int:
        """How many rows have a fate."""
        return sum(1 for item in self.payments if item.done)

    def counts(self) -> dict[str, int]:
        """How many rows stand at each status."""
        counts: dict[str, int] = {}
        for item in self.payments:
            counts[item.status] = counts.get(item.status, 0) + 1
        return counts

    async def run(self) -> None:
        """Fund, send, and follow until every row has a fate; rows of a node that is lost wait for ever."""
        try:
            await self._fund()
        except NodeLost:
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            for node in dict.fromkeys(self._wallets[item.row.source].node for item in self.payments):
                nursery.start_soon(self._send, node)
            while True:
                await self._poll()
                if self.done == len(self.payments):
                    nursery.cancel_scope.cancel()
                    return
                await trio.sleep(POLL_S)

    async def recall(self, *, send_new: bool) -> int:
        """Find the rows that earlier runs have sent, before `run`; return how many they are.

        Args:
            send_new: go on also where new rows may correct rows that were sent.

        Raises:
            InputError: they may, and nothing is sent.
        """
        journal = [shown for node in self._nodes() for shown in await self._changed(node)]
        journal.sort(key=lambda shown: (shown["created_us"], shown["number"]))
        addresses = {name: wallet.address for name, wallet in self._wallets.items()}
        contents = [
            (
                addresses[item.row.source],
                addresses[item.row.to],
                item.row.amount,
                item.row.fee,
                self._asset_id(item.row.asset),
                self._asset_id(item.row.fee_asset),
            )
            for item in self.payments
        ]
        recalled = recall(contents, self._digest, journal)
        if recalled.is_doubtful and not send_new:
            raise InputError(doubts(recalled, contents, {address: name for name, address in addresses.items()}))
        for item, name, sent in zip(self.payments, recalled.names, recalled.sent, strict=True):
            item.key, item.shown, item.sent_before = name, sent, sent is not None
        self._by_key = {item.key: item for item in self.payments}
        return len(self.payments) - len(recalled.new)

    def _asset_id(self, asset: str) -> str:
        return self._asset_ids.get(asset, asset)

    async def _fund(self) -> None:
        """Give new names of a network that is there what names get at genesis; the native asset comes last."""
        reserve = self._wallets[self._reserve]
        rows = [
            {
                "to": self._wallets[name].address,
                "amount": FUNDING_GRAIN,
                "fee": FUNDING_FEE_GRAIN,
                "source": self._reserve,
                "key": f"fund:{name}" if asset == NATIVE_NAME else f"fund:{name}:{asset}",
                "asset": asset,
            }
            for name in self._unfunded
            for asset in (*self._asset_ids.values(), NATIVE_NAME)
        ]
        if not rows:
            return
        await self._call(reserve.node, {"request": "pay_many", "rows": rows})
        for name in self._unfunded:
            wallet = self._wallets[name]
            while True:
                answer = await self._call(wallet.node, {"request": "balance", "address": wallet.address})
                if answer["proof_verified"] and (answer["balance"] > 0 or answer["next_seq"] > 0):
                    break
                await trio.sleep(POLL_S)

    async def _send(self, node: str) -> None:
        mine = [item for item in self.payments if self._wallets[item.row.source].node == node and not item.sent_before]
        for start in range(0, len(mine), CHUNK_ROWS):
            rows = [
                {
                    "to": self._wallets[item.row.to].address,
                    "amount": item.row.amount,
                    "fee": item.row.fee,
                    "source": item.row.source,
                    "key": item.key,
                    "asset": self._asset_id(item.row.asset),
                    "fee_asset": self._asset_id(item.row.fee_asset),
                }
                for item in mine[start : start + CHUNK_ROWS]
            ]
            try:
                answer = await self._call(node, {"request": "pay_many", "rows": rows})
            except NodeLost:
                return
            for item, shown in zip(mine[start : start + CHUNK_ROWS], answer["payments"], strict=True):
                if item.shown is None:
                    item.shown = shown

    async def _poll(self) -> None:
        for node in self._nodes():
            try:
                changed = await self._changed(node)
            except NodeLost:
                continue
            for shown in changed:
                item = self._by_key.get(shown.get("key") or "")
                if item is not None:
                    item.shown = shown

    def _nodes(self) -> list[str]:
        return list(dict.fromkeys(wallet.node for wallet in self._wallets.values()))

    async def _changed(self, node: str) -> list[Mapping[str, Any]]:
        """Return the payments of a phone that changed since they were asked for last."""
        found: list[Mapping[str, Any]] = []
        while True:
            answer = await self._call(
                node, {"request": "payments_since", "cursor": self._cursors.get(node, 0), "limit": CHANGED_MAX}
            )
            self._cursors[node] = answer["cursor"]
            found += answer["payments"]
            if len(answer["payments"]) < CHANGED_MAX:
                return found
