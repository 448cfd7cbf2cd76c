"""Records and stores: one contract for the database and for memory, and nothing acknowledged is ever lost.

With SUPERVM_TEST_POSTGRESQL set to the URL of an empty database that may be overwritten, the contract also runs there.
"""

import _sqlite3
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervm.common.contract.checking import by_name
from supervm.common.contract.records import (
    INT_MAX,
    INT_MIN,
    Append,
    DeleteBelow,
    Prune,
    Put,
)
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.errors import InputError
from supervm.common.storage.by_url import DatabaseByUrl, database_url, shown
from supervm.common.storage.errors import DatabaseDamaged, LogDamaged, StorageFailed
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.net import net_change
from supervm.common.storage.sql import SqlStore
from supervm.common.storage.sqlite_file import SqliteFile
from supervm.common.storage.statements import POSTGRESQL as POSTGRESQL_WORDS
from supervm.common.storage.statements import SQLITE, build_statements
from supervm.protocol.base.errors import LocalProtocolError


class Height(TableRow, frozen=True):
    height: PrimaryKey[int]
    body: bytes
    note: str | None = None


class Account(TableRow, frozen=True):
    account: PrimaryKey[bytes]
    balance: int


class Index(TableRow, frozen=True):
    short: PrimaryKey[int]
    height: PrimaryKey[int]


class Name(TableRow, frozen=True):
    name: PrimaryKey[str]
    seq: PrimaryKey[int]
    value: bytes | None = None


HEIGHTS = Table("heights", Height)
ACCOUNTS = Table("accounts", Account)
INDEX = Table("idx", Index)
NAMES = Table("names", Name)
TABLES = (HEIGHTS, ACCOUNTS, INDEX, NAMES)
ME = bytes(range(16))
POSTGRESQL = os.environ.get("SUPERVM_TEST_POSTGRESQL")


class OnDisk:
    """An SqlStore that can be closed and opened again."""

    def __init__(self, directory, database=None):
        self.directory, self.database = directory, database or directory / "node.sqlite"
        self.store = self.open()

    def open(self):
        return SqlStore(self.database, TABLES, log_path=self.directory / "node.wal", incarnation=ME)

    def reopen(self):
        self.store.close()
        self.store = self.open()
        return self.store


class InMemory:
    def __init__(self):
        self.store = MemoryStore(TABLES)

    def reopen(self):
        self.store.reopen()
        return self.store


def drop_all(url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        metadata.drop_all(connection)
    engine.dispose()


def sqlite_url(path):
    """The same file, reached through SQLAlchemy."""
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "sqlite by url", "memory", *(["postgresql"] if POSTGRESQL else [])])
def box(request, tmp_path):
    if request.param == "memory":
        yield InMemory()
        return
    if request.param == "postgresql":
        drop_all(POSTGRESQL)
    url = {"postgresql": POSTGRESQL, "sqlite by url": sqlite_url(tmp_path / "node.sqlite")}
    made = OnDisk(tmp_path, url.get(request.param))
    yield made
    made.store.close()


@pytest.fixture(params=["sqlite", "sqlite by url"])
def named(request):
    """What names an SQLite file: its path, or a URL."""
    return {"sqlite": lambda path: path, "sqlite by url": sqlite_url}[request.param]


def contents(store):
    return {table.name: list(table.rows(store)) for table in TABLES}


# --- the contract ----------------------------------------------------------------------------------------------------


def test_what_was_put_is_read_back_with_its_types_now_and_after_a_restart(box):
    rows = [
        (HEIGHTS, Height(INT_MAX, b"")),
        (HEIGHTS, Height(INT_MIN, bytes(range(256)), "ünïcode ☃ 𝔘")),
        (ACCOUNTS, Account(b"", INT_MAX)),
        (ACCOUNTS, Account(b"\0\xff" * 16, INT_MIN)),
        (INDEX, Index(1, 2)),
        (NAMES, Name("", 0)),
        (NAMES, Name("é", -1, b"v")),
    ]
    box.store.commit([table.put(row) for table, row in rows])
    for reopen in (False, True):
        store = box.reopen() if reopen else box.store
        for table, row in rows:
            assert table.get(store, *table.key_of(row)) == row
        assert INDEX.get(store, 2, 1) is None
        assert [table.count(store) for table in TABLES] == [2, 2, 1, 2]


def test_scans_are_in_key_order_from_the_first_key_not_below(box):
    store = box.store
    keys = [b"b", b"", b"\xff", b"a\0", b"a", b"\x7f", b"\x80"]
    store.commit([ACCOUNTS.put(Account(key, i)) for i, key in enumerate(keys)])
    assert [row.account for row in ACCOUNTS.rows(store)] == sorted(keys)
    assert [row.account for row in ACCOUNTS.rows(store, first=(b"a\0\0",), limit=2)] == [b"b", b"\x7f"]
    assert list(ACCOUNTS.rows(store, limit=0)) == []
    words = ["b", "B", "a", "Z", "é", "z", "_", "𝔘", "ﬀ"]
    store.commit([NAMES.put(Name(word, n)) for word in words for n in (2, -1)])
    assert list(NAMES.rows(store)) == [Name(*key) for key in sorted((word, n) for word in words for n in (2, -1))]
    assert next(NAMES.rows(store, first=("a", 0))) == Name("a", 2)
    assert next(NAMES.rows(store, first=("a",))) == Name("a", -1)
    store.commit([INDEX.put(Index(n, m)) for n in range(3) for m in range(3)])
    assert list(INDEX.rows(store, first=(1, 2), limit=3)) == [Index(1, 2), Index(2, 0), Index(2, 1)]
    assert list(INDEX.rows(store, first=(2,))) == [Index(2, 0), Index(2, 1), Index(2, 2)]


def test_the_last_record_about_a_key_wins(box):
    store = box.store
    store.commit([HEIGHTS.put(Height(n, b"old")) for n in range(6)])
    store.commit(
        [
            HEIGHTS.put(Height(0, b"a")),
            HEIGHTS.put(Height(0, b"b")),  # put, put
            HEIGHTS.put(Height(1, b"a")),
            HEIGHTS.delete(1),  # put, delete
            HEIGHTS.delete(2),
            HEIGHTS.put(Height(2, b"back", "n")),  # delete, put
            HEIGHTS.delete(99),  # nothing there
        ]
    )
    assert [(row.height, row.body) for row in HEIGHTS.rows(store)] == [
        (0, b"b"),
        (2, b"back"),
        (3, b"old"),
        (4, b"old"),
        (5, b"old"),
    ]
    store.commit(
        [
            HEIGHTS.put(Height(1, b"gone")),
            HEIGHTS.delete_below(4),
            HEIGHTS.delete_below(3),
            HEIGHTS.put(Height(2, b"after")),
        ]
    )
    assert [row.height for row in HEIGHTS.rows(store)] == [2, 4, 5]
    store.commit([INDEX.put(Index(n, 0)) for n in (-5, 3, 7)] + [INDEX.delete_below(7), INDEX.delete_below(INT_MIN)])
    assert list(INDEX.rows(store)) == [Index(7, 0)]


def test_the_log_is_what_was_found_at_the_start(box):
    box.store.commit([Append(b"1"), INDEX.put(Index(1, 1)), Append(b"")])
    assert box.store.log() == []
    store = box.reopen()
    assert store.log() == [b"1", b""]
    store.commit([Append(b"before"), Prune((b"1", b"kept")), Append(b"after")])
    store.commit([Append(b"last")])
    assert store.log() == [b"1", b""]
    assert box.reopen().log() == [b"1", b"kept", b"after", b"last"]
    box.store.commit([Append(b"x"), Prune((b"no",)), Prune(())])
    assert box.reopen().log() == []


def test_a_scan_is_of_one_moment(box):
    box.store.commit([INDEX.put(Index(n, 0)) for n in range(3000)])
    scan = INDEX.rows(box.store)
    seen = [next(scan).short]
    box.store.commit([INDEX.delete_below(2900), INDEX.put(Index(5000, 0))])
    seen += [row.short for row in scan]
    assert seen == list(range(3000))
    assert INDEX.count(box.store) == 101


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Put("nowhere", Index(1, 1)), "no table 'nowhere'"),
        (Put("heights", Index(1, 2)), "holds Height, not Index"),
        (HEIGHTS.put(Height("1", b"")), "holds int, not str"),
        (HEIGHTS.put(Height(True, b"")), "holds int, not bool"),
        (HEIGHTS.put(Height(INT_MAX + 1, b"")), "64 signed bits"),
        (HEIGHTS.put(Height(1, None)), "holds bytes, not NoneType"),
        (HEIGHTS.put(Height(1, bytearray(1))), "holds bytes, not bytearray"),
        (HEIGHTS.put(Height(1, b"", "a\0b")), "no NUL"),
        (HEIGHTS.put(Height(1, b"", "\ud800")), "lone surrogate"),
        (HEIGHTS.delete(1, 2), "2 columns; 1 are declared"),
        (ACCOUNTS.delete("x"), "holds bytes, not str"),
        (ACCOUNTS.delete_below(5), "begins with bytes"),
        (INDEX.delete_below(INT_MAX + 1), "64 signed bits"),
        (Append("text"), "got str"),
        (Append(bytes((64 << 20) + 1)), "at most 67108864"),
        (Prune((b"a", None)), "NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_that_does_not_fit_is_refused_and_nothing_of_its_list_is_written(box, record, words):
    good = [INDEX.put(Index(1, 1)), Append(b"x")]
    with pytest.raises(LocalProtocolError, match=words):
        box.store.commit([*good, record])
    assert INDEX.count(box.store) == 0
    box.store.commit(good)
    assert box.reopen().log() == [b"x"]


def test_reads_are_checked_against_the_tables(box):
    for wrong in (
        lambda: box.store.get("nowhere", (1,)),
        lambda: INDEX.get(box.store, 1),
        lambda: list(INDEX.rows(box.store, first=())),
        lambda: list(INDEX.rows(box.store, first=("a",))),
        lambda: box.store.count("nowhere"),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()


# --- the two stores agree on any history -----------------------------------------------------------------------------

small = st.integers(0, 4)
words = st.sampled_from(["", "a", "B", "é"])
blobs = st.sampled_from([b"", b"a", b"\xff", b"a\0"])
records = st.one_of(
    st.builds(lambda *row: HEIGHTS.put(Height(*row)), small, blobs, st.none() | words),
    st.builds(lambda *row: ACCOUNTS.put(Account(*row)), blobs, small),
    st.builds(lambda *row: INDEX.put(Index(*row)), small, small),
    st.builds(INDEX.delete, small, small),
    st.builds(HEIGHTS.delete, small),
    st.builds(lambda *row: NAMES.put(Name(*row)), words, small, st.none() | blobs),
    st.builds(NAMES.delete, words, small),
    st.builds(DeleteBelow, st.sampled_from(["heights", "idx"]), small),
    st.builds(Append, blobs),
    st.builds(lambda keep: Prune(tuple(keep)), st.lists(blobs, max_size=2)),
)


@given(st.lists(st.tuples(st.lists(records, max_size=8), st.booleans()), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_stores_agree_on_any_history(tmp_path_factory, history):
    disk, memory = OnDisk(tmp_path_factory.mktemp("s")), InMemory()
    try:
        for group, restart in history:
            for box in (disk, memory):
                box.store.commit(group)
                if restart:
                    box.reopen()
            assert contents(disk.store) == contents(memory.store)
            assert disk.store.log() == memory.store.log()
        assert disk.reopen().log() == memory.reopen().log()
    finally:
        disk.store.close()


@given(st.lists(records, max_size=30))
def test_the_net_change_speaks_once_about_each_row(group):
    tables = by_name(TABLES)
    for name, change in net_change(group, tables).tables.items():
        keys = change.deletes + [tables[name].key_of(row) for row in change.puts]
        assert len(dict.fromkeys(keys)) == len(keys)
        assert change.deletes == sorted(change.deletes)


# --- memory: crashes -------------------------------------------------------------------------------------------------


def test_a_crash_forgets_what_was_only_staged():
    store = MemoryStore(TABLES)
    for n in range(3):
        store.stage([INDEX.put(Index(n, 0)), Append(b"%d" % n)])
    assert store.staged == 3
    assert INDEX.count(store) == 0
    store.flush(1)
    assert INDEX.count(store) == 1
    store.crash()
    assert (store.staged, INDEX.count(store), store.log()) == (0, 1, [b"0"])


def test_a_crash_between_tables_and_log_keeps_the_tables_part_of_the_oldest_group():
    store = MemoryStore(TABLES)
    for n in range(2):
        store.stage([INDEX.put(Index(n, 0)), Append(b"%d" % n)])
    store.crash(between=True)
    assert (list(INDEX.rows(store)), store.log()) == ([Index(0, 0)], [])


def test_a_store_without_a_log_takes_no_log_records(tmp_path, named):
    disk = SqlStore(named(str(tmp_path / "w.sqlite")), TABLES)
    for store in (disk, MemoryStore(TABLES, with_log=False)):
        for record in (Append(b""), Prune(())):
            with pytest.raises(LocalProtocolError, match="without a write-ahead log"):
                store.commit([record])
        assert store.log() == []
    assert not disk.log_created
    disk.close()


# --- the database ----------------------------------------------------------------------------------------------------


def test_a_commit_reads_as_a_whole_or_not_at_all_while_another_thread_writes(tmp_path, named):
    box = OnDisk(tmp_path, named(tmp_path / "node.sqlite"))
    done = threading.Event()

    def write():
        for n in range(60):
            box.store.commit([ACCOUNTS.put(Account(b"a", n)), ACCOUNTS.put(Account(b"b", -n)), Append(b"%d" % n)])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or reads == 0:
        balances = [row.balance for row in ACCOUNTS.rows(box.store)]
        assert sum(balances) == 0
        reads += 1
    writer.join()
    assert ACCOUNTS.get(box.store, b"a") == Account(b"a", 59)
    box.store.close()


def test_sqlite_is_set_up_to_be_durable(tmp_path, named):
    box = OnDisk(tmp_path, named(tmp_path / "node.sqlite"))
    with box.store._database.transaction() as writer:
        settings_ = {
            name: writer.execute(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "auto_vacuum")
        }
    box.store.close()
    assert settings_ == {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 20000, "auto_vacuum": 2}
    assert (tmp_path / "node.sqlite").stat().st_mode & 0o777 == 0o600


def test_maintenance_empties_the_journal_and_gives_pages_back(tmp_path, named):
    box = OnDisk(tmp_path, named(tmp_path / "node.sqlite"))
    box.store.commit([HEIGHTS.put(Height(n, bytes(2000))) for n in range(2000)])
    box.store.maintain()
    assert (tmp_path / "node.sqlite-wal").stat().st_size == 0
    full = (tmp_path / "node.sqlite").stat().st_size
    box.store.commit([HEIGHTS.delete_below(1900)])
    box.store.maintain()
    assert (tmp_path / "node.sqlite").stat().st_size < full / 4
    assert HEIGHTS.count(box.store) == 100
    box.store.close()


def sqlite_memory_bytes():
    """What SQLite says that it has taken in this process."""
    try:
        return ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    except (AttributeError, OSError):
        pytest.skip("this build of Python does not let others see SQLite's own count of memory")


def test_maintenance_lets_go_of_the_pages_that_were_kept_in_memory(tmp_path, named):
    """An idle validator adds 22 MB of pages a day at the end of its tables; they stayed in memory up to the bound."""
    used_bytes = sqlite_memory_bytes()
    used_bytes.restype = ctypes.c_int64
    store = SqlStore(named(tmp_path / "node.sqlite"), TABLES)
    store.commit([HEIGHTS.put(Height(n, bytes(3000))) for n in range(2000)])
    assert len(list(HEIGHTS.rows(store))) == 2000
    [HEIGHTS.get(store, n) for n in range(2000)]
    full = used_bytes()
    store.maintain()
    assert full - used_bytes() > 10 << 20  # 6 MB of the writer's and as much of the reader's
    assert HEIGHTS.get(store, 7) == Height(7, bytes(3000))
    store.close()


def test_another_schema_version_is_refused_by_name(tmp_path, named):
    path = named(tmp_path / "a.sqlite")
    SqlStore(path, TABLES, schema_version=3).close()
    with pytest.raises(InputError, match=r"version 3; this program knows versions up to 2: use a newer"):
        SqlStore(path, TABLES, schema_version=2)
    with pytest.raises(InputError, match=r"version 3 and this program needs 4"):
        SqlStore(path, TABLES, schema_version=4)
    SqlStore(path, TABLES, schema_version=3).close()


def test_other_columns_are_refused(tmp_path, named):
    class Other(TableRow, frozen=True):
        short: PrimaryKey[int]
        height: int

    path = named(tmp_path / "a.sqlite")
    SqlStore(path, [INDEX]).close()
    with pytest.raises(InputError, match=r"has the columns short, height with key short, height; this program expects"):
        SqlStore(path, [Table("idx", Other)])


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("sqlite://", "not outlive"),
        ("mysql://u:secret@h/d", "is mysql; sqlite and postgresql"),
        ("postgresql+nothing://u:secret@h/d", "not installed"),
        ("postgresql+psycopg2://u:secret@h/d", r"not supported or not installed .*use postgresql\+psycopg://"),
        ("http//://", "cannot be read"),
    ],
)
def test_databases_that_cannot_be_used_are_named_without_their_password(database, words):
    with pytest.raises(InputError, match=words) as caught:
        SqlStore(database, TABLES)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_or_a_missing_directory_is_named(tmp_path, named):
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(DatabaseDamaged, match=r"a\.sqlite is damaged: file is not a database"):
        SqlStore(named(path), TABLES)
    with pytest.raises(InputError, match="unable to open"):
        SqlStore(named(tmp_path / "none" / "a.sqlite"), TABLES)


def test_a_file_that_cannot_be_written_is_named(tmp_path, named):
    path = tmp_path / "a.sqlite"
    SqlStore(path, TABLES).close()
    store = SqlStore(named(path), TABLES)
    with store._database.transaction() as transaction:
        transaction.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageFailed, match=r"could not commit .*attempt to write a readonly database; the process"):
        store.commit([INDEX.put(Index(1, 1))])
    store.close()


def test_a_full_disk_is_the_end_of_the_store_and_leaves_what_was_there(tmp_path, named):
    path = tmp_path / "a.sqlite"
    store = SqlStore(named(path), TABLES)
    store.commit([HEIGHTS.put(Height(0, b"kept"))])
    with store._database.transaction() as transaction:
        [(pages,)] = transaction.execute("PRAGMA page_count")
        transaction.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFailed, match=r"database or disk is full; the process must end\. Make room"):
        store.commit([HEIGHTS.put(Height(n, bytes(5000))) for n in range(100)])
    with pytest.raises(StorageFailed, match="failed before"):
        store.commit([HEIGHTS.put(Height(1, b""))])
    store.close()
    again = SqlStore(named(path), TABLES)
    assert list(HEIGHTS.rows(again)) == [Height(0, b"kept")]
    again.close()


def test_a_database_that_goes_bad_is_told_from_a_disk_that_fails(tmp_path, named):
    path = tmp_path / "a.sqlite"
    store = SqlStore(path, TABLES)
    store.commit([HEIGHTS.put(Height(n, bytes(3000))) for n in range(500)])
    store.maintain()
    store.close()
    raw = bytearray(path.read_bytes())
    raw[8 * 4096 :] = b"\xa5" * (len(raw) - 8 * 4096)
    path.write_bytes(raw)
    store = SqlStore(named(path), TABLES)
    with pytest.raises(DatabaseDamaged, match=r"a\.sqlite is damaged: database disk image is malformed"):
        list(HEIGHTS.rows(store))
    with pytest.raises(DatabaseDamaged, match="malformed"):
        HEIGHTS.count(store)
    store.close()


def test_both_ways_to_sqlite_write_one_file_and_read_each_others(tmp_path):
    path = tmp_path / "a.sqlite"
    rows = [NAMES.put(Name("é", -1, b"v")), ACCOUNTS.put(Account(b"\0", 7)), INDEX.put(Index(1, 2))]
    schemas = []
    for first, second in ((path, sqlite_url(path)), (sqlite_url(path), path)):
        path.unlink(missing_ok=True)
        SqlStore(first, TABLES).close()
        with closing(sqlite3.connect(path)) as file:
            schemas.append(file.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall())
        with closing(SqlStore(second, TABLES)) as store:
            store.commit(rows)
        with closing(SqlStore(first, TABLES)) as store:
            assert [table.count(store) for table in TABLES] == [0, 1, 1, 1]
            assert list(NAMES.rows(store)) == [Name("é", -1, b"v")]
            store.commit([ACCOUNTS.put(Account(b"\0", 8)), INDEX.delete(1, 2)])
        with closing(SqlStore(second, TABLES)) as store:
            assert [table.count(store) for table in TABLES] == [0, 1, 0, 1]
            assert ACCOUNTS.get(store, b"\0") == Account(b"\0", 8)
    assert schemas[0] == schemas[1]


def test_a_path_needs_no_sqlalchemy_and_a_url_asks_for_it(tmp_path):
    with closing(SqlStore(tmp_path / "a.sqlite", TABLES)) as store:
        assert type(store._database) is SqliteFile
    with closing(SqlStore(sqlite_url(tmp_path / "a.sqlite"), TABLES)) as store:
        assert type(store._database) is DatabaseByUrl


def test_a_url_without_sqlalchemy_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(sys.modules, "supervm.common.storage.by_url")
    with pytest.raises(
        InputError, match=r"needs sqlalchemy, which is not installed here: install supervm-common\[sql\]"
    ):
        SqlStore(sqlite_url(tmp_path / "a.sqlite"), TABLES)


def test_a_scan_left_early_holds_nothing_and_the_next_has_its_connection(tmp_path):
    with closing(SqlStore(tmp_path / "a.sqlite", TABLES)) as store:
        store.commit([INDEX.put(Index(n, 0)) for n in range(3000)])
        scans = [INDEX.rows(store) for _ in range(3)]
        assert [next(scan).short for scan in scans] == [0, 0, 0]
        for scan in scans:
            scan.close()
        store.commit([INDEX.delete_below(3000)])
        store.maintain()
        assert (tmp_path / "a.sqlite-wal").stat().st_size == 0
        assert list(INDEX.rows(store)) == []


def test_urls_of_sqlite_files_are_paths(tmp_path):
    url = database_url(f"sqlite:///{tmp_path}/u.sqlite")
    assert shown(url) == f"{tmp_path}/u.sqlite"
    store = SqlStore(f"sqlite:///{tmp_path}/u.sqlite", TABLES)
    assert store.sqlite_path == tmp_path / "u.sqlite"
    assert store.shown == f"{tmp_path}/u.sqlite"
    store.close()


def test_a_damaged_log_is_reported_and_the_tables_can_still_be_read_without_it(tmp_path):
    box = OnDisk(tmp_path)
    assert box.store.log_created
    for n in range(3):
        box.store.commit([INDEX.put(Index(n, 0)), Append(b"%d" % n)])
    assert not box.reopen().log_created
    box.store.close()
    wal = bytearray((tmp_path / "node.wal").read_bytes())
    wal[60] ^= 1
    (tmp_path / "node.wal").write_bytes(wal)
    with pytest.raises(LogDamaged, match="what this node promised is not known"):
        box.open()
    observer = SqlStore(tmp_path / "node.sqlite", TABLES)
    assert INDEX.count(observer) == 3
    observer.close()


def test_a_commit_the_database_refuses_is_the_end_of_the_store(tmp_path, named):
    box = OnDisk(tmp_path, named(tmp_path / "node.sqlite"))
    box.store.close()
    box.store = SqlStore(box.database, TABLES, log_path=tmp_path / "node.wal", incarnation=ME, busy_timeout_s=0.05)
    with closing(sqlite3.connect(tmp_path / "node.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFailed, match=r"database is locked; the process must end"):
            box.store.commit([INDEX.put(Index(1, 1)), Append(b"promise")])
    with pytest.raises(StorageFailed, match="failed before"):
        box.store.commit([Append(b"x")])
    store = box.reopen()
    assert (INDEX.count(store), store.log()) == (0, [])
    store.close()
    with pytest.raises(StorageFailed, match="closed"):
        store.commit([Append(b"x")])


def test_statements_for_postgresql_use_its_types_order_and_upsert():
    names, index = (build_statements(spec, POSTGRESQL_WORDS) for spec in (NAMES, INDEX))
    assert '"name" TEXT COLLATE "C" NOT NULL' in names.create
    assert '"seq" BIGINT NOT NULL' in names.create
    assert '"value" BYTEA, ' in names.create
    assert "WITHOUT ROWID" not in index.create
    assert names.upsert.endswith('ON CONFLICT ("name", "seq") DO UPDATE SET "value" = excluded."value"')
    assert '("name", "seq") >= (%s, %s)' in names.rows(first=2)
    assert index.upsert.endswith('ON CONFLICT ("short", "height") DO NOTHING')


@pytest.mark.parametrize(
    ("spec", "ddl"),
    [(HEIGHTS, '"height" INTEGER NOT NULL'), (INDEX, "WITHOUT ROWID"), (ACCOUNTS, "WITHOUT ROWID"), (NAMES, "BLOB")],
)
def test_small_rows_and_only_they_are_kept_inside_the_key(spec, ddl):
    text = build_statements(spec, SQLITE).create
    assert ddl in text
    assert ("WITHOUT ROWID" in text) == (ddl == "WITHOUT ROWID")


@pytest.mark.parametrize("named_by", [str, sqlite_url], ids=["sqlite", "sqlite by url"])
def test_columns_may_have_the_names_of_words_of_sql(tmp_path, named_by):
    class Order(TableRow, frozen=True):
        order: PrimaryKey[int]
        index: PrimaryKey[str]
        values: bytes

    table = Table("table", Order)
    with closing(SqlStore(named_by(tmp_path / "a.sqlite"), [table])) as store:
        store.commit([table.put(Order(1, "a", b"x")), table.put(Order(2, "b", b"y"))])
        store.commit([table.put(Order(2, "b", b"z")), table.delete(1, "a")])
        assert list(table.rows(store, first=(1, "b"))) == [Order(2, "b", b"z")]


def test_declarations_are_checked():
    for wrong in (
        lambda: MemoryStore([INDEX, INDEX]),
        lambda: SqlStore("x.sqlite", [Table("svm_meta", Index)]),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()


# --- a killed process ------------------------------------------------------------------------------------------------

COMMIT_FOREVER = """
import sys
from pathlib import Path
from supervm.common.contract.records import Append
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.storage.sql import SqlStore
directory = Path(sys.argv[1])
class Row(TableRow, frozen=True):
    n: PrimaryKey[int]
    body: bytes
table = Table("idx", Row)
store = SqlStore(directory / "k.sqlite", [table], log_path=directory / "k.wal", incarnation=bytes(range(16)))
n, promised = table.count(store), len(store.log())
while True:
    store.commit([table.put(Row(n, b"%d" % n)), table.put(Row(n + 1, b"")), Append(b"%d" % n)])
    n, promised = n + 2, promised + 1
    print(n, promised, flush=True)
"""


def test_a_killed_process_finds_everything_it_acknowledged_and_no_promise_without_its_body(tmp_path):
    class Body(TableRow, frozen=True):
        n: PrimaryKey[int]
        body: bytes

    table = Table("idx", Body)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", COMMIT_FOREVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline() for _ in range(60)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
        # a last line without its end was cut by the kill
        acknowledged, promised = map(int, [line for line in lines if line.endswith("\n")][-1].split())
        store = SqlStore(tmp_path / "k.sqlite", [table], log_path=tmp_path / "k.wal", incarnation=ME)
        rows = table.count(store)
        assert rows >= acknowledged
        assert rows % 2 == 0
        promises = [int(payload) for payload in store.log()]
        assert len(promises) >= promised  # a body whose promise was never made may be there as well
        assert all(table.get(store, n) == Body(n, b"%d" % n) for n in promises)
        store.close()
