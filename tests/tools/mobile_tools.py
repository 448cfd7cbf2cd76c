"""A real chain with a real ledger behind one edge, for the tests of L4: blocks are made when the test says so."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain, test_key

from supervm.common.contract.core import PeerUp, Received
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.participation import STANDARD
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.light.client import Anchor, LightClient, ProvedAccount, anchor_of
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction
from supervm.protocol.state.leaves import NATIVE, account_leaf_id, holding_leaf_id
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import FeeTerms, GetLeaves, GetReceipt, LeafProofs, ReceiptAnswer, Submit, Subscribe
from supervm.tier_l4_mobile.node import MobileNode, Settings
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.queue import PaymentQueue

SECOND_US = 1_000_000
START_US = GENESIS_TIME_MS * 1000 + 10 * SECOND_US
PAYOUT = test_key("edge-payout").public
TERMS = FeeTerms(PAYOUT, ((NATIVE, 1),))
"""What the edges of these tests say of themselves unless a test says otherwise."""


class Network:
    """What stands above a phone: transactions handed in are executed by the next block."""

    def __init__(
        self,
        *,
        tools: TestChain | None = None,
        assets: Mapping[str, Mapping[str, int]] | None = None,
        **funds: int,
    ) -> None:
        self.tools = tools or make_test_chain(4, funds or {"alice": 1_000_000, "bob": 1_000_000}, assets=assets)
        self.chain = self.tools.chain
        self.ledger = Ledger(self.chain, MemoryStore(LEDGER_TABLES))
        self.checkpoint = self.tools.certify_checkpoint(self.ledger.header)
        self.client = LightClient(anchor_of(self.chain), verify)

    def key(self, name: str) -> SigningKey:
        return test_key(name)

    def account(self, name: str) -> bytes:
        return test_key(name).public

    def parse(self, raw: bytes) -> SignedTransaction:
        return parse_transaction(raw, self.chain.chain_id)

    def seal(self, transactions: Sequence[SignedTransaction | bytes] = (), *, ts_ms: int | None = None) -> None:
        """Make, finalise, execute and certify one block with these transactions."""
        parsed = [self.parse(item) if isinstance(item, bytes) else item for item in transactions]
        batches, refs = [], []
        if parsed:
            batch = self.tools.batch(parsed)
            refs.append(self.tools.batch_certificate(batch))
            batches.append(self.tools.certified(batch))
        block = self.tools.block(self.ledger.block_header, refs=refs, ts_ms=ts_ms)
        self.ledger.apply(block, batches)
        self.checkpoint = self.tools.certify_checkpoint(self.ledger.header)

    def proofs(self, accounts: Iterable[bytes]) -> LeafProofs:
        """Return what an edge tells of whole accounts: their leaves and what they hold."""
        return self.leaf_proofs([leaf for account in accounts for leaf in self.ledger.leaf_ids_of(account)])

    def leaf_proofs(self, leaf_ids: Iterable[bytes]) -> LeafProofs:
        pairs = self.ledger.prove_leaves(self.ledger.height, leaf_ids)
        assert pairs is not None
        return LeafProofs(encode(self.checkpoint), tuple(pairs))

    def proved(self, account: bytes) -> ProvedAccount:
        """Return the account as a light client that checked everything has it."""
        message = self.leaf_proofs([account_leaf_id(account)])
        header = self.client.accept_checkpoint(message.checkpoint, self.ledger.header.ts_ms)
        return self.client.prove_account(header, account, message.proofs[0][1])

    def proved_holding(self, account: bytes, asset: bytes) -> tuple[int, CheckpointHeader]:
        """Return what an account has of an asset, likewise, and the header that it is proved under."""
        message = self.leaf_proofs([holding_leaf_id(account, asset)])
        header = self.client.accept_checkpoint(message.checkpoint, self.ledger.header.ts_ms)
        return self.client.prove_holding(header, account, asset, message.proofs[0][1]), header

    def answer(self, message: object) -> list[AnyMessage]:
        """Answer a question as an honest edge does."""
        match message:
            case Subscribe(accounts):
                return [self.proofs(accounts)]
            case GetLeaves(leaves):
                return [self.leaf_proofs(leaves)]
            case GetReceipt(transaction_id):
                proof = self.ledger.prove_receipt(transaction_id, self.checkpoint)
                return [ReceiptAnswer(transaction_id, proof or b"")]
            case _:
                return []


class Phone(HandDriver[MobileNode]):
    """A `MobileNode` in a test's hands; its disk answers when `disk()` is called."""

    def __init__(
        self,
        network: Network,
        names: Sequence[str] = ("alice",),
        *,
        peers: int = 1,
        anchor: Anchor | None = None,
        queue_max: int = 1_000_000,
        mode: str = STANDARD,
    ) -> None:
        self.network, self.names, self.edges, self.anchor = network, names, peers, anchor
        self.queue_max, self.mode = queue_max, mode
        store = MemoryStore(TABLES, with_log=False)
        super().__init__(self._make(store), store, now_us=START_US, disk_at_once=False)

    def _make(self, store: MemoryStore) -> MobileNode:
        return MobileNode(
            self.network.chain,
            {self.network.account(name): self.network.key(name) for name in self.names},
            node_id=test_key("phone").public,
            peers=[(None, f"127.0.0.1:{9000 + i}") for i in range(self.edges)],
            reader=store,
            verify=verify,
            rng=random.Random(7),
            settings=Settings(
                {name: self.network.account(name) for name in self.names},
                anchor=self.anchor,
                queue_max=self.queue_max,
                mode=self.mode,
            ),
        )

    def crash(self, anchor: Anchor | None = None) -> None:
        """Lose power and start again, with what its owner gives to trust from."""
        self.anchor = anchor or self.anchor
        self.restart(self._make)

    def connect(self, edge: bytes, address: str = "127.0.0.1:9000", *, terms: FeeTerms | None = TERMS) -> None:
        """An edge that was dialled comes, and says what it takes as edges do."""
        self.step(PeerUp(edge, 3, (), 0, address))
        if terms is not None:
            self.step(Received(edge, terms))

    def submitted(self) -> list[bytes]:
        """Return and forget the transactions that were sent."""
        return [raw for message in self.take(Submit) for raw in message.transactions]


def make_queue(network: Network, store: MemoryStore, names: Sequence[str] = ("alice",)) -> PaymentQueue:
    """Return the queue of these accounts on what is durable in `store`."""
    keys = {network.account(name): network.key(name) for name in names}
    return PaymentQueue(network.chain.chain_id, keys, store, window=network.chain.parameters.window)
