"""What is on disk stays what it is: the tables of every tier as programs before this one made and filled them.

`tests/vectors/tables.json` was written by the last program that declared tables column by column. For each table it has
the statement that made it, in SQLite and in PostgreSQL, and rows as SQLite's ``quote`` shows them. A database that was
made of these opens, reads and writes the same.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from guestbook import NOTES
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from supervm.common.contract.records import Put
from supervm.common.storage.sql import SqlStore
from supervm.common.storage.statements import build_table
from supervm.tier_l1_super.tables import TABLES as L1
from supervm.tier_l2_miner.tables import TABLES as L2
from supervm.tier_l3_edge.tables import TABLES as L3
from supervm.tier_l4_mobile.tables import TABLES as L4

BEFORE = json.loads((Path(__file__).parents[1] / "vectors" / "tables.json").read_text(encoding="utf-8"))
MEMBERS = {"guestbook": (NOTES,), "tier_l1_super": L1, "tier_l2_miner": L2, "tier_l3_edge": L3, "tier_l4_mobile": L4}


def spec_of(table):
    return getattr(table, "spec", table)


def sample(column, place, empty):
    """What the rows of the vectors hold in the column at a place."""
    if empty and column.nullable:
        return None
    place += 50 * empty
    return {"int": 1000 + place, "bytes": bytes([place, 0, 255]), "text": f"text {place} é"}[column.kind]


def samples(spec):
    rows = [tuple(sample(column, place, empty) for place, column in enumerate(spec.columns)) for empty in (0, 1)]
    return rows if any(column.nullable for column in spec.columns) else rows[:1]


def put(table, row):
    width = len(spec_of(table).key)
    return Put(table.name, row[:width], row[width:])


def stored(database, member):
    """Return what is in a database, as it is in the vectors."""
    found = {}
    for name in BEFORE[member]:
        [(statement,)] = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        columns = [f'quote("{row[1]}")' for row in database.execute(f"PRAGMA table_info({name})")]
        rows = database.execute(f'SELECT {", ".join(columns)} FROM "{name}"')
        found[name] = {"sqlite": statement.split("\n"), "rows": [list(row) for row in rows]}
    return found


def before(member):
    return {name: {key: made[key] for key in ("sqlite", "rows")} for name, made in BEFORE[member].items()}


@pytest.mark.parametrize("member", MEMBERS)
def test_tables_and_rows_are_stored_as_ever(member, tmp_path):
    assert list(BEFORE[member]) == [table.name for table in MEMBERS[member]]
    store = SqlStore(tmp_path / "new.sqlite", MEMBERS[member])
    store.commit([put(table, row) for table in MEMBERS[member] for row in samples(spec_of(table))])
    store.close()
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as database:
        assert stored(database, member) == before(member)
    for table in MEMBERS[member]:
        made = build_table(spec_of(table), sa.MetaData(), "postgresql")
        text = str(CreateTable(made).compile(dialect=postgresql.dialect())).strip()
        assert text.split("\n") == BEFORE[member][table.name]["postgresql"]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_database_of_before_opens_and_is_read(member, tmp_path):
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        for name, made in BEFORE[member].items():
            database.execute("\n".join(made["sqlite"]))
            for row in made["rows"]:
                database.execute(f'INSERT INTO "{name}" VALUES ({", ".join(row)})')
        database.commit()
    store = SqlStore(tmp_path / "old.sqlite", MEMBERS[member])
    for table in MEMBERS[member]:
        assert [(*key, *value) for key, value in store.scan(table.name)] == samples(spec_of(table))
    store.close()
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        assert stored(database, member) == before(member)
