"""The core of an edge: which parts it is made of, and in which order they hear of things (architecture.md 2, 3, 6).

A client's transaction goes intake (quick-verify) -> store (durable) -> relay (R0, best miner), and its news come back
from the relay. A client's question goes to the proof service, which answers from the cache or asks a miner. Every part
gathers what it has to say during a step and sends it when the step settles, so one step makes few large messages.

Nothing here is trusted: clients see proofs that they verify themselves, and what miners say is checked or only passed
on as a claim. Only miners that genesis names are asked; everybody else is a client.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from supervm.common.contract.core import PeerUp
from supervm.common.contract.options import OptionValue
from supervm.common.contract.records import Reader
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.manners import Rank
from supervm.common.parts.part import Part
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.lan import LanPeers, lan_parts
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Clock, Shell
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.votes import Verify

from .budgets import budgets
from .intake.intake import Intake
from .intake.news import News
from .intake.store import Store
from .messages import Info
from .more import MORE
from .options import EdgeOptions
from .proofs.proofs import Proofs
from .proofs.receipts import Receipts
from .relay.fees import Fees
from .relay.relay import Relay
from .relay.routes import Routes
from .relay.terms import Terms
from .standing import Standing
from .trust.changes import Changes
from .trust.trust import Trust


class EdgeNode(Shell):
    """An L3.

    Args:
        chain: the network.
        key: the node key.
        payout: account that the edge's share of fees is paid to, told to clients; None: the edge earns nothing.
        reader: durable state to start from, with the tables of `declared_tables`.
        targets: (node id or None, ``host:port``) of the miners to stay connected to.
        rng: jitter of dials and draws between equal miners.
        verify: signature verification, for checkpoints.
        options: what its owner has set.
        values: the table ``[l3]`` as it was read, for parts of `MORE`.

    Attributes:
        routes: the miners.
        fees: which are taken.
        trust: what is believed.
        proofs: what is known of accounts.
        store: transactions that wait for their fate.
        relay: takes them to miners.
        intake: takes them in.
        standing: what the edge says of itself.
    """

    PARTS = (
        Standing,
        Relay,
        Routes,
        Terms,
        Proofs,
        Receipts,
        Changes,
        Store,
        Intake,
        News,
        Trust,
        *FINDERS[3],
        LanPeers,
    )
    TIER = 3
    INFO = Info
    MORE = MORE

    def __init__(
        self,
        *,
        chain: Chain,
        key: SigningKey,
        payout: bytes | None,
        reader: Reader,
        targets: Iterable[tuple[bytes | None, str]],
        rng: random.Random,
        verify: Verify,
        options: EdgeOptions | None = None,
        values: Mapping[str, OptionValue] | None = None,
    ) -> None:
        options, targets = options or EdgeOptions(), list(targets)
        super().__init__(
            targets=targets,
            rng=rng,
            budgets=budgets(options.rates),
            name=encode_node_id,
            reader=reader,
            values=values,
        )
        outbox, manners = self.outbox, self.manners
        self.node_id, self.chain_id = key.public, chain.chain_id
        memory = LightMemory(chain, reader, outbox, verify, anchor=options.anchor)
        news = News(outbox)
        self.routes = routes = Routes(chain.payout_of_miner, self.peering.loads, rng)
        self.fees = fees = Fees(
            options.fees,
            routes,
            payout=payout,
            carry_unpaid=options.carry_unpaid,
            test_network=chain.parameters.test_network,
        )
        self.trust = trust = Trust(outbox, self.peering, routes, memory)
        idle_us = chain.parameters.idle_interval_ms * 1000
        self.proofs = proofs = Proofs(outbox, manners, routes, trust, self.clock, options, idle_us)
        self.store = store = Store(outbox, reader, chain_id=chain.chain_id, store_max=options.store_max)
        self.relay = relay = Relay(outbox, news, routes, fees, store)
        self.intake = intake = Intake(
            outbox, news, relay, proofs, routes, fees, manners, self.blame, chain_id=chain.chain_id
        )
        self.standing = Standing(outbox, self.peering, routes, store, relay, intake, proofs)
        self.compose(
            [
                Clock(self.clock, lambda: (proofs.newest_header.height, proofs.newest_header.ts_ms)),
                self.standing,  # before the links: their heartbeats tell of it
                self.links,
                relay,  # before the routes: a miner that goes is still one of them here
                routes,
                Terms(
                    outbox, self.peering, manners, routes, fees, relay
                ),  # after the routes: a miner that went is gone
                proofs,
                Receipts(outbox, manners, routes, proofs),
                Changes(outbox, manners, routes, trust, proofs),
                store,
                intake,
                news,  # what the parts before it have to tell
                trust,
                *self._finders(key, targets, verify, options, rng),
                *lan_parts(self),
            ]
        )

    def _finders(
        self,
        key: SigningKey,
        targets: list[tuple[bytes | None, str]],
        verify: Verify,
        options: EdgeOptions,
        rng: random.Random,
    ) -> tuple[Part, ...]:
        """Return the parts by which the edge finds others and is found: with them it names `reach1`."""
        if not options.find_peers:
            return ()
        own = OwnNode(
            key,
            options.endpoints,
            options.region,
            fees=lambda: self.fees.terms.fees,
            targets=tuple(address for _, address in targets),
            directory_nodes=options.directory_nodes,
        )
        return finders(self, own, verify, rng)

    @property
    def height(self) -> int:
        """The newest header that is trusted."""
        return self.proofs.newest_header.height

    def rank(self, event: PeerUp) -> Rank:
        """Miners of the network before all others, who are clients."""
        return Rank.NAMED if self.routes.is_miner(event.peer, event.tier) else Rank.STRANGER
