"""A four-tier network of shipped cores in one `World`, for tests that cross tiers."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from supervm.protocol.address import encode_address
from supervm.protocol.genesis import Allocation, Chain, Genesis, Miner, Parameters, make_genesis
from supervm.protocol.keys import SigningKey, verify
from supervm.protocol.validators import Validator
from supervm.sim.world import World
from supervm.tier_l1_super.messages import Info as ValidatorInfo
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES as VALIDATOR_TABLES
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l2_miner.tables import MINER_TABLES
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.tables import EDGE_TABLES
from supervm.tier_l4_mobile.messages import PayMany, PaymentRow, QueueList
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.tables import TABLES as MOBILE_TABLES

GENESIS_MS = 1_700_000_000_000
GRANT = 10**12


def key(number: int) -> SigningKey:
    """The test key number `number`."""
    return SigningKey(number.to_bytes(32, "big"))


class FourTiers:
    """Counts of nodes per tier; each phone has `accounts` funded accounts."""

    def __init__(
        self,
        *,
        l1: int = 4,
        l2: int = 2,
        l3: int = 2,
        l4: int = 2,
        accounts: int = 3,
        seed: int = 1,
        parameters: Parameters | None = None,
    ) -> None:
        self._answers: dict[tuple[bytes, bytes, bytes], bool] = {}
        self.validators = [key(1 + index) for index in range(l1)]
        self.l1 = [key(101 + index) for index in range(l1)]
        self.l2 = [key(201 + index) for index in range(l2)]
        self.l3 = [key(301 + index) for index in range(l3)]
        self.l4 = [key(401 + index) for index in range(l4)]
        self.wallets = [[key(10_000 + 100 * phone + index) for index in range(accounts)] for phone in range(l4)]
        self.payouts = {2: [key(601 + index) for index in range(l2)], 3: [key(701 + index) for index in range(l3)]}
        self.genesis: Genesis = make_genesis(
            name="test",
            time_ms=GENESIS_MS,
            validators=tuple(
                Validator(1, self.validators[index].public, self.l1[index].public, 1, key(501 + index).public)
                for index in range(l1)
            ),
            miners=tuple(Miner(1, node.public, self.payouts[2][index].public) for index, node in enumerate(self.l2)),
            allocations=tuple(Allocation(1, item.public, GRANT) for wallet in self.wallets for item in wallet),
            parameters=parameters or Parameters(1, test_network=True, view_timeout_ms=200),
        )
        self.world = World(start_us=(GENESIS_MS + 1_000) * 1_000, verify=self.verify)
        self._seed = seed
        self._add_hosts()

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Real verification, each signature once for all nodes of the process."""
        item = (public, message, signature)
        known = self._answers.get(item)
        if known is None:
            known = self._answers[item] = verify(*item)
        return known

    @property
    def chain(self) -> Chain:
        """A fresh view of the network's rules."""
        return Chain(self.genesis, self.verify)

    def _rng(self, tier: int, index: int) -> random.Random:
        return random.Random(f"{self._seed}/{tier}/{index}")

    def _add_hosts(self) -> None:
        l1 = [(node.public, f"l1-{index}") for index, node in enumerate(self.l1)]
        l2 = [(node.public, f"l2-{index}") for index, node in enumerate(self.l2)]
        l3 = [(node.public, f"l3-{index}") for index, node in enumerate(self.l3)]
        for index, node in enumerate(self.l1):
            self.world.add(
                node_id=node.public,
                tier=1,
                address=f"l1-{index}",
                tables=VALIDATOR_TABLES,
                build=lambda disk, index=index, node=node: ValidatorNode(  # type: ignore[misc]
                    chain=self.chain,
                    node_id=node.public,
                    key=self.validators[index],
                    reader=disk,
                    targets=l1[:index],
                    rng=self._rng(1, index),
                ),
            )
        for index, node in enumerate(self.l2):
            self.world.add(
                node_id=node.public,
                tier=2,
                address=f"l2-{index}",
                tables=MINER_TABLES,
                build=lambda disk, index=index, node=node: MinerNode(  # type: ignore[misc]
                    chain=self.chain, key=node, reader=disk, targets=l1, rng=self._rng(2, index)
                ),
            )
        for index, node in enumerate(self.l3):
            self.world.add(
                node_id=node.public,
                tier=3,
                address=f"l3-{index}",
                tables=EDGE_TABLES,
                build=lambda disk, index=index, node=node: EdgeNode(  # type: ignore[misc]
                    chain=self.chain,
                    key=node,
                    payout=self.payouts[3][index].public,
                    reader=disk,
                    targets=l2,
                    rng=self._rng(3, index),
                    verify=self.verify,
                ),
            )
        for index, node in enumerate(self.l4):
            self.world.add(
                node_id=node.public,
                tier=4,
                address=f"l4-{index}",
                tables=MOBILE_TABLES,
                build=lambda disk, index=index, node=node: MobileNode(  # type: ignore[misc]
                    self.chain,
                    {item.public: item for item in self.wallets[index]},
                    peers=l3[index % len(l3) :] + l3[: index % len(l3)],
                    reader=disk,
                    verify=self.verify,
                    rng=self._rng(4, index),
                ),
            )

    def start(self) -> None:
        """Switch everything on and let the links come up."""
        for node in (*self.l1, *self.l2, *self.l3, *self.l4):
            self.world.start(node.public)
        self.world.run(3_000_000)

    def address(self, phone: int, account: int) -> str:
        """Address of an account."""
        return encode_address(self.wallets[phone][account].public, test=True)

    def pay(self, phone: int, rows: list[PaymentRow]) -> list[dict[str, Any]]:
        """Ask a phone for payments; return what it says of them."""
        answer: dict[str, list[dict[str, Any]]] = self.world.call(self.l4[phone].public, PayMany(rows=tuple(rows)))
        return answer["payments"]

    def random_rows(self, phone: int, count: int, rng: random.Random, *, prefix: str = "r") -> list[PaymentRow]:
        """Small payments from a phone's accounts to anybody's."""
        return [
            PaymentRow(
                to=self.address(rng.randrange(len(self.l4)), rng.randrange(len(self.wallets[0]))),
                amount=rng.randrange(1, 1_000),
                fee=rng.randrange(1, 50),
                source=self.address(phone, rng.randrange(len(self.wallets[0]))),
                key=f"{prefix}:{phone}:{number}",
            )
            for number in range(count)
        ]

    def payments(self) -> list[dict[str, Any]]:
        """Every payment of every phone that is on."""
        return [item for node in self.l4 for item in self.world.call(node.public, QueueList(limit=20_000))["payments"]]

    def statuses(self) -> Counter[str]:
        """How many payments stand where."""
        return Counter(item["status"] for item in self.payments())

    def settle(self, within_s: int) -> Counter[str]:
        """Run until every payment has a fate, at most `within_s` simulated seconds; return the statuses."""
        for _ in range(within_s):
            statuses = self.statuses()
            if not statuses.keys() - {"R4", "refused", "expired", "cancelled"}:
                return statuses
            self.world.run(1_000_000)
        return self.statuses()

    def validator_info(self) -> list[dict[str, Any]]:
        """What each running validator says of itself."""
        return [self.world.call(node.public, ValidatorInfo()) for node in self.l1]
