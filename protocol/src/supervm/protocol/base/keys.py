"""Ed25519 keys and the one signature rule of the network.

Theory of operation. Ed25519 libraries agree on honest signatures, not on crafted ones (limits.md 1.3),
so a network that mixes them can be split by one message. SuperVM therefore has one rule, libsodium's single
verification, and one place that calls it: `verify` and `verify_many`. The rule is cofactorless and strict:

* S must be smaller than the group order L, so nobody can turn one valid signature into another;
* R and the public key must be canonical and must not be of small order;
* S*B = R + h*A must hold exactly. A key with an order-8 component is not refused as such: its signatures hold
  exactly when h is a multiple of 8. Batch equations and "cofactored" verifiers answer otherwise, so neither
  may be used.

The rule depends on how the loaded libsodium was built, so `check_accept_set` tries it on frozen crafted
signatures; a node that votes calls it once at start-up and stops if it raises.

The calls go to the library underneath `nacl.bindings` with a null output: nothing is allocated for the opened
message and a refusal costs no exception. `crypto_sign_open` is the only single verification that PyNaCl
exposes; with a null output it is the detached verification over ``signature || message``. Libraries before 1.0.18
write to that null: the process would be gone without a word. So the first verification looks at the library first, and
opens a known signature into memory that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from nacl import __version__ as pynacl_version
from nacl._sodium import ffi, lib  # type: ignore[import-not-found,unused-ignore]  # compiled, no stubs
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair  # importing this also initialises libsodium

from .errors import LocalProtocolError, UnfitLibrary

SEED_BYTES: Final = 32
"""Length of the secret that a key is made from."""
PUBLIC_BYTES: Final = 32
"""Length of a public key."""
SIGNATURE_BYTES: Final = 64
"""Length of a signature: R (32 bytes) then S (32 bytes, little-endian)."""

_NULL = ffi.NULL


def _open_first(*arguments: Any) -> int:
    """Look at the library, once, and open what it was called for with the library's own function from then on."""
    global _open
    if _open is _open_first:
        check_library()
        _open = lib.crypto_sign_open
    return int(_open(*arguments))


_open: Callable[..., int] = _open_first


def check_library() -> None:
    """Check that the loaded libsodium can verify at all; `verify` does it by itself before its first use.

    Raises:
        UnfitLibrary: it is older than 1.0.18, or does not open a known signature.
    """
    # PyNaCl tells no version of the library; the multiplication of scalars came with 1.0.18
    if not (getattr(lib, "PYNACL_HAS_CRYPTO_CORE_ED25519", 0) and hasattr(lib, "crypto_core_ed25519_scalar_mul")):
        raise UnfitLibrary(
            f"PyNaCl {pynacl_version} brings a libsodium older than 1.0.18, or one without all of ed25519: verifying "
            "with it is not safe. Install PyNaCl 1.5 or later from its own wheel (1.6.2 is what is tested)"
        )
    _, public, message, r, s, _ = ACCEPT_SET[0]
    signed = bytes.fromhex(r + s) + message
    opened, size = ffi.new("unsigned char[]", len(signed)), ffi.new("unsigned long long *")
    answer = lib.crypto_sign_open(opened, size, signed, len(signed), bytes.fromhex(public))
    if answer != 0 or bytes(ffi.buffer(opened, len(message))) != message or size[0] != len(message):
        raise UnfitLibrary(
            f"the libsodium of PyNaCl {pynacl_version} does not open a signature that is known to be right: install "
            "PyNaCl from its own wheel, not built against another libsodium"
        )


class SigningKey:
    """An ed25519 key pair that never shows its secret.

    Args:
        seed: the 32-byte secret of RFC 8032 5.1.5.

    Attributes:
        public: the 32-byte public key.

    Raises:
        LocalProtocolError: the seed is not 32 bytes long.
    """

    __slots__ = ("_secret", "public")

    public: bytes
    _secret: bytes

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise LocalProtocolError(f"a signing key is made from {SEED_BYTES} bytes; {len(seed)} were given")
        public, secret = crypto_sign_seed_keypair(bytes(seed))
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_secret", secret)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message` (deterministic, RFC 8032 5.1.6)."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a signing key cannot be changed (tried to set {name})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a signing key cannot be changed (tried to delete {name})")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is never pickled: its secret would leave the process")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SigningKey):
            return NotImplemented
        return self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether `signature` is `public`'s signature of `message`, by the network's one rule.

    Wrong lengths are refusals, never errors: peers choose all three arguments.
    """
    return (
        len(public) == PUBLIC_BYTES
        and len(signature) == SIGNATURE_BYTES
        and _open(_NULL, _NULL, signature + message, SIGNATURE_BYTES + len(message), public) == 0
    )


def verify_many(items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
    """Return `verify` of every ``(public, message, signature)``, in order.

    This is a tight loop over single verifications, never a batch equation. It holds the interpreter except
    inside libsodium, so beside a busy event loop it belongs in a worker process, 64 to 256 items a call
    (limits.md, Rules 1).
    """
    opened, null = _open, _NULL
    return [
        len(public) == PUBLIC_BYTES
        and len(signature) == SIGNATURE_BYTES
        and opened(null, null, signature + message, SIGNATURE_BYTES + len(message), public) == 0
        for public, message, signature in items
    ]


def key_problem(public: bytes) -> str | None:
    """Return what is wrong with 32 bytes that are to be somebody's public key; None if signatures of it can count.

    A usable key is the canonical encoding of a point of the prime-order group (RFC 8032 5.1.3): on the curve, not
    of small order - so not the identity, and not zero - and without a component of small order, which every signing
    program avoids and which would make most signatures fail. This is for keys that are given by people; what a
    signature is worth, `verify` alone decides. It costs about 50 us.
    """
    if len(public) == PUBLIC_BYTES and lib.crypto_core_ed25519_is_valid_point(public) == 1:
        return None
    return "this is no usable ed25519 key: not a point of the curve, or one of small order, to which no signature fits"


_A = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
_A_PLUS_T8 = "b502ff3d92e31d8190b4aa4ea0414005167fad089c4de9dac8a2fc850fed4f58"
_T8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
_R = "ce0835d5eef35d3d7194904428ab19ee30b76afce559883b3b3542994e42af45"
_R_PLUS_T8 = "11cafa6189fadaeb44521804c87f0e5cbc49236185e67e41742c3dbcfc553d92"
_IDENTITY = "01" + "00" * 31
_IDENTITY_OVER_P = "ee" + "ff" * 30 + "7f"
_S_OF_R = "efcdab9078563412efcdab907856341200000000000000000000000000000000"
_MESSAGE = b"SuperVM accept set"

ACCEPT_SET: Final[tuple[tuple[str, str, bytes, str, str, bool], ...]] = (
    ("an honest signature", _A, _MESSAGE, _R, "098185d84c2c26dd2d415ae37807f796270bfa82f89efffbdb9c15867c5f3706", True),
    (
        "a signature whose S has the group order added",
        _A,
        _MESSAGE,
        _R,
        "f6547b35678f383504de51865701d6ab270bfa82f89efffbdb9c15867c5f3716",
        False,
    ),
    (
        "a signature whose R has an order-8 component",
        _A,
        _MESSAGE,
        _R_PLUS_T8,
        "df7293d1f3cde9a3fc41934e9bfa71e4b040fe837acb5c6f4b0acd8c44fbcf03",
        False,
    ),
    (
        "a key with an order-8 component that stays in the equation",
        _A_PLUS_T8,
        _MESSAGE + b" 0",
        _R,
        "a2a60ed8269b19cd520aac769e334288782ccdc1e646b4b59e0b91b447bc5c00",
        False,
    ),
    (
        "a key with an order-8 component that cancels",
        _A_PLUS_T8,
        _MESSAGE + b" 13",
        _R,
        "222fae29e95c76e1aae5685573f3a673fe4c4f9b8a0cc81d5c34d2ab4bfcf403",
        True,
    ),
    (
        "a signature whose R is the identity",
        _A,
        _MESSAGE,
        _IDENTITY,
        "86db7143d4bbad80ca22abadd232d9826cb96f4ac592e847d0150dbe1e932702",
        False,
    ),
    (
        "a signature whose R is the identity, not canonical",
        _A,
        _MESSAGE,
        _IDENTITY_OVER_P,
        "1dde93a15e99b0677ff2425d3b6b7b49daac99a6eee0bd2803f7d7b7bab6c303",
        False,
    ),
    ("the identity as key", _IDENTITY, _MESSAGE, _R, _S_OF_R, False),
    ("the identity as key, not canonical", _IDENTITY_OVER_P, _MESSAGE, _R, _S_OF_R, False),
    ("a key of order 8", _T8, _MESSAGE + b" 14", _R, _S_OF_R, False),
    ("the identity as key and as R, with S zero", _IDENTITY, _MESSAGE, _IDENTITY, "00" * 32, False),
)
"""Frozen crafted signatures: name, key (hex), message, R (hex), S (hex), whether the network accepts it."""


def check_accept_set() -> None:
    """Try the loaded libsodium on `ACCEPT_SET` (limits.md 1.3); about half a millisecond.

    Raises:
        LocalProtocolError: it answers one of them differently from the rest of the network, so this node must
            not vote: it would accept, or refuse, what the others do not.
    """
    for name, public, message, r, s, wanted in ACCEPT_SET:
        if verify(bytes.fromhex(public), message, bytes.fromhex(r + s)) is not wanted:
            raise LocalProtocolError(
                f"the loaded libsodium {'refuses' if wanted else 'accepts'} {name}, the network "
                f"{'accepts' if wanted else 'refuses'} it: install PyNaCl from its own wheel, "
                "not built against another libsodium"
            )
