"""How long, how branched and how demanding functions are, and where floats get in: read from syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMBERS = (
    "protocol",
    "common",
    "tier_l1_super",
    "tier_l2_miner",
    "tier_l3_edge",
    "tier_l4_mobile",
    "sim",
)
_BRANCHES = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.match_case,
    ast.Assert,
)


@dataclass(frozen=True, slots=True)
class Function:
    """One function.

    Attributes:
        name: ``member/module.py:Class.function``.
        lines: from ``def`` to its end, without its docstring.
        complexity: ways through it: one, and one more for each branch (McCabe 1976).
        arguments: how many it takes besides ``self`` and ``cls``.
    """

    name: str
    lines: int
    complexity: int
    arguments: int


def sources(*members: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of members as ``member/path.py`` and its tree."""
    for member in members or MEMBERS:
        home = ROOT / member / "src" / "supervm" / member
        for path in sorted(home.rglob("*.py")):
            yield f"{member}/{path.relative_to(home).as_posix()}", ast.parse(path.read_text(encoding="utf-8"))


def functions(name: str, tree: ast.AST, scope: str = "") -> Iterator[Function]:
    """Yield the functions of a module, those inside others counted with the outer one and by themselves."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(name, node, f"{scope}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _measure(f"{name}:{scope}{node.name}", node)
            yield from functions(name, node, f"{scope}{node.name}.")
        else:
            yield from functions(name, node, scope)


def _measure(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    complexity = 1 + sum(
        isinstance(inner, _BRANCHES) or (isinstance(inner, ast.BoolOp)) * (len(getattr(inner, "values", ())) - 1)
        for inner in ast.walk(node)
    )
    taken = node.args
    arguments = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs]
    return Function(name, lines, complexity, sum(item.arg not in ("self", "cls") for item in arguments))


def floats(name: str, tree: ast.AST) -> Iterator[str]:
    """Yield each place where a module makes a float: a literal, a true division, a call of `float`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{name}:{node.lineno}: the literal {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"{name}:{node.lineno}: a division by /"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
            yield f"{name}:{node.lineno}: a call of float()"
