"""Which commands and benchmarks exist on this machine, without importing any of them.

Theory of operation. Each member has one light module, ``supervm.<member>.commands``, that holds nothing but tuples of
`Offer`: a name, one line of help, and the text ``module:object`` of where the real thing lives. The member announces
them under the entry-point groups ``supervm.commands`` and ``supervm.benchmarks``. Listing imports only these light
modules, so ``supervm --help`` stays fast however heavy the installed tiers are; a command's own module is imported when
the command is run. What `common` itself offers needs no entry point.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from ..errors import CommonError, InputError
from ..installed import Entry, entry_points

COMMANDS_GROUP: Final = "supervm.commands"
"""Entry points whose values are tuples of `Offer` for commands."""
BENCHMARKS_GROUP: Final = "supervm.benchmarks"
"""Entry points whose values are tuples of `Offer` for functions ``(BenchOptions) -> list[Row]``."""
OPTIONS_GROUP: Final = "supervm.tier_options"
"""Entry points named l1 .. l4 whose values are mappings of option name to `config.OptionSpec`."""

PROFILES: Final = {
    "l1": "supervm-tier-l1-super",
    "l2": "supervm-tier-l2-miner",
    "l3": "supervm-tier-l3-edge",
    "l4": "supervm-tier-l4-mobile",
}
"""Tier -> distribution that holds it."""

COMMAND_HOMES: Final = {
    **PROFILES,
    "wallet": PROFILES["l4"],
    "pay": PROFILES["l4"],
    "issue": PROFILES["l4"],
    "queue": PROFILES["l4"],
    "balance": PROFILES["l4"],
    "verify": PROFILES["l4"],
    "sim": "supervm-sim",
}
"""Command -> distribution that brings it, to name what is missing (surface.md)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing a member offers by name.

    Attributes:
        name: what the user types.
        help: one line that says what it does.
        target: ``module:object`` of the command or function; imported only when it is used.
    """

    name: str
    help: str
    target: str

    def load(self) -> Any:
        """Import the target.

        Raises:
            CommonError: the module is there but the object is not.
            InputError: it needs a package that is not installed.
        """
        module_name, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] == "supervm":
                raise
            raise InputError(
                f"{self.name} needs {error.name}, which is not installed here: install supervm-common[full]"
            ) from error
        except AttributeError as error:
            raise CommonError(f"{self.name}: {module_name} has no {attribute}; the installation is damaged") from error


def offers(group: str, own: Iterable[Offer]) -> dict[str, Offer]:
    """Return name -> offer of `own` and of every installed member's tuple in `group`, by name.

    A member whose light module cannot be imported is left out: one damaged profile must not take the others down.
    """
    found = {offer.name: offer for offer in own}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        for offer in _load_tuple(entry):
            found.setdefault(offer.name, offer)
    return dict(sorted(found.items()))


def _load_tuple(entry: Entry) -> tuple[Offer, ...]:
    try:
        value = entry.load()
    except (ImportError, AttributeError):
        return ()
    return tuple(item for item in value if isinstance(item, Offer))


def tier_options(tier: int) -> Any:
    """Return the installed profile's option mapping of `tier` (1..4); empty if the profile is not installed."""
    for entry in entry_points(group=OPTIONS_GROUP, name=f"l{tier}"):
        return entry.load()
    return {}
