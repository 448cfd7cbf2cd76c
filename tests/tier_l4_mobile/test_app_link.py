"""The app and its node: the same commands, whether the node runs already or the app opens it."""

from __future__ import annotations

import typing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from chain_tools import test_key
from phone_folder import PASSPHRASE, make_phone, running_process

from supervm.common.errors import InputError
from supervm.common.host.config import NodeConfig
from supervm.common.host.open import open_node
from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.parts.reach.lan_found import LanFound
from supervm.common.services.lines import NoOwner, RequestRefused
from supervm.common.storage import DirectoryLock
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app import link as app_link
from supervm.tier_l4_mobile.app.errors import explain
from supervm.tier_l4_mobile.app.link import NodeLink, open_link
from supervm.tier_l4_mobile.messages import (
    Balance,
    Cancel,
    ContactList,
    Flush,
    HandoverDrop,
    HandoverExport,
    HandoverList,
    HandoverTake,
    IncomeList,
    Info,
    Issue,
    IssueRow,
    Lock,
    NewestAnchor,
    Passwd,
    Pay,
    PayMany,
    PaymentRow,
    PaymentsSince,
    PutContact,
    QueueList,
    RemoveContact,
    Request,
    SearchPayments,
    ShowPayment,
    TakePart,
    Unlock,
)
from supervm.tier_l4_mobile.profile import PROFILE

BOB = encode_address(test_key("bob").public, test=False)
ROW = PaymentRow(to=BOB, amount=5, fee=1)
COMMANDS = (
    Pay(ROW),
    PayMany((ROW, ROW)),
    Issue(IssueRow(supply=5, fee=1)),
    QueueList(),
    Cancel("row-1"),
    ShowPayment("row-1"),
    Flush(),
    Balance(),
    PaymentsSince(),
    SearchPayments("5"),
    IncomeList(),
    PutContact(BOB, "Bob"),
    ContactList(),
    RemoveContact(BOB),
    HandoverList(),
    TakePart(),
    Info(),
    Lock(),
    Unlock(PASSPHRASE),
)
REFUSED = (
    NewestAnchor(),
    ShowPayment("row-99"),
    RemoveContact(BOB),
    Balance(BOB, answer=True),
    Passwd("not this one", "battery staple"),
    HandoverExport(("row-2",)),
    HandoverTake("00"),
    HandoverDrop("ab" * 32),
    FindNodes(),
    ListPeers(),
    LanFound(()),
)
WORDS_OF_REFUSALS = (
    "no anchor",
    "no payment",
    "no contact",
    "a newer anchor is needed",
    "passphrase",
    "nothing can be handed over",
    "no hand-over of payments",
    "was handed over to this phone",
    "takes no request FindNodes",
    "takes no request ListPeers",
    "takes no request LanFound",
)


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return make_phone(tmp_path / "phone")


WAYS = ("own", "running", "process")
"""Whose node it is: the app's own, another part's of this program, or another process's (`supervm l4 run`)."""


@asynccontextmanager
async def opened(config: NodeConfig, way: str) -> AsyncIterator[NodeLink]:
    """The app's link: to a node that runs already, or to one that the app opens."""
    if way == "own":
        async with open_link(config, passphrase=PASSPHRASE) as link:
            yield link
    elif way == "running":
        async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE), open_link(config) as link:
            yield link
    else:
        async with running_process(config.directory, PASSPHRASE), open_link(config) as link:
            yield link


@pytest.mark.parametrize("way", WAYS)
async def test_every_command_is_answered_in_the_same_way(config: NodeConfig, way: str) -> None:
    kinds = {type(request) for request in (*COMMANDS, *REFUSED)}
    assert kinds == set(typing.get_args(Request))
    with trio.fail_after(60):
        async with opened(config, way) as link:
            assert link.is_own is (way == "own")
            answers = [await link.call(request) for request in COMMANDS]
            refusals = []
            for request in REFUSED:
                with pytest.raises(RequestRefused) as told:
                    await link.call(request)
                refusals.append(str(told.value))
            with pytest.raises(RequestRefused, match="cannot be read"):
                await link.call(ROW)  # type: ignore[arg-type]
    assert [sorted(answer) for answer in answers] == SHAPES
    assert answers[0]["status"] == "queued"
    assert answers[4]["status"] == "cancelled"
    assert answers[9]["payments"][-1]["id"] == "row-1"
    assert all(word in text for word, text in zip(WORDS_OF_REFUSALS, refusals, strict=True)), refusals


PAYMENT = sorted(
    [
        "number",
        "id",
        "from",
        "to",
        "kind",
        "asset",
        "amount",
        "fee_asset",
        "fee",
        "status",
        "reason",
        "result",
        "proof_verified",
        "released",
        "kept",
        "seq",
        "valid_until_ms",
        "key",
        "created_us",
        "latency_ms",
    ]
)
SHAPES = [
    PAYMENT,
    ["payments"],
    PAYMENT,
    ["payments", "total"],
    PAYMENT,
    PAYMENT,
    ["edge", "open", "submitted"],
    sorted(["address", "asset", "balance", "height", "age_s", "proof_verified", "exists", "next_seq", "reason"]),
    ["cursor", "payments"],
    ["before", "payments"],
    ["before", "income"],
    ["address", "name", "note", "watched"],
    ["contacts", "max"],
    ["address", "name", "note", "watched"],
    ["given", "taken"],
    sorted(
        [
            "mode",
            "choice",
            "reason",
            "answers",
            "carries",
            "punches",
            "asked",
            "found",
            "carried",
            "carried_bytes",
        ]
    ),
    sorted(
        [
            "tier",
            "node_id",
            "chain_id",
            "height",
            "peers",
            "problems",
            "payments",
            "edge",
            "fee_shares_bps",
            "income",
            "link",
            "mode",
            "taking_part",
            "terms",
            "time",
            "trust",
            "accounts",
            "contacts",
            "promises",
            "locked",
            "locks_in_s",
        ],
    ),
    ["locked", "locks_in_s"],
    ["locked", "locks_in_s"],
]
"""The fields of each answer."""


@pytest.mark.parametrize("way", WAYS)
async def test_many_requests_at_once_each_get_their_own_answer(config: NodeConfig, way: str) -> None:
    numbers: list[int] = []

    async def pay(link: NodeLink, number: int) -> None:
        shown = await link.call(Pay(PaymentRow(to=BOB, amount=number, fee=1)))
        assert shown["amount"] == number
        numbers.append(shown["number"])

    with trio.fail_after(60):
        async with opened(config, way) as link:
            async with trio.open_nursery() as nursery:
                for number in range(1, 41):
                    nursery.start_soon(pay, link, number)
            # one that is given up takes its connection with it, so that nobody else gets its answer
            with trio.CancelScope() as scope:
                scope.cancel()
                await link.call(Info())
            assert (await link.call(QueueList()))["total"] == 40
    assert sorted(numbers) == list(range(1, 41))
    assert app_link.IDLE_MAX < 40


async def test_a_node_of_the_apps_own_ends_with_it_and_one_that_runs_stays(config: NodeConfig) -> None:
    with trio.fail_after(60):
        # another app, or a command, finds the first one's node
        async with open_link(config, passphrase=PASSPHRASE) as link, open_link(config) as second:
            assert not second.is_own
            assert (await second.call(Info()))["tier"] == 4
        with pytest.raises(NoOwner) as told:
            await link.call(Info())
        assert explain(told.value).key == "error.gone"
        async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE) as node:
            async with open_link(config):
                pass
            assert (await node.request(Info()))["tier"] == 4


@pytest.mark.parametrize("way", WAYS)
async def test_the_stream_of_events_opens_and_ends_with_the_node(config: NodeConfig, way: str) -> None:
    ended = trio.Event()

    async def collect(link: NodeLink, task_status: trio.TaskStatus[None]) -> None:
        async with link.events() as events:
            task_status.started()
            async for event in events:
                assert {"event", "level", "fields", "lost"} == set(event)
        ended.set()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            async with opened(config, way) as link:
                await nursery.start(collect, link)
                assert not ended.is_set()
            await ended.wait()


async def test_what_keeps_the_app_from_a_node_ends_in_a_sentence(config: NodeConfig) -> None:
    with trio.fail_after(60):
        with pytest.raises(InputError) as told:
            async with open_link(config, passphrase="wrong"):
                pass
        assert explain(told.value).key == "error.passphrase"
        async with open_link(config) as link:  # without one it is locked, and says so where a key is needed
            with pytest.raises(RequestRefused, match="never unlocked") as refused:
                await link.call(Pay(ROW))
        assert explain(refused.value).key == "error.locked"
        lock = DirectoryLock(config.directory)
        with pytest.raises(InputError) as told:
            async with open_link(config, passphrase=PASSPHRASE):
                pass
        lock.release()
        assert explain(told.value).key == "error.directory-busy"
        assert explain(told.value).values["process"].isdigit()
