"""The work of a scenario: phones that pay, ask for balances and look for others, at times drawn from the seed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from supervm.common.parts.directory.messages import FindNodes, wanted_of
from supervm.common.parts.directory.questions import Sought
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.state.leaves import NATIVE_NAME
from supervm.tier_l4_mobile.messages import Balance, PayMany, PaymentRow

from .draws import exponential
from .exact import Deployment
from .report.lookups import Lookups
from .report.observing import Recorder
from .scenario.model import Workload

EDGES: Final = 3
"""How many edges a phone asks for that looks for any."""
_FIRST: Final = 10**9
"""How often the most popular node is looked for, in units: the n-th one is an n-th of it."""


class Work:
    """Asks phones for payments and balances while the world runs.

    Args:
        plan: what is asked.
        deployment: the network, started.
        recorder: is told of every balance question.
        senders: names of the phones that are asked.
        zero_us: virtual time at which the run begins.
        wanted: names of the nodes that are looked for.
        lookups: is told of every look-up; None: there are none.
    """

    def __init__(
        self,
        plan: Workload,
        deployment: Deployment,
        recorder: Recorder,
        senders: Sequence[str],
        zero_us: int,
        wanted: Sequence[str] = (),
        lookups: Lookups | None = None,
    ) -> None:
        self._plan, self._deployment, self._recorder = plan, deployment, recorder
        self._world = deployment.world
        self._senders = list(senders)
        self._stop_us = zero_us + plan.stop_us
        self._phones = len(deployment.l4)
        self.lookups = lookups
        """Follows the look-ups; None: there are none."""
        self.asked = 0
        """Payments that phones were asked for."""
        self.skipped = 0
        """Times that nobody was asked because the phone that was drawn was off."""
        if self._senders:
            self._repeat("payments", plan.payments_per_1000s, zero_us + plan.start_us, self._pay)
            self._repeat("balances", plan.balances_per_1000s, zero_us + plan.start_us, self._balance)
        if self._senders and wanted:
            self._wanted = list(wanted)
            self._world.choices.stream("workload/wanted").shuffle(self._wanted)  # or the popular ones are neighbours
            weights = [_FIRST // rank if plan.lookups_as == "popular" else 1 for rank in range(1, len(wanted) + 1)]
            self._ranks = list(accumulate(weights))
            self._repeat("lookups", plan.lookups_per_1000s, zero_us + plan.start_us, self._lookup)

    def _repeat(self, name: str, per_1000s: int, start_us: int, act: Callable[[str], None]) -> None:
        if not per_1000s:
            return
        stream = self._world.choices.stream(f"workload/{name}")
        mean_us = 1_000_000_000 // per_1000s

        def gap_us() -> int:
            return exponential(stream, mean_us) if self._plan.arrivals == "random" else max(1, mean_us)

        def due() -> None:
            if self._world.now_us >= self._stop_us:
                return
            act(stream.pick(self._senders))
            self._world.at(self._world.now_us + gap_us(), due)

        self._world.at(start_us + gap_us(), due)

    def _pay(self, name: str) -> None:
        stream = self._world.choices.stream("workload/rows")
        plan, own = self._plan, int(name.partition("-")[2])
        source = stream.below(plan.accounts)
        phone, account = stream.below(self._phones), stream.below(plan.accounts)
        if self._deployment.wallets[phone][account].public == self._deployment.wallets[own][source].public:
            phone = (phone + 1) % self._phones
        amount, fee = stream.between(plan.amount_min, plan.amount_max), stream.between(plan.fee_min, plan.fee_max)
        host = self._deployment.host(name)
        if host.core is None:
            self.skipped += 1
            return
        asset = fee_asset = NATIVE_NAME
        if plan.assets:
            asset, fee_asset = (stream.pick(self._deployment.asset_names) for _ in range(2))
        row = PaymentRow(
            to=self._deployment.address(phone, account),
            amount=amount,
            fee=fee,
            source=self._deployment.address(own, source),
            key=f"scenario:{self.asked}",
            validity_ms=plan.validity_us // 1000,
            asset=asset,
            fee_asset=fee_asset,
        )
        self.asked += 1
        self._world.command(host.node_id, PayMany(rows=(row,)))

    def _balance(self, name: str) -> None:
        stream = self._world.choices.stream("workload/questions")
        address = self._deployment.address(stream.below(self._phones), stream.below(self._plan.accounts))
        host = self._deployment.host(name)
        if host.core is None:
            self.skipped += 1
            return
        asked_us = self._world.now_us
        token = self._world.command(host.node_id, Balance(address=address))
        early = host.replies.pop(token, None)  # a phone without an edge answers at once
        if early is not None:
            proved = isinstance(early.value, dict) and bool(early.value.get("proof_verified"))
            self._recorder.answers.append((asked_us, asked_us, proved))
        else:
            self._recorder.ask(name, token, asked_us)

    def _lookup(self, name: str) -> None:
        stream, host = self._world.choices.stream("workload/lookups/rows"), self._deployment.host(name)
        is_any = stream.below(100) < self._plan.lookups_any_percent
        wanted = self._wanted[bisect_right(self._ranks, stream.below(self._ranks[-1]))]
        if host.core is None or (wanted == name and not is_any):
            self.skipped += 1
            return
        if is_any:
            question = FindNodes(tiers=(3,), task=3, limit=EDGES)
            sought = Sought(b"", wanted_of(question), EDGES)
        else:
            node_id = self._deployment.id_of(wanted)
            question, sought = FindNodes(nodes=(encode_node_id(node_id),)), Sought(node_id)
        if self.lookups is not None:
            self.lookups.ask(host, self._world.command(host.node_id, question), sought)
