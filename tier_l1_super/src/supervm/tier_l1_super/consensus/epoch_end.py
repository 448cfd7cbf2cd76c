"""How this epoch ends: EpochClose, set changes and NextReady (consensus.md 2.11; `supervm.protocol.chain.controls`).

Theory of operation. Four kinds of signatures lead from one epoch to the next. *Approvals* of a set of validators are
what operators ask their nodes for; of quorum weight they make a set change, which a leader puts into its block.
*NextReady* says that a member of the proposed set has executed that block. *EpochClose* says that this validator has
executed a block past the epoch's time and votes on no batch of it any more; that is a promise (W8), so it is on disk
before it leaves. All of them are sent to every validator, repeated every second until they are in the executed chain,
verified when they come, and offered to whoever leads next. None of them says anything about another epoch.

An operator's approval is a standing wish: it is signed anew in each epoch until the set it names is in force or the
operator withdraws it, because a set whose members are not up in time lapses with the epoch.

A withdrawal is said as loudly as an approval: it is an approval of no set (a zero hash, which no set has), and since
only the newest approval of a validator counts, whoever has it no longer counts the one before. It is repeated until the
epoch ends, also after a restart. What it cannot undo is a change that already stands in the chain, and signatures that
a dishonest validator has kept: within this epoch it may still show them.
"""

from __future__ import annotations

from supervm.common.contract.records import Append, Record
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.body import BlockBody, OwnSignatures
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.progress import mask_weight, signers_mask
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import Vote, VoteKind, statement
from supervm.protocol.wire.consensus import VoteMessage

from ..ground import Ground
from ..tables import WISHES, WishRow
from .simplex.promises import ClosePromise, encode_promise

REPEAT_US = 1_000_000
"""Own signatures that are not in the executed chain yet are repeated this often."""
KINDS = (VoteKind.EPOCH_CLOSE, VoteKind.SET_CHANGE, VoteKind.NEXT_READY)
_WISH = "validators"
_WITHDRAWN = "withdrawn"  # the number of the epoch in which an approval was taken back


class EpochEnd(Part):
    """Signatures about the end of the epoch at one node.

    Args:
        ground: what every part stands on.
        promised: whether the write-ahead log holds an EpochClose of this epoch.
    """

    sends = frozenset({VoteMessage})
    tables = (WISHES,)

    def __init__(self, ground: Ground, *, promised: bool) -> None:
        self._ground = ground
        self._seat, self._ledger, self._outbox = ground.seat, ground.ledger, ground.outbox
        seat, reader = ground.seat, ground.reader
        ground.head.close(promised)
        self._closes: dict[int, bytes] = {}
        self._approvals: dict[int, tuple[bytes, bytes]] = {}  # index -> (set, signature): the newest of each validator
        self._ready: dict[int, bytes] = {}  # index in the proposed set -> signature
        self._own: dict[VoteKind, Vote] = {}
        self._written = 0  # write that own signatures wait for
        self._repeat_at_us: int | None = None
        row = WISHES.get(reader, _WISH)
        self.wish: ValidatorSet | None = None
        """The set that the operator wants next."""
        if row is not None:
            self.wish = ValidatorSet(decode(ValidatorList, row.value).members)
        row = WISHES.get(reader, _WITHDRAWN)
        self._withdrawn = row is not None and row.value == _epoch_bytes(seat.rules.epoch)

    @property
    def closing(self) -> bool:
        """Whether this node has closed the epoch: it votes on no batch of it."""
        return self._ground.head.is_closing

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._repeat_at_us

    def start(self, now_us: int) -> None:
        """Say again what was said in this epoch; called at the start and whenever an epoch begins."""
        if self.closing:
            self._sign(VoteKind.EPOCH_CLOSE, ZERO_HASH, self._seat.index, now_us)
        self._approve(now_us)
        self.executed(self._ledger.block_header, now_us)

    def enter_epoch(self, now_us: int) -> None:
        """Begin anew: nothing of the epoch before counts."""
        self._ground.head.close(False)
        for table in (self._closes, self._approvals, self._ready, self._own):
            table.clear()
        self._repeat_at_us = None
        self._withdrawn = False
        if self.wish is not None and self.wish.hash == self._seat.rules.validators.hash:
            self.wish = None
            self._outbox.persist(WISHES.delete(_WISH))
        self.start(now_us)

    def want(self, wish: ValidatorSet | None, now_us: int) -> None:
        """Take the operator's wish for the next set; None withdraws it."""
        index, present = self._seat.index, self._seat.rules.validators.hash
        said = index in self._approvals or (self.wish is not None and self.wish.hash != present)
        self.wish = wish
        self._own.pop(VoteKind.SET_CHANGE, None)  # of the wish before
        if index is not None:
            self._approvals.pop(index, None)
        records: list[Record] = [WISHES.delete(_WISH)]
        if wish is not None:
            records = [WISHES.put(WishRow(_WISH, encode(ValidatorList(1, wish.members))))]
        if wish is None or wish.hash == present:
            self._withdrawn = index is not None and (self._withdrawn or said)
            if self._withdrawn:
                records.append(WISHES.put(WishRow(_WITHDRAWN, _epoch_bytes(self._seat.rules.epoch))))
        else:
            self._withdrawn = False
            records.append(WISHES.delete(_WITHDRAWN))
        self._written = self._outbox.persist(*records)
        self._approve(now_us)

    def _approve(self, now_us: int) -> None:
        """Say what the operator wants; to stay with the present validators is to approve nothing."""
        if self.wish is not None and self.wish.hash != self._seat.rules.validators.hash:
            self._sign(VoteKind.SET_CHANGE, self.wish.hash, self._seat.index, now_us)
        elif self._withdrawn:
            self._sign(VoteKind.SET_CHANGE, ZERO_HASH, self._seat.index, now_us)

    def executed(self, header: BlockHeader, now_us: int) -> None:
        """Follow an executed block: it may be time to close the epoch, or we may be ready for the next one."""
        rules = self._seat.rules
        if header.epoch != rules.epoch:
            return
        if rules.is_closing(header) and not self.closing:
            self._ground.head.close(True)
            if self._seat.index is not None:
                self._written = self._outbox.persist(Append(encode_promise(ClosePromise(1, rules.epoch))))
            self._sign(VoteKind.EPOCH_CLOSE, ZERO_HASH, self._seat.index, now_us)
        proposed = self._ledger.proposed
        if proposed is not None and VoteKind.NEXT_READY not in self._own and self._seat.may_vote_in(rules.epoch + 1):
            place = self._seat.place_in(proposed)
            if place is not None and not signers_mask(rules.progress_of(header).ready) >> place & 1:
                self._sign(VoteKind.NEXT_READY, proposed.hash, place, now_us)
        self._forget_included(header)

    def _forget_included(self, header: BlockHeader) -> None:
        """Repeat nothing that is in the executed chain."""
        progress = self._seat.rules.progress_of(header)
        included = {VoteKind.EPOCH_CLOSE: progress.closers, VoteKind.NEXT_READY: progress.ready}
        for kind, vote in list(self._own.items()):
            if kind is VoteKind.SET_CHANGE:
                done = progress.next_validators_hash != ZERO_HASH
            else:
                done = bool(signers_mask(included[kind]) >> vote.signer & 1)
            if done:
                del self._own[kind]

    def _sign(self, kind: VoteKind, digest: bytes, index: int | None, now_us: int) -> None:
        """Sign, count and send; without a place (`index` None) there is nothing to sign."""
        key, rules = self._seat.own_key, self._seat.rules
        if index is None or key is None:
            return
        signature = key.sign(statement(rules.chain_id, kind, rules.epoch, 0, digest))
        vote = Vote(1, kind, rules.epoch, 0, digest, index, signature)
        self._own[kind] = vote
        self._keep(vote)
        self._ground.broadcast(VoteMessage((vote,)), self._written)
        self._repeat_at_us = now_us + REPEAT_US

    def _keep(self, vote: Vote) -> None:
        if vote.kind is VoteKind.EPOCH_CLOSE:
            self._closes[vote.signer] = vote.signature
        elif vote.kind is VoteKind.SET_CHANGE:
            self._approvals[vote.signer] = (vote.digest, vote.signature)
        else:
            self._ready[vote.signer] = vote.signature

    def vote(self, peer: bytes, vote: Vote) -> bool:
        """Take a signature over the link of its signer; return whether it is new.

        Raises:
            RemoteProtocolError: it is not the peer's own, or not a valid signature.
        """
        rules = self._seat.rules
        if vote.epoch != rules.epoch:
            return False
        validators = rules.validators
        if vote.kind is VoteKind.NEXT_READY:
            proposed = self._ledger.proposed
            if proposed is None or proposed.hash != vote.digest:
                return False  # we are behind, or it is: it will be repeated
            validators = proposed
        if validators.index_of_node.get(peer, -1) != vote.signer or vote.number:
            raise RemoteProtocolError(f"the {vote.kind.name} is not the peer's own", penalty=50, code="bad-vote")
        if vote.kind is VoteKind.EPOCH_CLOSE and vote.digest != ZERO_HASH:
            raise RemoteProtocolError("an EpochClose carries a hash; it must be zero", penalty=50, code="bad-vote")
        held = {
            VoteKind.EPOCH_CLOSE: self._closes.get(vote.signer),
            VoteKind.SET_CHANGE: self._approvals.get(vote.signer, (b"", b""))[1],
            VoteKind.NEXT_READY: self._ready.get(vote.signer),
        }[vote.kind]
        if held == vote.signature:
            return False
        if not rules.verify(validators.keys[vote.signer], vote.statement(rules.chain_id), vote.signature):
            raise RemoteProtocolError(
                f"the {vote.kind.name} is not signed by its signer", penalty=50, code="bad-signature"
            )
        self._keep(vote)
        return True

    def approvals(self) -> list[dict[str, object]]:
        """Return the sets that validators approve now, the one of most weight first, for people.

        Each is ``{"validators_hash", "weight", "validators", "own"}``: whose approvals are known here, by index, and
        whether it is this operator's wish.
        """
        by_set: dict[bytes, list[int]] = {}
        for index, (digest, _) in sorted(self._approvals.items()):
            if digest != ZERO_HASH:
                by_set.setdefault(digest, []).append(index)
        weight_of = self._seat.rules.validators.weight_of
        found = [(weight_of(indices), digest, indices) for digest, indices in by_set.items()]
        return [
            {
                "validators_hash": digest.hex(),
                "weight": weight,
                "validators": indices,
                "own": self.wish is not None and self.wish.hash == digest,
            }
            for weight, digest, indices in sorted(found, key=lambda item: (-item[0], item[1]))
        ]

    def content(self, parent: BlockHeader) -> tuple[OwnSignatures, tuple[SetChange, ...], OwnSignatures]:
        """Return what a block on `parent` can add: EpochCloses, a set change, NextReadys."""
        rules = self._seat.rules
        if rules.is_sealed(parent):
            return (), (), ()
        progress = rules.progress_of(parent)
        closes = _absent(self._closes, progress.closers)
        if progress.next_validators_hash == ZERO_HASH:
            return closes, self._set_change(), ()
        proposed = self._ledger.proposed
        known = proposed is not None and proposed.hash == progress.next_validators_hash
        return closes, (), _absent(self._ready, progress.ready) if known else ()

    def _set_change(self) -> tuple[SetChange, ...]:
        """Return the wished set as a change if validators of quorum weight approve it."""
        validators, wish = self._seat.rules.validators, self.wish
        if wish is None:
            return ()
        signatures = {
            index: signature for index, (digest, signature) in sorted(self._approvals.items()) if digest == wish.hash
        }
        if validators.weight_of(signatures) < validators.quorum:
            return ()
        return (SetChange(1, ValidatorList(1, wish.members), tuple(signatures.items())),)

    def is_urgent(self, parent: BlockHeader, body: BlockBody) -> bool:
        """Return whether a body should not wait for more: it seals the epoch, or brings a set change."""
        rules = self._seat.rules
        mask = signers_mask(rules.progress_of(parent).closers) | sum(1 << index for index, _ in body.closes)
        seals = bool(body.closes) and mask_weight(mask, rules.validators) >= rules.validators.quorum
        return seals or bool(body.set_changes)

    def tick(self, now_us: int) -> None:
        """Repeat what is not in the executed chain yet."""
        if self._repeat_at_us is not None and self._repeat_at_us <= now_us:
            if self._own:
                self._ground.broadcast(VoteMessage(tuple(self._own.values())), self._written)
            self._repeat_at_us = now_us + REPEAT_US if self._own else None

    def live_promises(self) -> list[ClosePromise]:
        """Return the promise that a compacted write-ahead log must keep."""
        return [ClosePromise(1, self._seat.rules.epoch)] if self.closing and self._seat.index is not None else []


def _epoch_bytes(epoch: int) -> bytes:
    return epoch.to_bytes(8, "big")


def _absent(signatures: dict[int, bytes], held: bytes) -> OwnSignatures:
    mask = signers_mask(held)
    return tuple((index, signature) for index, signature in sorted(signatures.items()) if not mask >> index & 1)
