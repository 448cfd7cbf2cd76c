"""The LAN through zeroconf, which works in threads of its own; what it hears comes over to the node's loop from there.

The machine's addresses and the day decide under which name and where the node is announced. When one of them changes -
a phone is carried from one Wi-Fi to the next, midnight passes - all of it begins anew.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from socket import AF_INET, AF_INET6, inet_pton
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
ASK_MS: Final = 2_000
"""How long a node that was announced is asked where it is."""
WAITING_MAX: Final = 256
"""Changes that may wait to be looked at; more are lost, and seen when the LAN is asked again."""


def own_addresses() -> tuple[str, ...]:
    """Return the IP addresses of this machine, in no order that matters, but the same one each time."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            found.append(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
    return tuple(sorted(dict.fromkeys(found)))


async def run_lan(node: Node) -> None:
    """Announce the node and tell it who else is there, until it is cancelled."""
    secret = os.urandom(32)
    while True:
        own = await trio.to_thread.run_sync(own_addresses)
        day = int(time.time()) // DAY_S
        name = instance_name(secret, node.chain_id, day)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_live, node, name, own)
            while own == await trio.to_thread.run_sync(own_addresses) and day == int(time.time()) // DAY_S:
                await trio.sleep(LOOK_S)
            nursery.cancel_scope.cancel()


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

    interfaces = _interfaces(hosts or own)
    zeroconf = await trio.to_thread.run_sync(partial(Zeroconf, interfaces=interfaces, ip_version=IPVersion.V4Only))
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
    packed = [inet_pton(AF_INET6 if ":" in host else AF_INET, host) for host in hosts]
    return ServiceInfo(SERVICE, f"{name}.{SERVICE}", addresses=packed, port=port, properties=words)


def _interfaces(hosts: tuple[str, ...]) -> list[str]:
    """Return the IPv4 addresses whose interfaces are asked; the machine's own too, for nodes that share it."""
    return list(dict.fromkeys([*(host for host in hosts if ":" not in host), "127.0.0.1"]))
