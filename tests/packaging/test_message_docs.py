"""docs/messages.md lists exactly the messages there are, with their true directions."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from supervm.protocol.wire import directions, messages

DOCS = Path(__file__).parents[2] / "docs" / "messages.md"
LINE = re.compile(r"\| (\d+) \| `(\w+)` \| ([^|]*) \| [^|]+ \| (yes|no) \|")


def _directions(kind: type[messages.Message]) -> str:
    if kind is messages.Hello:
        return "every link, first message both ways"
    if kind in directions.ANY_LINK:
        return "every link"
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
            "yes" if kind in messages.DROPPABLE else "no",
        )
        for kind in typing.get_args(messages.AnyMessage)
    }
    assert listed == true
