from __future__ import annotations

import random

import pytest

from dockpal_agent.transport.edge.backoff import LIMIT, SLOW, TRIES, Backoff


class Highest(random.Random):
    """Always the upper end, so that the limit of the jitter is seen."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def test_the_limit_of_the_jitter_doubles_from_the_base_and_stops_at_a_minute() -> None:
    backoff = Backoff(5.0, Highest())
    assert [backoff.delay(0.0) for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, LIMIT, LIMIT]


def test_the_jitter_is_full_so_that_a_fleet_spreads_over_the_whole_delay() -> None:
    assert Backoff(5.0, Lowest()).delay(0.0) == 0.0
    delays = [Backoff(5.0, random.Random(seed)).delay(0.0) for seed in range(200)]
    assert min(delays) < 0.5 and max(delays) > 4.5


def test_a_request_takes_the_delay_back_to_the_start() -> None:
    backoff = Backoff(5.0, Highest())
    for _ in range(4):
        backoff.delay(0.0)
    backoff.served()
    assert backoff.delay(0.0) == 5.0


def test_a_base_above_the_limit_is_kept() -> None:
    assert Backoff(300.0, Highest()).delay(0.0) == 300.0


def test_a_thousand_losses_do_not_overflow() -> None:
    backoff = Backoff(5.0, Highest())
    assert [backoff.delay(0.0) for _ in range(1000)][-1] == LIMIT


def test_retry_after_is_waited_out_and_the_jitter_comes_on_top() -> None:
    assert Backoff(5.0, Lowest()).delay(0.0, retry_after=42.0) == 42.0
    assert Backoff(5.0, Highest()).delay(0.0, retry_after=42.0) == 47.0


def test_a_retry_after_of_days_is_taken_for_a_mistake() -> None:
    assert Backoff(5.0, Lowest()).delay(0.0, retry_after=1e9) == 3600.0


def test_a_refused_token_goes_on_slowly() -> None:
    assert Backoff(0.1, Lowest()).delay(0.0, slow=True) == SLOW[0]
    assert Backoff(0.1, Highest()).delay(0.0, slow=True) == SLOW[1]


@pytest.mark.parametrize("base", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("source", [Lowest(), Highest(), random.Random(1)])
def test_there_are_never_more_than_five_tries_within_any_minute(base: float, source: random.Random) -> None:
    backoff = Backoff(base, source)
    now, dials = 0.0, []
    for _ in range(200):
        dials.append(now)
        backoff.dialed(now)
        backoff.served()  # the worst case: the delay starts anew each time
        now += backoff.delay(now)

    assert all(later - earlier >= 60 for earlier, later in zip(dials, dials[TRIES:]))
