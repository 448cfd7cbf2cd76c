"""Each member builds one wheel, and a tier's wheel set brings that tier's dependencies and nothing of the others.

Runs offline: third-party wheels come from uv's cache, at the versions of uv.lock, as the first command left them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = ("protocol", "common", "tier_l1_super", "tier_l2_miner", "tier_l3_edge", "tier_l4_mobile", "sim")
TIERS = tuple(member for member in MEMBERS if member.startswith("tier_"))
WITHOUT = ("sqlalchemy", "cbor2", "psutil", "trio-parallel", "apscheduler", "rich", "mnemonic")
"""What an edge's and a phone's wheel set does without (decisions.md 14)."""
HEAVY = ("kivy", "numpy", "numba", "aiortc", "dask", "distributed")
"""What no tier's wheel set may bring (issue: L3 brings nothing of Kivy, numpy or numba; the same for each tier)."""

CLOSURE = """
import json, sys
from importlib.metadata import distribution, distributions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

wanted, found = [(canonical(sys.argv[1]), frozenset())], set()
while wanted:
    name, extras = wanted.pop()
    if (name, extras) in found:
        continue
    found.add((name, extras))
    for text in distribution(name).requires or []:
        need = Requirement(text)
        environments = [{"extra": extra} for extra in (*extras, "")]
        if need.marker is None or any(need.marker.evaluate(environment) for environment in environments):
            wanted.append((canonical(need.name), frozenset(need.extras)))
installed = sorted({canonical(item.metadata["Name"]) for item in distributions()})
print(json.dumps({"closure": sorted({name for name, _ in found}), "installed": installed}))
"""
"""Run by the tests' own interpreter over another environment's site-packages: declared closure and what is there."""


def find_uv() -> str:
    own = ROOT / ".boot" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        pytest.fail("uv is neither in .boot/bin nor on the PATH; ./run setup installs it")
    return found


def uv(*arguments: str, **variables: str) -> str:
    environment = {**os.environ, "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never", **variables}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run([find_uv(), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"uv {' '.join(arguments)}\n{done.stderr}"
    return done.stdout


def distribution(member: str) -> str:
    return f"supervm-{member.replace('_', '-')}"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every member's wheel, built now."""
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--quiet", "--wheel", "--all-packages", "--out-dir", str(folder), "--python", sys.executable)
    return {member: next(folder.glob(f"supervm_{member}-*.whl")) for member in MEMBERS}


def test_every_member_builds_exactly_one_wheel(wheels: dict[str, Path]) -> None:
    folder = wheels["common"].parent
    assert sorted(folder.glob("*.whl")) == sorted(wheels.values())


@pytest.mark.parametrize("member", MEMBERS)
def test_a_wheel_holds_its_own_member_only_and_no_namespace_init(wheels: dict[str, Path], member: str) -> None:
    names = zipfile.ZipFile(wheels[member]).namelist()
    code = [name for name in names if ".dist-info/" not in name]
    assert code
    assert [name for name in code if not name.startswith(f"supervm/{member}/")] == []
    assert f"supervm/{member}/py.typed" in code


def test_no_source_tree_holds_a_namespace_init() -> None:
    """One stray supervm/__init__.py makes every other member unimportable (architecture.md 1)."""
    assert [path for member in MEMBERS for path in (ROOT / member).glob("**/supervm/__init__.py")] == []


def members_needed(wheels: dict[str, Path], member: str) -> list[str]:
    """The members that the wheel's own metadata asks for, itself first."""
    needed = [member]
    for name in needed:
        archive = zipfile.ZipFile(wheels[name])
        metadata_name = next(item for item in archive.namelist() if item.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(metadata_name).decode())
        for requirement in metadata.get_all("Requires-Dist") or []:
            if requirement.startswith("supervm-"):
                named, _, marker = requirement.removeprefix("supervm-").partition(";")
                other = named.split("[")[0].strip().replace("-", "_")
                if other not in needed and "extra ==" not in marker:
                    needed.append(other)
    return needed


@pytest.mark.timeout(300)
@pytest.mark.parametrize("member", TIERS)
def test_a_tiers_wheel_set_brings_what_it_declares_and_nothing_else(
    wheels: dict[str, Path], tmp_path: Path, member: str
) -> None:
    environment = tmp_path / "environment"
    name = distribution(member)
    uv(
        "sync",
        "--quiet",
        "--locked",
        "--no-default-groups",
        "--no-install-workspace",
        "--package",
        name,
        "--python",
        sys.executable,
        UV_PROJECT_ENVIRONMENT=str(environment),
    )
    python = str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")
    needed = members_needed(wheels, member)
    uv("pip", "install", "--quiet", "--no-deps", "--python", python, *(str(wheels[item]) for item in needed))
    uv("pip", "check", "--quiet", "--python", python)

    assert sorted(needed) == sorted(["protocol", "common", member])
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    shown = subprocess.run(
        [sys.executable, "-c", _closure_over(where), name], capture_output=True, text=True, check=True
    ).stdout
    answer = json.loads(shown)
    assert answer["installed"] == answer["closure"]
    if member in ("tier_l3_edge", "tier_l4_mobile"):
        assert [item for item in answer["installed"] if item in WITHOUT] == []
    others = [distribution(other) for other in MEMBERS if other not in needed]
    assert [item for item in answer["installed"] if item in (*others, *HEAVY)] == []

    # it works there, without the checkout: every module imports and the program lists its commands
    tool = str(ROOT / "tests" / "tools" / "import_all.py")
    done = subprocess.run([python, "-P", tool, f"supervm.{member}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([python, "-m", "supervm.common.cli", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    absent = next(tier for tier in ("l1", "l2", "l3", "l4") if not member.startswith(f"tier_{tier}"))
    done = subprocess.run(
        [python, "-m", "supervm.common.cli", absent, "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"supervm: supervm {absent} needs supervm-tier-{absent}-")


def _closure_over(site_packages: str) -> str:
    """The closure program, looking at `site_packages` only."""
    return (
        "import sys\nfrom packaging import requirements, utils, markers\n"
        f"sys.path[:] = [{site_packages!r}] + [item for item in sys.path if 'site-packages' not in item]\n" + CLOSURE
    )
