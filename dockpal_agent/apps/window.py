"""When an app may update itself: the labels `dockpal.auto-update.window` and `dockpal.auto-update.min-age`."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final, Optional

from dockpal_agent.durations import parse_duration

__all__ = ["MIN_AGE", "WINDOW", "Window", "read_age", "read_window", "seconds_young"]

WINDOW: Final = "dockpal.auto-update.window"
MIN_AGE: Final = "dockpal.auto-update.min-age"

_WINDOW: Final = re.compile(r"\s*([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})\s*", re.ASCII)
_DAYS: Final = re.compile(r"([0-9]{1,6})d(.*)", re.ASCII)
DAY: Final = 24 * 60  # minutes


@dataclass(frozen=True)
class Window:
    """A time of each day, in minutes since midnight by the host's clock on the wall; `end` itself is outside.

    A clock that is put forward over the whole window leaves that day without one; one that is put back has it twice.
    """

    start: int
    end: int

    def is_open(self, local: time.struct_time) -> bool:
        """Whether this time of the host's clock is in it."""
        now = local.tm_hour * 60 + local.tm_min
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end  # over midnight

    def __str__(self) -> str:
        return f"{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"


def read_window(text: str) -> Optional[Window]:
    """The window of `HH:MM-HH:MM`. None means any time: the text is empty or none such, or a window of no length.

    `24:00` is taken as an end, as people write it.
    """
    match = _WINDOW.fullmatch(text)
    if match is None:
        return None
    hour, minute, end_hour, end_minute = (int(part) for part in match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start >= DAY or end > DAY or minute > 59 or end_minute > 59 or start == end % DAY:
        return None
    return Window(start, end)


def read_age(text: str) -> Optional[float]:
    """Seconds of `72h`, `90m`, and with days in front `3d` or `1d12h`; None for what is none such."""
    match = _DAYS.fullmatch(text.strip())
    if match is None:
        return parse_duration(text.strip())
    rest = parse_duration(match.group(2)) if match.group(2) else 0.0
    return None if rest is None else int(match.group(1)) * 86400.0 + rest


def seconds_young(text: str, first_seen: float, now: float) -> float:
    """For how many seconds an image that was first seen then is younger than the label asks for; 0 where it asks for
    nothing, or for what is no duration.
    """
    age = read_age(text) if text.strip() else None
    return 0.0 if age is None else max(0.0, first_seen + age - now)
