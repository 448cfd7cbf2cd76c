"""Edge records: signed by the very node that shows them, for this chain (decisions.md, Genesis)."""

from __future__ import annotations

import msgspec
import pytest
from chain_tools import test_key
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.edge import EdgeRecord, read_edge_record, sign_edge_record

CHAIN_ID, PAYOUT = b"c" * 32, b"p" * 32
KEY, OTHER = test_key("edge"), test_key("other")
RECORD = sign_edge_record(KEY, CHAIN_ID, PAYOUT, 7)
replace = msgspec.structs.replace


def test_a_record_is_read_back() -> None:
    assert read_edge_record(encode(RECORD), CHAIN_ID, KEY.public, verify) == RECORD
    assert (RECORD.payout, RECORD.counter, RECORD.node_id) == (PAYOUT, 7, KEY.public)


WRONG: dict[str, tuple[EdgeRecord, str]] = {
    "another chain": (sign_edge_record(KEY, bytes(32), PAYOUT, 7), "another chain or node"),
    "another node": (sign_edge_record(OTHER, CHAIN_ID, PAYOUT, 7), "another chain or node"),
    "another node's signature": (
        replace(RECORD, signature=sign_edge_record(OTHER, CHAIN_ID, PAYOUT, 7).signature),
        "signature is invalid",
    ),
    "another payout": (replace(RECORD, payout=bytes(32)), "signature is invalid"),
    "another counter": (replace(RECORD, counter=8), "signature is invalid"),
    "no signature": (replace(RECORD, signature=bytes(64)), "signature is invalid"),
}


@pytest.mark.parametrize(("record", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_record_is_refused(record: EdgeRecord, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        read_edge_record(encode(record), CHAIN_ID, KEY.public, verify)
    assert caught.value.code == "bad-edge-record"


@given(st.binary(max_size=600))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_edge_record(data, CHAIN_ID, KEY.public, verify)


def test_a_long_record_is_refused_unread() -> None:
    with pytest.raises(RemoteProtocolError, match="at most 512 are allowed"):
        read_edge_record(bytes(513), CHAIN_ID, KEY.public, verify)


def test_every_changed_byte_is_refused() -> None:
    data = encode(RECORD)
    for place in range(len(data)):
        mutated = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(RemoteProtocolError):
            read_edge_record(mutated, CHAIN_ID, KEY.public, verify)
