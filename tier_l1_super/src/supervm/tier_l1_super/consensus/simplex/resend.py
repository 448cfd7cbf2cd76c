"""What is sent again while nothing becomes final (consensus.md 2.5, retry timer; TON's rule 8).

Repeating everything that was ever said is how a standing network drowns itself (pitfall P9), so a repeat has a budget.
The newest certificates and votes go first: the newest certificate brings a peer to the newest view. Who is to propose
there needs the skips below it as well, down to its parent, so the others take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from supervm.protocol.chain.votes import Certificate, Vote

from .rounds import KINDS, Round

SIGNATURES_MAX = 4096
"""Signatures in the certificates of one repeat: at 65 bytes each about a quarter of a MiB per peer and second."""
CERTIFICATES_MAX = 255
VOTES_MAX = 192
"""Own votes of single views in one repeat: three kinds of 64 views; what is older is in spans."""
PROPOSAL_BYTES_PER_S = 256 << 10
"""What saying an own proposal again may cost for each peer and second; over a wide gap it is large."""


def proposal_pause_us(bytes_count: int) -> int:
    """Return how long a leader waits after sending a proposal of that size before it sends it again."""
    return bytes_count * 1_000_000 // PROPOSAL_BYTES_PER_S


def certificates_to_repeat(
    final: Certificate | None, rounds: Mapping[int, Round], spans: Iterable[Certificate] = (), turn: int = 0
) -> tuple[Certificate, ...]:
    """Return the last finalization and certificates above it, ascending by view, within the budget.

    If not all fit, half of the budget is for the newest, and the older ones take turns in the other half.

    Args:
        final: the last finalization.
        rounds: the views above it.
        spans: certified spans.
        turn: how many repeats there have been.
    """
    held = [rounds[view].certificates[kind] for view in rounds for kind in KINDS if kind in rounds[view].certificates]
    held.extend(spans)
    held.sort(key=lambda certificate: (certificate.number, certificate.kind), reverse=True)
    left = SIGNATURES_MAX - (0 if final is None else len(final.signatures))
    chosen = _newest(held, left, CERTIFICATES_MAX - 1)
    if len(chosen) < len(held):
        chosen = _newest(held, left // 2, CERTIFICATES_MAX // 2)
        left -= sum(len(certificate.signatures) for certificate in chosen)
        older = held[len(chosen) :]
        # as many as surely fit, so that each repeat goes on where the last one ended
        step = max(1, min(left // max(len(item.signatures) for item in older), CERTIFICATES_MAX // 2))
        first = turn * step % len(older)
        chosen.extend(_newest((older[first:] + older[:first])[:step], left, CERTIFICATES_MAX // 2))
        chosen.sort(key=lambda certificate: (certificate.number, certificate.kind), reverse=True)
    chosen.reverse()
    return (() if final is None else (final,)) + tuple(chosen)


def _newest(newest_first: list[Certificate], signatures: int, count_max: int) -> list[Certificate]:
    """Return the first ones that fit, at least one."""
    found: list[Certificate] = []
    for certificate in newest_first:
        signatures -= len(certificate.signatures)
        if found and (signatures < 0 or len(found) == count_max):
            break
        found.append(certificate)
    return found


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
