"""The tables of a store under their names, and records held against them.

Every record is checked against the declarations before any byte is written, because databases differ in what they let
pass (SQLite stores text in an integer column, PostgreSQL does not). A record that does not fit is a bug of the core
that made it: `LocalProtocolError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from supervm.protocol.base.errors import LocalProtocolError

from .records import LOG_PAYLOAD_BYTES_MAX, Append, Delete, DeleteBelow, Prune, Put, Record
from .tables import AnyTable


def by_name(tables: Iterable[AnyTable]) -> dict[str, AnyTable]:
    """Return tables under their names.

    Raises:
        LocalProtocolError: a name is declared twice.
    """
    named: dict[str, AnyTable] = {}
    for table in tables:
        if table.name in named:
            raise LocalProtocolError(f"table {table.name!r} is declared twice")
        named[table.name] = table
    return named


def declared(tables: Mapping[str, AnyTable], name: str) -> AnyTable:
    """Return a table by its name.

    Raises:
        LocalProtocolError: there is none.
    """
    table = tables.get(name)
    if table is None:
        raise LocalProtocolError(f"there is no table {name!r}; declared are {', '.join(sorted(tables)) or 'none'}")
    return table


def check_records(records: Iterable[Record], tables: Mapping[str, AnyTable], *, with_log: bool) -> None:
    """Check records against the declarations.

    Args:
        records: what is about to be committed.
        tables: the tables under their names.
        with_log: whether the store has a write-ahead log.

    Raises:
        LocalProtocolError: one does not fit; nothing of the list may be written then.
    """
    for record in records:
        if type(record) is Put:  # nearly all of them
            table = tables.get(record.table) or declared(tables, record.table)
            table.check_row(record.row)
            continue
        match record:
            case Delete(name, key):
                declared(tables, name).check_key(key)
            case DeleteBelow(name, bound):
                table = declared(tables, name)
                if table.key[0].kind != "int":
                    raise LocalProtocolError(
                        f"table {name!r}: rows are deleted below an integer; its key begins with {table.key[0].kind}"
                    )
                table.check_key((bound,), prefix=True)
            case Append(payload):
                _check_payload(payload, with_log)
            case Prune(keep, begin):
                with_log = with_log or begin
                for payload in keep or (b"",):
                    _check_payload(payload, with_log)


def _check_payload(payload: bytes, with_log: bool) -> None:
    if not with_log:
        raise LocalProtocolError("this store was opened without a write-ahead log: it takes no Append and no Prune")
    if type(payload) is not bytes or len(payload) > LOG_PAYLOAD_BYTES_MAX:
        raise LocalProtocolError(
            f"a write-ahead payload is bytes, at most {LOG_PAYLOAD_BYTES_MAX}; got "
            f"{len(payload) if isinstance(payload, bytes) else type(payload).__name__}"
        )
