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


def certificates_to_repeat(final: Certificate | None, rounds: Mapping[int, Round]) -> tuple[Certificate, ...]:
    """Return the last finalization and the newest certificates above it, oldest first, within the budget."""
    newest_first: list[Certificate] = []
    left = SIGNATURES_MAX - (0 if final is None else len(final.signatures))
    for view in sorted(rounds, reverse=True):
        held = rounds[view].certificates
        for kind in KINDS:
            certificate = held.get(kind)
            if certificate is None:
                continue
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
