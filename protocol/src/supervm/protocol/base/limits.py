"""Bounds that more than one subject counts with (decisions.md, Numbers)."""

from __future__ import annotations

from typing import Final

BATCH_TRANSACTIONS_MAX: Final = 2_000
"""Most transactions in a batch."""
REFS_MAX: Final = 64
"""Most batches in a block."""
