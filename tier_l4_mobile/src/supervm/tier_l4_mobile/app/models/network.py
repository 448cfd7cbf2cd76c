"""Network: the four tiers with this phone in them, its edge, its path, and what it does for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from supervm.common.parts.participation import ACTIVE, PASSIVE, STANDARD

from ..values import Moment, Text, say
from .home import connection_text

_DOES: Final[Mapping[str, Text]] = {
    PASSIVE: say("network.does-passive"),
    STANDARD: say("network.does-standard"),
    ACTIVE: say("network.does-active"),
}
"""Mode -> what the phone does for others in it."""


@dataclass(frozen=True, slots=True)
class TierLine:
    """One tier: what it is and does, and whether this phone is part of it or linked to it."""

    name: Text
    does: Text
    is_here: bool
    is_linked: bool


@dataclass(slots=True)
class NetworkModel:
    """State of the network screen."""

    _info: Mapping[str, Any] | None = None

    def take_info(self, info: Mapping[str, Any] | None) -> None:
        """Take the answer to `messages.Info`; None: the node does not answer."""
        self._info = info

    def tiers(self) -> list[TierLine]:
        """Return the tiers from the top; a phone is linked to edges only."""
        is_online = self._info is not None and self._info["link"] is not None
        return [
            TierLine(say("tier.l1"), say("tier.l1-does"), is_here=False, is_linked=False),
            TierLine(say("tier.l2"), say("tier.l2-does"), is_here=False, is_linked=False),
            TierLine(say("tier.l3"), say("tier.l3-does"), is_here=False, is_linked=is_online),
            TierLine(say("tier.l4"), say("tier.l4-does"), is_here=True, is_linked=False),
        ]

    @property
    def connection(self) -> Text:
        """Who is at the other end."""
        return connection_text(self._info)

    @property
    def edge(self) -> Text | None:
        """The edge that payments go to; None while there is none."""
        link = None if self._info is None else self._info["link"]
        return None if link is None else say("network.edge", edge=link["node_id"][-8:])

    @property
    def served(self) -> Text:
        """What this phone has done for others: it brings payments that were handed over to it."""
        promises = {"kept": 0, "open": 0} if self._info is None else self._info["promises"]
        if not promises["kept"]:
            return say("network.served-nothing")
        return say("network.served", n=promises["kept"], open=promises["open"])

    @property
    def taking_part(self) -> Text | None:
        """What this phone does for others now; None before the node has said it."""
        return None if self._info is None else _DOES[self._info["taking_part"]["mode"]]

    @property
    def is_passive(self) -> bool:
        """Whether the node was told to do nothing for others at all."""
        return self._info is not None and self._info["mode"] == PASSIVE

    @property
    def clock(self) -> Text | None:
        """How far this phone's clock is from its edge's; None while there is none."""
        link = None if self._info is None else self._info["link"]
        return None if link is None else say("network.clock", ms=abs(link["clock_offset_ms"]))

    def identity(self) -> tuple[str, str]:
        """Return the network's id and this node's; empty before the node has said them."""
        return ("", "") if self._info is None else (self._info["chain_id"], self._info["node_id"])

    @property
    def height(self) -> Text:
        """How far the chain is trusted."""
        return say("network.height", height=0 if self._info is None else self._info["height"])

    @property
    def trust(self) -> Text:
        """Whether anything new is believed, and until when without news."""
        if self._info is None:
            return say("link.no-node")
        trust = self._info["trust"]
        if trust["fork"] is not None:
            return say("network.fork", height=trust["fork"]["height"])
        if not trust["believing"]:
            return say("network.trust-old")
        if trust["expires_ms"] is None:
            return say("network.trusts")
        return say("network.trusts-until", until=Moment(trust["expires_ms"]))

    @property
    def peers(self) -> Text:
        """How many nodes are linked."""
        return say("network.peers", n=0 if self._info is None else self._info["peers"])
