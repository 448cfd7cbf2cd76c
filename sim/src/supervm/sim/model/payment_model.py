"""Certificate-only mode (consensus.md 3.9) with four validators, one of them faulty, explored exhaustively.

Theory of operation. Three validators are shipped batch voters (`payment_host.Voter`), all alike; the fourth votes for
anything. One sender, who equivocates, has 106 grain and signs six transactions: A and its rival B for the first slot, A
valid for a short time only, B long; C and D for the slot behind A, E behind A for more money than is left, and F behind
B. They come in five batches, one with a successor in front of its predecessor and A a second time (re-batching). Any
batch may arrive anywhere, any number of times. The order of blocks is anybody's: a block of any time on the menu may
reference any one batch with any bits that a quorum could have certified, or nothing. Each validator executes when it
likes, so voters lag as much as they can; each may restart once, with its last step lost or not, with its log compacted
or not.

What must hold: S9 as in 3.9.3 - of each slot at most one certified transaction is unexpired at the highest executed
height; S11, S12 - executed transactions are numbered and chained without a hole, none twice, none after its validity
(3.9.2); S13 - no under-run; C1, C2 - the supply stays; S7 - validators at one height agree; and no freeze: whatever has
happened, once the chain's time has passed every validity, each validator gives a new transaction of the sender its bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.batch import Batch, batch_header
from supervm.protocol.chain.genesis import Chain, Miner, Parameters, make_genesis
from supervm.protocol.chain.validators import Validator
from supervm.protocol.money.transaction import SignedTransaction, sign_transfer
from supervm.protocol.state.account import FLAG_FAILED, Account

from .automaton import Automaton, Moves
from .payment_host import Execute, ModelBatch, ModelBlock, Offered, Restart, Voter, apply_block, voter_mirror
from .simplex_adversary import KEYS

SENDER = SigningKey(bytes([42]) * 32)
RECEIVER, MINER, PAYOUT = (SigningKey(bytes([number]) * 32).public for number in (50, 51, 52))
FUNDS = 106
SOON_MS, LATE_MS, END_MS = 10_000, 400_000, 500_000
"""A is valid until SOON_MS, everything else until LATE_MS; at END_MS all is over."""

State = tuple[int, tuple[int, int, int]]
"""Number of the chain so far, and the sorted local states of the three validators."""
Step = tuple[int, tuple[Hashable, ...]]
"""A place and the events there; place -1 is the chain, which gets a block."""


@dataclass(frozen=True, slots=True)
class PaymentCase:
    """A bounded question.

    Attributes:
        batches: names of those that exist.
        times_ms: what times blocks may have; they ascend in a chain.
        blocks: how many blocks a chain may have.
        restarts: how often each validator may restart.
    """

    batches: tuple[str, ...]
    times_ms: tuple[int, ...]
    blocks: int
    restarts: tuple[int, int, int] = (0, 0, 0)


def _transaction(
    chain: Chain, seq: int, prev: bytes, debit: int, valid_until_ms: int, mark: bytes
) -> SignedTransaction:
    return sign_transfer(
        SENDER,
        chain_id=chain.chain_id,
        seq=seq,
        prev=prev,
        to=RECEIVER,
        amount=debit - 5,
        fee=5,
        valid_until_ms=valid_until_ms,
        payload=mark,
    )


def model_chain() -> Chain:
    """Return the network of the model."""
    validators = tuple(
        Validator(1, key.public, SigningKey(bytes([100 + index]) * 32).public, 1, PAYOUT)
        for index, key in enumerate(KEYS)
    )
    genesis, allocations = make_genesis(
        name="model",
        time_ms=1_000,
        validators=validators,
        miners=(Miner(1, MINER, PAYOUT),),
        allocations=(Allocation(SENDER.public, FUNDS),),
        parameters=Parameters(2),
    )
    return Chain(genesis, lambda _key, _message, _signature: True, lambda: allocations)


def model_batch(chain: Chain, name: str, *transactions: SignedTransaction) -> ModelBatch:
    """Return a batch of the model's miner."""
    raw = tuple(transaction.raw for transaction in transactions)
    header = batch_header(chain.chain_id, 0, MINER, raw)
    return ModelBatch(name, Batch(2, header, bytes(64), raw), header.digest, transactions)


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What a chain has done: accounts and time after each height, and what is wrong."""

    accounts: tuple[dict[bytes, Account], ...]
    times_ms: tuple[int, ...]
    violation: str | None


class PaymentModel:
    """The model of one case; see `checker.Model`."""

    def __init__(self, case: PaymentCase) -> None:
        self.case = case
        self.chain = chain = model_chain()
        first = _transaction(chain, 0, ZERO_HASH, 60, SOON_MS, b"A")
        rival = _transaction(chain, 0, ZERO_HASH, 50, LATE_MS, b"B")
        behind, beside = (
            _transaction(chain, 1, first.id, debit, LATE_MS, mark) for debit, mark in ((40, b"C"), (35, b"D"))
        )
        dear = _transaction(chain, 1, first.id, 50, LATE_MS, b"E")
        follower = _transaction(chain, 1, rival.id, 50, LATE_MS, b"F")
        batches = {
            "A": (first,),
            "B": (rival,),
            "CA": (behind, first),
            "D": (beside,),
            "E": (dear,),
            "BF": (rival, follower),
        }
        self.batches = {name: model_batch(chain, name, *batches[name]) for name in case.batches}
        self._by_digest = {batch.digest: batch for batch in self.batches.values()}
        self.automaton: Automaton[Voter] = Automaton(voter_mirror())
        self._moves = Moves(self.automaton, self._shown, self._local_events)
        self._chains: list[tuple[ModelBlock, ...]] = [()]
        self._chain_number: dict[tuple[ModelBlock, ...], int] = {(): 0}
        self._ledgers: dict[int, _Ledger] = {}
        self._certified_of: dict[tuple[int, int, int], tuple[tuple[ModelBatch, int], ...]] = {}
        self._sent: dict[frozenset[tuple[bytes, int]], int] = {}
        self._sent_of: dict[int, int] = {}
        self._sent_values: list[frozenset[tuple[bytes, int]]] = []
        self._faces: dict[int, tuple[int, int, int]] = {}
        self._offers: dict[int, int] = {}
        self._usable: dict[tuple[int, int], bool] = {}
        self._probes: dict[tuple[int, bytes], ModelBatch] = {}

    # --- checker.Model -----------------------------------------------------------------------------------------------

    def initial(self) -> Iterable[State]:
        """Return three new voters and an empty chain."""
        numbers = [self.automaton.add(Voter(self.chain, restarts=restarts)) for restarts in self.case.restarts]
        return [(0, _sorted(numbers))]

    def steps(self, state: State) -> Iterator[tuple[Step, State]]:
        """Return every move of a voter and every block that the chain may get."""
        number, voters = state
        blocks = self._chains[number]
        offer = self._offers.get(number)
        if offer is None:
            arrivals = [Offered(batch) for batch in self.batches.values()]
            executes = [Execute(height, block) for height, block in enumerate(blocks)]
            offer = self._offers[number] = self._moves.offer((*arrivals, *executes))
        for place in range(3):
            if place and voters[place] == voters[place - 1]:
                continue
            for following, path in self._moves.of(voters[place], offer):
                yield (place, path), (number, _sorted([*voters[:place], following, *voters[place + 1 :]]))
        if len(blocks) < self.case.blocks:
            for block in self._next_blocks(blocks, voters):
                longer = (*blocks, block)
                yield (-1, (block,)), (self._number_of(longer), voters)

    def violation(self, state: State) -> str | None:
        """Return the first rule that is broken."""
        number, voters = state
        ledger = self._ledger(number)
        if ledger.violation is not None:
            return ledger.violation
        heights = [self.automaton.part(voter).height for voter in voters]
        now_ms = ledger.times_ms[max(heights)]
        slots: dict[tuple[int, bytes], bytes] = {}
        for batch, certified in self._certified(voters):
            for position, transaction in enumerate(batch.transactions):
                body = transaction.body
                if certified >> position & 1 and body.valid_until_ms >= now_ms:
                    rival = slots.setdefault((body.seq, body.prev), transaction.id)
                    if rival != transaction.id:
                        return (
                            f"S9: two unexpired transactions for slot {body.seq} are certified, one is "
                            f"{body.payload.decode()} in batch {batch.name}"
                        )
        for voter in voters:
            host = self.automaton.part(voter)
            if host.state.accounts != ledger.accounts[host.height]:
                return f"S7: a validator at height {host.height} has other accounts than the chain"
            if not self._is_usable(voter, number):
                return "freeze: all validities are over and a validator still refuses a new transaction"
        return None

    def describe(self, step: Step) -> str:
        """Return a readable line; places are not names, since the states of alike voters are sorted."""
        place, path = step
        who = "the chain gets" if place < 0 else f"the voter at place {place}"
        return f"{who} {', '.join(_what(event) for event in path)}"

    # --- voters ------------------------------------------------------------------------------------------------------

    def _shown(self, number: int) -> tuple[int, int, int]:
        face = self._faces.get(number)
        if face is None:
            host = self.automaton.part(number)
            face = self._faces[number] = (self._sent_number(number), host.height, host.restarts)
        return face

    def _local_events(self, number: int) -> tuple[Hashable, ...]:
        host = self.automaton.part(number)
        if not host.restarts:
            return ()
        return tuple(
            Restart(written, compacted)
            for written in (True, False)
            for compacted in (False, True)
            if written or (host.unwritten and not compacted)
        )

    def _sent_number(self, number: int) -> int:
        found = self._sent_of.get(number)
        if found is None:
            sent = frozenset(self.automaton.part(number).sent)
            found = self._sent.setdefault(sent, len(self._sent))
            if found == len(self._sent_values):
                self._sent_values.append(sent)
            self._sent_of[number] = found
        return found

    def _certified(self, voters: tuple[int, int, int]) -> tuple[tuple[ModelBatch, int], ...]:
        """Return the batches with bits that a quorum has given, the faulty validator included."""
        one, two, three = sorted(self._sent_number(voter) for voter in voters)
        key = (one, two, three)
        known = self._certified_of.get(key)
        if known is None:
            found = []
            needed = self.chain.validators.quorum - 1  # the faulty validator's weight is one, as everybody's
            for batch in self.batches.values():
                bits = 0
                for position in range(len(batch.transactions)):
                    votes = sum((batch.digest, position) in self._sent_values[number] for number in key)
                    bits |= (votes >= needed) << position
                if bits:
                    found.append((batch, bits))
            known = self._certified_of[key] = tuple(found)
        return known

    # --- the chain ---------------------------------------------------------------------------------------------------

    def _number_of(self, blocks: tuple[ModelBlock, ...]) -> int:
        number = self._chain_number.setdefault(blocks, len(self._chains))
        if number == len(self._chains):
            self._chains.append(blocks)
        return number

    def _next_blocks(self, blocks: tuple[ModelBlock, ...], voters: tuple[int, int, int]) -> Iterator[ModelBlock]:
        last_ms = blocks[-1].ts_ms if blocks else self.chain.genesis.time_ms
        refs: list[tuple[tuple[ModelBatch, int], ...]] = [()]
        for batch, certified in self._certified(voters):
            refs.extend(((batch, bits),) for bits in range(1, certified + 1) if bits & certified == bits)
        for ts_ms in self.case.times_ms:
            if ts_ms > last_ms:
                for ref in refs:
                    yield ModelBlock(ts_ms, ref)

    def _ledger(self, number: int) -> _Ledger:
        known = self._ledgers.get(number)
        if known is None:
            known = self._ledgers[number] = self._replay(self._chains[number])
        return known

    def _replay(self, blocks: tuple[ModelBlock, ...]) -> _Ledger:
        state = self.chain.first_state()
        accounts = [dict(state.accounts)]
        times_ms = [self.chain.genesis.time_ms]
        executed: list[tuple[SignedTransaction, int]] = []
        wrong = None
        for block in blocks:
            try:
                result = apply_block(self.chain, state, block)
            except LocalProtocolError as error:
                wrong = wrong or f"C2: {error}"
                result = None
            if result is not None:
                state.apply(result.change)
                transactions = {item.id: item for batch, _ in block.refs for item in batch.transactions}
                executed.extend((transactions[receipt.transaction_id], block.ts_ms) for receipt in result.receipts)
                if result.failed:
                    wrong = wrong or "S13: a certified transaction finds too little money"
            accounts.append(dict(state.accounts))
            times_ms.append(block.ts_ms)
        return _Ledger(tuple(accounts), tuple(times_ms), wrong or _history(executed) or self._money(accounts[-1]))

    def _money(self, accounts: dict[bytes, Account]) -> str | None:
        if sum(account.balance for account in accounts.values()) != self.chain.supply:
            return "C1: the supply has changed"
        if any(account.balance < 0 or account.flags & FLAG_FAILED for account in accounts.values()):
            return "C4: an account is overdrawn or has failed"
        return None

    def _is_usable(self, voter: int, number: int) -> bool:
        """Return whether a voter that catches up past every validity supports a new transaction."""
        known = self._usable.get((voter, number))
        if known is None:
            local = voter
            for height, block in enumerate((*self._chains[number], ModelBlock(END_MS, ()))):
                if height >= self.automaton.part(voter).height:
                    local = self.automaton.after(local, Execute(height, block))
            account = self.automaton.part(local).state.accounts[SENDER.public]
            probe = self._probe(account.next_seq, account.head, account.balance)
            local = self.automaton.after(local, Offered(probe))
            host = self.automaton.part(local)
            known = self._usable[voter, number] = (probe.digest, 0) in host.sent or (probe.digest, 0) in host.waiting
        return known

    def _probe(self, seq: int, head: bytes, balance: int) -> ModelBatch:
        probe = self._probes.get((seq, head))
        if probe is None:
            transaction = _transaction(self.chain, seq, head, min(balance, 6), END_MS + 100_000, b"new")
            probe = self._probes[seq, head] = model_batch(self.chain, "new", transaction)
        return probe


def _history(executed: list[tuple[SignedTransaction, int]]) -> str | None:
    """Return what is wrong with the sequence of one sender's executed transactions."""
    for position, (transaction, ts_ms) in enumerate(executed):
        name = transaction.body.payload.decode()
        if any(transaction.id == earlier.id for earlier, _ in executed[:position]):
            return f"S12: {name} is executed twice"
        if transaction.body.seq != position:
            return f"S11: {name} has number {transaction.body.seq} and is executed as number {position}"
        if ts_ms > transaction.body.valid_until_ms:
            return f"3.9.2: {name} is executed after its validity"
    for (before, _), (transaction, _) in pairwise(executed):
        if transaction.body.prev != before.id:
            return f"S11: {transaction.body.payload.decode()} is executed behind a transaction that it does not name"
    return None


def _sorted(numbers: list[int]) -> tuple[int, int, int]:
    one, two, three = sorted(numbers)
    return one, two, three


def _what(event: Hashable) -> str:
    match event:
        case Offered(batch):
            return f"gets batch {batch.name}"
        case Execute(_, block):
            return f"executes {_what(block)}"
        case ModelBlock(ts_ms, refs):
            names = ", ".join(
                "".join(
                    item.body.payload.decode() for place, item in enumerate(batch.transactions) if bits >> place & 1
                )
                + f" of batch {batch.name}"
                for batch, bits in refs
            )
            return f"a block of time {ts_ms} with {names or 'nothing'}"
        case Restart(written, compacted):
            how = "all written" if written else "its last step lost"
            return f"restarts, {how}" + (", log compacted" if compacted else "")
        case _:
            return str(event)
