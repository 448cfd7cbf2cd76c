"""Two small cores that exchange numbered messages exactly once through crashes, and a program that runs either.

The sender numbers messages and sends a window of them; the receiver applies a message if its number is the next one,
persists it, and acknowledges cumulatively once that is durable. On every connection the receiver first says where it
stands.
"""

import random
import signal
import sys
from pathlib import Path
from typing import Any

import trio

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.contract.records import Reader
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.driver import Driver, Identity
from supervm.common.link.connection import LocalNode
from supervm.common.parts.peering import Peering
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import Status, StatusItem, Submit

SENDER, RECEIVER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
WINDOW, ACK_EVERY = 2048, 64


class StandingRow(TableRow, frozen=True):
    id: PrimaryKey[int]
    count: int


class AppliedRow(TableRow, frozen=True):
    number: PrimaryKey[int]
    payload: bytes


STANDING = Table("standing", StandingRow)
APPLIED = Table("applied", AppliedRow)
TABLES = (STANDING, APPLIED)


def payload(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes([number % 251]) * (TRANSACTION_BYTES_MIN + number % 50)


def ack(count: int) -> Status:
    return Status((StatusItem(count.to_bytes(32, "big"), 0, ""),))


def standing(reader: Reader) -> int:
    row = STANDING.get(reader, 0)
    return 0 if row is None else row.count


class _Exchange:
    def __init__(self, reader: Reader, targets: list[tuple[bytes | None, str]]) -> None:
        self.outbox = c.Outbox()
        self.count = standing(reader)
        self.peering = Peering(self.outbox, targets, random.Random(1))

    @property
    def deadline_us(self) -> int | None:
        return self.peering.deadline_us

    def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
        match event:
            case c.PeerUp():
                self.peering.peer_up(now_us, event)
                self.up(event.peer)
            case c.PeerDown():
                self.peering.peer_down(now_us, event)
                self.down()
            case c.DialFailed():
                self.peering.dial_failed(now_us, event)
            case c.Received(peer, message):
                self.peering.heard(now_us, peer)
                if not isinstance(message, Heartbeat):
                    self.received(peer, message)
            case c.Command(token, _):
                self.outbox.reply(token, self.count)
        self.peering.tick(now_us)
        return self.outbox.drain()

    def up(self, peer: bytes) -> None: ...

    def down(self) -> None: ...

    def received(self, peer: bytes, message: Any) -> None: ...


class Acked(Event, frozen=True):
    NAME = "acked"

    count: int


class Done(Event, frozen=True):
    NAME = "done"


class Sender(_Exchange):
    """`count` messages are known to be applied."""

    def __init__(self, reader: Reader, targets: list[tuple[bytes | None, str]], total: int) -> None:
        super().__init__(reader, targets)
        self.total = total
        self._next: int | None = None  # first number not sent on this connection; None until the peer said where it is

    def down(self) -> None:
        self._next = None

    def received(self, peer: bytes, message: Any) -> None:
        count = int.from_bytes(message.items[0].transaction_id, "big")
        assert count >= self.count, "what was acknowledged is durable and never taken back"
        if count > self.count:
            if count // 1000 > self.count // 1000:
                self.outbox.publish(Acked(count))
            self.count = count
            self.outbox.persist(STANDING.put(StandingRow(0, count)))
        start = count if self._next is None else self._next
        self._next = min(self.total, count + WINDOW)
        for number in range(start, self._next):
            self.outbox.send(peer, Submit((payload(number),)))
        if count == self.total:
            self.outbox.publish(Done())


class Receiver(_Exchange):
    """`count` messages are applied, those up to the write `_token` durably."""

    _token = 0

    def up(self, peer: bytes) -> None:
        self.outbox.send(peer, ack(self.count), after=self._token)

    def received(self, peer: bytes, message: Any) -> None:
        (data,) = message.transactions
        number = int.from_bytes(data[:8], "big")
        assert number <= self.count, "nothing is skipped"
        if number < self.count:
            return
        self.count += 1
        self._token = self.outbox.persist(
            APPLIED.put(AppliedRow(number, data)), STANDING.put(StandingRow(0, self.count))
        )
        if self.count % ACK_EVERY == 0 or self.count % 1000 == 0:
            self.outbox.send(peer, ack(self.count), after=self._token)


async def main(role: str, directory: Path, address: str, total: int) -> None:
    store = SqlStore(directory / f"{role}.sqlite", TABLES)

    def sink(event: Event, /) -> None:
        print(event.NAME, *event.fields.values(), flush=True)

    is_sender = role == "sender"
    core: c.Core = Sender(store, [(RECEIVER.public, address)], total) if is_sender else Receiver(store, [])
    driver = Driver(
        core,
        store=store,
        identity=Identity(SENDER if role == "sender" else RECEIVER, b"\x07" * 32, b"c" * 32),
        local=LocalNode(4 if role == "sender" else 3),
        listen=None if role == "sender" else address,
        sink=sink,
    )

    async def stop_on_signal(*, task_status: Any) -> None:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                await driver.stop()
                return

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signal)
        listens = await nursery.start(driver.run)
        print("ready", *listens, flush=True)
    store.close()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
