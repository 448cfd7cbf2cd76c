"""What travels between two phones as bytes and text: frozen, exact both ways, and nothing hostile gets through."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from zlib import crc32

import pytest
from handover_vectors import ACCOUNT, REQUESTS, handover_vectors, sample_container
from hypothesis import given
from hypothesis import strategies as st
from mutants import MUTANTS, mutants

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.tier_l4_mobile.errors import HandoverError
from supervm.tier_l4_mobile.handover.container import Container, read_container, write_container
from supervm.tier_l4_mobile.handover.fountain import Basin, Fountain
from supervm.tier_l4_mobile.handover.frames import FRAME_BYTES_MAX, FrameError, FrameReader, frame_count, frames_of
from supervm.tier_l4_mobile.handover.payment_request import (
    LABEL_BYTES_MAX,
    NOTE_BYTES_MAX,
    URI_CHARS_MAX,
    PaymentRequest,
    RequestError,
    format_request,
    parse_request,
)
from supervm.tier_l4_mobile.messages import CONTAINER_BYTES_MAX

FROZEN = json.loads((Path(__file__).parents[1] / "vectors" / "handover.json").read_text())
ADDRESS = REQUESTS[0].address


# --- frozen -----------------------------------------------------------------------------------------------------------


def test_bytes_and_texts_are_the_frozen_ones() -> None:
    assert handover_vectors() == FROZEN


def test_frozen_bytes_are_read_as_the_sample() -> None:
    sample = sample_container()
    data = bytes.fromhex(FROZEN["container"])
    assert read_container(data, sample.chain_id) == sample
    assert [parse_request(text) for text in FROZEN["requests"]] == list(REQUESTS)
    reader = FrameReader()
    for frame in islice(frames_of(data), 3 * FROZEN["frames"]):
        if reader.take(frame):
            break
    assert reader.container == data


# --- requests ---------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=40)
PRINTABLE = TEXTS.filter(str.isprintable)


@given(
    st.booleans(),
    st.none() | st.integers(1, INT_MAX),
    st.binary(min_size=32, max_size=32).filter(any) | st.just(b""),
    st.sampled_from(["grain", "svm"]),
    PRINTABLE.filter(lambda text: len(text.encode()) <= LABEL_BYTES_MAX),
    PRINTABLE.filter(lambda text: len(text.encode()) <= NOTE_BYTES_MAX),
)
def test_a_request_is_read_as_it_was_written(
    test: bool, amount: int | None, asset: bytes, unit: str, label: str, note: str
) -> None:
    if asset or amount is None:
        unit = "grain"
    request = PaymentRequest(ACCOUNT, test, amount, asset, unit, label, note)
    text = format_request(request)
    assert text.isascii()
    assert len(text) <= URI_CHARS_MAX
    assert parse_request(text) == request
    assert format_request(parse_request(text)) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (ADDRESS, f"svm:{ADDRESS}"),
        (f"SVM:{ADDRESS.upper()}", f"svm:{ADDRESS}"),
        (f" svm:{ADDRESS}\n", f"svm:{ADDRESS}"),
        (f"svm:{ADDRESS}?", f"svm:{ADDRESS}"),
        (f"svm:{ADDRESS}?AMOUNT=007", f"svm:{ADDRESS}?amount=7"),
        (f"svm:{ADDRESS}?amount=1.50&unit=SVM", f"svm:{ADDRESS}?amount=1.5&unit=svm"),
        (f"svm:{ADDRESS}?amount=0.000000001&unit=svm", f"svm:{ADDRESS}?amount=0.000000001&unit=svm"),
        (f"svm:{ADDRESS}?asset=svm&amount=5", f"svm:{ADDRESS}?amount=5"),
        (f"svm:{ADDRESS}?asset={'0' * 64}", f"svm:{ADDRESS}"),
        (f"svm:{ADDRESS}?later=%00&note=a+b", f"svm:{ADDRESS}?note=a%2Bb"),
        (f"svm:{ADDRESS}?label=%e4%BD%a0", f"svm:{ADDRESS}?label=%E4%BD%A0"),
    ],
)
def test_what_others_write_is_read(text: str, same: str) -> None:
    assert format_request(parse_request(text)) == same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not an address"),
        ("bitcoin:abc", "it must begin with svm:"),
        ("svm:", "is not an address"),
        (f"svm:{ADDRESS[:-1]}x", "checksum"),
        (f"svm:{ADDRESS}?req-expires=1", "requires 'req-expires', which this program does not know"),
        (f"svm:{ADDRESS}?amount=1&amount=1", "amount is there twice"),
        (f"svm:{ADDRESS}?amount=0", "1 to 9223372036854775807 are allowed"),
        (f"svm:{ADDRESS}?amount={2**63}", "1 to 9223372036854775807 are allowed"),
        (f"svm:{ADDRESS}?amount={'9' * 30}", "is no number in grain"),
        (f"svm:{ADDRESS}?amount=1.5", "has 1 decimals; in grain digits are allowed"),
        (f"svm:{ADDRESS}?amount=-1", "is no number"),
        (f"svm:{ADDRESS}?amount=%D9%A1", "is no number"),
        (f"svm:{ADDRESS}?amount=1e3", "is no number"),
        (f"svm:{ADDRESS}?amount=1.0000000001&unit=svm", "at most 9 decimals"),
        (f"svm:{ADDRESS}?amount=1&unit=btc", "grain or svm is allowed"),
        (f"svm:{ADDRESS}?unit=svm", "a unit without an amount"),
        (f"svm:{ADDRESS}?amount=1&unit=svm&asset={'11' * 32}", "for an amount of svm only"),
        (f"svm:{ADDRESS}?asset=abc", "neither svm nor the 64 hex digits"),
        (f"svm:{ADDRESS}?note=%zz", "two hex digits"),
        (f"svm:{ADDRESS}?note=%e", "two hex digits"),
        (f"svm:{ADDRESS}?note=%ff", "is no UTF-8"),
        (f"svm:{ADDRESS}?note=a b", "must be percent-encoded"),
        (f"svm:{ADDRESS}?note=a#b", "must be percent-encoded"),
        (f"svm:{ADDRESS}?note=%E2%80%AEabc", "printable ones are allowed"),
        (f"svm:{ADDRESS}?note=%0a", "printable ones are allowed"),
        (f"svm:{ADDRESS}?note={'a' * 257}", "at most 256 are allowed"),
        (f"svm:{ADDRESS}?label={'a' * 97}", "at most 96 are allowed"),
        (f"svm:{ADDRESS}?note", "name=value is"),
        (f"svm:{ADDRESS}?=1", "name=value is"),
        (f"svm:{ADDRESS}?" + "&".join(f"a{n}=1" for n in range(17)), "at most 16 are allowed"),
        ("svm:" + "a" * 3_000, "at most 2048 are allowed"),
    ],
)
def test_what_is_wrong_with_a_request_is_named_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(text)
    assert said in str(caught.value)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 400


@given(TEXTS, st.sampled_from(["", "svm:", f"svm:{ADDRESS}?", f"svm:{ADDRESS}?note=", f"svm:{ADDRESS}?amount="]))
def test_no_text_raises_anything_else(text: str, head: str) -> None:
    try:
        request = parse_request(head + text)
    except RequestError:
        return
    assert parse_request(format_request(request)) == request


def test_mutated_requests_raise_nothing_else() -> None:
    for data in mutants([text.encode() for text in FROZEN["requests"]], MUTANTS):
        try:
            request = parse_request(data.decode("utf-8", "surrogateescape"))
        except RequestError:
            continue
        assert parse_request(format_request(request)) == request


# --- containers -------------------------------------------------------------------------------------------------------


def test_a_container_is_of_one_network_and_bounded() -> None:
    sample = sample_container()
    data = write_container(sample)
    with pytest.raises(HandoverError, match="another network"):
        read_container(data, bytes(32))
    with pytest.raises(HandoverError, match=f"at most {CONTAINER_BYTES_MAX} are allowed"):
        read_container(data + bytes(CONTAINER_BYTES_MAX), sample.chain_id)
    long = Container(1, sample.chain_id, sample.changes * 64, sample.proofs * 16, sample.transactions, ())
    assert read_container(write_container(long), sample.chain_id).changes in (long.changes, ())


def test_mutated_containers_raise_nothing_else() -> None:
    sample = sample_container()
    for data in mutants([write_container(sample), encode(sample.proofs[0])], MUTANTS):
        try:
            container = read_container(data, sample.chain_id)
        except HandoverError:
            continue
        assert write_container(container) == data


# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40_000), st.integers(0, 2**32), st.integers(0, 90))
def test_frames_give_the_whole_back_whichever_are_lost(size: int, seed: int, lost_percent: int) -> None:
    rng = random.Random(seed)
    data = rng.randbytes(size)
    reader, heard = FrameReader(), 0
    for frame in frames_of(data):
        assert len(frame) <= FRAME_BYTES_MAX
        if rng.randrange(100) < lost_percent:
            continue
        heard += 1
        if reader.take(frame):
            break
    assert reader.container == data
    assert heard <= frame_count(size) + 24  # a random matrix lacks rank after k + 24 rows once in 16 millions


@pytest.mark.parametrize("lost_percent", [0, 30, 60])
def test_about_a_tenth_more_frames_than_blocks_is_enough(lost_percent: int) -> None:
    rng, needed, blocks = random.Random(lost_percent), 0, 0
    for size in (6_000, 17_000, 40_000, 100_000) * 5:
        data, reader = rng.randbytes(size), FrameReader()
        blocks += frame_count(size)
        for frame in frames_of(data):
            if rng.randrange(100) >= lost_percent:
                needed += 1
                if reader.take(frame):
                    break
    assert needed <= blocks * 1.1
    if not lost_percent:
        assert needed == blocks  # nothing is lost: the blocks themselves


def test_the_longest_container_goes_through() -> None:
    data, reader = random.Random(1).randbytes(CONTAINER_BYTES_MAX), FrameReader()
    for place, frame in enumerate(frames_of(data)):
        if place % 3 and reader.take(frame):
            break
    assert reader.container == data
    with pytest.raises(FrameError, match="are allowed"):
        next(frames_of(data + b"x"))
    with pytest.raises(FrameError, match="are allowed"):
        next(frames_of(b""))


def test_frames_of_two_containers_never_mix() -> None:
    one, other = random.Random(1).randbytes(3_000), random.Random(2).randbytes(3_000)
    first, second = list(islice(frames_of(one), 30)), list(islice(frames_of(other), 30))
    reader = FrameReader()
    for frame in first[:10]:
        reader.take(frame)
    assert reader.progress == (10, 18)
    assert not reader.take(second[0])
    assert reader.progress == (1, 18)
    for frame in first:
        if reader.take(frame):
            break
    assert reader.container == one
    assert reader.progress == (18, 18)
    assert reader.take(first[3])


def test_a_forged_frame_is_found_and_reading_begins_anew() -> None:
    data = random.Random(3).randbytes(3_000)
    frames = list(islice(frames_of(data), 60))
    body = bytearray(frames[4][:-4])
    body[-1] ^= 1
    reader = FrameReader()
    for frame in (*frames[:4], bytes(body) + crc32(body).to_bytes(4, "big"), *frames[5:17]):
        assert not reader.take(frame)
    with pytest.raises(FrameError, match="one of them is forged"):
        reader.take(frames[17])
    assert reader.progress == (0, 0)
    assert any(reader.take(frame) for frame in frames)
    assert reader.container == data


def test_a_misread_frame_is_refused_and_costs_nothing() -> None:
    """Each bit of a frame's number, block and check sum: what a camera misreads must not spoil what it has read."""
    data = random.Random(7).randbytes(3_000)
    frames = list(islice(frames_of(data), 40))
    reader = FrameReader()
    for frame in frames[:4]:
        reader.take(frame)
    for bit in range(8 * 22, 8 * len(frames[5])):
        misread = bytearray(frames[5])
        misread[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError, match="misread: its check sum does not fit"):
            reader.take(bytes(misread))
        assert reader.progress == (4, 18)
    assert any(reader.take(frame) for frame in frames[4:])
    assert reader.container == data


def test_mutated_frames_raise_nothing_else_and_do_no_harm() -> None:
    data = random.Random(5).randbytes(2_000)
    frames = list(islice(frames_of(data), 40))
    reader = FrameReader()
    for frame in mutants(frames, MUTANTS):
        try:
            reader.take(frame)
        except FrameError:
            continue
    assert any(reader.take(frame) for frame in frames)
    assert reader.container == data


@given(st.binary(max_size=220), st.booleans())
def test_no_bytes_raise_anything_else(data: bytes, begun: bool) -> None:
    with pytest.raises(FrameError):
        FrameReader().take((b"SV\x01" if begun else b"") + data)


def test_a_basin_tells_what_is_news() -> None:
    data, seed = bytes(range(100)), bytes(16)
    fountain, basin = Fountain(data, seed, 10), Basin(10, seed, 10)
    assert basin.take(3, fountain.frame(3))
    assert not basin.take(3, fountain.frame(3))
    assert (basin.known, basin.is_full) == (1, False)
    index = 10
    while not basin.is_full:
        basin.take(index, fountain.frame(index))
        index += 1
    assert basin.whole() == data
