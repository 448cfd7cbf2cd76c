"""Every field of an agreed object and of a message is explained where its class stands.

A word counts if it is the field's name in backticks in the class docstring, an entry of that docstring's `Attributes:`
section, or a string literal right below the field. Classes are found by importing every module of `supervm.protocol`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args

import msgspec

import supervm.protocol
from supervm.protocol.base.codec import Agreed, Uint

Kind = type[msgspec.Struct]
PACKAGE = supervm.protocol.__name__ + "."


def name_of(kind: Kind) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def message_bases() -> list[Kind]:
    """The class `Message`, wherever it stands; on the way every module is imported."""
    names = sorted(info.name for info in pkgutil.walk_packages(supervm.protocol.__path__, PACKAGE))
    found = [vars(importlib.import_module(name)).get("Message") for name in names]
    return [kind for kind in dict.fromkeys(found) if kind is not None]


def subclasses(base: Kind) -> list[Kind]:
    return [each for kind in base.__subclasses__() for each in (kind, *subclasses(kind))]


def structs_in(hint: Any) -> Iterator[Kind]:
    """Yield every struct that a type hint names, however deep."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for inner in get_args(hint):
        yield from structs_in(inner)


def with_parts(roots: list[Kind]) -> list[Kind]:
    """Return the roots and every struct that is a part of one, by name."""
    found: dict[Kind, None] = {}
    waiting = list(roots)
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found[kind] = None
            for field in msgspec.structs.fields(kind):
                waiting.extend(structs_in(field.type))
    return sorted(found, key=name_of)


def agreed_and_wire() -> list[Kind]:
    bases: list[Kind] = [Agreed, *message_bases()]
    roots = [kind for base in bases for kind in subclasses(base)]
    # other tests of the same process make agreed classes of their own
    return with_parts([kind for kind in roots if kind.__module__.startswith(PACKAGE)])


def entries(docstring: str) -> list[str]:
    """Return the names that an `Attributes:` section of a docstring explains."""
    lines = inspect.cleandoc(docstring).splitlines()
    found = []
    if "Attributes:" in lines:
        for line in lines[lines.index("Attributes:") + 1 :]:
            if line and not line.startswith(" "):
                break
            # four in: an entry; what is further in goes on with the one before
            entry = re.match(r" {4}(\w+): +\S", line)
            if entry:
                found.append(entry[1])
    return found


def literals(kind: Kind) -> list[str]:
    """Return the fields that have a string literal right below them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(node, ast.ClassDef)
    return [
        field.target.id
        for field, below in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
        and below.value.value.strip()
    ]


def without_word(kind: Kind) -> list[str]:
    """Return each field that nothing explains, as `module.Class.field`; an inherited one is its own class's matter."""
    docstring = vars(kind).get("__doc__") or ""
    known = {*re.findall(r"(?<!`)`(\w+)`(?!`)", docstring), *entries(docstring), *literals(kind)}
    own = inspect.get_annotations(kind)
    names = [field.name for field in msgspec.structs.fields(kind) if field.name in own]
    return [f"{name_of(kind)}.{name}" for name in names if name not in known]


def without_field(kind: Kind) -> list[str]:
    """Return each entry of an `Attributes:` section that is no field (any more)."""
    names = {field.name for field in msgspec.structs.fields(kind)}
    return [f"{name_of(kind)}.{name}" for name in entries(kind.__doc__ or "") if name not in names]


def test_every_field_has_a_word() -> None:
    missing = [name for kind in agreed_and_wire() for name in without_word(kind)]
    assert not missing, f"{len(missing)} fields are not explained in their class:\n" + "\n".join(missing)


def test_every_entry_is_a_field() -> None:
    stale = [name for kind in agreed_and_wire() for name in without_field(kind)]
    assert not stale, f"{len(stale)} entries of Attributes sections are no fields:\n" + "\n".join(stale)


def test_agreed_messages_and_their_parts_are_found() -> None:
    names = [kind.__name__ for kind in agreed_and_wire()]
    assert {"AccountLeaf", "CheckpointHeader", "Transfer", "Hello", "StatusItem"} <= {*names}
    assert "Message" not in names
    assert "Agreed" not in names


class Sample(Agreed, tag="sample", frozen=True):
    """Has a `quoted` field and ``code``.

    Attributes:
        listed: with an entry that goes on
            code: in its second line.
        gone: was a field once.
    """

    quoted: Uint
    listed: Uint
    below: Uint
    """A literal."""
    code: Uint
    bare: Uint


def test_what_counts_as_a_word() -> None:
    assert [name.rpartition(".")[2] for name in without_word(Sample)] == ["code", "bare"]
    assert [name.rpartition(".")[2] for name in without_field(Sample)] == ["gone"]
    assert Sample not in agreed_and_wire()
