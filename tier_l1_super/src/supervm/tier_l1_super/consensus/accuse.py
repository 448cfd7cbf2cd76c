"""Evidence that this node has found: published at once, and put into blocks (consensus.md 2.10)."""

from __future__ import annotations

from msgspec import UNSET

from supervm.common.contract.core import Outbox
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.evidence import BlockEvidence, Culprit, Evidence, check_evidence
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.progress import signers_mask

from ..events import Accusation
from .seat import Seat

EVIDENCE_PER_BLOCK_MAX = 2


class Accuser:
    """What this node can prove of others in this epoch.

    Args:
        seat: the epoch.
        outbox: where events go.
    """

    def __init__(self, seat: Seat, outbox: Outbox) -> None:
        self._seat, self._outbox = seat, outbox
        self._held: dict[int, BlockEvidence] = {}  # validator -> the first evidence against it
        self._known: dict[Culprit, None] = {}

    def accuse(self, evidence: Evidence) -> bool:
        """Publish an `Accusation` and return True, or False if it is no news or would prove nothing to others.

        What is too large to be shown is not published. One piece of each kind against each culprit is enough in an
        epoch.
        """
        try:
            culprit = check_evidence(evidence, self._seat.rules)
        except RemoteProtocolError:
            return False
        if culprit in self._known:
            return False
        self._known[culprit] = None
        validator = UNSET if culprit.validator is None else culprit.validator
        miner = UNSET if culprit.miner is None else encode_node_id(culprit.miner)
        self._outbox.publish(Accusation(culprit.kind, validator, miner, encode(evidence).hex()))
        if isinstance(evidence, BlockEvidence) and culprit.validator is not None:
            self._held.setdefault(culprit.validator, evidence)
        return True

    def content(self, parent: BlockHeader) -> tuple[BlockEvidence, ...]:
        """Return what a block on `parent` can add: evidence against validators whom its chain does not accuse yet."""
        rules = self._seat.rules
        if rules.is_sealed(parent) or not self._held:
            return ()
        accused = signers_mask(rules.progress_of(parent).accused)
        fresh = [evidence for validator, evidence in sorted(self._held.items()) if not accused >> validator & 1]
        return tuple(fresh[:EVIDENCE_PER_BLOCK_MAX])

    def enter_epoch(self) -> None:
        """Begin anew: indices mean other validators now."""
        self._held.clear()
        self._known.clear()
