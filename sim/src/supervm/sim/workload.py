"""The work of a scenario: phones that pay and ask for proved balances, at times drawn from the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from supervm.protocol.state.leaves import NATIVE_NAME
from supervm.tier_l4_mobile.messages import Balance, PayMany, PaymentRow

from .draws import exponential
from .exact import Deployment
from .report.observing import Recorder
from .scenario.model import Workload


class Work:
    """Asks phones for payments and balances while the world runs.

    Args:
        plan: what is asked.
        deployment: the network, started.
        recorder: is told of every balance question.
        senders: names of the phones that are asked.
        zero_us: virtual time at which the run begins.
    """

    def __init__(
        self, plan: Workload, deployment: Deployment, recorder: Recorder, senders: Sequence[str], zero_us: int
    ) -> None:
        self._plan, self._deployment, self._recorder = plan, deployment, recorder
        self._world = deployment.world
        self._senders = list(senders)
        self._stop_us = zero_us + plan.stop_us
        self._phones = len(deployment.l4)
        self.asked = 0
        """Payments that phones were asked for."""
        self.skipped = 0
        """Times that nobody was asked because the phone that was drawn was off."""
        if self._senders:
            self._repeat("payments", plan.payments_per_1000s, zero_us + plan.start_us, self._pay)
            self._repeat("balances", plan.balances_per_1000s, zero_us + plan.start_us, self._balance)

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
