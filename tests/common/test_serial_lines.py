"""Serial lines on pseudo-terminals: the transport, links over it, and units for what needs no link."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing
from serial_cable import Cable, cable

from supervm.common.driver import Limits, ListenFailed, TrioClock
from supervm.common.driver.failures import NoAddress
from supervm.common.driver.transports import installed
from supervm.common.driver.transports.contract import HEARTBEAT_US_DEAR, Pipe, Traits, traits_of
from supervm.common.driver.transports.memory import MemoryNet
from supervm.common.driver.transports.serial.address import read_address
from supervm.common.driver.transports.serial.pipe import SerialPipe
from supervm.common.driver.transports.serial.transport import SerialTransport
from supervm.common.driver.transports.slow import WAITING_MAX, SlowMedium
from supervm.common.link.serial.units import UNIT_BYTES_MAX
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.wire.payments import Submit

pytest.importorskip("serial", reason="pyserial, the extra `serial` of supervm-common, is not installed")
if not hasattr(os, "openpty"):
    pytest.skip("this system has no pseudo-terminals", allow_module_level=True)


def load_tools() -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver_tools", Path(__file__).with_name("driver_tools.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tools: Any = load_tools()
FAST = "?baud=115200&bps=1000000"


def transport(seed: int = 1) -> SerialTransport:
    return SerialTransport(Limits(), random.Random(seed))


@asynccontextmanager
async def joined(ends: Cable, query: str = FAST) -> AsyncIterator[tuple[SerialPipe, Pipe]]:
    """The dialling end of a stream, and the end that listens."""
    admitted, receive = trio.open_memory_channel[Pipe](1)
    async with trio.open_nursery() as nursery:
        await nursery.start(transport().serve, ends.one + query, admitted.send_nowait)
        dialled = await transport(2).dial(ends.two + query)
        yield dialled, await receive.receive()
        await dialled.aclose()
        nursery.cancel_scope.cancel()


async def read(pipe: Pipe, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        some = await pipe.receive_some(65_536)
        assert some
        data += some
    return data


# --- addresses --------------------------------------------------------------------------------------------------------


def test_an_address_says_what_its_line_is_like() -> None:
    address = read_address("/dev/ttyUSB0?baud=115200&bps=1200&frame_bytes=100&duty_ppm=10000")
    assert (address.path, address.baud) == ("/dev/ttyUSB0", 115_200)
    assert address.traits == Traits(bitrate_bps=1_200, cost=1, duty_cycle=0.01)
    assert address.traits.heartbeat_us == HEARTBEAT_US_DEAR
    assert read_address("/dev/ttyS0").line.bitrate_bps == 7_680  # 9,600 baud, ten bits a byte
    assert read_address("/dev/ttyS0?baud=115200").traits == Traits(bitrate_bps=92_160)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("ttyUSB0", "the path of a device is needed, for example serial:/dev/ttyUSB0"),
        ("/dev/a?baud=fast", "'baud=fast' is not allowed; there may be baud=50..12000000, bps="),
        ("/dev/a?baud=9600&baud=9600", "each once"),
        ("/dev/a?speed=9600", "'speed=9600' is not allowed"),
        ("/dev/a?frame_bytes=5", "frame_bytes=32..1024"),
        ("/dev/a?bps=10&duty_ppm=100", "takes longer at 10 bit/s than the 100 millionths of an hour"),
    ],
)
def test_what_is_no_address_of_a_line_says_what_is_allowed(address: str, problem: str) -> None:
    with pytest.raises(NoAddress) as error:
        read_address(address)
    assert problem in str(error.value)
    assert not transport().can_dial(address)


def test_the_transport_is_announced_and_what_it_needs_is_imported_with_the_first_line() -> None:
    found, rest = installed(Limits()).of("serial:/dev/ttyUSB0?baud=1200")
    assert traits_of(found, rest).bitrate_bps == 960
    code = (
        "import sys; from supervm.common.driver import Limits; from supervm.common.driver.transports import installed; "
        "installed(Limits()).of('serial:/dev/ttyUSB0'); "
        "print({'serial', 'supervm.common.link.serial'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_bytes_go_both_ways_and_closing_ends_the_other_end_after_the_last_of_them() -> None:
    async with cable() as ends, joined(ends) as (one, two):
        data = random.Random(1).randbytes(100_000)  # also every byte that KISS and a terminal could take for its own
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.send_all, data)
            nursery.start_soon(two.send_all, data[::-1])
            assert await read(two, len(data)) == data
            assert await read(one, len(data)) == data[::-1]
        await one.send_all(b"the last of it")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.aclose)
            assert await read(two, 14) == b"the last of it"
            assert await two.receive_some(100) == b""
            await two.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await one.send_all(b"more")


@pytest.mark.parametrize(("query", "most_s"), [("?baud=115200", 1.2), ("?baud=115200&bps=1200", 9)])
async def test_closing_takes_no_longer_when_the_other_end_is_gone(
    query: str, most_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """A node that stops waits for it."""
    autojump_clock.autojump_threshold = 0.02
    is_cut = False
    async with cable(lambda piece: b"" if is_cut else piece) as ends, joined(ends, query) as (one, _two):
        is_cut = True
        await one.send_all(b"a" * 5_000)
        began_s = trio.current_time()
        await one.aclose()
        assert trio.current_time() - began_s < most_s


async def test_a_line_that_is_given_back_takes_the_next_stream() -> None:
    async with cable() as ends:
        admitted, receive = trio.open_memory_channel[Pipe](1)
        async with trio.open_nursery() as nursery:
            await nursery.start(transport().serve, ends.one + FAST, admitted.send_nowait)
            for number in range(3):
                dialled = await transport(number).dial(ends.two + FAST)
                taken = await receive.receive()
                await dialled.send_all(bytes([number]))
                assert await taken.receive_some(10) == bytes([number])
                async with trio.open_nursery() as closing:
                    closing.start_soon(dialled.aclose)
                    closing.start_soon(taken.aclose)
            nursery.cancel_scope.cancel()


async def test_a_line_has_one_user() -> None:
    async with cable() as ends, joined(ends):
        with pytest.raises(OSError, match="cannot be opened"):
            await transport().dial(ends.two + FAST)
        with pytest.raises(ListenFailed, match="cannot listen on serial:"):
            await transport().serve(ends.one + FAST, lambda _pipe: None)


async def test_a_device_that_is_not_there_says_so() -> None:
    with pytest.raises(OSError, match="/dev/nobody cannot be opened"):
        await transport().dial("/dev/nobody")


async def test_a_device_that_goes_away_ends_a_dial(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    master, slave = os.openpty()

    async def unplug() -> None:
        await trio.sleep(1)
        os.close(master)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(unplug)
        with pytest.raises(OSError, match="the device of the line is gone"):
            await transport().dial(os.ttyname(slave))
    os.close(slave)


async def test_who_listens_waits_for_a_device_that_went_away(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.02
    path = tmp_path / "modem"
    first = os.openpty()
    path.symlink_to(os.ttyname(first[1]))
    async with cable() as ends, trio.open_nursery() as nursery:
        admitted, receive = trio.open_memory_channel[Pipe](1)
        await nursery.start(transport().serve, f"{path}{FAST}", admitted.send_nowait)
        for descriptor in first:
            os.close(descriptor)
        path.unlink()
        path.symlink_to(ends.one)
        dialled = await transport(2).dial(ends.two + FAST)  # it asks until somebody is there
        await receive.receive()
        await dialled.aclose()
        nursery.cancel_scope.cancel()


async def test_a_dial_that_nobody_answers_gives_the_line_back(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    async with cable() as ends:
        with trio.move_on_after(5) as tried:
            await transport().dial(ends.two + FAST)
        assert tried.cancelled_caught
        assert ends.pieces > 2  # it asked more than once
        async with joined(ends):
            pass


# --- links and units --------------------------------------------------------------------------------------------------


def node(number: int, listen: str | bool, tier: int) -> Any:
    return tools.Node(
        number, tier, listen=listen, clock=TrioClock(10**15), threaded_commits=False, transports=[transport(number)]
    )


@pytest.mark.parametrize("query", [FAST, "?baud=9600"])
async def test_two_nodes_have_a_link_over_a_line(query: str, autojump_clock: trio.testing.MockClock) -> None:
    """Also over one of 9,600 baud, where that takes four tenths of a second of virtual time."""
    autojump_clock.autojump_threshold = 0.02
    async with cable() as ends, trio.open_nursery() as nursery:
        edge = await node(1, f"serial:{ends.one}{query}", 3).start(nursery)
        phone = await node(2, False, 4).start(nursery)
        phone.do(lambda outbox: outbox.dial(f"serial:{ends.two}{query}", edge.id))
        up = await edge.core.until(lambda: edge.core.of(tools.c.PeerUp))
        assert up[0].peer == phone.id
        await phone.core.until(lambda: phone.core.of(tools.c.PeerUp))
        phone.do(lambda outbox: outbox.send(edge.id, Submit((b"t" * 300,))))
        received = await edge.core.until(lambda: edge.core.of(tools.c.Received))
        assert received[0].message == Submit((b"t" * 300,))
        nursery.cancel_scope.cancel()


async def test_two_nodes_that_both_dial_have_a_link_begun_by_the_lower_id() -> None:
    async with cable() as ends, trio.open_nursery() as nursery:
        nodes = [await node(number, False, 4).start(nursery) for number in (1, 2)]
        for one, other, path in zip(nodes, reversed(nodes), (ends.one, ends.two), strict=True):
            one.do(lambda outbox, path=path, other=other: outbox.dial(f"serial:{path}{FAST}", other.id))
        for one in nodes:
            assert await one.core.until(lambda one=one: one.core.of(tools.c.PeerUp))
        nursery.cancel_scope.cancel()


async def test_a_bundle_crosses_a_line_of_1200_bits_with_a_tenth_lost_in_less_than_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Pseudo-terminals in virtual time; from the dial until the other end's word that it keeps the bundle is here."""
    autojump_clock.autojump_threshold = 0.02
    rng = random.Random(4)
    async with cable(lambda piece: b"" if rng.randrange(10) == 0 else piece) as ends:
        began_s = trio.current_time()
        async with joined(ends, "?baud=115200&bps=1200") as (dialled, taken), trio.open_nursery() as nursery:
            sender, receiver = SlowMedium(dialled), SlowMedium(taken)
            nursery.start_soon(sender.run)
            nursery.start_soon(receiver.run)
            bundle = rng.randbytes(2_048)

            async def keep() -> None:
                unit = await receiver.receive()
                assert unit.data == bundle
                await receiver.confirm(unit)

            nursery.start_soon(keep)
            await sender.send(bundle)
            assert trio.current_time() - began_s < 60
            nursery.cancel_scope.cancel()


async def slow_pair(nursery: trio.Nursery) -> tuple[Any, SlowMedium, SlowMedium]:
    one, two = MemoryNet().pair("")
    media = SlowMedium(one), SlowMedium(two)
    for medium in media:
        nursery.start_soon(medium.run)
    return one, *media


async def test_a_unit_is_sent_when_it_is_confirmed_and_not_when_it_has_come() -> None:
    async with trio.open_nursery() as nursery:
        _, one, two = await slow_pair(nursery)
        done: list[int] = []

        async def send(number: int) -> None:
            await one.send(bytes([number]))
            done.append(number)

        for number in range(3):
            nursery.start_soon(send, number)
            await trio.testing.wait_all_tasks_blocked()
        units = [await two.receive() for _ in range(3)]
        assert [unit.data for unit in units] == [b"\0", b"\1", b"\2"]
        assert done == []
        await two.confirm(units[1])
        await trio.testing.wait_all_tasks_blocked()
        assert done == [1]
        nursery.cancel_scope.cancel()


async def test_a_medium_that_ends_tells_who_waits_for_a_confirmation_and_who_waits_for_a_unit() -> None:
    async with trio.open_nursery() as nursery:
        pipe, one, two = await slow_pair(nursery)

        async def send() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await one.send(b"bundle")

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        pipe.kill()
        assert (await two.receive()).data == b"bundle"  # what has come whole is not lost with the medium
        with pytest.raises(trio.BrokenResourceError, match="killed"):
            await two.receive()


async def test_units_that_nobody_takes_stop_the_reading_and_a_unit_has_a_length() -> None:
    async with trio.open_nursery() as nursery:
        _, one, two = await slow_pair(nursery)
        for number in range(3 * WAITING_MAX):
            nursery.start_soon(one.send, bytes([number]) * 40_000)
        await trio.testing.wait_all_tasks_blocked()
        assert len(two._units) <= 2 * WAITING_MAX
        for wrong in (b"", bytes(UNIT_BYTES_MAX + 1)):
            with pytest.raises(LocalProtocolError, match="cannot be sent; 1 to"):
                await one.send(wrong)
        nursery.cancel_scope.cancel()
