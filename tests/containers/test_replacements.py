"""When what was interrupted is settled, and how often that is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import pytest

from dockpal_agent.containers.aside import Was
from dockpal_agent.containers.journal import Entry, Journal
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.containers.replacements import LONGEST_PAUSE, SETTLE_AGAIN, Replacements
from dockpal_agent.containers.settle import Settled
from dockpal_agent.engine import Engine, EngineUnavailable
from dockpal_agent.images.pulls import Pulls


class Pauses:
    """In the place of the event that ends the settling thread: what is waited, and the end after so many."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self._most = most

    def wait(self, timeout: float) -> bool:
        self.seconds.append(timeout)
        return len(self.seconds) >= self._most


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """With one group that a kill left."""
    journal = Journal(tmp_path)
    record = journal.open("edit of web")
    record.add(Entry("web", "0" * 64, Was.RUNNING, final_name="web"))
    record.leave_open()
    return journal


Settling = Callable[[Sequence[Optional[Exception]]], list[float]]


@pytest.fixture
def settling(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Settling:
    """The pauses of the thread, where each try fails so, or (None) leaves the group unsettled."""

    def run(tries: Sequence[Optional[Exception]]) -> list[float]:
        ends = iter(tries)

        def settle(*_: Any) -> list[Settled]:
            failure = next(ends)
            if failure is not None:
                raise failure
            return [Settled("web", "unsettled")]

        monkeypatch.setattr("dockpal_agent.containers.settle.settle", settle)
        engine = Engine("/nowhere/docker.sock")
        replacements = Replacements(engine, journal, OwnContainer(engine), Pulls(engine))
        pauses = Pauses(len(tries))
        monkeypatch.setattr(replacements, "_stopping", pauses)
        replacements._settle_when_there()
        return pauses.seconds

    return run


def test_what_docker_refuses_to_settle_is_tried_less_and_less_often_and_never_given_up(settling: Settling) -> None:
    pauses = settling([None] * 9)

    assert pauses == [times * SETTLE_AGAIN for times in (2, 4, 8, 16, 32)] + 4 * [LONGEST_PAUSE]


def test_while_the_daemon_is_away_it_is_looked_for_as_often_as_ever(settling: Settling) -> None:
    away = EngineUnavailable("the Docker daemon does not answer")

    assert settling([None, None, away, away, None]) == [
        2 * SETTLE_AGAIN,
        4 * SETTLE_AGAIN,
        SETTLE_AGAIN,
        SETTLE_AGAIN,
        2 * SETTLE_AGAIN,
    ]
