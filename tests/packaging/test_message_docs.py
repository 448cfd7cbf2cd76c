"""docs/messages.md lists exactly the messages there are, with their true directions."""

from __future__ import annotations

import importlib
import re
import typing
from pathlib import Path

from supervm.protocol.wire import directions, messages, subjects

DOCS = Path(__file__).parents[2] / "docs" / "messages.md"
LINE = re.compile(r"\| (\d+) \| `(\w+)` \| ([^|]*) \| [^|]+ \| (yes|no) \|")

WORDS = {subjects.EVERYBODY: "everybody", subjects.NEIGHBOURS: "neighbours", subjects.SETTLING: "settling"}


def _directions(kind: type[messages.Message]) -> str:
    if kind is messages.Hello:
        return "every link, first message both ways"
    if kind in directions.ANY_LINK:
        return "every link"
    if kind in subjects.REACH.directions:
        return WORDS[subjects.REACH.directions[kind]]
    names = {0: "client", 1: "L1", 2: "L2", 3: "L3", 4: "L4"}
    return ", ".join(
        f"{names[sender]} - {names[receiver]}"
        for (sender, receiver), kinds in directions.ACCEPTS.items()
        if kind in kinds
    )


def test_the_catalogue_lists_every_message_as_it_is() -> None:
    """Number, name, directions and droppability in the page are those of the code."""
    listed = {(number, name, way, drop) for number, name, way, drop in LINE.findall(DOCS.read_text())}
    true = {
        (
            str(kind.__struct_config__.tag),
            kind.__name__,
            _directions(kind),
            "yes" if kind in (*messages.DROPPABLE, *subjects.REACH.droppable) else "no",
        )
        for kind in (*typing.get_args(messages.AnyMessage), *subjects.REACH.directions)
    }
    assert listed == true


def test_the_page_says_which_parts_make_the_word_true() -> None:
    listed = re.findall(r"^\| `(\w+)` \(`(\w+)\.py`\)[^|]*\| ([^|]*) \|$", DOCS.read_text(), re.MULTILINE)
    assert listed
    taken: list[str] = []
    for name, module, kinds in listed:
        part = getattr(importlib.import_module(f"supervm.common.parts.reach.{module}"), name)
        assert re.findall(r"`(\w+)`", kinds) == sorted(kind.__name__ for kind in part.takes)
        taken += re.findall(r"`(\w+)`", kinds)
    assert sorted(taken) == sorted(kind.__name__ for kind in subjects.REACH.directions)


def test_the_page_says_in_which_directions_the_words_are() -> None:
    """Neighbours are listed; what the other two words add is written out."""
    text = " ".join(DOCS.read_text().split())
    neighbours = ", ".join(f"L{sender} - L{receiver}" for sender, receiver in sorted(subjects.NEIGHBOURS))
    assert f"*Neighbours*: {neighbours}." in text
    up_and_down = {(1, 1), *((a, b) for pair in ((1, 2), (1, 3), (2, 3)) for a, b in (pair, pair[::-1]))}
    assert subjects.NEIGHBOURS | up_and_down == subjects.EVERYBODY
    assert "*Everybody*: also L1 - L1, and both ways L1 - L2, L1 - L3, L2 - L3." in text
    assert subjects.NEIGHBOURS | {(3, 2), (3, 1)} == subjects.SETTLING
    assert "*Settling*: neighbours, and L3 - L2, L3 - L1." in text
