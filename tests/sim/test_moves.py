"""The simulator moves traffic to a second connection by the driver's rule (network.md 3)."""

from __future__ import annotations

import pytest

from supervm.common.contract.core import (
    Dial,
    DialFailed,
    Effect,
    Input,
    PeerDown,
    PeerMoved,
    PeerUp,
    Received,
    Send,
    Started,
    Tick,
)
from supervm.protocol.wire.link import Heartbeat
from supervm.sim.exact import Choices, Rules, lan
from supervm.sim.exact.world import ExactWorld

START_US = 10**15
COUNT = 2_000
STEP_US = 50
SECOND_DIAL = 1_000


class Counter:
    """Numbers what it says to its one peer, every `STEP_US` from `from_us` on, and may dial a second time meanwhile."""

    def __init__(self, dial: str | None, again: str | None, from_us: int) -> None:
        self._dial, self._again, self._from_us = dial, again, from_us
        self.deadline_us: int | None = None
        self.said = 0
        self.heard: list[int] = []
        self.told: list[str] = []
        self.peer: bytes | None = None

    def step(self, now_us: int, event: Input) -> list[Effect]:
        match event:
            case Started():
                self.deadline_us = self._from_us
                return [] if self._dial is None else [Dial(self._dial, None)]
            case PeerUp() | PeerMoved() | PeerDown():
                self.told.append(type(event).__name__)
                self.peer = None if isinstance(event, PeerDown) else event.peer
            case DialFailed():
                self.told.append("DialFailed")
            case Received(_, message):
                assert isinstance(message, Heartbeat)
                self.heard.append(message.counter)
            case Tick():
                return self._say(now_us)
        return []

    def _say(self, now_us: int) -> list[Effect]:
        self.deadline_us = now_us + STEP_US if self.said + 1 < COUNT else None
        effects: list[Effect] = []
        if self.peer is not None:
            effects.append(Send(self.peer, Heartbeat(self.said, 0, 0, 0)))
        self.said += 1
        if self.said == SECOND_DIAL and self._again is not None:
            effects.append(Dial(self._again, None))
        return effects


class Scene:
    """Two hosts, `one` having dialled `two`; a second dial comes from `again`, if that is one of them."""

    def __init__(self, again: str, seed: int = 0) -> None:
        self.world = ExactWorld(start_us=START_US, choices=Choices(seed), geography=lan())
        begin_us = START_US + 5_000_000
        self.cores = {
            "one": Counter("two", "two" if again == "one" else None, begin_us),
            "two": Counter(None, "one" if again == "two" else None, begin_us),
        }
        for number, (name, core) in enumerate(self.cores.items()):
            self.world.add(
                node_id=bytes([number + 1]) * 32, tier=1, address=name, tables=(), build=lambda _disk, core=core: core
            )
        for host in list(self.world.hosts):
            self.world.start(host)
        self.world.run(5_000_000 + SECOND_DIAL * STEP_US - 1)
        assert [core.told for core in self.cores.values()] == [["PeerUp"], ["PeerUp"]]

    def links(self) -> list[int]:
        return [len(host.made) for host in self.world.hosts.values()]


@pytest.mark.parametrize("again", ["one", "two"])
@pytest.mark.parametrize("rules", [Rules(), Rules(loss_ppm=50_000), Rules(extra_us=30_000)])
def test_traffic_moves_without_loss(again: str, rules: Rules) -> None:
    """Every message once and in order, one `PeerMoved` at each end, and the old connection is gone."""
    scene = Scene(again)
    scene.world.network.set_rules(rules)
    scene.world.run(20_000_000)
    for core in scene.cores.values():
        assert core.heard == list(range(COUNT))
        assert core.told == ["PeerUp", "PeerMoved"]
    assert scene.links() == [1, 1]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("after_us", range(0, 10_000, 500))
def test_whichever_connection_breaks_both_cores_know_or_nothing_is_missing(which: int, after_us: int) -> None:
    """At 20 moments from the second dial on, over paths of 1 ms."""
    scene = Scene("one")
    one, two = scene.world.hosts.values()
    scene.world.network.set_delay(one, two, 1_000)
    scene.world.network.set_delay(two, one, 1_000)
    scene.world.run(after_us + 1)
    links = sorted(one.made.keys() | two.made.keys())
    made = {**one.made, **two.made}
    if which < len(links):
        scene.world._gave_up(made[links[which]].forth, "killed")
    scene.world.run(30_000_000)
    told = [core.told for core in scene.cores.values()]
    assert ("PeerDown" in told[0]) == ("PeerDown" in told[1])
    for core in scene.cores.values():
        assert core.heard == sorted(set(core.heard))
        assert core.heard == list(range(COUNT)) or "PeerDown" in core.told
    assert scene.links() in ([0, 0], [1, 1])


def test_a_host_that_lost_its_power_and_comes_back_is_heard_after_two_seconds() -> None:
    """Its peer still has the old connection, over which nothing comes any more."""
    scene = Scene("nobody")
    one = next(iter(scene.world.hosts))
    scene.world.crash(one, power=True)
    scene.world.run(100_000)
    scene.cores["one"].told.clear()
    scene.world.start(one)
    scene.world.run(1_900_000)
    assert scene.cores["one"].told == ["PeerUp"]
    assert scene.cores["two"].told == ["PeerUp"]
    scene.world.run(1_000_000)
    assert scene.cores["two"].told == ["PeerUp", "PeerDown", "PeerUp"]
    assert scene.cores["one"].told == ["PeerUp"]
