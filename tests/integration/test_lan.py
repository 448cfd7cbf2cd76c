"""Nodes of one LAN that nobody has told of each other, as processes: on loopback, and as machines on a bridge."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import namespaces
import pytest
import trio
from process_network import ProcessNetwork, running

from supervm.common.services.lan.words import chain_word
from supervm.common.up.layout import Counts

pytestmark = pytest.mark.processes
pytest.importorskip("zeroconf", reason="zeroconf, the extra `lan` of supervm-common, is not installed")


def edit(network: ProcessNetwork, name: str, **lines: str) -> None:
    """Set keys of a node's configuration."""
    path = network.nodes[name].directory / "config.toml"
    text = path.read_text()
    for key, value in lines.items():
        text, count = re.subn(rf"(?m)^(#\s*)?{key} = (\[[^]]*\]|.*)$", f"{key} = {value}", text, count=1)
        assert count, f"{path} has no key {key}"
    path.write_text(text)


async def until(network: ProcessNetwork, name: str, request: dict[str, Any], done: Callable[[Any], object]) -> Any:
    """Ask a node until its answer is as wanted."""
    while True:
        answer = await network.call(name, request)
        if done(answer):
            return answer
        await trio.sleep(0.05)


async def test_a_phone_that_was_told_of_no_edge_finds_one_on_its_lan_and_pays(tmp_path: Path) -> None:
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"])
    edit(network, "l3-0", lan="true")
    edit(network, "l4-0", lan="true", peers="[]", listen='"127.0.0.1:0"')
    wallets = network.layout.wallets
    row = {"to": wallets["bob"].address, "amount": 5, "fee": 10, "source": wallets["alice"].address, "key": "lan"}
    with trio.fail_after(90):
        async with running(network, "l1-0", "l2-0", "l3-0", "l4-0"):
            await until(network, "l4-0", {"request": "info"}, lambda info: info["lan_up"] == 1)
            balance = {"request": "balance", "address": row["source"]}
            await until(network, "l4-0", balance, lambda answer: answer["proof_verified"])
            paid = await network.call("l4-0", {"request": "pay", "row": row})
            payment = {"request": "payment", "id": f"row-{paid['number']}"}
            await until(network, "l4-0", payment, lambda answer: answer["status"] == "R4")
    assert not network.complaints()


@pytest.mark.parametrize("listen", ["0.0.0.0:4401", "[::]:4401"])
async def test_two_phones_of_a_lan_without_any_edge_have_a_link(tmp_path: Path, listen: str) -> None:
    """Two machines on a bridge with no way to anywhere else: what they are to each other there is a link, proven.

    Of IPv6 they have the addresses of their interface alone, which say nothing without the interface that is meant.
    """
    reason = namespaces.why_not()
    if reason:
        pytest.skip(reason)
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 2), ["alice", "bob"])
    for name in ("l4-0", "l4-1"):
        edit(network, name, lan="true", find_peers="true", peers="[]", listen=f'"{listen}"')
    with namespaces.lan(2) as machines, trio.fail_after(90):
        for name, machine in zip(("l4-0", "l4-1"), machines, strict=True):
            if ":" in listen.rpartition(":")[0]:
                namespaces.ip("-n", machine, "-4", "addr", "flush", "dev", "eth0")
            network.inside[name] = ("ip", "netns", "exec", machine)
        async with running(network, "l4-0", "l4-1"):
            for name in ("l4-0", "l4-1"):
                await until(network, name, {"request": "info"}, lambda info: info["peers"] == info["lan_up"] == 1)
    assert not network.complaints()


AVAHI = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/avahi-daemon
dbus-daemon --system --nofork --nopidfile --nosyslog &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
avahi-daemon --no-drop-root --no-rlimits --no-chroot >/dev/null 2>&1 &
until avahi-browse --all --terminate >/dev/null 2>&1; do sleep 0.1; done
avahi-publish-service elsewhere _supervm._tcp 4301 t=3 c="$1" >/dev/null 2>&1 &
while sleep 0.2; do avahi-browse --resolve --parsable --terminate _supervm._tcp; done
"""
"""Avahi with a bus, a folder for sockets and processes of its own, all of which end with it."""


async def test_a_node_is_found_by_avahi_and_finds_what_avahi_announces(tmp_path: Path) -> None:
    """Another implementation of RFC 6762 and 6763, in a network and a process tree of its own."""
    missing = [name for name in ("avahi-daemon", "avahi-browse", "dbus-daemon", "unshare") if which(name) is None]
    reason = f"not installed: {', '.join(missing)}" if missing else namespaces.why_not()
    if reason:
        pytest.skip(reason)
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice"])
    edit(network, "l4-0", lan="true", peers="[]", listen='"0.0.0.0:4401"')
    word = chain_word(network.chain.chain_id).decode()
    with namespaces.lan(2) as (machine, other), trio.fail_after(90):
        network.inside["l4-0"] = ("ip", "netns", "exec", machine)
        alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        async with running(network, "l4-0"):
            avahi = await trio.lowlevel.open_process(
                ["ip", "netns", "exec", other, *alone, "sh", "-c", AVAHI, "sh", word],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert avahi.stdout is not None
            try:
                heard = ""
                pattern = re.compile(
                    r'^=;eth0;IPv4;[0-9a-f]{16};_supervm\._tcp;.*;10\.77\.0\.1;4401;.*"t=4".*\n', re.MULTILINE
                )
                while not (found := pattern.search(heard)):
                    heard += (await avahi.stdout.receive_some()).decode()
                assert f'"c={word}"' in found[0]
                await until(network, "l4-0", {"request": "info"}, lambda info: info["lan_found"] == 1)
            finally:
                avahi.kill()
                with trio.CancelScope(shield=True):
                    await avahi.wait()
                    await avahi.stdout.aclose()
    assert not network.complaints()
