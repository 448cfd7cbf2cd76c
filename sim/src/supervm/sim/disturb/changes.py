"""Carrying out the ``[[change]]`` entries of a scenario: what the operators of the L1 nodes agree on.

A set of validators is proposed on the chain once operators of quorum weight have told their nodes that they approve it
(consensus.md 2.11); so a change is one command to every honest L1 node that is on at that moment.
"""

from __future__ import annotations

from functools import partial

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.validators import ValidatorList
from supervm.tier_l1_super.messages import Approve

from ..exact import Deployment
from ..scenario.model import Change, Scenario
from ..scenario.naming import select
from .faults import Episode


class ChangePlayer:
    """Schedules every change of a scenario.

    Args:
        scenario: whose changes.
        deployment: the network, started.
        region_of: name -> region; empty in a LAN.
        names: tier -> names.
        honest: names of the nodes that are neither actors nor twins.
        zero_us: virtual time at which the run begins.
    """

    def __init__(
        self,
        scenario: Scenario,
        deployment: Deployment,
        region_of: dict[str, str],
        names: dict[int, list[str]],
        honest: dict[str, None],
        zero_us: int,
    ) -> None:
        self._deployment = deployment
        self._operated = [name for name in names[1] if name in honest]
        self.episodes: list[Episode] = []
        for number, change in enumerate(scenario.changes, 1):
            draws = deployment.world.choices.stream(f"scenario/change/{number}")
            self._schedule(change, select(change.who, names, region_of, draws), zero_us)

    def _schedule(self, change: Change, who: list[str], zero_us: int) -> None:
        weights = change.weights * len(who) if len(change.weights) == 1 else change.weights
        members = tuple(
            self._deployment.member(int(name.partition("-")[2]), weight)
            for name, weight in zip(who, weights, strict=True)
        )
        text = f"{', '.join(change.who)} (weights {', '.join(map(str, change.weights))})"
        self.episodes.append(Episode(change.kind, change.at_us, change.at_us, len(who), text))
        request = Approve(validators=encode(ValidatorList(1, members)))
        self._deployment.world.at(zero_us + change.at_us, partial(self._approve, request))

    def _approve(self, request: Approve) -> None:
        for name in self._operated:
            host = self._deployment.host(name)
            if host.core is not None:
                self._deployment.world.command(host.node_id, request)
