"""Progress and bounds (L1, L2, L4, L6-L9, N2, N5).

Progress is demanded only when the network lets it happen: whoever plays the run says when a calm time begins and which
hosts take part in it (`calm`). Views and heights of those are then looked at once a second and at the end. Bounds on
what a node keeps and sends are demanded always.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from supervm.common.contract.records import Put
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import HeaderRow
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.state.trie import TrieView
from supervm.protocol.wire.chain import BatchMessage
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l3_edge.node import EdgeNode

from ..exact import Host, Persisted, Sent
from .facts import Facts
from .finality import Finality
from .reference import Reference

ITEMS_MAX = 300_000
"""Entries of all collections of a core, beyond which its memory counts as unbounded (L9, N2)."""
EGRESS_BYTES_PER_S_MAX = 16 << 20
"""Bytes that a host may send in a second to each peer that is up, averaged over ten (L9, P9)."""
EGRESS_WINDOW_S = 10
LAG_HEIGHTS_MAX = 4
"""How far a node may be behind the tip after a calm time (L7, N5)."""
LAG_OUTSIDE_MAX = 30
"""The same for an L1 that is not of the present set."""
LAG_EDGE_MAX = 60
"""The same for an edge (N5)."""
HELD_US_MAX = 15_000_000
"""How long an executable certificate may wait in a calm time (L4)."""


_NOT_COUNTED = (str, bytes, int, Chain, Ledger, TrieView, type)


def items(core: object) -> int:
    """Count the entries of every collection that a core holds, its chain, keys and the accounts of states apart."""
    seen: dict[int, None] = {}
    stack: list[Any] = [core]
    count = 0
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, _NOT_COUNTED) or item is None:
            continue
        seen[id(item)] = None
        if isinstance(item, dict):
            count += len(item)
            stack.extend(value for value in item.values() if _deep(value))
        elif isinstance(item, list | tuple) or type(item).__name__ in ("deque", "OrderedDict"):
            count += len(item)
            stack.extend(value for value in item if _deep(value))
        elif type(item).__module__.startswith("supervm.") and not type(item).__module__.startswith("supervm.sim"):
            stack.extend(getattr(item, "__dict__", {}).values())
            for kind in type(item).__mro__:
                slots = getattr(kind, "__slots__", ())
                stack.extend(getattr(item, name, None) for name in ((slots,) if isinstance(slots, str) else slots))
    return count


def _deep(value: object) -> bool:
    return not isinstance(value, str | bytes | int) and value is not None


class LivenessWatch:
    """Watches progress and bounds.

    Args:
        facts: shared knowledge.
        finality: which views became final.
        reference: the state of the chain.
    """

    def __init__(self, facts: Facts, finality: Finality, reference: Reference) -> None:
        self._facts, self._finality, self._reference = facts, finality, reference
        self._bytes: dict[str, int] = {}
        self._last: BatchMessage | None = None
        self._samples = 0
        self._views: dict[str, tuple[tuple[int, int], int]] = {}
        self._calm_us: int | None = None
        self._core: dict[str, None] = {}
        self._grace_us = 0
        self._start_top = 0
        self._sealed_us: dict[bytes, int] = {}
        self._counted: dict[tuple[bytes, str], None] = {}
        self._holders: dict[bytes, int] = {}
        self.epoch_ms_max: int | None = None
        """Longest time, by block headers, that an epoch may last in a calm time; None: epochs do not end (L6)."""
        self.r3_us: list[int] = []
        """From a batch's first sending until the median validator had written its block."""

    # --- what is seen -------------------------------------------------------------------------------------------------

    def sent(self, event: Sent) -> None:
        """Count bytes; note when a batch is sealed."""
        name = event.sender.name
        self._bytes[name] = self._bytes.get(name, 0) + len(event.frame)
        message = event.message
        if type(message) is BatchMessage and event.sender.tier == 2 and message is not self._last:
            self._last = message
            digest = self._facts.digest_of(message.batch)
            if digest is not None:
                self._sealed_us.setdefault(digest, event.at_us)

    def persisted(self, event: Persisted) -> None:
        """Note when the median validator holds a block as final."""
        host = event.host
        if host.tier != 1 or not self._facts.is_honest(host):
            return
        for record in event.records:
            if type(record) is Put and isinstance(record.row, HeaderRow):
                digest = self._facts.final.get(record.row.height)
                block = None if digest is None else self._facts.blocks.get(digest)
                for ref in () if block is None else block.body.refs:
                    self._executed(ref.digest, host.name, event.at_us)

    def _executed(self, digest: bytes, name: str, at_us: int) -> None:
        if (digest, name) in self._counted:
            return
        self._counted[digest, name] = None
        holders = self._holders[digest] = self._holders.get(digest, 0) + 1
        if holders == len(self._facts.members.keys) // 2 + 1:
            sealed_us = self._sealed_us.get(digest)
            if sealed_us is not None:
                self.r3_us.append(at_us - sealed_us)

    # --- calm ---------------------------------------------------------------------------------------------------------

    def calm(self, core: Iterable[str]) -> None:
        """From now on the network is kind and only these hosts are on."""
        self._calm_us = self._facts.world.now_us
        self._core = dict.fromkeys(core)
        parameters = self._facts.chain.parameters
        pause_ms = max(parameters.block_interval_ms, parameters.idle_interval_ms)
        self._grace_us = 1_000 * (6 * parameters.view_timeout_ms_max + pause_ms) + 25_000_000
        self._start_top = self._top()

    def _top(self) -> int:
        return max((self._height(host) for host in self._facts.world.hosts.values() if host.tier == 1), default=0)

    def _height(self, host: Host) -> int:
        core = host.core
        if isinstance(core, ValidatorNode):
            return core.ledger.height
        if isinstance(core, MinerNode):
            return core.replica.ledger.height
        return 0

    def sample(self) -> None:
        """Look at bounds, and in a calm time at progress; to be called once a second of virtual time."""
        self._samples += 1
        if self._samples % EGRESS_WINDOW_S == 0:
            self._egress()
        if self._calm_us is not None:
            self._progress(self._calm_us)

    def _egress(self) -> None:
        for name, sent in self._bytes.items():
            host = self._facts.deployment.host(name)
            bound = EGRESS_BYTES_PER_S_MAX * EGRESS_WINDOW_S
            if sent > bound and self._facts.is_honest(host):
                self._facts.book.note("L9", f"{name} sent {sent} bytes in {EGRESS_WINDOW_S} s; at most {bound} are")
        self._bytes.clear()

    def _progress(self, calm_us: int) -> None:
        now_us = self._facts.world.now_us
        parameters = self._facts.chain.parameters
        pause_ms = parameters.block_interval_ms + parameters.idle_interval_ms
        cap_us = 1_000 * (3 * parameters.view_timeout_ms_max + pause_ms) + 3_000_000
        late = now_us - calm_us > self._grace_us
        newest = (0, 0)
        for name in self._core:
            core = self._facts.deployment.host(name).core
            if not isinstance(core, ValidatorNode) or not self._facts.is_honest(self._facts.deployment.host(name)):
                continue
            view = (core.seat.rules.epoch, core.simplex.view)
            newest = max(newest, view)
            known = self._views.get(name)
            if known is None or known[0] != view:
                self._views[name] = (view, now_us)
            elif late and now_us - known[1] > cap_us:
                since_ms = (now_us - known[1]) // 1000
                self._facts.book.note("L2", f"{name} is in view {view[1]} of epoch {view[0]} for {since_ms} ms")
        lasted_ms = self._facts.executed_ts_ms - self._facts.epoch_began_ms
        if late and self.epoch_ms_max is not None and lasted_ms > self.epoch_ms_max:
            self._facts.book.note("L6", f"epoch {self._facts.epoch} lasts for {lasted_ms} of {self.epoch_ms_max} ms")
        bound = 2 * len(self._facts.members.keys) + 8
        final = max(self._finality.final_views, default=(0, 0))
        since = newest[1] - (final[1] if final[0] == newest[0] else 0)
        if late and since > bound:
            self._facts.book.note("L1", f"nothing is finalized for {since} views, it is view {newest[1]} now")

    def caught_up(self) -> bool:
        """Return whether blocks are made again and everybody in the core is near the tip."""
        return self._top() > self._start_top and not self._behind() and not self._edges_behind()

    def _behind(self) -> list[str]:
        facts = self._facts
        hosts = [facts.deployment.host(name) for name in self._core]
        top = max((self._height(host) for host in hosts if host.tier <= 2), default=0)
        return [
            f"{host.name} at {self._height(host)} of {top}"
            for host in hosts
            if host.tier <= 2
            and host.core is not None
            and facts.is_honest(host)
            and self._height(host) < top - self._lag_max(host)
        ]

    def _lag_max(self, host: Host) -> int:
        """Return how far a host may be behind: outside of the set an L1 follows one peer, which may be silent."""
        is_outside = host.tier == 1 and host.node_id not in self._facts.members.index_of_node
        return LAG_OUTSIDE_MAX if is_outside else LAG_HEIGHTS_MAX

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self, *, settled: bool) -> None:
        """Look at sizes, and after a calm time at what must have happened in it."""
        facts = self._facts
        for host in facts.world.hosts.values():
            if host.core is not None and facts.is_honest(host):
                count = items(host.core)
                if count > ITEMS_MAX:
                    facts.book.note("N2", f"{host.name} holds {count} entries; {ITEMS_MAX} are the bound")
        if self._calm_us is None or not settled:
            return
        if self._top() <= self._start_top:
            facts.book.note("L1", f"no block was finalized in the calm time; the height is {self._start_top}")
        for text in self._behind():
            facts.book.note("L7", f"{text} after the calm time")
        for text in self._edges_behind():
            facts.book.note("N5", text)
        self._certificates()

    def _edges_behind(self) -> list[str]:
        """Edges that have heard of nothing near the tip of when the calm time began.

        They are told of blocks that touch the accounts of their phones only, so the present tip is not for them.
        """
        found = []
        for name in self._core:
            host = self._facts.deployment.host(name)
            core = host.core
            if isinstance(core, EdgeNode) and self._facts.is_honest(host):
                height = core.info(self._facts.world.now_us)["height"]
                if height < max(1, self._start_top - LAG_EDGE_MAX):
                    found.append(f"{name} is at height {height}, the tip was {self._start_top} when the calm began")
        return found

    def _certificates(self) -> None:
        facts = self._facts
        for name in self._core:
            core = facts.deployment.host(name).core
            if not isinstance(core, ValidatorNode) or not facts.is_honest(facts.deployment.host(name)):
                continue
            for digest, held in core.pool.held.items():
                batch = facts.batches.get(digest)
                if batch is None or facts.world.now_us - held.arrived_us < HELD_US_MAX:
                    continue
                for position, transaction in enumerate(batch.transactions):
                    body = transaction.body
                    account = self._reference.account_at(body.sender, self._reference.height)
                    if (
                        held.bits >> position & 1
                        and body.valid_until_ms >= facts.executed_ts_ms + 1_000
                        and (account.next_seq, account.head) == (body.seq, body.prev)
                    ):
                        facts.book.note(
                            "L4", f"{name} holds a certificate for {transaction.id.hex()[:16]} that could execute"
                        )

    def failure_free(self, delay_us: int) -> None:
        """Demand what holds when nothing failed: nothing nullified, and R3 in time (L8).

        Args:
            delay_us: the longest one-way delay between any two hosts.
        """
        first = min(self._finality.final_views, default=(0, 0))  # before that not everybody is connected yet
        nullified = [
            number
            for kind, epoch, number in self._finality.certified
            if kind is VoteKind.NULLIFY and (epoch, number) > first
        ]
        if nullified:
            self._facts.book.note("L8", f"without any failure views {nullified[:5]} were nullified")
        bound_us = 10 * delay_us + 1_000 * self._facts.chain.parameters.block_interval_ms + 150_000
        late = [taken_us for taken_us in self.r3_us if taken_us > bound_us]
        if late:
            self._facts.book.note(
                "L8",
                f"without any failure {len(late)} of {len(self.r3_us)} batches took up to {max(late)} us to R3; "
                f"{bound_us} are allowed",
            )
