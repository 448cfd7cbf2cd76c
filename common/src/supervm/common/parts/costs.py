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

from supervm.protocol.wire import chain, consensus, link, payments
from supervm.protocol.wire.fields import Message

CostClass = Literal["link", "transactions", "accounts", "receipts", "answers", "batches", "history", "consensus"]
"""Classes of messages with a budget of their own."""
CLASSES: Final[tuple[CostClass, ...]] = get_args(CostClass)

SIGNATURE: Final = 45
"""One ed25519 check, with what is around it."""
ANSWER_KIB: Final = 40
"""A KiB of an answer: read, encoded, sealed and sent."""
TRANSACTION: Final = 60
"""A transaction on its way up: parsed, checked, queued."""
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
    items: Callable[[Message], int] | None = None
    size: Callable[[Message], int] | None = None

    def of(self, message: Message) -> int:
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
    def size(received: Message) -> int:
        return sum(len(getattr(received, field)) for field in fields)

    return Cost(cost_class, message, kib=kib, size=size)


def _signatures(received: Message) -> int:
    count = 0  # a loop and no generator: of all that validators say, certificates are counted most often
    for item in received.certificates:  # type: ignore[attr-defined]
        count += 1 + len(item.signatures)
    return count


def _proof_bytes(received: Message) -> int:
    answer = cast(payments.LeafProofs, received)
    return len(answer.checkpoint) + sum(len(proof) for _, proof in answer.proofs)


def _change_bytes(received: Message) -> int:
    return sum(map(len, cast(payments.ValidatorChanges, received).changes))


COSTS: Final[Mapping[type[Message], Cost]] = {
    link.Hello: Cost("link", 10),
    link.Heartbeat: Cost("link", 10),
    link.Goodbye: Cost("link", 10),
    payments.Submit: _items("link", 10, 2, "transactions"),  # the transactions themselves are granted one by one
    payments.Status: _items("answers", 10, 10, "items"),
    payments.Subscribe: _items("link", 10, 2, "accounts"),  # like all accounts asked for, granted one by one
    payments.Unsubscribe: _items("accounts", 10, 4, "accounts"),
    payments.GetLeaves: _items("link", 10, 2, "leaves"),
    payments.LeafProofs: Cost("answers", 50, kib=150, size=_proof_bytes),
    payments.GetReceipt: Cost("link", 10),
    payments.ReceiptAnswer: _bytes("answers", 50, 150, "proof"),
    payments.GetValidatorChanges: Cost("history", 200),
    payments.ValidatorChanges: Cost("answers", 50, kib=600, size=_change_bytes),
    payments.ForkMessage: _bytes("link", 300, 300, "fork"),  # two certificates; a bad one ends the link
    payments.FeeTerms: _items("link", 50, 1, "fees"),
    chain.BatchMessage: _bytes("batches", 100, 220, "batch"),
    chain.BatchVoteMessage: Cost("batches", 10 + SIGNATURE),
    chain.BatchCertificateMessage: _bytes("batches", 50, 600, "certificate"),
    chain.GetBatches: _items("history", 50, 50, "digests"),
    chain.GetBlocks: Cost("history", 200),
    chain.BlocksMessage: _bytes("answers", 100, 60, "blocks"),
    chain.CheckpointMessage: _bytes("answers", 50, 600, "checkpoint"),
    chain.Follow: Cost("history", 500),
    chain.GetSnapshot: Cost("history", 500),
    chain.SnapshotChunk: _bytes("answers", 100, 100, "start", "leaves"),
    consensus.ProposalMessage: _bytes("consensus", 300, 150, "block"),
    consensus.VoteMessage: _items("consensus", 10, SIGNATURE, "votes"),
    consensus.CertificateMessage: Cost("consensus", 10, item=SIGNATURE, items=_signatures),
    consensus.GetBlock: Cost("history", 200),
    consensus.ConsensusStatus: Cost("consensus", 20),
}
"""What each kind of message costs; a kind that is missing is a bug that a test finds."""
