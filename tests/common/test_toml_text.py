"""The one reader of TOML: what people write is read exactly, and what would choke a reader is refused with its line."""

from __future__ import annotations

import time
import tomllib
from decimal import Decimal
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.program import main
from supervm.common.errors import InputError
from supervm.common.text.quoting import quoted, shorten
from supervm.common.text.toml_text import TEXT_BYTES_MAX, parse, parse_value, read_text

GOOD = '''\
# a comment with [[[[[[[[[[[[[[[[[[[[ and "quotes
"quoted key" = "a \\" b # [[[[[[[[[[[[[[[[[[[[[[ c"
literal = 'C:\\[[[[[[[[[[[[[[[[[[[[[[[['
long = """
two "quotes" ""in a row"" \\""" and [[[[[[[[[[[[[[[[[[[[[[[ five"""""
raw = \'\'\'it's [[[[[[[[[[[[[[[[[[[[[[[[[[ raw\'\'\'
number = 1_000.25
power = 6.02e+23
day = 2026-11-26T10:00:00.5Z
list = [[1, 2], [{a.b.c = 1}]]
[a.b.c]
x = true
'''


def test_what_people_write_is_what_the_standard_parser_reads() -> None:
    """Strings and comments may hold anything; numbers with a point come exactly if asked for."""
    assert parse(GOOD, "x") == tomllib.loads(GOOD)
    assert parse("\ufeff" + GOOD, "x", decimals=True)["number"] == Decimal("1000.25")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a = 1\nb = " + "1" * 5_000, 2, "is too long"),
        ("a = 0x" + "f" * 20_000, 1, "is too long"),
        ("a" * 101 + " = 1", 1, "is too long"),
        ("a = 1e99999999", 1, "exponents from -300 to 300"),
        ("a = 1.5E-9_99", 1, "exponents"),
        ("\n\na = " + "[" * 3_000 + "]" * 3_000, 3, "brackets"),
        ("a = " + "{a=" * 100_000, 1, "brackets"),
        ("a" + ".a" * 100_000 + " = 1", 1, "more than 16 parts"),
        ("[" + "a." * 20_000 + "a]", 1, "more than 16 parts"),
        ('x = """a""""\ny = 1e999999999', 2, "exponents"),
        ("x = '#'\ny = 1e999999999 # '", 2, "exponents"),
        ("#" * (TEXT_BYTES_MAX + 1), 1, "longer than"),
        ('a = "' + "x" * 100_000, None, "not TOML"),
        ('a = """' + '\\"""' * 100_000, None, "not TOML"),
        ("a = '''" + "x" * 100_000, None, "not TOML"),
        ("a = 1\na = 2", None, "not TOML"),
        ("\x00", None, "not TOML"),
    ],
)
def test_what_would_choke_a_reader_is_refused_at_once(text: str, line: int | None, said: str) -> None:
    """In one short sentence with the line, and in time that grows with the length."""
    began_s = time.process_time()
    with pytest.raises(InputError) as caught:
        parse(text, "f.toml", decimals=True)
    message = str(caught.value)
    assert message.startswith(f"f.toml, line {line}: " if line else "f.toml: "), message
    assert said in message
    assert len(message) < 400
    assert time.process_time() - began_s < 2


@given(st.text(alphabet="ab1.=[]{},\"'#\\\n e-_\t", max_size=60))
def test_any_text_is_read_as_the_standard_parser_reads_it(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(InputError):
            parse(text, "x")
    else:
        assert repr(parse(text, "x")) == repr(expected)


def test_values_of_a_command_line() -> None:
    assert parse_value("1.5", "--set") == Decimal("1.5")
    assert parse_value("plain words", "--set") == "plain words"
    assert parse_value("1\nb = 2", "--set") == "1\nb = 2"
    with pytest.raises(InputError, match=r"^--set: .*too long"):
        parse_value("1" * 5_000, "--set")


def test_files_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(InputError, match="no such file; make one"):
        read_text(path, "make one")
    path.write_bytes(b" " * (TEXT_BYTES_MAX + 1))
    with pytest.raises(InputError, match="longer than"):
        read_text(path, "")
    with pytest.raises(InputError, match="directory"):
        read_text(tmp_path, "")


def test_a_refusal_repeats_the_beginning_only() -> None:
    for value in ("x" * 5_000, 10**5_000, -(10**5_000), [1] * 5_000, b"x" * 5_000, {"a": "x" * 5_000}):
        assert len(quoted(value)) < 140
    assert quoted(True) == "True"
    assert quoted("ab") == "'ab'"
    assert shorten("abc", 2) == "ab... (3 characters)"


@pytest.mark.parametrize("text", ["1_0", "+5", " 5", "\u0665", "5.0", "", "x", "-1", "11", "9" * 5_000])
def test_numbers_on_a_command_line_are_plain_and_bounded(text: str) -> None:
    """What `int` would take, and what is out of bounds, is refused without being repeated."""
    with pytest.raises(click.BadParameter) as caught:
        WholeNumber(0, 10).convert(text, None, None)
    assert " is not " in caught.value.message
    assert len(caught.value.message) < 200
    assert WholeNumber(0, 10).convert("007", None, None) == 7


@pytest.mark.parametrize(
    "command",
    [
        ("fee", "split", "1" * 5_000),
        ("fee", "split", "1_0"),
        ("fee", "split", "1", "--shares", "1" * 5_000),
        ("sim", "run", "partition-heal", "--seed", "1" * 5_000),
        ("sim", "fuzz", "--seeds", "1" * 5_000),
        ("sim", "fuzz", "--minutes", "x" * 5_000),
        ("sim", "fuzz", "--minutes", "nan"),
        ("sim", "fuzz", "--mutate", "x" * 5_000),
        ("sim", "run", "x" * 5_000),
        ("x" * 5_000,),
        ("sim", "run", "partition-heal", "--engine", "x" * 5_000),
        ("sim", "run", "partition-heal", "--set", "scenario.duration_s=" + "1" * 5_000),
        ("sim", "run", "partition-heal", "--set", "fault." + "1" * 5_000 + ".at_s=3"),
        ("sim", "run", "partition-heal", "--set", "a." * 5_000 + "a=3"),
        ("sim", "run", "partition-heal", "--set", "expect.forks_max=1e99999999"),
        ("sim", "run", "partition-heal", "--set", "scenario.name=[" + "x" * 5_000),
        ("detect", "--storage-gib", "9" * 5_000),
    ],
)
def test_no_command_echoes_what_it_refuses(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and one line of bearable length."""
    assert main(list(command)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert len(said.err) < 2_000
