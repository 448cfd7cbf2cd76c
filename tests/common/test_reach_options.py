"""What owners write about where their nodes are: read, or refused with what is allowed."""

from __future__ import annotations

import pytest

from supervm.common.parts.reach.options import read_endpoints, read_region
from supervm.protocol.base.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("", ()),
        ("20.1.2.3:4301", ("20.1.2.3:4301",)),
        (" 20.1.2.3:4301 , [2a00::1]:4301,", ("20.1.2.3:4301", "[2a00::1]:4301")),
    ],
)
def test_endpoints_are_separated_by_commas(text: str, endpoints: tuple[str, ...]) -> None:
    assert read_endpoints(text) == endpoints


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("localhost", "scheme:rest or host:port"),
        ("a b:1", "without spaces"),
        ("x:" + "y" * 95, "at most 96 characters"),
        ("a:1,a:1", "each once"),
        ("a:1,b:1,c:1,d:1,e:1,f:1,g:1", "at most 6"),
    ],
)
def test_endpoints_that_nobody_could_use_are_refused(text: str, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^endpoints: .*{reason}"):
        read_endpoints(text)


def test_a_region_is_a_short_word() -> None:
    assert read_region("eu-west") == "eu-west"
    for text in ("x" * 17, "süd", "a\nb"):
        with pytest.raises(LocalProtocolError, match="at most 16 ASCII characters"):
            read_region(text)
