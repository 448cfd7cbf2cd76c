"""Hostile hand-overs, requests, contacts and scans: each ends in one sentence or in an answer, soon, in little memory.

Ten thousand mutants of each in every run, a hundred thousand in the long one. What a phone is told goes through its
core as the control socket reads it; only `BrokenContract`, which is the core's refusal, may come back.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from chain_tools import test_key
from handover_tools import FUNDS, export, kept, offline, online, promised, row
from handover_vectors import REQUESTS, sample_container
from mobile_tools import Network
from mutants import MUTANTS, is_sentence, mutants, texts, tried

from supervm.common.errors import InputError
from supervm.common.testing.hand import BrokenContract
from supervm.common.wallet.words import checked_words, split_words, words_of
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.handover.container import write_container
from supervm.tier_l4_mobile.handover.payment_request import RequestError, format_request, parse_request
from supervm.tier_l4_mobile.messages import (
    Balance,
    Cancel,
    ContactList,
    HandoverDrop,
    HandoverExport,
    HandoverTake,
    Info,
    Issue,
    IssueRow,
    Pay,
    PaymentsSince,
    PutContact,
    QueueList,
    RemoveContact,
    SearchPayments,
    ShowPayment,
)
from supervm.tier_l4_mobile.profile import PROFILE
from supervm.tier_l4_mobile.scanned import NotForThis, for_payment

BOB = encode_address(test_key("bob").public, test=False)
EACH_S_MAX, GROWTH_BYTES_MAX = 1.0, 64 << 20


@contextmanager
def bounded(count: int) -> Iterator[None]:
    """See that `count` inputs take little time on average and leave no memory behind."""
    begun_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begun_s < max(EACH_S_MAX, count * 0.005)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH_BYTES_MAX


def test_mutated_payment_requests_end_in_a_sentence() -> None:
    samples = [format_request(request) for request in REQUESTS]
    with bounded(MUTANTS):
        for text in texts(samples, MUTANTS):
            request = tried(lambda text=text: parse_request(text), RequestError)
            assert request is None or parse_request(format_request(request)) == request


def test_mutated_scans_end_in_a_sentence() -> None:
    samples = [BOB, words_of(bytes(32)), *(format_request(request) for request in REQUESTS)]
    with bounded(MUTANTS):
        for scanned in (*texts(samples, MUTANTS // 2), *mutants([sample.encode() for sample in samples], MUTANTS // 2)):
            tried(lambda scanned=scanned: for_payment(scanned), NotForThis)


def test_mutated_words_end_in_a_sentence_that_repeats_no_word() -> None:
    good = [words_of(bytes(range(size))) for size in (16, 24, 32)]
    numbered = " ".join(f"{place}. {word}" for place, word in enumerate(good[2].split(), 1))
    count = MUTANTS // 2  # the list is read for each
    with bounded(count):
        for text in texts([*good, good[2].upper(), numbered], count):
            try:
                assert checked_words(text)
            except InputError as error:
                said = str(error)
                assert is_sentence(said), ascii(text)
                known = set(text.lower().split())
                assert not {word for word in said.split() if len(word) > 5} & known


@pytest.mark.parametrize(
    "text", ["9" * 100_000 + "abandon", "1abandon " * 5_000, "\ufdfa" * 20_000, "a\u0301" * 50_000]
)
def test_long_words_cost_little(text: str) -> None:
    with bounded(1):
        with pytest.raises(InputError) as error:
            checked_words(text)
        assert is_sentence(str(error.value))
        assert len(split_words("abandon " * 5)) == 5


def test_mutated_hand_overs_change_nothing_and_end_in_a_sentence() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    payment = promised(alice)
    good = bytes.fromhex(export(alice, payment["id"]))
    count, taken = MUTANTS // 10, 0
    with bounded(count):
        for data in mutants([good, write_container(sample_container())], count):
            answer = tried(lambda data=data: bob.call(HandoverTake(data.hex())), BrokenContract)
            if answer is not None:
                taken += bool(answer["promises"])
                assert all(map(is_sentence, answer["notes"]))
    assert {promise["id"] for promise in kept(bob)} <= {payment["id"]}
    assert taken < count // 10
    assert bob.hung_up == {}


def test_mutated_requests_end_in_an_answer_or_a_sentence() -> None:
    phone = online(Network(**FUNDS), "alice")
    name = "ab" * 32
    samples: list[msgspec.Struct] = [
        Pay(row(5, key="k", validity_ms=60_000)),
        Issue(IssueRow(supply=1_000, fee=1)),
        Cancel("row-1"),
        ShowPayment(name),
        QueueList(("queued",), "alice", 5),
        PaymentsSince(0, 5),
        SearchPayments("rent", ("R4",), (BOB,), "alice", 7, 3),
        Balance(BOB, True),
        PutContact(BOB, "Bob", "the baker", True),
        RemoveContact(BOB),
        ContactList(),
        HandoverExport((name,)),
        HandoverTake("00ff"),
        HandoverDrop(name),
        Info(),
    ]
    decoder, lines = msgspec.json.Decoder(PROFILE.requests), [msgspec.json.encode(sample) for sample in samples]
    answered = 0
    with bounded(MUTANTS):
        for line in (*lines, *mutants(lines, MUTANTS)):
            try:
                request = decoder.decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue  # the control socket says so
            answered += tried(lambda request=request: phone.call(request), BrokenContract) is not None
            phone.sent.clear()
    assert answered > len(samples)


def test_hostile_contacts_end_in_a_sentence_and_are_shown_as_they_were_kept() -> None:
    phone = online(Network(**FUNDS), "alice")
    texts_of = texts(["Bob the baker", "李四", "=cmd|' /C calc'!A0", "\u202egnp.exe", "x" * 64], MUTANTS // 5)
    with bounded(MUTANTS // 5):
        for text in texts_of:
            shown = tried(lambda text=text: phone.call(PutContact(BOB, text[:64], text[:256])), BrokenContract)
            assert shown is None or (shown["name"] and shown["name"].isprintable())
    assert len(phone.call(ContactList())["contacts"]) <= 1
