"""Amounts that people type and read: whole numbers only, and nothing is ever guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.money import NoAmount, read_amount, write_amount
from supervm.tier_l4_mobile.app.values import GRAIN, SVM, Unit


@pytest.mark.parametrize(
    ("typed", "unit", "units"),
    [
        ("1", SVM, 10**9),
        ("0.000000001", SVM, 1),
        (".5", SVM, 5 * 10**8),
        ("5.", SVM, 5 * 10**9),
        (" 1,250.50 ", SVM, 1_250_500_000_000),
        ("1250.5000000000000", SVM, 1_250_500_000_000),
        ("9,223,372,036.854775807", SVM, INT_MAX),
        ("007", GRAIN, 7),
        ("12.000", GRAIN, 12),
        ("１２．５", SVM, 12_500_000_000),
    ],
)
def test_amounts_are_read(typed: str, unit: Unit, units: int) -> None:
    assert read_amount(typed, unit) == units


@pytest.mark.parametrize(
    ("typed", "unit", "key"),
    [
        ("", SVM, "amount.empty"),
        ("  ", SVM, "amount.empty"),
        (".", SVM, "amount.unreadable"),
        (",", SVM, "amount.unreadable"),
        ("1.2.3", SVM, "amount.unreadable"),
        ("1,5", SVM, "amount.unreadable"),
        ("1,50.0", SVM, "amount.unreadable"),
        ("1234,567", SVM, "amount.unreadable"),
        (",123", SVM, "amount.unreadable"),
        ("1.234,567", SVM, "amount.unreadable"),
        ("-1", SVM, "amount.unreadable"),
        ("+1", SVM, "amount.unreadable"),
        ("1e9", SVM, "amount.unreadable"),
        ("0x10", SVM, "amount.unreadable"),
        ("1_000", SVM, "amount.unreadable"),
        ("١", SVM, "amount.unreadable"),
        ("1 SVM", SVM, "amount.unreadable"),
        ("1" * 65, SVM, "amount.unreadable"),
        ("0", SVM, "amount.zero"),
        ("0.000", SVM, "amount.zero"),
        ("0.0000000001", SVM, "amount.decimals"),
        ("1.5", GRAIN, "amount.whole"),
        ("9,223,372,036.854775808", SVM, "amount.much"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_sentence(typed: str, unit: Unit, key: str) -> None:
    with pytest.raises(NoAmount) as told:
        read_amount(typed, unit)
    assert told.value.text.key == key
    for code in ("en", "zh"):
        assert Language(code).write(told.value.text)


@given(st.integers(1, INT_MAX), st.integers(0, 18))
def test_what_is_written_is_read_as_it_was(units: int, decimals: int) -> None:
    assert read_amount(write_amount(units, decimals), Unit("svm", "X", decimals)) == units
    assert read_amount(write_amount(units, decimals).replace(",", ""), Unit("svm", "X", decimals)) == units


@given(st.text(max_size=80))
def test_nothing_that_is_typed_raises_anything_else(typed: str) -> None:
    said = None
    try:
        assert 1 <= read_amount(typed, SVM) <= INT_MAX
    except NoAmount as error:
        said = error.text
    assert said is None or Language("zh").write(said)


@pytest.mark.parametrize(
    ("units", "text"), [(0, "0"), (-5, "-0.000000005"), (10**18, "1,000,000,000"), (1, "0.000000001")]
)
def test_amounts_are_written(units: int, text: str) -> None:
    assert write_amount(units, 9) == text
