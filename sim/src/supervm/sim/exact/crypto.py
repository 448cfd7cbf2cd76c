"""Signature verification shared by all hosts of a world, once per signature or every time.

Verification is a pure function, so asking once for all hosts gives every core the answer it would have computed
(simulation.md 2); `RealVerify` computes it each time, and the trace must be the same. Both count, because the time
that checks take on a simulated machine is charged by the number of checks, never by what they cost here.
"""

from __future__ import annotations

from typing import Final

from supervm.protocol.base.keys import verify

REMEMBERED_MAX: Final = 1_000_000
"""Answers that `MemoVerify` keeps: about 300 MB. Beyond, the older half is forgotten; answers never change by that."""


class RealVerify:
    """The network's one rule, every time.

    Attributes:
        calls: checks that were asked for.
        checks: checks that were computed.
    """

    __slots__ = ("calls", "checks")

    def __init__(self) -> None:
        self.calls = 0
        self.checks = 0

    def __call__(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is valid (`supervm.protocol.base.keys.verify`)."""
        self.calls += 1
        self.checks += 1
        return verify(public, message, signature)

    def spared(self, count: int) -> None:
        """Count checks that a core asked for and whose answers the world's memory has."""
        self.calls += count


class MemoVerify(RealVerify):
    """The same, each (key, message, signature) computed once in a world."""

    __slots__ = ("_known", "_older")

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[bytes, bytes, bytes], bool] = {}
        self._older: dict[tuple[bytes, bytes, bytes], bool] = {}

    def __call__(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the signature is valid (`supervm.protocol.base.keys.verify`)."""
        self.calls += 1
        item = (public, message, signature)
        answer = self._known.get(item)
        if answer is not None:
            return answer
        answer = self._older.get(item)
        if answer is None:
            self.checks += 1
            answer = verify(public, message, signature)
        if len(self._known) >= REMEMBERED_MAX // 2:
            self._known, self._older = {}, self._known
        self._known[item] = answer
        return answer
