"""The write-ahead log: what was acknowledged is found again, and damage is never taken for a torn tail."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.common.errors import InputError
from supervm.common.storage.errors import LogDamaged, StorageFailed
from supervm.common.storage.log_format import (
    COPY_INCARNATION,
    HEADER_BYTES,
    check_group,
    checksum_under,
    group_frame,
    header_frame,
    parse_log,
)
from supervm.common.storage.wal import WriteAheadLog, copy_log, read_log
from supervm.protocol.base.errors import LocalProtocolError

ME = bytes(range(16))
OTHER = bytes(range(1, 17))
GROUPS = [[b"one"], [b"", b"two"], [b"three" * 20, b"\0", b"4"], [b"five"]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node.wal"


@pytest.fixture
def open_log(path):
    opened = []

    def open_one(incarnation=ME):
        log = WriteAheadLog(path, incarnation)
        opened.append(log)
        return log

    yield open_one
    for log in opened:
        log.close()


def written(path):
    """Write GROUPS; return the file's bytes and where each group ends."""
    log = WriteAheadLog(path, ME)
    ends = [log.size_bytes]
    for group in GROUPS:
        log.append(group)
        ends.append(log.size_bytes)
    log.close()
    return path.read_bytes(), ends


def flat(groups):
    return tuple(payload for group in groups for payload in group)


def test_a_new_log_says_so_and_an_old_one_gives_back_what_was_appended(open_log):
    log = open_log()
    assert log.created
    assert log.recovered == ()
    for group in GROUPS:
        log.append(group)
    log.close()
    again = open_log()
    assert not again.created
    assert again.recovered == flat(GROUPS)
    assert again.dropped_bytes == 0
    again.append([b"more"])
    again.close()
    assert open_log().recovered == (*flat(GROUPS), b"more")


def test_frozen_bytes_of_the_format():
    log = header_frame(ME, 1) + group_frame(1, [b"ab", b""], checksum_under(ME))
    assert log.hex() == (
        "00000021" + "48" + b"svm.wal".hex() + "0001" + ME.hex() + "0000000000000001" + log.hex()[76:92]
        + "00000012" + "d7" + "0000000000000001" + "00000002" + "6162" + "00000000" + log.hex()[-16:]
    )  # fmt: skip
    assert log.hex()[76:92] == "8bcb7fe7218bbdcb"
    assert log.hex()[-16:] == "1ed20c927a50fb14"


def test_cut_at_every_byte_recovers_exactly_the_groups_that_were_whole(path):
    data, ends = written(path)
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        if length < HEADER_BYTES:
            with pytest.raises(LogDamaged, match="header"):
                WriteAheadLog(path, ME)
            continue
        whole = sum(1 for end in ends[1:] if end <= length)
        log = WriteAheadLog(path, ME)
        assert log.recovered == flat(GROUPS[:whole])
        assert log.dropped_bytes == length - ends[whole]
        log.append([b"after"])
        log.close()
        assert read_log(path).payloads == [*flat(GROUPS[:whole]), b"after"]


def test_a_flipped_bit_before_the_last_group_is_damage_and_in_it_a_torn_tail(path):
    data, ends = written(path)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            if at < ends[-2]:
                with pytest.raises(LogDamaged):
                    parse_log(bytes(flipped), path)
            else:
                assert parse_log(bytes(flipped), path).payloads == list(flat(GROUPS[:-1]))


@pytest.mark.parametrize("tail", [bytes(4096), b"\xd7" * 300, b"\xff" * 64, header_frame(ME, 1)], ids=range(4))
def test_a_tail_of_anything_but_a_valid_group_is_torn(path, tail):
    data, ends = written(path)
    assert parse_log(data[: ends[2]] + tail, path).payloads == list(flat(GROUPS[:2]))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_tail_crashes_the_reader_or_invents_a_payload(tail):
    data = header_frame(ME, 1) + group_frame(1, [b"a"], checksum_under(ME))
    content = parse_log(data + tail, Path("x"))
    assert content.payloads == [b"a"]
    assert content.valid_bytes == len(data)


def test_a_missing_or_repeated_group_is_damage(path):
    data, ends = written(path)
    first, second = data[ends[0] : ends[1]], data[ends[1] : ends[2]]
    for wrong in (
        data[: ends[0]] + data[ends[1] :],
        data[: ends[1]] + data[ends[2] :],
        data[: ends[1]] + first + second,
    ):
        with pytest.raises(LogDamaged):
            parse_log(wrong, path)


def test_content_chosen_by_a_peer_cannot_make_a_torn_tail_look_like_damage(path):
    planted = group_frame(2, [b"planted"], checksum_under(OTHER))
    data = header_frame(ME, 1) + group_frame(1, [b"x" + planted + b"y"], checksum_under(ME))
    assert parse_log(data[:-3], path).payloads == []


def test_a_log_of_another_incarnation_or_a_copy_is_refused(path, open_log, tmp_path):
    written(path)
    with pytest.raises(LogDamaged, match="incarnation"):
        open_log(OTHER)
    copy = tmp_path / "copy"
    copy_log(path, copy)
    assert read_log(copy).payloads == list(flat(GROUPS))
    assert read_log(copy).incarnation == COPY_INCARNATION
    copy.replace(path)
    with pytest.raises(LogDamaged, match="copy"):
        open_log()


def test_a_newer_format_is_refused_with_both_versions(path):
    header = bytearray(header_frame(ME, 1))
    header[5 + 7 + 1] = 2
    body = bytes(header[:-8])
    path.write_bytes(body + checksum_under(b"")(body))
    with pytest.raises(InputError, match=r"format 2; this program reads format 1"):
        WriteAheadLog(path, ME)


def test_an_open_log_is_locked_also_after_it_was_rewritten(path, open_log):
    log = open_log()
    with pytest.raises(InputError, match="in use"):
        WriteAheadLog(path, ME)
    log.rewrite([b"kept"])
    with pytest.raises(InputError, match="in use"):
        WriteAheadLog(path, ME)


@pytest.mark.parametrize("keep", [[], [b"kept", b""]])
def test_rewrite_replaces_everything_and_appends_go_on(path, open_log, keep):
    log = open_log()
    for group in GROUPS:
        log.append(group)
    log.rewrite(keep)
    log.append([b"next"])
    log.rewrite([*keep, b"next"])
    log.append([b"last"])
    assert log.size_bytes == path.stat().st_size
    log.close()
    again = open_log()
    assert again.recovered == (*keep, b"next", b"last")
    assert os.listdir(path.parent) == [path.name]


def test_a_crash_while_rewriting_leaves_the_old_log(path, open_log):
    written(path)
    new = path.with_name(path.name + ".new")
    new.write_bytes(header_frame(ME, 9)[:20])
    assert open_log().recovered == flat(GROUPS)
    assert not new.exists()


def test_groups_are_bounded():
    with pytest.raises(LocalProtocolError, match="at most"):
        check_group([bytes(64 << 20)] * 17)


def test_an_incarnation_has_16_bytes(path):
    with pytest.raises(LocalProtocolError):
        WriteAheadLog(path, b"short")


def test_no_directory_is_a_plain_error(tmp_path):
    with pytest.raises(InputError, match="cannot create"):
        WriteAheadLog(tmp_path / "none" / "wal", ME)


def test_after_a_failed_sync_nothing_is_taken_any_more(path, open_log, monkeypatch):
    log = open_log()
    log.append([b"good"])

    def fail(_fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("supervm.common.storage.wal.sync_data", fail)
    with pytest.raises(StorageFailed, match="process must end"):
        log.append([b"lost?"])
    monkeypatch.undo()
    for again in (lambda: log.append([b"x"]), lambda: log.rewrite([])):
        with pytest.raises(StorageFailed, match="failed before"):
            again()
    log.close()
    assert open_log().recovered[:1] == (b"good",)


FULL_DISK = """
import resource, sys
from pathlib import Path
from supervm.common.storage.errors import StorageFailed
from supervm.common.storage.wal import WriteAheadLog
path = Path(sys.argv[1])
log = WriteAheadLog(path, bytes(range(16)))
log.append([b"kept"])
resource.setrlimit(resource.RLIMIT_FSIZE, (log.size_bytes + 100, resource.RLIM_INFINITY))
try:
    log.append([bytes(1000)])
except StorageFailed:
    sys.exit(42)
"""


def test_a_write_that_finds_no_room_fails_and_its_part_is_cut_off_at_the_next_start(path, open_log):
    assert subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False).returncode == 42
    log = open_log()
    assert log.recovered == (b"kept",)
    assert log.dropped_bytes == 100


APPEND_FOREVER = """
import sys
from pathlib import Path
from supervm.common.storage.wal import WriteAheadLog
log = WriteAheadLog(Path(sys.argv[1]), bytes(range(16)))
n = len(log.recovered)
while True:
    log.append([b"%d" % n, b"."])
    n += 2
    if n % 50 == 0:
        log.rewrite([b"-"] * n)
    print(n, flush=True)
"""


def test_a_killed_process_loses_nothing_it_acknowledged(path, open_log):
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            lines = [child.stdout.readline() for _ in range(120)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
        # a last line without its end was cut by the kill
        acknowledged = int([line for line in lines if line.endswith("\n")][-1])
        log = open_log()
        assert len(log.recovered) >= acknowledged
        assert len(log.recovered) % 2 == 0  # groups are whole
        log.close()
