"""What one hostile peer may cost an honest node, whatever it does (N2; network.md 7).

Counted, per honest node and hostile peer, is what the node does *because* it got something: each step that a message of
the peer causes, the signatures that are checked in it and given to workers, the bytes that are sent and written by it.
The unit is that of the budgets, a microsecond of one core. The bound comes from the tier's own table of budgets: what
flows in while the run lasts, and two bursts. A validator's honest work is in it, too, so the bound is a ceiling, and
`report` says how far below it an attack stayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import astuple

from supervm.common.contract.core import Persist, Received, Send, Work
from supervm.common.contract.jobs import VerifySignatures
from supervm.common.contract.records import Append, Put
from supervm.common.parts.costs import ANSWER_KIB, COSTS, SIGNATURE, CostClass
from supervm.common.parts.manners import UNEXPECTED, Budget, Rank, charged
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import BlocksMessage, SnapshotChunk
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import ValidatorChanges
from supervm.tier_l1_super.budgets import BUDGETS as VALIDATOR_BUDGETS
from supervm.tier_l1_super.consensus.simplex.promises import BatchPromise, decode_promise
from supervm.tier_l1_super.tables import BatchRow
from supervm.tier_l2_miner.budgets import budgets as miner_budgets
from supervm.tier_l2_miner.options import MinerOptions
from supervm.tier_l3_edge.budgets import budgets as edge_budgets
from supervm.tier_l3_edge.options import DEFAULT_RATES
from supervm.tier_l4_mobile.budgets import BUDGETS as PHONE_BUDGETS

from ..exact import Host, Stepped
from .facts import Facts

STEP: Final = 20
"""A step of a core, without what is counted apart."""
SENT_KIB: Final = 15
"""A KiB sealed and sent."""
WRITTEN_KIB: Final = 15
"""A KiB written."""
CERTIFYING_CHECKS_MAX: Final = 1_024
"""Signature checks for one hostile validator's checkpoint votes: a few windows of them (consensus.md 2.7)."""
CERTIFYING_CHECKS_PER_S: Final = 40
"""Of those that its vote may complete."""
ASIDE: Final = COSTS[Heartbeat].message
"""What the table charges for a question that is put aside, to the class of the link."""
ANSWERS: Final = frozenset((BlocksMessage, SnapshotChunk, ValidatorChanges))
"""What answers nothing but questions, also later: when one that was put aside can be paid for, or there is news."""
BUDGETS: Final[Mapping[int, Mapping[Rank, Budget]]] = {
    1: VALIDATOR_BUDGETS,
    2: miner_budgets(MinerOptions()),
    3: edge_budgets(DEFAULT_RATES),
    4: PHONE_BUDGETS,
}


@dataclass(slots=True)
class Spent:
    """What a peer has cost a node.

    Attributes:
        units: microseconds of one core.
        checks: signatures.
        certifying_checks: of these, those in steps for its checkpoint votes alone.
        sent_bytes: bytes that went to the peer in answer.
        written_bytes: bytes written.
        first_us: when its first message came.
    """

    first_us: int
    units: int = 0
    checks: int = 0
    certifying_checks: int = 0
    sent_bytes: int = 0
    written_bytes: int = 0


class CostWatch:
    """Adds up what hostile peers cost.

    Args:
        facts: who is honest.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._charged: dict[tuple[str, str, str], tuple[int, int]] = {}  # (host, peer, class) -> (since, units)
        self._promised: dict[object, None] = {}  # digests of batches that an honest validator gave a bit
        self.spent: dict[tuple[str, str], Spent] = {}
        """(honest host, hostile peer) -> what it cost."""
        self.suspects: dict[str, None] = {}
        """Names of honest peers whose price is added up, too: somebody does something to them."""

    def started(self, host: Host) -> None:
        """Forget what peers owe a node that begins anew: it has forgotten, too."""
        for key in [key for key in self._charged if key[0] == host.name]:
            del self._charged[key]

    def stepped(self, event: Stepped) -> None:
        """Look at one step."""
        if not self._facts.is_honest(event.host):
            return
        received = event.input
        asked = received.peer if type(received) is Received else None
        for effect in event.effects:
            if type(effect) is Persist:
                if event.host.tier == 1:
                    self._bodies(event.host.name, effect)
            elif type(effect) is Send and type(effect.message) in ANSWERS and effect.peer != asked:
                self._answered(event, effect)
        name = None if asked is None else self._hostile(asked)
        if name is not None and type(received) is Received:
            self._caused(event, name, received)

    def _caused(self, event: Stepped, name: str, received: Received) -> None:
        """Add what a message of a hostile peer made a node do at once."""
        spent = self.spent.setdefault((event.host.name, name), Spent(event.at_us))
        sent = written = 0
        checks = event.checks
        for effect in event.effects:
            if type(effect) is Send:
                if effect.peer == received.peer:
                    sent += len(encode_message(effect.message))
            elif type(effect) is Persist:
                written += sum(_size(record) for record in effect.records)
            elif type(effect) is Work:
                checks += effect.job.cost_us // VerifySignatures.ITEM_COST_US  # other jobs count as so many checks
        self._charge(event, name, received, sent)
        message = received.message
        if type(message) is VoteMessage and all(vote.kind is VoteKind.CHECKPOINT for vote in message.votes):
            self._certifying(event, name, spent, checks)
        spent.checks += checks
        spent.sent_bytes += sent
        spent.written_bytes += written
        spent.units += STEP + SIGNATURE * checks + (SENT_KIB * sent + WRITTEN_KIB * written >> 10)
        self._judge(event, name, spent)

    def _certifying(self, event: Stepped, name: str, spent: Spent, checks: int) -> None:
        spent.certifying_checks += checks
        most = CERTIFYING_CHECKS_MAX + CERTIFYING_CHECKS_PER_S * (event.at_us - spent.first_us) // 1_000_000
        if spent.certifying_checks > most:
            self._facts.book.note(
                "N2",
                f"{event.host.name} has checked {spent.certifying_checks} signatures for {name}'s votes on "
                f"checkpoints; {most} are the bound",
            )

    def _judge(self, event: Stepped, name: str, spent: Spent) -> None:
        if spent.units > units_max(event.host.tier, event.at_us - spent.first_us):
            self._facts.book.note(
                "N2",
                f"{name} has cost {event.host.name} {spent.units} units in "
                f"{(event.at_us - spent.first_us) / 1e6:.1f} s: {spent.checks} signatures, {spent.sent_bytes} bytes "
                f"sent, {spent.written_bytes} written",
            )

    def _answered(self, event: Stepped, send: Send) -> None:
        """Add an answer that leaves in a step that its question did not cause."""
        name = self._hostile(send.peer)
        if name is None:
            return
        size = len(encode_message(send.message))
        spent = self.spent.setdefault((event.host.name, name), Spent(event.at_us))
        spent.sent_bytes += size
        spent.units += SENT_KIB * size >> 10
        self._judge(event, name, spent)
        self._owes(event, name, "history", ANSWER_KIB * size >> 10)

    def _charge(self, event: Stepped, name: str, received: Received, sent_bytes: int) -> None:
        """Add up what the node's own table charges."""
        cost_class, units = charged(received.message)
        if cost_class == "history" and not sent_bytes:
            cost_class, units = "link", ASIDE  # it waits apart, or a newer one has taken its place
        self._owes(event, name, cost_class, units + (ANSWER_KIB * sent_bytes >> 10))

    def _owes(self, event: Stepped, name: str, cost_class: CostClass, units: int) -> None:
        """Demand that whoever owes in a class is not read from, and sent no more (network.md 7)."""
        key = (event.host.name, name, cost_class)
        since_us, so_far = self._charged.get(key, (event.at_us, 0))
        so_far += units
        self._charged[key] = since_us, so_far
        rates = [budget.classes.get(cost_class, UNEXPECTED) for budget in BUDGETS[event.host.tier].values()]
        most = max(rate.burst * 5 // 4 + rate.per_s * (event.at_us - since_us) // 1_000_000 for rate in rates)
        if so_far > most:
            self._facts.book.note(
                "N2",
                f"{event.host.name} reads on from {name}, which has cost {so_far} units of class {cost_class}; "
                f"{most} are the bound",
            )

    def _bodies(self, name: str, write: Persist) -> None:
        """A validator stores a batch that it gives a bit in the same step, or that a quorum has certified."""
        for record in write.records:
            if type(record) is Append and record.payload[2:4] == b"w5":
                promise = decode_promise(record.payload)
                if isinstance(promise, BatchPromise) and any(promise.bitmap):
                    self._promised[promise.digest] = None
        for record in write.records:
            row = record.row if type(record) is Put else None
            if isinstance(row, BatchRow) and row.digest not in self._promised:
                self._facts.book.note("N2", f"{name} stores a batch that no honest validator has given a bit")

    def _hostile(self, peer: bytes) -> str | None:
        host = self._facts.world.hosts.get(peer)
        if host is None or (self._facts.is_honest(host) and host.name not in self.suspects):
            return None
        return host.name


def _size(record: object) -> int:
    if isinstance(record, Put):
        return sum(len(item) for item in astuple(record.row) if isinstance(item, bytes | str))
    return len(record.payload) if isinstance(record, Append) else 0


def units_max(tier: int, elapsed_us: int) -> int:
    """Return what a peer of the best rank may cost a node of a tier in a time: all its classes, twice their bursts."""
    return max(
        sum(2 * rate.burst + rate.per_s * elapsed_us // 1_000_000 for rate in budget.classes.values())
        for budget in BUDGETS[tier].values()
    )
