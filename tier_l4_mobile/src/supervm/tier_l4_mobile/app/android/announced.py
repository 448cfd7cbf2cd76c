"""What the distributions of a phone announce by entry points, for a package that holds no metadata of theirs.

python-for-android puts modules into an app's package, not distributions. Without these a node would find no tier, no
options and no control socket. A test holds the table against the members' pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.installed import announce

ENTRIES: Final[Mapping[str, Mapping[str, str]]] = {
    "supervm.commands": {"l4": "supervm.tier_l4_mobile.commands:COMMANDS"},
    "supervm.profiles": {"l4": "supervm.tier_l4_mobile.profile:PROFILE"},
    "supervm.services": {
        "control": "supervm.common.services.builtin:CONTROL",
        "housekeeping": "supervm.common.services.builtin:HOUSEKEEPING",
        "sensors": "supervm.common.services.builtin:SENSORS",
    },
    "supervm.tier_options": {"l4": "supervm.tier_l4_mobile.options:OPTIONS"},
}
"""Group -> name -> ``module:object``, of supervm-common and supervm-tier-l4-mobile."""


def announce_all() -> None:
    """Announce them; the first thing that a program on Android does."""
    announce(ENTRIES)
