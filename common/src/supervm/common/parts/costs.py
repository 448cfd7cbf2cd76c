"""What each message costs its receiver, and to which class it counts.

Work is paid for by who causes it (decisions.md).

The unit is a microsecond of one core of the machine that limits.md was measured on; docs/messages.md lists the table,
and a test holds it against the wire. A cost is what the receiver spends because it got the message: reading and
checking it, the signatures in it, and the least that answering takes. What an answer costs beyond that is charged when
its size is known (`Manners.spend`, `ANSWER_KIB`).

Costs are estimates and need not be exact: they have to be of the right order for honest use, and never far too low for
any input. So whatever is a list counts by its items and whatever is an agreed object by its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from supervm.protocol.wire import messages as m

CostClass = Literal[
    "link", "transfers", "accounts", "receipts", "answers", "batches", "history", "consensus"
]
"""Classes of messages with a budget of their own."""
CLASSES: Final[tuple[CostClass, ...]] = get_args(CostClass)

SIGNATURE: Final = 45
"""One ed25519 check, with what is around it."""
ANSWER_KIB: Final = 40
"""A KiB of an answer: read, encoded, sealed and sent."""
TRANSFER: Final = 60
"""A transfer on its way up: parsed, checked, queued."""
ACCOUNT: Final = 60
"""An account proof: a path of the tree, and about a KiB of answer."""
RECEIPT: Final = 6_000
"""A receipt's proof: the receipts of a whole block are hashed for it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one kind of message: ``message + item * items + kib * bytes / 1024``.

    Attributes:
        cost_class: whose budget it counts to.
        message: for any such message.
        item: for each item of its list.
        kib: for each KiB of the objects in it.
        items: returns the number of items.
        size: returns the bytes.
    """

    cost_class: CostClass
    message: int
    item: int = 0
    kib: int = 0
    items: Callable[[m.Message], int] | None = None
    size: Callable[[m.Message], int] | None = None

    def of(self, message: m.Message) -> int:
        """Return the cost of a message of this kind."""
        cost = self.message
        if self.items is not None:
            cost += self.item * self.items(message)
        if self.size is not None:
            cost += self.kib * self.size(message) >> 10
        return cost


def _items(cost_class: CostClass, message: int, item: int, field: str) -> Cost:
    return Cost(cost_class, message, item=item, items=lambda received: len(getattr(received, field)))


def _bytes(cost_class: CostClass, message: int, kib: int, *fields: str) -> Cost:
    def size(received: m.Message) -> int:
        return sum(len(getattr(received, field)) for field in fields)

    return Cost(cost_class, message, kib=kib, size=size)


def _signatures(received: m.Message) -> int:
    return sum(1 + len(item.signatures) for item in cast(m.CertificateMessage, received).certificates)


def _proof_bytes(received: m.Message) -> int:
    answer = cast(m.AccountProofs, received)
    return len(answer.checkpoint) + sum(len(proof) for _, proof in answer.proofs)


def _change_bytes(received: m.Message) -> int:
    return sum(map(len, cast(m.ValidatorChanges, received).changes))


COSTS: Final[Mapping[type[m.Message], Cost]] = {
    m.Hello: Cost("link", 10),
    m.Heartbeat: Cost("link", 10),
    m.Goodbye: Cost("link", 10),
    m.Submit: _items("link", 10, 2, "transfers"),  # the transfers themselves are granted one by one
    m.Status: _items("answers", 10, 10, "items"),
    m.Subscribe: _items("link", 10, 2, "accounts"),  # like all accounts asked for, granted one by one
    m.Unsubscribe: _items("accounts", 10, 4, "accounts"),
    m.GetAccounts: _items("link", 10, 2, "accounts"),
    m.AccountProofs: Cost("answers", 50, kib=150, size=_proof_bytes),
    m.GetReceipt: Cost("link", 10),
    m.ReceiptAnswer: _bytes("answers", 50, 150, "proof"),
    m.EdgeRegistration: _bytes("link", 200, 100, "record"),
    m.GetValidatorChanges: Cost("history", 200),
    m.ValidatorChanges: Cost("answers", 50, kib=600, size=_change_bytes),
    m.ForkMessage: _bytes("link", 300, 300, "fork"),  # two certificates; a bad one ends the link
    m.BatchMessage: _bytes("batches", 100, 220, "batch"),
    m.BatchVoteMessage: Cost("batches", 10 + SIGNATURE),
    m.BatchCertificateMessage: _bytes("batches", 50, 600, "certificate"),
    m.GetBatches: _items("history", 50, 50, "digests"),
    m.GetBlocks: Cost("history", 200),
    m.BlocksMessage: _bytes("answers", 100, 60, "blocks"),
    m.CheckpointMessage: _bytes("answers", 50, 600, "checkpoint"),
    m.Follow: Cost("history", 500),
    m.GetSnapshot: Cost("history", 500),
    m.SnapshotChunk: _bytes("answers", 100, 100, "start", "leaves"),
    m.ProposalMessage: _bytes("consensus", 300, 150, "block"),
    m.VoteMessage: _items("consensus", 10, SIGNATURE, "votes"),
    m.CertificateMessage: Cost("consensus", 10, item=SIGNATURE, items=_signatures),
    m.GetBlock: Cost("history", 200),
    m.ConsensusStatus: Cost("consensus", 20),
}
"""What each kind of message costs; a kind that is missing is a bug that a test finds."""
