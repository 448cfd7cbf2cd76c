"""What is written of an event: its fields in their order, and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from supervm.common.contract.events import Event, Level


class Plain(Event, frozen=True):
    NAME = "plain"

    second: int
    first: str | None


class Grave(Event, frozen=True):
    NAME = "grave"
    LEVEL = "error"


class Either(Event, frozen=True):
    NAME = "either"

    before: int
    one: int | UnsetType
    other: str | UnsetType
    level: Level = "debug"


@pytest.mark.parametrize(
    ("event", "level", "fields"),
    [
        (Plain(2, None), "info", b'{"second":2,"first":null}'),
        (Grave(), "error", b"{}"),
        (Either(0, 1, UNSET), "debug", b'{"before":0,"one":1}'),
        (Either(0, UNSET, "x", level="warning"), "warning", b'{"before":0,"other":"x"}'),
    ],
)
def test_level_and_fields(event: Event, level: str, fields: bytes) -> None:
    assert event.level == level
    assert msgspec.json.encode(event.fields) == fields


def test_events_are_told_apart_by_type_and_fields() -> None:
    assert Plain(1, "a") == Plain(1, "a") != Plain(1, "b")
    match Plain(1, "a"):
        case Plain(number, text):
            assert (number, text) == (1, "a")
