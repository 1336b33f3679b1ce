"""The stages of an update attempt, which may follow which, and the error codes that go with them (protocol 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

__all__ = ["ENDS", "MOVES", "ErrorCode", "IllegalMove", "Stage", "check_move"]


class Stage(str, Enum):
    """Where an attempt is. `pending` is in the feed only: an automatic attempt that was skipped."""

    PENDING = "pending"
    PULLING = "pulling"
    RECREATING = "recreating"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class ErrorCode(str, Enum):
    """Why an attempt ended badly, or was not begun."""

    SKIPPED_COOLDOWN = "skipped_cooldown"
    SKIPPED_WINDOW = "skipped_window"
    PULL_ERROR = "pull_error"
    AUTH_MISSING = "auth_missing"
    COMPOSE_ERROR = "compose_error"
    HEALTH_PROBE_FAILED = "health_probe_failed"
    ROLLBACK_FAILED = "rollback_failed"


# From a stage, where an attempt may go. Failed: nothing was changed, or the way back failed too.
MOVES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.PULLING: frozenset({Stage.RECREATING, Stage.COMPLETED, Stage.FAILED}),
    Stage.RECREATING: frozenset({Stage.VERIFYING, Stage.COMPLETED, Stage.FAILED, Stage.ROLLED_BACK}),
    Stage.VERIFYING: frozenset({Stage.COMPLETED, Stage.FAILED, Stage.ROLLED_BACK}),
    Stage.COMPLETED: frozenset(),
    Stage.FAILED: frozenset(),
    Stage.ROLLED_BACK: frozenset(),
}
ENDS: Final = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.ROLLED_BACK})


class IllegalMove(Exception):
    """A move that the table does not have: a defect of the caller, which changed nothing."""


def check_move(stage: Stage, to: Stage) -> None:
    """Raises IllegalMove. A stage may repeat itself, to say more."""
    if to is not stage and to not in MOVES.get(stage, frozenset()):
        raise IllegalMove(f"an attempt cannot go from {stage.value} to {to.value}")
