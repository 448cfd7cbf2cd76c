"""Who forked the chain: culprits from two conflicting finalizations (consensus.md 2.10, A1).

Theory of operation. Let a be final in view v, and b in view w >= v, and let b not descend from a. Walk from b towards
genesis to the first block c whose parent lies below v (or which is in view v itself). Three cases, and each gives
signers of weight f + 1 at least, none of whom followed the rules:

* c is in view v and is another block than a. Either both were notarized - the two quorums share signers of two Notarize
  of one view (E1) - or one was finalized without a notarization, by signers of two Finalize.
* c's proof of its place contains the nullification of v, alone or in a span. Its signers and those who finalized a
  share signers of both (E2).
* c's proof lacks it, or it is not genuine. Whoever notarized c signed a block with an invalid proof (E6): a quorum.

An honest validator signs neither pair, and notarizes no such block, so it is never named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from supervm.protocol.chain.block import Block
from supervm.protocol.chain.spans import span_of
from supervm.protocol.chain.votes import Certificate, VoteKind

Signers = Callable[[VoteKind, int, int, bytes], tuple[int, ...]]
"""(kind, epoch, view, digest) -> who is known to have signed that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What forked the chain.

    Attributes:
        kind: E1, E2 or E6.
        view: the view in which it happened.
        culprits: validator indices, ascending.
        why: in words.
    """

    kind: str
    view: int
    culprits: tuple[int, ...]
    why: str


def accuse(
    first: Certificate,
    second: Certificate,
    blocks: Mapping[bytes, Block],
    signers: Signers,
    genuine: Callable[[Certificate], bool],
) -> Verdict | None:
    """Name the culprits of two conflicting finalizations; None if they do not conflict, or a block is not at hand.

    Args:
        first: a finalization.
        second: another one.
        blocks: every block at hand, by hash.
        signers: every signature at hand; those in the two certificates count anyway.
        genuine: whether a quorum signed a certificate.
    """
    a, b = sorted((first, second), key=lambda item: item.number)
    view, epoch = a.number, a.epoch

    def who(kind: VoteKind, digest: bytes, number: int = view) -> dict[int, None]:
        given = [
            signer
            for item in (a, b)
            if (item.kind, item.number, item.digest) == (kind, number, digest)
            for signer, _ in item.signatures
        ]
        return dict.fromkeys([*signers(kind, epoch, number, digest), *given])

    digest = b.digest
    while True:
        block = blocks.get(digest)
        if block is None:
            return None
        header = block.header
        if header.view == view or header.parent_view < view:
            break
        digest = header.parent_hash
    if header.view == view:
        if digest == a.digest:
            return None
        for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
            both = _both(who(kind, a.digest), who(kind, digest))
            if both:
                return Verdict("E1", view, both, f"they signed {kind.name} for two blocks of view {view}")
        return None
    for item in block.just.nullifications:
        span = span_of(item.number, item.digest) if item.kind is VoteKind.NULLIFY_SPAN else None
        alone = item.kind is VoteKind.NULLIFY and item.number == view
        if (alone or (span is not None and span.first <= view <= span.last)) and genuine(item):
            nullifiers = who(item.kind, item.digest, item.number)
            nullifiers |= dict.fromkeys(signer for signer, _ in item.signatures)
            both = _both(who(VoteKind.FINALIZE, a.digest), nullifiers)
            return Verdict("E2", view, both, f"they signed Nullify and Finalize of view {view}")
    guilty = who(VoteKind.NOTARIZE, digest, header.view)
    return Verdict(
        "E6",
        header.view,
        tuple(sorted(guilty)),
        f"they notarized block {header.height} of view {header.view}, without proof that view {view} may be skipped",
    )


def _both(one: Mapping[int, None], other: Mapping[int, None]) -> tuple[int, ...]:
    return tuple(sorted(index for index in one if index in other))
