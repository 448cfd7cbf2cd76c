"""Batch bodies that the replica needs: this miner's own, those fetched from validators, and those executed lately.

A body is asked for by digest, and the digest is what proves it. Each digest goes to one validator at a time; when it
has not come within half a second, to the next one. Bodies that were used are kept for some blocks within a bound,
because a later block may reference the same batch: what its validators certified meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from supervm.common.parts.asking import Asking, next_of
from supervm.protocol.base.codec import decode
from supervm.protocol.chain.batch import Batch, check_batch
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.money.transaction import parse_transaction

FETCH_RETRY_US = 500_000
"""A body that has not come by then is asked for elsewhere."""
FETCH_DIGESTS_MAX = 64
"""Bodies under way at once; also what fits into one `GetBatches`."""
BODIES_BYTES_MAX = 32 << 20
"""Bytes of transactions that are kept; in memory they take three to five times as many."""
USED_HEIGHTS = 32
"""Blocks for which a body stays that was used: a batch whose validators disagreed comes again within a few."""


class Bodies:
    """Bodies of one replica.

    Args:
        chain: the network.
        own: returns a batch of this miner by digest, or None.
    """

    def __init__(self, chain: Chain, own: Callable[[bytes], CertifiedBatch | None]) -> None:
        self._chain = chain
        self._own = own
        self._bodies: OrderedDict[bytes, CertifiedBatch] = OrderedDict()
        self._bytes = 0
        self._used: OrderedDict[bytes, int] = OrderedDict()  # digest -> height of the newest block that used it
        self._wanted: dict[bytes, None] = {}  # most urgent first
        self._asking: Asking[bytes] = Asking(FETCH_RETRY_US)  # those of them that somebody was asked for

    @property
    def deadline_us(self) -> int | None:
        """When a missing body is to be asked for, if any is missing."""
        return self._asking.deadline_us if len(self._asking) == len(self._wanted) else 0

    def get(self, digest: bytes) -> CertifiedBatch | None:
        """Return a body with no bit certified yet, or None if it is not here."""
        body = self._bodies.get(digest)
        if body is None:
            body = self._own(digest)
            if body is not None:
                self._keep(digest, body)
        return body

    def want(self, digests: Iterable[bytes]) -> None:
        """Say which bodies are needed now, most urgent first; those that are not here will be asked for."""
        missing: dict[bytes, None] = {}
        for digest in digests:
            if len(missing) >= FETCH_DIGESTS_MAX:
                break
            if self.get(digest) is None:
                missing[digest] = None
        for digest in [digest for digest in self._asking if digest not in missing]:
            self._asking.close(digest)
        self._wanted = missing

    def asks(self, now_us: int, validators: Sequence[bytes], first: int) -> dict[bytes, list[bytes]]:
        """Return whom to ask for which bodies now.

        Args:
            now_us: the time now.
            validators: the connected ones.
            first: place of the one that is asked first.
        """
        found: dict[bytes, list[bytes]] = {}
        for digest in self._wanted:
            question = self._asking.get(digest)
            if question is None or question.is_due(now_us):
                peer = next_of(validators, None if question is None else question.peer, first)
                if peer is not None:
                    self._asking.ask(now_us, digest, peer)
                    found.setdefault(peer, []).append(digest)
        return found

    def receive(self, raw: bytes) -> bool:
        """Take a body; return whether it was asked for, any other is ignored.

        Raises:
            RemoteProtocolError: malformed, or not the batch its digest names.
        """
        batch = decode(Batch, raw)
        digest = batch.header.digest
        if digest not in self._wanted:
            return False
        check_batch(batch, self._chain.chain_id, self._chain.verify)
        transactions = tuple(parse_transaction(item, self._chain.chain_id) for item in batch.transactions)
        del self._wanted[digest]
        self._asking.close(digest)
        self._keep(digest, CertifiedBatch(batch.header, transactions, 0))
        return True

    def used(self, digests: Iterable[bytes], height: int) -> None:
        """Note which bodies a block used, and drop those that none of the last blocks did."""
        for digest in digests:
            self._used[digest] = height
            self._used.move_to_end(digest)
        while self._used and next(iter(self._used.values())) <= height - USED_HEIGHTS:
            body = self._bodies.pop(self._used.popitem(last=False)[0], None)
            if body is not None:
                self._bytes -= body.header.bytes

    def forget(self) -> None:
        """Drop the oldest bodies beyond the bound."""
        while self._bytes > BODIES_BYTES_MAX:
            self._bytes -= self._bodies.popitem(last=False)[1].header.bytes

    def _keep(self, digest: bytes, body: CertifiedBatch) -> None:
        if digest in self._bodies:
            return
        self._bodies[digest] = body
        self._bytes += body.header.bytes
