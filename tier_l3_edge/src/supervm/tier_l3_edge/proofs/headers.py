"""Checkpoints that this edge has verified, shared by everything it caches and sends, and the proofs under them.

The light client accepts only what is not below the highest height it has seen. An edge hears from several miners, and
one that is a block behind is not lying: its checkpoints are verified too and serve until they are too old, only they
never become the newest. Every distinct checkpoint is verified once.
"""

from __future__ import annotations

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.light.client import LightClient
from supervm.protocol.state.leaves import ACCOUNT, HOLDING, LeafName

from .cache import CachedProof, SharedCheckpoint

RECENT_MAX = 64
"""Verified checkpoints that are remembered."""


class Headers:
    """Verifies checkpoints.

    Args:
        light: holds the trusted validators and the newest header.
    """

    def __init__(self, light: LightClient) -> None:
        self._light = light
        self._recent: dict[bytes, SharedCheckpoint] = {}
        self.newest: SharedCheckpoint | None = None
        """The highest checkpoint seen; None while only genesis is known."""

    @property
    def newest_header(self) -> CheckpointHeader:
        """The highest header seen, or the anchor's."""
        return self._light.header

    def accept(self, data: bytes, now_ms: int) -> SharedCheckpoint:
        """Return the verified checkpoint that `data` is.

        Raises:
            RemoteProtocolError: it is wrong, from the future, or below the newest and too old to serve; it contradicts
                another one, or nothing is believed any more (`Trust.check_trust`).
        """
        self._light.check_trust(now_ms)
        shared = self._recent.pop(data, None)
        if shared is None:
            shared = SharedCheckpoint(self._check(data, now_ms), data)
            if len(self._recent) >= RECENT_MAX:
                del self._recent[next(iter(self._recent))]
        self._recent[data] = shared
        if self.newest is None or shared.header.height > self.newest.header.height:
            self.newest = shared
        return shared

    def prove(self, shared: SharedCheckpoint, name: LeafName, proof: bytes) -> CachedProof:
        """Return what a proof says of a leaf under a checkpoint that was accepted.

        Raises:
            RemoteProtocolError: it is malformed or proves something else.
        """
        header, light = shared.header, self._light
        if name.kind == ACCOUNT:
            proved = light.prove_account(header, name.account, proof)
            return CachedProof(shared, proof, proved.account if proved.exists else None)
        if name.kind == HOLDING:  # a holding of nothing is no leaf
            return CachedProof(shared, proof, light.prove_holding(header, name.account, name.asset, proof) or None)
        return CachedProof(shared, proof, light.prove_asset(header, name.asset, proof))

    def _check(self, data: bytes, now_ms: int) -> CheckpointHeader:
        try:
            return self._light.accept_checkpoint(data, now_ms)
        except RemoteProtocolError as error:
            if error.code != "stale":
                raise
        checkpoint = decode(CertifiedCheckpoint, data, bytes_max=1 << 20)
        self._light.check_fresh(checkpoint.header, now_ms)
        self._light.check_checkpoint(checkpoint, now_ms)
        return checkpoint.header
