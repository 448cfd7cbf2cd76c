"""Tables declared by the struct of their rows."""

from typing import Annotated

import pytest

from supervm.common.contract.records import Delete, DeleteBelow, Put
from supervm.common.contract.tables import Column, PrimaryKey, Table, TableRow
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.errors import LocalProtocolError


class Height(TableRow, frozen=True):
    height: PrimaryKey[int]
    body: bytes
    note: str | None


class Member(TableRow, frozen=True):
    team: PrimaryKey[str]
    account: PrimaryKey[bytes]


HEIGHTS = Table("heights", Height)
MEMBERS = Table("members", Member)
TABLES = (HEIGHTS, MEMBERS)


def test_fields_are_columns_in_their_order():
    assert (HEIGHTS.name, HEIGHTS.row) == ("heights", Height)
    assert HEIGHTS.key == (Column("height", "int"),)
    assert HEIGHTS.value == (Column("body", "bytes"), Column("note", "text", nullable=True))
    assert MEMBERS.columns == MEMBERS.key == (Column("team", "text"), Column("account", "bytes"))
    assert MEMBERS.value == ()


def test_rows_make_records():
    assert HEIGHTS.delete(3) == Delete("heights", (3,))
    assert HEIGHTS.delete_below(3) == DeleteBelow("heights", 3)
    row = Height(3, b"b", None)
    assert HEIGHTS.put(row) == Put("heights", row)
    assert HEIGHTS.key_of(row) == (3,)
    assert MEMBERS.key_of(Member("a", b"1")) == ("a", b"1")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_rows_are_read_as_they_were_put(kind, tmp_path):
    store = MemoryStore(TABLES) if kind == "memory" else SqlStore(tmp_path / "a.sqlite", TABLES)
    heights = [Height(n, bytes([n]), None if n % 2 else "é") for n in range(5)]
    members = [Member("a", b"2"), Member("a", b"3"), Member("b", b"1")]
    store.commit([HEIGHTS.put(row) for row in heights] + [MEMBERS.put(row) for row in members])
    assert [HEIGHTS.get(store, n) for n in range(6)] == [*heights, None]
    assert MEMBERS.get(store, "a", b"3") == members[1]
    assert MEMBERS.get(store, "a", b"1") is None
    assert list(HEIGHTS.rows(store)) == heights
    assert list(HEIGHTS.rows(store, first=(2,), limit=2)) == heights[2:4]
    assert list(MEMBERS.rows(store, first=("a", b"3"))) == members[1:]
    assert list(MEMBERS.rows(store, first=("b",))) == members[2:]
    store.commit([HEIGHTS.delete_below(2), HEIGHTS.delete(3), MEMBERS.delete("b", b"1")])
    assert (HEIGHTS.count(store), MEMBERS.count(store)) == (2, 2)
    for wrong in (
        lambda: HEIGHTS.get(store, "1"),
        lambda: HEIGHTS.get(store, 1, 2),
        lambda: HEIGHTS.rows(store, first=()),
        lambda: MEMBERS.get(store, b"a", b"1"),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()
    store.close()


def test_a_database_that_holds_something_else_is_told():
    assert HEIGHTS.load((1, b"", None)) == Height(1, b"", None)
    with pytest.raises(LocalProtocolError, match="column 'note' holds text, not int"):
        HEIGHTS.load((1, b"", 5))
    with pytest.raises(LocalProtocolError, match="column 'body' holds bytes, not NoneType"):
        HEIGHTS.load((1, None, None))


def test_a_row_that_is_no_table_is_refused():
    class Late(TableRow, frozen=True):
        value: int
        number: PrimaryKey[int]

    class Float(TableRow, frozen=True):
        number: PrimaryKey[int]
        value: float

    class Two(TableRow, frozen=True):
        number: PrimaryKey[int]
        value: int | str

    class Keyless(TableRow, frozen=True):
        number: int

    class Nothing(TableRow, frozen=True):
        number: PrimaryKey[int | None]

    class Marked(TableRow, frozen=True):
        number: Annotated[int, "something else"]

    for row, words in (
        (Late, "'number' may be None, or comes after"),
        (Float, "'value' has the type"),
        (Two, "'value' has the type"),
        (Keyless, "a key needs columns"),
        (Nothing, "may be None"),
        (Marked, "'number' has the type"),
    ):
        with pytest.raises(LocalProtocolError, match=words):
            Table("t", row)
    with pytest.raises(LocalProtocolError, match="not allowed"):
        Table("Big", Height)
