"""A phone whose clock is two days wrong: it says so, it claims nothing, and once it is set all goes on."""

from __future__ import annotations

import pytest
from handover_tools import EDGE, FUNDS, claim, row, serve
from mobile_tools import SECOND_US, START_US, Network, Phone
from msgspec.structs import replace

from supervm.common.contract.core import PeerDown, PeerUp, Received
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.light.client import LightClient
from supervm.protocol.wire.payments import LEVEL_R3, LeafProofs
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


def test_what_validators_sign_says_that_it_is_this_clock_and_stays_known_without_an_edge() -> None:
    network = Network(**FUNDS)
    phone = Phone(network, ("alice",))
    phone.connect(EDGE)
    network.seal(ts_ms=phone.now_us // 1000 + DAY_MS)
    phone.step(Received(EDGE, network.proofs([network.account("alice")])))
    told = phone.call(Info())
    assert told["time"]["signed_ms"] == network.checkpoint.header.ts_ms
    assert told["time"]["behind_ms"] == DAY_MS - 2_000
    assert phone.hung_up == {}
    assert told["height"] == 0, "only the time is believed"
    phone.step(PeerDown(EDGE, "gone"))
    phone.now_us += 600 * SECOND_US  # nobody shows the block any more
    [problem] = phone.call(Info())["problems"]
    assert f"this machine's clock is at least {DAY_MS // 1000 - 602} s behind: more than a third" in problem


def test_a_block_ahead_of_the_clock_that_no_quorum_signed_is_the_edges_lie() -> None:
    network = Network(**FUNDS)
    phone = Phone(network, ("alice",))
    phone.connect(EDGE)
    network.seal(ts_ms=phone.now_us // 1000 + DAY_MS)
    honest = network.proofs([network.account("alice")])
    checkpoint = decode(CertifiedCheckpoint, honest.checkpoint, bytes_max=1 << 20)
    header = replace(checkpoint.header, ts_ms=checkpoint.header.ts_ms + 1)
    phone.step(Received(EDGE, LeafProofs(encode(replace(checkpoint, header=header)), honest.proofs)))
    told = phone.call(Info())
    assert told["time"]["behind_ms"] == 0
    assert EDGE in phone.hung_up
    assert not any("behind" in problem for problem in told["problems"])


def test_a_clock_that_is_ahead_is_told_by_blocks_and_the_edge_together() -> None:
    network = Network(**FUNDS)
    phone = Phone(network, ("alice",))
    phone.now_us = START_US + 3_600 * SECOND_US
    phone.step(PeerUp(EDGE, 3, (), -3_600_000, "edge:1"))
    for number in range(4):
        network.seal(ts_ms=START_US // 1000 + number * 5_000)
        phone.step(Received(EDGE, network.proofs([network.account("alice")])))
        phone.wait(5 * SECOND_US)
    told = phone.call(Info())
    assert told["time"]["late_ms"] == 3_600_000
    assert "about 3600 s ahead of what validators sign and of the edge's clock" in told["problems"][-1]


def test_that_time_is_believed_without_signatures_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LightClient, "signed_ms", lambda _self, checkpoint: checkpoint.header.ts_ms)
    with pytest.raises(AssertionError):
        test_a_block_ahead_of_the_clock_that_no_quorum_signed_is_the_edges_lie()
