"""Addresses and node ids: bech32m as BIP-350 has it, and nothing that only looks like it."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from supervm.protocol.base.address import (
    bech32m_decode,
    bech32m_encode,
    decode_address,
    decode_node_id,
    encode_address,
    encode_node_id,
    from_values,
    to_values,
)
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
BIP350 = json.loads((VECTORS / "third_party" / "bip350" / "vectors.json").read_text())
IDENTITIES = json.loads((VECTORS / "identities.json").read_text())
ACCOUNT = SigningKey(bytes(range(32))).public
ADDRESS = encode_address(ACCOUNT, test=False)
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
accounts = st.binary(min_size=32, max_size=32).map(lambda seed: SigningKey(seed).public)


@pytest.mark.parametrize("text", BIP350["valid"])
def test_published_valid_bech32m(text):
    hrp, values = bech32m_decode(text)
    assert bech32m_encode(hrp, values) == text.lower()


@pytest.mark.parametrize("case", BIP350["invalid"], ids=lambda c: c["reason"])
def test_published_invalid_bech32m(case):
    with pytest.raises(LocalProtocolError):
        bech32m_decode(case["text"])


def segwit(text):
    """What BIP-350 asks of an address above version 0, on top of bech32m: the part our reader is built of."""
    hrp, values = bech32m_decode(text)
    program = from_values(values[1:])
    good = hrp in ("bc", "tb") and values != [] and 0 < values[0] <= 16 and 2 <= len(program) <= 40
    return good, program


@pytest.mark.parametrize("case", BIP350["segwit_valid"], ids=lambda c: c["text"])
def test_published_valid_segwit_addresses(case):
    script = bytes.fromhex(case["script"])
    if script[0] == 0:  # version 0 stays with bech32, whose checksum is not ours
        with pytest.raises(LocalProtocolError, match="checksum"):
            bech32m_decode(case["text"])
    else:
        assert segwit(case["text"]) == (True, script[2:])


@pytest.mark.parametrize("case", BIP350["segwit_invalid"], ids=lambda c: f"{c['text'][:12]} {c['reason']}")
def test_published_invalid_segwit_addresses(case):
    try:
        good, _ = segwit(case["text"])
    except LocalProtocolError:
        good = False
    assert not good
    with pytest.raises(LocalProtocolError, match="is not an address"):
        decode_address(case["text"])


@given(accounts, st.booleans())
def test_an_address_reads_back_in_either_case(account, test):
    text = encode_address(account, test=test)
    assert text.startswith("tsvm1" if test else "svm1")
    assert decode_address(text) == decode_address(text.upper()) == (account, test)


@given(accounts)
def test_a_node_id_reads_back_and_is_no_address(node_id):
    text = encode_node_id(node_id)
    assert text.startswith("svmnode1")
    assert decode_node_id(text) == node_id
    with pytest.raises(LocalProtocolError, match="is not an address: it begins with svmnode1"):
        decode_address(text)
    with pytest.raises(LocalProtocolError, match="is not a node id: it begins with svm1"):
        decode_node_id(encode_address(node_id, test=False))


@pytest.mark.parametrize("key", ["00" * 32, "01" + "00" * 31, "02" + "00" * 31, "ee" + "ff" * 30 + "7f", "ff" * 32])
def test_what_is_no_usable_key_is_neither_an_address_nor_a_node_id(key):
    raw = bytes.fromhex(key)
    with pytest.raises(LocalProtocolError, match="is not an address: this is no usable ed25519 key"):
        decode_address(encode_address(raw, test=True))
    with pytest.raises(LocalProtocolError, match="is not a node id: this is no usable ed25519 key"):
        decode_node_id(encode_node_id(raw))


@given(accounts, st.data())
def test_up_to_four_wrong_characters_are_always_found(account, data):
    text = list(encode_address(account, test=False))
    places = data.draw(st.lists(st.integers(4, len(text) - 1), min_size=1, max_size=4, unique=True))
    for place in places:
        text[place] = data.draw(st.sampled_from([c for c in CHARSET if c != text[place]]))
    with pytest.raises(LocalProtocolError, match="checksum"):
        decode_address("".join(text))


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused_in_one_ascii_line(text):
    assume(not text.lower().startswith(("svm1", "tsvm1")))
    with pytest.raises(LocalProtocolError) as caught:
        decode_address(text)
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()


@given(st.binary(max_size=50))
def test_five_bit_groups_read_back(data):
    assert from_values(to_values(data)) == data


KEY_VALUES = to_values(b"\0" + ACCOUNT)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no '1'"),
        (ADDRESS[:-1], "checksum"),
        (ADDRESS + "q", "checksum"),
        ("S" + ADDRESS[1:], "capital and small"),
        (" " + ADDRESS, "character 1 is ' '"),
        (ADDRESS + "\n", r"character 64 is '\\n'"),
        (ADDRESS[:10] + "b" + ADDRESS[11:], "character 11 is 'b'"),
        (ADDRESS * 2, "126 characters; at most 90"),
        (bech32m_encode("bc", KEY_VALUES), "begins with bc1; it must begin with svm1 or tsvm1"),
        (bech32m_encode("svm", []), "carries no data"),
        (bech32m_encode("svm", [0]), "5 bits of padding"),
        (bech32m_encode("svm", [*KEY_VALUES, 0]), "6 bits of padding"),
        (bech32m_encode("svm", [*KEY_VALUES[:-1], KEY_VALUES[-1] | 1]), "zero bits"),
        (bech32m_encode("svm", to_values(b"\1" + ACCOUNT)), "pool of the protocol, which cannot be paid"),
        (bech32m_encode("svm", to_values(b"\2" + ACCOUNT)), "version 2; this program knows version 0"),
        (bech32m_encode("svm", to_values(b"\0" + ACCOUNT[1:])), "carries 31 bytes"),
        (bech32m_encode("svm", to_values(b"\0" + ACCOUNT + b"\0")), "carries 33 bytes"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_and_where(text, complaint):
    with pytest.raises(LocalProtocolError, match=complaint):
        decode_address(text)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_32_bytes_have_an_address_or_a_node_id(length):
    with pytest.raises(LocalProtocolError, match=f"an account has 32 bytes; {length} were given"):
        encode_address(bytes(length), test=True)
    with pytest.raises(LocalProtocolError, match=f"a node id has 32 bytes; {length} were given"):
        encode_node_id(bytes(length))


def test_text_longer_than_90_characters_is_never_made():
    with pytest.raises(LocalProtocolError, match="91 characters; at most 90"):
        bech32m_encode("svm", [0] * 81)


@pytest.mark.parametrize("node", IDENTITIES["nodes"], ids=lambda n: n["text"][8:20])
def test_frozen_node_ids(node):
    assert encode_node_id(bytes.fromhex(node["node_id"])) == node["text"]
    assert decode_node_id(node["text"]).hex() == node["node_id"]
