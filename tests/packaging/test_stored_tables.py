"""What is on disk stays what it is: the tables of every tier as programs before this one made and filled them.

`tests/vectors/tables.json` was written by the last program that declared tables column by column; those of version 2 of
the agreed bytes, `leaves` and `fees` in place of `accounts`, those of nodes that find their peers, and `taking_part`
were added when they came. For each table it has the statement that made it, in SQLite and in PostgreSQL, and rows as
SQLite's ``quote`` shows them. A database that was made of these opens, reads and writes the same.
"""

import ast
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from guestbook import NOTES
from ratchets import sources

from supervm.common.storage.sql import SqlStore
from supervm.common.storage.statements import POSTGRESQL, build_statements
from supervm.tier_l1_super.tables import TABLES as L1
from supervm.tier_l2_miner.tables import TABLES as L2
from supervm.tier_l3_edge.tables import TABLES as L3
from supervm.tier_l4_mobile.tables import TABLES as L4

BEFORE = json.loads((Path(__file__).parents[1] / "vectors" / "tables.json").read_text(encoding="utf-8"))
MEMBERS = {"guestbook": (NOTES,), "tier_l1_super": L1, "tier_l2_miner": L2, "tier_l3_edge": L3, "tier_l4_mobile": L4}
NAMES = {table.name for tables in MEMBERS.values() for table in tables}


def sample(column, place, empty):
    """What the rows of the vectors hold in the column at a place."""
    if empty and column.nullable:
        return None
    place += 50 * empty
    return {"int": 1000 + place, "bytes": bytes([place, 0, 255]), "text": f"text {place} é"}[column.kind]


def samples(table):
    made = [[sample(column, place, empty) for place, column in enumerate(table.columns)] for empty in (0, 1)]
    rows = [table.row(*columns) for columns in made]
    return rows if any(column.nullable for column in table.columns) else rows[:1]


def bare(statement):
    """Return the lines of a statement without the quotes around names, which the program of before only put at need."""
    return re.sub(r'(?<!COLLATE )"(\w+)"', r"\1", statement).split("\n")


def stored(database, member):
    """Return what is in a database, as it is in the vectors."""
    found = {}
    for name in BEFORE[member]:
        [(statement,)] = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        columns = [f'quote("{row[1]}")' for row in database.execute(f"PRAGMA table_info({name})")]
        rows = database.execute(f'SELECT {", ".join(columns)} FROM "{name}"')
        found[name] = {"sqlite": bare(statement), "rows": [list(row) for row in rows]}
    return found


def before(member):
    return {name: {key: made[key] for key in ("sqlite", "rows")} for name, made in BEFORE[member].items()}


@pytest.mark.parametrize("member", MEMBERS)
def test_tables_and_rows_are_stored_as_ever(member, tmp_path):
    assert list(BEFORE[member]) == [table.name for table in MEMBERS[member]]
    store = SqlStore(tmp_path / "new.sqlite", MEMBERS[member])
    store.commit([table.put(row) for table in MEMBERS[member] for row in samples(table)])
    store.close()
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as database:
        assert stored(database, member) == before(member)
    for table in MEMBERS[member]:
        text = build_statements(table, POSTGRESQL).create.replace("IF NOT EXISTS ", "")
        assert bare(text) == BEFORE[member][table.name]["postgresql"]


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
        assert list(table.rows(store)) == samples(table)
    store.close()
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        assert stored(database, member) == before(member)


def test_rows_are_only_written_and_read_by_their_fields():
    """Outside of `contract` and `storage` nobody makes a record by hand or reads a table by its name."""
    found = []
    for name, tree in sources():
        if name.startswith(("common/contract/", "common/storage/")):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            by_name = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value in NAMES
            reads = called == "count" or (called == "get" and len(node.args) == 2)  # with one argument it is a dict's
            if called in ("Put", "Delete", "DeleteBelow", "scan") or (reads and by_name):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node):.80}")
    assert found == []
