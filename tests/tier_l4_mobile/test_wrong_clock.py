"""A phone whose clock is two days wrong: it says so, it claims nothing, and once it is set all goes on."""

from __future__ import annotations

import pytest
from handover_tools import EDGE, FUNDS, claim, row, serve
from mobile_tools import SECOND_US, START_US, Network, Phone

from supervm.common.contract.core import PeerDown, PeerUp, Received
from supervm.protocol.wire.payments import LEVEL_R3
from supervm.tier_l4_mobile.messages import Info, Pay, ShowPayment

DAY_MS = 86_400_000


@pytest.mark.parametrize("days", [-2, 2])
def test_two_days(days: int) -> None:
    network = Network(**FUNDS)
    phone = Phone(network, ("alice",))
    phone.now_us = START_US + days * DAY_MS * 1000
    phone.step(PeerUp(EDGE, 3, (), -days * DAY_MS, "edge:1"))
    serve(phone)
    side = "behind" if days < 0 else "ahead of"
    problem = phone.call(Info())["problems"][-1]
    assert f"this machine's clock is 172800 s {side} the edge's" in problem
    assert "until the wrong one of the two is set" in problem
    payment = phone.call(Pay(row(5)))
    sent = []
    for _ in range(5):
        phone.wait(SECOND_US)
        sent += serve(phone)
    assert phone.call(ShowPayment(payment["id"]))["status"] == "queued"
    if days < 0:  # the chain is ahead of this clock: nothing is proved, so nothing is signed
        account = phone.call(Info())["accounts"][0]
        assert (account["proved"], account["balance"], sent) == (False, None, [])
    assert phone.hung_up == {}, "an edge whose clock is right is no liar"

    phone.step(PeerDown(EDGE, "gone"))
    phone.now_us = START_US + 20 * SECOND_US  # somebody has set it
    phone.connect(EDGE)
    sent += serve(phone)
    phone.wait(SECOND_US)
    sent += serve(phone)
    assert phone.call(Info())["problems"] == []
    assert len(dict.fromkeys(sent)) == 1, "one signature for the slot, whatever the clock said"
    claim(phone, sent[:1], LEVEL_R3)
    network.seal(sent[:1], ts_ms=phone.now_us // 1000)
    phone.step(Received(EDGE, network.proofs([network.account("alice")])))
    serve(phone)
    shown = phone.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["result"]) == ("R4", "executed")
