"""Who a link's other end is: the node key's signed word for the X25519 key that Noise proves (network.md 3).

The two keys are kept apart, so that no key is ever used in two algorithms and the X25519 key can be replaced
at any time: the node key signs for it until a date. The proof names the chain, so it is worth nothing on
another one, and it travels encrypted as the payload of the handshake: only the peer learns who dialled.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal

from supervm.protocol.base.codec import Agreed, Key, Signature, Uint, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey, verify

STATIC_KEY_CONTEXT: Final = b"supervm-noise-static"
"""What the signed bytes of a `StaticKeyProof` begin with (network.md 3)."""
PROOF_BYTES_MAX: Final = 160
"""Upper bound of the canonical bytes of a `StaticKeyProof`."""

_U64 = Struct(">Q")


class StaticKeyProof(Agreed, frozen=True, tag="linkkey"):
    """The node key's word that an X25519 static key is its own, until `not_after_ms` (Unix milliseconds)."""

    version: Literal[1]
    node_key: Key
    not_after_ms: Uint
    signature: Signature


def static_key_statement(chain_id: bytes, static_public: bytes, not_after_ms: int) -> bytes:
    """Return the bytes that the signature of a `StaticKeyProof` covers (network.md 3)."""
    return STATIC_KEY_CONTEXT + chain_id + static_public + _U64.pack(not_after_ms)


def make_proof(node_key: SigningKey, *, chain_id: bytes, static_public: bytes, not_after_ms: int) -> bytes:
    """Sign for `static_public` until `not_after_ms` (Unix milliseconds, 0 .. 2**63-1); return the CBOR."""
    signature = node_key.sign(static_key_statement(chain_id, static_public, not_after_ms))
    return encode(StaticKeyProof(1, node_key.public, not_after_ms, signature))


def check_proof(
    payload: bytes,
    *,
    chain_id: bytes,
    static_public: bytes,
    own_id: bytes,
    expected_peer: bytes | None,
    now_ms: int,
) -> StaticKeyProof:
    """Read and check a peer's proof: cheap checks first, the signature last.

    Args:
        payload: what came in the handshake.
        chain_id: 32 bytes naming our network.
        static_public: the X25519 key that the handshake proves.
        own_id: our node id, which no peer may have.
        expected_peer: the node id that was dialled; None accepts any other.
        now_ms: present wall-clock time, Unix milliseconds.

    Raises:
        RemoteProtocolError: ``malformed``, ``self-dial``, ``wrong-peer``, ``expired`` or ``bad-signature``.
    """
    proof = decode(StaticKeyProof, payload, bytes_max=PROOF_BYTES_MAX)
    peer = proof.node_key
    if peer == own_id:
        raise RemoteProtocolError(
            "the peer has our own node key: we dialled ourselves, or two nodes run with one key",
            penalty=0,
            code="self-dial",
        )
    if expected_peer is not None and peer != expected_peer:
        raise RemoteProtocolError(
            f"dialled node {expected_peer.hex()} but node {peer.hex()} answered", penalty=0, code="wrong-peer"
        )
    if proof.not_after_ms <= now_ms:
        raise RemoteProtocolError(
            f"the proof of the peer's static key ended at {proof.not_after_ms} ms, our clock says "
            f"{now_ms} ms: the peer has to sign a new one, or a clock is wrong",
            penalty=0,
            code="expired",
        )
    if not verify(peer, static_key_statement(chain_id, static_public, proof.not_after_ms), proof.signature):
        raise RemoteProtocolError(
            f"the signature of node {peer.hex()} on its static key is wrong", penalty=100, code="bad-signature"
        )
    return proof
