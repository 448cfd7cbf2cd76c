"""Proofs that are kept as bytes, so that this phone can show another one what it has checked.

A container carries the newest proof of each account that its payments spend of. The wallet itself remembers only what a
proof said; here are the bytes. They change with each block that touches an account, so a row is written when a proof
says something else than the one on disk, or is `SAVE_MS` newer: what a crash loses is youth, never truth. Kept are
proofs of at most `OWN_MAX` own balances, those of accounts with open payments first, and of the payers of what others
handed over, as long as that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from supervm.common.contract.records import Reader, Record
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.light.client import ProvedBalance
from supervm.protocol.state.trie_proof import decode_trie_proof

from ..errors import HandoverError
from ..tables import LEAF_PROOFS, LeafProofRow

if TYPE_CHECKING:
    from .container import ProvedLeaf
OWN_MAX: Final = 64
"""Own balances whose proofs are kept."""
SAVE_MS: Final = 600_000
"""A proof that only confirms what is on disk is written when it is so much newer."""
CHECKPOINT_BYTES_MAX: Final = 1 << 20

Key = tuple[bytes, bytes]
"""An account and an asset."""


@dataclass(frozen=True, slots=True)
class KeptProof:
    """What an account has of an asset, with the bytes that prove it.

    Attributes:
        account: whose it is.
        asset: of which asset.
        checkpoint: a `CertifiedCheckpoint`.
        proof: a `TrieProof` under its state root.
        amount: what it says.
        next_seq, head: of the account, for the native asset; else 0 and zeros.
        height, ts_ms: of the checkpoint.
    """

    account: bytes
    asset: bytes
    checkpoint: bytes
    proof: bytes
    amount: int
    next_seq: int
    head: bytes
    height: int
    ts_ms: int

    @classmethod
    def of(cls, proved: ProvedBalance, checkpoint: bytes, proof: bytes) -> KeptProof:
        """Return what was checked, with its bytes."""
        state, header = proved.state, proved.header
        next_seq, head = (0, ZERO_HASH) if state is None else (state.next_seq, state.head)
        return cls(
            proved.account, proved.asset, checkpoint, proof, proved.amount, next_seq, head, header.height, header.ts_ms
        )

    def says(self, other: KeptProof) -> bool:
        """Return whether both say the same of the account."""
        return (self.amount, self.next_seq, self.head) == (other.amount, other.next_seq, other.head)

    def leaf(self) -> ProvedLeaf:
        """Return it as a container carries it.

        Raises:
            HandoverError: what was kept on the disk cannot be read back.
        """
        from .container import ProvedLeaf  # here: few phones ever hand anything over

        try:
            checkpoint = decode(CertifiedCheckpoint, self.checkpoint, bytes_max=CHECKPOINT_BYTES_MAX)
            return ProvedLeaf(1, checkpoint, self.account, self.asset, decode_trie_proof(self.proof))
        except RemoteProtocolError as error:
            raise HandoverError(
                f"the proof of a balance that was kept on this device's disk is damaged ({error.reason}): nothing can "
                "be handed over of it until an edge has proved it anew"
            ) from None


class KeptProofs:
    """The proofs.

    Args:
        reader: what is durable.
        is_own: whether an account is of this wallet.
        is_open: whether an own account has open payments.
    """

    def __init__(self, reader: Reader, is_own: Callable[[bytes], bool], is_open: Callable[[bytes], bool]) -> None:
        self._is_own = is_own
        self._is_open = is_open
        self._proofs: dict[Key, KeptProof] = {}
        self._written: dict[Key, KeptProof] = {}
        self._dirty: dict[Key, None] = {}
        self._own = 0
        for row in LEAF_PROOFS.rows(reader):
            kept = KeptProof(
                row.account,
                row.asset,
                row.checkpoint,
                row.proof,
                row.amount,
                row.next_seq,
                row.head,
                row.height,
                row.ts_ms,
            )
            self._proofs[kept.account, kept.asset] = self._written[kept.account, kept.asset] = kept
            self._own += is_own(kept.account)

    def get(self, account: bytes, asset: bytes) -> KeptProof | None:
        """Return the newest proof of a balance, or None."""
        return self._proofs.get((account, asset))

    def of_account(self, account: bytes) -> Iterator[KeptProof]:
        """Yield the proofs of an account."""
        yield from (kept for key, kept in self._proofs.items() if key[0] == account)

    def put(self, kept: KeptProof) -> bool:
        """Take a proof; return whether it is kept: it is newer, and one of an own account finds room."""
        key = kept.account, kept.asset
        known = self._proofs.get(key)
        if known is not None and known.height >= kept.height:
            return False
        if known is None and self._is_own(kept.account):
            if not self._make_room(kept.account):
                return False
            self._own += 1
        self._proofs[key] = kept
        before = self._written.get(key)
        if before is None or not before.says(kept) or before.ts_ms + SAVE_MS <= kept.ts_ms:
            self._dirty[key] = None
        return True

    def _make_room(self, account: bytes) -> bool:
        if self._own < OWN_MAX:
            return True
        if not self._is_open(account):
            return False
        for key in self._proofs:
            if self._is_own(key[0]) and not self._is_open(key[0]):
                self._drop(key)
                return True
        return False

    def forget(self, account: bytes) -> None:
        """Forget the proofs of an account of others."""
        if not self._is_own(account):
            for key in [key for key in self._proofs if key[0] == account]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        del self._proofs[key]
        self._own -= self._is_own(key[0])
        self._dirty[key] = None

    def take_records(self) -> list[Record]:
        """Return what must be written, and start anew."""
        records: list[Record] = []
        for key in self._dirty:
            kept = self._proofs.get(key)
            if kept is not None:
                self._written[key] = kept
                records.append(
                    LEAF_PROOFS.put(
                        LeafProofRow(
                            kept.account,
                            kept.asset,
                            kept.checkpoint,
                            kept.proof,
                            kept.amount,
                            kept.next_seq,
                            kept.head,
                            kept.height,
                            kept.ts_ms,
                        )
                    )
                )
            elif self._written.pop(key, None) is not None:
                records.append(LEAF_PROOFS.delete(*key))
        self._dirty = {}
        return records
