"""Who plays what: adversaries and twins of a run, never more of them than the protocol promises to bear."""

from __future__ import annotations

from dataclasses import dataclass

from ..exact import ACTORS, BOTH, FIRST, SECOND, ActorSpec, Choices, Masks, Stream
from .classes import CLASSES
from .config import Config

TWIN_VIEWS = 24
"""Views in which twins are kept apart."""
LATE_US = 100_000
"""Unit of how much later a key is started a second time."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Hosts that do not run the shipped core alone.

    Attributes:
        actors: host -> adversary.
        twins: host -> who sees which of the two.
        late_twins: host -> how long after it its key is started a second time, in us.
    """

    actors: dict[str, ActorSpec]
    twins: dict[str, Masks]
    late_twins: dict[str, int]


def actors_of(tier: int, config: Config) -> list[ActorSpec]:
    """Return the adversaries of a tier that this run may have, in a fixed order."""
    return [spec for name, spec in ACTORS.items() if spec.tier == tier and name in config.actors]


def faulty_weight_max(config: Config) -> int:
    """Return the greatest weight that may be faulty: less than a third of all."""
    total = sum(config.weights) or config.l1
    return (total - 1) // 3


def cast(config: Config, choices: Choices) -> Cast:
    """Choose adversaries; each is a choice that can be deleted."""
    actors: dict[str, ActorSpec] = {}
    twins: dict[str, Masks] = {}
    late: dict[str, int] = {}
    left = faulty_weight_max(config)
    for step in range(config.l1):
        index = (config.first + step) % config.l1
        name = f"l1-{index}"
        weight = config.weights[index] if config.weights else 1
        if weight > left:
            continue
        if "twins" in config.classes:
            value = choices.fault("twins", name, 0, _twins)
            if value:
                twins[name] = masks(value, config.l1, index)
                left -= weight
                continue
        if "late-twin" in config.classes and not late:
            value = choices.fault("late-twin", name, 0, lambda stream: _value("late-twin", stream))
            if value:
                late[name] = value * LATE_US
                left -= weight
                continue
        if "byzantine" in config.classes:
            spec = _choose(1, name, config, choices)
            if spec is not None:
                actors[name] = spec
                left -= weight
    for tier, class_ in ((2, "bad-miner"), (3, "bad-edge"), (4, "bad-phone")):
        count = (config.l2, config.l3, config.l4)[tier - 2]
        if class_ in config.classes and count > 1:
            name = f"l{tier}-{config.first % count}"
            spec = _choose(tier, name, config, choices)
            if spec is not None:
                actors[name] = spec
    return Cast(actors, twins, late)


def _choose(tier: int, name: str, config: Config, choices: Choices) -> ActorSpec | None:
    allowed = actors_of(tier, config)
    if not allowed:
        return None
    value = choices.fault(
        "actor", name, 0, lambda stream: stream.chance_ppm(850_000) and 1 + stream.below(len(allowed))
    )
    return allowed[(value - 1) % len(allowed)] if value else None


def _value(class_: str, stream: Stream) -> int:
    draw = CLASSES[class_].draw
    assert draw is not None, "a class with values"
    return draw(stream, 0)


def _twins(stream: Stream) -> int:
    """Draw whether a validator runs twice; the value stands for who sees which of the two."""
    return _value("twins", stream) if stream.chance_ppm(300_000) else 0


def masks(value: int, validators: int, own: int) -> Masks:
    """Return the masks of a pair of twins that a choice's value stands for."""
    stream = Stream(value)
    rows = [[stream.pick((FIRST, SECOND, BOTH)) for _ in range(validators)] for _ in range(TWIN_VIEWS)]
    for row in rows:
        row[own] = BOTH
    return Masks(rows)
