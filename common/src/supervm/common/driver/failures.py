"""What ends a driver for good."""

from __future__ import annotations

from ..errors import CommonError
from ..storage.errors import StorageFailed

__all__ = ["Halted", "ListenFailed", "NoAddress", "StorageFailed", "single"]


class Halted(CommonError):
    """The core gave `Halt`: divergence or a supply mismatch. The node must not come back by itself."""


class ListenFailed(CommonError):
    """The listening address cannot be used."""


class NoAddress(CommonError, ValueError):
    """A text is no address of any transport here; transports of others may say so by a plain `ValueError`."""


def single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception that a tree of groups is about, or the group if there are several.

    One of ours says what happened; what else fell over with it does not matter.
    """
    leaves: list[BaseException] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop()
        if isinstance(error, BaseExceptionGroup):
            stack.extend(error.exceptions)
        else:
            leaves.append(error)
    ours = [error for error in leaves if isinstance(error, CommonError)]
    if ours:
        return ours[0]
    return leaves[0] if len(leaves) == 1 else group
