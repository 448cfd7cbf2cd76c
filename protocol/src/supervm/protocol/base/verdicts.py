"""Signatures that were found good, so that nobody checks one twice (consensus.md 3.10).

A validator meets most signatures of others more than once: a batch's certificate when its miner sends it and again in
the block that refers to it, a vote by itself and again among those of a certificate. Whether a signature is good is a
function of key, message and signature alone, so an answer that was given once holds for ever. Only good ones are
remembered: what is bad is not worth memory, and who sends it pays for being checked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .memory import Half

VERDICTS_MAX: Final = 2_048
"""Signatures that are remembered, of 400 bytes each with what was signed: some blocks' worth with 64 validators, whose
blocks have 130 to 190 beside those of batches. What is met again is met within a second or two, and an idle node fills
this to the brim."""


class Verdicts:
    """A signature verification that asks another one about each good signature once.

    Args:
        verify: the one that is asked.
        verdicts_max: good signatures that are remembered, roughly.

    Attributes:
        checks: how often it was asked.
        spared: how often it was not.
    """

    __slots__ = ("_good", "_verify", "checks", "spared")

    def __init__(self, verify: Callable[[bytes, bytes, bytes], bool], verdicts_max: int = VERDICTS_MAX) -> None:
        self._verify = verify
        self._good: Half[bool] = Half(verdicts_max)
        self.checks = self.spared = 0

    def __call__(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is valid (`keys.verify`)."""
        item = (public, message, signature)
        if self._good.get(item):
            self.spared += 1
            return True
        self.checks += 1
        good = self._verify(public, message, signature)
        if good:
            self._good.put(item, True, 1)
        return good
