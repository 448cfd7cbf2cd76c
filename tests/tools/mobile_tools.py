"""A real chain with a real ledger behind one edge, for the tests of L4: blocks are made when the test says so."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain, test_key

from supervm.common.contract.core import (
    Command,
    Durable,
    Effect,
    HangUp,
    Input,
    Persist,
    Publish,
    Reply,
    Send,
    Started,
    Tick,
)
from supervm.common.contract.events import Event
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.light.client import Anchor, LightClient, ProvedAccount, anchor_of
from supervm.protocol.money.transfer import SignedTransfer, parse_transfer
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import AccountProofs, GetAccounts, GetReceipt, ReceiptAnswer, Submit, Subscribe
from supervm.tier_l4_mobile.messages import MobileRequest
from supervm.tier_l4_mobile.node import MobileNode, Settings
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.queue import PaymentQueue

SECOND_US = 1_000_000
START_US = GENESIS_TIME_MS * 1000 + 10 * SECOND_US


class Network:
    """What stands above a phone: transfers handed in are executed by the next block."""

    def __init__(self, *, tools: TestChain | None = None, **funds: int) -> None:
        self.tools = tools or make_test_chain(4, funds or {"alice": 1_000_000, "bob": 1_000_000})
        self.chain = self.tools.chain
        self.ledger = Ledger(self.chain, MemoryStore(LEDGER_TABLES))
        self.checkpoint = self.tools.certify_checkpoint(self.ledger.header)
        self.client = LightClient(anchor_of(self.chain), verify)

    def key(self, name: str) -> SigningKey:
        return test_key(name)

    def account(self, name: str) -> bytes:
        return test_key(name).public

    def parse(self, raw: bytes) -> SignedTransfer:
        return parse_transfer(raw, self.chain.chain_id)

    def seal(self, transfers: Sequence[SignedTransfer | bytes] = (), *, ts_ms: int | None = None) -> None:
        """Make, finalise, execute and certify one block with these transfers."""
        parsed = [self.parse(item) if isinstance(item, bytes) else item for item in transfers]
        batches, refs = [], []
        if parsed:
            batch = self.tools.batch(parsed)
            refs.append(self.tools.batch_certificate(batch))
            batches.append(self.tools.certified(batch))
        block = self.tools.block(self.ledger.block_header, refs=refs, ts_ms=ts_ms)
        self.ledger.apply(block, batches)
        self.checkpoint = self.tools.certify_checkpoint(self.ledger.header)

    def proofs(self, accounts: Iterable[bytes]) -> AccountProofs:
        pairs = self.ledger.prove_accounts(self.ledger.height, accounts)
        assert pairs is not None
        return AccountProofs(encode(self.checkpoint), tuple(pairs))

    def proved(self, account: bytes) -> ProvedAccount:
        """Return the account as a light client that checked everything has it."""
        message = self.proofs([account])
        header = self.client.accept_checkpoint(message.checkpoint, self.ledger.header.ts_ms)
        return self.client.prove_account(header, account, message.proofs[0][1])

    def answer(self, message: object) -> list[AnyMessage]:
        """Answer a question as an honest edge does."""
        match message:
            case Subscribe(accounts) | GetAccounts(accounts):
                return [self.proofs(accounts)]
            case GetReceipt(transfer_id):
                proof = self.ledger.prove_receipt(transfer_id, self.checkpoint)
                return [ReceiptAnswer(transfer_id, proof or b"")]
            case _:
                return []


class Phone:
    """A `MobileNode` on a store in memory, stepped by hand; the disk answers when `disk()` is called."""

    def __init__(
        self, network: Network, names: Sequence[str] = ("alice",), *, peers: int = 1, anchor: Anchor | None = None
    ) -> None:
        self.network = network
        self.anchor = anchor
        self.names = names
        self.peers = peers
        self.store = MemoryStore(TABLES, with_log=False)
        self.now_us = START_US
        self.boot()

    def boot(self) -> None:
        """Start, or start again after `crash`."""
        keys = {self.network.account(name): self.network.key(name) for name in self.names}
        self.node = MobileNode(
            self.network.chain,
            keys,
            node_id=test_key("phone").public,
            peers=[(None, f"127.0.0.1:{9000 + i}") for i in range(self.peers)],
            reader=self.store,
            verify=verify,
            rng=random.Random(7),
            settings=Settings({name: self.network.account(name) for name in self.names}, anchor=self.anchor),
        )
        self.tokens: list[int] = []
        self.waiting: list[Send | Reply] = []
        self.sent: list[tuple[bytes, object]] = []
        self.replies: dict[int, Reply] = {}
        self.hung_up: list[HangUp] = []
        self.events: list[Event] = []
        self.command_token = 0
        self.step(Started())

    def crash(self, anchor: Anchor | None = None) -> None:
        """Lose power and start again, with what its owner gives to trust from."""
        self.anchor = anchor or self.anchor
        self.store.crash()
        self.boot()

    def step(self, event: Input) -> list[Effect]:
        effects = self.node.step(self.now_us, event)
        for effect in effects:
            match effect:
                case Persist(token, records):
                    self.store.stage(records)
                    self.tokens.append(token)
                case Send() | Reply():
                    if effect.after in self.tokens:
                        self.waiting.append(effect)
                    else:
                        self._let(effect)
                case HangUp():
                    self.hung_up.append(effect)
                case Publish():
                    self.events.append(effect.event)
        return effects

    def _let(self, effect: Send | Reply) -> None:
        if isinstance(effect, Send):
            self.sent.append((effect.peer, effect.message))
        else:
            self.replies[effect.token] = effect

    def disk(self) -> None:
        """The disk answers everything it was asked."""
        while self.tokens:
            self.store.flush()
            done, self.tokens = self.tokens, []
            free = [effect for effect in self.waiting if effect.after in done]
            self.waiting = [effect for effect in self.waiting if effect.after not in done]
            for effect in free:
                self._let(effect)
            for token in done:
                self.step(Durable(token))

    def ask(self, request: MobileRequest) -> int:
        self.command_token += 1
        self.step(Command(self.command_token, request))
        return self.command_token

    def do(self, request: MobileRequest) -> Any:
        """Ask, let the disk answer, and return the reply's value."""
        token = self.ask(request)
        self.disk()
        reply = self.replies.pop(token)
        assert reply.error is None, reply.error
        return reply.value

    def wait(self, us: int) -> None:
        """Let time pass, with a tick at every deadline on the way."""
        end = self.now_us + us
        while (deadline := self.node.deadline_us) is not None and deadline <= end:
            self.now_us = max(self.now_us, deadline)
            self.step(Tick())
        self.now_us = end

    def take(self, kind: type | None = None) -> list[Any]:
        """Return and forget what was sent, only messages of `kind` if it is given."""
        found, self.sent = self.sent, []
        return [message for _, message in found if kind is None or isinstance(message, kind)]

    def submitted(self) -> list[bytes]:
        """Return and forget the transfers that were sent."""
        return [raw for message in self.take(Submit) for raw in message.transfers]


def make_queue(network: Network, store: MemoryStore, names: Sequence[str] = ("alice",)) -> PaymentQueue:
    """Return the queue of these accounts on what is durable in `store`."""
    keys = {network.account(name): network.key(name) for name in names}
    return PaymentQueue(network.chain.chain_id, keys, store, window=network.chain.parameters.window)
