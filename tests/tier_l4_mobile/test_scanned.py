"""What is scanned is told apart by its kind: the payment scanner takes no anchor, an anchor's reader nothing else."""

from __future__ import annotations

import os
import random

import pytest
from chain_tools import make_test_chain, test_key

from supervm.common.errors import InputError
from supervm.common.host.anchor_file import ANCHOR_PREFIX, anchor_text, load_anchor
from supervm.common.wallet.words import words_of
from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.light.client import anchor_of
from supervm.tier_l4_mobile.handover.container import Container, write_container
from supervm.tier_l4_mobile.scanned import BYTES_MAX, NotForThis, for_payment, look_at, take_anchor

CHAIN = make_test_chain(4).chain
ANCHOR = anchor_of(CHAIN)
TEXT = anchor_text(ANCHOR)
BOB = encode_address(test_key("bob").public, test=False)
KINDS = [
    ("payment-request", f"svm:{BOB}?amount=5"),
    ("payment-request", f"SVM:{BOB.upper()}"),
    ("address", BOB),
    ("address", f"  {BOB}\n"),
    ("address", encode_address(test_key("bob").public, test=True).upper()),
    ("node", encode_node_id(test_key("node").public)),
    ("anchor", TEXT),
    ("anchor", f"\ufeff{TEXT}\n"),
    ("anchor", ANCHOR_PREFIX.upper() + "x"),
    ("hand-over", b"SV\x01\xff\x00"),
    ("hand-over", "SV\x01"),
    ("container", write_container(Container(1, CHAIN.chain_id, (), (), (), ()))),
    ("words", words_of(bytes(32))),
    ("words", words_of(bytes(16)).upper().replace(" ", "\n")),
    ("words", ". ".join(f"{place} {word}" for place, word in enumerate(words_of(bytes(32)).split(), 1))),
    ("other", "SVG is a format of pictures"),
    ("other", ""),
    ("other", b"\xff\xfe"),
    ("other", "https://example.org/svm:pay"),
    ("other", "svm:" * BYTES_MAX),
    ("other", "a sentence of a dozen words is not the words of a wallet, is it?"),
]


@pytest.mark.parametrize(("kind", "scanned"), KINDS)
def test_kinds_are_told_apart_and_only_payments_are_paid(kind, scanned):
    assert look_at(scanned).kind == kind
    if kind in ("payment-request", "address"):
        assert for_payment(scanned).kind == kind
        with pytest.raises(NotForThis, match="this is no anchor"):
            take_anchor(scanned, CHAIN)
    else:
        with pytest.raises(NotForThis) as refused:
            for_payment(scanned)
        assert str(refused.value)
    if kind == "words":
        assert "words of a wallet" in str(refused.value)
        assert "abandon" not in repr(look_at(scanned))
    if kind == "anchor":
        assert "never takes it" in str(refused.value)


@pytest.mark.parametrize("form", [TEXT, TEXT.encode(), f"  {TEXT[:400]}\r\n{TEXT[400:]}\n", encode(ANCHOR)])
def test_an_anchor_is_taken_as_text_or_file(form, tmp_path):
    assert take_anchor(form, CHAIN) == ANCHOR
    file = tmp_path / "anchor"
    file.write_bytes(form if isinstance(form, bytes) else form.encode())
    assert load_anchor(file, CHAIN) == ANCHOR


@pytest.mark.parametrize("form", [TEXT[:-8], ANCHOR_PREFIX, ANCHOR_PREFIX + "!!!", b"", encode(ANCHOR)[:-1], "hello"])
def test_what_is_no_anchor_is_refused_in_a_sentence(form):
    with pytest.raises(InputError, match="what was given: this is no anchor"):
        take_anchor(form, CHAIN)


def test_an_anchor_of_another_network_is_refused():
    other = make_test_chain(4, {"somebody": 5}).chain
    with pytest.raises(InputError, match="another network's"):
        take_anchor(anchor_text(anchor_of(other)), CHAIN)


def test_a_text_of_thirteen_validators_fits_a_qr_code():
    assert len(anchor_text(anchor_of(make_test_chain(13).chain))) < 2_953


def test_mutated_scans_end_in_a_kind_and_a_sentence():
    """Thousands in every run; ``HOSTILE_SCANS=100000`` asks for more."""
    rng = random.Random(8)
    short = [scanned for _, scanned in KINDS if len(scanned) < 5_000]
    seeds = [encode(ANCHOR), *(scanned if isinstance(scanned, bytes) else scanned.encode() for scanned in short)]
    for _ in range(int(os.environ.get("HOSTILE_SCANS", "5000"))):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 20))):
            place = rng.randrange(len(data) + 1)
            match rng.randrange(3):
                case 0:
                    data[place:place] = rng.randbytes(rng.choice((1, 1, 30)))
                case 1:
                    del data[place : place + rng.choice((1, 9))]
                case _:
                    data[place : place + 1] = rng.randbytes(1)
        scanned: str | bytes = bytes(data)
        if rng.random() < 0.5:
            scanned = data.decode("utf-8", rng.choice(("replace", "surrogateescape")))
        kind = look_at(scanned).kind
        try:
            assert for_payment(scanned).kind == kind
        except NotForThis as refused:
            text = str(refused)
            assert text, kind
        try:
            take_anchor(scanned, CHAIN)
        except (NotForThis, InputError) as refused:
            text = str(refused)
            assert text, kind
