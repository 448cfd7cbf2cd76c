"""One validator of the Simplex model: the shipped core, a write-ahead log, and a host that answers it at once.

Theory of operation. The host does what `tier_l1_super.node` does for the core, on a chain of empty blocks: it checks
blocks with `check_block`, builds empty ones, and keeps the log. What leaves is taken apart into signatures and blocks:
a signature that can be read out of a certificate, a proposal or a justification is as public as one sent alone, so the
model treats it so, and sees one that leaves too early in whatever envelope.

A host that still may crash has a slow disk: the records of a step wait in `log`, and what must wait for them in
`waiting`, until the disk has them (`disk`) or the host crashes with only the first few of them written. The disk is
done at the latest when the next event comes. A host that cannot crash any more keeps no log at all: for it
everything is durable at the end of each step, and nothing would ever read it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.header import BlockHeader, ChainRules, CheckpointRef
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.pacing import Timers
from supervm.tier_l1_super.consensus.simplex.promises import decode_promise
from supervm.tier_l1_super.consensus.simplex.resend import certificates_to_repeat
from supervm.tier_l1_super.consensus.simplex.rounds import Round, Tally
from supervm.tier_l1_super.consensus.simplex.skips import Skips
from supervm.tier_l1_super.consensus.simplex.state import LastFinal
from supervm.tier_l1_super.consensus.simplex.tree import BlockTree

from .mirror import Mirror, ModelError

PATIENCE_US = 1 << 40
"""Longer than any time-out: one tick later, every timer of the core has fired."""
PARAMETERS = Parameters(2, clock_drift_ms=1 << 30)
EMPTY = BlockBody(1, (), ())


class ModelKey:
    """A stand-in for ed25519 that a model may use because its adversary never forges: the public key is the secret."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes that `model_verify` accepts."""
        return blake2b(self.public + message, digest_size=64).digest()


def model_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Check a signature of a `ModelKey`."""
    return blake2b(public + message, digest_size=64).digest() == signature


# --- events: hashable, so that results can be remembered --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes arrive one after the other, each from its signer."""

    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A block arrives from validator `sender`."""

    sender: int
    block: Block


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate arrives from validator `sender`."""

    sender: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Verdict:
    """The check of the awaited block ends."""


@dataclass(frozen=True, slots=True)
class TimeOut:
    """Every timer of the core fires."""


@dataclass(frozen=True, slots=True)
class Sync:
    """The disk has written everything."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Power fails: `kept` of the waiting records are on disk, the host starts again from them."""

    kept: int


# --- the host ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promised:
    """A log entry: a record of the core."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Final:
    """A log entry: blocks became final up to `header`, records of its view and below are pruned."""

    header: BlockHeader
    finalization: Certificate


@dataclass(frozen=True, slots=True)
class Setup:
    """What all hosts of a model share.

    Attributes:
        rules: the epoch.
        genesis: header of view 0.
        views: hosts neither propose in nor give up views above this one.
        late_verdicts: whether the check of a block is a step of its own.
    """

    rules: ChainRules
    genesis: BlockHeader
    views: int
    late_verdicts: bool = False


class Host:
    """One validator and its disk.

    Args:
        setup: what all hosts share.
        index: this validator.
        crashes: how often it may crash yet.
    """

    def __init__(self, setup: Setup, index: int, *, crashes: int = 0) -> None:
        self.setup = setup
        self.index = index
        self.crashes = crashes
        self.log: list[Promised | Final] = []
        self.disk: dict[Promised | Final, None] = {}
        self.waiting: list[tuple[int, Vote | Block]] = []
        self.sent: dict[Vote | Block, None] = {}
        self.commits: list[bytes] = []
        self.alarms: list[str] = []
        self.verifying: list[fx.AskVerify] = []
        self._places: dict[int, int] = {}
        self.core = self._start()

    def _start(self) -> Simplex:
        """Build the core from the durable log, as a node does."""
        finalized: tuple[BlockHeader, Certificate | None] = (self.setup.genesis, None)
        for entry in self.disk:
            if isinstance(entry, Final) and entry.header.height > finalized[0].height:
                finalized = (entry.header, entry.finalization)
        promises = [decode_promise(entry.payload) for entry in self.disk if isinstance(entry, Promised)]
        rules = self.setup.rules
        core = Simplex(
            rules=rules,
            index=self.index,
            key=ModelKey(rules.validators.keys[self.index]),
            parameters=PARAMETERS,
            finalized=finalized,
            promises=promises,
        )
        self._places = {}
        self.verifying = []
        return core

    def started(self) -> None:
        """Begin, or begin again."""
        self._step(fx.Started())
        self._release()

    def take(self, event: Hashable) -> None:
        """Take one event."""
        if not isinstance(event, Crash):
            self._sync()
        match event:
            case Votes(votes):
                for vote in votes:
                    self._step(fx.VoteReceived(vote.signer, vote))
            case Proposal(sender, block):
                self._step(fx.ProposalReceived(sender, block))
            case Held(sender, certificate):
                self._step(fx.CertificateReceived(sender, certificate))
            case Verdict():
                self._answer()
            case TimeOut():
                self._step(fx.Tick(), PATIENCE_US)
            case Sync():
                pass  # done
            case Crash(kept):
                self.disk.update((entry, None) for entry in self.log[:kept])
                self._release(kept)  # what waited for the records that were kept may have left
                self.waiting, self.log = [], []
                self.crashes -= 1
                self.core = self._start()
                self.started()
            case _:
                raise LocalProtocolError(f"no event of this model: {event}")
        self._release()

    def repeats(self) -> list[Hashable]:
        """Return the certificates that the core would repeat, and the blocks it would hand out for them."""
        events: list[Hashable] = []
        for certificate in certificates_to_repeat(self.core._final.certificate, self.core._rounds):
            events.append(Held(self.index, certificate))
            block = self.core.block(certificate.digest)
            if block is not None:
                events.append(Proposal(self.index, block))
        return events

    def _step(self, event: fx.Event, later_us: int = 0) -> None:
        # the core's clock stands still but for time-outs, so that equal states have equal clocks
        effects = self.core.step(self.core._now_us + later_us, event)
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.PersistPromise(token, payload):
                self.log.append(Promised(payload))
                self._places[token] = len(self.log)
            case fx.Broadcast(message, after) | fx.SendTo(_, message, after):
                place = self._place(after)
                self.waiting.extend((place, item) for item in self._own(message))
            case fx.Committed(blocks, finalization, _):
                self.commits.extend(block.hash for block in blocks if block.hash not in self.commits)
                self.log.append(Final(blocks[-1].header, finalization))
            case fx.AskVerify():
                self.verifying = [effect]
                if not self.setup.late_verdicts:
                    self._answer()
            case fx.AskBuild(view, _, parent):
                if view <= self.setup.views:
                    built = fx.Built(view, EMPTY, parent.ts_ms + 1, CheckpointRef(1, 0, bytes(32)))
                    self._step(built)
            case fx.ForkFound(reason, _):
                self.alarms.append(reason)
            case _:
                pass  # blocks are asked for by being deliverable at any time; blame and evidence change nothing

    def _place(self, after: int) -> int:
        """Return how many of the waiting records must be on disk before what waits for `after` may leave (rule P0)."""
        return self._places.get(after, 0)

    def _answer(self) -> None:
        for ask in self.verifying:
            self.verifying = []
            try:
                check_block(ask.block, ask.parent, self.setup.rules)
            except RemoteProtocolError:
                self._step(fx.BlockVerified(ask.block.hash, ok=False))
            else:
                self._step(fx.BlockVerified(ask.block.hash, ok=True))

    def _sync(self) -> None:
        self.disk.update((entry, None) for entry in self.log)
        self._release(len(self.log))
        self.log, self._places = [], {}

    def _release(self, durable: int = 0) -> None:
        """Let out what waits for no more than `durable` of the waiting records.

        A host that cannot crash again waits for nothing, and keeps no records.
        """
        if not self.crashes:
            self.sent.update((item, None) for _, item in self.waiting)
            self.waiting, self.log, self.disk, self._places = [], [], {}, {}
        else:
            self.sent.update((item, None) for place, item in self.waiting if place <= durable)
            self.waiting = [(place, item) for place, item in self.waiting if place > durable]

    def _own(self, message: Message) -> Iterable[Vote | Block]:
        """Return this validator's signatures and blocks that anybody can read out of a message."""
        if isinstance(message, VoteMessage):
            yield from message.votes
        elif isinstance(message, CertificateMessage):
            for certificate in message.certificates:
                yield from self._own_in(certificate)
        elif isinstance(message, ProposalMessage):
            block = decode(Block, message.block)
            header = block.header
            yield block
            yield Vote(1, VoteKind.NOTARIZE, header.epoch, header.view, block.hash, header.proposer, block.signature)
            for certificate in (*block.just.parent, *block.just.nullifications):
                yield from self._own_in(certificate)

    def _own_in(self, certificate: Certificate) -> Iterable[Vote]:
        for signer, signature in certificate.signatures:
            if signer == self.index:
                kind, epoch, view = certificate.kind, certificate.epoch, certificate.number
                yield Vote(1, kind, epoch, view, certificate.digest, signer, signature)


_ROUND_FIELDS = (
    "view",
    "tallies",
    "certificates",
    "own",
    "proposal",
    "proposal_hash",
    "poisoned",
    "asked",
    "refused",
    "accused",
    "propose_again_us",
)


def _round_view(round_: Round) -> tuple[object, ...]:
    """Return what of a view's round decides what happens next, but signers' names, evidence and instants.

    Votes of a kind that is certified are never counted again; they only serve to report evidence.
    """
    return (
        frozenset(
            vote
            for kind, tally in round_.tallies.items()
            if kind not in round_.certificates
            for vote in tally.votes.values()
        ),
        frozenset(round_.own.values()),
        round_.proposal_hash,
        round_.poisoned,
        round_.asked,
        round_.refused,
    )


def _round_anonymous(round_: Round) -> tuple[object, ...]:
    certified = frozenset((kind, held.digest) for kind, held in round_.certificates.items())
    return (certified, *_round_view(round_))


def _round_signed(round_: Round) -> tuple[object, ...]:
    return (frozenset(round_.certificates.values()), *_round_view(round_))


def _final_anonymous(final: LastFinal) -> tuple[object, ...]:
    return final.view, final.hash


def host_mirror(*, signers: bool) -> Mirror:
    """Return how hosts are copied and compared.

    Left out of the comparison: what is the same for all (rules, parameters, keys), instants - the model lets every
    timer fire at any time -, counters that only name records, the core's list of records - the host keeps the log -,
    and what only limits repeats or reports (already told, already accused, last heard of, asked for: in the model
    everything sent may arrive at any time anyway).

    Args:
        signers: whether certificates of the same statement by different signers are told apart. The rules look at
            signers only to decide whether a certificate contains an own signature that must wait for the disk, so
            only hosts that may crash need it.
    """
    found = tuple(field.name for field in fields(Round))
    if found != _ROUND_FIELDS:
        raise ModelError(f"Round has the attributes {found}; decide for each whether _round_view must compare it")
    view: dict[type, Callable[[Any], Any]] = {Round: _round_signed if signers else _round_anonymous}
    if not signers:
        view[LastFinal] = _final_anonymous
    return Mirror(
        mutable=(Host, Simplex, Round, Tally, BlockTree, Timers, Skips),
        shared=(ModelKey,),
        view=view,
        omit=(
            "Host.setup",
            "Host._places",
            "Simplex.rules",
            "Simplex._key",
            "Simplex._parameters",
            "Simplex._timers",
            "Simplex._now_us",
            "Simplex._beat_us",
            "Simplex._final_at_us",
            "Simplex._retry_us",
            "Simplex._idle_interval_us",
            "Simplex._is_busy",
            "Simplex._told_us",
            "Simplex._heard_view",
            "Simplex._wanted",
            "Simplex._token",
            "Simplex._effects",
            "Simplex._records",
            "Simplex._repeats",
            "Simplex._void_records",
            "Skips._rules",
        ),
    )
