"""Models behind Activity, Network, Settings and Contacts, and the files that they end in."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_tools import AppScene
from chain_tools import test_key
from hypothesis import given
from hypothesis import strategies as st
from phone_folder import PASSPHRASE, WORDS, make_phone

from supervm.common.errors import CommonError
from supervm.common.host.prepare import LOG_FILE
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app.files import LOG_BYTES_MAX, OwnersFiles, peoples_folder
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.models.activity import PARTS, ActivityModel, Part
from supervm.tier_l4_mobile.app.models.contacts import ContactForm
from supervm.tier_l4_mobile.app.models.settings import BATTERY_PERCENTS, DATA_MIB, LOCK_AFTER_S, Settings, SettingsModel
from supervm.tier_l4_mobile.messages import Cancel, Pay, PaymentRow

ALICE, BOB, CAROL = (encode_address(test_key(name).public, test=False) for name in ("alice", "bob", "carol"))
ELSEWHERE = encode_address(test_key("bob").public, test=True)
EN = Language("en")


async def started() -> AppScene:
    scene = AppScene()
    assert await scene.session.refresh() is None
    assert await scene.session.contacts() is None
    return scene


async def read_all(scene: AppScene) -> list[str]:
    """Read the list to its end; return the statuses of its rows."""
    for _ in range(100):
        if scene.models.activity.is_all_read:
            break
        assert await scene.session.more_activity() is None
    rows = scene.models.activity.rows()
    assert len(rows) == scene.models.activity.listed_count
    return [row.status.key for row in rows]


# --- activity ---------------------------------------------------------------------------------------------------------


async def test_each_part_lists_what_belongs_to_it() -> None:
    scene = await started()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=1)))
    scene.accept()
    scene.seal()
    kept = await scene.ask(Pay(PaymentRow(to=BOB, amount=6, fee=1), offline=True))
    await scene.ask(Cancel(kept["id"]))
    await scene.ask(Pay(PaymentRow(to=BOB, amount=700, fee=1)))
    await scene.session.refresh()
    scene.network.seal([scene.network.tools.transaction("bob", test_key("alice").public, 900, 1)])
    scene.seal()
    await scene.session.refresh()
    expected: dict[Part, list[str]] = {
        "paid": ["status.paid", "status.paid"],
        "void": ["status.cancelled"],
        "open": [],
        "in": ["income.proved"],
    }
    for part, statuses in expected.items():
        scene.models.activity.choose(part)
        assert await read_all(scene) == statuses, part
    scene.models.activity.choose("all")
    assert sorted(await read_all(scene)) == sorted(status for found in expected.values() for status in found)
    assert set(PARTS) == {"all", *expected}


async def test_a_payment_leaves_the_part_that_it_no_longer_belongs_to() -> None:
    scene = await started()
    shown = scene.models.activity
    shown.choose("open")
    assert (await read_all(scene), shown.is_narrowed) == ([], True)
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=1)))
    await scene.session.refresh()
    assert shown.listed_count == 1
    scene.accept()
    scene.seal()
    await scene.session.refresh()
    assert shown.listed_count == 0


def shown_payment(number: int, status: str) -> dict[str, object]:
    is_over = status in ("R4", "refused")
    return {
        "number": number,
        "id": f"{number}",
        "to": BOB,
        "kind": "transfer",
        "asset": "svm",
        "amount": number,
        "status": status,
        "result": "executed" if status == "R4" else None,
        "proof_verified": status == "R4",
        "created_us": number * 1_000,
        "is_over": is_over,
    }


@given(
    st.sampled_from(["all", "open", "paid", "void"]),
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["queued", "R0", "R4", "refused"])), max_size=40),
)
def test_the_list_is_what_fits_in_order_however_payments_change(part: Part, news: list[tuple[int, str]]) -> None:
    model = ActivityModel()
    model.choose(part)
    request = model.next_request()
    assert request is not None
    model.take_page(request, {"payments": [], "before": None})
    last: dict[int, str] = {}
    for number, status in news:
        model.take_payments([shown_payment(number, status)])
        last[number] = status
    kinds = {"open": ("queued", "R0"), "paid": ("R4",), "void": ("refused",), "all": ("queued", "R0", "R4", "refused")}
    fitting = sorted((number for number, status in last.items() if status in kinds[part]), reverse=True)
    assert [int(row.id) for row in model.rows()] == fitting


# --- one payment ------------------------------------------------------------------------------------------------------


async def test_a_page_is_kept_up_also_when_more_has_changed_than_the_node_remembers() -> None:
    scene = await started()
    await scene.ask(Pay(PaymentRow(to=BOB, amount=500, fee=1), offline=True))
    page = await scene.session.page("row-1")
    assert (page.is_open, page.is_paid, page.may_cancel, page.row_id) == (True, False, True, "row-1")
    assert await scene.session.prove_payment(page) is None
    assert await scene.session.send_kept() is None
    assert not page.may_cancel
    scene.seal()
    for _ in range(12):
        await scene.session.pay_many([PaymentRow(to=CAROL, amount=1, fee=1) for _ in range(100)], lambda _: None)
        scene.seal()
        scene.phone.wait(6_000_000)
    assert await scene.session.refresh() is None
    assert (page.is_open, page.is_paid) == (False, True)


# --- contacts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "address", "name"),
    [
        (ContactForm(CAROL, "Carol"), None, None),
        (ContactForm(f" {CAROL[:20]} {CAROL[20:]}\n".upper(), "Carol"), None, None),
        (ContactForm("", ""), "contact.no-address", "error.contact-empty"),
        (
            ContactForm(CAROL[:-1] + ("q" if CAROL[-1] != "q" else "p"), " "),
            "error.address-typo",
            "error.contact-empty",
        ),
        (ContactForm("nonsense", "BOB"), "error.address", "error.contact-name"),
        (ContactForm(ELSEWHERE, "Carol"), "pay.other-network", None),
        (ContactForm(BOB, "Robert"), "contact.known", None),
        (ContactForm(BOB, "bob", is_new=False), None, None),
    ],
)
async def test_a_form_says_what_is_wrong_with_it(form: ContactForm, address: str | None, name: str | None) -> None:
    scene = await started()
    assert await scene.session.put_contact(BOB, "Bob") is None
    model = scene.models.contacts
    problems = [model.address_problem(form), model.name_problem(form)]
    assert [None if problem is None else problem.key for problem in problems] == [address, name]


async def test_what_is_right_in_the_form_is_taken_by_the_node() -> None:
    scene = await started()
    model = scene.models.contacts
    form = model.form(CAROL.upper())
    form.name, form.note, form.is_watched = "Carol", "bread", True
    assert (model.address_problem(form), model.name_problem(form), form.is_new) == (None, None, True)
    assert await scene.session.put_contact(form.plain_address, form.name, form.note, watched=True) is None
    assert await scene.session.put_contact(BOB, "Bob") is None
    assert [line.name for line in model.lines()] == ["Bob", "Carol"]
    assert [line.name for line in model.lines("BREAD")] == ["Carol"]
    assert [line.name for line in model.lines(BOB[10:20])] == ["Bob"]
    known = model.form(CAROL)
    assert (known.name, known.note, known.is_watched, known.is_new) == ("Carol", "bread", True, False)
    assert model.count == 2


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_form_is_answered(address: str, name: str) -> None:
    model = AppScene(online=False).models.contacts
    form = ContactForm(address, name)
    for problem in (model.address_problem(form), model.name_problem(form)):
        assert problem is None or EN.write(problem)


# --- network and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promises", "told"),
    [
        ({"kept": 0, "open": 0}, "Nothing yet: this phone has carried no payment of others"),
        ({"kept": 1, "open": 1}, "1 payment of others was taken to be carried on, 1 is still open"),
        ({"kept": 5, "open": 2}, "5 payments of others were taken to be carried on, 2 are still open"),
    ],
)
async def test_the_network_tells_what_was_carried_and_no_more(promises: dict[str, int], told: str) -> None:
    scene = await started()
    shown = scene.models.network
    shown.take_info({"promises": promises})
    assert EN.write(shown.served) == told


async def test_the_network_tells_the_edge_and_who_this_is() -> None:
    scene = await started()
    shown = scene.models.network
    assert shown.edge is not None
    assert (shown.clock, shown.is_passive) != (None, True)
    network, node = shown.identity()
    assert (network, node[:8]) == (scene.network.chain.chain_id.hex(), "svmnode1")
    scene.disconnect()
    await scene.session.refresh()
    assert (shown.edge, shown.clock) == (None, None)
    scene.is_gone = True
    await scene.session.refresh()
    assert (shown.identity(), EN.write(shown.served)[:11]) == (("", ""), "Nothing yet")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lock_after_s", (0, *LOCK_AFTER_S)),
        ("battery_percent_min", BATTERY_PERCENTS),
        ("data_mib_per_day_max", DATA_MIB),
    ],
)
def test_every_value_that_is_offered_is_allowed_and_the_usual_one_is_among_them(
    name: str, values: tuple[int, ...]
) -> None:
    model = SettingsModel()
    assert getattr(Settings(), name) in values
    for value in values:
        assert model.change(name, value) is None
        assert [choice.value for choice in model.choices(name) if choice.is_chosen] == [value]
        assert all(EN.write(choice.name) for choice in model.choices(name))
    assert not model.serves
    model.change("takes_part", "active")
    assert model.serves


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnersFiles:
    monkeypatch.setattr(OwnersFiles, "folder", staticmethod(lambda: tmp_path / "out"))
    return OwnersFiles(tmp_path)


def test_a_file_is_never_written_over_and_is_there_whole_or_not_at_all(files: OwnersFiles, tmp_path: Path) -> None:
    paths = [files.keep("list", ".csv", [b"a", b"b%d" % number]) for number in range(3)]
    assert [path.name for path in paths] == ["list.csv", "list-2.csv", "list-3.csv"]
    assert [path.read_bytes() for path in paths] == [b"ab0", b"ab1", b"ab2"]

    def broken():
        yield b"some"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.keep("list", ".csv", broken())
    assert sorted(path.name for path in tmp_path.joinpath("out").iterdir()) == sorted(path.name for path in paths)


def test_files_for_people_go_where_people_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", staticmethod(lambda: tmp_path))
    assert peoples_folder() == tmp_path
    tmp_path.joinpath("Documents").mkdir()
    assert peoples_folder() == tmp_path / "Documents"
    tmp_path.joinpath("Downloads").mkdir()
    assert peoples_folder() == tmp_path / "Downloads"


def test_a_log_is_read_from_its_end_and_redacted(files: OwnersFiles, tmp_path: Path) -> None:
    assert files.log([], redacts=True) == ""
    assert OwnersFiles(None).log([], redacts=False) == ""
    line = f'{{"event":"paid","to":"{BOB}","name":"Carol","bad":"\\ud800"}}\n'
    tmp_path.joinpath(LOG_FILE).write_bytes(b"begin\n" + line.encode() * 5_000 + b"\xff\xfeend\n")
    text = files.log(["Carol"], redacts=True)
    assert "begin" not in text
    assert (BOB in text, "Carol" in text, "<name>" in text) == (False, False, True)
    plain = files.log(["Carol"], redacts=False)
    assert len(plain.encode()) <= LOG_BYTES_MAX + 8
    assert plain.startswith('{"event"')
    assert plain.endswith("end\n")


def test_the_words_come_for_the_passphrase_alone(tmp_path: Path) -> None:
    make_phone(tmp_path / "phone")
    files = OwnersFiles(tmp_path / "phone")
    assert files.words(PASSPHRASE) == tuple(WORDS.split())
    with pytest.raises(CommonError, match="passphrase"):
        files.words("not this one")
    with pytest.raises(CommonError, match="not on this machine"):
        OwnersFiles(None).words(PASSPHRASE)
