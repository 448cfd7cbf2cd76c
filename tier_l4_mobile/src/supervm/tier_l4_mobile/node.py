"""The L4 node: wallet accounts, the durable queue, the light client and one edge at a time.

Theory of operation. The parts share one outbox and never call the driver. `PaymentQueue` alone decides about slots,
`Sync` alone believes proofs, `Courier` alone submits; so a restart, which rebuilds the queue from its rows, cannot
release a second transaction for a slot. While nothing can be believed (`Trust`: a fork, or trust that has grown too
old), payments are queued and nothing new is released.

The order of the parts closes a step's books: choose an edge, tell of forks, release what may go and write every changed
row in one record list, and only then send - submissions and answers wait for that write.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from supervm.common.contract.core import PeerUp
from supervm.common.contract.options import OptionValue
from supervm.common.contract.records import Reader
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.manners import Rank
from supervm.common.parts.part import Part
from supervm.common.parts.participation import PASSIVE, STANDARD
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.lan import LanPeers, lan_parts
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Clock, Shell
from supervm.common.parts.signed_time import SignedTime
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain, Parameters
from supervm.protocol.chain.votes import Verify
from supervm.protocol.light.client import Anchor

from .budgets import BUDGETS
from .handover.carrier import Carrier
from .handover.desk import Desk
from .handover.handed import Handed
from .handover.kept import KeptProofs
from .handover.promises import Promises
from .messages import Info
from .more import MORE
from .options import VALIDITY_MS
from .owner.contacts import Contacts
from .owner.history import History
from .sync.courier import Courier
from .sync.followers import SetFollower
from .sync.sync import Sync
from .sync.terms import EdgeTerms
from .sync.trust import Trust
from .sync.uplink import Uplink
from .taking_part.modes import Modes
from .wallet.accounts import Accounts
from .wallet.books import Books
from .wallet.door import Door, Vault
from .wallet.elsewhere import Elsewhere
from .wallet.orders import Orders
from .wallet.queue import PaymentQueue
from .wallet.validity import Validity

if TYPE_CHECKING:
    from .handover.giver import Giver
    from .handover.taker import Taker


@dataclass(frozen=True, slots=True)
class Settings:
    """What the owner sets.

    Attributes:
        names: names of some accounts, and their ids.
        validity_ms: default validity of a payment in ms.
        anchor: what to trust from instead of genesis.
        vault: where the wallet is, so that it can be locked and opened; None: the node keeps the keys it was given.
        lock_after_us: the wallet locks this long after it was used last; 0: never by itself.
        queue_max: most payments on their way at once.
        mode: `PASSIVE`, `STANDARD`, `ACTIVE` or `AUTO`.
        metered: whether the connection is paid for by volume; None: whatever the machine says.
        told: what the phone says of itself, if it is to find edges itself; None: it dials those of `peers` alone.
    """

    names: Mapping[str, bytes] = field(default_factory=dict)
    validity_ms: int = VALIDITY_MS
    anchor: Anchor | None = None
    vault: Vault | None = None
    lock_after_us: int = 0
    queue_max: int = INT_MAX
    mode: str = STANDARD
    metered: bool | None = None
    told: OwnNode | None = None


class MobileNode(Shell):
    """One L4.

    Args:
        chain: the network.
        keys: account id -> key of every account of this node, the default account first; none to start locked.
        node_id: who it is on its links.
        peers: (node id or None, ``host:port``) of edges.
        reader: what is durable.
        verify: signature verification.
        rng: jitter of the dialling.
        settings: what the owner sets.
        values: the table ``[l4]`` as it was read, for parts of `MORE`.

    Attributes:
        queue: the payments.
        client: the light client.
        uplink: the edges.
    """

    PARTS = (
        PaymentQueue,
        Accounts,
        Door,
        Elsewhere,
        Orders,
        Uplink,
        EdgeTerms,
        Courier,
        Sync,
        SetFollower,
        Trust,
        SignedTime,
        Contacts,
        History,
        Carrier,
        Desk,
        Books,
        Modes,
        *FINDERS[4],
        LanPeers,
    )
    TIER = 4
    INFO = Info
    MORE = MORE

    def __init__(
        self,
        chain: Chain,
        keys: Mapping[bytes, SigningKey],
        *,
        node_id: bytes,
        peers: Iterable[tuple[bytes | None, str]],
        reader: Reader,
        verify: Verify,
        rng: random.Random,
        settings: Settings | None = None,
        values: Mapping[str, OptionValue] | None = None,
    ) -> None:
        super().__init__(
            targets=peers,
            rng=rng,
            budgets=BUDGETS,
            name=encode_node_id,
            reader=reader,
            values=values,
            grave=1,  # there are other edges
        )
        self.node_id, self.chain_id, self._verify = node_id, chain.chain_id, verify
        settings = settings or Settings()
        parameters = chain.parameters
        self.queue = PaymentQueue(
            chain.chain_id,
            keys,
            reader,
            window=parameters.window,
            validity_ms_max=parameters.validity_ms_max,
            queue_max=settings.queue_max,
        )
        self.uplink = Uplink(self.outbox, self.peering, self.manners)
        memory = LightMemory(chain, reader, self.outbox, verify, anchor=settings.anchor)
        self.client = memory.client
        found = () if settings.told is None else finders(self, settings.told, verify, rng)
        self.compose([*self._parts(memory, reader, parameters, settings), *found, *lan_parts(self)])

    def _parts(self, memory: LightMemory, reader: Reader, parameters: Parameters, settings: Settings) -> list[Part]:
        """Make the parts, in the order in which they tick."""
        accounts = Accounts(self.queue.lanes, settings.names, test_network=parameters.test_network)
        books = Books(self.outbox, self.queue, memory)
        signed_time = SignedTime(self.clock, lambda: memory.client.header, self.uplink.clock_offset_ms)
        trust = Trust(self.outbox, memory, self.clock, signed_time, self.uplink, books)
        sync = Sync(self.outbox, self.queue, accounts, trust, self.uplink, books, self.manners, self.problems)
        shares_bps = parameters.fee_shares_bps
        terms = EdgeTerms(self.outbox, self.queue, self.uplink, reader, fee_shares_bps=shares_bps)
        courier = Courier(self.outbox, self.queue, trust, self.uplink, terms, sync, books, settings.mode)
        followers, lock_after_us = (sync.follow, courier.follow), settings.lock_after_us
        door = Door(self.outbox, self.queue, accounts, followers, books, settings.vault, lock_after_us)
        validity = Validity.within(parameters.validity_ms_max, settings.validity_ms)
        carrier, desk = self._handovers(memory, reader, parameters, settings, accounts, trust, sync, courier, books)
        self.uplink.users = (terms.edge_changed, courier.edge_changed, sync.edge_changed, carrier.edge_changed)
        return [
            self.links,
            Clock(self.clock, trust.newest),
            self.queue,
            self.uplink,
            terms,
            trust,
            signed_time,
            courier,
            sync,
            SetFollower(self.outbox, memory, trust, self.uplink, sync, self.blame),
            carrier,
            desk,
            accounts,
            door,
            Elsewhere(self.outbox, self.queue, accounts.address),
            Orders(self.outbox, self.queue, accounts, courier, trust, books, validity, door.used),
            Contacts(self.outbox, accounts, reader),
            History(self.outbox, self.queue, accounts),
            books,
            Modes(
                self.outbox,
                self.taking_part,
                reader,
                mode=settings.mode,
                metered=settings.metered,
                finds_peers=settings.told is not None,
            ),
        ]

    def _handovers(
        self,
        memory: LightMemory,
        reader: Reader,
        parameters: Parameters,
        settings: Settings,
        accounts: Accounts,
        trust: Trust,
        sync: Sync,
        courier: Courier,
        books: Books,
    ) -> tuple[Carrier, Desk]:
        """Return the parts about what goes from phone to phone."""
        lanes = self.queue.lanes
        kept = KeptProofs(reader, lanes.__contains__, lambda account: lanes[account].first is not None)
        most = 0 if settings.mode == PASSIVE else int(self.option("promises_max"))
        promises = Promises(reader, self.chain_id, kept, most)
        carrier = Carrier(self.outbox, self.queue, promises, trust, self.uplink, books)
        handed = Handed(reader)

        @cache
        def giver() -> Giver:
            from .handover.giver import Giver  # here and below: few phones ever hand anything over

            return Giver(self.chain_id, self.queue, courier, trust, promises, handed)

        @cache
        def taker() -> Taker:
            from .handover.taker import Taker

            return Taker(
                memory,
                self._verify,
                self.queue,
                sync,
                self.uplink,
                promises,
                carrier,
                validity_ms_max=parameters.validity_ms_max,
            )

        books.sources = (kept.take_records, promises.take_records, handed.take_records)
        return carrier, Desk(self.outbox, self.queue, accounts, promises, handed, giver, taker, books)

    @property
    def height(self) -> int:
        """The newest header that is trusted."""
        return self.client.header.height

    def rank(self, event: PeerUp) -> Rank:
        """Whom it has dialled is its edge; nobody else has anything to say here."""
        return Rank.STRANGER if event.address is None else Rank.NAMED
