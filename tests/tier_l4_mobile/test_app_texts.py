"""The app's words: both languages whole, every letter in the font, numbers and times as each language writes them."""

from __future__ import annotations

import ast
import string
import struct
from datetime import timedelta, timezone
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.tier_l4_mobile import app
from supervm.tier_l4_mobile.app import texts
from supervm.tier_l4_mobile.app.assets import FONT_FILE
from supervm.tier_l4_mobile.app.language import Language, language_of
from supervm.tier_l4_mobile.app.texts import CATALOGUES, Forms
from supervm.tier_l4_mobile.app.values import GRAIN, SVM, Amount, Moment, Span, Text, say

HOME = Path(app.__file__).parent
EN, ZH = Language("en"), Language("zh")
KEYS = list(CATALOGUES["en"])


def forms(code: str, key: str) -> list[str]:
    pattern = CATALOGUES[code][key]
    return list(pattern) if isinstance(pattern, Forms) else [pattern]


def placeholders(pattern: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}


# --- whole ------------------------------------------------------------------------------------------------------------


@cache
def constants() -> set[str]:
    """Every text that stands in the app's code, outside of the catalogues."""
    found = set()
    for path in HOME.rglob("*.py"):
        if path.parent.name != "texts":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {
                item.value for item in ast.walk(tree) if isinstance(item, ast.Constant) and type(item.value) is str
            }
    return found


def said() -> list[tuple[str, set[str]]]:
    """(Key, names of its values) of every call of `say` in the app."""
    found = []
    for path in HOME.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
                [key] = call.args
                assert isinstance(key, ast.Constant), f"{path.name}:{call.lineno}: the key is not written out"
                found.append((key.value, {str(keyword.arg) for keyword in call.keywords}))
    return found


def test_both_languages_have_the_same_texts_with_the_same_values() -> None:
    assert list(CATALOGUES["zh"]) == KEYS
    for key in KEYS:
        [names] = {frozenset(placeholders(pattern)) for code in CATALOGUES for pattern in forms(code, key)}
        assert ("n" in names) or not isinstance(CATALOGUES["en"][key], Forms), key


def test_no_text_is_empty_and_none_is_left_in_the_other_language() -> None:
    same = {"home.amount", "home.hidden", "home.nothing-proved", "pay.to-contact", "settings.english"}
    same |= {
        "settings.chinese",
        "settings.percent",
        "number.amount",
        "app.name",
        "pay.unit",
        "paying.at",
        "income.amount",
    }
    same |= {"activity.when", "settings.after", "settings.mib"}
    for key in KEYS:
        assert all(pattern.strip() == pattern != "" for code in CATALOGUES for pattern in forms(code, key)), key
        assert (set(forms("en", key)) & set(forms("zh", key)) != set()) == (key in same), key


def test_every_text_is_used_and_every_text_that_is_used_is_there() -> None:
    assert [key for key in KEYS if key not in constants()] == []
    for key, names in said():
        assert key in KEYS, key
        assert names == placeholders(forms("en", key)[0]), key


def test_texts_are_plain_and_short() -> None:
    for code in CATALOGUES:
        for key in KEYS:
            for pattern in forms(code, key):
                assert len(pattern) <= 120, f"{key} in {code}"
                assert not {"!", "  "} & {pattern[-1:], pattern}, key


# --- the font ---------------------------------------------------------------------------------------------------------


@cache
def letters() -> frozenset[int]:
    """The letters of the shipped font: the ranges of its character map of format 4."""
    data = FONT_FILE.read_bytes()
    tables = {data[at : at + 4]: struct.unpack_from(">II", data, at + 8) for at in range(12, 12 + 16 * data[5], 16)}
    start, _ = tables[b"cmap"]
    (count,) = struct.unpack_from(">H", data, start + 2)
    offsets = [struct.unpack_from(">HHI", data, start + 4 + 8 * place)[2] for place in range(count)]
    at = next(start + offset for offset in offsets if struct.unpack_from(">H", data, start + offset)[0] == 4)
    (twice,) = struct.unpack_from(">H", data, at + 6)
    ends = struct.unpack_from(f">{twice // 2}H", data, at + 14)
    starts = struct.unpack_from(f">{twice // 2}H", data, at + 16 + twice)
    return frozenset(code for first, last in zip(starts, ends, strict=True) for code in range(first, last + 1))


@pytest.mark.parametrize("code", CATALOGUES)
def test_every_letter_of_every_text_is_in_the_font(code: str) -> None:
    used = {letter for key in KEYS for pattern in forms(code, key) for letter in pattern}
    assert sorted(letter for letter in used if ord(letter) not in letters()) == []


def test_the_font_has_latin_letters_and_level_1_of_gb_2312() -> None:
    level = [bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    chinese = "".join(pair.decode("gb2312", "ignore") for pair in level)
    assert len(chinese) == 3_755
    latin = [*range(0x20, 0x7F), *range(0xA0, 0x180)]
    assert {*map(ord, chinese), *latin} <= letters()
    assert FONT_FILE.stat().st_size < 800_000
    assert "Apache License" in FONT_FILE.with_name("FONT.LICENSE.txt").read_text(encoding="utf-8")


# --- values in them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "en", "zh"),
    [
        (1_234_567, "1,234,567", "1,234,567"),
        (Amount(1_500_000_000), "1.5 SVM", "1.5 SVM"),
        (Amount(1_234_567_000_000_001), "1,234,567.000000001 SVM", "1,234,567.000000001 SVM"),
        (Amount(7, GRAIN), "7 grain", "7 grain"),
        (Amount.of(12_000, "ab" * 32), "12,000 abababab", "12,000 abababab"),
        (Span(0), "0 s", "0 秒"),
        (Span(59), "59 s", "59 秒"),
        (Span(60), "1 minute", "1 分钟"),
        (Span(3_599), "59 minutes", "59 分钟"),
        (Span(3 * 3_600), "3 hours", "3 小时"),
        (Span(86_400), "1 day", "1 天"),
        (Span(1_000 * 86_400), "1,000 days", "1,000 天"),
        (Moment(1_795_779_840_000), "27 Nov 2026, 11:44", "2026年11月27日 11:44"),
        (Moment(-5), "1 Jan 1970, 00:00", "1970年1月1日 00:00"),
        (Moment(2**63), "1 Jan 9999, 00:00", "9999年1月1日 00:00"),
        ("{braces}", "{braces}", "{braces}"),
        (say("time.ago", age=Span(12)), "12 s ago", "12 秒前"),
    ],
)
def test_values_are_written_as_each_language_writes_them(value: object, en: str, zh: str) -> None:
    assert (EN.value(value), ZH.value(value)) == (en, zh)  # type: ignore[arg-type]


def test_one_and_many() -> None:
    counted = [EN.write(say("queue.count", n=n)) for n in (0, 1, 2, 1_000)]
    assert counted == ["0 payments wait", "1 payment waits", "2 payments wait", "1,000 payments wait"]
    assert ZH.write(say("queue.count", n=1)) == "1 笔付款在等待"


def test_times_are_those_of_the_reader() -> None:
    far = Language("en", timezone(timedelta(hours=14)))
    assert far.value(Moment(1_795_779_840_000)) == "28 Nov 2026, 01:44"
    assert far.value(Moment(2**63)).endswith("9999, 14:00")


@pytest.mark.parametrize(
    ("system", "code"),
    [("zh_CN.UTF-8", "zh"), ("zh-Hans", "zh"), ("en-GB", "en"), ("de", "en"), ("", "en"), ("C", "en")],
)
def test_the_systems_language_is_taken_where_it_is_ours(system: str, code: str) -> None:
    assert language_of(system) == code


@given(st.sampled_from(KEYS), st.text(min_size=1, max_size=20), st.integers(0, 2**63 - 1))
def test_no_value_breaks_a_text(key: str, word: str, number: int) -> None:
    for language in (EN, ZH):
        for pattern in forms(language.code, key):
            for value in (word, number, Amount(number, SVM), Span(number), Moment(number)):
                values = {name: number if name == "n" else value for name in placeholders(pattern)}
                assert language.write(Text(key, values))


def test_the_catalogues_are_one_package() -> None:
    assert sorted(CATALOGUES) == ["en", "zh"]
    assert {path.stem for path in Path(texts.__file__).parent.glob("*.py")} == {"__init__", "catalogue", "en", "zh"}
