"""A light client whose memory outlives the process: what a phone and an edge know of headers, changes and forks.

Theory of operation (consensus.md 5; decisions.md, Trusting period). The part owns the node's `LightClient` and the rows
that it starts from again: the newest anchor that was given, the checkpoints that are remembered, the changes of
validators, and the forks. Rows of checkpoints join other writes (`take_records`); what is lost of them in a crash is
memory of the last moments, never a change or a fork, which are written at once.

A fork ends belief. The node asks `take_fork` after every step; the first time it gets the message that lets others see
for themselves, and from then on `doubt` says in plain words why nothing new is believed. An anchor at or above the
height where a fork begins decides it: whoever gives one says which chain is meant. A newer anchor is also what helps a
client that is past the trusting period. What is stored and does not lead on from the anchor is forgotten.
"""

from __future__ import annotations

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.votes import Verify
from supervm.protocol.light.client import Anchor, LightClient, anchor_of, max_age_ms_of
from supervm.protocol.light.forks import FORK_BYTES_MAX, CheckpointFork, contradiction
from supervm.protocol.wire.payments import ForkMessage, ValidatorChanges

from ..contract.core import Outbox
from ..contract.records import Reader, Record
from .events import BelievingAgain, ForkEvidence, NothingBelieved, StoredTrustIgnored
from .light_tables import ANCHORS, CERTIFIED, FORKS, AnchorRow, CertifiedRow, ForkRow
from .validator_changes import ChangeStore
from .validator_following import ValidatorFollower

ANCHOR_BYTES_MAX = 1 << 18
"""Longest anchor: 255 validators take about 35 kB."""
TRUST_EVENTS = (ForkEvidence, NothingBelieved, BelievingAgain, StoredTrustIgnored)
"""What a light client says."""


class LightMemory:
    """The light client of one node.

    Args:
        chain: the network.
        reader: durable state, with `light_tables.TRUST_TABLES`.
        outbox: where records and events go.
        verify: signature verification.
        anchor: what the owner gives to start from instead of genesis; counts if no later one was given before.

    Raises:
        LocalProtocolError: the anchor is another network's, or the tables are damaged.
    """

    def __init__(
        self, chain: Chain, reader: Reader, outbox: Outbox, verify: Verify, *, anchor: Anchor | None = None
    ) -> None:
        self._outbox = outbox
        self.changes = ChangeStore(reader, outbox)
        """The changes of validators, for whoever asks."""
        start, is_new = self._start(chain, reader, anchor)
        self.client = LightClient(
            start,
            verify,
            max_age_ms=max_age_ms_of(chain.parameters.idle_interval_ms),
            trusting_period_ms=chain.parameters.trusting_period_ms,
        )
        """Verifies; its `fork` and `doubt` say whether anything is believed."""
        self.follower = ValidatorFollower(self.client, self.changes, outbox)
        """Leads the client from one set of validators to the next."""
        self._written: dict[int, bytes] = {}  # height -> checkpoint that is on disk
        stored = []
        for row in CERTIFIED.rows(reader):
            self._written[row.height] = row.checkpoint
            stored.append(decode(CertifiedCheckpoint, row.checkpoint, bytes_max=1 << 20))
        self._ignored = self.client.resume(self.changes.all(), stored)
        self._whole = self._leads_to(chain, start, verify)
        self._first: list[Record] = []
        if is_new:
            self._first.append(ANCHORS.put(AnchorRow("given", encode(start))))
        self._told_fork = False
        for fork in FORKS.rows(reader, first=(start.header.height + 1,), limit=1):
            self.client.fork = decode(CheckpointFork, fork.fork, bytes_max=FORK_BYTES_MAX)
            self._told_fork = True
        self._doubted = ""

    @staticmethod
    def _start(chain: Chain, reader: Reader, given: Anchor | None) -> tuple[Anchor, bool]:
        """Return the anchor to start from, and whether it is one that was not known before."""
        row = ANCHORS.get(reader, "given")
        start = anchor_of(chain) if row is None else decode(Anchor, row.anchor, bytes_max=ANCHOR_BYTES_MAX)
        if given is None or given == start or given.header.height < start.header.height:
            return start, False
        if given.header.chain_id != chain.chain_id:
            raise LocalProtocolError("the anchor is another network's than the genesis file")
        return given, True

    def _leads_to(self, chain: Chain, start: Anchor, verify: Verify) -> bool:
        """Return whether the stored changes below the anchor lead from genesis to its validators."""
        walker = LightClient(anchor_of(chain), verify, trusting_period_ms=None)
        below = [change for change in self.changes.all() if change.checkpoint.header.height < start.header.height]
        ignored = walker.resume(below, ())
        agree = not any(contradiction(change.checkpoint.header, start.header) for change in below)
        return agree and not ignored and walker.validators.hash == start.header.validators_hash

    def start(self) -> None:
        """Write and tell what the start found; to be called once, when the node starts."""
        self.changes.forget_all_but(self.client.changes, above=self.client.anchor.header.height if self._whole else 0)
        kept = {checkpoint.header.height for checkpoint in self.client.remembered}
        for height in sorted(height for height in self._written if height not in kept):
            self._first.append(CERTIFIED.delete(height))
            del self._written[height]
        if self._first:
            self._outbox.persist(*self._first)
            self._first = []
        for reason in self._ignored:
            self._outbox.publish(StoredTrustIgnored(reason))

    # --- what comes in ----------------------------------------------------------------------------------------------

    def answer(self, after_height: int) -> ValidatorChanges:
        """Return the oldest changes above a height; none if those that come first are not known here."""
        if not self._whole and after_height + 1 < self.client.anchor.header.height:
            return ValidatorChanges(())
        return self.changes.answer(after_height)

    def fork(self, message: ForkMessage, now_ms: int) -> None:
        """Take a fork that a peer shows; `take_fork` then tells whether it was one.

        Raises:
            RemoteProtocolError: it proves nothing, which costs its sender the connection.
        """
        try:
            self.client.accept_fork(message.fork, now_ms)
        except RemoteProtocolError as error:
            error.penalty = error.penalty and 100
            raise

    # --- what goes out ----------------------------------------------------------------------------------------------

    def take_fork(self) -> tuple[int, ForkMessage] | None:
        """Write and tell a fork that has been found since the last call; return the write's token and what to send."""
        fork = self.client.fork
        if fork is None or self._told_fork:
            return None
        self._told_fork = True
        raw = encode(fork)
        token = self._outbox.persist(FORKS.put(ForkRow(fork.height, raw)))
        self._outbox.publish(ForkEvidence(height=fork.height, reason=fork.reason, evidence=raw.hex()))
        return token, ForkMessage(raw)

    @property
    def fork_message(self) -> ForkMessage | None:
        """What a peer that comes is told: the fork that is known and written, or None."""
        return ForkMessage(encode(self.client.fork)) if self.client.fork is not None and self._told_fork else None

    def tell_doubt(self, now_ms: int) -> None:
        """Publish once when belief ends, and once when it is back because a clock was set right."""
        code = "" if self.client.is_trusting(now_ms) else "expired" if self.client.fork is None else "fork"
        if code != self._doubted:
            self._doubted = code
            if code:
                self._outbox.publish(NothingBelieved(code, self.client.doubt(now_ms)))
            else:
                self._outbox.publish(BelievingAgain())

    def take_records(self) -> list[Record]:
        """Return the records of checkpoints that were remembered or forgotten since the last call."""
        remembered = {checkpoint.header.height: checkpoint for checkpoint in self.client.remembered}
        records: list[Record] = [CERTIFIED.delete(height) for height in self._written if height not in remembered]
        for height in [height for height in self._written if height not in remembered]:
            del self._written[height]
        for height, checkpoint in remembered.items():
            if height not in self._written:
                self._written[height] = encode(checkpoint)
                records.append(CERTIFIED.put(CertifiedRow(height, self._written[height])))
        return records

    def info(self, now_ms: int) -> dict[str, object]:
        """Return how trust stands, for the owner: whether anything new is believed, and if not, why."""
        client, period_ms = self.client, self.client.trusting_period_ms
        return {
            "believing": client.is_trusting(now_ms),
            "reason": client.doubt(now_ms) or None,
            "anchor_height": client.anchor.header.height,
            "expires_ms": None if period_ms is None else client.header.ts_ms + period_ms,
            "fork": None
            if client.fork is None
            else {
                "height": client.fork.height,
                "reason": client.fork.reason,
                "evidence": encode(client.fork).hex(),
            },
        }
