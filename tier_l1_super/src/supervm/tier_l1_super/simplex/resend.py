"""What is sent again while nothing becomes final (consensus.md 2.5, retry timer; TON's rule 8).

Repeating everything that was ever said is how a standing network drowns itself (pitfall P9), so a repeat has a budget.
The newest certificates and votes go first: the newest certificate brings a peer to the newest view, and a proposal
there needs the skips below it only as far back as a justification reaches.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervm.protocol.votes import Certificate, Vote

from .rounds import KINDS, Round

SIGNATURES_MAX = 4096
"""Signatures in the certificates of one repeat: at 65 bytes each about a quarter of a MiB per peer and second."""
CERTIFICATES_MAX = 255
VOTES_MAX = 192
"""Own votes in one repeat: three kinds of 64 views, as far back as a justification reaches."""
PROPOSAL_BYTES_PER_S = 256 << 10
"""What saying an own proposal again may cost for each peer and second; over a wide gap it is megabytes large."""


def proposal_pause_us(bytes_count: int) -> int:
    """Return how long a leader waits after sending a proposal of that size before it sends it again."""
    return bytes_count * 1_000_000 // PROPOSAL_BYTES_PER_S


def certificates_to_repeat(final: Certificate | None, rounds: Mapping[int, Round]) -> tuple[Certificate, ...]:
    """Return the last finalization and the newest certificates above it, oldest first, within the budget."""
    newest_first: list[Certificate] = []
    left = SIGNATURES_MAX - (0 if final is None else len(final.signatures))
    held = (
        rounds[view].certificates[kind] for view in sorted(rounds, reverse=True) for kind in KINDS
        if kind in rounds[view].certificates
    )
    for certificate in held:
        left -= len(certificate.signatures)
        if newest_first and (left < 0 or len(newest_first) == CERTIFICATES_MAX - 1):
            break
        newest_first.append(certificate)
    newest_first.reverse()
    return (() if final is None else (final,)) + tuple(newest_first)


def votes_to_repeat(rounds: Mapping[int, Round]) -> tuple[Vote, ...]:
    """Return this validator's newest votes, oldest first."""
    newest_first: list[Vote] = []
    for view in sorted(rounds, reverse=True):
        own = rounds[view].own
        newest_first.extend(own[kind] for kind in reversed(KINDS) if kind in own)
        if len(newest_first) >= VOTES_MAX:
            break
    newest_first.reverse()
    return tuple(newest_first[-VOTES_MAX:])
