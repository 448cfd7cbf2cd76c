"""docs/messages.md gives the cost and budget of every message as they are, and every budget covers what may come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from supervm.common.parts.costs import COSTS, Cost, CostClass
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.reach.costs import REACH_COSTS
from supervm.protocol.wire import directions, messages
from supervm.tier_l1_super.budgets import BUDGETS as VALIDATOR
from supervm.tier_l2_miner.budgets import budgets as miner_budgets
from supervm.tier_l2_miner.options import MinerOptions
from supervm.tier_l3_edge.budgets import budgets as edge_budgets
from supervm.tier_l3_edge.options import DEFAULT_RATES
from supervm.tier_l4_mobile.budgets import BUDGETS as PHONE

DOCS = Path(__file__).parents[2] / "docs" / "messages.md"
TIERS: Mapping[int, Mapping[Rank, Budget]] = {
    1: VALIDATOR,
    2: miner_budgets(MinerOptions()),
    3: edge_budgets(DEFAULT_RATES),
    4: PHONE,
}
WHO = {
    1: {Rank.MEMBER: "validators", Rank.NAMED: "miners, configured peers", Rank.STRANGER: "other L1 nodes"},
    2: {Rank.MEMBER: "validators", Rank.NAMED: "edges", Rank.STRANGER: "anybody else"},
    3: {Rank.NAMED: "miners", Rank.STRANGER: "clients"},
    4: {Rank.NAMED: "its edges", Rank.STRANGER: "anybody else"},
}
ASKED_BY_NUMBER: Mapping[type[messages.Message], CostClass] = {
    messages.Submit: "transactions",
    messages.Subscribe: "accounts",
    messages.GetLeaves: "accounts",
    messages.GetReceipt: "receipts",
}


def cost_row(kind: type[messages.Message], cost: Cost) -> str:
    return f"| `{kind.__name__}` | {cost.cost_class} | {cost.message} | {cost.item or ''} | {cost.kib or ''} |"


def budget_rows() -> list[str]:
    rows = []
    for tier, by_rank in TIERS.items():
        for rank, budget in by_rank.items():
            shown = {**budget.classes, **({"together": budget.together} if budget.together else {})}
            for name, rate in shown.items():
                rows.append(
                    f"| L{tier} | {rank.name.lower()} | {WHO[tier][rank]} | {name} | {rate.per_s:,} | {rate.burst:,} |"
                )
    return rows


def test_the_page_lists_every_cost_and_budget_as_it_is() -> None:
    text = DOCS.read_text()
    listed = re.findall(
        r"^\| `\w+` \| (?:link|transactions|accounts|receipts|answers|batches|history|consensus) \|.*$",
        text,
        re.MULTILINE,
    )
    assert listed == [cost_row(kind, cost) for kind, cost in (*COSTS.items(), *REACH_COSTS.items())]
    assert re.findall(r"^\| L\d \| (?:member|named|stranger) \|.*$", text, re.MULTILINE) == budget_rows()


@pytest.mark.parametrize("tier", TIERS)
def test_whatever_may_come_over_the_wire_counts_to_some_budget(tier: int) -> None:
    """No kind that a tier accepts is free for a stranger: its class is bounded for that rank, or its items are."""
    accepted: dict[type[messages.Message], None] = {}
    for (_, receiver), kinds in directions.ACCEPTS.items():
        if receiver == tier:
            accepted.update(dict.fromkeys(kinds))
    for kind in accepted:
        for rank, budget in TIERS[tier].items():
            if rank not in WHO[tier]:
                assert not budget.classes
                continue
            covered = [by_class for by_class in TIERS[tier].values() if COSTS[kind].cost_class in by_class.classes]
            assert covered, f"an L{tier} takes {kind.__name__}, and nobody has a budget for it"
            if kind in ASKED_BY_NUMBER:
                assert any(ASKED_BY_NUMBER[kind] in by_class.classes for by_class in TIERS[tier].values())
    assert TIERS[tier][Rank.STRANGER].classes
