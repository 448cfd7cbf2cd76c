"""Every citation of the documentation resolves: pages, sections, rules, headings, links.

docs/spec/README.md says how the code cites a page. Read are the comments and docstrings of all members and tests, the
strings of the members, the scenarios, and the pages themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from citations import Block, Checker, file_blocks, python_blocks, text_blocks
from spec_pages import Page, promised_rules, prose_lines, read_page, read_pages

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
SPEC_PAGES = read_pages(SPEC)
PAGES = {**read_pages(ROOT), **read_pages(ROOT / "docs"), **SPEC_PAGES}
RULES = frozenset(name for page in SPEC_PAGES.values() for name in page.rules)
HOME = "consensus.md"
"""The page that a number without a page belongs to."""
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DEVIATION = re.compile(r"^\| ([^|]+) \|[^|]+\|[^|]+\|[^|]+\|$", re.MULTILINE)


def sources() -> Iterator[Path]:
    """Everything that may cite: modules, scenarios, pages."""
    for folder in (*sorted(ROOT.glob("*/src")), ROOT / "tests"):
        yield from sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".toml"})
    yield from DOCUMENTS


def home_of(path: Path) -> str:
    """A page with numbers means its own; everybody else those of consensus.md."""
    is_numbered = path.parent == SPEC and any(name[0].isdigit() for name in SPEC_PAGES[path.name].sections)
    return path.name if is_numbered else HOME


def test_every_citation_resolves() -> None:
    checkers = {home: Checker(PAGES, RULES, home) for home in SPEC_PAGES}
    wrong = [
        f"{path.relative_to(ROOT)}:{block.line_of(found.offset)}: {found.citation}: {found.allowed}"
        for path in sources()
        for block in file_blocks(path)
        for found in checkers[home_of(path)].wrong(block.text, block.only_pages)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_index_says_truly_where_rules_are_defined() -> None:
    """Each page of the folder stands in the index, and defines in bold what the index says it does."""
    promised = promised_rules((SPEC / "README.md").read_text(encoding="utf-8"))
    assert set(promised) == set(SPEC_PAGES) - {"README.md"}
    assert [
        (page, name) for page, names in promised.items() for name in names if name not in SPEC_PAGES[page].rules
    ] == []
    assert {name[0] for name in RULES} >= set("ABCDELNPRSTW")


def test_every_deviation_is_of_a_section_that_exists() -> None:
    """The first column of deviations.md holds numbers of the page that the heading names."""
    text = (SPEC / "deviations.md").read_text(encoding="utf-8")
    wrong, count = [], 0
    for part in text.split("\n## ")[1:]:
        page = part.partition("\n")[0]
        for cell in DEVIATION.findall(part):
            if cell in {"where", "---"}:
                continue
            count += 1
            wrong += [f"{page} {name}" for name in cell.split(", ") if name not in SPEC_PAGES[page].sections]
    assert wrong == []
    assert count > 40


def links() -> Iterator[tuple[str, Path, str]]:
    """Every link of the pages within the repository: where it stands, the file, what is behind ``#``."""
    for path in DOCUMENTS:
        for number, line in enumerate(prose_lines(path.read_text(encoding="utf-8")), 1):
            for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                yield f"{path.relative_to(ROOT)}:{number}: {target}", path.parent / file if file else path, anchor


def test_every_link_leads_somewhere() -> None:
    read: dict[Path, Page] = {}
    wrong = []
    for place, path, anchor in links():
        if not path.exists():
            wrong.append(f"{place}: there is no such file")
        elif anchor:
            page = read.setdefault(path, read_page(path.name, path.read_text(encoding="utf-8")))
            if anchor not in page.anchors:
                wrong.append(f"{place}: {path.name} has the anchors {', '.join(sorted(page.anchors))}")
    assert not wrong, "\n" + "\n".join(wrong)


# ---- the test finds what it is for

SAMPLE = """# Rules
## 1. Quorum
**S1** is a rule, **E7** another.
### 2.10 Late blocks
### 3.9.5 Carrying
## Rule 5. Commit in groups
"""


def found(text: str) -> list[str]:
    """What a small page lets through, and what it does not."""
    page = read_page("rules.md", SAMPLE)
    checker = Checker({"rules.md": page}, frozenset(page.rules), "rules.md")
    return [item.citation for block in text_blocks(text) for item in checker.wrong(block.text)]


@pytest.mark.parametrize(
    "text",
    [
        "see rules.md 2.10.",
        "rules.md 1, 2.10 and 3.9.5",
        "rules.md rule 5; rules.md, Rules 5",
        "as in 3.9.5: S1, (2.10)",
        "(rules.md, Late blocks)",
        'rules.md "Quorum"',
        "rules.md 2.10, S1",
        "(2.10, E7)",
        "[rules.md](../rules.md) 1 says",
        "`rules.md` 1",
        "rules.md 1, 21 nodes",
        "Python 3.11.7, RFC 6962 (2.1), 3.4 s, (0.5 s), E2E, P4, `S7`",
        "(rules.md)",
        "rules.md\n2.10",
        "rules.md, for example",
        "version 2.3.4 of it",
    ],
)
def test_what_resolves_passes(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "citation"),
    [
        ("rules.md 2.1", "rules.md 2.1"),
        ("rules.md\n4", "rules.md 4"),
        ("rules.md 1, 2.11)", "rules.md 2.11"),
        ("rules.md 1 and 7.", "rules.md 7"),
        ("recipes.md 6", "recipes.md"),
        ("docs/spec/findings.md", "findings.md"),
        ("rules.md rule 6", "rules.md rule 6"),
        ("rules.md, Rules 4", "rules.md rule 4"),
        ("rules.md S2", "rules.md, S2"),
        ("(rules.md 1, E7, E8)", "rules.md, E8"),
        ("(rules.md, Links)", "rules.md, Links"),
        ('rules.md 1, "Early blocks"', "rules.md, Early blocks"),
        ("S2 holds", "S2"),
        ("(1, S17)", "S17"),
        ("as in 3.9.4", "rules.md 3.9.4"),
        ("late (2.8).", "rules.md 2.8"),
        ("(2.10, 2.12)", "rules.md 2.12"),
        ("paid (2.10, rules 1)", "rules 1"),
        ("S1-S3", "S3"),
        ("[rules.md](rules.md) 3", "rules.md 3"),
    ],
)
def test_what_does_not_resolve_is_found(text: str, citation: str) -> None:
    assert found(text) == [citation]


def test_places_are_those_of_the_file() -> None:
    """Lines of comment and docstring that follow each other are one text; code and strings of tests are none."""
    source = '"""One.\n\nTwo (rules.md\n2.1).\n"""\nx = 1  # S1\n# a: rules.md,\n# Links).\ny = "recipes.md S9"\n'
    page = read_page("rules.md", SAMPLE)
    checker = Checker({"rules.md": page}, frozenset(page.rules), "rules.md")

    def places(blocks: Iterator[Block]) -> list[tuple[int, str]]:
        return sorted(
            (block.line_of(item.offset), item.citation)
            for block in blocks
            for item in checker.wrong(block.text, block.only_pages)
        )

    assert places(python_blocks(source, with_strings=False)) == [(3, "rules.md 2.1"), (7, "rules.md, Links")]
    assert places(python_blocks(source, with_strings=True))[-1] == (9, "recipes.md")
