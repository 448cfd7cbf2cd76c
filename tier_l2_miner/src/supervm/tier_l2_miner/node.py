"""The L2 node core: a shell, and a part per subject of a miner (architecture.md 2, 6).

An input goes to the part it concerns; then, whatever it was, the parts settle in their order: blocks whose bodies are
here are executed, mempool, batches and clients follow, batches are cut, proofs pushed. What is said of transactions
leaves last, once per peer.

Who is a validator is read from the chain, by the node id that the link has proved, never from what a peer says it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from supervm.common.contract.core import PeerUp
from supervm.common.contract.options import OptionValue
from supervm.common.contract.records import Reader
from supervm.common.parts.fee_policy import read_policy
from supervm.common.parts.ledger import SupplyMismatch
from supervm.common.parts.manners import Rank
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Clock, Questions, Shell
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.genesis import Chain

from .budgets import budgets
from .errors import Diverged, MinerError
from .mempool.batcher import Batcher
from .mempool.intake import Intake
from .mempool.lines import StatusLines
from .mempool.mempool import Mempool
from .messages import Info
from .more import MORE
from .options import MinerOptions
from .replica.epochs import Epochs
from .replica.executed import Executed
from .replica.forks import Forks
from .replica.replica import Replica
from .replica.serving import EDGE_TIER, Serving
from .standing import Standing


class MinerNode(Shell):
    """One L2 node.

    Args:
        chain: the network.
        key: the node key, which also signs batches.
        reader: durable state, with the tables of `tables.TABLES`.
        targets: peers to stay connected to, (node id or None, ``host:port``).
        rng: source of jitter and of the first validator to follow.
        options: bounds.
        values: the table ``[l2]`` as it was read, for parts of `MORE`.
        told: what the miner says of itself, if it is in the directory; None: it is not.

    Raises:
        MinerError: the node is not a miner of this genesis.
        LocalProtocolError: the option `fees` is no list of fees.
        SupplyMismatch: the stored state is not one this chain can have.
    """

    PARTS = (Replica, Executed, Epochs, Forks, Intake, Mempool, Batcher, Serving, Standing, StatusLines, *FINDERS[2])
    TIER = 2
    INFO = Info
    MORE = MORE
    FATAL = (Diverged, SupplyMismatch)

    def __init__(
        self,
        *,
        chain: Chain,
        key: SigningKey,
        reader: Reader,
        targets: Sequence[tuple[bytes | None, str]],
        rng: random.Random,
        options: MinerOptions | None = None,
        values: Mapping[str, OptionValue] | None = None,
        told: OwnNode | None = None,
    ) -> None:
        if key.public not in chain.payout_of_miner:
            raise MinerError(
                f"node {encode_node_id(key.public)} is not among the miners of this genesis; validators would refuse "
                "its batches"
            )
        options = options or MinerOptions()
        super().__init__(
            targets=targets,
            rng=rng,
            budgets=budgets(options),
            name=encode_node_id,
            drift_ms=chain.parameters.clock_drift_ms,
            reader=reader,
            values=values,
        )
        self.node_id, self.chain_id = key.public, chain.chain_id
        outbox, peering, manners = self.outbox, self.peering, self.manners
        self.replica = replica = Replica(
            chain,
            reader,
            outbox,
            rng,
            peering,
            manners,
            lambda digest: self.batcher.body(digest),
            keep_blocks=options.keep_blocks,
        )
        lines = StatusLines(outbox, peering)
        executed = Executed(replica, outbox)
        fees = read_policy(options.fees)
        self.mempool = Mempool(replica, chain.parameters, options, fees, lines.tell, executed.knows)
        self.batcher = Batcher(chain, replica, key, self.mempool, options, outbox, peering, manners)
        intake = Intake(chain, self.mempool, options, outbox, lines, peering, manners)
        self.serving = Serving(replica, options, outbox, manners)
        self.compose(
            (
                Clock(self.clock, lambda: (replica.ledger.header.height, replica.ledger.header.ts_ms)),
                Questions(self),
                replica,
                executed,
                Epochs(replica, self.serving, manners, outbox, self._rerank),
                Forks(chain, reader, outbox, replica.changes, peering),
                intake,
                self.mempool,
                self.batcher,
                self.serving,
                Standing(chain, replica, self.mempool, peering, outbox),
                self.links,
                lines,
                *(() if told is None else finders(self, told, verify, rng)),
            )
        )

    @property
    def height(self) -> int:
        """The newest block that is executed here."""
        return self.replica.ledger.height

    def rank(self, event: PeerUp) -> Rank:
        """Return what a peer is to a miner: validators answer and vote, edges submit and ask."""
        return self._rank(event.peer, event.tier)

    def _rank(self, peer: bytes, tier: int) -> Rank:
        if peer in self.replica.voting_rules.validators.index_of_node:
            return Rank.MEMBER
        return Rank.NAMED if tier == EDGE_TIER else Rank.STRANGER

    def _rerank(self, now_us: int) -> None:
        self.manners.rerank(now_us, lambda peer: self._rank(peer, self.peering.up[peer].tier))
