"""The service `lan`: nodes find each other by multicast DNS, here over the loopback interface alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from supervm.common.contract.core import Reply
from supervm.common.errors import InputError
from supervm.common.host.config import NodeConfig
from supervm.common.parts.reach.lan_found import LanFound, LanNode
from supervm.common.services.lan import LAN
from supervm.common.services.service import find_services

pytest.importorskip("zeroconf", reason="zeroconf, the extra `lan` of supervm-common, is not installed")

CHAIN_ID = b"c" * 32


@dataclass
class Told:
    """What the service sees of a node: where it listens, and who takes what the LAN holds."""

    tier: int
    listens: list[str] = field(default_factory=list)
    chain_id: bytes = CHAIN_ID
    found: list[tuple[LanNode, ...]] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)
    ready: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.config = SimpleNamespace(tier=self.tier)
        self.ready.set()

    def command(self, request: LanFound, on_reply: Any) -> None:
        self.found.append(request.nodes)
        on_reply(Reply(1, {"taken": len(request.nodes)}))
        self.changed.set()
        self.changed = trio.Event()

    async def hears(self, *nodes: LanNode) -> None:
        """Wait until these are on the LAN, and no others."""
        with trio.fail_after(20):
            while not self.found or sorted(self.found[-1], key=lambda node: node.addresses) != list(nodes):
                await self.changed.wait()


async def test_nodes_of_one_network_find_each_other_and_hear_when_one_goes() -> None:
    edge, other, phone = Told(3, ["127.0.0.1:4301"]), Told(3, ["127.0.0.1:4302"]), Told(4, ["127.0.0.1:4303"])
    stranger = Told(3, ["127.0.0.1:4304"], chain_id=b"d" * 32)
    first, second, third = (
        LanNode(3, ("127.0.0.1:4301",)),
        LanNode(3, ("127.0.0.1:4302",)),
        LanNode(4, ("127.0.0.1:4303",)),
    )
    async with trio.open_nursery() as nursery:
        for told in (edge, phone, stranger):
            await nursery.start(LAN.run, told)
        async with trio.open_nursery() as short:
            await short.start(LAN.run, other)
            await phone.hears(first, second)
            await edge.hears(second, third)
            short.cancel_scope.cancel()
        await phone.hears(first)
        await edge.hears(third)
        nursery.cancel_scope.cancel()
    assert stranger.found == []
    assert not any(first in found for found in edge.found)  # it does not find itself


@pytest.mark.parametrize(
    ("hosts", "asked", "both"),
    [
        (("127.0.0.1",), ["127.0.0.1"], False),
        (("10.0.0.7",), ["10.0.0.7", "127.0.0.1", "fe80::7"], True),
        (("fe80::7", "fd00::7"), ["127.0.0.1", "fe80::7"], True),
    ],
)
def test_a_node_asks_on_the_interfaces_where_it_is_found(hosts: tuple[str, ...], asked: list[str], both: bool) -> None:
    """A node that listens on the machine alone sends nothing onto the LAN."""
    from zeroconf import IPVersion

    from supervm.common.services.lan.zeroconf_lan import interfaces_of

    own = ("10.0.0.7", "127.0.0.1", "::1", "fd00::7", "fe80::7")
    assert interfaces_of(hosts, own) == (asked, IPVersion.All if both else IPVersion.V4Only)


def test_it_runs_where_the_owner_says_so_and_nothing_of_it_is_loaded_elsewhere() -> None:
    def config(**values: Any) -> NodeConfig:
        return NodeConfig(tier=3, directory=Path(), genesis=Path(), tier_options=values)

    assert not LAN.wanted(config())
    assert not LAN.wanted(config(lan=False))
    assert LAN.wanted(config(lan=True))
    assert LAN in find_services()[0]
    code = "import sys; from supervm.common.services.service import find_services; find_services(); "
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}print({{'zeroconf', 'asyncio', 'ifaddr'}} & set(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "set()\n"


async def test_without_zeroconf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    monkeypatch.delitem(sys.modules, "supervm.common.services.lan.zeroconf_lan", raising=False)
    async with trio.open_nursery() as nursery:
        with pytest.raises(InputError, match=r"lan = true needs zeroconf.*install supervm-common\[lan\]"):
            await LAN.run(Told(3), task_status=trio.TASK_STATUS_IGNORED)
        nursery.cancel_scope.cancel()
