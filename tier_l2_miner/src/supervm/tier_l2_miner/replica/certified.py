"""What the network has certified, held against what this replica computed (decisions.md, Who does what).

Theory of operation. Each header that execution gives is compared with what the network certified at that height, be it
in a checkpoint message or inside a later block; a difference means that this node computes something else than the
network, and it stops (`Diverged`). A checkpoint above the executed height waits until its block is executed.

The newest one that agrees is what the miner proves everything under. When it seals an epoch, the set after it votes
from then on, which is when validators go over to it as well.
"""

from __future__ import annotations

from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.validators import ValidatorList

from ..errors import Diverged

CHECKPOINTS_AHEAD_MAX = 64
CHECKPOINT_BYTES_MAX = 1 << 20


class Certified:
    """The newest certified checkpoint at or below the executed height, and those that wait above it.

    Args:
        header: the newest executed header.
        rules: the rules of the block after it.
        changes: where changes of validators are kept for light clients.
    """

    def __init__(self, header: CheckpointHeader, rules: ChainRules, changes: ChangeStore) -> None:
        self._changes = changes
        self.newest: CertifiedCheckpoint | None = None
        """It, None before the first."""
        self.raw = b""
        """Its agreed bytes."""
        self.voting_rules = rules
        """The epoch that validators vote in, as far as is known here."""
        self.restart(header, rules)

    def restart(self, header: CheckpointHeader, rules: ChainRules) -> None:
        """Begin with another executed height, as after a snapshot."""
        self._height = header.height
        self._headers: dict[int, CheckpointHeader] = {header.height: header}
        self._rules_of = {rules.epoch: rules}  # epochs from the executed one to that of the blocks that wait
        self._ahead: dict[int, CertifiedCheckpoint] = {}
        self._claimed_height = 0  # of checkpoints that cannot be checked here yet

    @property
    def height(self) -> int:
        """Height of the newest certified checkpoint, 0 before the first."""
        return 0 if self.newest is None else self.newest.header.height

    @property
    def said_height(self) -> int:
        """The height that the chain is said to have reached."""
        return max(self._claimed_height, next(reversed(self._ahead), 0))

    def knows(self, rules: ChainRules) -> None:
        """Note the rules of an epoch that the blocks lead to."""
        self._rules_of[rules.epoch] = rules

    def take(self, raw: bytes) -> None:
        """Take a certified checkpoint from anybody.

        Raises:
            RemoteProtocolError: malformed or not certified.
            Diverged: it is certified, and differs from what this replica computed.
        """
        if raw == self.raw:
            return
        checkpoint = decode(CertifiedCheckpoint, raw, bytes_max=CHECKPOINT_BYTES_MAX)
        height = checkpoint.header.height
        if height <= self.height or height in self._ahead:
            return
        if height > self._height and len(self._ahead) >= CHECKPOINTS_AHEAD_MAX:
            return
        rules = self._rules_of.get(checkpoint.header.epoch)
        if rules is None:
            # of an epoch whose validators are not known here yet: there will be newer ones, or we are far behind
            self._claimed_height = max(self._claimed_height, height)
            return
        check_certified_checkpoint(checkpoint, rules.chain_id, rules.validators, rules.verify)
        if height > self._height:
            self._ahead[height] = checkpoint
        else:
            self._compare(checkpoint, raw)

    def executed(self, block: Block, header: CheckpointHeader) -> None:
        """Note a block that was executed, and the header that it gave.

        Raises:
            Diverged: the network certified another one, here or at a height that the block tells of.
        """
        self._height = height = header.height
        self._headers[height] = header
        for certificate in block.body.checkpoints:
            # the quorum that finalized the block has checked this certificate (consensus.md 2.4)
            ours = self._headers.get(certificate.number)
            if ours is None or certificate.number <= self.height:
                continue
            if ours.hash != certificate.digest:
                raise Diverged(certificate.number, ours.hash, certificate.digest)
            proved = CertifiedCheckpoint(1, ours, certificate.signatures)
            self.adopt(proved, encode(proved))
        checkpoint = self._ahead.pop(height, None)
        if checkpoint is not None:
            self._compare(checkpoint, encode(checkpoint))

    def _compare(self, checkpoint: CertifiedCheckpoint, raw: bytes) -> None:
        height = checkpoint.header.height
        ours = self._headers.get(height)
        if ours is None or height <= self.height:
            return
        if ours != checkpoint.header:
            raise Diverged(height, ours.hash, checkpoint.header.hash)
        self.adopt(checkpoint, raw)

    def adopt(self, checkpoint: CertifiedCheckpoint, raw: bytes) -> None:
        """Take a checkpoint that agrees with the state as the newest one."""
        self.newest, self.raw = checkpoint, raw
        header = checkpoint.header
        if header.next_validators_hash != ZERO_HASH:
            # its block is executed, so the epoch after it is known
            self.voting_rules = self._rules_of[header.epoch + 1]
            self._changes.sealed(checkpoint, ValidatorList(1, self.voting_rules.validators.members))
            for epoch in [epoch for epoch in self._rules_of if epoch <= header.epoch]:
                del self._rules_of[epoch]
        for table in (self._headers, self._ahead):
            for height in [height for height in table if height < header.height]:
                del table[height]
