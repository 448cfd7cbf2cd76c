"""The files of Android's package: what goes in, that nothing else is needed to start, and its pictures."""

from __future__ import annotations

import ast
import json
import struct
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from android_package import HOME, MEMBERS, ROOT, Spec, canonical, imports, is_there, locked, make_package
from phone_folder import make_phone

SPEC = Spec()
NAMES = [requirement.name for requirement in SPEC.requirements()]

NEED_MORE = {
    "supervm.common.driver.transports.webrtc.answering": "h11",
    "supervm.common.driver.transports.webrtc.http": "h11",
    "supervm.common.services.lan.zeroconf_lan": "ifaddr",
    "supervm.common.services.scheduler": "apscheduler",
    "supervm.common.storage.by_url": "sqlalchemy",
}
"""Modules that are imported for what a phone does without, and what that is."""
GUARDED = {
    "cbor2", "psutil", "sqlalchemy", "apscheduler", "trio_parallel", "rich", "jnius", "android",
    "ifaddr", "zeroconf", "serial", "aioice", "aiortc", "h11",
}  # fmt: skip
"""Modules that are imported where they are there: what a phone does without, and what Android brings itself."""


def loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"android_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what goes in -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The package's files, and what was left out of the sources."""
    target = tmp_path_factory.mktemp("android") / "package"
    return target, make_package(target)


def test_the_sources_of_the_package_are_where_buildozer_looks() -> None:
    assert SPEC.text("source.dir") == "build/source"
    assert "build" in (HOME / "stage.py").read_text(encoding="utf-8")


def test_only_what_no_phone_needs_is_left_out(package: tuple[Path, list[str]]) -> None:
    target, left = package
    others = [name for name in left if not name.endswith((".md", ".pyi", "/py.typed"))]
    homes = {"supervm/common/bench/", "supervm/common/testing/", "supervm/common/up/", "supervm/tier_l4_mobile/bench/"}
    kept = [name for name in others if not name.startswith(tuple(homes))]
    assert kept == ["supervm/common/cli/bench.py", "supervm/common/cli/up.py"]
    assert sorted(path.name for path in target.iterdir()) == ["main.py", "service.py", "supervm"]
    assert sorted(path.name for path in (target / "supervm").iterdir()) == sorted(MEMBERS)


def test_nothing_of_tests_other_tiers_or_this_machine_goes_in(package: tuple[Path, list[str]]) -> None:
    target, _ = package
    for path in target.rglob("*"):
        assert path.name not in ("tests", "__pycache__", "sim")
        assert path.suffix not in (".so", ".pyc", ".pem", ".key")


def test_whatever_is_imported_anywhere_is_there(package: tuple[Path, list[str]]) -> None:
    target, _ = package
    modules = modules_of(NAMES)
    for name, module in imports(target):
        top = module.partition(".")[0]
        if top == "supervm":
            assert is_there(target, module), f"{name} imports {module}, which the package lacks"
        elif top not in sys.stdlib_module_names:
            assert top in modules | GUARDED, f"{name} imports {module}, which no requirement brings"


def test_nothing_happens_inside_of_an_assertion(package: tuple[Path, list[str]]) -> None:
    """python-for-android compiles without them."""
    for path in package[0].rglob("*.py"):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Assert):
                doing = (ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)
                assert not any(isinstance(inner, doing) for inner in ast.walk(item)), f"{path.name}:{item.lineno}"


def test_assets_are_found_beside_the_code(package: tuple[Path, list[str]]) -> None:
    target, _ = package
    data = {path.relative_to(target / "supervm").as_posix() for path in target.rglob("*") if path.suffix != ".py"}
    data = {name for name in data if (target / "supervm" / name).is_file()}
    sources = {
        f"{member}/{path.relative_to(ROOT / member / 'src' / 'supervm' / member).as_posix()}"
        for member in MEMBERS
        for path in (ROOT / member / "src" / "supervm" / member).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".pyi", ".md", ".typed", ".so")
    }
    sources = {name for name in sources if not name.startswith(("common/bench", "common/testing", "common/up"))}
    assert data == sources, "an asset has an extension that source.include_exts does not name"


def modules_of(names: list[str]) -> set[str]:
    """The modules that installed packages of these names bring; what only a phone has is left out."""
    found = set()
    for name in names:
        if canonical(name) in locked():
            found |= {
                file.parts[0].partition(".")[0]
                for file in distribution(name).files or ()
                if file.suffix in (".py", ".so") and ".." not in file.parts
            }
    return found


def test_the_package_starts_with_nothing_but_what_it_names(package: tuple[Path, list[str]], tmp_path: Path) -> None:
    """All modules import, the app shows a locked wallet whose node is the service, a QR code is written and read."""
    target, _ = package
    home = tmp_path / "supervm"
    home.mkdir()
    make_phone(home / "phone")
    site = Path(str(distribution("trio").locate_file("")))
    tool = ROOT / "tests" / "tools" / "android_start.py"
    modules = ",".join(sorted(modules_of(NAMES)))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-OO", str(tool), str(target), str(site), modules, str(tmp_path), "app"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    used = {"served": True, "locked": True, "qr": True}
    assert {name: seen[name] for name in used} == used
    assert {name: why.rpartition(" ")[2].strip("'") for name, why in seen["failed"].items()} == NEED_MORE
    assert seen["modules"] > 250
    assert not seen["docstrings"]


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_those_that_the_script_draws() -> None:
    images = pytest.importorskip("PIL.Image")
    drawn = loaded(HOME / "pictures.py").drawn()
    assert sorted(drawn) == sorted(path.name for path in (HOME / "pictures").iterdir())
    for name, picture in drawn.items():
        with images.open(HOME / "pictures" / name) as kept:
            assert (kept.mode, kept.size, kept.tobytes()) == (picture.mode, picture.size, picture.tobytes()), name


def test_the_package_names_pictures_of_the_right_size() -> None:
    sides = {
        "icon.filename": 512,
        "icon.adaptive_foreground.filename": 432,
        "icon.adaptive_background.filename": 432,
        "presplash.filename": 1024,
    }
    for key, side in sides.items():
        head = (HOME / SPEC.text(key)).read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", head[16:24]) == (side, side)


def test_the_mark_stays_inside_what_every_mask_shows() -> None:
    mark = loaded(HOME / "pictures.py").mark(432, 216)
    left, top, right, bottom = mark.getbbox()
    circle = 66 * 4 // 2  # of 108 dp, 66 are sure to be seen; four pixels each
    for x in (left, right):
        for y in (top, bottom):
            opaque = [
                (column, row)
                for column in range(min(x, 216), max(x, 216))
                for row in range(min(y, 216), max(y, 216))
                if mark.getpixel((column, row))[3]
            ]
            assert all((column - 216) ** 2 + (row - 216) ** 2 <= circle**2 for column, row in opaque)
