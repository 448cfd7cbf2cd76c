"""What the faulty validator of the Simplex model can say: everything of a finite menu, at any time, to anybody.

In each view that it leads it signs one block on every parent (in view 1 two, if asked to), justified as well as it
can: with the parent's certificate if a quorum has signed one, and with whatever nullifications exist. It signs every
vote for every block and every Nullify, and passes on certificates with bad signatures and with too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.header import BlockHeader, ChainRules, CheckpointRef, Justification
from supervm.protocol.chain.validators import Validator, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate, statement

from .simplex_host import EMPTY, ModelKey, model_verify

CHAIN_ID = bytes([9]) * 32
BYZANTINE = 3
NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
KEYS = tuple(ModelKey(SigningKey(bytes([1 + index]) * 32).public) for index in range(4))

Statement = tuple[int, VoteKind, bytes]
"""View, kind and digest: what a quorum may have signed."""


def model_rules(leaders: tuple[int, ...]) -> ChainRules:
    """Return the epoch of a model whose view v is led by ``leaders[v - 1]``."""
    members = [Validator(1, key.public, bytes([100 + index]) * 32, 1, bytes(32)) for index, key in enumerate(KEYS)]
    return ChainRules(CHAIN_ID, 0, ValidatorSet(members), (BYZANTINE, *leaders, BYZANTINE), model_verify)


def model_vote(index: int, kind: VoteKind, view: int, digest: bytes) -> Vote:
    """Return a genuine vote of any validator."""
    return Vote(1, kind, 0, view, digest, index, KEYS[index].sign(statement(CHAIN_ID, kind, 0, view, digest)))


def model_certificate(what: Statement, signers: Iterable[int]) -> Certificate:
    """Return a certificate with genuine signatures of any validators."""
    view, kind, digest = what
    signatures = {index: model_vote(index, kind, view, digest).signature for index in signers}
    return make_certificate(kind, 0, view, digest, signatures)


def model_block(rules: ChainRules, view: int, parent: BlockHeader, just: Justification, ts_ms: int) -> Block:
    """Return an empty block, signed by its view's leader."""
    leader = rules.leader(view)
    header = BlockHeader(
        1,
        CHAIN_ID,
        0,
        view,
        parent.height + 1,
        parent.hash,
        parent.view,
        leader,
        ts_ms,
        hash_justification(encode(just)),
        hash_block_body(encode(EMPTY)),
        CheckpointRef(1, 0, bytes(32)),
    )
    return Block(1, header, just, EMPTY, model_vote(leader, NOTARIZE, view, header.hash).signature)


class Adversary:
    """The menu.

    Args:
        rules: the epoch.
        genesis: header of view 0.
        rivals: whether it signs two blocks in view 1.
    """

    def __init__(self, rules: ChainRules, genesis: BlockHeader, *, rivals: bool) -> None:
        self._rules, self._genesis, self._rivals = rules, genesis, rivals
        validators = rules.validators
        self._signers: list[int] = []
        while validators.weight_of(self._signers) < validators.quorum:
            self._signers.insert(0, BYZANTINE - len(self._signers))
        self.forged = tuple(self._forge())

    def _forge(self) -> Iterable[Certificate]:
        """Yield certificates with own signatures in others' names, and with the own one alone."""
        digest = bytes([255]) * 32
        for kind, name in ((NULLIFY, ZERO_HASH), (NOTARIZE, digest), (FINALIZE, digest)):
            own = model_vote(BYZANTINE, kind, 1, name).signature
            yield make_certificate(kind, 0, 1, name, dict.fromkeys(range(1, 4), own))
            yield make_certificate(kind, 0, 1, name, {BYZANTINE: own})

    def blocks(self, view: int, known: Mapping[bytes, Block], signed: Sequence[Statement]) -> list[Block]:
        """Return the blocks of a view that it leads, none of another.

        Args:
            view: which.
            known: blocks that exist.
            signed: what quorums have signed; signers are named anew, since the rules never ask who it was.
        """
        if self._rules.leader(view) != BYZANTINE:
            return []
        parents: list[tuple[BlockHeader, tuple[Certificate, ...]]] = [(self._genesis, ())]
        for block in known.values():
            below = block.header
            notarized = (below.view, NOTARIZE, block.hash)
            if below.view < view and notarized in signed:
                parents.append((below, (model_certificate(notarized, self._signers),)))
        found = []
        for parent, proof in parents:
            nulls = [(gap, NULLIFY, ZERO_HASH) for gap in range(parent.view + 1, view)]
            skips = tuple(model_certificate(null, self._signers) for null in nulls if null in signed)
            just = Justification(1, proof, skips)
            found.append(model_block(self._rules, view, parent, just, parent.ts_ms + 1))
            if skips:  # the one without them stays on the menu
                bare = Justification(1, proof, ())
                found.append(model_block(self._rules, view, parent, bare, parent.ts_ms + 1))
            if view == 1 and self._rivals:
                found.append(model_block(self._rules, view, parent, just, parent.ts_ms + 2))
        return found


def short(digest: bytes) -> str:
    """Return a digest's first hexadecimal digits, for a trace."""
    return "nothing" if digest == ZERO_HASH else digest.hex()[:6]
