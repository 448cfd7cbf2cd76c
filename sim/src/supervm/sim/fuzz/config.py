"""The configuration of one fuzzed run, drawn from its seed: swarm testing (simulation.md 3).

A run that has every fault at once is busy with the loudest of them. So the seed first draws the network's size and
media and which classes of faults there are at all, how often they happen and which adversaries may appear; only then
the faults themselves are drawn, as choices that can be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from supervm.protocol.chain.genesis import Parameters

from ..exact import ACTORS, Choices
from .classes import CLASSES, DRAWN, check_classes

EPOCH_MS: Final = Parameters(2).epoch_ms
"""Epochs of this length do not end within a run."""
CARRIED_MS_MIN: Final = 15_000
"""Validity of payments that outlives all faults by enough."""
ACTORS_DRAWN: Final = 5
"""Adversaries of each tier that a run chooses from."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is like before its first choice.

    Attributes:
        l1, l2, l3, l4: nodes per tier.
        accounts: funded accounts per phone.
        assets: assets beside the native one, of which every account has some.
        candidates: further L1 nodes, which may become validators.
        weights: of the validators.
        epoch_ms: of the genesis.
        spread: eight regions instead of one LAN.
        delay_us: one-way delay in the LAN.
        view_timeout_ms, view_timeout_ms_max, block_interval_ms, idle_interval_ms, validity_ms_min: of the genesis.
        chaos_ms: how long faults happen.
        tick_ms: how often each class of faults is asked.
        classes: those that are on.
        rate_ppm: how likely a fault is at each tick, for each subject.
        loss_ppm: messages lost, while faults happen.
        write_us, write_jitter_us: time of a write.
        pay_ppm: how likely a phone is asked for payments at a tick.
        ask_ppm: how likely a phone is asked for a balance at a tick.
        stay: faulty validators stay on in the calm time.
        first: number of the host at which adversaries are looked for first.
        actors: names of adversaries that may appear.
        listen_us: how long validators listen for their own key at a start.
        window: sequence numbers that may be promised ahead, of the genesis.
        calm_s: longest calm time.
        validity_ms: of all payments, 0: drawn for each; from `CARRIED_MS_MIN` on each of them must be executed (3.9.5).
        stay_miners: faulty miners stay on in the calm time.
        compact_every: blocks between two compactions of a validator's write-ahead log.
    """

    l1: int = 4
    l2: int = 2
    l3: int = 2
    l4: int = 2
    accounts: int = 2
    weights: tuple[int, ...] = ()
    candidates: int = 0
    epoch_ms: int = EPOCH_MS
    spread: bool = False
    delay_us: int = 1_000
    view_timeout_ms: int = 200
    view_timeout_ms_max: int = 2_000
    block_interval_ms: int = 500
    idle_interval_ms: int = 500
    validity_ms_min: int = 1_000
    chaos_ms: int = 8_000
    tick_ms: int = 250
    classes: tuple[str, ...] = ()
    rate_ppm: int = 40_000
    loss_ppm: int = 0
    write_us: int = 300
    write_jitter_us: int = 0
    pay_ppm: int = 250_000
    ask_ppm: int = 0
    stay: bool = False
    first: int = 0
    actors: tuple[str, ...] = ()
    listen_us: int = 0
    window: int = 1_024
    calm_s: int = 240
    validity_ms: int = 0
    stay_miners: bool = False
    compact_every: int = 256
    assets: int = 0


def draw_config(seed: int, knobs: Mapping[str, Any] | None = None) -> Config:
    """Draw the configuration of a seed.

    Args:
        seed: any.
        knobs: fields that are set whatever was drawn, and ``on``: classes that are on whatever was drawn. They are the
            same knobs that the draw turns; nothing else can be asked for.

    Raises:
        SimulationError: a class of faults that there is not.
    """
    stream = Choices(seed).stream("swarm")
    l1 = stream.pick((1, 4, 4, 4, 4, 4, 5, 7))
    drawn: dict[str, Any] = {
        "l1": l1,
        "l2": stream.pick((1, 2, 2, 3)),
        "l3": stream.pick((1, 2, 2, 3)),
        "l4": stream.pick((1, 2, 2, 3)),
        "accounts": stream.pick((1, 2, 3)),
        "weights": tuple(stream.between(1, 4) for _ in range(l1)) if stream.chance_ppm(200_000) else (),
        "spread": stream.chance_ppm(200_000),
        "delay_us": stream.pick((200, 1_000, 1_000, 10_000, 40_000)),
        "view_timeout_ms": stream.pick((50, 100, 200, 400)),
        "view_timeout_ms_max": stream.pick((1_000, 2_000)),
        "block_interval_ms": stream.pick((200, 500, 500)),
        "validity_ms_min": stream.pick((500, 2_000)),
        "chaos_ms": stream.pick((3_000, 6_000, 6_000, 10_000, 22_000)),
        "tick_ms": stream.pick((100, 250, 250, 600)),
        "classes": tuple(name for name in DRAWN if stream.chance_ppm(400_000)),
        "rate_ppm": stream.pick((8_000, 20_000, 60_000)),
        "loss_ppm": stream.pick((5_000, 30_000, 150_000)),
        "write_us": stream.pick((100, 300, 3_000, 20_000)),
        "write_jitter_us": stream.pick((0, 0, 5_000)),
        "pay_ppm": stream.pick((60_000, 150_000, 350_000)),
        "ask_ppm": stream.pick((20_000, 60_000, 150_000)),
        "stay": stream.chance_ppm(300_000),
        "first": stream.below(8),
        "epoch_ms": stream.pick((EPOCH_MS, 1_500, 3_000, 6_000)),
        "candidates": stream.pick((0, 0, 1, 2)),
        "listen_us": stream.pick((0, 0, 0, 400_000)),
        "compact_every": stream.pick((8, 8, 256)),
        "window": stream.pick((4, 1_024, 1_024, 1_024)),
    }
    drawn["assets"] = Choices(seed).stream("swarm/assets").pick((0, 0, 1, 2))
    drawn["idle_interval_ms"] = Choices(seed).stream("swarm/idle").pick((500, 500, 2_000, 10_000))
    if Choices(seed).stream("swarm/database").chance_ppm(250_000):
        drawn["classes"] += ("database-only",)
    actors: list[str] = []
    for tier in (1, 2, 3, 4):
        names = [name for name, spec in ACTORS.items() if spec.tier == tier]
        stream.shuffle(names)
        actors += names[: ACTORS_DRAWN if tier == 1 else 2]
    drawn["actors"] = tuple(actors)
    if drawn["spread"]:
        drawn["view_timeout_ms"] = max(400, drawn["view_timeout_ms"])
    if stream.chance_ppm(30_000):
        drawn["classes"] = ()  # a run without failures, which has to keep to the latency that theory promises
    set_ = dict(knobs or {})
    on = set_.pop("on", ())
    check_classes((*on, *set_.get("classes", ())))
    drawn["classes"] = tuple(name for name in CLASSES if name in drawn["classes"] or name in on)
    drawn.update(set_)
    if drawn["weights"] and len(drawn["weights"]) != drawn["l1"]:
        drawn["weights"] = ()
    return Config(**drawn)
