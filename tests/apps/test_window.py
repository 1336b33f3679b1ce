"""When an app may update itself, by the host's clock on the wall."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.apps.window import read_age, read_window, seconds_young


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """UTC+1, in summer UTC+2; the rule is written out, so that no zone files are needed."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*parts: int) -> float:
    return float(calendar.timegm((*parts, 0)))


def is_open(text: str, moment: float) -> bool:
    window = read_window(text)
    return window is None or window.is_open(time.localtime(moment))


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("02:00-05:00", "01:59", False),
        ("02:00-05:00", "02:00", True),
        ("02:00-05:00", "04:59", True),
        ("02:00-05:00", "05:00", False),
        ("22:30-01:15", "22:29", False),
        ("22:30-01:15", "22:30", True),
        ("22:30-01:15", "23:59", True),
        ("22:30-01:15", "00:00", True),
        ("22:30-01:15", "01:14", True),
        ("22:30-01:15", "01:15", False),
        ("22:00-24:00", "23:59", True),
        ("22:00-24:00", "00:00", False),
        ("22:00-00:00", "23:59", True),
        ("22:00-00:00", "00:00", False),
        (" 2:00 - 5:00 ", "03:00", True),
        (" 2:00 - 5:00 ", "06:00", False),
    ],
)
def test_a_window_opens_with_its_start_and_is_over_with_its_end(
    berlin: None, text: str, at: str, expected: bool
) -> None:
    hour, minute = (int(part) for part in at.split(":"))
    for month, hours_ahead in ((1, 1), (7, 2)):
        moment = utc(2026, month, 15, hour, minute) - hours_ahead * 3600
        assert is_open(text, moment) is expected, month


@pytest.mark.parametrize(
    "text",
    ["", " ", "always", "02:00", "02:00-", "25:00-26:00", "24:00-02:00", "02:60-03:00", "02:00-03:60", "02:00-24:01",
     "2-5", "03:00-03:00", "00:00-24:00", "02:00-05:00,06:00-07:00", "٠٢:٠٠-٠٥:٠٠"],
)  # fmt: skip
def test_what_is_no_window_means_any_time(text: str) -> None:
    assert read_window(text) is None


@given(st.text(max_size=20))
def test_any_text_is_a_window_or_none(text: str) -> None:
    window = read_window(text)
    assert window is None or read_window(str(window)) == window


def test_on_the_day_that_lacks_the_hour_a_window_in_it_does_not_open(berlin: None) -> None:
    """On 2026-03-29 the clock goes from 01:59 CET to 03:00 CEST."""
    opened = [minute for minute in range(24 * 60) if is_open("02:15-02:45", utc(2026, 3, 29, 0, 0) + minute * 60)]
    assert opened == []


def test_on_the_day_that_has_the_hour_twice_a_window_in_it_opens_twice(berlin: None) -> None:
    """On 2026-10-25 the clock goes from 02:59 CEST back to 02:00 CET."""
    opened = [minute for minute in range(24 * 60) if is_open("02:15-02:45", utc(2026, 10, 25, 0, 0) + minute * 60)]
    assert opened == [*range(15, 45), *range(75, 105)]


def test_around_a_change_of_the_clock_the_wall_decides(berlin: None) -> None:
    assert is_open("01:00-04:00", utc(2026, 3, 29, 0, 59)) and is_open("01:00-04:00", utc(2026, 3, 29, 1, 59))
    assert not is_open("01:00-04:00", utc(2026, 3, 29, 2, 0)), "04:00 CEST"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("72h", 259200.0), ("90m", 5400.0), ("3d", 259200.0), ("1d12h", 129600.0), ("0", 0.0), (" 1h ", 3600.0),
     ("", None), ("3", None), ("d", None), ("3 days", None), ("1h1d", None), ("-1h", None), ("1dx", None)],
)  # fmt: skip
def test_an_age_is_a_duration_and_may_have_days(text: str, seconds: object) -> None:
    assert read_age(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3000.0), ("10m", 0.0), ("9m", 0.0), ("1d", 85800.0), ("", 0.0), ("a week", 0.0)]
)
def test_an_image_is_too_young_until_it_has_its_age(text: str, seconds: float) -> None:
    assert seconds_young(text, 1000.0, 1600.0) == seconds
