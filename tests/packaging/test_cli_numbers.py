"""Numbers that people type: one rule on every command line, and refusals that do not show pages of input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from supervm.common.cli import main
from supervm.common.cli.numbers import DecimalNumber, WholeNumber
from supervm.common.cli.program import program
from supervm.common.text.quoting import quoted

NO_NUMBERS = ["1_5", "+5", " 5", "5 ", "٥", "५", "５", "0x5", "1e1", "5.0", "", "--5", "9" * 5_000, "²", "1,000"]


def parameters(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    for parameter in command.params:
        yield path, parameter
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from parameters(found, f"{path} {name}")


def test_every_number_of_every_command_line_is_read_by_the_one_rule() -> None:
    """A new option of type int would take "1_5" again; this finds it whatever member it is in."""
    numeric = [
        (path, parameter)
        for path, parameter in parameters(program)
        if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
    ]
    assert len(numeric) >= 20
    assert [
        f"{path} {parameter.name}"
        for path, parameter in numeric
        if not isinstance(parameter.type, WholeNumber | DecimalNumber)
    ] == []


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: text[:8])
def test_only_plain_digits_are_a_number(text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        WholeNumber(0, 2**63 - 1).convert(text, None, None)
    assert len(caught.value.format_message()) < 200
    if not re.fullmatch(r"[0-9]+\.[0-9]+", text):
        with pytest.raises(click.BadParameter):
            DecimalNumber(0, 2**40).convert(text, None, None)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("15", 15), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_plain_digits_are_taken(text: str, value: int) -> None:
    assert WholeNumber(0, 2**63 - 1).convert(text, None, None) == value


def test_bounds_hold_and_decimals_are_plain() -> None:
    with pytest.raises(click.BadParameter, match="range"):
        WholeNumber(1, 5).convert("6", None, None)
    with pytest.raises(click.BadParameter, match="range"):
        WholeNumber(1, 5).convert("-1", None, None)
    assert DecimalNumber(min=1).convert("1.5", None, None) == 1.5
    for text in ("inf", "nan", "1e400", "0.5", "1_0", ".5"):
        with pytest.raises(click.BadParameter):
            DecimalNumber(min=1).convert(text, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["fee", "split", "9" * 5_000],
        ["fee", "split", "1_5"],
        ["fee", "split", "+5"],
        ["fee", "split", "٥"],
        ["fee", "split", "5", "--shares", "9" * 5_000],
        ["up", "--l1", "9" * 5_000],
        ["detect", "--cores", "1_0"],
        ["fee", "split", "5", "--" + "x" * 5_000],
        ["x" * 5_000],
        ["init", "y" * 5_000],
    ],
    ids=lambda arguments: " ".join(arguments)[:24],
)
def test_a_refusal_is_one_short_line_and_nothing_is_done(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert len(err) < 600


@pytest.mark.parametrize("option", ["--amount", "--fee", "--validity", "--timeout"])
@pytest.mark.parametrize("text", ["1_5", "+5", "٥"])
def test_a_payment_of_no_plain_number_is_refused(
    tmp_path: Path, option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--amount": "10", "--fee": "1", option: text}
    words = [part for pair in given.items() for part in pair]
    assert main(["pay", "--dir", str(tmp_path), "--to", "svm1x", *words]) == 2
    assert "is not a valid integer" in capsys.readouterr().err


def test_what_is_quoted_is_shown_from_its_beginning() -> None:
    assert quoted("abc") == "'abc'"
    assert quoted("9" * 5_000) == f"'{'9' * 60}'... (5000 characters)"
