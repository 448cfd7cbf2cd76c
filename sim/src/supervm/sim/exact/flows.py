"""Max-min fair sharing of bandwidth, in integers.

Theory of operation. A flow uses its sender's uplink and its receiver's downlink. Rates are max-min fair: nobody can
get more without somebody who has no more getting less. Progressive filling finds them: of all links, take the one
whose equal share is smallest; its flows get just that; take what they use off their other links; go on with the rest.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

H = TypeVar("H", bound=Hashable)


def fair_rates(flows: Sequence[tuple[H, H]], up: Mapping[H, int], down: Mapping[H, int]) -> list[int]:
    """Return the rate of each flow, at least 1.

    Args:
        flows: (sender, receiver) of each flow.
        up: sender -> capacity of its uplink; 0 or missing: no limit.
        down: receiver -> capacity of its downlink, in the same unit.

    Returns:
        Rates in the unit of the capacities; 0 for a flow without any limit.
    """
    rates = [0] * len(flows)
    left: dict[tuple[int, H], int] = {}
    users: dict[tuple[int, H], dict[int, None]] = {}
    for number, (sender, receiver) in enumerate(flows):
        for side, host, capacity in ((0, sender, up.get(sender, 0)), (1, receiver, down.get(receiver, 0))):
            if capacity:
                link = (side, host)
                left[link] = capacity
                users.setdefault(link, {})[number] = None
    while users:
        tightest = min(users, key=lambda link: left[link] // len(users[link]))
        share = max(1, left[tightest] // len(users[tightest]))
        for number in list(users[tightest]):
            rates[number] = share
            for link in ((0, flows[number][0]), (1, flows[number][1])):
                if link in users:
                    left[link] = max(0, left[link] - share)
                    del users[link][number]
                    if not users[link]:
                        del users[link]
    return rates
