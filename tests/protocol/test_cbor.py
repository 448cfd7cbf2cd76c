"""The writer of agreed bytes in Python gives cbor2's bytes and refuses what cbor2 refuses.

SUPERVM_CBOR_INPUTS says how many random values are tried, with a new seed each time if it is given (`./run test long`:
a million).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import agreed_samples
from reach_samples import reach_agreed

from supervm.protocol.base import cbor
from supervm.protocol.base.errors import LocalProtocolError

VECTORS = Path(__file__).parents[1] / "vectors"
INPUTS = int(os.environ.get("SUPERVM_CBOR_INPUTS", "0"))
SAMPLES = agreed_samples() | reach_agreed()
EDGES = [
    edge + off
    for power in (0, 3, 5, 8, 16, 31, 32, 63, 64, 65, 128, 256)
    for sign in (1, -1)
    for edge in (sign * 2**power,)
    for off in (-2, -1, 0, 1)
] + [23, 24, -24, -25]


def outcome(write: Any, value: object) -> tuple[str, object]:
    """What a writer makes of a value: bytes, or the words of its refusal."""
    try:
        return "bytes", write(value)
    except UnicodeEncodeError as error:
        return "text", str(error)
    except (LocalProtocolError, cbor2.CBOREncodeError) as error:
        return "type", str(error).replace("serialize", "encode")  # as cbor2 5 says it


def assert_same(value: object) -> None:
    assert outcome(cbor.write, value) == outcome(cbor2.dumps, value), repr(value)[:300]


def random_value(rng: random.Random, depth: int = 0) -> object:
    match rng.randrange(9 if depth < 4 else 7):
        case 0:
            return rng.choice(EDGES)
        case 1:
            return rng.getrandbits(rng.choice((3, 5, 8, 16, 32, 63, 64, 70, 300))) * rng.choice((1, 1, -1))
        case 2 | 3:
            return rng.randbytes(rng.choice((0, 1, 23, 24, 32, 64, 255, 256, rng.randrange(70))))
        case 4:
            letters = "aZ9 é☃𝔘\0" + ("\ud800" if rng.random() < 0.01 else "")
            return "".join(rng.choice(letters) for _ in range(rng.choice((0, 1, 8, 23, 24, rng.randrange(100)))))
        case 5:
            return rng.choice((True, False, None))
        case 6:
            return rng.choice((object, object(), Ellipsis, sys)) if rng.random() < 0.01 else rng.randrange(1 << 16)
    length = rng.choice((0, 1, 2, 3, 5, 23, 24, 30)) if depth < 2 else rng.randrange(4)
    return rng.choice((list, tuple))(random_value(rng, depth + 1) for _ in range(length))


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_every_agreed_type_is_written_alike(sample: msgspec.Struct) -> None:
    assert_same(msgspec.to_builtins(sample, builtin_types=(bytes,)))


def test_every_frozen_byte_string_is_written_again() -> None:
    """Whatever a vector's bytes say, if they are CBOR at all, both write it back alike."""
    seen = 0

    def walk(node: object) -> None:
        nonlocal seen
        if isinstance(node, dict):
            for item in node.values():
                walk(item)
        elif isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, str) and len(node) % 2 == 0:
            try:
                data = bytes.fromhex(node)
                value = cbor2.loads(data)
            except (ValueError, cbor2.CBORDecodeError):
                return
            if isinstance(value, list) and cbor2.dumps(value) == data:
                assert cbor.write(value) == data
                seen += 1

    for path in sorted(VECTORS.glob("*.json")):
        walk(json.loads(path.read_text(encoding="utf-8")))
    assert seen > 50


@pytest.mark.parametrize("value", EDGES, ids=str)
def test_integers_are_as_short_as_they_can_be(value: int) -> None:
    assert_same(value)
    assert_same([value, (value,)])


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_strings_and_arrays_of_every_length_of_head(length: int) -> None:
    for value in (bytes(length), "x" * length, "é" * length, [0] * length, ((),) * length):
        assert_same(value)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (["a\ud800"], UnicodeEncodeError, "surrogates not allowed"),
        ([object], LocalProtocolError, "cannot encode type <class 'type'>"),
        (1.5, LocalProtocolError, "cannot encode type <class 'float'>"),
        ([{}], LocalProtocolError, "cannot encode type <class 'dict'>"),
        ({1}, LocalProtocolError, "cannot encode type <class 'set'>"),
    ],
    ids=repr,
)
def test_what_agreed_bytes_have_none_of_is_refused(value: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cbor.write(value)


plain = st.none() | st.booleans() | st.integers() | st.binary() | st.text()
nested = st.recursive(plain, lambda inner: st.lists(inner) | st.lists(inner).map(tuple), max_leaves=30)


@given(nested)
def test_any_value_is_written_alike(value: object) -> None:
    assert_same(value)


def test_many_random_values_are_written_alike() -> None:
    seed = random.SystemRandom().getrandbits(64) if INPUTS else 1
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(INPUTS or 5_000):
        assert_same(random_value(rng))


def test_a_program_without_cbor2_writes_the_same_bytes() -> None:
    program = (
        "import sys; sys.modules['cbor2'] = None\n"
        "from protocol_vectors import protocol_vectors\n"
        "from supervm.protocol.base import cbor\n"
        "import json, pathlib\n"
        "assert cbor.dumps is cbor.write\n"
        f"assert protocol_vectors() == json.loads(pathlib.Path({str(VECTORS / 'protocol.json')!r}).read_text())\n"
    )
    tools = str(VECTORS.parent / "tools")
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": tools}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert cbor.dumps is cbor2.dumps
