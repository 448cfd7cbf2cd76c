"""What the app does at its node: in slices, with errors as sentences, and with files that others can read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from app_tools import EDGE, AppScene
from chain_tools import test_key
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract.core import Received
from supervm.common.services.lines import NoOwner, RequestRefused
from supervm.common.wallet.tries import TooSoon
from supervm.protocol.base.address import encode_address
from supervm.protocol.wire.payments import LEVEL_REFUSED, FeeTerms, Status, StatusItem
from supervm.tier_l4_mobile.app.errors import SHOWN_CHARS_MAX, explain, explain_text
from supervm.tier_l4_mobile.app.export import COLUMNS, csv_header, csv_rows
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.models.settings import Settings
from supervm.tier_l4_mobile.app.redact import redact
from supervm.tier_l4_mobile.app.session import SLICE, sliced
from supervm.tier_l4_mobile.app.settings_file import SETTINGS_FILE, load_settings, save_settings
from supervm.tier_l4_mobile.app.values import Amount, say
from supervm.tier_l4_mobile.messages import (
    Balance,
    Cancel,
    Pay,
    PayMany,
    PaymentRow,
    PaymentsSince,
    PutContact,
    RemoveContact,
    SearchPayments,
    ShowPayment,
)

BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("bob", "carol"))
ALICE = encode_address(test_key("alice").public, test=False)


def rows(count: int) -> list[PaymentRow]:
    return [PaymentRow(to=BOB, amount=number, fee=1, key=f"row:{number}") for number in range(1, count + 1)]


# --- slices -----------------------------------------------------------------------------------------------------------


async def test_many_payments_go_in_slices_and_others_run_in_between() -> None:
    scene, told, turns = AppScene(), [], 0

    async def frames() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(frames)
        shown = await scene.session.pay_many(rows(120), told.append)
        nursery.cancel_scope.cancel()
    assert told == [50, 100, 120]
    assert turns >= len(told) - 1
    assert [len(request.rows) for request in scene.asked if isinstance(request, PayMany)] == [50, 50, 20]
    assert [payment["amount"] for payment in shown] == list(range(1, 121))
    again = await scene.session.pay_many(rows(120), told.append)  # asked twice, paid once
    assert [payment["number"] for payment in again] == [payment["number"] for payment in shown]


@given(st.integers(0, 300), st.integers(1, 60))
def test_slices_lose_nothing(count: int, size: int) -> None:
    parts = list(sliced(range(count), size))
    assert [item for part in parts for item in part] == list(range(count))
    assert all(len(part) == size for part in parts[:-1])


async def test_a_start_reads_what_is_open_however_much_is_over() -> None:
    scene = AppScene()
    for _ in range(3):
        await scene.session.pay_many([PaymentRow(to=BOB, amount=1, fee=1) for _ in range(100)], lambda _: None)
        scene.seal()
    await scene.session.pay_many([PaymentRow(to=CAROL, amount=1, fee=1) for _ in range(60)], lambda _: None)
    scene.asked.clear()
    assert await scene.session.refresh() is None
    assert len(scene.models.waiting.rows(scene.now_ms)) == 60
    pages = [request for request in scene.asked if isinstance(request, SearchPayments)]
    assert len(pages) == 2
    assert SLICE == 50
    scene.seal()
    assert await scene.session.refresh() is None
    assert scene.models.waiting.rows(scene.now_ms) == []
    changes = [request for request in scene.asked if isinstance(request, PaymentsSince)]
    assert len(changes) == 4  # where to begin, nothing since; then two pages
    assert all(request.limit <= SLICE for request in changes[1:])


async def test_an_app_that_slept_reads_anew_what_is_open() -> None:
    """The node remembers few changes: whoever comes after long is not told what ended meanwhile."""
    scene = AppScene()
    await scene.session.refresh()
    scene.models.pay.to, scene.models.pay.amount = BOB, "0.000000001"
    assert await scene.session.pay() is None
    await scene.session.more_activity()
    scene.seal()
    for _ in range(12):
        await scene.session.pay_many([PaymentRow(to=CAROL, amount=1, fee=1) for _ in range(100)], lambda _: None)
        scene.seal()
        scene.phone.wait(6_000_000)
    await scene.ask(Pay(PaymentRow(to=BOB, amount=7, fee=1)))
    asked = len(scene.asked)
    assert await scene.session.refresh() is None
    assert len(scene.asked) - asked < 12
    [row] = scene.models.waiting.rows(scene.now_ms)
    assert row.amount == say("home.amount", amount=Amount(7))
    assert scene.models.pay.is_paid
    await scene.session.more_activity()
    assert scene.models.activity.rows()[0].is_open
    assert await scene.session.refresh() is None


async def test_models_are_kept_fed_until_it_is_over(autojump_clock: trio.testing.MockClock) -> None:
    scene, told = AppScene(), []
    await scene.ask(PutContact(BOB, "Bob"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.session.run, told.append)
        await trio.sleep(20)
        await scene.ask(Pay(PaymentRow(to=BOB, amount=1, fee=1)))
        await trio.sleep(2)
        assert [row.to for row in scene.models.waiting.rows(scene.now_ms)] == ["Bob"]
        assert scene.models.home.view(scene.now_ms).lines[0].is_sure
        assert set(told) == {None}
        scene.is_gone = True
        await trio.sleep(2)
        assert told[-1] == say("error.gone")
        nursery.cancel_scope.cancel()
    assert sum(isinstance(request, Balance) for request in scene.asked) == 2


async def test_a_node_that_is_gone_is_said_and_shown_and_comes_back() -> None:
    scene = AppScene()
    await scene.session.refresh()
    scene.is_gone = True
    for work in (scene.session.refresh, scene.session.prove, scene.session.contacts, scene.session.more_activity):
        assert await work() == say("error.gone")
    assert scene.models.home.view(scene.now_ms).connection.key == "link.no-node"
    with pytest.raises(NoOwner):
        await scene.session.pay_many(rows(1), lambda _: None)
    scene.is_gone = False
    assert await scene.session.refresh() is None
    assert scene.models.home.view(scene.now_ms).is_online


# --- errors -----------------------------------------------------------------------------------------------------------


async def refusal(scene: AppScene, request: object) -> str:
    with pytest.raises(RequestRefused) as told:
        await scene.ask(request)  # type: ignore[arg-type]
    return str(told.value)


async def test_what_the_node_refuses_has_a_sentence_of_its_own() -> None:
    """The sentences are those of a real node: one that is worded anew has to be known here, too."""
    scene = AppScene(queue_max=2)
    await scene.ask(PutContact(CAROL, "Carol"))
    assert explain_text(await refusal(scene, Pay(PaymentRow(to=BOB, amount=10**7, fee=1)))) == say(
        "error.overdraft", needed=Amount(10_000_001), free=Amount(1_000_000)
    )
    await scene.ask(Pay(PaymentRow(to=BOB, amount=1, fee=1)))
    await scene.ask(Pay(PaymentRow(to=BOB, amount=2, fee=1), offline=True))
    told = {
        "error.cancel-late": Cancel("row-1"),
        "error.queue-full": Pay(PaymentRow(to=BOB, amount=1, fee=1)),
        "error.contact-name": PutContact(BOB, "carol"),
        "error.contact-empty": PutContact(BOB, " "),
        "error.address": PutContact("nonsense", "x"),
        "error.address-typo": Pay(PaymentRow(to=BOB[:-1] + ("q" if BOB[-1] != "q" else "p"), amount=1, fee=1)),
        "error.other-network": Balance(encode_address(test_key("bob").public, test=True)),
        "error.not-own": Pay(PaymentRow(to=BOB, amount=1, fee=1, source=CAROL)),
        "error.unknown": RemoveContact(BOB),
    }
    for key, request in told.items():
        assert explain_text(await refusal(scene, request)).key == key
    await scene.ask(Cancel("row-2"))
    assert explain_text(await refusal(scene, Cancel("row-2"))).key == "error.cancel-over"


async def test_a_fee_that_the_edge_does_not_take_has_a_sentence_of_its_own() -> None:
    scene = AppScene(online=False)
    scene.phone.connect(EDGE, terms=FeeTerms(b"", ((b"", 100),)))
    scene.serve()
    assert explain_text(await refusal(scene, Pay(PaymentRow(to=BOB, amount=1, fee=9)))).key == "error.fee-not-taken"


async def test_what_happens_to_a_payment_has_a_sentence_of_its_own() -> None:
    scene = AppScene()
    shown = await scene.ask(Pay(PaymentRow(to=BOB, amount=1, fee=1)))
    item = StatusItem(bytes.fromhex(shown["id"]), LEVEL_REFUSED, "it smells")
    scene.phone.step(Received(EDGE, Status((item,))))
    shown = await scene.ask(ShowPayment(shown["id"]))
    assert explain_text(shown["reason"]).key == "error.edge-refused"
    scene.disconnect()
    answer = await scene.ask(Balance())
    assert explain_text(answer["reason"]).key == "error.no-edge"


@pytest.mark.parametrize("code", ["en", "zh"])
@given(sentence=st.text(max_size=3_000))
def test_any_sentence_is_shown_in_bounds(code: str, sentence: str) -> None:
    shown = Language(code).write(explain_text(sentence))
    assert len(shown) <= SHOWN_CHARS_MAX + 40
    assert shown.isprintable()


def test_an_unknown_error_is_shown_as_it_is() -> None:
    assert explain(RequestRefused("the moon is full")) == say("error.unknown", sentence="the moon is full")
    long = explain_text("x" * 5_000).values["sentence"]
    assert (len(long), long[-1]) == (SHOWN_CHARS_MAX, "…")
    assert explain(TooSoon(4, 1_500_000)) == say("error.too-soon", count="4", s="2")
    assert explain_text("cannot write: No space left on device").key == "error.disk-full"


# --- files ------------------------------------------------------------------------------------------------------------


async def test_all_payments_go_into_a_csv_file_that_holds_no_formula() -> None:
    scene = AppScene()
    await scene.session.pay_many(rows(60), lambda _: None)
    scene.seal()
    await scene.ask(Pay(PaymentRow(to=CAROL, amount=5, fee=1)))
    text = csv_header()

    def take(payments: object) -> None:
        nonlocal text
        text += csv_rows(payments, {BOB: '=cmd|" /C calc"!A0', CAROL: 'Carol, "the baker"'})  # type: ignore[arg-type]

    await scene.session.every_payment(take)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == COLUMNS
    assert [int(line["number"]) for line in lines] == list(range(61, 0, -1))
    assert (lines[0]["paid"], lines[0]["to_name"], lines[0]["proved_at"]) == ("no", 'Carol, "the baker"', "")
    assert (lines[1]["paid"], lines[1]["to_name"]) == ("yes", '\'=cmd|" /C calc"!A0')
    assert lines[1]["asked_at"] <= lines[1]["proved_at"]
    assert lines[1]["asked_at"].endswith("Z")
    assert lines[1]["from"] == ALICE


def test_logs_for_support_say_nothing_of_people() -> None:
    node = "svmnode1qqp6zpal708pp0sawrw33e6tczvk0exkxzd62r2lrhwgveqj25cmse4"
    line = (
        f"paid 1500 grain and 7 of {'cd' * 32} to {BOB} at {node} [fe80::1%eth0]:9000 192.168.1.20:9000 "
        f"tx {'ab' * 32} for Bob in /home/bob/phone/node.sock; Bobby stays"
    )
    told = redact(line, ["bob", ""])
    assert told == (
        "paid <amount> grain and <amount> of <id> to <address> at <node> <host>:9000 <host>:9000 "
        "tx <id> for <name> in <path>; Bobby stays"
    )
    assert redact("nothing to hide: height 12, 3 links") == "nothing to hide: height 12, 3 links"


@given(st.text(max_size=200))
def test_redacting_takes_any_text(text: str) -> None:
    assert BOB not in redact(text + BOB + text)


def test_settings_are_kept_and_a_damaged_file_is_said(tmp_path: Path) -> None:
    assert load_settings(tmp_path) == (Settings(), None)
    chosen = Settings(language="zh", theme="dark", text_percent=150, takes_part="standard")
    save_settings(tmp_path, chosen)
    assert load_settings(tmp_path) == (chosen, None)
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS_FILE]
    path = tmp_path / SETTINGS_FILE
    for data in (b"", b"{", b"[]", b'{"language":"de"}', b'{"more":1}', b"\xff\xfe", b"[" * 100_000, b" " * 70_000):
        path.write_bytes(data)
        settings, problem = load_settings(tmp_path)
        assert settings == Settings()
        assert problem is not None
        assert problem.key == "settings.unreadable"
        assert Language("zh").write(problem)
    path.write_bytes(msgspec.json.encode({"theme": "dark"}))  # what was written before a setting came
    assert load_settings(tmp_path) == (Settings(theme="dark"), None)
    path.unlink()
    path.mkdir()
    assert load_settings(tmp_path)[1] is not None
    with pytest.raises(OSError, match="directory"):
        save_settings(tmp_path, chosen)
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS_FILE]
