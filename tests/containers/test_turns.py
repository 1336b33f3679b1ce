"""One change of a container at a time; the same one again joins."""

from __future__ import annotations

import threading
from typing import Callable

import pytest

from dockpal_agent.containers.turns import Busy, Turns


class Held:
    """A deed that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        self.began.set()
        assert self.may_end.wait(10)
        return self.count


def in_background(deed: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(deed()))
    thread.start()
    return thread, results


def test_an_equal_change_joins_the_one_that_runs_and_gets_its_result() -> None:
    turns, deed = Turns(), Held()
    first, one = in_background(lambda: turns.run("web", "same", "an edit", 5, deed))
    assert deed.began.wait(5)
    second, two = in_background(lambda: turns.run("web", "same", "an edit", 5, deed))

    deed.may_end.set()
    first.join(5)
    second.join(5)

    assert one[0] == 1
    assert two[0] in (1, 2)  # it may have come after the end, and then did it again
    assert deed.count == two[0]


def test_those_who_joined_get_the_failure_too() -> None:
    turns, began, go = Turns(), threading.Event(), threading.Event()

    def fail() -> None:
        began.set()
        assert go.wait(10)
        raise ValueError("no")

    def caught() -> str:
        with pytest.raises(ValueError, match="no"):
            turns.run("web", "same", "an edit", 5, fail)
        return "caught"

    threads = [in_background(caught)]
    assert began.wait(5)
    threads.append(in_background(caught))
    go.set()
    for thread, results in threads:
        thread.join(5)
        assert results == ["caught"]


def test_another_change_waits_and_says_what_for_when_that_takes_too_long() -> None:
    turns, deed = Turns(), Held()
    thread, _ = in_background(lambda: turns.run("web", 1, "the edit of container web", 5, deed))
    assert deed.began.wait(5)

    with pytest.raises(Busy, match="the edit of container web is under way"):
        turns.run("web", 2, "another", 0.05, lambda: None)
    assert turns.run("other", 2, "another", 0.05, lambda: "free") == "free"

    deed.may_end.set()
    thread.join(5)
    assert turns.run("web", 2, "another", 0.05, lambda: "free") == "free"


def test_several_are_held_together_or_not_at_all() -> None:
    turns = Turns()
    with turns.held(["a", "b"], "a deploy", 0):
        with pytest.raises(Busy), turns.held(["c", "b"], "another deploy", 0):
            pass
        with turns.held(["c"], "a third", 0):
            pass
    with turns.held(["b", "c"], "a fourth", 0):
        pass
