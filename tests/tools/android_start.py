"""Start what Android's package holds with nothing else: run by ``python -I -S -OO`` as a program of its own.

Python is told that this is Android, compiles without docstrings and assertions as python-for-android does, finds no
metadata, and of all that is installed only what buildozer.spec names; modules that Python has not on Android are
refused. Then every module is imported, and the two scripts that Android starts are run: the app's asks for the service,
which is started in a process of its own as Android does it, until the app shows that the wallet is locked. One line of
JSON says what was seen.

Arguments: the package's folder, where packages are installed, the modules of them that may be found (parted by
commas), the app's own folder, and ``app`` or ``service``.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import runpy
import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
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


def let_kivy_draw() -> None:
    """Import Kivy as on this machine, since this machine's libraries draw."""
    sys.platform = "linux"
    import kivy.utils  # noqa: F401 - it asks for the platform once, now

    sys.platform = "android"


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


class Java:
    """What Java gives here: a window, a service in a process of its own, and what the phone's owner likes.

    Attributes:
        service: the process; None until it was asked for.
    """

    def __init__(self) -> None:
        self.service: subprocess.Popen[bytes] | None = None
        likes = SimpleNamespace(uiMode=0x21)
        window = SimpleNamespace(getResources=lambda: SimpleNamespace(getConfiguration=lambda: likes))
        classes = {
            "android.os.Build$VERSION": SimpleNamespace(SDK_INT=36),
            "java.util.Locale": SimpleNamespace(getDefault=lambda: SimpleNamespace(toString=lambda: "en_GB")),
            "org.kivy.android.PythonActivity": SimpleNamespace(mActivity=window),
            "org.supervm.wallet.ServiceNode": SimpleNamespace(start=self._start),
        }
        java, android = ModuleType("jnius"), ModuleType("android")
        java.__dict__.update(autoclass=classes.__getitem__, JavaException=OSError)
        android.__dict__["permissions"] = SimpleNamespace(check_permission=lambda name: True)
        sys.modules.update(jnius=java, android=android)

    def _start(self, *_line: object) -> None:
        how = [sys.executable, "-I", "-S", "-OO", __file__, *sys.argv[1:5], "service"]
        self.service = subprocess.Popen(how, stdout=subprocess.DEVNULL)

    def end(self) -> None:
        """End the service as Android does."""
        if self.service is not None:
            self.service.kill()
            self.service.wait()


def use(package: str) -> dict[str, Any]:
    """Run the app's script until it shows that the wallet is locked."""
    from supervm.tier_l4_mobile.app.window import set_up_kivy

    set_up_kivy()
    from kivy.app import App
    from kivy.clock import Clock

    from supervm.tier_l4_mobile.handover.qr import codes_in, png_of

    java, seen = Java(), {"locked": False}

    def look(_since: float) -> None:
        app = App.get_running_app()
        if app is not None and any(getattr(item, "key", "") == "lock.open" for item in app.root.walk()):
            seen["locked"] = True
            app.stop()

    Clock.schedule_interval(look, 0)
    try:
        runpy.run_path(os.path.join(package, "main.py"))
        seen["served"] = java.service is not None and java.service.poll() is None
    finally:
        java.end()
    seen["qr"] = codes_in(png_of("svm1")) == [b"svm1"]
    return seen


def main(package: str, site_packages: str, allowed: str, folder: str, script: str) -> None:
    """Run one of the two scripts; of the app's, say what was seen."""
    become_android(folder)
    sys.meta_path.insert(0, Finder(package, site_packages, set(allowed.split(","))))
    if script == "service":
        runpy.run_path(os.path.join(package, "service.py"))
        return
    let_kivy_draw()
    count, failed = import_all()
    seen = use(package) | {"modules": count, "failed": failed, "docstrings": main.__doc__ is not None}
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
