"""Versions 1 and 2 refuse each other by name; what they must both read to do so, Hello, is frozen.

`tests/vectors/version1.json` is what version 1 wrote; it never changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
import msgpack
import msgspec
import pytest
from protocol_samples import message_samples

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.genesis import load_genesis
from supervm.protocol.light.client import AccountAnswer
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.wire.frames import PROTOCOL_VERSION, agree_on_version, decode_message
from supervm.protocol.wire.link import Hello

OF_VERSION_1 = {
    name: bytes.fromhex(text)
    for name, text in json.loads((Path(__file__).parents[1] / "vectors" / "version1.json").read_text()).items()
}
OURS = message_samples()["Hello"]


def test_each_side_refuses_the_other_by_the_versions_in_hello() -> None:
    """Both Hellos are read by both; version 1 judged ours by the same rule with 1 for its own version."""
    theirs = decode_message(OF_VERSION_1["hello"])
    assert isinstance(theirs, Hello)
    assert isinstance(OURS, Hello)
    assert (theirs.version_min, theirs.version_max) == (1, 1)
    assert (OURS.version_min, OURS.version_max) == (PROTOCOL_VERSION, PROTOCOL_VERSION) == (2, 2)
    with pytest.raises(RemoteProtocolError, match="the peer speaks versions 1 to 1; this node speaks 2") as caught:
        agree_on_version(theirs.version_min, theirs.version_max)
    assert (caught.value.code, caught.value.penalty) == ("version", 0)
    assert not OURS.version_min <= 1 <= OURS.version_max
    assert agree_on_version(1, 2) == 2


def test_hello_is_frozen_at_six_fields() -> None:
    """What comes later is a word in `features`: a seventh field would keep every other version from reading this."""
    assert [field.name for field in msgspec.structs.fields(Hello)] == [
        "version_min",
        "version_max",
        "tier",
        "features",
        "clock_ms",
        "agent",
    ]
    assert Hello.__struct_config__.tag == 1
    raw = msgpack.unpackb(OF_VERSION_1["hello"])
    assert raw == [1, 1, 1, 3, ["receipts", "größe"], 1_700_000_000_000, "supervm/1"]
    for other in (raw[:-1], [*raw, 0]):
        with pytest.raises(RemoteProtocolError):
            decode_message(msgpack.packb(other))


def test_a_genesis_of_version_1_is_refused_by_its_version() -> None:
    with pytest.raises(LocalProtocolError, match=r"genesis file of version 1 .* reads version 2 - make a new one"):
        load_genesis(OF_VERSION_1["genesis"])


def test_a_transaction_of_version_1_is_refused_by_its_version() -> None:
    chain_id = cbor2.loads(OF_VERSION_1["transfer"])[2]
    with pytest.raises(
        RemoteProtocolError, match="of version 1 of the protocol; this release reads version 2"
    ) as caught:
        parse_transaction(OF_VERSION_1["transfer"], chain_id)
    assert caught.value.code == "unknown-kind"


@pytest.mark.parametrize(("name", "kind"), [("batch", Batch), ("answer", AccountAnswer)])
def test_other_objects_of_version_1_are_not_read_as_ours(name: str, kind: type[msgspec.Struct]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^{kind.__name__} cannot be read: .* must be an array"):
        decode(kind, OF_VERSION_1[name])
