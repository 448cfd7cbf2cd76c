"""Paying by touch: the form, the check, the line of steps, and what waits without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from app_tools import EDGE, AppScene
from chain_tools import test_key
from finger import Finger, shown, story_of

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.wire.payments import LEVEL_R1, LEVEL_R3, Status, StatusItem
from supervm.tier_l4_mobile.app.models.groups import groups_of
from supervm.tier_l4_mobile.messages import Pay

BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("bob", "carol"))


@asynccontextmanager
async def opened(scene: AppScene) -> AsyncIterator[Finger]:
    """The app at its home screen, for two minutes at most."""
    with trio.fail_after(120):
        async with shown(story_of(scene)) as finger:
            await finger.until(lambda: finger.shows("Proved at height") or finger.shows("Unproved"))
            yield finger


async def fill(finger: Finger, to: str, amount: str) -> None:
    await finger.tap("home.pay")
    await finger.type("pay.to", to)
    await finger.type("pay.amount", amount)


async def test_a_payment_is_checked_and_walks_its_line_and_is_paid_only_when_it_is_proved() -> None:
    scene = AppScene()
    async with opened(scene) as finger:
        await fill(finger, BOB, "0.0000005")
        await finger.tap("pay.fee.1")
        await finger.tap("pay.next")
        await finger.until_shown("check.pay")
        assert set(groups_of(BOB)) <= set(finger.texts())
        assert finger.shows("Not one of your contacts")
        assert finger.shows("0.000000502 SVM")  # with the fee that was chosen
        assert scene.raws == []
        await finger.tap("check.pay")
        await finger.until(lambda: finger.shows("Accepted") and scene.raws)
        [raw] = scene.raws
        scene.accept()
        await finger.until(lambda: finger.shows("Accepted by an edge"))
        for level, text in ((LEVEL_R1, "Certified"), (LEVEL_R3, "Final, not proved yet")):
            item = StatusItem(scene.network.parse(raw).id, level, "")
            scene.phone.step(Received(EDGE, Status((item,))))
            await finger.until(lambda text=text: text in finger.texts())
            assert not finger.shows("Paid")
        scene.seal()
        await finger.until(lambda: finger.shows("Paid and proved"))
        assert not finger.has("paying.cancel")
        await finger.tap("paying.done")
        await finger.tap("home.pay")
        assert finger.find("pay.to").text == ""  # the next payment is another one


async def test_what_is_wrong_is_told_where_it_was_typed_and_nothing_goes_on() -> None:
    scene = AppScene()
    async with opened(scene) as finger:
        await finger.tap("home.pay")
        await finger.tap("pay.next")
        assert finger.shows("Whom do you want to pay")
        assert finger.shows("Type an amount")
        typo = BOB[:-1] + ("q" if BOB[-1] != "q" else "p")
        await finger.type("pay.to", typo)
        assert finger.shows("A letter of this address is wrong")
        await finger.type("pay.to", BOB)
        await finger.type("pay.amount", "5")
        assert finger.shows("This is more than you can spend now")
        await finger.type("pay.amount", "1,5")
        assert finger.shows("This is no amount")
        await finger.tap("pay.unit.grain")
        await finger.type("pay.amount", "500")
        await finger.tap("pay.fee.own")
        await finger.type("pay.fee", "1.5")
        await finger.tap("pay.next")
        assert finger.has("pay.next")
        await finger.tap("pay.fee.0")
        await finger.tap("pay.next")
        await finger.until_shown("check.pay")
        await finger.tap("back")
        assert finger.find("pay.to").text == BOB  # as it was left
    assert not any(isinstance(request, Pay) for request in scene.asked)


async def test_a_contact_is_found_while_its_name_is_typed() -> None:
    scene = AppScene()
    await scene.session.put_contact(CAROL, "Carol")
    async with opened(scene) as finger:
        await finger.tap("home.pay")
        await finger.type("pay.to", "ca")
        assert not finger.shows("is no address")
        await finger.tap("pay.contact.Carol")
        await finger.type("pay.amount", "0.0000001")
        await finger.tap("pay.next")
        await finger.until_shown("check.pay")
        assert {"Carol", *groups_of(CAROL)} <= set(finger.texts())


async def test_without_a_network_the_queue_says_why_and_until_when_and_cancels_what_never_left() -> None:
    scene = AppScene()
    async with opened(scene) as finger:
        scene.disconnect()
        await finger.until(lambda: finger.shows("Offline"))
        await fill(finger, BOB, "0.0000005")
        await finger.tap("pay.next")
        await finger.until(lambda: finger.shows("It leaves once there is an edge"))
        await finger.tap("check.pay")
        await finger.until_shown("paying.done")
        assert finger.shows("Waiting")
        await finger.tap("paying.done")
        await finger.tap("home.waiting")
        await finger.until(lambda: finger.shows("1 payment waits"))
        assert finger.shows("4 days left")
        [row] = [target.key for target in finger.targets() if len(target.key) == len("waiting.") + 64]
        await finger.tap(row)
        await finger.tap("waiting.cancel")
        await finger.tap("dialog.no")
        await finger.until(lambda: not finger.has("dialog.no"))  # it fades, and until then it is in the way
        assert finger.shows("1 payment waits")
        await finger.tap("waiting.cancel")
        await finger.tap("dialog.yes")
        await finger.until(lambda: finger.shows("Nothing is on its way"))
        scene.connect()
        assert scene.raws == []


async def test_what_is_kept_leaves_when_its_owner_sends_it() -> None:
    scene = AppScene()
    async with opened(scene) as finger:
        await fill(finger, BOB, "0.0000005")
        await finger.tap("pay.keep")
        await finger.tap("pay.next")
        await finger.tap("check.pay")
        await finger.until(lambda: finger.has("paying.cancel"))
        assert scene.raws == []
        await finger.tap("paying.done")
        await finger.tap("home.waiting")
        await finger.tap("waiting.send")
        await finger.until(lambda: scene.raws)
        await finger.until(lambda: finger.shows("The network has it"))


async def test_a_refusal_stays_with_what_was_typed() -> None:
    scene = AppScene(queue_max=1)
    async with opened(scene) as finger:
        for amount in ("0.0000001", "0.0000002"):
            await fill(finger, BOB, amount)
            await finger.tap("pay.next")
            await finger.tap("check.pay")
            if amount == "0.0000001":
                await finger.until_shown("paying.done")
                await finger.tap("paying.done")
        await finger.until(lambda: finger.shows("1 payments wait already"))
        assert finger.has("check.pay")
        scene.seal()
        await finger.tap("check.pay")
        await finger.until_shown("paying.done")
