"""What the phone asks of an edge and how it checks the answers (consensus.md 5).

Every proof is verified under a checkpoint that a quorum signed; an edge can be slow or stale, never believed. Own
accounts are subscribed at the active edge, which then sends proofs of them and of what they hold at once, and whenever
a block touches them; other people's balances are asked for once. What an edge does not tell is no proof of anything: a
payment in an asset of which nothing is proved makes the phone ask for that very leaf, which is then proved, or proved
to be absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from supervm.common.contract.core import Outbox
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.shell import unexpected
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.light.client import ProvedAccount, ProvedBalance
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.state.leaves import ASSET, NATIVE, account_leaf_id, balance_leaf_id, parse_leaf_id, read_asset
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import GetLeaves, LeafProofs, ReceiptAnswer, Subscribe, Unsubscribe

from ..errors import PaymentError
from ..messages import ALL_ASSETS, Balance
from ..wallet.accounts import Accounts
from ..wallet.books import Books
from ..wallet.queue import PaymentQueue
from .questions import Key, Questions
from .trust import Trust
from .uplink import Uplink

ANSWER_US = 3_000_000
"""How long an edge may take for a proof before it counts as silent."""


class Sync(Part):
    """Proofs of accounts, holdings and receipts, and the balances that the owner asks for.

    Args:
        outbox: where effects go.
        queue: takes what is proved of own accounts.
        accounts: whom the owner means, and which addresses to print.
        trust: the light client that verifies, and whose fault it is if that fails.
        uplink: the edge.
        books: takes the answers for the owner.
        manners: gives back what proofs cost that were news.
        problems: returns what is wrong with this node, for whoever gets no proof.
    """

    # The table of directions also lets a phone be sent bare checkpoints, which it has no use for.
    takes = frozenset({LeafProofs, ReceiptAnswer, CheckpointMessage})
    sends = frozenset({Subscribe, Unsubscribe, GetLeaves})
    answers = (Balance,)

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        accounts: Accounts,
        trust: Trust,
        uplink: Uplink,
        books: Books,
        manners: Manners,
        problems: Callable[[int], list[str]],
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts
        self._trust = trust
        self._client = trust.client
        self._uplink = uplink
        self._manners = manners
        self._problems = problems
        self._missing: dict[bytes, None] = {}
        self._ask_again_us = 0
        self._wanted: dict[bytes, None] = {}  # leaves
        self._told: dict[bytes, None] = {}  # accounts of others of which everything is to be told
        self._asked: dict[tuple[bytes, bytes], None] = {}  # unproved holdings that were asked for
        self._questions = Questions(outbox, queue, accounts, trust, books)

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        ends_us = self._questions.ends_us
        times = [] if ends_us is None else [ends_us]
        if self._uplink.active is not None and (self._missing or self._questions or self._asked):
            times.append(self._ask_again_us)
        return min(times, default=None)

    def edge_changed(self, now_us: int) -> None:
        """Subscribe all own accounts at a new edge and ask it what is still open."""
        accounts, edge = list(self._queue.lanes), self._uplink.active
        if edge is not None:
            for part in _parts(accounts):
                self._outbox.send(edge, Subscribe(part))
            self._uplink.asked(now_us)
        self._missing = dict.fromkeys(accounts)
        self._ask_again_us = now_us + ANSWER_US
        self._asked = {}
        self._want_answers(self._questions)

    def follow(self, now_us: int, accounts: Sequence[bytes]) -> None:
        """Subscribe accounts that were not known before, if there is an edge; a later one is told all of them."""
        edge = self._uplink.active
        if edge is not None and accounts:
            for part in _parts(list(accounts)):
                self._outbox.send(edge, Subscribe(part))
            self._missing.update(dict.fromkeys(accounts))
            self._ask_again_us = max(self._ask_again_us, now_us + ANSWER_US)

    def want(self, accounts: Iterable[bytes]) -> None:
        """Ask for proofs of `accounts` with this step's messages."""
        self._wanted.update((account_leaf_id(account), None) for account in accounts)

    def _want_answers(self, keys: Iterable[Key]) -> None:
        for account, asset in keys:
            lane = self._queue.lanes.get(account)
            if asset is not None:
                self._wanted[balance_leaf_id(account, asset)] = None
            elif lane is not None:  # it is subscribed already
                self._wanted.update((balance_leaf_id(account, known), None) for known in (NATIVE, *lane.holdings))
            else:
                self._told[account] = None

    def command(self, now_us: int, token: int, request: Balance) -> None:
        """Answer once a proof is here, or when the time for it is over, then with what is wrong."""
        try:
            account = (self._accounts.account if request.address else self._accounts.payer)(request.address)
            asset = None if request.asset == ALL_ASSETS else read_asset(request.asset)
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
            return
        key = account, asset
        if key not in self._questions:
            self._ask_again_us = max(self._ask_again_us, now_us + ANSWER_US)
        self._questions.add(now_us, key, token, wants_answer=request.answer)
        if self._uplink.active is not None and self._trust.believes(now_us):
            self._want_answers([key])
        else:
            self._questions.end(now_us, key)
            self.tick(now_us)

    def tick(self, now_us: int) -> None:
        """Repeat questions, complain of an edge whose proofs are overdue, and give up old questions."""
        if (self._missing or self._questions or self._asked) and self._ask_again_us <= now_us:
            self._ask_again_us = now_us + ANSWER_US
            if self._uplink.active is not None and self._trust.believes(now_us):
                self.want(self._missing)
                self._want_answers(self._questions)
                self._asked = {}
                self._uplink.complain()
        for key in self._questions.over(now_us):
            reason = self._trust.doubt(now_us) or (
                "no edge is connected" if self._uplink.active is None else "no edge answered in time"
            )
            self._questions.give_up(key, "; ".join([reason, *self._problems(now_us)]), now_us)
            self._no_more(key)

    def _no_more(self, key: Key) -> None:
        """Follow an account of others no longer than a question about all that it has is open."""
        account, asset = key
        if asset is None and account not in self._queue.lanes and self._uplink.active is not None:
            self._outbox.send(self._uplink.active, Unsubscribe((account,)))

    def settle(self, now_us: int) -> None:
        """Send this step's questions."""
        edge = self._uplink.active
        if edge is None:
            return
        if self._queue.holdings.unproved and self._trust.believes(now_us):
            fresh = [key for key in self._queue.holdings.unproved if key not in self._asked]
            if fresh and not (self._asked or self._missing or self._questions):
                self._ask_again_us = now_us + ANSWER_US
            for account, asset in fresh:
                self._asked[account, asset] = None
                self._wanted[balance_leaf_id(account, asset)] = None
        if self._wanted or self._told:
            self._uplink.asked(now_us)
        for part in _parts(list(self._told)):
            self._outbox.send(edge, Subscribe(part))
        for part in _parts(list(self._wanted)):
            self._outbox.send(edge, GetLeaves(part))
        self._wanted, self._told = {}, {}

    def receive(self, now_us: int, peer: bytes, message: LeafProofs | ReceiptAnswer | CheckpointMessage) -> None:
        """Check what an edge proves.

        Raises:
            RemoteProtocolError: anything in it is wrong; what was checked before it stays.
        """
        try:
            match message:
                case LeafProofs():
                    self._proofs(now_us, peer, message)
                case ReceiptAnswer():
                    if self._receipt(message, now_us):
                        self._uplink.news(peer, now_us)
                case CheckpointMessage():
                    raise unexpected(4, message)
        except RemoteProtocolError as error:
            if not self._trust.excuses(now_us, peer, error, message):
                if error.penalty and not isinstance(message, CheckpointMessage):
                    self._uplink.lied(peer, now_us)
                raise

    def _proofs(self, now_us: int, peer: bytes, message: LeafProofs) -> None:
        own, news = self._take(message, now_us)
        self._uplink.answered(peer, now_us)
        if own:
            self._uplink.news(peer, now_us)
            # a phone may have thousands of accounts that each block touches
            self._manners.refund(peer, message, part=news, of=len(message.proofs))
        self._uplink.report(self._client.header.height)

    def _take(self, message: LeafProofs, now_us: int) -> tuple[int, int]:
        """Check the proofs of a message and take what they say.

        Returns how many there were of own accounts, and how many of those are of a newer header than the last.
        """
        now_ms = now_us // 1000
        header = self._client.accept_checkpoint(message.checkpoint, now_ms)
        is_young = now_ms - header.ts_ms <= self._client.max_age_ms
        own = news = 0
        for leaf_id, proof in message.proofs:
            kind, account, asset = parse_leaf_id(leaf_id)
            is_own, questions = account in self._queue.lanes, self._questions.about(account, asset)
            if kind == ASSET or not (is_own or questions):
                continue
            proved = self._prove(header, account, asset, proof)
            if is_own:
                own += 1
                news += self.take_own(now_us, proved)
            if is_young:
                self._questions.take(questions, proved, proof)
        for key in self._questions.answer(message.checkpoint, now_us):
            self._no_more(key)
        return own, news

    def _prove(self, header: CheckpointHeader, account: bytes, asset: bytes, proof: bytes) -> ProvedBalance:
        if asset:
            amount = self._client.prove_holding(header, account, asset, proof)
            return ProvedBalance(account, asset, amount, amount > 0, None, header)
        proved = self._client.prove_account(header, account, proof)
        return ProvedBalance(account, asset, proved.account.balance, proved.exists, proved.account, header)

    def take_own(self, now_us: int, proved: ProvedBalance) -> bool:
        """Take what is proved of an own account or holding, whoever brought the proof.

        Returns whether it is of a newer header than the last.
        """
        account, header = proved.account, proved.header
        if proved.state is None:
            is_new = self._queue.prove_holding(account, proved.asset, proved.amount, header)
            if (account, proved.asset) not in self._queue.holdings.unproved:
                self._asked.pop((account, proved.asset), None)
            return is_new
        known = self._queue.lanes[account].proved
        self._missing.pop(account, None)
        self._queue.prove(account, ProvedAccount(proved.state, proved.exists, header), now_us)
        return known is None or known.height < header.height

    def ask_again(self) -> None:
        """Ask for what could not be believed before: the validators are others now."""
        self.want(self._queue.lanes)
        self._want_answers(self._questions)
        self._asked = {}

    def _receipt(self, message: ReceiptAnswer, now_us: int) -> bool:
        """Check a receipt that a payment waits for; return whether one was settled."""
        if message.transaction_id not in self._queue.awaiting or not message.proof:
            return False  # "not known here" is a claim; the courier asks again
        receipt = self._client.check_receipt(message.proof, message.transaction_id, now_us // 1000)
        executed = receipt.status == STATUS_EXECUTED
        return self._queue.receipt(message.transaction_id, executed=executed, now_us=now_us) is not None


def _parts(names: list[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(names[start : start + FORWARD_MAX]) for start in range(0, len(names), FORWARD_MAX)]
