"""Copies of live objects, and values that are equal exactly if two of them would behave alike.

Theory of operation. A model runs the shipped classes, not a retelling of them, so it has to branch: take a validator as
it is, try one event on it, and later another event on the same. `Mirror.copy` copies the object graph of the classes it
is told are mutable, and dicts and lists, and shares everything else - keys, rules, votes, blocks, which are immutable.
`Mirror.freeze` turns the same graph into one hashable value. Both look at every attribute of every listed class, so an
attribute added later is copied and compared without anybody remembering it; only what is explicitly left out, with a
reason at the place of use, is not compared. A dict is compared without its order unless its attribute is listed as
`ordered`.

An object of a class that is neither listed nor immutable would be shared between branches and spoil both, so such a
thing is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import is_dataclass
from typing import Any

import msgspec

from supervm.sim.errors import SimulationError

_ATOMS = (int, bytes, str, bool, type(None))
_SHARED, _TABLE, _LINE, _OBJECT = "shared", "table", "line", "object"


class ModelError(SimulationError):
    """A model was put together wrongly."""


class Mirror:
    """Copies and compares graphs of the given classes.

    Args:
        mutable: classes whose instances are copied, attribute by attribute.
        shared: classes whose instances never change while the model runs, besides frozen structs and dataclasses.
        omit: attributes, as ``Class.name``, that do not matter for what happens next.
        ordered: attributes, as ``Class.name``, that are dicts whose order matters.
        view: for a class, what of its instance is compared instead of its attributes.
    """

    def __init__(
        self,
        mutable: tuple[type, ...],
        shared: tuple[type, ...] = (),
        omit: tuple[str, ...] = (),
        ordered: tuple[str, ...] = (),
        view: Mapping[type, Callable[[Any], Any]] | None = None,
    ) -> None:
        self._mutable = dict.fromkeys(mutable)
        self._shared = shared
        self._omit = dict.fromkeys(omit)
        self._ordered = dict.fromkeys(ordered)
        self._view = dict(view or {})
        self._role: dict[type, str] = {}
        self._slots: dict[type, list[str]] = {}
        self._plans: dict[type, tuple[list[str], list[tuple[str, bool]]]] = {}

    def copy(self, value: Any) -> Any:
        """Return an independent copy of `value`; what was one object before is one object after."""
        return self._copy(value, {})

    def _copy(self, value: Any, done: dict[int, Any]) -> Any:
        kind = type(value)
        role = self._role.get(kind) or self._learn(kind, value)
        if role is _SHARED:
            return value
        found = done.get(id(value))
        if found is not None:
            return found
        copy = self._copy
        if role is _TABLE:
            table: dict[Any, Any] = {}
            done[id(value)] = table
            for key, item in value.items():
                table[key] = item if self._role.get(type(item)) is _SHARED else copy(item, done)
            return table
        if role is _LINE:
            items: Any = kind()
            done[id(value)] = items
            items.extend([copy(item, done) for item in value])
            return items
        twin = object.__new__(kind)
        done[id(value)] = twin
        for name in self._names(value):
            item = getattr(value, name)
            setattr(twin, name, item if self._role.get(type(item)) is _SHARED else copy(item, done))
        return twin

    def freeze(self, value: Any) -> Hashable:
        """Return a hashable value that is equal for objects in the same state."""
        kind = type(value)
        view = self._view.get(kind)
        if view is not None:
            return self.freeze(view(value))
        role = self._role.get(kind) or self._learn(kind, value)
        if role is _SHARED:
            return value  # type: ignore[no-any-return]
        if role is _TABLE:
            return frozenset([(key, self.freeze(item)) for key, item in value.items()])
        if role is _LINE:
            return tuple([self.freeze(item) for item in value])
        frozen: list[Hashable] = [kind.__name__]
        for name, ordered in self._compared(value):
            item = getattr(value, name)
            if ordered:
                frozen.append(tuple([(key, self.freeze(inner)) for key, inner in item.items()]))
            else:
                frozen.append(self.freeze(item))
        return tuple(frozen)

    def _compared(self, value: Any) -> list[tuple[str, bool]]:
        """Return the attributes that are compared, and whether each is a dict whose order matters."""
        kind = type(value)
        names = self._names(value)
        known = self._plans.get(kind)
        if known is None or known[0] != names:
            labels = [(name, f"{kind.__name__}.{name}") for name in sorted(names)]
            plan = [(name, label in self._ordered) for name, label in labels if label not in self._omit]
            known = self._plans[kind] = (names, plan)
        return known[1]

    def _names(self, value: Any) -> list[str]:
        """Return the attributes that an object has."""
        kind = type(value)
        slots = self._slots.get(kind)
        if slots is None:
            found: list[str] = []
            for base in kind.__mro__:
                names = base.__dict__.get("__slots__", ())
                found.extend((names,) if isinstance(names, str) else names)
            own_slots = [name for name in dict.fromkeys(found) if name not in ("__dict__", "__weakref__")]
            slots = self._slots[kind] = own_slots
        own = getattr(value, "__dict__", None)
        return slots if own is None else [*slots, *own]

    def _learn(self, kind: type, value: Any) -> str:
        """Decide once what is done with objects of a class."""
        if kind is dict:
            role = _TABLE
        elif kind is list or kind is deque:
            role = _LINE
        elif kind in self._mutable:
            role = _OBJECT
        elif (
            issubclass(kind, (*self._shared, *_ATOMS, tuple, frozenset))
            or callable(value)
            or (issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen)
            or (is_dataclass(kind) and kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]
        ):
            role = _SHARED
        else:
            raise ModelError(
                f"{kind.__name__} is neither known to be immutable nor listed as mutable; "
                "list it where the model makes its Mirror"
            )
        self._role[kind] = role
        return role
