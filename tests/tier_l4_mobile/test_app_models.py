"""What the screens show, fed by a real core: certainty of balances, and payments that are paid only if proved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from app_tools import AppScene
from chain_tools import test_key
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R1, LEVEL_R3, Status, StatusItem
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.models.certainty import FRESH_MS_MAX, Certainty
from supervm.tier_l4_mobile.app.models.groups import groups_of
from supervm.tier_l4_mobile.app.models.home import HIDDEN, connection_text
from supervm.tier_l4_mobile.app.models.settings import Settings, SettingsModel
from supervm.tier_l4_mobile.app.models.steps import DONE, ENDED, NEXT, OPEN, is_paid, steps_of
from supervm.tier_l4_mobile.app.values import GRAIN, SVM, Amount, Span, say
from supervm.tier_l4_mobile.cli.verify import verify
from supervm.tier_l4_mobile.handover.payment_request import parse_request
from supervm.tier_l4_mobile.messages import Cancel, Pay, PaymentRow, PutContact, SearchPayments, ShowPayment

BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("bob", "carol"))
ALICE = encode_address(test_key("alice").public, test=False)
EN = Language("en")
HOUR_MS = 3_600_000


async def started(*, online: bool = True, **more: int) -> AppScene:
    scene = AppScene(online=online, **more)
    assert await scene.session.refresh() is None
    await scene.session.prove()
    return scene


async def pay(scene: AppScene, amount: str = "0.0000005", to: str = BOB) -> None:
    form = scene.models.pay
    form.clear()
    form.to, form.amount = to, amount
    assert form.problems() == []
    assert await scene.session.pay() is None


# --- home -------------------------------------------------------------------------------------------------------------


async def test_a_balance_says_how_sure_it_is_and_grows_old() -> None:
    scene = await started()
    height = scene.network.ledger.height
    now_ms = scene.network.ledger.header.ts_ms + 12_000
    [line] = scene.models.home.view(now_ms).lines
    assert EN.write(line.amount) == "0.001 SVM"
    assert (EN.write(line.certainty), line.is_sure) == (f"Proved at height {height}, 12 s ago", True)
    [line] = scene.models.home.view(now_ms + 3 * HOUR_MS).lines
    assert (EN.write(line.certainty), line.is_sure) == ("Last proved 3 hours ago", False)
    assert EN.write(line.amount) == "0.001 SVM"


async def test_without_a_proof_there_is_no_balance_and_without_an_edge_an_old_one() -> None:
    scene = await started(online=False)
    view = scene.models.home.view(scene.now_ms)
    assert (view.lines[0].amount, view.lines[0].certainty.key) == (say("home.nothing-proved"), "home.unproved")
    assert (view.is_online, EN.write(view.connection)) == (False, "Offline: payments wait on this phone")
    scene.connect()
    await scene.session.prove()
    scene.disconnect()
    scene.phone.now_us += 3 * HOUR_MS * 1000
    await scene.session.prove()
    [line] = scene.models.home.view(scene.now_ms).lines
    assert (line.certainty.key, line.is_sure) == ("home.last-proved", False)


def test_a_proof_from_the_future_is_called_that() -> None:
    answer = {"balance": 5, "height": 9, "age_s": None, "proof_verified": False, "reason": "x"}
    known = Certainty.of(answer, 1_000)
    assert (known.text(1_000).key, known.is_fresh(1_000)) == ("home.ahead", False)


@given(st.integers(0, 10**7), st.integers(0, 10**10), st.booleans())
def test_a_balance_is_sure_only_as_long_as_its_proof_is_young(age_ms: int, later_ms: int, proved: bool) -> None:
    answer = {"balance": 5, "height": 9, "age_s": age_ms / 1000, "proof_verified": proved, "reason": None}
    known = Certainty.of(answer, 10**12)
    sure = known.is_fresh(10**12 + later_ms)
    assert not (sure and (not proved or age_ms + later_ms > FRESH_MS_MAX + 1))
    assert (known.text(10**12 + later_ms).key == "home.proved") == sure


async def test_amounts_hide_on_a_tap_everywhere_on_the_screen() -> None:
    scene = await started()
    await pay(scene)
    scene.models.home.promised = {"svm": (77, None), "ab" * 32: (5, 9)}
    scene.models.home.tap()
    view = scene.models.home.view(scene.now_ms)
    assert view.lines[0].amount == HIDDEN
    assert [text.values["amount"] for text in (*view.going_out, *view.coming_in)] == [HIDDEN] * 3
    scene.models.home.tap()
    view = scene.models.home.view(scene.now_ms)
    assert [EN.write(text) for text in view.going_out] == ["0.000000501 SVM on the way out"]
    assert [EN.write(text) for text in view.coming_in] == [
        "0.000000077 SVM promised, not settled",
        "5 abababab promised, not settled; the payer's balance is proved at height 9",
    ]


async def test_what_is_on_its_way_out_ends_with_its_proof() -> None:
    scene = await started()
    await pay(scene)
    scene.seal()
    await scene.session.refresh()
    assert scene.models.home.view(scene.now_ms).going_out == ()


async def test_the_connection_is_told_with_edge_medium_and_latency() -> None:
    scene = await started()
    told = EN.write(scene.models.home.view(scene.now_ms).connection)
    assert told.startswith("Connected to edge …")
    assert told.endswith(" over the internet, answers in 0 ms")
    assert connection_text(None).key == "link.no-node"
    for address, key in (
        ("127.0.0.1:9000", "medium.tcp"),
        ("tcp:host:9000", "medium.tcp"),
        ("serial:/dev/ttyUSB0", "medium.serial"),
        ("lan:box", "medium.lan"),
        (None, "medium.unknown"),
    ):
        link = {"node_id": "svmnode1abcdefgh", "address": address, "answer_ms": None}
        assert connection_text({"link": link}) == say("link.edge", edge="abcdefgh", medium=say(key))


# --- pay --------------------------------------------------------------------------------------------------------------


async def test_a_payment_walks_its_line_and_is_paid_only_when_it_is_proved() -> None:
    scene = await started()
    form = scene.models.pay
    await pay(scene)
    states = [[step.state for step in form.line()]]
    [raw] = scene.raws
    name = scene.network.parse(raw).id
    for level in (LEVEL_R0, LEVEL_R1, LEVEL_R3):
        scene.phone.now_us += 1_000_000
        scene.phone.step(Received(b"\xe1" * 32, Status((StatusItem(name, level, ""),))))
        await scene.session.refresh()
        states.append([step.state for step in form.line()])
        assert not form.is_paid
    assert EN.write(form.status()) == "Final, not proved yet"
    scene.seal()
    await scene.session.refresh()
    states.append([step.state for step in form.line()])
    assert states == [[DONE] * (1 + n) + [NEXT] * (n < 4) + [OPEN] * (3 - n) for n in range(5)]
    assert (form.is_paid, EN.write(form.status())) == (True, "Paid and proved")
    times = [step.at.ms for step in form.line()]
    assert times == sorted(times)
    assert times[1] - times[0] == 1_000


@given(
    status=st.sampled_from(["queued", "R0", "R1", "R3", "R4", "refused", "expired", "cancelled", "what?"]),
    verified=st.booleans(),
    result=st.sampled_from([None, "executed", "failed"]),
    levels=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_nothing_is_called_paid_without_a_proof(
    status: str, verified: bool, result: str | None, levels: list[bool]
) -> None:
    latencies = {name: 1.5 if reached else None for name, reached in zip(("r0", "r1", "r3", "r4"), levels, strict=True)}
    payment = {
        "status": status,
        "proof_verified": verified,
        "result": result,
        "created_us": 10**15,
        "latency_ms": latencies,
    }
    paid = is_paid(payment)
    assert paid == (status == "R4" and verified and result != "failed")
    steps = steps_of(payment)
    assert paid or steps[-1].state != DONE
    assert [step.state for step in steps].count(NEXT) <= 1
    assert all((step.at is None) == (step.state != DONE) for step in steps)


async def test_a_receiver_is_checked_with_every_letter() -> None:
    scene = await started()
    form = scene.models.pay
    for typed, key in (
        ("", "pay.to-empty"),
        ("bob", "error.address"),
        (BOB[:-1] + ("q" if BOB[-1] != "q" else "p"), "error.address-typo"),
        (encode_address(test_key("bob").public, test=True), "pay.other-network"),
        ("svm1" + "x" * 5_000, "error.address"),
    ):
        form.to = typed
        problem = form.receiver_problem()
        assert problem is not None
        assert problem.key == key, typed
    for typed in (BOB, f" {BOB[:20]} {BOB[20:]}\n", BOB.upper()):
        form.to = typed
        assert form.receiver_problem() is None
        assert form.receiver() == BOB


async def test_a_contact_is_paid_by_name_and_a_stranger_is_named_one() -> None:
    scene = await started()
    await scene.session.put_contact(BOB, "Bob the baker")
    form = scene.models.pay
    assert [found["name"] for found in form.suggestions("bo")] == ["Bob the baker"]
    assert [found["name"] for found in form.suggestions("BAK")] == ["Bob the baker"]
    assert form.suggestions("nobody") == []
    form.to, form.amount = "bob THE baker", "1"
    assert form.receiver() == BOB
    form.amount = "0.0005"
    shown = form.confirmation()
    assert (EN.write(shown.name), shown.is_known) == ("Bob the baker", True)
    assert "".join(shown.groups) == BOB
    assert shown.total == Amount(500_001, SVM)
    assert shown.fee == Amount(1, GRAIN)
    form.to = CAROL
    assert (form.confirmation().name.key, form.confirmation().is_known) == ("pay.to-unknown", False)
    form.to = ALICE
    assert form.confirmation().name.key == "pay.to-self"


async def test_amount_and_fee_are_held_against_what_is_proved_and_what_the_edge_takes() -> None:
    scene = await started()
    form = scene.models.pay
    form.to = BOB
    for amount, fee, amount_key, fee_key in (
        ("0.001", "", "pay.too-much", None),  # the fee is on top
        ("0.000999999", "", None, None),
        ("1e3", "", "amount.unreadable", None),
        ("0.0000001", "0", None, "amount.zero"),
        ("0.0000001", "x", None, "amount.unreadable"),
    ):
        form.amount, form.fee = amount, fee
        problems = form.amount_problem(), form.fee_problem()
        assert [problem and problem.key for problem in problems] == [amount_key, fee_key], (amount, fee)
    info = {"accounts": [], "terms": {"fees": {"svm": 1_000}}, "link": None}
    form.take_info(info)
    form.fee = "0.000000999"
    assert EN.write(form.fee_problem()) == "Your edge takes 1,000 grain or more."
    choices = form.fee_choices()
    assert [choice.amount.units for choice in choices] == [1_000, 2_000, 5_000]
    for choice in choices:
        form.choose_fee(choice)
        assert form.fee_problem() is None
    form.take_info(info | {"terms": {"fees": {"ab" * 32: 5}}})
    assert form.fee_problem() == say("pay.fee-asset")
    [form.fee_unit] = form.fee_assets()
    form.fee, form.amount = "", "1"
    assert form.fee_problem() is None
    shown, row = form.confirmation(), form.request().row
    assert (shown.fee, shown.total) == (Amount.of(5, "ab" * 32), None)
    assert (row.fee, row.fee_asset, row.asset) == (5, "ab" * 32, "svm")


async def test_a_scanned_request_fills_the_form() -> None:
    scene = await started()
    form = scene.models.pay
    form.take_scanned(parse_request(f"svm:{BOB}?amount=500&label=Bakery"))
    assert (form.problems(), form.amount, form.unit, form.asked) == ([], "500", GRAIN, ("Bakery", ""))
    form.clear()
    form.take_scanned(parse_request(f"svm:{BOB}?amount=0.0000005&unit=svm&note=bread"))
    assert (form.problems(), form.amount, form.unit, form.asked) == ([], "0.0000005", SVM, ("", "bread"))
    form.to = CAROL
    assert form.asked == ("", "")  # the words were about somebody else
    form.clear()
    form.amount, form.unit = "2", GRAIN
    form.take_scanned(parse_request(BOB))  # what it leaves open stays as it was typed
    assert (form.amount, form.unit, form.to) == ("2", GRAIN, BOB)
    form.take_scanned(parse_request(f"svm:{BOB}?asset={'cd' * 32}"))
    assert (form.amount, form.units()[-1], form.request().row.asset) == ("2", form.unit, "cd" * 32)
    assert form.is_asked
    form.take_scanned(parse_request(CAROL))  # another payment than the one that was asked for
    assert (form.to, form.amount, form.is_asked) == (CAROL, "", False)


async def test_the_same_payment_is_never_asked_for_under_two_names() -> None:
    scene = await started()
    form = scene.models.pay
    form.to, form.amount = BOB, "0.0000001"
    scene.is_gone = True
    assert (await scene.session.pay()).key == "error.gone"
    scene.is_gone = False
    lost = form.request()
    assert form.request().row.key == lost.row.key
    await scene.ask(lost)  # the answer is lost
    assert await scene.session.pay() is None
    assert len(scene.models.waiting.rows(scene.now_ms)) == 1
    form.clear()
    form.to, form.amount = BOB, "0.0000001"
    assert form.request().row.key != lost.row.key


async def test_a_refusal_is_said_in_words_and_the_form_stays() -> None:
    scene = await started(queue_max=1)
    await pay(scene)
    form = scene.models.pay
    form.clear()
    form.to, form.amount = BOB, "0.0000001"
    assert (await scene.session.pay()).key == "error.queue-full"
    assert (form.status().key, form.line(), form.to) == ("error.queue-full", [], BOB)
    scene.seal()
    assert await scene.session.pay() is None
    assert form.status().key == "status.queued"


def test_an_address_is_shown_in_groups_that_make_it_up_again() -> None:
    groups = groups_of(BOB)
    assert groups[0] == "svm1"
    assert {len(group) for group in groups[1:-1]} == {4}
    assert "".join(groups) == BOB


# --- queue ------------------------------------------------------------------------------------------------------------


async def test_the_queue_says_what_waits_why_until_when_and_what_can_be_cancelled() -> None:
    scene = await started(online=False)
    await pay(scene)
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert (row.why.key, row.may_cancel, row.to) == ("wait.offline", True, BOB)
    assert row.left == Span(96 * 3600)
    assert EN.write(scene.models.waiting.count) == "1 payment waits"
    scene.connect()
    await scene.session.refresh()
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert (row.why.key, row.may_cancel) == ("wait.network", False)
    assert (await scene.session.cancel(row.id)).key == "error.cancel-late"
    scene.disconnect()
    await scene.session.refresh()
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert row.why.key == "wait.released-offline"
    [row] = scene.models.waiting.rows(row.until.ms)
    assert (row.why.key, row.left) == ("wait.expiring", Span(0))


async def test_what_is_kept_stays_until_it_is_sent_and_can_be_cancelled_until_then() -> None:
    scene = await started()
    await scene.session.put_contact(BOB, "Bob")
    scene.models.pay.is_offline = True
    scene.models.pay.to, scene.models.pay.amount = "Bob", "0.0000001"
    assert scene.models.pay.confirmation().waits == say("wait.kept")
    assert await scene.session.pay() is None
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert (row.why.key, row.may_cancel, row.to) == ("wait.kept", True, "Bob")
    assert await scene.session.send_kept() is None
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert (row.why.key, row.may_cancel) == ("wait.network", False)
    scene.seal()
    await scene.session.refresh()
    assert scene.models.waiting.rows(scene.now_ms) == []


# --- receive ----------------------------------------------------------------------------------------------------------


async def test_an_address_is_shared_with_what_is_asked_for() -> None:
    scene = await started()
    shown = scene.models.receive
    assert (shown.address, "".join(shown.groups)) == (ALICE, ALICE)
    assert EN.write(shown.share_text()) == f"Pay me with SuperVM: {ALICE}"
    shown.amount = "1.5"
    assert (shown.request().amount, shown.problem()) == (1_500_000_000, None)
    uri = f"svm:{ALICE}?amount=1.5&unit=svm"
    assert (shown.payload(), EN.write(shown.share_text())) == (uri, f"Please pay me 1.5 SVM with SuperVM: {uri}")
    shown.unit = GRAIN
    assert shown.problem().key == "amount.whole"
    shown.amount, shown.note = "15", " for bread & butter "
    assert shown.payload() == f"svm:{ALICE}?amount=15&note=for%20bread%20%26%20butter"
    shown.note = "x" * 257
    assert (shown.note_problem().key, shown.payload()) == ("receive.note-wrong", f"svm:{ALICE}?amount=15")
    shown.note, shown.unit = "", SVM
    shown.amount = "1,5"
    assert (shown.request().amount, shown.problem().key) == (None, "amount.unreadable")
    shown.choose(5)
    assert shown.address == ALICE


# --- activity and one payment -----------------------------------------------------------------------------------------


async def test_activity_is_read_page_by_page_searched_and_kept_up() -> None:
    scene = await started()
    for number in range(1, 61):
        await scene.ask(Pay(PaymentRow(to=(BOB, CAROL)[number % 2], amount=number, fee=1)))
    await scene.session.put_contact(CAROL, "Carol")
    shown = scene.models.activity
    await scene.session.more_activity()
    assert (len(shown.rows()), shown.is_whole) == (50, False)
    await scene.session.more_activity()
    assert (len(shown.rows()), shown.is_whole) == (60, True)
    assert shown.rows()[0].amount == say("home.amount", amount=Amount(60))
    assert shown.rows()[1].to == "Carol"
    await scene.session.more_activity()
    assert shown.count == 60
    assert [row.amount for row in shown.rows(20, 2)] == [say("home.amount", amount=Amount(n)) for n in (40, 39)]
    scene.seal()
    await scene.session.refresh()
    assert {row.is_paid for row in shown.rows()} == {True}
    await scene.ask(Pay(PaymentRow(to=BOB, amount=61, fee=1)))
    await scene.session.refresh()
    assert shown.rows()[0].is_open
    shown.search("carol")
    await scene.session.more_activity()
    assert (len(shown.rows()), {row.to for row in shown.rows()}) == (30, {"Carol"})
    late = SearchPayments()
    shown.take_page(late, {"payments": [{}], "before": None})  # of a search that is over
    assert len(shown.rows()) == 30


async def test_one_payment_shows_where_its_fee_goes_and_gives_a_proof(tmp_path: Path) -> None:
    scene = await started()
    scene.models.pay.fee = "0.000000013"
    await scene.session.contacts()
    form = scene.models.pay
    form.to, form.amount, form.fee = BOB, "0.0000001", "0.000000013"
    await scene.session.pay()
    page = scene.session.page_of(await scene.ask(ShowPayment("row-1")))
    assert sum(part.amount.units for part in page.fee_parts()) == 13
    assert [EN.write(part.name) for part in page.fee_parts()] == ["Validators", "Miners", "Edges", "Phones"]
    assert page.proof_request() is None
    scene.seal()
    page = scene.session.page_of(await scene.ask(ShowPayment("row-1")))
    assert (page.status.key, page.reason, page.receiver[1]) == ("status.paid", None, groups_of(BOB))
    proof = page.take_proof(await scene.ask(page.proof_request()))
    proved = scene.network.client.check_answer(proof, scene.network.ledger.header.ts_ms)
    assert proved.state.next_seq == 1
    answer, anchor = tmp_path / "alice.answer", tmp_path / "genesis.cbor"
    answer.write_bytes(proof)
    anchor.write_bytes(encode(scene.network.chain.genesis))
    now_s = scene.network.ledger.header.ts_ms // 1000 + 1
    asked = [str(answer), "--anchor", str(anchor), "--now", str(now_s), "--json"]
    told = CliRunner().invoke(verify, asked, standalone_mode=False)
    assert (told.return_value, json.loads(told.stdout)["next_seq"]) == (0, 1)
    assert EN.write(page.proof_text()).endswith("below number 1 were executed; this is number 0.")


async def test_a_cancelled_payment_says_so_and_proves_nothing() -> None:
    scene = await started(online=False)
    await pay(scene)
    await scene.ask(Cancel("row-1"))
    page = scene.session.page_of(await scene.ask(ShowPayment("row-1")))
    assert (page.status.key, page.reason.key, page.proof_request()) == ("status.cancelled", "error.cancelled", None)
    assert [step.state for step in page.steps()] == [DONE, ENDED, ENDED, ENDED, ENDED]


# --- network and settings ---------------------------------------------------------------------------------------------


async def test_the_network_shows_this_phone_and_what_it_trusts() -> None:
    scene = await started()
    shown = scene.models.network
    assert [(line.is_here, line.is_linked) for line in shown.tiers()] == [
        (False, False),
        (False, False),
        (False, True),
        (True, False),
    ]
    assert EN.write(shown.peers) == "1 link"
    assert shown.trust.key in ("network.trusts", "network.trusts-until")
    assert shown.height == say("network.height", height=scene.phone.core.height)
    scene.is_gone = True
    assert (await scene.session.refresh()).key == "error.gone"
    assert (shown.trust.key, shown.connection.key) == ("link.no-node", "link.no-node")
    for trust, key in (
        ({"fork": {"height": 7}, "believing": False, "expires_ms": 1}, "network.fork"),
        ({"fork": None, "believing": False, "expires_ms": 1}, "network.trust-old"),
    ):
        shown.take_info({"trust": trust, "link": None, "peers": 0, "height": 1})
        assert shown.trust.key == key


async def test_watched_addresses_show_what_they_have_and_how_sure_that_is() -> None:
    scene = await started()
    await scene.ask(PutContact(BOB, "Bob", watched=True))
    await scene.session.contacts()
    shown = scene.models.settings
    [line] = shown.watched(scene.now_ms)
    assert (line.name, line.certainty.key) == ("Bob", "home.unproved")
    await scene.session.watched()
    [line] = shown.watched(scene.now_ms)
    assert (EN.write(line.amount), line.certainty.key) == ("0.001 SVM", "home.proved")
    scene.disconnect()
    await scene.session.watched()  # nothing can be proved: what was known stays, and grows old
    [line] = shown.watched(scene.now_ms + 3 * HOUR_MS)
    assert (EN.write(line.amount), line.certainty.key) == ("0.001 SVM", "home.last-proved")
    await scene.session.put_contact(BOB, "Bob")
    assert shown.watched(scene.now_ms) == []


def test_settings_take_what_is_allowed_and_nothing_else() -> None:
    model = SettingsModel()
    for name, value in (
        ("language", "zh"),
        ("theme", "dark"),
        ("text_percent", 150),
        ("lock_after_s", 0),
        ("redacts", False),
        ("takes_part", "active"),
    ):
        assert model.change(name, value) is None
        assert getattr(model.settings, name) == value
    before = model.settings
    wrong = (
        ("language", "de"),
        ("text_percent", 101),
        ("lock_after_s", -1),
        ("battery_percent_min", 101),
        ("redacts", "yes"),
        ("nothing", 1),
    )
    for name, value in wrong:
        assert model.change(name, value) == say("settings.not-allowed")
    assert model.settings is before
    for name in ("language", "theme", "text_percent", "redacts", "takes_part"):
        choices = model.choices(name)
        assert [choice.value for choice in choices if choice.is_chosen] == [getattr(before, name)]
        assert all(SettingsModel().change(name, choice.value) is None for choice in choices)
    assert Settings() == SettingsModel().settings


@pytest.mark.parametrize("code", ["en", "zh"])
async def test_every_screen_can_be_written_in_both_languages(code: str) -> None:
    scene = await started()
    await pay(scene)
    language, now_ms = Language(code), scene.now_ms
    view = scene.models.home.view(now_ms)
    said = [view.connection, *view.going_out, *(text for line in view.lines for text in (line.amount, line.certainty))]
    said += [text for row in scene.models.waiting.rows(now_ms) for text in (row.amount, row.status, row.why)]
    said += [text for line in scene.models.network.tiers() for text in (line.name, line.does)]
    said += [scene.models.network.height, scene.models.network.trust, scene.models.network.peers]
    said += [step.name for step in scene.models.pay.line()]
    said += [choice.name for name in ("language", "theme", "takes_part") for choice in SettingsModel().choices(name)]
    assert all(language.write(text) for text in said)
