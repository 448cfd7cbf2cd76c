"""The locked wallet: what is wrong with what was typed, and how long to wait after wrong tries."""

from __future__ import annotations

from dataclasses import dataclass

from ..values import Text, say

TOO_SOON = "error.too-soon"
"""Key of the text that a wait is told by (`errors`)."""


@dataclass(frozen=True, slots=True)
class LockView:
    """What the screen shows.

    Attributes:
        problem: what is wrong, or how long to wait; None if nothing is.
        may_try: whether a passphrase may be tried now.
    """

    problem: Text | None
    may_try: bool


@dataclass(slots=True)
class LockModel:
    """State of the screen of a locked wallet.

    Attributes:
        is_guarded: whether a PIN may open it.
        is_trying: whether an answer is waited for.
    """

    is_guarded: bool = False
    is_trying: bool = False
    _problem: Text | None = None
    _count: int = 0
    _until_ms: int = 0

    def take_wait(self, count: int, wait_us: int, now_ms: int) -> None:
        """Take what is known of wrong tries when the app opens: how many, and the wait that is left."""
        self._count, self._until_ms = count, now_ms + wait_us // 1000

    def begin_try(self) -> None:
        """Something was typed, and the node is asked."""
        self.is_trying, self._problem = True, None

    def take_answer(self, problem: Text | None, now_ms: int) -> None:
        """Take the node's answer to a try."""
        self.is_trying = False
        self._problem = problem
        if problem is not None and problem.key == TOO_SOON:
            self._count = int(str(problem.values["count"]))
            self._until_ms = now_ms + 1000 * int(str(problem.values["s"]))

    def view(self, now_ms: int) -> LockView:
        """Return what is to be shown now."""
        left_s = -(-(self._until_ms - now_ms) // 1000)
        if left_s > 0:
            return LockView(say("error.too-soon", count=str(self._count), s=str(left_s)), may_try=False)
        problem = None if self._problem is not None and self._problem.key == TOO_SOON else self._problem
        return LockView(problem, may_try=not self.is_trying)
