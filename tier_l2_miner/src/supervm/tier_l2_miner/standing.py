"""Where a miner stands, as it tells its peers in heartbeats and its owner on request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supervm.common.contract.core import Outbox
from supervm.common.parts.chain_clock import age_ms
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.light.client import Anchor

from .mempool.mempool import Mempool
from .messages import NewestAnchor
from .replica.replica import Replica

_TIERS: Final = ("l1", "l2", "l3", "l4")


class Standing(Part):
    """What one miner says of itself; it holds nothing.

    Args:
        chain: the network.
        replica: how far it has the chain.
        mempool: how full it is.
        peering: sends heartbeats.
        outbox: where answers go.
    """

    answers = (NewestAnchor,)

    def __init__(self, chain: Chain, replica: Replica, mempool: Mempool, peering: Peering, outbox: Outbox) -> None:
        self._chain = chain
        self._replica, self._mempool, self._peering, self._outbox = replica, mempool, peering, outbox

    def settle(self, now_us: int) -> None:
        """Let heartbeats say how things are now."""
        self._peering.height = self._replica.certified_height
        self._peering.load_percent = self._mempool.load_percent

    def command(self, now_us: int, token: int, request: NewestAnchor) -> None:
        """Give the newest certified header with those who signed it: this node has executed all of the chain to it."""
        certified, rules = self._replica.certified.newest, self._replica.voting_rules
        sets = (rules.validators, *(() if rules.previous is None else (rules.previous,)))
        for validators in sets if certified is not None else ():
            assert certified is not None
            if validators.hash == certified.header.validators_hash:
                header = certified.header
                anchor = Anchor(1, header, ValidatorList(1, validators.members))
                self._outbox.reply(
                    token,
                    {
                        "anchor_hex": encode(anchor).hex(),
                        "chain_id": header.chain_id.hex(),
                        "height": header.height,
                        "ts_ms": header.ts_ms,
                    },
                )
                return
        self._outbox.refuse(token, "nothing was certified since this node started; ask again when blocks come")

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how far the chain is certified here, who is up, and what the chain has earned its tiers."""
        replica = self._replica
        ledger, certified = replica.ledger, replica.certified.newest
        tiers = [info.tier for info in self._peering.up.values()]
        return {
            "certified_height": replica.certified_height,
            "state_root": (certified.header if certified is not None else ledger.header).state_root.hex(),
            "checkpoint_age_ms": None if certified is None else age_ms(certified.header.ts_ms, now_us),
            "blocks_waiting": replica.queued_blocks,
            "peers_by_tier": {f"l{tier}": tiers.count(tier) for tier in range(1, 5)},
            "fees": ledger.fees_shown(),
            "supply": self._chain.supply,
        }
