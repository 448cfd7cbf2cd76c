"""Import every module of a package, and show that no member came along that the package may not use.

Run in an environment that holds one member and what it declares: ``python import_all.py supervm.tier_l3_edge``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import distributions

LOWER = {"protocol": set(), "common": {"protocol"}}
MAY_LACK = {
    "kivy": (
        "supervm.tier_l4_mobile.app.face",
        "supervm.tier_l4_mobile.bench.app_process",
        "supervm.tier_l4_mobile.app.kit.",
        "supervm.tier_l4_mobile.app.screens.",
    ),
    "h11": (
        "supervm.common.driver.transports.webrtc.answering",
        "supervm.common.driver.transports.webrtc.http",
    ),
    "ifaddr": ("supervm.common.services.lan.zeroconf_lan",),
}
"""Library of an extra (`app`, `webrtc`, `lan`) -> modules that need it; nothing else may."""
TIERS = {"tier_l1_super", "tier_l2_miner", "tier_l3_edge", "tier_l4_mobile"}


def allowed(member: str) -> set[str]:
    """Return the members that `member` may bring with it, itself included."""
    if member == "sim":
        return {"protocol", "common", "sim"} | TIERS
    return LOWER.get(member, {"protocol", "common"}) | {member}


def main(package_name: str) -> int:
    """Import all; return the exit status."""
    package = importlib.import_module(package_name)
    count = 1
    for module in pkgutil.walk_packages(package.__path__, package_name + "."):
        if module.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if not module.name.startswith(MAY_LACK.get(error.name or "", ())):
                raise
            continue
        count += 1
    member = package_name.rpartition(".")[2]
    names = [str(distribution.metadata["Name"]) for distribution in distributions()]
    installed = {name.removeprefix("supervm-").replace("-", "_") for name in names if name.startswith("supervm-")}
    if installed != allowed(member):
        print(f"{package_name}: {sorted(installed)} are installed with it; it may have {sorted(allowed(member))}")
        return 1
    print(f"{package_name}: {count} modules imported, {len(names)} distributions installed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
