"""What opens a wallet: waits after wrong tries, a change that is whole or not made, and a keystore's part."""

import errno
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from nacl.secret import SecretBox

import supervm.common.wallet.tries as tries_module
from supervm.common.errors import CommonError, InputError
from supervm.common.wallet import (
    WALLET_FILE,
    Stretching,
    TooSoon,
    WrongPassphrase,
    change_passphrase,
    create_wallet,
    is_guarded,
    unlock_wallet,
)
from supervm.common.wallet.first_run import NewWords
from supervm.common.wallet.keystore import KeystoreRefused
from supervm.common.wallet.tries import FREE_TRIES, LONGEST_WAIT_US, TRIES_FILE, Tries, rest_us, wait_us

CHEAP = Stretching(passes=1, memory_bytes=8 << 10)
SECRET, OTHER, PIN = "correct horse", "battery staple", "493817"
SECOND_US = 1_000_000
NOW_US = 1_800_000_000 * SECOND_US


class Device:
    """A keystore as a device has one: its key never leaves it, and its owner may refuse."""

    def __init__(self) -> None:
        self._box, self.agrees = SecretBox(os.urandom(32)), True

    def wrap(self, secret: bytes) -> bytes:
        return bytes(self._box.encrypt(secret))

    def unwrap(self, wrapped: bytes) -> bytes:
        if not self.agrees:
            raise KeystoreRefused("the finger was not recognised")
        try:
            return self._box.decrypt(wrapped)
        except Exception:
            raise KeystoreRefused("this device did not wrap it") from None


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "w" / WALLET_FILE
    create_wallet(made, SECRET, words=None, entropy=bytes(32), cost=CHEAP)
    return made


def fail(path: Path, count: int, now_us: int) -> None:
    for _ in range(count):
        with pytest.raises(WrongPassphrase):
            unlock_wallet(path, "wrong", now_us=now_us)


# --- waits --------------------------------------------------------------------------------------------------------


def test_waits_double_up_to_an_hour():
    waits_s = [wait_us(wrong) // SECOND_US for wrong in range(15)]
    assert waits_s == [0] * FREE_TRIES + [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert wait_us(10**18) == LONGEST_WAIT_US


def test_after_some_wrong_tries_even_the_right_passphrase_has_to_wait_and_then_clears_the_count(path):
    fail(path, FREE_TRIES, NOW_US)
    with pytest.raises(TooSoon, match="after 5 wrong passphrases the next may be tried in 30 s") as told:
        unlock_wallet(path, SECRET, now_us=NOW_US)
    assert told.value.wait_us == 30 * SECOND_US
    with pytest.raises(TooSoon, match="in 1 s"):
        unlock_wallet(path, SECRET, now_us=NOW_US + 30 * SECOND_US - 1)
    fail(path, 1, NOW_US + 30 * SECOND_US)
    with pytest.raises(TooSoon, match=r"after 6 .* in 60 s"):
        unlock_wallet(path, SECRET, now_us=NOW_US + 30 * SECOND_US)
    assert unlock_wallet(path, SECRET, now_us=NOW_US + 90 * SECOND_US)
    fail(path, FREE_TRIES, NOW_US + 90 * SECOND_US)


def test_a_wait_is_not_counted_as_a_try(path):
    fail(path, FREE_TRIES, NOW_US)
    for second in range(29):
        with pytest.raises(TooSoon, match="after 5"):
            unlock_wallet(path, "wrong", now_us=NOW_US + second * SECOND_US)


def test_a_clock_that_is_set_back_begins_the_wait_anew_and_makes_it_no_longer(path):
    fail(path, FREE_TRIES, NOW_US)
    back_us = NOW_US - 10**6 * SECOND_US
    with pytest.raises(TooSoon, match="in 30 s"):
        unlock_wallet(path, SECRET, now_us=back_us)
    with pytest.raises(TooSoon, match="in 1 s"):
        unlock_wallet(path, SECRET, now_us=back_us + 29 * SECOND_US)
    assert unlock_wallet(path, SECRET, now_us=back_us + 30 * SECOND_US)
    assert rest_us(Tries("svm.tries", 9, NOW_US), 0) == wait_us(9)


def test_changing_the_passphrase_counts_as_a_try_too(path):
    for _ in range(FREE_TRIES):
        with pytest.raises(WrongPassphrase):
            change_passphrase(path, "wrong", OTHER, cost=CHEAP, now_us=NOW_US)
    with pytest.raises(TooSoon):
        unlock_wallet(path, SECRET, now_us=NOW_US)


def test_a_try_is_on_disk_before_it_is_made(path, monkeypatch):
    seen = []

    def stretched(*arguments):
        seen.append(tries_module.read_tries(path, NOW_US).wrong)
        raise SystemExit  # the program ends here

    monkeypatch.setattr("supervm.common.wallet.sealed.stretch", stretched)
    for _ in range(FREE_TRIES):
        with pytest.raises(SystemExit):
            unlock_wallet(path, SECRET, now_us=NOW_US)
    assert seen == [1, 2, 3, 4, 5]
    with pytest.raises(TooSoon):
        unlock_wallet(path, SECRET, now_us=NOW_US)


@pytest.mark.parametrize("damage", [b"", b"\xff", bytes(100)])
def test_a_damaged_count_waits_once_and_never_frees(path, damage):
    (path.parent / TRIES_FILE).write_bytes(damage)
    with pytest.raises(TooSoon, match="in 30 s"):
        unlock_wallet(path, SECRET, now_us=NOW_US)
    (path.parent / TRIES_FILE).write_bytes(damage)
    with pytest.raises(TooSoon):
        unlock_wallet(path, SECRET, now_us=NOW_US + 31 * SECOND_US)


def _no_room(number: int):
    def replace(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return replace


def test_a_full_disk_gives_no_free_tries_and_a_read_only_folder_still_opens(path, monkeypatch):
    monkeypatch.setattr(tries_module, "replace_file", _no_room(errno.ENOSPC))
    with pytest.raises(InputError, match=r"cannot be counted .* make room on the disk"):
        unlock_wallet(path, SECRET)
    monkeypatch.setattr(tries_module, "replace_file", _no_room(errno.EROFS))
    assert unlock_wallet(path, SECRET)


def test_what_is_the_machines_fault_is_no_wrong_try(path, monkeypatch):
    def no_memory(*_arguments):
        raise CommonError("no memory")

    monkeypatch.setattr("supervm.common.wallet.sealed.stretch", no_memory)
    for _ in range(2 * FREE_TRIES):
        with pytest.raises(CommonError, match="no memory"):
            unlock_wallet(path, SECRET, now_us=NOW_US)


# --- another passphrase -------------------------------------------------------------------------------------------


def test_another_passphrase_opens_the_same_words_and_the_old_one_nothing(path):
    words = unlock_wallet(path, SECRET).words()
    with pytest.raises(WrongPassphrase):
        change_passphrase(path, OTHER, OTHER, cost=CHEAP)
    change_passphrase(path, SECRET, OTHER, cost=CHEAP)
    assert unlock_wallet(path, OTHER).words() == words
    with pytest.raises(WrongPassphrase):
        unlock_wallet(path, SECRET)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(path.parent)) == [WALLET_FILE, TRIES_FILE]


def test_a_change_that_cannot_be_written_leaves_the_old_passphrase(path, monkeypatch):
    monkeypatch.setattr("supervm.common.wallet.store.replace_file", _no_room(errno.ENOSPC))
    with pytest.raises(InputError, match=r"No space left .* the passphrase is what it was"):
        change_passphrase(path, SECRET, OTHER, cost=CHEAP)
    assert unlock_wallet(path, SECRET)


CHANGE = """
import os, signal, sys
from pathlib import Path
from supervm.common.wallet import Stretching, change_passphrase
left = int(sys.argv[2])
def dying(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
for name in ("open", "write", "fsync", "fdatasync", "rename", "replace", "unlink", "close"):
    setattr(os, name, dying(getattr(os, name)))
change_passphrase(Path(sys.argv[1]), sys.argv[3], sys.argv[4], cost=Stretching(passes=1, memory_bytes=8 << 10))
"""


@pytest.mark.processes
def test_killed_at_any_call_to_the_system_the_old_or_the_new_passphrase_opens_it(path):
    words, old, new = unlock_wallet(path, SECRET).words(), SECRET, OTHER
    outcomes = set()
    for calls in range(60):
        done = subprocess.run([sys.executable, "-c", CHANGE, str(path), str(calls), old, new], capture_output=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        (path.parent / TRIES_FILE).unlink(missing_ok=True)  # a wait is another test's subject
        opened = [secret for secret in (old, new) if _opens(path, secret, words)]
        assert len(opened) == 1, f"killed after {calls} calls"
        outcomes.add((done.returncode, opened[0] == new))
        if opened[0] == new:
            old, new = new, old
        if done.returncode == 0:
            break
    assert {(-signal.SIGKILL, False), (-signal.SIGKILL, True), (0, True)} <= outcomes


def _opens(path: Path, secret: str, words: str) -> bool:
    try:
        return unlock_wallet(path, secret).words() == words
    except WrongPassphrase:
        return False


def test_a_wiped_wallet_is_of_no_use_and_says_so(path):
    wallet = unlock_wallet(path, SECRET)
    wallet.wipe()
    wallet.wipe()
    assert repr(wallet) == "<Wallet wiped>"
    for use in (wallet.words, lambda: wallet.account(0)):
        with pytest.raises(CommonError, match="was wiped"):
            use()


# --- a keystore's part --------------------------------------------------------------------------------------------


def test_a_pin_opens_a_wallet_only_with_the_keystore_of_its_device(tmp_path):
    path, device = tmp_path / WALLET_FILE, Device()
    words = create_wallet(path, PIN, words=None, entropy=bytes(32), cost=CHEAP, keystore=device)
    assert is_guarded(path)
    assert unlock_wallet(path, PIN, keystore=device).words() == words
    with pytest.raises(WrongPassphrase):
        unlock_wallet(path, "493818", keystore=device)
    with pytest.raises(KeystoreRefused, match="only on the device that it was made on"):
        unlock_wallet(path, PIN)
    with pytest.raises(KeystoreRefused, match="did not wrap"):
        unlock_wallet(path, PIN, keystore=Device())
    device.agrees = False
    for _ in range(2 * FREE_TRIES):  # a finger is no wrong PIN
        with pytest.raises(KeystoreRefused, match="finger"):
            unlock_wallet(path, PIN, keystore=device)
    device.agrees = True
    assert unlock_wallet(path, PIN, keystore=device)


def test_from_a_passphrase_to_a_pin_and_back(path):
    device = Device()
    words = unlock_wallet(path, SECRET).words()
    change_passphrase(path, SECRET, PIN, new_keystore=device, cost=CHEAP)
    assert is_guarded(path)
    assert unlock_wallet(path, PIN, keystore=device).words() == words
    change_passphrase(path, PIN, OTHER, keystore=device, cost=CHEAP)
    assert not is_guarded(path)
    assert unlock_wallet(path, OTHER).words() == words


def test_new_words_take_a_pin_only_with_a_keystore(tmp_path):
    new = NewWords(bytes(32), bytes(16))
    words = new.show()
    new.answer([words[place - 1] for place in new.asked])
    with pytest.raises(InputError, match="at least 12"):
        new.write(tmp_path / "w", PIN, cost=CHEAP)
    device = Device()
    new.write(tmp_path / "w", PIN, keystore=device, cost=CHEAP)
    assert unlock_wallet(tmp_path / "w", PIN, keystore=device).words() == " ".join(words)


def test_a_keystore_that_wraps_into_nothing_is_refused(tmp_path):
    class Hollow(Device):
        def wrap(self, secret: bytes) -> bytes:
            return b""

    with pytest.raises(CommonError, match="wraps into 0 bytes"):
        create_wallet(tmp_path / "w", PIN, words=None, entropy=bytes(32), cost=CHEAP, keystore=Hollow())
    assert not (tmp_path / "w").exists()


def test_mutated_wallet_files_end_in_a_sentence(path, monkeypatch):
    rng, good = random.Random(3), path.read_bytes()
    monkeypatch.setattr(tries_module, "FREE_TRIES", 10**9)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 30))):
            place = rng.randrange(len(data))
            data[place] = rng.randrange(256)
        if bytes(data[:20]) != good[:20]:
            continue  # a planted cost of a GiB is another test's subject
        path.write_bytes(bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))]))
        with suppress(InputError):
            unlock_wallet(path, SECRET)
