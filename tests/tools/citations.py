"""Finds in prose what does not resolve: citations of pages, sections and rules of the documentation.

Prose is read in blocks (a docstring's paragraph, neighbouring lines of comment, a paragraph or row of a page), so a
citation may go over the end of a line. docs/spec/README.md has the forms.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spec_pages import Page, prose_lines

_PAGE = re.compile(r"(?<![\w/.*-])(?:\.\./|docs/|spec/)*([A-Za-z][\w-]*\.md)\b`?(?:\]\([^)\s]*\))?")
_NUMBER = r"\d+(?:\.\d+)*(?![\w%]|[.,]\d)"
_PART = r"\d+(?:\.\d+)+(?![\w%]|[.,]\d)|\d+(?=[),;.:`|\]]|$| and )"  # in a list, 2.8 or 5 but not: 5 nodes
_OTHER = r'[Rr]ules? (?P<list>\d+)\b|(?P<rule>[A-Z]{1,2}\d+)\b|\(?"(?P<quoted>[^"]+)"'
_FIRST = re.compile(rf' (?P<section>{_NUMBER})|,? (?:{_OTHER})|, (?P<title>[A-Z`][^").;:,|]*)')
# a number without a page: in brackets, but not behind the number of an RFC; of three levels also in a sentence
_BARE = re.compile(
    rf"(?:(?<=\()(?<!\d \()(?=\d+(?:\.\d+){{1,2}}(?:[,;:)]| and | [A-Z]\d))"
    rf"|(?:(?<=[,;] )|(?<=\bas )|(?<=\bin )|(?<=\bof )|(?<=\band ))(?=[23]\.\d+\.\d))(?P<section>{_NUMBER})"
)
_NEXT = re.compile(rf"(?:, (?:and )?| and | or | to )(?P<section>{_PART})|(?:,? (?:and |or |to )?|-)(?:{_OTHER})")
_CODE = re.compile(r"(`+)[^`]+\1")
_ITEM = re.compile(r"\s*(?:[*-]|\d+\.) |\s*\||#")


class Wrong(NamedTuple):
    """A citation that does not resolve: where in the text it begins, what it says, what would be right."""

    offset: int
    citation: str
    allowed: str


@dataclass(frozen=True)
class Block:
    """Prose: the line it begins in and its lines. `only_pages`: nothing without the name of a page is a citation."""

    line: int
    lines: tuple[str, ...]
    only_pages: bool = False

    @property
    def text(self) -> str:
        """All in one line."""
        return " ".join(self.lines)

    def line_of(self, offset: int) -> int:
        """Return the line of the file that a place in `text` is in."""
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return self.line + bisect_right(starts, offset) - 1


class Checker:
    """Holds prose against the pages.

    Args:
        pages: everything that may be cited, by file name.
        rules: names of rules that are defined somewhere.
        home: the page that numbers without a page belong to.
    """

    def __init__(self, pages: dict[str, Page], rules: frozenset[str], home: str) -> None:
        self._pages = pages
        self._rules = rules
        self._home = pages[home]
        letters = "".join(sorted({rule[0] for rule in rules if re.fullmatch(r"[A-Z]\d+", rule)}))
        self._rule = re.compile(rf"(?<![\w./#])[{letters}]\d{{1,2}}(?![\w/]|\.\w)")
        names = "|".join(sorted(re.escape(name.removesuffix(".md")) for name, page in pages.items() if page.sections))
        self._unnamed = re.compile(rf"(?<=[(,;] )(?:{names}) \d+(?=[,;)])|(?<=\()(?:{names}) \d+(?=[,;)])")

    def wrong(self, text: str, only_pages: bool = False) -> Iterator[Wrong]:
        """Yield what does not resolve."""
        rest = text
        for match in _PAGE.finditer(text):
            name, end = match.group(1), match.end()
            if name not in self._pages:
                yield Wrong(match.start(), name, f"there is no such page; there are {', '.join(self._pages)}")
                continue
            for item in _items(text, _FIRST.match(text, end)):
                end = item.end()
                yield from self._resolve(self._pages[name], item, match.start())
            rest = rest[: match.start()] + " " * (end - match.start()) + rest[end:]
        if only_pages:
            return
        for match in self._unnamed.finditer(rest):
            yield Wrong(match.start(), match.group(), "the name of a page ends in .md")
        rest = _CODE.sub(lambda code: " " * len(code.group()), rest)
        for match in _BARE.finditer(rest):
            for item in _items(rest, match):
                if item.group("section"):
                    yield from self._resolve(self._home, item, item.start("section"))
        for match in self._rule.finditer(rest):
            if match.group() not in self._rules:
                yield Wrong(match.start(), match.group(), f"rules are {self._names(match.group()[0])}")

    def _names(self, letter: str) -> str:
        names = [rule for rule in self._rules if re.fullmatch(rf"{letter}\d+", rule)]
        return ", ".join(sorted(names, key=lambda name: int(name[1:])))

    def _resolve(self, page: Page, item: re.Match[str], start: int) -> Iterator[Wrong]:
        """Yield an item of a list of citations if the page does not have it."""
        what = {name: text or "" for name, text in item.groupdict().items()}
        section = what["section"] or (f"rule {what['list']}" if what.get("list") else "")
        rule, title = what.get("rule", ""), what.get("quoted", "") or what.get("title", "")
        if section and section not in page.sections:
            near = [name for name in page.sections if name.split(".")[0] == section.split(".")[0]] or page.sections
            has = [name for name in near if name.startswith("rule") == section.startswith("rule")]
            yield Wrong(start, f"{page.name} {section}", f"{page.name} has {', '.join(has) or 'no such numbers'}")
        if (rule and rule not in page.rules and not page.titles(rule)) or (title and not page.titles(title)):
            named = page.rules if rule else page.headings
            kind = "defines in bold" if rule else "has the headings"
            yield Wrong(start, f"{page.name}, {rule or title}", f"{page.name} {kind}: {', '.join(named) or 'nothing'}")


def _items(text: str, first: re.Match[str] | None) -> Iterator[re.Match[str]]:
    """Yield what a list of citations consists of, from its first item on."""
    while first:
        yield first
        first = _NEXT.match(text, first.end())


def python_blocks(source: str, with_strings: bool) -> Iterator[Block]:
    """Yield comments and docstrings of a module; `with_strings`: its other strings as well, for pages only."""
    yield from _comments(source)
    told: set[int] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            told.add(id(node.value))
            yield from text_blocks(node.value.value, node.lineno)
    for node in ast.walk(tree):
        if with_strings and isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield Block(node.lineno, (" ".join(node.value.split()),), only_pages=True)


def _comments(source: str) -> Iterator[Block]:
    """Yield comments; those that stand alone in lines that follow each other are one text."""
    lines: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, text = token.start[0], token.string.lstrip("#: ")
        is_alone = token.line.lstrip().startswith("#")
        if lines and is_alone and row == first + len(lines):
            lines.append(text)
            continue
        if lines:
            yield Block(first, tuple(lines))
        first, lines = row, [text]
    if lines:
        yield Block(first, tuple(lines))


def text_blocks(text: str, line: int = 1, comment: str = "") -> Iterator[Block]:
    """Yield the paragraphs, items and rows of a text; `comment`: what lines may begin with that is not part of it."""
    lines: list[str] = []
    for number, raw in enumerate([*prose_lines(text), ""], line):
        one = raw.strip().removeprefix(comment).strip() if comment else raw
        if lines and (not one.strip() or _ITEM.match(one) or lines[-1].startswith(("|", "#"))):
            yield Block(number - len(lines), tuple(lines))
            lines = []
        if one.strip():
            lines.append(one.strip())


def file_blocks(path: Path) -> Iterator[Block]:
    """Yield the prose of a file: a module, a page, or TOML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from python_blocks(text, with_strings="src" in path.parts)
    else:
        yield from text_blocks(text, comment="#" if path.suffix == ".toml" else "")
