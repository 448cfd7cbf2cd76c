"""What a phone checks of a container before it keeps anything of it: signatures, network, bounds, order, cover.

Nothing here changes anything, so a container that is refused has left no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.votes import Verify
from supervm.protocol.money.transaction import Debits, SignedTransaction, parse_transaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import POOL_ACCOUNTS

from ..errors import HandoverError
from .container import Container
from .kept import KeptProof, KeptProofs

CLOCKS_MS: Final = 600_000
"""How far the clocks of payer, chain and this phone may be apart before a validity is called too long here."""


def read_transactions(
    container: Container, chain_id: bytes, verify: Verify, *, valid_until_ms_max: int
) -> list[SignedTransaction]:
    """Return the transactions of a container, each properly signed, those of a sender one behind the other.

    Args:
        container: which was read.
        chain_id: the network.
        verify: signature verification.
        valid_until_ms_max: no validity ends later.

    Raises:
        HandoverError: one of them is nothing that a wallet makes; its place is named, counting from 1.
    """
    found: list[SignedTransaction] = []
    for place, raw in enumerate(container.transactions, 1):
        try:
            transaction = parse_transaction(raw, chain_id)
        except RemoteProtocolError as error:
            raise HandoverError(f"payment {place} of the hand-over cannot be read: {error.reason}") from None
        problem = _flaw(transaction, found[-1] if found else None, valid_until_ms_max)
        body = transaction.body
        if not problem and not verify(body.sender, transaction.id, body.signature):
            problem = "its signature is not its sender's"
        if problem:
            raise HandoverError(f"payment {place} of the hand-over, {transaction.id.hex()}, is refused: {problem}")
        found.append(transaction)
    return found


def _flaw(transaction: SignedTransaction, before: SignedTransaction | None, valid_until_ms_max: int) -> str:
    body = transaction.body
    if body.sender in POOL_ACCOUNTS or (isinstance(body, Transfer) and body.to in POOL_ACCOUNTS):
        return "a pool of the protocol neither pays nor is paid"
    if any(debit > INT_MAX for _, debit in transaction.debits):
        return f"amount and fee are more than {INT_MAX} together"
    if body.valid_until_ms > valid_until_ms_max:
        return f"its validity ends at {body.valid_until_ms} ms; until {valid_until_ms_max} is allowed on this network"
    is_next = before is not None and before.body.sender == body.sender
    if before is not None and is_next and (body.seq, body.prev) != (before.body.seq + 1, before.id):
        return "it does not follow the one before it; payments of one sender are handed over in their order"
    return ""


def check_senders(transactions: Iterable[SignedTransaction]) -> None:
    """Check that all payments of one sender stand together.

    Raises:
        HandoverError: they do not.
    """
    ended: dict[bytes, None] = {}
    last = b""
    for transaction in transactions:
        sender = transaction.body.sender
        if sender != last:
            if sender in ended:
                raise HandoverError("payments of one sender stand apart in the hand-over; they must stand together")
            ended[sender], last = None, sender


def cover(kept: KeptProofs, chain: Sequence[SignedTransaction]) -> bool | None:
    """Return whether what is proved of a sender covers a chain of its payments; None if too little is proved.

    A proof of a holding that is older than that of the account does not count: what the account has sent between the
    two is missing from it, and a payer may choose which proofs to show.

    Args:
        kept: the proofs.
        chain: payments of one sender in slot order, each the next one's predecessor.
    """
    if not chain:
        return None
    account = kept.get(chain[0].body.sender, b"")
    if account is None:
        return None
    ahead = [transaction for transaction in chain if transaction.body.seq >= account.next_seq]
    if not ahead or (ahead[0].body.seq, ahead[0].body.prev) != (account.next_seq, account.head):
        return None if not ahead else False
    return _is_covered(kept, [transaction.debits for transaction in ahead], account)


def _is_covered(kept: KeptProofs, debits: Iterable[Debits], account: KeptProof) -> bool | None:
    total: dict[bytes, int] = {}
    for each in debits:
        for asset, debit in each:
            total[asset] = total.get(asset, 0) + debit
    for asset, debit in total.items():
        proof = kept.get(account.account, asset)
        if proof is None or proof.height < account.height:
            return None
        if debit > proof.amount:
            return False
    return True
