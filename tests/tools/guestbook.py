"""A subject of its own, as small as one can be: visitors send an edge notes, and the edge keeps them for its owner.

docs/adding-a-subject.md walks through this file. It has everything that a subject may bring: a kind of message, a
request of the owner, a table, an option and an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.contract.events import Event
from supervm.common.contract.options import OptionSpec
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import Cost
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.part import Part
from supervm.common.parts.shell import Clock, Shell
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.fields import Message, Text
from supervm.protocol.wire.payments import FeeTerms
from supervm.protocol.wire.subject import Subject

# --- what travels -----------------------------------------------------------------------------------------------------


class Note(Message, frozen=True, tag=200):
    """A line for the guestbook."""

    text: Text


GUESTBOOK = Subject("guestbook1", range(200, 210), {Note: frozenset({(0, 3), (4, 3)})})

# --- the edge's side --------------------------------------------------------------------------------------------------


class NoteRow(TableRow, frozen=True):
    """A note that was left, and by whom."""

    number: PrimaryKey[int]
    author: bytes
    text: str


NOTES = Table("notes", NoteRow)


class Notes(msgspec.Struct, frozen=True, tag="notes", tag_field="request", forbid_unknown_fields=True):
    """Ask for the notes. Answer: ``[{"number", "author", "text"}]``, oldest first."""


class NoteLeft(Event, frozen=True):
    """A note was written down.

    Attributes:
        author: who left it, a key in hexadecimal.
        number: counts the notes.
    """

    NAME = "note"

    author: str
    number: int


class Guestbook(Part):
    """The notes that visitors have left, the newest `notes_max` of them."""

    takes = frozenset({Note})
    answers = (Notes,)
    tables = (NOTES,)
    options = {"notes_max": OptionSpec(int, 100, "notes that are kept; the oldest go", 1, 10**6)}  # noqa: RUF012
    events = (NoteLeft,)
    subjects = (GUESTBOOK,)
    costs = {Note: Cost("link", 50)}  # noqa: RUF012

    def __init__(self, shell: Shell) -> None:
        assert shell.reader is not None, "the node gives its shell the reader"
        self._outbox = shell.outbox
        self._notes_max = int(shell.option("notes_max"))
        self._notes = {row.number: row for row in NOTES.rows(shell.reader)}
        self._last = max(self._notes, default=0)

    def receive(self, now_us: int, peer: bytes, message: Note) -> None:
        """Write a note down."""
        if not message.text.isprintable():
            raise RemoteProtocolError("a note is one printable line", code="note")
        self._last += 1
        row = self._notes[self._last] = NoteRow(self._last, peer, message.text)
        self._outbox.persist(NOTES.put(row))
        self._outbox.publish(NoteLeft(peer.hex(), self._last))
        while len(self._notes) > self._notes_max:
            oldest = min(self._notes)
            del self._notes[oldest]
            self._outbox.persist(NOTES.delete(oldest))

    def command(self, now_us: int, token: int, request: Notes) -> None:
        """Show the owner all notes."""
        self._outbox.reply(
            token,
            [
                {"number": row.number, "author": row.author.hex(), "text": row.text}
                for _, row in sorted(self._notes.items())
            ],
        )


# --- the visitor's side -----------------------------------------------------------------------------------------------


class Sign(msgspec.Struct, frozen=True, tag="sign", tag_field="request", forbid_unknown_fields=True):
    """Leave a note at every edge that is up and has a guestbook. Answer: at how many."""

    text: str


class Pen(Part):
    """The edges that have a guestbook, and what is written into it."""

    takes = frozenset({FeeTerms})
    sends = frozenset({Note})
    answers = (Sign,)
    subjects = (GUESTBOOK,)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._edges: dict[bytes, None] = {}

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Remember who knows what a note is."""
        if GUESTBOOK.name in event.features:
            self._edges[event.peer] = None

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget who has gone."""
        self._edges.pop(event.peer, None)

    def receive(self, now_us: int, peer: bytes, message: FeeTerms) -> None:
        """Every edge says what it takes; a note costs nothing."""

    def command(self, now_us: int, token: int, request: Sign) -> None:
        """Send the note."""
        for edge in self._edges:
            self._outbox.send(edge, Note(request.text))
        self._outbox.reply(token, len(self._edges))


class About(msgspec.Struct, frozen=True, tag="info", tag_field="request"):
    """Ask how the visitor stands."""


class Visitor(Shell):
    """The smallest node that there is: it stays connected to its targets, and has a pen."""

    PARTS = (Pen,)
    TIER = 4
    INFO = About

    def __init__(self, node_id: bytes, chain_id: bytes, targets: Iterable[tuple[bytes | None, str]], rng: Any) -> None:
        anybody = Budget({"link": Rate(20_000, 200_000), "answers": Rate(100_000, 1_000_000)})
        super().__init__(targets=targets, rng=rng, budgets=dict.fromkeys(Rank, anybody))
        self.node_id, self.chain_id = node_id, chain_id
        self.compose([Clock(self.clock, lambda: (0, 0)), self.links, Pen(self.outbox)])

    @property
    def height(self) -> int:
        """None of the chain."""
        return 0

    def rank(self, event: PeerUp) -> Rank:
        """All the same."""
        return Rank.NAMED
