"""How often signatures are checked for a payment, and by whom (consensus.md 3.10)."""

from __future__ import annotations

from collections import Counter

import pytest

from supervm.common.contract.jobs import VerifySignatures
from supervm.protocol.base.verdicts import Verdicts
from supervm.sim.exact import driver
from supervm.sim.exact.crypto import MemoVerify
from supervm.sim.run import run_scenario
from supervm.sim.scenario.schema import read_scenario

TEXT = """
[scenario]
name = "checks"
question = "Who checks what?"
claim = "each sender's signature once by each who vouches for it"
duration_s = 20

[tiers.l1]
count = 4
[tiers.l2]
count = 1
[tiers.l3]
count = 1
[tiers.l4]
count = 4

[workload]
payments_per_s = 10
stop_s = 12
"""


def test_each_who_vouches_for_a_payment_checks_its_signature_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six checks: one by the edge, one by the miner, one by each of four validators; none again to execute or prove."""
    given: Counter[tuple[int, bytes]] = Counter()
    carry_out = driver.Driver._rare

    def note(self: driver.Driver, host: driver.Host, effect: driver.Effect) -> None:
        job = getattr(effect, "job", None)
        if isinstance(job, VerifySignatures):
            given.update((host.tier, signature) for _, _, signature in job.items)
        carry_out(self, host, effect)

    inline: dict[str, Verdicts] = {}
    host_now: list[driver.Host] = []
    step, asked = driver.Driver._step, MemoVerify.__call__

    def step_noted(self: driver.Driver, host: driver.Host, event: driver.Input) -> None:
        host_now[:] = [host]
        step(self, host, event)
        host_now.clear()

    def ask(self: MemoVerify, public: bytes, message: bytes, signature: bytes) -> bool:
        if host_now and host_now[0].tier == 1:
            name = host_now[0].name
            verdicts = inline.setdefault(name, Verdicts(lambda *item: asked(self, *item)))
            return verdicts(public, message, signature)
        return asked(self, public, message, signature)

    monkeypatch.setattr(driver.Driver, "_rare", note)
    monkeypatch.setattr(driver.Driver, "_step", step_noted)
    monkeypatch.setattr(MemoVerify, "__call__", ask)
    monkeypatch.setattr("supervm.protocol.base.memory.Memory.is_good", lambda *_: False)
    run_scenario(read_scenario(TEXT, "checks.toml"), 3)
    signatures = {signature for _, signature in given}
    assert len(signatures) > 80
    for signature in signatures:
        assert [given[tier, signature] for tier in (1, 2, 3, 4)] == [4, 1, 1, 0]
    assert len(inline) == 4
    for verdicts in inline.values():
        # what a validator checks by itself, for blocks and batches, it has met before in a quarter of all cases
        assert verdicts.spared * 4 > verdicts.checks
