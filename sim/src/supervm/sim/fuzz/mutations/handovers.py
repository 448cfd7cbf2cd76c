"""Payments from phone to phone (transactions.md 8): no fuzz run hands anything over, so a test notices each."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light import client as light
from supervm.protocol.state.account import decode_account
from supervm.protocol.state.trie_proof import decode_trie_proof
from supervm.tier_l4_mobile.handover import desk, frames, promises, taker
from supervm.tier_l4_mobile.wallet import books, queue

from .switch import Patcher, mutation

_THERE_AND_BACK = "tests/tier_l4_mobile/test_handover.py::"
_ATTACKS = "tests/tier_l4_mobile/test_handover_attacks.py::"
_FORMATS = "tests/tier_l4_mobile/test_handover_formats.py::"


@mutation(
    "handover-settled",
    "a promise is settled by a receipt only, whatever an edge says (transactions.md 8)",
    test=f"{_THERE_AND_BACK}test_a_payment_of_a_phone_without_network_is_brought_and_its_proof_comes_back",
)
def _settled(patcher: Patcher) -> None:
    patcher.wrap(
        desk, "show_promise", lambda original, *args, **options: original(*args, **options) | {"settled": True}
    )


@mutation(
    "handover-release",
    "what is handed over is released, so its slot is never signed a second time (3.8 T16)",
    test=f"{_THERE_AND_BACK}test_what_is_handed_over_is_released_and_stays_the_owners",
)
def _release(patcher: Patcher) -> None:
    def hand_over(original: Any, self: Any, chain: Any) -> None:
        original(self, chain)
        for payment in chain:
            payment.released = False

    patcher.wrap(queue.PaymentQueue, "hand_over", hand_over)


@mutation(
    "handover-durable",
    "the row that says so is durable before its owner gets the hand-over (T16)",
    test=f"{_THERE_AND_BACK}test_nothing_is_shown_before_its_release_is_durable",
)
def _durable(patcher: Patcher) -> None:
    patcher.set(books.Books, "answer", lambda self, token, value: self._outbox.reply(token, value))


@mutation(
    "frame-checksum",
    "a frame that was misread says nothing (transactions.md 8)",
    test=f"{_FORMATS}test_a_misread_frame_is_refused_and_costs_nothing",
)
def _checksum(patcher: Patcher) -> None:
    patcher.wrap(frames, "_read", lambda original, frame: original(frame[:-4] + crc32(frame[:-4]).to_bytes(4, "big")))


@mutation(
    "frames-whole",
    "frames together are what they promise, or nothing (transactions.md 8)",
    test=f"{_FORMATS}test_a_forged_frame_is_found_and_reading_begins_anew",
)
def _whole(patcher: Patcher) -> None:
    patcher.set(frames, "hash_whole", lambda _data: bytes(32))


@mutation(
    "handover-room",
    "a phone keeps no more promises than its owner allows (transactions.md 8)",
    test=f"{_ATTACKS}test_what_is_kept_has_bounds",
)
def _room(patcher: Patcher) -> None:
    def take(original: Any, self: Any, transaction: Any, now_us: int) -> Any:
        self.most = 1 << 30
        return original(self, transaction, now_us)

    patcher.set(promises.Promises, "room", lambda self: 1)
    patcher.wrap(promises.Promises, "take", take)


@mutation(
    "handover-payer-room",
    "one payer fills no phone with promises (transactions.md 8)",
    test=f"{_ATTACKS}test_what_is_kept_has_bounds",
)
def _payer_room(patcher: Patcher) -> None:
    def problem(original: Any, self: Any, now_us: int, transaction: Any) -> str:
        found: str = original(self, now_us, transaction)
        return "" if "of its payer are kept" in found else found

    patcher.wrap(taker.Taker, "_problem", problem)


@mutation(
    "handover-cover",
    "a promise that its payer's proved balance does not cover is not kept (transactions.md 8)",
    test=f"{_ATTACKS}test_more_than_the_payer_has",
)
def _cover(patcher: Patcher) -> None:
    patcher.set(taker, "cover", lambda kept, chain: True)


@mutation(
    "handover-signature",
    "a promise has its sender's signature (transactions.md 8)",
    test=f"{_ATTACKS}test_a_signature_that_is_not_the_senders",
)
def _signature(patcher: Patcher) -> None:
    def read(original: Any, container: Any, chain_id: bytes, verify: Any, **options: Any) -> Any:
        return original(container, chain_id, lambda *_item: True, **options)

    patcher.wrap(taker, "read_transactions", read)


@mutation(
    "handover-rival",
    "of two payments for one place one is kept (transactions.md 8)",
    test=f"{_ATTACKS}test_a_payer_that_promises_one_place_twice",
)
def _rival(patcher: Patcher) -> None:
    patcher.set(promises.Promises, "rival", lambda self, transaction: None)


@mutation(
    "handover-proof",
    "a balance in a hand-over is believed with its own proof only (5)",
    test=f"{_ATTACKS}test_proofs_that_do_not_hold",
)
def _proof(patcher: Patcher) -> None:
    def prove(original: Any, self: Any, header: Any, account: bytes, proof: bytes) -> Any:
        try:
            return original(self, header, account, proof)
        except RemoteProtocolError:
            value = decode_trie_proof(proof).value
            return light.ProvedAccount(decode_account(value), True, header)

    patcher.wrap(light.LightClient, "prove_account", prove)


@mutation(
    "handover-receipt",
    "a receipt settles the payment that it is of, and no other (transactions.md 8)",
    test=f"{_ATTACKS}test_a_receipt_of_somebody_else_settles_nothing",
)
def _receipt(patcher: Patcher) -> None:
    def check(original: Any, self: Any, proof: bytes, transaction_id: bytes, now_ms: int) -> Any:
        try:
            return original(self, proof, transaction_id, now_ms)
        except RemoteProtocolError:
            return decode(light.ReceiptProof, proof).receipt

    patcher.wrap(light.LightClient, "check_receipt", check)
