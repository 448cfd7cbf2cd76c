"""Which edge comes after one that gives no news."""

from __future__ import annotations

from typing import Any

import pytest

from supervm.common.contract.core import Outbox
from supervm.tier_l4_mobile.sync.uplink import Uplink

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


class _Edges:
    """Stands for peering and manners: who is up, in the order they came."""

    def __init__(self, *edges: bytes) -> None:
        self.edges = list(edges)

    def of_tier(self, tier: int) -> list[bytes]:
        return self.edges

    def is_up(self, edge: bytes) -> bool:
        return edge in self.edges


@pytest.mark.parametrize(
    ("active", "up", "distrusted", "turn"),
    [
        (A, (A, B, C), (), B),
        (C, (A, B, C), (), A),
        (A, (A, B, C), (B,), C),
        (B, (B,), (), B),
        # hung up on in the same step: the first of those that are left has as much of a turn as the others
        (B, (A, C), (), A),
        (B, (A, C), (A,), C),
    ],
)
def test_the_next_edge_that_is_trusted_most_has_its_turn(
    active: bytes, up: tuple[bytes, ...], distrusted: tuple[bytes, ...], turn: bytes
) -> None:
    edges: Any = _Edges(active)
    uplink = Uplink(Outbox(), edges, edges)
    uplink.settle(0)
    assert uplink.active == active
    for edge in distrusted:
        uplink.peer_blamed(0, edge, 10)
    edges.edges = list(up)
    uplink.complain()
    uplink.settle(1)
    assert uplink.active == turn
