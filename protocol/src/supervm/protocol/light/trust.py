"""Which checkpoints a light client believes: its anchor, and what the validators that it leads to have certified.

Theory of operation (consensus.md 5). From the anchor on, a header is believed that a quorum of the trusted set signed,
and a `ValidatorChange` moves that trust on to the next set.

Keys outlive the office. Somebody who gets hold of the keys of former validators can sign another history, and the
mathematics cannot tell. So trust has an age: validators answer for what they signed for the trusting period after their
epoch, and whoever trusts no header that is younger than that believes nothing new; a newer anchor is needed. Within the
period a lie is found by comparing: what was followed and accepted is remembered by height, and a certified checkpoint
that contradicts it is a fork (`forks`). Then nobody can say which of the two is true, so nothing is believed any more
until a newer anchor decides. Time is the caller's clock; nothing dated ahead of it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..base.codec import Agreed, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import ZERO_HASH
from ..chain.checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from ..chain.genesis import TRUSTING_PERIOD_MS, Chain
from ..chain.set_change import proposed_set
from ..chain.validators import ValidatorList, ValidatorSet
from ..chain.votes import Verify
from .forks import FORK_BYTES_MAX, CheckpointFork, Remembered, check_fork, checkpoint_fork, contradiction

CLOCK_DRIFT_MS_MAX = 2_000
"""How far ahead of our clock a header's time may be."""


class Anchor(Agreed, tag="anchor", frozen=True):
    """What a light client starts from.

    Attributes:
        version: layout, 1.
        header: a checkpoint header that is trusted without signatures.
        validators: the set that its `validators_hash` names: those of its epoch.
    """

    version: Literal[1]
    header: CheckpointHeader
    validators: ValidatorList


class ValidatorChange(Agreed, tag="valchange", frozen=True):
    """One step of the ratchet: who hands over to whom.

    Attributes:
        version: layout, 1.
        checkpoint: the sealing one of an epoch, certified by the epoch's validators.
        validators: the set that its `next_validators_hash` names, another one than before.
    """

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    validators: ValidatorList


def anchor_of(chain: Chain) -> Anchor:
    """Return the anchor that a genesis file is."""
    return Anchor(1, chain.anchor, ValidatorList(1, chain.genesis.validators))


class Trust:
    """The checkpoints and the validators that are believed from an anchor on, and the newest header among them.

    Args:
        anchor: trusted start.
        verify: signature verification.
        trusting_period_ms: how old the newest trusted header may be, a parameter of the chain; None for a client that
            does not ask (a node that follows the whole chain and takes a part of it as a snapshot).
    """

    def __init__(self, anchor: Anchor, verify: Verify, *, trusting_period_ms: int | None = TRUSTING_PERIOD_MS) -> None:
        self.validators = ValidatorSet(anchor.validators.members)
        """The newest set that is trusted."""
        self.changes: list[ValidatorChange] = []
        """The changes followed since the anchor, oldest first."""
        if self.validators.hash != anchor.header.validators_hash:
            raise RemoteProtocolError("the anchor's validators are not the ones its header names", code="bad-anchor")
        self.chain_id: bytes = anchor.header.chain_id
        self.header = anchor.header
        self.fork: CheckpointFork | None = None
        """Two certified checkpoints that contradict each other; nothing is believed while there are."""
        self.remembered = Remembered()
        """Checkpoints that were checked, to compare others with."""
        self.trusting_period_ms = trusting_period_ms
        self.anchor = anchor
        """Where trust begins."""
        self._verify = verify
        self._accepted: bytes | None = None  # the newest checkpoint's bytes: a repeated one costs no signature checks
        self._former: list[tuple[ValidatorSet, CheckpointHeader]] = []  # sets that handed over, and where they did

    # --- whether anything can be believed ---------------------------------------------------------------------------

    def check_trust(self, now_ms: int) -> None:
        """Check that something new may be believed at all.

        Raises:
            RemoteProtocolError: a fork is known (code ``fork``), or the newest trusted header is as old as the trusting
                period or older (code ``expired``). Neither is the fault of whoever sent something: no penalty.
        """
        doubt = self.doubt(now_ms)
        if doubt:
            raise RemoteProtocolError(doubt, penalty=0, code="expired" if self.fork is None else "fork")

    def doubt(self, now_ms: int) -> str:
        """Return in plain words why nothing new can be believed; empty while it can."""
        if self.fork is not None:
            return (
                f"the network's validators contradict themselves ({self.fork.reason}): nothing is believed until a "
                "newer anchor decides"
            )
        if self.is_expired(now_ms):
            days, period_ms = (now_ms - self.header.ts_ms) // 86_400_000, self.trusting_period_ms or 0
            return (
                f"the newest header that is trusted here, {self.header.height}, is {days} days old by this machine's "
                f"clock, and validators answer for what they signed for {period_ms / 86_400_000:.3g} days: a newer "
                "anchor is needed"
            )
        return ""

    def is_trusting(self, now_ms: int) -> bool:
        """Return whether anything new can be believed, as `check_trust` checks."""
        return self.fork is None and not self.is_expired(now_ms)

    def is_expired(self, now_ms: int) -> bool:
        """Return whether the newest trusted header is as old as the trusting period, or older."""
        return self.trusting_period_ms is not None and self.header.ts_ms + self.trusting_period_ms <= now_ms

    def accept_fork(self, data: bytes, now_ms: int) -> bool:
        """Take a `CheckpointFork` that somebody shows; return whether it is news, after which nothing is believed.

        Once a fork is known no other is looked at; one that begins at or below the anchor's height is decided.

        Raises:
            RemoteProtocolError: it proves nothing, or names validators that are not known here or answer no more (code
                ``unknown-set``, no penalty).
        """
        if self.fork is not None:
            return False
        self.check_trust(now_ms)
        fork = decode(CheckpointFork, data, bytes_max=FORK_BYTES_MAX)
        if fork.height <= self.anchor.header.height:
            return False
        check_fork(fork, self.chain_id, self._answerable(now_ms), self._verify)
        self.fork = fork
        return True

    def _answerable(self, now_ms: int) -> list[ValidatorSet]:
        """Return the sets that still answer for what they sign: the present one, and those of a trusting period ago."""
        period_ms = self.trusting_period_ms
        return [
            *(
                validators
                for validators, sealing in self._former
                if period_ms is None or sealing.ts_ms + period_ms > now_ms
            ),
            self.validators,
        ]

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def accept_checkpoint(self, data: bytes, now_ms: int) -> CheckpointHeader:
        """Check a `CertifiedCheckpoint` and make it the newest if it is; return its header.

        Raises:
            RemoteProtocolError: as `check_checkpoint`, or it is below the highest height seen (code ``stale``).
        """
        self.check_trust(now_ms)
        if data == self._accepted:
            return self.header
        checkpoint = decode(CertifiedCheckpoint, data, bytes_max=1 << 20)
        header = checkpoint.header
        if header.height < self.header.height:
            self._compare(checkpoint, now_ms)
            raise RemoteProtocolError(
                f"checkpoint {header.height} is below {self.header.height}, the highest seen", penalty=0, code="stale"
            )
        self.check_checkpoint(checkpoint, now_ms)
        self.header = header
        self._accepted = data
        return header

    def check_checkpoint(self, checkpoint: CertifiedCheckpoint, now_ms: int) -> None:
        """Check a checkpoint of any height that a trusted set may speak for; it never becomes the newest.

        Raises:
            RemoteProtocolError: malformed, not signed by a quorum of the trusted set, from the future (code
                ``future``), of a former set that answers no more (``expired-set``), of validators that `follow` must
                bring first (``unknown-set``), against the anchor (``not-after-anchor``), or in contradiction to another
                one (``fork``, no penalty: whoever brings the second of two is not to blame for it). Or nothing can be
                believed at all: see `check_trust`.
        """
        self.check_trust(now_ms)
        header = checkpoint.header
        self._check_time(header, now_ms)
        self._compare(checkpoint, now_ms)
        validators = self._set_for(header)
        if not any(validators is answering for answering in self._answerable(now_ms)):
            raise RemoteProtocolError(
                f"checkpoint {header.height} is of validators that answer no more for what they signed",
                penalty=0,
                code="expired-set",
            )
        self._take(checkpoint, validators)

    def signed_ms(self, checkpoint: CertifiedCheckpoint) -> int:
        """Return the time of a checkpoint that a quorum of the present set signed, also one ahead of every clock here.

        Nothing else is believed of it. Honest validators sign no time that is ahead of their clocks by more than the
        drift, and a quorum has f + 1 of them at least.

        Raises:
            RemoteProtocolError: it is of another chain or set, or not signed by a quorum.
        """
        check_certified_checkpoint(checkpoint, self.chain_id, self.validators, self._verify)
        return checkpoint.header.ts_ms

    def _check_time(self, header: CheckpointHeader, now_ms: int) -> None:
        if header.ts_ms > now_ms + CLOCK_DRIFT_MS_MAX:
            raise RemoteProtocolError(
                f"the checkpoint's time is {header.ts_ms - now_ms} ms ahead; at most "
                f"{CLOCK_DRIFT_MS_MAX} ms are allowed",
                code="future",
            )

    def _compare(self, checkpoint: CertifiedCheckpoint, now_ms: int) -> None:
        """Compare with what is remembered; only what contradicts it costs signature checks.

        Raises:
            RemoteProtocolError: it does, and is certified by a set that answers for it (code ``fork``) or by nobody
                that counts.
        """
        rival = self.remembered.rival(checkpoint.header)
        if rival is None:
            return
        for validators in self._answerable(now_ms):
            if validators.hash == checkpoint.header.validators_hash:
                check_certified_checkpoint(checkpoint, self.chain_id, validators, self._verify)
                self.fork = checkpoint_fork(rival, checkpoint)
                self.check_trust(now_ms)

    def _take(self, checkpoint: CertifiedCheckpoint, validators: ValidatorSet, *, keep: bool = False) -> None:
        """Check that `validators` certified a checkpoint that nothing remembered contradicts, and remember it."""
        header = checkpoint.header
        check_certified_checkpoint(checkpoint, self.chain_id, validators, self._verify)
        reason = contradiction(self.anchor.header, header)
        if reason:
            raise RemoteProtocolError(f"against the anchor: {reason}", penalty=100, code="not-after-anchor")
        if self.remembered.rival(header) is not None:  # of a set that answers no more, and was believed in its time
            raise RemoteProtocolError(f"checkpoint {header.height} contradicts another one", code="wrong-set")
        self.remembered.add(checkpoint, keep=keep)

    def _set_for(self, header: CheckpointHeader) -> ValidatorSet:
        """Return the trusted set that speaks at this height."""
        for validators, sealing in self._former:
            if header.height <= sealing.height:
                if header.chain_id == self.chain_id and header.validators_hash != validators.hash:
                    # of A, B, A, C a client may have been led from A to C at once: B's word is no lie, but unproved
                    raise RemoteProtocolError(
                        f"checkpoint {header.height} is of other validators than those that are known to have "
                        "certified that height",
                        penalty=0,
                        code="wrong-set",
                    )
                return validators
        if header.chain_id == self.chain_id and (
            header.validators_hash != self.validators.hash or self._lacks_changes_below(header.height)
        ):
            raise RemoteProtocolError(
                f"checkpoint {header.height} is signed by validators that this client does not know yet; ask for the "
                f"changes since height {self.changed_height}",
                penalty=0,
                code="unknown-set",
            )
        return self.validators

    def _lacks_changes_below(self, height: int) -> bool:
        """Return whether the newest header, below `height`, is of another set than the changes followed so far lead to.

        That set has validated before and came back: the changes in between are still to be followed.
        """
        return self.changed_height < self.header.height < height and self.header.validators_hash != self.validators.hash

    # --- changes of validators --------------------------------------------------------------------------------------

    @property
    def changed_height(self) -> int:
        """Height up to which changes were followed: that of the newest, else right below the anchor's."""
        return self._former[-1][1].height if self._former else max(0, self.anchor.header.height - 1)

    def follow(self, change: ValidatorChange, now_ms: int) -> bool:
        """Take the next change of validators; return False if it is one that was followed already.

        Raises:
            RemoteProtocolError: the trusted set has not signed it, it hands over to other validators than those listed,
                or it is no sealing checkpoint (code ``bad-change``); it is dated ahead of the clock (``future``); it
                contradicts what was followed or accepted (``fork``). Or nothing can be believed at all: see
                `check_trust`.
        """
        self.check_trust(now_ms)
        header = change.checkpoint.header
        if header.height < self.anchor.header.height:
            return False
        known = self.remembered.get(header.height)
        if header.height <= self.changed_height and known is not None and known.header == header:
            return False
        self._check_time(header, now_ms)
        self._compare(change.checkpoint, now_ms)
        if header.height <= self.changed_height:
            return False
        self._follow(change)
        return True

    def check_change(self, change: ValidatorChange, now_ms: int) -> None:
        """Check whether `follow` would take this as the next change now; nothing changes.

        Raises:
            RemoteProtocolError: as `follow`.
        """
        self.check_trust(now_ms)
        self._check_time(change.checkpoint.header, now_ms)
        self._compare(change.checkpoint, now_ms)
        self._following(change)
        check_certified_checkpoint(change.checkpoint, self.chain_id, self.validators, self._verify)

    def _following(self, change: ValidatorChange) -> ValidatorSet:
        """Return the set that a change hands over to, whose signatures are not checked yet."""
        header = change.checkpoint.header
        if header.next_validators_hash in (ZERO_HASH, header.validators_hash):
            raise RemoteProtocolError(f"checkpoint {header.height} does not hand over to others", code="bad-change")
        if self._lacks_changes_below(header.height):
            raise RemoteProtocolError(
                f"changes of validators are left out between {self.changed_height} and {header.height}",
                code="bad-change",
            )
        following = proposed_set(change.validators)
        if following.hash != header.next_validators_hash:
            raise RemoteProtocolError(
                f"checkpoint {header.height} does not hand over to these validators", penalty=100, code="bad-change"
            )
        return following

    def _follow(self, change: ValidatorChange) -> None:
        header, following = change.checkpoint.header, self._following(change)
        self._take(change.checkpoint, self.validators, keep=True)
        self._former.append((self.validators, header))
        self.validators = following
        self.changes.append(change)
        if header.height > self.header.height:
            self.header = header
            self._accepted = None

    # --- what outlives the process ----------------------------------------------------------------------------------

    def resume(self, changes: Iterable[ValidatorChange], checkpoints: Iterable[CertifiedCheckpoint]) -> list[str]:
        """Go on from what an earlier run had checked, whatever the clock says now; each ascending by height.

        A clock that was set back must not let anybody show a state below one that was seen. What is below the anchor is
        of no use any more. Returns why others were ignored: they are not what this client's anchor leads to.
        """
        ignored: list[str] = []
        for change in changes:
            height = change.checkpoint.header.height
            if height > self.changed_height:
                try:
                    self._follow(change)
                except RemoteProtocolError as error:
                    ignored.append(f"change of validators at {height}: {error.reason}")
        for checkpoint in checkpoints:
            header = checkpoint.header
            if header.height > self.anchor.header.height:
                try:
                    self._take(checkpoint, self._set_for(header))
                except RemoteProtocolError as error:
                    ignored.append(f"checkpoint {header.height}: {error.reason}")
                else:
                    if header.height > self.header.height:
                        self.header, self._accepted = header, encode(checkpoint)
        return ignored

    def newest_anchor(self) -> Anchor:
        """Return the newest trusted header with the validators that signed it, for another client to start from."""
        sets = [*(validators for validators, _ in self._former), self.validators]
        (signers, *_) = (validators for validators in sets if validators.hash == self.header.validators_hash)
        return Anchor(1, self.header, ValidatorList(1, signers.members))
