"""A history that keeps all its nodes in memory, for tests that prove leaves without a ledger."""

from __future__ import annotations

from collections.abc import Sequence

from supervm.protocol.state.mmr import HistoryMMR, MMRProof, mmr_peak_positions, mmr_peaks, prove_mmr


class KeptHistory(HistoryMMR):
    """`HistoryMMR` with every node it has seen, by position."""

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self.nodes: dict[int, bytes] = {}
        super().__init__(leaves)

    @classmethod
    def begun_at(cls, size: int, peaks: Sequence[bytes]) -> KeptHistory:
        """Return one that knows only the peaks of the leaves before."""
        kept = cls()
        short = HistoryMMR.from_peaks(size, peaks)
        kept._size, kept._peaks = short._size, short._peaks
        kept.nodes.update(zip(mmr_peak_positions(size), peaks, strict=True))
        return kept

    def append(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Add a leaf and keep what came to be."""
        made = super().append(leaf)
        self.nodes.update(made)
        return made

    def prove(self, index: int, size: int | None = None) -> MMRProof:
        """Return the proof of a leaf under the root of `size` leaves, of all if none is given."""
        proof = prove_mmr(index, self.size if size is None else size, self.nodes.get)
        assert proof is not None
        return proof

    def root_at(self, size: int) -> bytes:
        """Return the root as it was when there were `size` leaves."""
        peaks = mmr_peaks(size, self.nodes.get)
        assert peaks is not None
        return HistoryMMR.from_peaks(size, peaks).root
