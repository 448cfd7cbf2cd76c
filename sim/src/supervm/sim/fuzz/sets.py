"""Validator sets of one run: never one with as much faulty weight as breaks the protocol's promise.

Any set that was ever asked for may be in force at any time later, so a validator may be lost only if each of them bears
it, and a set may be asked for only if it bears whoever is lost already.
"""

from __future__ import annotations

from collections.abc import Iterable

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.validators import ValidatorList

from ..exact import Deployment, Stream


class Sets:
    """Sets in play.

    Args:
        deployment: the network.
        faulty: hosts that are faulty from the beginning.
    """

    def __init__(self, deployment: Deployment, faulty: Iterable[str]) -> None:
        self._deployment = deployment
        self._names = deployment.names(1)
        weights = deployment.chain.validators.weights
        self._sets: list[dict[str, int]] = [dict(zip(self._names, weights, strict=False))]
        self._lost = {name: None for name in faulty if name in self._names}

    def _bears(self, weights: dict[str, int], lost: Iterable[str]) -> bool:
        return sum(weights.get(name, 0) for name in lost) <= (sum(weights.values()) - 1) // 3

    def lose(self, name: str) -> bool:
        """Count a validator as lost if every set bears that; return whether it does."""
        lost = {**self._lost, name: None}
        if not all(self._bears(weights, lost) for weights in self._sets):
            return False
        self._lost = lost
        return True

    def draw(self, stream: Stream) -> bytes:
        """Return the agreed bytes of a set that bears the losses so far, as `Approve` takes it."""
        names = list(self._names)
        stream.shuffle(names)
        weights = {name: stream.between(1, 3) for name in names if stream.chance_ppm(750_000)}
        for name in self._lost:
            if not self._bears(weights, self._lost):
                weights.pop(name, None)
        if not weights:
            weights = dict(self._sets[0])
        self._sets.append(weights)
        return encode(
            ValidatorList(1, tuple(self._deployment.member(int(name[3:]), weight) for name, weight in weights.items()))
        )

    def quorate(self, names: Iterable[str]) -> bool:
        """Return whether these hosts make a quorum of every set in play."""
        on = list(names)
        return all(sum(weights.get(name, 0) for name in on) > 2 * sum(weights.values()) // 3 for weights in self._sets)
