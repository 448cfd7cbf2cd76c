"""Android's package, as far as it can be checked without an Android SDK: what goes in, from where, and what it says.

The build itself has not run where this was written (docs/mobile.md).
"""

from __future__ import annotations

import tomllib
from xml.etree import ElementTree

import pytest
from android_package import (
    HOME,
    MEMBERS,
    ROOT,
    Requirement,
    Spec,
    canonical,
    facts,
    is_pure,
    locked,
    own_recipes,
)
from packaging.requirements import Requirement as Needed
from packaging.version import Version

from supervm.tier_l4_mobile.app.android.announced import ENTRIES
from supervm.tier_l4_mobile.app.android.background import SERVICE_CLASS
from supervm.tier_l4_mobile.app.android.permissions import PERMISSIONS

SPEC = Spec()
REQUIREMENTS = {requirement.name: requirement.version for requirement in SPEC.requirements()}

OTHER_VERSIONS = {
    "cffi": "the patch of its recipe is for 2.0.0",
    "pillow": "the patch of its recipe is for 11.3.0",
}
"""Requirements whose version is not that of uv.lock, and why."""
NOT_LOCKED = {"chardet", "six"}
"""Pure packages that only recipes ask for, so uv.lock has none of them."""
WITHOUT = {"cbor2", "psutil", "sqlalchemy", "apscheduler", "trio-parallel", "rich", "mnemonic"}
"""What a phone does without (decisions.md 14)."""
OF_DESKTOPS = {"kivy": {"docutils", "kivy-garden", "pygments"}}
"""What a package of uv.lock asks for and the app does not use: Kivy's for showing code and its extensions."""


# --- requirements -----------------------------------------------------------------------------------------------------


def test_every_requirement_has_one_version() -> None:
    assert [item.name for item in SPEC.requirements() if not item.version] == []
    assert len(REQUIREMENTS) == len(SPEC.requirements())


@pytest.mark.parametrize("item", SPEC.requirements(), ids=lambda item: item.name)
def test_every_requirement_has_a_recipe_or_is_pure_python(item: Requirement) -> None:
    own, theirs = own_recipes(), facts()["recipes"]
    if item.name in own:
        assert own[item.name]["version"] == item.version
    elif item.name not in theirs and item.name not in NOT_LOCKED:
        package = locked().get(canonical(item.name))
        assert package is not None, f"{item.name} has no recipe, and uv.lock has no such package"
        assert is_pure(package), f"{item.name} is compiled and has no recipe"


@pytest.mark.parametrize("item", SPEC.requirements(), ids=lambda item: item.name)
def test_versions_are_those_of_uv_lock(item: Requirement) -> None:
    package = locked().get(canonical(item.name))
    if item.name in OTHER_VERSIONS:
        assert package is not None
        assert facts()["recipes"][item.name]["version"] == item.version != package["version"]
    elif package is not None:
        assert item.version == package["version"]
    else:
        recipes = {**facts()["recipes"], **own_recipes()}
        assert item.name in NOT_LOCKED or recipes[item.name]["version"] == item.version


def test_versions_of_another_recipe_are_what_the_members_allow() -> None:
    for member in MEMBERS:
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {}).get("app", [])
        for need in map(Needed, [*project["dependencies"], *extras]):
            name = canonical(need.name)
            if not name.startswith("supervm-"):
                [version] = [value for key, value in REQUIREMENTS.items() if canonical(key) == name]
                assert need.specifier.contains(Version(version)), f"{member} wants {need}"


def test_whatever_a_requirement_needs_is_a_requirement_or_comes_with_a_recipe() -> None:
    there = {canonical(name) for name in REQUIREMENTS}
    with_recipe = {canonical(name) for name in {**facts()["recipes"], **own_recipes()}}
    for name in there:
        for need in locked().get(name, {}).get("dependencies", []):
            needed = canonical(need["name"])
            if "marker" in need or needed in OF_DESKTOPS.get(name, ()):
                continue  # for Windows, for another Python, or not used
            assert needed in there | with_recipe, f"{name} needs {needed}"
    recipes = {**facts()["recipes"], **own_recipes()}
    for name, recipe in recipes.items():
        if name in there | with_recipe:
            for needed in (*recipe.get("depends", ()), *recipe.get("python_depends", ())):
                assert canonical(needed) in there | with_recipe, f"the recipe of {name} needs {needed}"


def test_a_phone_does_without_what_it_can_do_without() -> None:
    assert {canonical(name) for name in REQUIREMENTS} & WITHOUT == set()


def test_no_requirement_is_there_for_nothing() -> None:
    needed: set[str] = {"python3", "hostpython3", "libsodium"}
    for member in MEMBERS:
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = [*project["dependencies"], *project.get("optional-dependencies", {}).get("app", [])]
        needed |= {canonical(Needed(text).name) for text in wanted}
    recipes = {**facts()["recipes"], **own_recipes()}
    while True:
        more = {
            canonical(name)
            for have in needed
            for name in (
                *(need["name"] for need in locked().get(have, {}).get("dependencies", [])),
                *recipes.get(have, {}).get("depends", ()),
                *recipes.get(have, {}).get("python_depends", ()),
            )
        }
        if more <= needed:
            break
        needed |= more
    assert {canonical(name) for name in REQUIREMENTS} <= needed


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_python_for_android_is_the_release_that_the_facts_are_of() -> None:
    assert SPEC.text("p4a.commit") == facts()["commit"]
    assert facts()["release"] in (HOME / "buildozer.spec").read_text(encoding="utf-8")
    assert (HOME / SPEC.text("p4a.local_recipes")).is_dir()


@pytest.mark.parametrize("name", own_recipes())
def test_a_recipe_of_ours_is_whole(name: str) -> None:
    folder, values = HOME / "recipes" / name, own_recipes()[name]
    assert values["name"] == name
    assert "{version}" in values["url"]
    assert values["url"].startswith("https://github.com/")
    for patch in values.get("patches", ()):
        assert (folder / patch).is_file()
    text = (folder / "__init__.py").read_text(encoding="utf-8")
    assert text.rstrip().endswith("Recipe()"), "python-for-android takes the instance that is called recipe"
    compile(text, name, "exec")


def test_the_cryptography_is_new_enough_to_verify() -> None:
    assert (REQUIREMENTS["pynacl"], REQUIREMENTS["libsodium"]) == ("1.6.2", "1.0.20")
    assert "libsodium" in own_recipes()["pynacl"]["depends"]
    theirs = facts()["recipes"]
    assert Version(theirs["libsodium"]["version"]) < Version("1.0.18"), "ours has no purpose any more"


# --- entry points -----------------------------------------------------------------------------------------------------


def test_what_the_package_announces_is_what_the_members_do() -> None:
    wanted: dict[str, dict[str, str]] = {}
    for member in MEMBERS:
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for group, entries in project.get("entry-points", {}).items():
            wanted.setdefault(group, {}).update(entries)
    wanted.pop("supervm.benchmarks", None)  # none goes into the package
    wanted.pop("supervm.transports", None)  # no serial lines there, and none of what WebRTC needs
    del wanted["supervm.services"]["browsers"]  # nor do browsers connect to a phone
    del wanted["supervm.services"]["lan"]  # zeroconf is not in the package
    assert {group: dict(entries) for group, entries in ENTRIES.items()} == wanted


# --- what Android is told ---------------------------------------------------------------------------------------------


def test_the_package_declares_the_permissions_that_the_app_explains_and_no_other() -> None:
    assert SPEC.items("android.permissions") == [permission.name for permission in PERMISSIONS]


def test_the_service_is_the_one_that_the_app_starts() -> None:
    [service] = SPEC.items("services")
    name, script, *how = service.split(":")
    package_name = f"{SPEC.text('package.domain')}.{SPEC.text('package.name')}"
    assert f"{package_name}.Service{name.capitalize()}" == SERVICE_CLASS
    assert (HOME / "source" / script).is_file()
    assert how == ["foreground", "foregroundServiceType=dataSync"]
    assert "android.permission.FOREGROUND_SERVICE_DATA_SYNC" in SPEC.items("android.permissions")


def test_a_wallet_never_leaves_its_phone() -> None:
    assert SPEC.text("android.allow_backup") == "False"
    assert SPEC.text("android.res_xml") in ("res/data_extraction_rules.xml",)
    assert (HOME / SPEC.text("android.extra_manifest_application_arguments")).read_text(encoding="utf-8").split() == [
        'android:dataExtractionRules="@xml/data_extraction_rules"'
    ]
    rules = ElementTree.parse(HOME / SPEC.text("android.res_xml")).getroot()
    for way in ("cloud-backup", "device-transfer"):
        excluded = {item.attrib["domain"] for item in rules.find(way) or ()}
        assert excluded == {"root", "file", "database", "sharedpref", "external"}


def test_no_phone_is_shut_out_for_having_no_camera() -> None:
    text = (HOME / SPEC.text("android.extra_manifest_xml")).read_text(encoding="utf-8")
    names = "http://schemas.android.com/apk/res/android"
    features = ElementTree.fromstring(f'<manifest xmlns:android="{names}">{text}</manifest>').findall("uses-feature")
    assert [item.attrib[f"{{{names}}}required"] for item in features] == ["false", "false"]


def test_one_architecture_and_the_levels_that_were_decided() -> None:
    assert SPEC.items("android.archs") == ["arm64-v8a"]
    assert (SPEC.text("android.minapi"), SPEC.text("android.ndk_api")) == ("24", "24")
    assert int(SPEC.text("android.api")) >= 36
    assert SPEC.text("p4a.bootstrap") == "sdl2"


def test_the_package_has_the_version_of_the_app() -> None:
    project = tomllib.loads((ROOT / "tier_l4_mobile" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SPEC.text("version") == project["version"]
