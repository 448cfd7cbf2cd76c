"""Start what Android's package holds with nothing else: run by ``python -I -S -OO`` as a program of its own.

Python is told that this is Android, compiles without docstrings and assertions as python-for-android does, finds no
metadata, and of all that is installed only what buildozer.spec names; modules that Python has not on Android are
refused. Then every module is imported, the service runs a node, and the app talks to it. One line of JSON says what was
seen.

Arguments: the package's folder, where packages are installed, the modules of them that may be found (parted by
commas), and the app's own folder.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NOT_BUILT = {"bz2", "_bz2", "lzma", "_lzma", "readline", "curses", "_curses", "grp", "crypt", "_crypt", "nis", "spwd"}
NOT_BUNDLED = {"test", "tests", "lib2to3", "ensurepip", "idlelib", "tkinter", "_tkinter", "turtledemo"}
"""Modules that python-for-android's Python lacks: their libraries are not built, or it leaves them out."""


class Finder:
    """Finds what the package and its requirements bring, and refuses what Python has not on Android."""

    def __init__(self, package: str, site_packages: str, allowed: set[str]) -> None:
        self._package, self._site_packages, self._allowed = package, site_packages, allowed

    def find_spec(self, name: str, path: Any = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what Python then imports."""
        top = name.partition(".")[0]
        if top in NOT_BUILT | NOT_BUNDLED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if path is not None:
            return None
        found = PathFinder.find_spec(name, [self._package])
        if found is None and top in self._allowed:
            found = PathFinder.find_spec(name, [self._site_packages])
        return found


def become_android(folder: str) -> None:
    """Let everything that asks be told that this is an app's process on Android."""
    sys.platform = "android"
    if (made := getattr(platform, "AndroidVer", None)) is not None:  # from Python 3.13 on; it asks Android's own libc
        platform.android_ver = lambda *_: made("14", 34, "", "", "", False)  # type: ignore[attr-defined]
    os.environ |= {"ANDROID_PRIVATE": folder, "HOME": folder, "SDL_VIDEODRIVER": "offscreen", "KIVY_HOME": folder}
    os.environ |= {"KIVY_NO_ARGS": "1", "KIVY_LOG_MODE": "PYTHON", "KIVY_NO_FILELOG": "1", "KIVY_NO_CONFIG": "1"}


def import_all() -> tuple[int, dict[str, str]]:
    """Import every module; return how many there are, and why some were not imported."""
    import supervm

    failed = {}
    names = [item.name for item in pkgutil.walk_packages(supervm.__path__, "supervm.")]
    for name in names:
        if not name.endswith("__main__"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                failed[name] = str(error)
    return len(names), failed


def use() -> dict[str, Any]:
    """Run the service, and talk to its node as the app does."""
    import trio

    from supervm.common.host.config import load_config
    from supervm.common.services.client import answers_within
    from supervm.tier_l4_mobile.app.android.announced import announce_all
    from supervm.tier_l4_mobile.app.android.service import phone_directory, run_while_needed
    from supervm.tier_l4_mobile.app.link import open_link
    from supervm.tier_l4_mobile.handover.qr import codes_in, png_of
    from supervm.tier_l4_mobile.messages import Info, Unlock
    from supervm.tier_l4_mobile.options import OPTIONS

    seen: dict[str, Any] = {}

    async def work() -> None:
        config = load_config(phone_directory() / "config.toml", tier=4, options=OPTIONS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_while_needed, config)
            seen["reached"] = await answers_within(config.directory / "node.sock", 30)
            async with open_link(config) as link:
                seen["own"] = link.is_own
                seen["locked"] = (await link.call(Info()))["locked"]
                seen["unlocked"] = not (await link.call(Unlock("secret")))["locked"]
            nursery.cancel_scope.cancel()

    announce_all()
    trio.run(work)
    seen["qr"] = codes_in(png_of("svm1")) == [b"svm1"]
    return seen


def main(package: str, site_packages: str, allowed: str, folder: str) -> None:
    """Do it, and say what was seen."""
    become_android(folder)
    sys.meta_path.insert(0, Finder(package, site_packages, set(allowed.split(","))))
    count, failed = import_all()
    seen = use()
    seen |= {"modules": count, "failed": failed, "docstrings": main.__doc__ is not None}
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
