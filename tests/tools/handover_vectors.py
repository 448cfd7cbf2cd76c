"""What tests/vectors/handover.json holds: a container, its frames and requests, as bytes and texts."""

from __future__ import annotations

from itertools import islice
from typing import Any

from protocol_samples import agreed_samples

from supervm.protocol.base.codec import encode
from supervm.protocol.light.client import ReceiptProof
from supervm.protocol.light.trust import ValidatorChange
from supervm.protocol.money.transfer import Transfer
from supervm.tier_l4_mobile.handover.container import Container, ProvedLeaf, write_container
from supervm.tier_l4_mobile.handover.fountain import mask_of
from supervm.tier_l4_mobile.handover.frames import frame_count, frames_of
from supervm.tier_l4_mobile.handover.payment_request import PaymentRequest, format_request

ACCOUNT = bytes.fromhex("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
ASSET = bytes(range(32))
REQUESTS = (
    PaymentRequest(ACCOUNT, False),
    PaymentRequest(ACCOUNT, True, 1),
    PaymentRequest(ACCOUNT, False, 1_500_000_000, unit="svm", label="Bäckerei & Co", note="100 % für 你好"),
    PaymentRequest(ACCOUNT, False, 2**63 - 1, ASSET, note="+=&?#%/:"),
    PaymentRequest(ACCOUNT, False, 3_000_000_000, unit="svm"),
)


def sample_container() -> Container:
    """Return a container with something in every field; nothing in it is meant to hold."""
    samples = agreed_samples()
    change, receipt, transfer = samples["ValidatorChange"], samples["ReceiptProof"], samples["Transfer"]
    answer: Any = samples["AccountAnswer"]
    assert isinstance(change, ValidatorChange)
    assert isinstance(receipt, ReceiptProof)
    assert isinstance(transfer, Transfer)
    leaf = ProvedLeaf(1, answer.checkpoint, answer.account, answer.asset, answer.proof)
    return Container(1, transfer.chain_id, (change,), (leaf,), (encode(transfer),), (receipt,))


def handover_vectors() -> dict[str, Any]:
    """Return the vectors."""
    data = write_container(sample_container())
    count = frame_count(len(data))
    frames = list(islice(frames_of(data), 2 * count))
    return {
        "container": data.hex(),
        "proved_leaf": encode(sample_container().proofs[0]).hex(),
        "frames": count,
        "plain": {str(index): frames[index].hex() for index in (0, count - 1)},
        "mixed": {str(index): frames[index].hex() for index in (count, count + 1, 2 * count - 1)},
        "masks": {
            f"{index}/{blocks}": f"{mask_of(bytes(range(16)), index, blocks):x}"
            for index, blocks in ((0, 3), (3, 3), (4, 3), (600, 600), (2**24 - 1, 700))
        },
        "requests": [format_request(request) for request in REQUESTS],
    }
