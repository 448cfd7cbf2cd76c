"""Naming nodes in a scenario: selectors, and where each node stands.

A selector is ``all``, a tier ``l1``, one node ``l1-0``, a range ``l1-0..3``, each with an optional share ``:25%``,
``:3`` or ``:f`` (as many as may be faulty: floor((n-1)/3)) drawn from the seed, and an optional region
``@eu-central-1``. ``region:NAME`` is short for ``all@NAME``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from supervm.common.text.quoting import quoted

_PATTERN = re.compile(
    r"(?P<base>all|f|l(?P<tier>[1-4])(-(?P<first>\d{1,6})(\.\.(?P<last>\d{1,6}))?)?)"
    r"(:(?P<share>f|\d{1,3}%|\d{1,6}))?(@(?P<region>[a-z0-9-]+))?"
)
NAMED = re.compile(r"l[1-4](-\d{1,6}(\.\.\d{1,6})?)?")
"""Selectors that choose the same nodes whatever the seed and the regions are."""
ALLOWED = "all, l1 to l4, l1-0, l1-0..3, each with :25%, :3 or :f for a share and @REGION; or region:NAME"


class Draws(Protocol):
    """The stream that shares are drawn from."""

    def shuffle(self, items: list[str]) -> None:
        """Put `items` into random order."""


def faulty(count: int) -> int:
    """Return how many of `count` nodes may be faulty: floor((count - 1) / 3)."""
    return max(0, count - 1) // 3


def _match(selector: str) -> re.Match[str] | None:
    return _PATTERN.fullmatch(re.sub(r"^region:", "all@", selector))


def check_selector(
    selector: str,
    *,
    counts: Sequence[int] | None = None,
    regions: Sequence[str] | None = None,
    tiers: Iterable[int] = (1, 2, 3, 4),
    bare_share: bool = False,
) -> str | None:
    """Return what is wrong with a selector, or None.

    Args:
        selector: the text.
        counts: nodes of tiers 1 to 4, to check indices.
        regions: regions in use, to check names.
        tiers: tiers that may be named.
        bare_share: whether ``f`` alone is allowed, because the tier is known.
    """
    found = _match(selector)
    allowed_tiers = list(tiers)
    if found is None or (found["base"] == "f" and (not bare_share or found["share"])):
        return f"{quoted(selector)} names no nodes; allowed: {ALLOWED}"
    if found["tier"] and int(found["tier"]) not in allowed_tiers:
        return f"{selector!r} names tier {found['tier']}; only l{', l'.join(map(str, allowed_tiers))} is allowed here"
    if found["base"] == "all" and len(allowed_tiers) < 4:
        return f"{selector!r} names all tiers; only l{', l'.join(map(str, allowed_tiers))} is allowed here"
    if found["first"] and counts is not None:
        count = counts[int(found["tier"]) - 1]
        last = int(found["last"] or found["first"])
        if last >= count or int(found["first"]) > last:
            return f"{selector!r}: tier l{found['tier']} has the nodes 0 to {count - 1}"
    if found["region"] and regions is not None and found["region"] not in regions:
        there = ", ".join(regions) or "none: all nodes are in one LAN"
        return f"{selector!r}: no node is in that region; regions of this scenario: {there}"
    return None


def node_names(counts: Sequence[int]) -> dict[int, list[str]]:
    """Return tier -> names of its nodes, for the nodes of tiers 1 to 4."""
    return {tier: [f"l{tier}-{index}" for index in range(count)] for tier, count in enumerate(counts, 1)}


def region_of_each(names: Mapping[int, Sequence[str]], regions: Sequence[str]) -> dict[str, str]:
    """Return name -> region of nodes that are spread in turn; empty in a LAN."""
    if not regions:
        return {}
    return {name: regions[index % len(regions)] for tier in sorted(names) for index, name in enumerate(names[tier])}


def choosing_nobody(
    selectors: Sequence[str],
    names: Mapping[int, Sequence[str]],
    region_of: Mapping[str, str] | None,
    tier: int | None = None,
) -> str | None:
    """Return what is wrong with the first of checked `selectors` that chooses no node, or None.

    Args:
        selectors: as checked by `check_selector`.
        names: tier -> names of its nodes in order.
        region_of: name -> region; None: not known, so that selectors with a region are passed over.
        tier: what ``f`` alone means.
    """
    for selector in selectors:
        found = _match(selector)
        if found is None or (region_of is None and found["region"]):
            continue
        if not select([selector], names, region_of or {}, _NoDraws(), tier):
            base = found["base"] if found["base"] != "f" else f"l{tier or 1}"
            where = f" in {found['region']}" if found["region"] else ""
            pool = select(
                [re.sub(r":[^@]*", "", re.sub(r"^f", base, re.sub(r"^region:", "all@", selector)))],
                names,
                region_of or {},
                _NoDraws(),
                tier,
            )
            share = found["share"] or ("f" if found["base"] == "f" else "")
            of = f"the share {share} of {len(pool)} nodes is none" if pool else f"{base} has no node{where}"
            return f"{quoted(selector)} chooses nobody: {of}"
    return None


class _NoDraws:
    """Draws for questions whose answer does not depend on them."""

    def shuffle(self, items: list[str]) -> None:
        """Leave them as they are."""


def select(
    selectors: Sequence[str],
    names: Mapping[int, Sequence[str]],
    region_of: Mapping[str, str],
    draws: Draws,
    tier: int | None = None,
) -> list[str]:
    """Return the names of the nodes that checked `selectors` choose, each once, in the order of tiers and indices.

    Args:
        selectors: as checked by `check_selector`.
        names: tier -> names of its nodes in order.
        region_of: name -> region; empty in a LAN.
        draws: where shares are drawn from.
        tier: what ``f`` alone means.
    """
    chosen: dict[str, None] = {}
    for selector in selectors:
        found = _match(selector)
        if found is None:
            continue  # cannot be: it was checked
        share = found["share"]
        if found["base"] == "f":
            pool, share = list(names[tier or 1]), "f"
        elif found["base"] == "all":
            pool = [name for number in sorted(names) for name in names[number]]
        else:
            pool = list(names[int(found["tier"])])
            if found["first"]:
                pool = pool[int(found["first"]) : int(found["last"] or found["first"]) + 1]
        if found["region"]:
            pool = [name for name in pool if region_of.get(name) == found["region"]]
        chosen.update(dict.fromkeys(_share(pool, share, draws)))
    return [name for number in sorted(names) for name in names[number] if name in chosen]


def _share(pool: list[str], share: str | None, draws: Draws) -> list[str]:
    if share is None:
        return pool
    if share == "f":
        count = faulty(len(pool)) or (0 if pool and pool[0].startswith("l1") else min(1, len(pool)))
    else:
        count = len(pool) * int(share[:-1]) // 100 if share.endswith("%") else int(share)
    shuffled = list(pool)
    draws.shuffle(shuffled)
    return shuffled[:count]
