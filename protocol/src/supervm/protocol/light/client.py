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
from ..base.errors import RemoteProtocolError
from ..chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from ..chain.genesis import TRUSTING_PERIOD_MS
from ..chain.votes import Verify
from ..money.execution import RECEIPTS_MAX, Receipt
from ..state.account import EMPTY_ACCOUNT, Account, decode_account
from ..state.mmr import MMRProof, verify_mmr
from ..state.receipts import RECEIPTS, path_sides, sided_root
from ..state.trie_proof import TrieProof, decode_trie_proof, verify
from .trust import CLOCK_DRIFT_MS_MAX, Anchor, Trust, ValidatorChange, anchor_of

MAX_AGE_MS = 30_000
"""Default age up to which a header's balance is called current."""
ANSWER_BYTES_MAX = 64 << 20
"""Longest self-contained answer: a change of 64 validators takes about 12 kB."""
RECEIPT_PATH_MAX = (RECEIPTS_MAX - 1).bit_length()
"""Longest path to a receipts root: a block has at most `RECEIPTS_MAX` receipts."""
ANSWER_CHANGES_MAX = 1 << 17
"""More changes of validators than `ANSWER_BYTES_MAX` holds of the shortest ones."""


class AccountAnswer(Agreed, tag="answer", frozen=True):
    """A self-contained answer about one account, as `supervm balance --answer` writes and `supervm verify` reads.

    Attributes:
        version: layout, 1.
        checkpoint: under whose state root the account is proved.
        account: the account's id.
        proof: of its leaf, or that there is none.
        changes: the changes of validators from the prover's anchor on, oldest first.
    """

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    account: Key
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
            self.follow(change, now_ms)
        header = self.accept_checkpoint(encode(answer.checkpoint), now_ms)
        self.check_fresh(header, now_ms)
        return self._prove(header, answer.account, answer.proof)

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


def account_answer(checkpoint: bytes, account: bytes, proof: bytes, changes: Sequence[ValidatorChange] = ()) -> bytes:
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
    "ReceiptProof",
    "ValidatorChange",
    "account_answer",
    "anchor_of",
    "receipt_proof",
]
