"""Android's package as buildozer.spec describes it: its settings, its requirements, and the files that go into it.

buildozer and python-for-android are not installed here. What they do with the description is written out: which files
are taken (buildozer 1.6.0, `_copy_application_sources`), and which recipes there are (`python_for_android.json`).
"""

from __future__ import annotations

import ast
import configparser
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = ROOT / "tier_l4_mobile" / "android"
MEMBERS: Final = ("protocol", "common", "tier_l4_mobile")
"""Members of the workspace that a phone has."""
FACTS: Final = ROOT / "tests" / "packaging" / "python_for_android.json"


def canonical(name: str) -> str:
    """Return the name of a distribution as uv.lock writes it."""
    return name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of the package."""

    name: str
    version: str


class Spec:
    """buildozer.spec."""

    def __init__(self, path: Path = HOME / "buildozer.spec") -> None:
        self._values = configparser.ConfigParser(allow_no_value=True)
        self._values.optionxform = str  # type: ignore[assignment,method-assign]  # keys are case-sensitive there
        self._values.read(path, encoding="utf-8")

    def text(self, key: str) -> str:
        return self._values["app"][key].strip()

    def items(self, key: str) -> list[str]:
        return [item.strip() for item in self.text(key).split(",")]

    def keys(self) -> list[str]:
        return list(self._values["app"])

    def requirements(self) -> list[Requirement]:
        """Return them; one without a version has the version ``""``."""
        parted = [item.partition("==") for item in self.items("requirements")]
        return [Requirement(name, version) for name, _, version in parted]

    def takes(self, name: str) -> bool:
        """Return whether buildozer takes a file of `source.dir`, by its path in there."""
        folder = name.rpartition("/")[0]
        patterns = [pattern.lower() for pattern in self.items("source.exclude_patterns")]
        if folder and any(fnmatch(f"{folder.lower()}/", pattern) for pattern in patterns):
            return False
        path = Path(name)
        if any(part.startswith(".") for part in path.parts) or any(fnmatch(name, pattern) for pattern in patterns):
            return False
        extension = path.suffix.removeprefix(".").lower()
        return not extension or extension in self.items("source.include_exts")


@cache
def locked() -> dict[str, dict[str, Any]]:
    """Return the packages of uv.lock by name."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return {package["name"]: package for package in lock["package"]}


def is_pure(package: dict[str, Any]) -> bool:
    """Return whether a package of uv.lock has a wheel for every machine."""
    return any(wheel["url"].endswith("-none-any.whl") for wheel in package.get("wheels", ()))


@cache
def facts() -> dict[str, Any]:
    """Return what python-for-android has, at the commit that buildozer.spec names."""
    found: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return found


def own_recipes() -> dict[str, dict[str, Any]]:
    """Return our recipes by name, with the plain values that their class is given."""
    found = {}
    for path in sorted((HOME / "recipes").glob("*/__init__.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        [made] = [item for item in tree.body if isinstance(item, ast.ClassDef)]
        values = {}
        for item in made.body:
            if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                try:
                    values[item.targets[0].id] = ast.literal_eval(item.value)
                except ValueError:
                    continue
        found[path.parent.name] = values
    return found


def make_package(target: Path) -> list[str]:
    """Put what buildozer would take to `target`; return the files that it leaves out, by their path.

    stage.py writes to a fresh folder beside, as a person would let it.
    """
    staged = target.parent / "staged"
    code = "import sys; sys.path.insert(0, sys.argv[1]); import pathlib, stage; stage.stage(pathlib.Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(HOME), str(staged)], check=True)
    spec, left = Spec(), []
    for path in sorted(path for path in staged.rglob("*") if path.is_file()):
        name = path.relative_to(staged).as_posix()
        if not spec.takes(name):
            left.append(name)
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
    return left


def imports(package: Path) -> list[tuple[str, str]]:
    """Return (file, module) of every import that is written in the files of a package, wherever it stands in them.

    What a module takes from another one is a module itself if there is a file of that name.
    """
    found: list[tuple[str, str]] = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        here = name.removesuffix(".py").removesuffix("/__init__").split("/")
        base = here if name.endswith("__init__.py") else here[:-1]
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Import):
                found += [(name, alias.name) for alias in item.names]
            elif isinstance(item, ast.ImportFrom):
                above = base[: len(base) - item.level + 1] if item.level else []
                module = ".".join([*above, *filter(None, [item.module])])
                found.append((name, module))
                found += [
                    (name, f"{module}.{alias.name}")
                    for alias in item.names
                    if is_there(package, f"{module}.{alias.name}")
                ]
    return found


def is_there(package: Path, module: str) -> bool:
    """Return whether a package has a module or a folder of modules of this name."""
    place = package.joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or place.is_dir()
