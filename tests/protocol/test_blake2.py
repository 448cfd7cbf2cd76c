"""The interpreter's BLAKE2b is BLAKE2b, and domains use its personalisation as the specification says."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_generichash_blake2b_salt_personal

from supervm.protocol.base.hashing import hasher

KAT = json.loads((Path(__file__).parents[1] / "vectors" / "third_party" / "blake2" / "blake2b_kat.json").read_text())


@pytest.mark.parametrize("vector", KAT, ids=lambda v: f"{len(v['in']) // 2}-{len(v['key']) // 2}")
def test_blake2b_gives_the_published_digests(vector):
    state = hashlib.blake2b(bytes.fromhex(vector["in"]), key=bytes.fromhex(vector["key"]))
    assert state.hexdigest() == vector["out"]


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=16))
def test_a_domain_is_blake2b_256_with_the_personalisation_of_libsodium(data, person):
    padded = person.ljust(16, b"\0")
    assert hasher(person)(data) == crypto_generichash_blake2b_salt_personal(data, 32, b"", b"", padded)
