"""Noise XX against the published vectors, and its rules one by one (network.md 3; Noise revision 34)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt

from supervm.common.link.cipher import NONCE_LAST, CipherState
from supervm.common.link.noise import PROTOCOL_NAME, HandshakeState, public_key
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError

FOLDER = Path(__file__).parent.parent / "vectors/third_party/noise"
VECTORS = FOLDER / "cacophony_xx_25519_chachapoly_blake2b.json"
CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text())["vectors"]

LOW_ORDER_POINTS = [  # the small-order points of Curve25519 that RFC 7748 6.1 lets a peer send
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def end(number: int, prologue: bytes) -> HandshakeState:
    static, ephemeral = bytes([number]) * 32, bytes([number + 1]) * 32
    return HandshakeState(initiator=number == 1, prologue=prologue, static_private=static, ephemeral_private=ephemeral)


def ends(prologue: bytes = b"p") -> tuple[HandshakeState, HandshakeState]:
    return end(1, prologue), end(3, prologue)


def finished() -> tuple[HandshakeState, HandshakeState]:
    initiator, responder = ends()
    responder.read_message(initiator.write_message())
    initiator.read_message(responder.write_message())
    responder.read_message(initiator.write_message())
    return initiator, responder


def test_vectors_are_for_our_protocol_name() -> None:
    assert [case["protocol_name"].encode() for case in CASES] == [PROTOCOL_NAME]


@pytest.mark.parametrize("case", CASES)
def test_published_vectors_byte_for_byte(case: dict[str, Any]) -> None:
    sides = [
        HandshakeState(
            initiator=side == "init",
            prologue=bytes.fromhex(case[f"{side}_prologue"]),
            static_private=bytes.fromhex(case[f"{side}_static"]),
            ephemeral_private=bytes.fromhex(case[f"{side}_ephemeral"]),
        )
        for side in ("init", "resp")
    ]
    for number, message in enumerate(case["messages"][:3]):
        writer, reader = sides[number % 2], sides[1 - number % 2]
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
    assert [side.finished for side in sides] == [True, True]
    assert [side.handshake_hash.hex() for side in sides] == [case["handshake_hash"]] * 2
    assert sides[0].remote_static == sides[1].static_public
    assert sides[1].remote_static == sides[0].static_public
    ciphers = [side.split() for side in sides]
    for number, message in enumerate(case["messages"][3:], start=3):
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        assert ciphers[number % 2][0].encrypt(payload) == ciphertext
        assert ciphers[1 - number % 2][1].decrypt(ciphertext) == payload


@pytest.mark.parametrize("point", LOW_ORDER_POINTS)
def test_zero_shared_secret_is_the_peers_fault(point: str) -> None:
    _, responder = ends()
    responder.read_message(bytes.fromhex(point))  # message 1 makes no secret yet
    with pytest.raises(RemoteProtocolError, match="low-order"):
        responder.write_message()
    initiator, _ = ends()
    initiator.write_message()
    with pytest.raises(RemoteProtocolError, match="low-order"):
        initiator.read_message(bytes.fromhex(point) + bytes(64))


def test_every_bit_of_every_handshake_message_is_authenticated() -> None:
    initiator, responder = ends()
    first = initiator.write_message()
    responder.read_message(first)
    second = responder.write_message(b"two")
    for bit in range(len(second) * 8):
        fresh, _ = ends()
        fresh.write_message()
        with pytest.raises(RemoteProtocolError):
            fresh.read_message(flip(second, bit))
    initiator.read_message(second)
    third = initiator.write_message(b"three")
    for bit in range(len(third) * 8):
        _, fresh = ends()
        fresh.read_message(first)
        fresh.write_message(b"two")
        with pytest.raises(RemoteProtocolError):
            fresh.read_message(flip(third, bit))
    for bit in range(len(first) * 8):  # message 1 is clear, so the other end finds out at message 2
        dialler, fresh = ends()
        fresh.read_message(flip(dialler.write_message(), bit))
        answer = fresh.write_message()
        with pytest.raises(RemoteProtocolError):
            dialler.read_message(answer)


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_another_prologue_is_refused() -> None:
    initiator, _ = ends(b"one")
    _, responder = ends(b"two")
    responder.read_message(initiator.write_message())
    with pytest.raises(RemoteProtocolError):
        initiator.read_message(responder.write_message())


@given(messages=st.lists(st.binary(max_size=200), max_size=3))
def test_garbage_is_read_or_refused_and_nothing_else(messages: list[bytes]) -> None:
    for side in ends():
        if side.our_turn:
            side.write_message()
        for message in messages:
            try:
                side.read_message(message)
                if side.our_turn:
                    side.write_message()
            except RemoteProtocolError:
                break
        assert not side.finished


def test_calls_out_of_turn_are_our_own_fault() -> None:
    initiator, responder = ends()
    for wrong in (responder.write_message, responder.split, initiator.split):
        with pytest.raises(LocalProtocolError):
            wrong()
    with pytest.raises(LocalProtocolError):
        initiator.read_message(b"")
    with pytest.raises(LocalProtocolError, match="at most 65535"):
        initiator.write_message(bytes(65_504))
    for side in finished():
        with pytest.raises(LocalProtocolError):
            side.write_message()
        with pytest.raises(LocalProtocolError):
            side.read_message(b"")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_a_wrong_length_are_our_own_fault(size: int) -> None:
    for wrong in (public_key, CipherState):
        with pytest.raises(LocalProtocolError):
            wrong(bytes(size))


def test_replayed_reordered_short_and_altered_ciphertexts_are_refused_and_leave_the_counter() -> None:
    send, receive = CipherState(b"k" * 32), CipherState(b"k" * 32)
    first, second = send.encrypt(b"first", b"ad"), send.encrypt(b"second")
    with pytest.raises(RemoteProtocolError):
        receive.decrypt(second)
    with pytest.raises(RemoteProtocolError):
        receive.decrypt(first, b"other")
    assert receive.decrypt(first, b"ad") == b"first"
    with pytest.raises(RemoteProtocolError):
        receive.decrypt(first, b"ad")
    for size in range(16):
        with pytest.raises(RemoteProtocolError, match="its tag alone takes 16"):
            receive.decrypt(second[:size])
    assert receive.nonce == 1
    assert receive.decrypt(second) == b"second"


def test_rekey_is_the_ciphertext_of_zeros_under_the_last_nonce() -> None:
    # Noise 4.2: REKEY(k) = the first 32 bytes of ENCRYPT(k, 2**64-1, "", zeros); the counter goes on.
    key = b"k" * 32
    new_key = crypto_aead_chacha20poly1305_ietf_encrypt(bytes(32), b"", bytes(4) + b"\xff" * 8, key)[:32]
    cipher = CipherState(key, 7)
    cipher.rekey()
    assert cipher.nonce == 7
    ciphertext = cipher.encrypt(b"x")
    with pytest.raises(RemoteProtocolError):
        CipherState(key, 7).decrypt(ciphertext)
    assert CipherState(new_key, 7).decrypt(ciphertext) == b"x"


def test_the_last_nonce_is_never_used() -> None:
    send, receive = CipherState(b"k" * 32, NONCE_LAST), CipherState(b"k" * 32, NONCE_LAST)
    assert receive.decrypt(send.encrypt(b"last")) == b"last"
    with pytest.raises(LocalProtocolError, match="used up"):
        send.encrypt(b"")
    with pytest.raises(RemoteProtocolError, match="used up"):
        receive.decrypt(bytes(16))
