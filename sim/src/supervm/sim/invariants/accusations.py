"""Contradictions that honest validators are shown, and whether anybody accuses their maker (consensus.md 2.10).

One sighting proves nothing about the one who saw it: the view may be over for it by then, or one of the two signatures
came in a message that it need not read. What is demanded is little, and enough to notice that a kind of evidence is
never found: a validator whose contradiction was delivered again and again, as votes of views or heights that were open
at the receiver, has been accused of it by somebody in the end.
"""

from __future__ import annotations

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import hash_justification
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import ProposalMessage, VoteMessage
from supervm.tier_l1_super.node import ValidatorNode

from ..exact import Delivered, Host
from .evidence import EvidenceWatch
from .facts import BYTES_MAX, Facts
from .promises import PromiseWatch

SHOWN_MIN = 8
"""Times that a contradiction of one kind by one host must have been shown before its evidence is demanded."""
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


class AccusationWatch:
    """Counts contradictions as they are delivered.

    Args:
        facts: shared knowledge.
        evidence: what was published.
        promises: knows which blocks prove their place.
    """

    def __init__(self, facts: Facts, evidence: EvidenceWatch, promises: PromiseWatch) -> None:
        self._facts, self._evidence, self._promises = facts, evidence, promises
        self._shown: dict[tuple[str, str], int] = {}  # (kind, accused host) -> times
        self._seen: dict[tuple[str, int, int, VoteKind, int, int], tuple[bytes, int]] = {}
        """(receiver, its life, signer, kind, epoch, number) -> what it was shown first, and in which message."""
        self._messages = 0

    def delivered(self, event: Delivered) -> None:
        """Look at a message that an honest validator is given."""
        core, message, sender = event.receiver.core, event.message, event.sender
        if not isinstance(core, ValidatorNode) or core.seat.index is None or self._facts.is_honest(sender):
            return
        self._messages += 1
        if type(message) is VoteMessage:
            for vote in message.votes:
                self._vote(event.receiver, core, sender, vote)
        elif type(message) is ProposalMessage:
            self._proposal(event.receiver, core, sender, message)
        elif type(message) is BatchMessage and core.seat.rules.validators.index_of_node.get(sender.node_id) is None:
            self._batch(core, sender, message)

    def _vote(self, receiver: Host, core: ValidatorNode, sender: Host, vote: Vote) -> None:
        rules = core.seat.rules
        if vote.epoch != rules.epoch or rules.validators.index_of_node.get(sender.node_id) != vote.signer:
            return
        if vote.kind is VoteKind.CHECKPOINT:
            is_open = core.executor.tally.height < vote.number <= core.ledger.height
        else:
            is_open = vote.kind in (NOTARIZE, NULLIFY, FINALIZE) and (
                core.simplex.final.view < vote.number <= core.simplex.view
            )
        message = self._facts.statement(vote.kind, vote.epoch, vote.number, vote.digest)
        if not is_open or not self._facts.signed(vote.signer, vote.epoch, message, vote.signature):
            return
        name, life = receiver.name, receiver.life
        place = (name, life, vote.signer, vote.kind, vote.epoch, vote.number)
        earlier, _ = self._seen.setdefault(place, (vote.digest, self._messages))
        if earlier != vote.digest and vote.kind in (NOTARIZE, VoteKind.CHECKPOINT):
            self._show("E1" if vote.kind is NOTARIZE else "E3", sender)
        if vote.kind in (NULLIFY, FINALIZE):
            rival = NULLIFY if vote.kind is FINALIZE else FINALIZE
            shown = self._seen.get((name, life, vote.signer, rival, vote.epoch, vote.number))
            # of one message the Finalize may have ended the view before the Nullify behind it is looked at
            if shown is not None and (vote.kind is FINALIZE or shown[1] < self._messages):
                self._show("E2", sender)

    def _proposal(self, receiver: Host, core: ValidatorNode, sender: Host, message: ProposalMessage) -> None:
        try:
            block = decode(Block, message.block, bytes_max=BYTES_MAX)
        except RemoteProtocolError:
            return
        header, rules = block.header, core.seat.rules
        if header.epoch != rules.epoch or rules.validators.index_of_node.get(sender.node_id) != header.proposer:
            return
        self._vote(
            receiver,
            core,
            sender,
            Vote(1, NOTARIZE, header.epoch, header.view, block.hash, header.proposer, block.signature),
        )
        commits = hash_justification(encode(block.just)) == header.just_hash
        exists = header.parent_hash in self._facts.blocks  # nothing is proved about a place behind no block at all
        is_shown = header.view == core.simplex.view and commits and exists
        if is_shown and not self._promises.well_placed(block.hash, block):
            self._show("E6", sender)

    def _batch(self, core: ValidatorNode, sender: Host, message: BatchMessage) -> None:
        if sender.node_id not in self._facts.chain.payout_of_miner or core.voter.closed:
            return
        try:
            batch = decode(Batch, message.batch, bytes_max=BYTES_MAX)
            if batch.header.epoch != core.seat.rules.epoch or batch.header.miner != sender.node_id:
                return
            transactions = [parse_transaction(raw, self._facts.chain_id) for raw in batch.transactions]
        except RemoteProtocolError:
            return
        verify = self._facts.world.verify
        if not all(verify(item.body.sender, item.id, item.body.signature) for item in transactions):
            self._show("E7", sender)

    def _show(self, kind: str, accused: Host) -> None:
        self._shown[kind, accused.name] = self._shown.get((kind, accused.name), 0) + 1

    def finish(self) -> None:
        """Compare what was shown with what was published."""
        for (kind, name), times in self._shown.items():
            if times >= SHOWN_MIN and (kind, name) not in self._evidence.seen:
                self._facts.book.note("A4", f"{kind} of {name} was shown {times} times, and nobody accuses it")
