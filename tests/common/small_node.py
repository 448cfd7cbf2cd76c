"""A node of tier 3 with a small core, run as ``supervm lN run`` runs a tier's: for the tests of `run_node`."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.contract.records import Append
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.host.config import NodeConfig, PeerAddress
from supervm.common.host.process import run_node
from supervm.common.host.profile import NodeContext, Profile


class NoteRow(TableRow, frozen=True):
    id: PrimaryKey[int]
    text: str


NOTES = Table("notes", NoteRow)
TABLES = (NOTES,)


class Note(msgspec.Struct, tag="note", tag_field="request"):
    text: str


class Stop(msgspec.Struct, tag="stop", tag_field="request"):
    pass


class Look(msgspec.Struct, tag="look", tag_field="request"):
    pass


Request = Note | Stop | Look


class Noted(Event, frozen=True):
    NAME = "noted"

    text: str
    key: bytes


class NoteCore:
    """Writes notes down before it says so; stops for good when it is told to."""

    deadline_us: int | None = None

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._outbox = c.Outbox()
        self._count = NOTES.count(context.store)

    def step(self, _now_us: int, event: c.Input) -> list[c.Effect]:
        if isinstance(event, c.Command):
            request: Any = event.request
            if isinstance(request, Stop):
                self._outbox.halt("a divergence, says the test")
            elif isinstance(request, Note):
                record = NOTES.put(NoteRow(self._count, request.text))
                self._count += 1
                token = self._outbox.persist(record, Append(request.text.encode()))
                self._outbox.publish(Noted(request.text, b"\x01\x02"))
                self._outbox.reply(event.token, self._count, after=token)
            else:
                self._outbox.reply(
                    event.token,
                    {
                        "notes": [row.text for row in NOTES.rows(self._context.store)],
                        "log": [payload.decode() for payload in self._context.store.log()],
                        "log_lost": self._context.log_lost,
                    },
                )
        return self._outbox.drain()


PROFILE = Profile(NoteCore, requests=Request, tables=TABLES, with_log=True)

if __name__ == "__main__":
    directory, genesis, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    peers = tuple(PeerAddress(None, address) for address in sys.argv[4:])
    config = NodeConfig(
        tier=3, directory=directory, genesis=genesis, listen="127.0.0.1:0", peers=peers, verify_workers=workers
    )
    sys.exit(run_node(config, PROFILE))
