"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.compose.units import duration_text, parse_bool, parse_bytes, parse_duration

POWERS = {"b": 0, "k": 1, "kb": 1, "kib": 1, "m": 2, "mb": 2, "mib": 2, "g": 3, "gb": 3, "gib": 3, "t": 4, "p": 5}


@given(st.integers(0, 1000), st.sampled_from(sorted(POWERS)), st.booleans(), st.booleans())
def test_a_size_counts_in_powers_of_1024_whatever_the_case(number: int, unit: str, upper: bool, blank: bool) -> None:
    text = f"{number}{' ' if blank else ''}{unit.upper() if upper else unit}"

    assert parse_bytes(text) == number * 1024 ** POWERS[unit]


@pytest.mark.parametrize(("text", "size"), [("1.5g", 1610612736), ("64", 64), (".5k", 512), ("0", 0)])
def test_sizes_may_have_fractions_and_no_unit(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10x", "invalid suffix: 'x'"),
        ("1gigs", "invalid suffix: 'gigs'"),
        ("1bb", "invalid suffix: 'bb'"),
        ("-1", "invalid size: '-1'"),
        ("g", "invalid size: 'g'"),
        ("", "invalid size: ''"),
        ("9999999p", "invalid size: '9999999p'"),
    ],
)
def test_other_sizes_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        parse_bytes(text)


@given(st.integers(-(2**62), 2**62))
def test_a_duration_that_was_printed_is_read_as_the_same(duration: int) -> None:
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("90s", "1m30s"),
        ("1h", "1h0m0s"),
        ("1.5s", "1.5s"),
        ("1w1d", "192h0m0s"),
        ("100us", "100µs"),
        ("0", "0s"),
        ("-5s", "-5s"),
        ("1m500ms", "1m0.5s"),
    ],
)
def test_durations_are_printed_as_go_prints_them(text: str, printed: str) -> None:
    assert duration_text(parse_duration(text)) == printed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("10x", 'time: unknown unit "x" in duration "10x"'),
        ("", 'time: invalid duration ""'),
        (".s", 'time: invalid duration ".s"'),
        ("9" * 60 + "s", "time: invalid duration"),
    ],
)
def test_other_durations_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        parse_duration(text)


def test_a_boolean_may_be_written_in_the_old_ways_but_not_in_any_other() -> None:
    assert [parse_bool(word) for word in ("true", "YES", "on", "y")] == [True] * 4
    assert [parse_bool(word) for word in ("false", "No", "OFF", "n")] == [False] * 4
    with pytest.raises(ValueError, match="invalid boolean: maybe"):
        parse_bool("maybe")
