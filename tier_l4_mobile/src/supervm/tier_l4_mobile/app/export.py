"""Payments as CSV, for a spreadsheet or an accountant."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .models.steps import is_paid

COLUMNS: Final = (
    "number", "asked_at", "from", "to", "to_name", "kind", "asset", "amount", "fee_asset", "fee",
    "status", "paid", "proved_at", "reason", "id", "seq",
)  # fmt: skip
"""Header of the file: amounts and fees in smallest units, times in UTC."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_header() -> str:
    """Return the first line."""
    return ",".join(COLUMNS) + "\r\n"


def csv_rows(payments: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """Return payments, as the node shows them, as lines.

    A text that a spreadsheet would take for a formula gets a ``'`` before it: names and reasons come from others, too.

    Args:
        payments: what is written.
        names: address -> what the owner calls it.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    for payment in payments:
        created_us, proved_ms = payment["created_us"], payment["latency_ms"]["r4"]
        writer.writerow(
            (
                payment["number"],
                _utc(created_us // 1000),
                payment["from"],
                payment["to"],
                _plain(names.get(payment["to"], "")),
                payment["kind"],
                payment["asset"] or "",
                payment["amount"],
                payment["fee_asset"],
                payment["fee"],
                payment["status"],
                "yes" if is_paid(payment) else "no",
                "" if proved_ms is None else _utc(created_us // 1000 + int(proved_ms)),
                _plain(payment["reason"] or ""),
                payment["id"],
                "" if payment["seq"] is None else payment["seq"],
            )
        )
    return file.getvalue()


def _utc(ms: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
