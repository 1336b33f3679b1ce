"""Pulls at once: caps and ends. What a registry answers is tested against a real one."""

from __future__ import annotations

import pytest

from dockpal_agent.engine import Engine, EngineUnavailable
from dockpal_agent.images.errors import TooManyPulls
from dockpal_agent.images.pulls import KEPT, Pull, Pulls, View
from dockpal_agent.images.references import parse

NGINX = parse("nginx")


def test_past_the_cap_a_pull_is_refused() -> None:
    with pytest.raises(TooManyPulls, match="0 pulls are running"):
        Pulls(Engine("/nowhere.sock"), at_once=0).start(NGINX, None)


def test_without_a_daemon_the_pull_fails_for_that_reason_and_the_next_tries_anew() -> None:
    pulls = Pulls(Engine("/nowhere.sock"))

    first = pulls.start(NGINX, None)
    with pytest.raises(EngineUnavailable):
        first.wait(10.0)

    assert pulls.start(NGINX, None) is not first


def test_after_the_agents_end_has_begun_nothing_is_pulled() -> None:
    pulls = Pulls(Engine("/nowhere.sock"))
    pulls.close()

    with pytest.raises(TooManyPulls):
        pulls.start(NGINX, None)


def test_a_slow_reader_misses_the_oldest_and_never_the_end() -> None:
    pull = Pull(NGINX)
    view = View(pull)
    for number in range(KEPT + 10):
        pull.say({"status": str(number)})
    pull.end(None)

    told = [view.next(0.0) for _ in range(KEPT)]
    with pytest.raises(EOFError):
        view.next(0.0)

    assert told == [{"status": str(number)} for number in range(10, KEPT + 10)]


def test_a_reader_who_comes_late_sees_what_is_kept_and_one_who_waits_for_nothing_gets_none() -> None:
    pull = Pull(NGINX)
    pull.say({"status": "early"})
    view = View(pull)

    assert (view.next(0.0), view.next(0.0)) == ({"status": "early"}, None)
