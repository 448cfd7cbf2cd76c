"""A whole network in one world: genesis, keys, hosts, who connects to whom; composed as the tiers' commands do it.

`Deployment` makes the same cores from the same arguments as ``supervm lN run``: what differs is only that keys follow
from the index, the disk is virtual, and verification may be remembered. All hosts share one `Chain`, which is
immutable.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any, ClassVar, Final

from supervm.common.contract.core import Core
from supervm.common.contract.tables import AnyTable
from supervm.common.parts.fee_policy import read_policy
from supervm.common.parts.reach.own import OwnNode
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.genesis import Chain, Genesis, Miner, Parameters, genesis_asset_id, make_genesis
from supervm.protocol.chain.validators import Validator
from supervm.protocol.state.leaves import NATIVE, NATIVE_NAME
from supervm.tier_l1_super.messages import Info as ValidatorInfo
from supervm.tier_l1_super.node import StartUp, ValidatorNode
from supervm.tier_l1_super.tables import TABLES as VALIDATOR_TABLES
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l2_miner.options import MinerOptions
from supervm.tier_l2_miner.tables import TABLES as MINER_TABLES
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l4_mobile.messages import PayMany, PaymentRow, QueueList
from supervm.tier_l4_mobile.node import MobileNode, Settings
from supervm.tier_l4_mobile.tables import TABLES as MOBILE_TABLES

from ..errors import SimulationError
from .actor import GRANT, ActorContext, ActorSpec
from .adversaries import ACTORS
from .choices import Choices
from .crypto import MemoVerify, RealVerify
from .disk import DiskProfile, VirtualDisk
from .driver import Cpu
from .geography import ACCESS, REGIONS, WORLD, Access, Geography, Place, lan
from .host import Host
from .network import FAIR_FROM_BYTES
from .twins import Late, LateTwins, Masks, Twins
from .world import ExactWorld

GENESIS_MS: Final = 1_700_000_000_000
"""Time of genesis."""
START_US: Final = (GENESIS_MS + 1_000) * 1_000
"""When the world begins: a second later."""
UPLINKS: Final = {2: 0, 3: 4, 4: 3}
"""Nodes of the tier above that a node of each tier connects to; 0: all, as a miner needs all votes."""
PHONE_RECORDS: Final = (*(500,) * 12, *(300,) * 5, 200, 100, 50)
"""Records that each of twenty phones keeps, by memory: 60 % have more than 4 GB, 25 % more than 2 (targets.md)."""
FATES: Final = ("R4", "refused", "expired", "cancelled")
"""Statuses in which a payment is settled."""


def key(number: int) -> SigningKey:
    """Return the key number `number` of every simulated network."""
    return SigningKey(number.to_bytes(32, "big"))


class Deployment:
    """Hosts of four tiers in one `ExactWorld`.

    Args:
        l1: how many L1 nodes.
        l2: how many miners.
        l3: how many edges.
        l4: how many phones.
        accounts: funded accounts of each phone.
        assets: assets beside the native one; every account has as much of each, and every node takes fees in all.
        seed: root of every random decision, also of the cores' jitter.
        parameters: of the genesis; None: a test network with a view time-out of 200 ms and two blocks a second, idle or
            not.
        members: how many of the L1 nodes, the first ones, validate from genesis on; None: all.
        weights: voting weight of each validator; None: 1 each.
        regions: None: everybody in one LAN; ``"spread"``: in turn over the eight regions; or name -> region.
        geography: delays; None: as `regions` says.
        access: access of each tier; None: no limits in a LAN, else `ACCESS`.
        uplinks: instead of `UPLINKS`.
        real_crypto: verify each signature at each node.
        choices: instead of those of the seed, e.g. a replay.
        actors: name of a host -> the Byzantine actor that runs there, by name or as `ActorSpec`.
        twins: validators that run twice under one key, with the masks that keep the two apart.
        late_twins: validators whose key is started a second time, and when.
        same_wallet: (phone, other phone): the second has the first one's wallet.
        listen_us: how long validators listen for their own key at a start.
        disk: how fast disks are.
        cpu: None: cores take no time.
        keep_events: whether hosts keep what they publish.

    Raises:
        SimulationError: names, regions or actors that do not exist.
    """

    FIND_PEERS: ClassVar[bool] = False
    """Whether all nodes find their peers and are found (`reach1`)."""

    def __init__(
        self,
        *,
        l1: int = 4,
        l2: int = 2,
        l3: int = 2,
        l4: int = 2,
        accounts: int = 3,
        assets: int = 0,
        seed: int = 1,
        parameters: Parameters | None = None,
        members: int | None = None,
        weights: Sequence[int] | None = None,
        regions: str | Mapping[str, str] | None = None,
        geography: Geography | None = None,
        access: Mapping[int, Access] | None = None,
        uplinks: Mapping[int, int] | None = None,
        real_crypto: bool = False,
        choices: Choices | None = None,
        actors: Mapping[str, str | ActorSpec] | None = None,
        twins: Mapping[str, Masks] | None = None,
        late_twins: Mapping[str, Late] | None = None,
        same_wallet: Sequence[tuple[int, int]] = (),
        listen_us: int = 0,
        disk: DiskProfile | None = None,
        cpu: Cpu | None = None,
        keep_events: bool = True,
        fair_from_bytes: int = FAIR_FROM_BYTES,
    ) -> None:
        self.seed = seed
        self.counts = {1: l1, 2: l2, 3: l3, 4: l4}
        self.validators = [key(1 + index) for index in range(l1)]
        self.l1 = [key(1_001 + index) for index in range(l1)]
        self.l2 = [key(2_001 + index) for index in range(l2)]
        self.l3 = [key(10_001 + index) for index in range(l3)]
        self.l4 = [key(100_001 + index) for index in range(l4)]
        self.wallets = [[key(10**7 + 1_000 * phone + index) for index in range(accounts)] for phone in range(l4)]
        self.payouts = {
            2: [key(3_001 + index) for index in range(l2)],
            3: [key(50_001 + index) for index in range(l3)],
        }
        funded = [item.public for wallet in self.wallets for item in wallet]
        for phone, other in same_wallet:
            self.wallets[other] = self.wallets[phone]
        count = l1 if members is None else members
        self.genesis, allocations = self._make_genesis(count, weights, funded, assets, parameters)
        self.verify: RealVerify = RealVerify() if real_crypto else MemoVerify()
        self.chain = Chain(self.genesis, self.verify, lambda: allocations)
        self.actors: dict[str, ActorSpec] = {}
        for name, actor in (actors or {}).items():
            self.actors[name] = _actor(name, actor)
        self.twins = dict(twins or {})
        self.late_twins = dict(late_twins or {})
        self._listen_us = listen_us
        self._regions = regions
        spread = regions is not None or geography is not None
        self._geography = geography or (WORLD if regions is not None else lan())
        self._access = dict(access) if access is not None else (dict(ACCESS) if spread and regions is not None else {})
        self._uplinks = {**UPLINKS, **(uplinks or {})}
        self._disk = disk
        self.world = ExactWorld(
            start_us=START_US,
            choices=choices or Choices(seed),
            geography=self._geography,
            verify=self.verify,
            keep_events=keep_events,
            cpu=cpu,
            fair_from_bytes=fair_from_bytes,
        )
        self._ids = {
            f"l{tier}-{index}": node.public
            for tier, nodes in ((1, self.l1), (2, self.l2), (3, self.l3), (4, self.l4))
            for index, node in enumerate(nodes)
        }
        for name in (*self.actors, *self.twins, *self.late_twins, *(regions if isinstance(regions, Mapping) else ())):
            self.id_of(name)
        self._rings_of: dict[tuple[int, int], list[list[int]]] = {}
        self._add_hosts()

    # --- names --------------------------------------------------------------------------------------------------------

    def id_of(self, name: str) -> bytes:
        """Return the node id of a host, e.g. ``"l1-0"``.

        Raises:
            SimulationError: there is none of that name.
        """
        node_id = self._ids.get(name)
        if node_id is None:
            counts = ", ".join(f"{count} L{tier}" for tier, count in self.counts.items())
            raise SimulationError(f"there is no host {name!r}; this network has {counts}, named l1-0, l1-1, ...")
        return node_id

    def host(self, name: str) -> Host:
        """Return a host by its name."""
        return self.world.host(self.id_of(name))

    def names(self, tier: int) -> list[str]:
        """Return the names of a tier's hosts."""
        return [f"l{tier}-{index}" for index in range(self.counts[tier])]

    def member(self, index: int, weight: int = 1) -> Validator:
        """Return an L1 node as a member of a validator set."""
        return Validator(1, self.validators[index].public, self.l1[index].public, weight, key(501 + index).public)

    def honest(self, tier: int) -> list[Host]:
        """Return the hosts of a tier that run the shipped core alone."""
        return [self.host(name) for name in self.names(tier) if name not in self.tampered]

    @property
    def tampered(self) -> tuple[str, ...]:
        """Names of the hosts that do not run the shipped core alone."""
        return (*self.actors, *self.twins, *self.late_twins)

    # --- building -----------------------------------------------------------------------------------------------------

    def _add_hosts(self) -> None:
        makers: dict[int, tuple[Sequence[AnyTable], Callable[[int, VirtualDisk], Core]]] = {
            1: (VALIDATOR_TABLES, self._validator),
            2: (MINER_TABLES, self._miner),
            3: (EdgeNode.declared_tables(), self._edge),
            4: (MOBILE_TABLES, self._phone),
        }
        self._places = {name: self._place(name) for name in self._ids}
        for tier, (tables, make) in makers.items():
            for index, name in enumerate(self.names(tier)):
                self.world.add(
                    node_id=self._ids[name],
                    tier=tier,
                    name=name,
                    address=self._address(tier, index),
                    tables=tables,
                    build=self._builder(name, index, make),
                    place=self._places[name],
                    disk=self._disk,
                )

    def _make_genesis(
        self,
        members: int,
        weights: Sequence[int] | None,
        funded: Sequence[bytes],
        assets: int,
        parameters: Parameters | None,
    ) -> tuple[Genesis, tuple[Allocation, ...]]:
        called = [f"asset-{number}" for number in range(assets)]
        ids = [genesis_asset_id(name) for name in called]
        self.asset_names = (NATIVE_NAME, *(asset.hex() for asset in ids))
        """Every asset of genesis, as phones take it."""
        self._fees = ",".join(f"{name}:1" for name in self.asset_names)
        return make_genesis(
            name="exact",
            time_ms=GENESIS_MS,
            validators=tuple(self.member(index, 1 if weights is None else weights[index]) for index in range(members)),
            miners=tuple(Miner(1, node.public, self.payouts[2][index].public) for index, node in enumerate(self.l2)),
            allocations=[Allocation(account, GRANT, asset) for account in funded for asset in (NATIVE, *ids)],
            assets=[(name, self.payouts[2][0].public) for name in called],
            parameters=parameters or Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500),
        )

    def _builder(
        self, name: str, index: int, make: Callable[[int, VirtualDisk], Core]
    ) -> Callable[[VirtualDisk], Core]:
        spec = self.actors.get(name)
        masks, late = self.twins.get(name), self.late_twins.get(name)
        tables = VALIDATOR_TABLES if name.startswith("l1-") else ()

        def build(disk: VirtualDisk) -> Core:
            if masks is not None or late is not None:
                if not second:
                    second.append(VirtualDisk(tables))
                second[0].crash()  # whichever way the host stopped, what was told durable is
                one = make(index, disk)
                if masks is not None:
                    return Twins(one, make(index, second[0]), second[0], self.chain, masks)
                assert late is not None
                copy = self._validator(index, second[0], late.listen_us)
                return LateTwins(one, copy, second[0], self.chain, late.after_us)
            core = make(index, disk)
            if spec is None:
                return core
            tier = int(name[1])
            return spec.make(
                core,
                ActorContext(
                    name=name,
                    index=index,
                    chain=self.chain,
                    key=self.validators[index] if tier == 1 else (self.l2, self.l3, self.l4)[tier - 2][index],
                    stream=self.world.choices.stream(f"actor/{name}"),
                    wallet=tuple(self.wallets[index]) if tier == 4 else (),
                    others=tuple(item.public for wallet in self.wallets for item in wallet),
                ),
            )

        second: list[VirtualDisk] = []
        return build

    def _place(self, name: str) -> Place:
        tier, index = int(name[1]), int(name.partition("-")[2])
        access = self._access.get(tier, Access())
        if self._regions is None:
            return Place(0, access)
        if isinstance(self._regions, str):
            if self._regions != "spread":
                raise SimulationError(f"regions are {self._regions!r}; allowed are 'spread' or a table of names")
            return Place(index % self._geography.size, access)
        region = self._regions.get(name, REGIONS[0])
        if region not in REGIONS:
            raise SimulationError(f"{name}: there is no region {region!r}; allowed are {', '.join(REGIONS)}")
        return Place(REGIONS.index(region), access)

    def targets(self, tier: int, index: int) -> list[tuple[bytes, str]]:
        """Return whom a node connects to: the nearest nodes of the tier above, equal ones in turn."""
        if tier == 1:
            return [(self.l1[other].public, self._address(1, other)) for other in range(index)]
        rings = self._rings(tier - 1, self._places[f"l{tier}-{index}"].region)
        size = self.counts[tier - 1]
        count = self._uplinks[tier] or size
        near: list[tuple[bytes, str]] = []
        for ring in rings:
            if len(near) >= count:
                break
            first = bisect_left(ring, index % size)
            for other in islice(chain(ring[first:], ring[:first]), count - len(near)):
                near.append((self._ids[f"l{tier - 1}-{other}"], self._address(tier - 1, other)))
        return near

    def _rings(self, tier: int, region: int) -> list[list[int]]:
        """Return the indices of a tier's nodes as seen from a region: those equally far together, nearest first."""
        known = self._rings_of.get((tier, region))
        if known is None:
            rings: dict[int, list[int]] = {}
            for other, name in enumerate(self.names(tier)):
                rings.setdefault(self._geography.delay_us(region, self._places[name].region), []).append(other)
            known = self._rings_of[tier, region] = [rings[delay_us] for delay_us in sorted(rings)]
        return known

    def _rng(self, tier: int, index: int) -> random.Random:
        return random.Random(f"{self.seed}/{tier}/{index}")  # noqa: S311 - jitter of a simulated node

    def _validator(self, index: int, disk: VirtualDisk, listen_us: int | None = None) -> Core:
        return ValidatorNode(
            chain=self.chain,
            node_id=self.l1[index].public,
            key=self.validators[index],
            reader=disk,
            targets=self.targets(1, index),
            rng=self._rng(1, index),
            start=StartUp(disk.log_lost, self._listen_us if listen_us is None else listen_us),
            told=self._told(1, index),
        )

    def _miner(self, index: int, disk: VirtualDisk) -> Core:
        return MinerNode(
            chain=self.chain,
            key=self.l2[index],
            reader=disk,
            targets=self.targets(2, index),
            rng=self._rng(2, index),
            options=MinerOptions(fees=self._fees),
            told=self._told(2, index),
        )

    def _edge(self, index: int, disk: VirtualDisk) -> Core:
        return EdgeNode(
            chain=self.chain,
            key=self.l3[index],
            payout=self.payouts[3][index].public,
            reader=disk,
            targets=self.targets(3, index),
            rng=self._rng(3, index),
            verify=self.verify,
            options=EdgeOptions(
                fees=read_policy(self._fees),
                find_peers=self.FIND_PEERS,
                region=self._region(3, index),
                endpoints=(self._address(3, index),) if self.FIND_PEERS else (),
            ),
        )

    def _phone(self, index: int, disk: VirtualDisk) -> Core:
        return MobileNode(
            self.chain,
            {item.public: item for item in self.wallets[index]},
            node_id=self.l4[index].public,
            peers=self.targets(4, index),
            reader=disk,
            verify=self.verify,
            rng=self._rng(4, index),
            settings=Settings(told=self._told(4, index)),
        )

    # --- being found --------------------------------------------------------------------------------------------------

    def _address(self, tier: int, index: int) -> str:
        """Return where a host is dialled; one that others choose for a peer needs an IP address."""
        if tier == 4 or not self.FIND_PEERS:
            return f"l{tier}-{index}"
        number = index + sum(self.counts[above] for above in range(1, tier))
        return f"{11 + number // 250}.{number % 250}.0.1:{7_000 + tier}"

    def _region(self, tier: int, index: int) -> str:
        return "" if self._regions is None else REGIONS[self._places[f"l{tier}-{index}"].region]

    def _told(self, tier: int, index: int) -> OwnNode | None:
        """Return what a host says of itself, if the network's nodes find each other."""
        if not self.FIND_PEERS:
            return None
        return OwnNode(
            (self.l1, self.l2, self.l3, self.l4)[tier - 1][index],
            () if tier == 4 else (self._address(tier, index),),
            self._region(tier, index),
            targets=tuple(address for _, address in self.targets(tier, index)),
            directory_nodes=PHONE_RECORDS[index % len(PHONE_RECORDS)] if tier == 4 else 0,
        )

    # --- using it -----------------------------------------------------------------------------------------------------

    def start(self, settle_us: int = 3_000_000) -> None:
        """Switch everything on and let the links come up."""
        for node_id in self._ids.values():
            self.world.start(node_id)
        self.world.run(settle_us)

    @cached_property
    def _test(self) -> bool:
        return self.chain.parameters.test_network

    def address(self, phone: int, account: int) -> str:
        """Return the address of an account."""
        return encode_address(self.wallets[phone][account].public, test=self._test)

    def pay(self, phone: int, rows: list[PaymentRow]) -> list[dict[str, Any]]:
        """Ask a phone for payments; return what it says of them."""
        answer: dict[str, list[dict[str, Any]]] = self.world.call(self.l4[phone].public, PayMany(rows=tuple(rows)))
        return answer["payments"]

    def random_rows(self, phone: int, count: int, rng: random.Random, *, prefix: str = "r") -> list[PaymentRow]:
        """Return small payments from a phone's accounts to anybody's."""
        return [
            PaymentRow(
                to=self.address(rng.randrange(len(self.l4)), rng.randrange(len(self.wallets[0]))),
                amount=rng.randrange(1, 1_000),
                fee=rng.randrange(1, 50),
                source=self.address(phone, rng.randrange(len(self.wallets[0]))),
                key=f"{prefix}:{phone}:{number}",
            )
            for number in range(count)
        ]

    def payments(self) -> list[dict[str, Any]]:
        """Return every payment of every phone that is on."""
        return [
            item
            for node in self.l4
            if self.world.hosts[node.public].core is not None
            for item in self.world.call(node.public, QueueList(limit=20_000))["payments"]
        ]

    def statuses(self) -> Counter[str]:
        """Return how many payments stand where."""
        return Counter(item["status"] for item in self.payments())

    def settle(self, within_s: int) -> Counter[str]:
        """Run until every payment has a fate, at most `within_s` simulated seconds; return the statuses."""
        for _ in range(within_s):
            statuses = self.statuses()
            if not statuses.keys() - set(FATES):
                return statuses
            self.world.run(1_000_000)
        return self.statuses()

    def validator_info(self) -> list[dict[str, Any]]:
        """Return what each running honest validator says of itself."""
        return [self.world.call(host.node_id, ValidatorInfo()) for host in self.honest(1) if host.core is not None]


class FindingDeployment(Deployment):
    """The same with nodes that find each other; those of L1 to L3 have an IP address, each in a network of its own."""

    FIND_PEERS = True


def _actor(name: str, actor: str | ActorSpec) -> ActorSpec:
    spec = ACTORS.get(actor) if isinstance(actor, str) else actor
    if spec is None:
        raise SimulationError(f"{name}: there is no actor {actor!r}; allowed are {', '.join(ACTORS)}")
    if not name.startswith(f"l{spec.tier}-"):
        raise SimulationError(f"{name}: a {spec.name} is an L{spec.tier}")
    return spec
