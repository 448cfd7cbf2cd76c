"""Every error of ours has one root per distribution, and its type says whose fault it is."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervm.common.errors import CommonError
from supervm.protocol.base.errors import LocalProtocolError, ProtocolError, RemoteProtocolError, UnfitLibrary
from supervm.sim.errors import SimulationError
from supervm.tier_l1_super.errors import SuperNodeError
from supervm.tier_l2_miner.errors import MinerError
from supervm.tier_l3_edge.errors import EdgeError
from supervm.tier_l4_mobile.errors import MobileError

ROOT = Path(__file__).parents[2]
ROOTS: dict[str, type[Exception]] = {
    "protocol": ProtocolError,
    "common": CommonError,
    "tier_l1_super": SuperNodeError,
    "tier_l2_miner": MinerError,
    "tier_l3_edge": EdgeError,
    "tier_l4_mobile": MobileError,
    "sim": SimulationError,
}

FOREIGN: dict[tuple[str, str], str] = {
    ("common/bench/sides/talk.py", "EOFError"): "run by other interpreters, too, and knows nothing of ours",
    ("common/services/client.py", "StopAsyncIteration"): "the end of an asynchronous iteration",
    ("common/up/layout.py", "ValueError"): "a helper of one function, which turns it into an InputError",
    ("common/wallet/store.py", "FileExistsError"): "what the system says where it has hard links; its caller names it",
    ("common/wallet/store.py", "TypeError"): "what pickling asks for",
    ("common/driver/transports/memory.py", "OSError"): "what a transport raises when nobody is there, by its contract",
    ("common/driver/transports/serial/line_end.py", "OSError"): "likewise",
    ("common/driver/transports/serial/lines.py", "OSError"): "likewise",
    ("common/driver/transports/webrtc/http.py", "OSError"): "likewise",
    ("common/driver/transports/webrtc/transport.py", "OSError"): "likewise",
    ("protocol/base/keys.py", "AttributeError"): "what setting an attribute raises",
    ("protocol/base/keys.py", "TypeError"): "what pickling asks for",
    ("protocol/base/reading.py", "TypeError"): "a type that cannot be read is declared: found while it is imported",
    ("protocol/base/reading.py", "IndexError"): "what reading past the end raises; `decode` names it",
    ("protocol/base/writing.py", "TypeError"): "a type that cannot be written is declared; `encode` takes another way",
    ("protocol/base/writing.py", "OverflowError"): "a number that no head holds; `encode` takes another way",
    ("protocol/state/plain_tree.py", "ValueError"): "what the tree in C raises, too; `trie` names leaf and bounds",
    ("protocol/state/tree_state.py", "KeyError"): "what a mapping raises",
    ("protocol/state/tree_state.py", "TypeError"): "what a mapping raises that items cannot be removed from",
    ("sim/exact/queue.py", "IndexError"): "what taking from an empty collection raises",
}
"""(file, error of Python's own) that our code raises, and why it is none of ours.

Besides these `host.ended.record_end` returns a RuntimeError for a bug, which is shown with its trace, exit status 70.
"""


def package(member: str) -> Path:
    return ROOT / member / "src" / "supervm"


def errors_of(member: str) -> Iterator[type[BaseException]]:
    top = importlib.import_module(f"supervm.{member}")
    for found in pkgutil.walk_packages(top.__path__, f"{top.__name__}."):
        if not found.name.endswith(".__main__"):
            module = importlib.import_module(found.name)
            for kind in vars(module).values():
                if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == module.__name__:
                    yield kind


@pytest.mark.parametrize("member", ROOTS)
def test_every_error_of_a_distribution_has_its_root(member: str) -> None:
    root = ROOTS[member]
    errors = list(errors_of(member))
    assert root in errors, f"{root.__name__} is not defined in {member}"
    strangers = [error.__qualname__ for error in errors if not issubclass(error, root)]
    assert strangers == [], f"{member}: {', '.join(strangers)} do not descend from {root.__name__}"


def test_the_roots_of_the_tiers_and_the_simulator_stand_below_that_of_common() -> None:
    for member, root in ROOTS.items():
        if member != "protocol":
            assert issubclass(root, CommonError), root
            assert root.__bases__ == ((Exception,) if root is CommonError else (CommonError,))


def test_only_one_type_blames_a_peer() -> None:
    """What counts against a peer is a `RemoteProtocolError`; no error about this machine is one."""
    assert {ProtocolError, LocalProtocolError, UnfitLibrary, RemoteProtocolError} == set(errors_of("protocol"))
    for member in ROOTS:
        for error in errors_of(member):
            assert error is RemoteProtocolError or not issubclass(error, RemoteProtocolError), error
    assert not issubclass(LocalProtocolError, RemoteProtocolError)


def raised(path: Path) -> Iterator[str]:
    """The errors of Python's own that a module raises by name."""
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Raise) and item.exc is not None:
            what = item.exc.func if isinstance(item.exc, ast.Call) else item.exc
            kind = getattr(builtins, what.id, None) if isinstance(what, ast.Name) else None
            if isinstance(kind, type) and issubclass(kind, BaseException) and kind is not NotImplementedError:
                yield kind.__name__


def test_what_goes_wrong_is_said_by_an_error_of_ours() -> None:
    found = {
        (path.relative_to(package(member)).as_posix(), name)
        for member in ROOTS
        for path in package(member).rglob("*.py")
        for name in raised(path)
    }
    assert found - set(FOREIGN) == set(), "raise an error of ours, or say in FOREIGN why not"
    assert set(FOREIGN) - found == set(), "FOREIGN names what is raised no more"
