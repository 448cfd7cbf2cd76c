"""The light client: what a phone checks before it believes anything (consensus.md 5).

It trusts an anchor - the genesis header with its validator set - and after that only headers that a quorum of the
trusted set signed, and only leaves that hash up to such a header. It never goes below the highest height it has seen
and calls a balance current only while the header is young enough.

When the validators change, it follows step by step: a `ValidatorChange` is the sealing checkpoint of an epoch, signed
by a quorum of the set it trusts, with the list that this checkpoint names as the next. Epochs that end without a change
need no step, since the same set goes on signing. A set that has handed over is believed for its own past only: nothing
above the height of its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from .account import EMPTY_ACCOUNT, Account, decode_account
from .checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from .codec import Agreed, Hash, Key, Uint, decode, encode
from .errors import RemoteProtocolError
from .execution import RECEIPTS_MAX, Receipt
from .genesis import Chain
from .hashing import ZERO_HASH
from .mmr import MMRProof, verify_mmr
from .receipts import RECEIPTS, verify_merkle_path
from .transition import proposed_set
from .trie_proof import TrieProof, decode_trie_proof, verify
from .validators import ValidatorList, ValidatorSet
from .votes import Verify

MAX_AGE_MS = 30_000
"""Default age up to which a header's balance is called current."""
ANSWER_BYTES_MAX = 64 << 20
"""Longest self-contained answer: a change of 64 validators takes about 12 kB."""
ANSWER_CHANGES_MAX = 1 << 17
"""More changes of validators than `ANSWER_BYTES_MAX` holds of the shortest ones."""
CLOCK_DRIFT_MS_MAX = 2_000
"""How far ahead of our clock a header's time may be."""


class Anchor(Agreed, tag="anchor", frozen=True):
    """What a light client starts from: a trusted header and the validators in force after it."""

    version: Literal[1]
    header: CheckpointHeader
    validators: ValidatorList


class ValidatorChange(Agreed, tag="valchange", frozen=True):
    """One step of the ratchet: a certified sealing checkpoint and the validators that it hands over to."""

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    validators: ValidatorList


class AccountAnswer(Agreed, tag="answer", frozen=True):
    """A self-contained answer about one account, as `supervm balance --answer` writes and `supervm verify` reads.

    `changes` are the changes of validators from genesis on, oldest first.
    """

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    account: Key
    proof: TrieProof
    changes: Annotated[tuple[ValidatorChange, ...], msgspec.Meta(max_length=ANSWER_CHANGES_MAX)] = ()


class ReceiptProof(Agreed, tag="receiptproof", frozen=True):
    """A receipt with its path to a block's receipts root, that block's header, and its place in history.

    `header` is the checkpoint header of the block that executed the transfer; `history` proves it under the
    `history_root` of `checkpoint`, or is empty when `header` is `checkpoint`'s own.
    """

    version: Literal[1]
    receipt: Receipt
    count: Uint
    path: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=(RECEIPTS_MAX - 1).bit_length())]
    header: CheckpointHeader
    history: Annotated[tuple[MMRProof, ...], msgspec.Meta(max_length=1)]
    checkpoint: CertifiedCheckpoint


@dataclass(frozen=True, slots=True)
class ProvedAccount:
    """An account's state, proved: the account itself, whether it exists, and under which header."""

    account: Account
    exists: bool
    header: CheckpointHeader


def anchor_of(chain: Chain) -> Anchor:
    """Return the anchor that a genesis file is."""
    return Anchor(1, chain.anchor, ValidatorList(1, chain.genesis.validators))


class LightClient:
    """Verifies checkpoints, accounts and receipts from an anchor on; holds the newest header it has accepted.

    Args:
        anchor: trusted start.
        verify: signature verification.
        max_age_ms: how old a header may be to be called current.
    """

    def __init__(self, anchor: Anchor, verify: Verify, *, max_age_ms: int = MAX_AGE_MS) -> None:
        self.validators = ValidatorSet(anchor.validators.members)
        """The newest set that is trusted."""
        self.changes: list[ValidatorChange] = []
        """The changes followed since the anchor, oldest first."""
        if self.validators.hash != anchor.header.validators_hash:
            raise RemoteProtocolError("the anchor's validators are not the ones its header names", code="bad-anchor")
        self.chain_id: bytes = anchor.header.chain_id
        self.header = anchor.header
        self._anchor_height = anchor.header.height
        self.max_age_ms = max_age_ms
        self._verify = verify
        self._accepted: bytes | None = None  # the newest checkpoint's bytes: a repeated one costs no signature checks
        self._former: list[tuple[ValidatorSet, int]] = []  # sets that have handed over, and the height of that

    def accept_checkpoint(self, data: bytes, now_ms: int) -> CheckpointHeader:
        """Check a `CertifiedCheckpoint` and make it the newest if it is; return its header.

        Raises:
            RemoteProtocolError: malformed, not signed by a quorum of the trusted set, from the future, below the
                highest height seen (code ``stale``), or of validators that `follow` must bring first (code
                ``unknown-set``).
        """
        if data == self._accepted:
            return self.header
        checkpoint = decode(CertifiedCheckpoint, data)
        header = checkpoint.header
        if header.height < self.header.height:
            raise RemoteProtocolError(
                f"checkpoint {header.height} is below {self.header.height}, the highest seen", penalty=0, code="stale"
            )
        self.check_checkpoint(checkpoint, now_ms)
        if header.height == self.header.height and header != self.header:
            raise RemoteProtocolError(
                f"two certified checkpoints exist at height {header.height}", penalty=100, code="fork"
            )
        self.header = header
        self._accepted = data
        return header

    def check_checkpoint(self, checkpoint: CertifiedCheckpoint, now_ms: int) -> None:
        """Check a checkpoint of any height that a trusted set may speak for; nothing is remembered of it.

        Raises:
            RemoteProtocolError: as `accept_checkpoint`, but never ``stale``.
        """
        header = checkpoint.header
        if header.ts_ms > now_ms + CLOCK_DRIFT_MS_MAX:
            raise RemoteProtocolError(
                f"the checkpoint's time is {header.ts_ms - now_ms} ms ahead; at most "
                f"{CLOCK_DRIFT_MS_MAX} ms are allowed",
                code="future",
            )
        check_certified_checkpoint(checkpoint, self.chain_id, self._set_for(header), self._verify)

    def _set_for(self, header: CheckpointHeader) -> ValidatorSet:
        """Return the trusted set that speaks at this height."""
        for validators, height in self._former:
            if header.height <= height:
                return validators
        if header.chain_id == self.chain_id and header.validators_hash != self.validators.hash:
            raise RemoteProtocolError(
                f"checkpoint {header.height} is signed by validators that this client does not know yet; ask for the "
                f"changes since height {self.changed_height}",
                penalty=0,
                code="unknown-set",
            )
        return self.validators

    @property
    def changed_height(self) -> int:
        """Height of the newest change of validators that was followed; 0 before the first."""
        return self._former[-1][1] if self._former else 0

    def follow(self, change: ValidatorChange) -> bool:
        """Take the next change of validators; return False if it is one that was followed already.

        Raises:
            RemoteProtocolError: the trusted set has not signed it, it hands over to other validators than those listed,
                or it is no sealing checkpoint (code ``bad-change``).
        """
        header = change.checkpoint.header
        if header.height < self._anchor_height or header.height <= self.changed_height:
            return False
        if header.next_validators_hash in (ZERO_HASH, header.validators_hash):
            raise RemoteProtocolError(f"checkpoint {header.height} does not hand over to others", code="bad-change")
        check_certified_checkpoint(change.checkpoint, self.chain_id, self.validators, self._verify)
        following = proposed_set(change.validators)
        if following.hash != header.next_validators_hash:
            raise RemoteProtocolError(
                f"checkpoint {header.height} does not hand over to these validators", penalty=100, code="bad-change"
            )
        self._former.append((self.validators, header.height))
        self.validators = following
        self.changes.append(change)
        if header.height > self.header.height:
            self.header = header
            self._accepted = None
        return True

    def age_ms(self, now_ms: int) -> int:
        """Return how old the newest header is, at least 0."""
        return max(0, now_ms - self.header.ts_ms)

    def check_fresh(self, header: CheckpointHeader, now_ms: int) -> None:
        """Raise `RemoteProtocolError` (code ``too-old``) if `header` is older than `max_age_ms`."""
        age_ms = now_ms - header.ts_ms
        if age_ms > self.max_age_ms:
            raise RemoteProtocolError(
                f"the header is {age_ms} ms old; a current balance needs at most {self.max_age_ms} ms",
                penalty=0,
                code="too-old",
            )

    def prove_account(self, header: CheckpointHeader, account: bytes, proof: bytes) -> ProvedAccount:
        """Check a `TrieProof` of `account`, present or absent, under an accepted header.

        Raises:
            RemoteProtocolError: the proof is malformed or proves something else.
        """
        return self._prove(header, account, decode_trie_proof(proof))

    def _prove(self, header: CheckpointHeader, account: bytes, proof: TrieProof) -> ProvedAccount:
        value = verify(header.state_root, account, proof)
        if value is None:
            return ProvedAccount(EMPTY_ACCOUNT, False, header)
        return ProvedAccount(decode_account(value), True, header)

    def check_answer(self, data: bytes, now_ms: int) -> ProvedAccount:
        """Check a self-contained `AccountAnswer`, its freshness included.

        Raises:
            RemoteProtocolError: anything in it is wrong, stale or too old.
        """
        answer = decode(AccountAnswer, data, bytes_max=ANSWER_BYTES_MAX)
        for change in answer.changes:
            self.follow(change)
        header = self.accept_checkpoint(encode(answer.checkpoint), now_ms)
        self.check_fresh(header, now_ms)
        return self._prove(header, answer.account, answer.proof)

    def check_receipt(self, data: bytes, transfer_id: bytes, now_ms: int) -> Receipt:
        """Check a `ReceiptProof` for the transfer and return its receipt.

        Raises:
            RemoteProtocolError: anything in it is wrong, or it is another transfer's (code ``bad-receipt``).
        """
        try:
            answer = decode(ReceiptProof, data)
        except RemoteProtocolError as error:
            error.code = "bad-receipt"
            raise
        if answer.receipt.transfer_id != transfer_id:
            raise RemoteProtocolError("the receipt is another transfer's", code="bad-receipt")
        newest = answer.checkpoint.header
        self.check_checkpoint(answer.checkpoint, now_ms)
        if answer.history:
            if len(answer.history) != 1 or answer.header.height >= newest.height:
                raise RemoteProtocolError("the receipt's header is not before its checkpoint", code="bad-receipt")
            # leaf number h of the history is the header of height h: genesis is leaf 0
            verify_mmr(
                newest.history_root,
                answer.header.hash,
                answer.history[0],
                index=answer.header.height,
                size=newest.height,
            )
        elif answer.header != newest:
            raise RemoteProtocolError("the receipt's header is not proved", code="bad-receipt")
        if not verify_merkle_path(
            encode(answer.receipt),
            answer.receipt.position,
            answer.count,
            list(answer.path),
            answer.header.receipts_root,
            RECEIPTS,
        ):
            raise RemoteProtocolError("the receipt does not hash to its block's receipts root", code="bad-receipt")
        return answer.receipt


def account_answer(
    checkpoint: bytes, account: bytes, proof: bytes, changes: Sequence[ValidatorChange] = ()
) -> bytes:
    """Put a checkpoint and a proof, both as bytes, into the bytes of an `AccountAnswer`."""
    return encode(
        AccountAnswer(1, decode(CertifiedCheckpoint, checkpoint), account, decode(TrieProof, proof), tuple(changes))
    )


def receipt_proof(
    *,
    receipts: Sequence[Receipt],
    position: int,
    path: Sequence[bytes],
    header: CheckpointHeader,
    history: MMRProof | None,
    checkpoint: CertifiedCheckpoint,
) -> bytes:
    """Build the bytes of a `ReceiptProof`."""
    return encode(
        ReceiptProof(
            1, receipts[position], len(receipts), tuple(path), header, () if history is None else (history,), checkpoint
        )
    )
