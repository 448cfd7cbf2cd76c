"""The pages of the documentation as a reader of citations sees them: sections, rules, headings, anchors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEADING = re.compile(r"^#+ +(.+?) *$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_RANGE = re.compile(r"\b([A-Z])(\d+) (?:to [A-Z](\d+)|and [A-Z](\d+))|\b([A-Z]{2,}\d*|[A-Z]\d+)\b")


@dataclass(frozen=True)
class Page:
    """What of a page can be cited.

    Attributes:
        name: of the file.
        headings: as they stand, in order.
        sections: the numbers that headings begin with, and ``rule 5`` for each heading "Rule 5".
        bold: all that is printed bold; a rule is bold where it is defined.
        anchors: what a link may have behind its ``#``.
    """

    name: str
    headings: tuple[str, ...]
    sections: tuple[str, ...]
    bold: tuple[str, ...]
    anchors: frozenset[str]

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of rules that are printed bold, where they are defined: P0, WC, QUEUE."""
        return tuple(dict.fromkeys(name for name in self.bold if re.fullmatch(r"[A-Z]+\d*", name)))

    def titles(self, name: str) -> bool:
        """Return whether a heading, or something bold, contains these words."""
        words = re.compile(rf"(?<!\w){re.escape(_plain(name))}(?!\w)")
        return any(words.search(_plain(title)) for title in (*self.headings, *self.bold))


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").lower().split())


def prose_lines(text: str) -> list[str]:
    """Return the lines of a Markdown text; those of code blocks are empty."""
    lines, is_code = [], False
    for line in text.splitlines():
        is_fence = bool(_FENCE.match(line))
        lines.append("" if is_code or is_fence else line)
        is_code ^= is_fence
    return lines


def read_page(name: str, text: str) -> Page:
    """Read one page."""
    lines = prose_lines(text)
    headings = tuple(match.group(1) for line in lines if (match := _HEADING.match(line)))
    numbers = [match.group(1) for title in headings if (match := re.match(r"(\d+(?:\.\d+)*)\.? ", title))]
    rules = [f"rule {match.group(1)}" for title in headings if (match := re.match(r"Rule (\d+)\b", title))]
    anchors: dict[str, int] = {}
    for title in headings:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        anchors[slug] = anchors.get(slug, -1) + 1
        if anchors[slug]:
            anchors[f"{slug}-{anchors[slug]}"] = 0
    bold = tuple(_BOLD.findall(" ".join(lines)))
    return Page(name, headings, (*numbers, *rules), bold, frozenset(anchors))


def read_pages(folder: Path) -> dict[str, Page]:
    """Read the pages that lie in a folder, by the names of their files."""
    return {path.name: read_page(path.name, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.md"))}


def promised_rules(index: str) -> dict[str, tuple[str, ...]]:
    """Return page -> names of rules, as the last column of the index says which page defines what."""
    promised: dict[str, tuple[str, ...]] = {}
    for name, cell in re.findall(r"^\| \[([\w-]+\.md)\]\([^|]*\|[^|]*\|([^|]*)\|$", index, re.MULTILINE):
        names: list[str] = []
        for letter, first, last, other, single in _RANGE.findall(cell):
            if single:
                names.append(single)
            elif last:
                names += [f"{letter}{number}" for number in range(int(first), int(last) + 1)]
            else:
                names += [f"{letter}{first}", f"{letter}{other}"]
        promised[name] = tuple(names)
    return promised
