"""What is wrong stands on Home in the owner's words; the sentences are those of a real node."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from app_tools import EDGE, AppScene
from handover_tools import FUNDS, transfer
from mobile_tools import Network

from supervm.common.contract.core import PeerDown, PeerUp, Received
from supervm.protocol.wire.payments import LeafProofs
from supervm.tier_l4_mobile.messages import Info

DAYS_MS = 2 * 86_400_000


def prove(scene: AppScene) -> None:
    scene.phone.step(Received(EDGE, scene.network.proofs([scene.network.account("alice")])))


def forge(scene: AppScene) -> None:
    """An edge sends a proof that is none."""
    honest = scene.network.proofs([scene.network.account("alice")])
    scene.phone.step(Received(EDGE, LeafProofs(honest.checkpoint, ((honest.proofs[0][0], b"\x80"),))))


def meet(offset_ms: int) -> Callable[[AppScene], None]:
    """An edge comes whose clock is so far ahead of the phone's."""

    def happen(scene: AppScene) -> None:
        scene.phone.step(PeerDown(EDGE, "gone"))
        scene.phone.step(PeerUp(EDGE, 3, (), offset_ms, "edge:1"))

    return happen


def see_the_future(scene: AppScene) -> None:
    """A block comes that is dated ahead of the phone's clock."""
    scene.network.seal(ts_ms=scene.now_ms + 60_000)
    prove(scene)


def pay_elsewhere(scene: AppScene) -> None:
    """Another device pays with the words of this phone's wallet."""
    scene.network.seal([transfer(scene.network, "alice")])
    prove(scene)


@pytest.mark.parametrize(
    ("happens", "key"),
    [
        (forge, "error.edge-lied"),
        (meet(DAYS_MS), "error.clock-behind"),
        (meet(-DAYS_MS), "error.clock-ahead"),
        (see_the_future, "error.clock-behind"),
        (pay_elsewhere, "error.other-device"),
    ],
)
async def test_what_the_owner_is_to_know_is_said_once(happens: Callable[[AppScene], object], key: str) -> None:
    scene = AppScene(network=Network(**FUNDS))
    await scene.session.refresh()
    home = scene.models.home
    assert home.view(scene.now_ms).problems == ()
    happens(scene)
    await scene.session.refresh()
    assert [problem.key for problem in home.view(scene.now_ms).problems] == [key]
    info = await scene.ask(Info())
    home.take_info({**info, "problems": info["problems"] * 2})  # as of two accounts
    assert [problem.key for problem in home.view(scene.now_ms).problems] == [key]
