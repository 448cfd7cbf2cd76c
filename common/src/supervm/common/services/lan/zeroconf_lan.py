"""The LAN through zeroconf, which works in threads of its own; what it hears comes over to the node's loop from there.

The machine's addresses and the day decide under which name and where the node is announced. When one of them changes -
a phone is carried from one Wi-Fi to the next, midnight passes - all of it begins anew.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import ifaddr
import trio
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from ...parts.reach.lan_found import NODES_MAX, LanFound, LanNode
from .words import DAY_S, SERVICE, announced, instance_name, read_node, words_of

if TYPE_CHECKING:
    from ...host.node import Node

LOOK_S: Final = 20.0
"""How often the machine's addresses are looked at."""
LOOK_SOON_S: Final = 1.0
"""The same while one of them cannot be used yet."""
ASK_MS: Final = 2_000
"""How long a node that was announced is asked where it is."""
WAITING_MAX: Final = 256
"""Changes that may wait to be looked at; more are lost, and seen when the LAN is asked again."""


def own_addresses() -> tuple[tuple[str, ...], bool]:
    """Return the IP addresses of this machine, and whether it has more in a moment.

    An interface that has just come up asks first whether somebody else has its IPv6 address (RFC 4862 5.4); until that
    is answered, a second or two, the address is there and cannot be used.
    """
    usable, is_all = [], True
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                usable.append(ip.ip)
            elif _can_bind(ip.ip):
                usable.append(ip.ip[0])
            else:
                is_all = False
    return tuple(sorted(dict.fromkeys(usable))), not is_all


def _can_bind(address: tuple[str, int, int]) -> bool:
    host, flow, scope = address
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0, flow, scope))
    except OSError:
        return False
    return True


async def run_lan(node: Node) -> None:
    """Announce the node and tell it who else is there, until it is cancelled."""
    secret = os.urandom(32)
    while True:
        own, has_more = await trio.to_thread.run_sync(own_addresses)
        day = _today()
        name = instance_name(secret, node.chain_id, day)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_live, node, name, own)
            now = own
            while now == own and day == _today():
                await trio.sleep(LOOK_SOON_S if has_more else LOOK_S)
                now, has_more = await trio.to_thread.run_sync(own_addresses)
            nursery.cancel_scope.cancel()


def _today() -> int:
    return int(time.time()) // DAY_S


async def _live(node: Node, name: str, own: tuple[str, ...]) -> None:
    """Be on the LAN as long as nothing changes."""
    port, hosts = announced(node.listens, own)
    heard, hear = trio.open_memory_channel[tuple[str, ServiceStateChange]](WAITING_MAX)
    token = trio.lowlevel.current_trio_token()

    def put(full_name: str, change: ServiceStateChange) -> None:
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            heard.send_nowait((full_name, change))

    def on_change(*, name: str, state_change: ServiceStateChange, **_others: Any) -> None:  # in zeroconf's thread
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(put, name, state_change)

    interfaces, versions = interfaces_of(hosts or own, own)
    zeroconf = await trio.to_thread.run_sync(partial(Zeroconf, interfaces=interfaces, ip_version=versions))
    try:
        if port is not None and hosts:
            info = _info(name, hosts, port, words_of(node.chain_id, node.config.tier))
            # names by chance need not be asked for before they are taken (RFC 6762 8.1), which saves a second
            await trio.to_thread.run_sync(partial(zeroconf.register_service, info, cooperating_responders=True))
        ServiceBrowser(zeroconf, SERVICE, handlers=[on_change])
        await _tell(node, zeroconf, hear, f"{name}.{SERVICE}")
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zeroconf.close)


async def _tell(
    node: Node, zeroconf: Zeroconf, hear: trio.MemoryReceiveChannel[tuple[str, ServiceStateChange]], own_name: str
) -> None:
    """Tell the node who is there, each time that changes."""
    nodes: dict[str, LanNode] = {}
    async for name, change in hear:
        before = dict(nodes)
        if change is ServiceStateChange.Removed:
            nodes.pop(name, None)
        elif name != own_name and (name in nodes or len(nodes) < NODES_MAX):
            info = await trio.to_thread.run_sync(
                zeroconf.get_service_info, SERVICE, name, ASK_MS, abandon_on_cancel=True
            )
            found = None if info is None else _read(info, node.chain_id)
            if found is None:
                nodes.pop(name, None)
            else:
                nodes[name] = found
        if nodes != before:
            node.command(LanFound(tuple(nodes.values())), lambda _reply: None)


def _read(info: ServiceInfo, chain_id: bytes) -> LanNode | None:
    return read_node(info.properties, info.parsed_scoped_addresses(), info.port, chain_id)


def _info(name: str, hosts: tuple[str, ...], port: int, words: dict[bytes, bytes]) -> ServiceInfo:
    packed = [ipaddress.ip_address(host).packed for host in hosts]
    return ServiceInfo(SERVICE, f"{name}.{SERVICE}", addresses=packed, port=port, properties=words)


def interfaces_of(hosts: tuple[str, ...], own: tuple[str, ...]) -> tuple[list[str], IPVersion]:
    """Return the addresses whose interfaces are asked, and over which versions of IP.

    The machine's own IPv4 interface is always one of them, for nodes that share the machine. Over IPv6 an interface is
    known by its link-local address: it has one, and what is heard there tells which interface it means.
    """
    found = list(dict.fromkeys([*(host for host in hosts if ":" not in host), "127.0.0.1"]))
    is_alone = all(ipaddress.ip_address(host).is_loopback for host in hosts)
    local = [] if is_alone else [text for text in own if ":" in text and ipaddress.ip_address(text).is_link_local]
    return [*found, *local], IPVersion.All if local else IPVersion.V4Only
