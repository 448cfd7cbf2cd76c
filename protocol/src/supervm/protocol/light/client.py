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

from ..base.codec import Agreed, Hash, Key, Uint, decode, encode
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import HASH_BYTES
from ..chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from ..chain.genesis import TRUSTING_PERIOD_MS
from ..chain.votes import Verify
from ..money.execution import RECEIPTS_MAX, Receipt
from ..state.account import EMPTY_ACCOUNT, Account, decode_account
from ..state.leaves import (
    Asset,
    AssetId,
    account_leaf_id,
    asset_leaf_id,
    balance_leaf_id,
    check_asset,
    decode_asset,
    decode_holding,
    holding_leaf_id,
)
from ..state.mmr import MMRProof, verify_mmr
from ..state.receipts import RECEIPTS, path_sides, sided_root
from ..state.trie_proof import TrieProof, decode_trie_proof, verify
from .trust import CLOCK_DRIFT_MS_MAX, Anchor, Trust, ValidatorChange, anchor_of

MAX_AGE_MS = 30_000
"""Default age up to which a header's balance is called current."""
ANSWER_BYTES_MAX = 64 << 20
"""Longest self-contained answer: a change of 64 validators takes 13 kB, one of 255 at most 49 kB."""
RECEIPT_PATH_MAX = (RECEIPTS_MAX - 1).bit_length()
"""Longest path to a receipts root: a block has at most `RECEIPTS_MAX` receipts."""
ANSWER_CHANGES_MAX = 1 << 17
"""More changes of validators than `ANSWER_BYTES_MAX` holds of the shortest ones."""


def max_age_ms_of(idle_interval_ms: int) -> int:
    """Return the age up to which a balance is called current: the default, or three beats if those are slower."""
    return max(MAX_AGE_MS, 3 * idle_interval_ms)


class AccountAnswer(Agreed, tag="answer", frozen=True):
    """A self-contained answer about one balance, as `supervm balance --answer` writes and `supervm verify` reads.

    Attributes:
        version: layout, 2.
        checkpoint: under whose state root the balance is proved.
        account: whose it is.
        asset: of which asset; the native one is in the account's own leaf.
        proof: of that leaf, or that there is none.
        changes: changes of validators that lead from the prover's anchor to the set of the checkpoint, oldest first;
            the fewest that do (`fewest_changes`).
    """

    version: Literal[2]
    checkpoint: CertifiedCheckpoint
    account: Key
    asset: AssetId
    proof: TrieProof
    changes: Annotated[tuple[ValidatorChange, ...], msgspec.Meta(max_length=ANSWER_CHANGES_MAX)] = ()


class ReceiptProof(Agreed, tag="receiptproof", frozen=True):
    """A receipt with its path to a block's receipts root, that block's header, and its place in history.

    The receipt itself says its position in the block; how many the block has is not told, since nothing signed does.

    Attributes:
        version: layout, 1.
        receipt: what is proved.
        sides: bit k says whether the k-th hash of `path` stands on the left.
        path: hashes beside the way from the receipt up to the root, from the leaf up.
        header: checkpoint header of the block that executed the transaction.
        history: proves `header` under the `history_root` of `checkpoint`; empty when `header` is `checkpoint`'s own.
        checkpoint: certified, of that block or of a later one.
    """

    version: Literal[1]
    receipt: Receipt
    sides: Uint
    path: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=RECEIPT_PATH_MAX)]
    header: CheckpointHeader
    history: Annotated[tuple[MMRProof, ...], msgspec.Meta(max_length=1)]
    checkpoint: CertifiedCheckpoint


@dataclass(frozen=True, slots=True)
class ProvedAccount:
    """An account's state, proved: the account itself, whether it exists, and under which header."""

    account: Account
    exists: bool
    header: CheckpointHeader


@dataclass(frozen=True, slots=True)
class ProvedBalance:
    """What an account has of one asset, proved, and under which header.

    Attributes:
        account: whose it is.
        asset: its id.
        amount: of the asset's smallest unit; 0 if there is no such leaf.
        exists: whether there is a leaf that says it.
        state: the account itself for the native asset, else None.
        header: under which it is proved.
    """

    account: bytes
    asset: bytes
    amount: int
    exists: bool
    state: Account | None
    header: CheckpointHeader


class LightClient(Trust):
    """Verifies checkpoints, accounts and receipts from an anchor on; holds the newest header it has accepted.

    Args:
        anchor: trusted start.
        verify: signature verification.
        max_age_ms: how old a header may be to be called current.
        trusting_period_ms: as `Trust` takes it.
    """

    def __init__(
        self,
        anchor: Anchor,
        verify: Verify,
        *,
        max_age_ms: int = MAX_AGE_MS,
        trusting_period_ms: int | None = TRUSTING_PERIOD_MS,
    ) -> None:
        super().__init__(anchor, verify, trusting_period_ms=trusting_period_ms)
        self.max_age_ms = max_age_ms

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
        value = verify(header.state_root, account_leaf_id(account), decode_trie_proof(proof))
        if value is None:
            return ProvedAccount(EMPTY_ACCOUNT, False, header)
        return ProvedAccount(decode_account(value), True, header)

    def prove_holding(self, header: CheckpointHeader, account: bytes, asset: bytes, proof: bytes) -> int:
        """Check a `TrieProof` of what an account holds of an asset that is not the native one; return the amount.

        Raises:
            LocalProtocolError: the id is not one of 32 bytes; a proof of absence for it would say nothing.
            RemoteProtocolError: the proof is malformed or proves something else.
        """
        _check_issued(asset)
        value = verify(header.state_root, holding_leaf_id(account, asset), decode_trie_proof(proof))
        return 0 if value is None else decode_holding(value)

    def prove_asset(self, header: CheckpointHeader, asset: bytes, proof: bytes) -> Asset | None:
        """Check a `TrieProof` of an asset's own leaf; return None where it proves that there is no such asset.

        Raises:
            LocalProtocolError: the id is not one of 32 bytes; a proof of absence for it would say nothing.
            RemoteProtocolError: the proof is malformed or proves something else.
        """
        _check_issued(asset)
        value = verify(header.state_root, asset_leaf_id(asset), decode_trie_proof(proof))
        return None if value is None else decode_asset(value)

    def _prove_balance(self, header: CheckpointHeader, account: bytes, asset: bytes, proof: TrieProof) -> ProvedBalance:
        check_asset(asset)
        value = verify(header.state_root, balance_leaf_id(account, asset), proof)
        if asset:
            amount = 0 if value is None else decode_holding(value)
            return ProvedBalance(account, asset, amount, value is not None, None, header)
        state = EMPTY_ACCOUNT if value is None else decode_account(value)
        return ProvedBalance(account, asset, state.balance, value is not None, state, header)

    def check_answer(self, data: bytes, now_ms: int) -> ProvedBalance:
        """Check a self-contained `AccountAnswer`, its freshness included.

        Raises:
            RemoteProtocolError: anything in it is wrong, stale or too old.
        """
        answer = decode(AccountAnswer, data, bytes_max=ANSWER_BYTES_MAX)
        for change in answer.changes:
            self.follow(change, now_ms)
        header = self.accept_checkpoint(encode(answer.checkpoint), now_ms)
        self.check_fresh(header, now_ms)
        return self._prove_balance(header, answer.account, answer.asset, answer.proof)

    def check_receipt(self, data: bytes, transaction_id: bytes, now_ms: int) -> Receipt:
        """Check a `ReceiptProof` for the transaction and return its receipt.

        Raises:
            RemoteProtocolError: anything in it is wrong, or it is another transaction's (code ``bad-receipt``).
        """
        try:
            answer = decode(ReceiptProof, data)
        except RemoteProtocolError as error:
            error.code = "bad-receipt"
            raise
        if answer.receipt.transaction_id != transaction_id:
            raise RemoteProtocolError("the receipt is another transaction's", code="bad-receipt")
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
        if self.remembered.rival(answer.header) is not None:
            raise RemoteProtocolError("the receipt's header contradicts one that was certified", code="bad-receipt")
        leaf = RECEIPTS.leaf_hash(encode(answer.receipt))
        if sided_root(leaf, answer.sides, answer.path, RECEIPTS) != answer.header.receipts_root:
            raise RemoteProtocolError("the receipt does not hash to its block's receipts root", code="bad-receipt")
        return answer.receipt


def _check_issued(asset: bytes) -> None:
    if len(asset) != HASH_BYTES:
        raise LocalProtocolError(f"an asset with leaves of its own has an id of {HASH_BYTES} bytes, not {len(asset)}")


def account_answer(
    checkpoint: bytes, account: bytes, asset: bytes, proof: bytes, changes: Sequence[ValidatorChange] = ()
) -> bytes:
    """Put a checkpoint and a proof, both as bytes, into the bytes of an `AccountAnswer`.

    Args:
        checkpoint: a `CertifiedCheckpoint`.
        account: whose balance is answered.
        asset: of which asset.
        proof: a `TrieProof` of the leaf that says it.
        changes: all changes of validators from the anchor on, oldest first.

    Raises:
        LocalProtocolError: so many sets have validated since the anchor that nobody would read the answer.
    """
    known = decode(CertifiedCheckpoint, checkpoint)
    steps = fewest_changes(changes)
    data = encode(AccountAnswer(2, known, account, asset, decode(TrieProof, proof), steps))
    if len(data) > ANSWER_BYTES_MAX:
        raise LocalProtocolError(
            f"the answer would have {len(data)} bytes for {len(steps)} changes of validators; at most "
            f"{ANSWER_BYTES_MAX} are allowed - begin at a newer anchor"
        )
    return data


def fewest_changes(changes: Sequence[ValidatorChange]) -> tuple[ValidatorChange, ...]:
    """Return the changes that lead from the first set to the last one past every set once at most.

    A set that validates, hands over and comes back has signed several hand-overs. Whoever trusts it may follow the
    last of them, so of the history A, B, A, C the step from A to C is enough: what an answer takes grows with the
    number of sets that there have been, not with the number of epochs.

    Args:
        changes: each of the set that the one before hands over to, oldest first.
    """
    last_by = {change.checkpoint.header.validators_hash: change for change in changes}
    steps: list[ValidatorChange] = []
    trusted = changes[0].checkpoint.header.validators_hash if changes else b""
    while changes and trusted != changes[-1].checkpoint.header.next_validators_hash:
        steps.append(last_by[trusted])
        trusted = steps[-1].checkpoint.header.next_validators_hash
    return tuple(steps)


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
            1,
            receipts[position],
            path_sides(position, len(receipts)),
            tuple(path),
            header,
            () if history is None else (history,),
            checkpoint,
        )
    )


__all__ = [
    "ANSWER_BYTES_MAX",
    "CLOCK_DRIFT_MS_MAX",
    "MAX_AGE_MS",
    "RECEIPT_PATH_MAX",
    "AccountAnswer",
    "Anchor",
    "LightClient",
    "ProvedAccount",
    "ProvedBalance",
    "ReceiptProof",
    "ValidatorChange",
    "account_answer",
    "anchor_of",
    "fewest_changes",
    "max_age_ms_of",
    "receipt_proof",
]
