"""Four tiers of real processes, 2,000 payments, hostile clients and SIGKILL at every tier: the books are exact.

The network is 4 L1, 2 L2, 2 L3 and 3 L4. Whatever is killed and whoever lies, every honest payment ends proved, once;
all validators have the same root at every height; and every balance is what the rows alone say it has to be.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running
from raw_client import RawClient, now_us

from supervm.common.services.client import watch
from supervm.common.up.layout import RESERVE, RESERVE_GRAIN, Counts
from supervm.common.up.payments import FUNDING_GRAIN, PaymentRun
from supervm.protocol.base.address import decode_address
from supervm.protocol.base.codec import decode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.light.client import ProvedAccount
from supervm.protocol.money.fees import split_fee
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN, SignedTransaction, sign_transfer
from supervm.protocol.state.account import POOLS
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R3, LEVEL_REFUSED, GetReceipt, ReceiptAnswer, Status, Submit

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

COUNTS = Counts(4, 2, 2, 3)
NAMES = [f"name{index}" for index in range(24)]
HOSTILE = ["h-signature", "h-overdraft", "h-replay", "h-chain", "h-pair"]
WAVES = (600, 500, 500, 400)
PAIR_VALIDITY_MS = 9_000
RSS_BYTES_MAX = 128 << 20

Rows = list[tuple[str, str, int, int]]


def make_waves(seed: int) -> list[Rows]:
    rng = random.Random(seed)
    return [
        [(*rng.sample(NAMES, 2), rng.randrange(1, 10**6), rng.randrange(1, 100)) for _ in range(count)]
        for count in WAVES
    ]


class Books:
    """What must be: computed from what was asked for, without a line of the network's own arithmetic of state."""

    def __init__(self) -> None:
        self.balances = dict.fromkeys([*NAMES, *HOSTILE], FUNDING_GRAIN) | {RESERVE: RESERVE_GRAIN}
        self.fees = [0, 0, 0, 0]

    def paid(self, source: str, to: str, amount: int, fee: int) -> None:
        self.balances[source] -= amount + fee
        self.balances[to] += amount
        self.fees = [total + part for total, part in zip(self.fees, split_fee(fee), strict=True)]


class Hostile:
    """The raw test client: it owns the `HOSTILE` accounts and talks to the edges directly."""

    def __init__(self, network: ProcessNetwork) -> None:
        self.network = network
        self.keys = {name: network.key(name) for name in HOSTILE}
        self.ports: list[int] = [network.layout.nodes[name]["port"] for name in ("l3-0", "l3-1")]
        self.receiver = network.key(NAMES[0]).public
        self.executed: list[tuple[str, SignedTransaction]] = []
        self.pair: list[SignedTransaction] = []

    def sign(self, name: str, **changes: Any) -> SignedTransaction:
        fields: dict[str, Any] = {
            "chain_id": self.network.chain.chain_id,
            "seq": 0,
            "prev": ZERO_HASH,
            "to": self.receiver,
            "amount": 5,
            "fee": 3,
            "valid_until_ms": now_us() // 1000 + 3_600_000,
        }
        return sign_transfer(self.keys[name], **(fields | changes))

    async def submit(self, port: int, raw: bytes, identity: bytes | None = None, level: int = LEVEL_REFUSED) -> str:
        """Submit over a link of its own; return the reason that comes with a status of that level."""
        async with await RawClient.connect(port, self.network.chain) as client:
            await client.send(Submit((raw,)))
            while True:
                status: Status = await client.next(lambda message: isinstance(message, Status), within_s=40)
                for item in status.items:
                    if (identity is None or item.transaction_id == identity) and item.level == level:
                        return item.reason

    async def misbehave(self) -> None:
        """Everything that must be refused, at both edges; then a replay, and two transactions for one slot."""
        good = self.sign("h-signature")
        broken = good.raw[:-1] + bytes([good.raw[-1] ^ 1])
        overdraft = self.sign("h-overdraft", amount=FUNDING_GRAIN)
        other_chain = self.sign("h-chain", chain_id=bytes(32))
        for port in self.ports:
            assert "bad signature" in await self.submit(port, broken)
            assert "overdraft" in await self.submit(port, overdraft.raw)
            assert "wrong-chain" in await self.submit(port, other_chain.raw)
            for raw in (bytes(TRANSACTION_BYTES_MIN), b"\x8c" * 200, overdraft.raw[:-1], overdraft.raw + b"\0"):
                assert "malformed" in await self.submit(port, raw)
            short = [encode_message(Submit((raw,))) for raw in (b"", b"\x8c" * 100)]  # no list holds such an entry
            for frame in (*short, b"\xc1" * 50, bytes(1 << 20) + b"\0", b"\0", b"\xde\xad" * 1_000):
                async with await RawClient.connect(port, self.network.chain) as client:
                    await client.send_frames(frame)
                    await client.until_closed()
        await self.replay()
        await self.contradict()

    async def replay(self) -> None:
        """A transaction that is executed once and submitted again, to both edges, executes no second time."""
        once = self.sign("h-replay")
        await self.submit(self.ports[0], once.raw, once.id, LEVEL_R3)
        self.executed.append(("h-replay", once))
        for port in self.ports:
            await self.submit(port, once.raw, once.id, LEVEL_R3)
            second = self.sign("h-replay", amount=6)
            assert await self.submit(port, second.raw, second.id)

    async def contradict(self) -> None:
        """Two transactions for one slot with a short validity, through different edges at the same time."""
        until = now_us() // 1000 + PAIR_VALIDITY_MS
        self.pair = [self.sign("h-pair", amount=amount, valid_until_ms=until) for amount in (7, 8)]
        async with trio.open_nursery() as nursery:
            for port, transaction in zip(self.ports, self.pair, strict=True):
                nursery.start_soon(self.submit, port, transaction.raw, transaction.id, LEVEL_R0)

    async def settle(self) -> None:
        """The pair: at most one is executed, the rest can provably never be, and the account lives on."""
        account = self.keys["h-pair"].public
        until_ms = self.pair[0].body.valid_until_ms
        async with await RawClient.connect(self.ports[0], self.network.chain) as client:
            proved = await newest(self.network, client, [account], lambda header: header.ts_ms > until_ms)
            state = proved[account].account
            executed = [transaction for transaction in self.pair if state.head == transaction.id]
            assert (state.next_seq, len(executed)) in ((1, 1), (0, 0))
            for transaction in self.pair:
                await client.send(GetReceipt(transaction.id))
                answer = await client.next(
                    lambda message, wanted=transaction.id: (
                        isinstance(message, ReceiptAnswer) and message.transaction_id == wanted
                    )
                )
                if transaction in executed:
                    assert client.light.check_receipt(answer.proof, transaction.id, now_us() // 1000).status == 1
                else:
                    assert answer.proof == b""
        self.executed += [("h-pair", transaction) for transaction in executed]
        after = self.sign("h-pair", seq=state.next_seq, prev=state.head)
        await self.submit(self.ports[1], after.raw, after.id, LEVEL_R3)
        self.executed.append(("h-pair", after))


async def newest(
    network: ProcessNetwork, client: RawClient, accounts: list[bytes], good: Any, within_s: float = 60
) -> dict[bytes, ProvedAccount]:
    """Ask an edge, whenever the chain has grown, until all accounts are proved under headers that are `good`."""
    with trio.fail_after(within_s):
        async with watch(network.nodes["l1-0"].socket) as events:
            while True:
                proved = await client.accounts(accounts)
                if all(good(item.header) for item in proved.values()):
                    return proved
                await anext(events)
    raise AssertionError("unreachable: the deadline raises")


class Kill:
    """Passes requests on, and kills nodes right after the first answer to `pay_many` of a node."""

    def __init__(self, network: ProcessNetwork, asked: str, victims: tuple[str, ...]) -> None:
        self.network, self.asked, self.victims = network, asked, victims
        self.killed = trio.Event()

    async def __call__(self, name: str, request: Mapping[str, Any]) -> Any:
        answer = await self.network.call(name, request)
        if request["request"] == "pay_many" and name == self.asked and not self.killed.is_set():
            await self.network.kill(*self.victims)
            self.killed.set()
        return answer

    async def restart(self) -> None:
        await self.killed.wait()
        await self.network.start(*self.victims)


async def ordinary_with_one_validator_killed(network: ProcessNetwork, rows: Rows) -> PaymentRun:
    """SIGKILL of a validator in the middle; payments go on without it, and it comes back."""
    kill = Kill(network, "l4-0", ("l1-3",))
    run = network.payments(rows, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill.restart)
        await run.run()
    return run


async def offline_first(network: ProcessNetwork, rows: Rows) -> PaymentRun:
    """All edges are down while the phones sign; then they come, and a miner is killed meanwhile."""
    await network.kill("l3-0", "l3-1")
    run = network.payments(rows)
    for phone in COUNTS.names(4):
        await network.until(phone, {"request": "info"}, lambda info: info["edge"] is None, within_s=20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.run)
        for phone in COUNTS.names(4):
            mine = sum(network.layout.wallets[row[0]].node == phone for row in rows)
            request = {"request": "queue_list", "statuses": ["queued"], "limit": 1}
            await network.until(phone, request, lambda answer, due=mine: answer["total"] == due, within_s=30)
        await network.start("l3-0", "l3-1")
        await network.until_event("l1-0", lambda event: bool(event["fields"].get("receipts")))
        await network.kill("l2-0")
        await network.start("l2-0")
    return run


async def phone_killed_in_mid_queue(network: ProcessNetwork, rows: Rows) -> PaymentRun:
    """SIGKILL of a phone right after it said that it has the payments: none is lost, none is paid twice."""
    kill = Kill(network, "l4-1", ("l4-1",))
    run = network.payments(rows, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill.restart)
        await run.run()
    return run


async def all_validators_killed(network: ProcessNetwork, rows: Rows) -> PaymentRun:
    """SIGKILL of all validators at once, while payments are on their way."""
    kill = Kill(network, "l4-2", tuple(COUNTS.names(1)))
    run = network.payments(rows, kill)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill.restart)
        await run.run()
    return run


async def test_two_thousand_payments_through_kills_and_lies_are_each_paid_once_and_the_books_are_exact(
    tmp_path: Path,
) -> None:
    network = ProcessNetwork(tmp_path, COUNTS, [*NAMES, *HOSTILE])
    waves = make_waves(seed=20_260)
    books = Books()
    async with running(network):
        hostile = Hostile(network)
        runs: list[PaymentRun] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hostile.misbehave)
            runs.append(await ordinary_with_one_validator_killed(network, waves[0]))
        runs.append(await offline_first(network, waves[1]))
        runs.append(await phone_killed_in_mid_queue(network, waves[2]))
        runs.append(await all_validators_killed(network, waves[3]))
        await hostile.settle()

        check_fates(runs, waves)
        for rows in waves:
            for row in rows:
                books.paid(*row)
        for name, transaction in hostile.executed:
            books.paid(name, NAMES[0], transaction.body.amount, transaction.body.fee)
        await check_phones_logs(network, waves)
        await check_balances(network, books)
        rss = {name: (await network.metrics(name))["rss_bytes"] for name in network.nodes}
        assert max(rss.values()) < RSS_BYTES_MAX, rss
        await network.terminate()
    check_roots(network)
    assert network.complaints() == []
    kills = {"l1-0": 1, "l1-1": 1, "l1-2": 1, "l1-3": 2, "l2-0": 1, "l3-0": 1, "l3-1": 1, "l4-1": 1}
    for name, codes in network.stopped_with.items():
        assert codes == [-9] * kills.get(name, 0) + [0], name


def check_fates(runs: list[PaymentRun], waves: list[Rows]) -> None:
    """Every row has the fate R4, proved, with the chain's word that it was executed."""
    for run, rows in zip(runs, waves, strict=True):
        assert len(run.payments) == len(rows)
        for item in run.payments:
            assert item.shown is not None
            assert (item.status, item.shown["result"]) == ("R4", "executed"), item
            assert item.document()["proof_verified"]


async def check_phones_logs(network: ProcessNetwork, waves: list[Rows]) -> None:
    """The phones' journals hold each row exactly once, and no two payments with one transaction id."""
    shown = [
        payment
        for phone in COUNTS.names(4)
        for payment in (await network.call(phone, {"request": "queue_list", "limit": 20_000}))["payments"]
    ]
    assert Counter(payment["status"] for payment in shown) == {"R4": sum(map(len, waves))}
    assert len({payment["id"] for payment in shown}) == len({payment["key"] for payment in shown}) == len(shown)


async def check_balances(network: ProcessNetwork, books: Books) -> None:
    """Each account is proved, by a client of ours and by its phone, and is what the rows say; nothing is lost."""
    infos = [await network.call(name, {"request": "info"}) for name in COUNTS.names(1)]
    height = max(info["certified_height"] for info in infos)
    wallets = network.layout.wallets
    accounts = {name: decode_address(wallet.address)[0] for name, wallet in wallets.items()}
    async with await RawClient.connect(network.layout.nodes["l3-1"]["port"], network.chain) as client:
        proved = await newest(
            network, client, [*accounts.values(), *POOLS.values()], lambda header: header.height >= height
        )
    balance = {name: proved[account].account.balance for name, account in accounts.items()}
    assert {name: balance[name] for name in books.balances} == books.balances
    for name in (*NAMES, *HOSTILE, RESERVE):
        assert await network.balance(name) == books.balances[name]
    pool = {name: proved[account].account.balance for name, account in POOLS.items()}
    assert pool["l1"] == books.fees[0]
    assert sum(balance[f"_{name}"] for name in COUNTS.names(2)) == books.fees[1]
    assert sum(balance[f"_{name}"] for name in COUNTS.names(3)) + pool["l3"] == books.fees[2]
    assert pool["l4"] == books.fees[3]
    assert pool["treasury"] == 0
    assert sum(balance.values()) + sum(pool.values()) == network.chain.supply
    for info in infos:
        assert (list(info["fees"]["svm"].values()), info["supply"]) == (books.fees, network.chain.supply)


def check_roots(network: ProcessNetwork) -> None:
    """All validators have the same headers, and so the same state roots, at every height they have."""
    headers = {name: network.headers(name) for name in COUNTS.names(1)}
    top = max(headers.values(), key=len)
    assert len(top) > 10
    for name, own in headers.items():
        assert list(own) == list(range(1, len(own) + 1)), name
        assert len(top) - len(own) <= 3, name
        assert all(top[height] == header for height, header in own.items()), name
    assert {decode(CheckpointHeader, checkpoint).supply for checkpoint, _ in top.values()} == {network.chain.supply}
