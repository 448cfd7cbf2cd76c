"""Who carries an offer to the other end and its answer back.

A `Signal` opens an `Exchange` with whoever an address names. Which of our addresses lead there is known then, and only
those are put into the offer. The signal that comes with the transport asks ``http://host:port`` (`http`); others - a
neighbour that both ends know, a bundle - are given to `WebRtcTransport` by whoever makes it. What carries the two texts
may read and even change them: both keys are in Noise's prologue, so the handshake finds it out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Exchange(Protocol):
    """One offer and its answer."""

    @property
    def remote(self) -> str:
        """Where the other end is, for logs and bans: an IP address, or empty if that is not known."""

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Our addresses that lead to the other end; None: all but loopback may."""

    async def answer(self, offer: str) -> str:
        """Return what the other end answers.

        Raises:
            OSError: it cannot be reached, or wants no connection.
        """


Signal = Callable[[str], AbstractAsyncContextManager[Exchange]]
"""Opens an exchange with whoever an address, without its scheme, names; raises OSError if that cannot be."""
