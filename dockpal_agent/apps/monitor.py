"""The image monitor (protocol 5.1): asks registries, round after round, whether they have newer images than this host.

It asks little: one question for each tagged reference and interval, none for what was asked lately (kept over a
restart), and none at all to a registry that has said it is enough, for a time that doubles.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Final

from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.rounds import ROUND_LIMIT, Question, Round, questions
from dockpal_agent.engine import Cancel, Engine, EngineError, containers, images

__all__ = ["Monitor"]

log = logging.getLogger(__name__)

FIRST: Final = (2.0, 12.0)  # seconds from the start to the first round: hosts that start together do not ask together
JITTER: Final = (0.9, 1.1)
SHORTEST: Final = 60.0  # seconds between rounds
DAEMON_AWAY: Final = 30.0  # seconds until another try


class Monitor:
    """Runs rounds in a thread of its own. `after_round` is called there, after each that saw the host's images."""

    def __init__(
        self,
        engine: Engine,
        checks: Checks,
        *,
        login: Callable[[], Mapping[str, Any]],
        interval: float,
        after_round: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
        first: tuple[float, float] = FIRST,
    ) -> None:
        self._engine: Final = engine
        self._checks: Final = checks
        self._login: Final = login
        self._interval: Final = interval
        self._after_round: Final = after_round
        self._now: Final = now
        self._first: Final = first
        self._stopping: Final = Cancel()
        self._trouble = ""  # why the last round could not look at the host's images; the thread's own
        self._thread: Final = threading.Thread(target=self._run, name="image monitor", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes soon."""
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """End, also in the middle of a question; what was learned is kept."""
        self._stopping.cancel()
        if self._thread.is_alive():
            self._thread.join(within)
        self._checks.save()

    def round(self, *, first: bool = False) -> float:
        """Look at the host's images and ask about what is due; the seconds until the next round is.

        The first round after a start leaves what was asked less than an interval ago. Raises EngineError where the
        daemon does not answer; what was learned by then is kept.
        """
        try:
            local = images.list_images(self._engine)
            self._checks.note_images(local)
            known = questions(local, containers.list_containers(self._engine), self._checks)
            self._checks.forget_others(question.reference.familiar for question in known)
            # Later rounds leave only what was asked out of turn: by hand, or while others waited for their registry.
            fresh_for = self._interval if first else max(self._interval / 2, self._interval * 0.8 - ROUND_LIMIT)
            due = [question for question in known if not 0 <= self._age(question) < fresh_for]
            left = self._ask(due)
        finally:
            self._checks.save()
        fresh = [question for question in known if question not in due] if first else []
        return self._until_next(fresh, left)

    def _ask(self, due: Sequence[Question]) -> list[Question]:
        if not due:
            return []
        asking = Round(self._engine, self._checks, self._login(), self._stopping)
        left = asking.ask(due)
        log.debug("image monitor: %d references asked, %d left", asking.asked, len(left))
        return left

    def _until_next(self, fresh: Sequence[Question], left: Sequence[Question]) -> float:
        """An interval; less where something becomes due before, or a registry may be asked for the rest again."""
        seconds = self._interval * _between(*JITTER)
        oldest = max((self._age(question) for question in fresh), default=0.0)
        waits = [self._checks.wait_of(question.reference.domain) * _between(1.0, JITTER[1]) for question in left]
        soonest = min([seconds - oldest, *(wait for wait in waits if wait > 0)])
        return max(soonest, min(SHORTEST, self._interval))

    def _age(self, question: Question) -> float:
        """Seconds since the question was asked; negative where the clock was set back since."""
        return self._now() - question.asked_at

    def _run(self) -> None:
        seconds, first = _between(*self._first), True
        while not self._stopping.wait(seconds):
            try:
                seconds, first = self.round(first=first), False
            except EngineError as error:
                seconds = DAEMON_AWAY
                self._note(str(error))
                continue
            except Exception:  # the boundary of a thread that has to last as long as the agent
                log.exception("image monitor: a round failed unexpectedly")
                seconds = self._interval
                continue
            self._note("")
            if self._stopping.cancelled:
                return
            try:
                self._after_round()
            except Exception:  # the monitor has to go on, whatever those who act on its findings run into
                log.exception("image monitor: acting on a round failed")

    def _note(self, trouble: str) -> None:
        """Log a failure when it begins or changes."""
        if trouble and trouble != self._trouble and not self._stopping.cancelled:
            log.warning("image monitor: %s", trouble)
        self._trouble = trouble


def _between(least: float, most: float) -> float:
    """Any number between the two. Python's `random` would take its memory for nothing else in direct mode."""
    return least + (most - least) * int.from_bytes(os.urandom(4), "big") / 2**32
