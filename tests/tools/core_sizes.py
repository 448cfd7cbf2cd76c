"""How much memory a core holds, object by object: what its node's process would hold beside programs and database."""

from __future__ import annotations

import gc
import sys
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any

from supervm.common.storage.memory import MemoryStore
from supervm.protocol.chain.genesis import Chain
from supervm.sim.exact.crypto import RealVerify

_NOT_THE_CORES = (type, types.ModuleType, types.BuiltinFunctionType, MemoryStore, Chain, RealVerify)
"""Programs, the disk, and what all hosts of a world share."""
_LEAVES = (int, float, str, bytes)
_PLACE_DEPTH_MAX = 6
_CONTAINERS = (dict, list, tuple, set, frozenset)


def size_bytes(core: object) -> int:
    """Return the bytes of everything that a core refers to, each object once, without the allocator's overhead."""
    return sum(sizes(core).values())


def sizes(core: object) -> Counter[str]:
    """Return the bytes by place, e.g. ``.serving._recent[]``; an object counts at the first place by breadth."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    level: list[tuple[str, Any]] = [("", core)]
    for depth in range(sys.maxsize):
        if not level:
            break
        deeper: list[tuple[str, Any]] = []
        for place, item in level:
            if item is None or id(item) in seen or isinstance(item, _NOT_THE_CORES):
                continue
            seen.add(id(item))
            found[place] += sys.getsizeof(item)
            if type(item) not in _LEAVES:
                deeper += [(place + step if depth < _PLACE_DEPTH_MAX else place, held) for step, held in _held(item)]
        level = deeper
    return found


def _held(item: Any) -> Iterator[tuple[str, Any]]:
    """Go through what an object refers to."""
    kind = type(item)
    if kind is types.FunctionType:  # a lambda among the parts; what else it can reach is the program
        for cell in item.__closure__ or ():
            yield "()", cell.cell_contents
    elif kind in _CONTAINERS or kind.__name__ == "deque":
        for held in item:
            yield "[]", held
        if kind is dict:
            for held in item.values():
                yield "[]", held
    elif kind.__module__.startswith("supervm."):
        yield from _attributes(item)
    else:
        for held in gc.get_referents(item):
            yield "", held


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    names = dict.fromkeys(getattr(type(item), "__struct_fields__", ()))
    for base in type(item).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names |= dict.fromkeys((slots,) if isinstance(slots, str) else slots)
    for name in names:
        if not name.startswith("__"):
            yield f".{name}", getattr(item, name, None)
    for name, held in getattr(item, "__dict__", {}).items():
        yield f".{name}", held
    if isinstance(item, _CONTAINERS):
        for held in item.values() if isinstance(item, dict) else item:
            yield "[]", held
