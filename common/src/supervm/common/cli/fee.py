"""``supervm fee split``: who earns which part of a fee (economics.md 1)."""

from __future__ import annotations

import click

from supervm.protocol.money.fees import DEFAULT_SHARES_BPS, split_fee

from ..errors import InputError
from ..text.options import whole_number
from ..text.quoting import quoted
from .numbers import WholeNumber
from .output import columns, emit, json_option


@click.group()
def fee() -> None:
    """Show who earns which part of a fee."""


@fee.command(epilog="Example: supervm fee split 1001 --shares 4000,3000,2000,1000 --json")
@click.argument("amount", type=WholeNumber())
@click.option(
    "--shares",
    default=",".join(map(str, DEFAULT_SHARES_BPS)),
    show_default=True,
    help="Basis points of L1, L2, L3, L4; they sum to 10000.",
)
@json_option
def split(amount: int, shares: str, as_json: bool) -> None:
    """Split a fee of AMOUNT grain (0 to 2^63-1) among the four tiers; the parts sum to AMOUNT, exactly."""
    parts = split_fee(amount, parse_shares(shares))
    document = {**{f"l{tier}": part for tier, part in enumerate(parts, 1)}, "total": sum(parts)}
    emit(document, as_json=as_json, lines=columns([(name, str(value)) for name, value in document.items()], right=(1,)))


def parse_shares(text: str) -> tuple[int, ...]:
    """Read ``4000,3000,2000,1000``; how many and their sum are checked where they are used.

    Raises:
        InputError: a part is not a whole number.
    """
    shares: list[int] = []
    for part in text.split(","):
        share = whole_number(part.strip())
        if share is None:
            raise InputError(
                f"shares {quoted(text)} are not allowed: four whole numbers of basis points, for example "
                "4000,3000,2000,1000"
            )
        shares.append(share)
    return tuple(shares)
