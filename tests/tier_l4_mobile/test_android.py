"""What the app has for Android, without Android: permissions, the service, and a start without any metadata."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import chain, count, repeat, takewhile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from android_java import Owner, Phone
from phone_folder import PASSPHRASE, make_phone

from supervm.common.errors import InputError
from supervm.common.host.home import home_directory
from supervm.common.services.client import answers_within
from supervm.common.services.lines import SOCKET_FILE
from supervm.tier_l4_mobile.app.android import service as service_module
from supervm.tier_l4_mobile.app.android.background import READY_S, start_node
from supervm.tier_l4_mobile.app.android.likes import is_dark, system_language
from supervm.tier_l4_mobile.app.android.permissions import (
    CAMERA,
    INTERNET,
    NOTIFY,
    PERMISSIONS,
    Permission,
    Permissions,
    platform_permissions,
)
from supervm.tier_l4_mobile.app.android.service import IDLE_S, LOOK_S, RUN_S_MAX, Need, run_while_needed
from supervm.tier_l4_mobile.app.language import Language, language_of
from supervm.tier_l4_mobile.app.link import open_link
from supervm.tier_l4_mobile.app.models.settings import Settings
from supervm.tier_l4_mobile.app.settings_file import save_settings
from supervm.tier_l4_mobile.messages import Info, Unlock

# --- permissions ------------------------------------------------------------------------------------------------------


async def test_what_needs_no_question_is_never_asked() -> None:
    owner = Owner()
    permissions = Permissions(owner)
    for permission in PERMISSIONS:
        if permission.why is None:
            assert not permissions.must_ask(permission)
            assert await permissions.ask(permission)
    assert owner.asked == []


@pytest.mark.parametrize("wanted", [CAMERA, NOTIFY])
@pytest.mark.parametrize("agrees", [True, False])
async def test_the_owner_is_asked_when_it_is_needed_and_not_again_once_it_is_granted(
    wanted: Permission, agrees: bool
) -> None:
    owner = Owner(agrees=agrees)
    permissions = Permissions(owner)
    assert permissions.must_ask(wanted)
    assert await permissions.ask(wanted) == agrees
    assert permissions.must_ask(wanted) != agrees
    assert await permissions.ask(wanted) == agrees
    assert owner.asked == [wanted.name] * (1 if agrees else 2)


async def test_two_screens_ask_one_after_the_other() -> None:
    owner, verdicts = Owner(), []
    permissions = Permissions(owner)

    async def ask() -> None:
        verdicts.append(await permissions.ask(CAMERA))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
    assert verdicts == [True, True]
    assert owner.asked == [CAMERA.name], "the second one found it granted"


async def test_an_older_system_knows_no_such_permission() -> None:
    owner = Owner(api=32)
    assert not Permissions(owner).must_ask(NOTIFY)
    assert await Permissions(owner).ask(NOTIFY)
    assert owner.asked == []


async def test_a_desktop_asks_for_nothing() -> None:
    permissions = platform_permissions()
    for permission in PERMISSIONS:
        assert not permissions.must_ask(permission)
        assert await permissions.ask(permission)


def test_whatever_is_asked_for_is_explained_and_can_be_done_without() -> None:
    for permission in PERMISSIONS:
        assert (permission.why is None) == (permission.without is None)
        for code in ("en", "zh"):
            for text in filter(None, (permission.why, permission.without)):
                assert Language(code).write(text)
    assert [permission for permission in PERMISSIONS if permission.why] == [NOTIFY, CAMERA]
    assert INTERNET.why is None


async def test_android_is_asked_by_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def request(names: list[str], answered: Callable[[list[str], list[bool]], None]) -> None:
        asked.append(names)
        answered(names, [True])

    android, jnius = ModuleType("android"), ModuleType("jnius")
    android.__dict__["permissions"] = SimpleNamespace(
        check_permission=lambda name: [name] in asked, request_permissions=request
    )
    jnius.__dict__["autoclass"] = {"android.os.Build$VERSION": SimpleNamespace(SDK_INT=34)}.__getitem__
    monkeypatch.setitem(sys.modules, "android", android)
    monkeypatch.setitem(sys.modules, "jnius", jnius)
    monkeypatch.setattr(sys, "platform", "android")
    permissions = platform_permissions()
    assert permissions.must_ask(CAMERA)
    assert await permissions.ask(CAMERA)
    assert asked == [["android.permission.CAMERA"]]


# --- the service ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


async def run_until_over(config: Any, over: trio.Event) -> None:
    await run_while_needed(config)
    over.set()


async def test_the_service_is_the_node_that_the_app_talks_to_and_its_wallet_begins_locked(tmp_path: Path) -> None:
    config, over = make_phone(tmp_path / "phone"), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_until_over, config, over)
        assert await answers_within(config.directory / SOCKET_FILE, 20)
        async with open_link(config) as link:
            assert not link.is_own
            assert (await link.call(Info()))["locked"] is True
            assert (await link.call(Unlock(PASSPHRASE)))["locked"] is False
        nursery.cancel_scope.cancel()
    assert not over.is_set()


def looks(heard: Iterator[int], *, has_open: bool = False) -> int:
    """Return for how many looks a node is needed."""
    need = Need()
    return sum(1 for _ in takewhile(lambda count: need.look(count, has_open=has_open), heard))


def test_a_node_is_needed_while_somebody_asks_or_a_payment_is_on_its_way_but_not_longer_than_android_lets_it() -> None:
    idle, most = IDLE_S // LOOK_S, RUN_S_MAX // LOOK_S
    assert looks(repeat(0)) == idle, "nobody was ever there"
    assert looks(chain(range(7), repeat(7))) == 7 + idle, "somebody was, for seven looks"
    assert looks(count()) == most - 1
    assert looks(repeat(0), has_open=True) == most - 1
    assert RUN_S_MAX < 6 * 3_600, "Android's own bound"


async def test_the_service_ends_when_nothing_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "LOOK_S", 1e-3)
    monkeypatch.setattr(service_module, "IDLE_S", 3e-3)
    with trio.fail_after(30):
        await run_while_needed(make_phone(tmp_path / "phone"))


async def test_a_folder_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    config = make_phone(tmp_path / "phone")
    async with open_link(config, passphrase=PASSPHRASE) as link:
        assert link.is_own
        with pytest.raises(InputError, match="is in use by process"):
            await run_while_needed(config)


async def test_the_app_waits_for_the_service_no_longer_than_it_says(
    tmp_path: Path, clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = Phone(monkeypatch)
    config = make_phone(tmp_path / "phone")
    begun = trio.current_time()
    assert not await start_node(config)
    assert READY_S <= trio.current_time() - begun < 2 * READY_S
    assert phone.started == [(phone.window, "", "SuperVM 正在运行", "途中的付款仍在继续", "")]


async def test_the_line_that_android_shows_is_in_the_language_of_the_settings(
    tmp_path: Path, clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = Phone(monkeypatch)
    config = make_phone(tmp_path / "phone")
    save_settings(config.directory, Settings(language="en"))
    await start_node(config)
    assert phone.started == [(phone.window, "", "SuperVM is running", "Payments on their way go on", "")]


async def test_the_app_opens_its_folder_through_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Phone(monkeypatch)
    config = make_phone(tmp_path / "phone")
    async with trio.open_nursery() as nursery:
        phone.run = lambda: nursery.start_soon(run_while_needed, config)
        async with open_link(config) as link:
            assert not link.is_own
        async with open_link(config) as link:
            assert not link.is_own
        assert len(phone.started) == 1, "it ran already"
        nursery.cancel_scope.cancel()


async def test_where_android_starts_no_service_the_app_runs_its_node_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = Phone(monkeypatch)

    def refuse() -> None:
        raise phone.JavaException("BackgroundServiceStartNotAllowedException")

    phone.run = refuse
    config = make_phone(tmp_path / "phone")
    async with open_link(config) as link:
        assert link.is_own
    monkeypatch.setitem(sys.modules, "jnius", None)  # a terminal on a phone
    async with open_link(config) as link:
        assert link.is_own
    assert len(phone.started) == 1


@pytest.mark.parametrize(("mode", "dark"), [(0x21, True), (0x11, False), (0x01, False)])
def test_a_phone_says_what_its_owner_likes(mode: int, dark: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    Phone(monkeypatch, "zh_CN_#Hans", mode)
    assert is_dark() == dark
    assert language_of(system_language()) == "zh"


def test_an_app_has_its_own_folder() -> None:
    private = {"ANDROID_PRIVATE": "/data/user/0/org.supervm.wallet/files", "HOME": "/"}
    assert home_directory(private, "android") == Path("/data/user/0/org.supervm.wallet/files/supervm")
    assert home_directory({"HOME": "/home/u", "XDG_DATA_HOME": "/x"}, "android") == Path("/x/supervm"), "a terminal"


# --- without metadata -------------------------------------------------------------------------------------------------

START = """
import json, sys
sys.platform = "android"
from supervm.common import installed
installed.read_path = lambda places: {}
import trio
from supervm.common.host.config import load_config
from supervm.tier_l4_mobile.app.android import service
from supervm.tier_l4_mobile.app.link import open_link
from supervm.tier_l4_mobile.app.models.settings import Settings
from supervm.tier_l4_mobile.app.settings_file import save_settings
from supervm.tier_l4_mobile.messages import Info
from supervm.common.services.client import answers_within

async def main():
    from supervm.tier_l4_mobile.options import OPTIONS
    service.announce_all()
    config = load_config(service.phone_directory() / "config.toml", tier=4, options=OPTIONS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run_while_needed, config)
        assert await answers_within(config.directory / "node.sock", 20)
        async with open_link(config) as link:
            print(json.dumps({"own": link.is_own, "locked": (await link.call(Info()))["locked"]}))
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def test_a_program_without_any_metadata_runs_its_node(tmp_path: Path) -> None:
    home = tmp_path / "supervm"
    home.mkdir()
    make_phone(home / "phone")
    code = textwrap.dedent(START)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"ANDROID_PRIVATE": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == '{"own": false, "locked": true}\n', done.stderr
