"""Bringing a project up: look, pull, plan, then do what the plan says, all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockpal_agent.compose.options import Options, Report
from dockpal_agent.compose.plan import Plan
from dockpal_agent.compose.project import Project
from dockpal_agent.containers.journal import Journal
from dockpal_agent.engine import Engine

__all__ = ["ConvergeFailed", "Outcome", "converge"]


class ConvergeFailed(Exception):
    """The project could not be brought up; the text says what failed, in Docker's words, and what was undone.

    `restored` says whether all is as it was before; `undone` is what was put back or removed, one line each;
    `__cause__` is the Engine's error, ImageError, NotProven, JournalFailed or DependencyFailed.
    """

    def __init__(self, message: str, *, restored: bool, undone: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.restored: Final = restored
        self.undone: Final = undone


@dataclass(frozen=True)
class Outcome:
    """A project that is up. `plan` is what was done; `containers` are the ids of its containers by name."""

    plan: Plan
    containers: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def converge(engine: Engine, journal: Journal, project: Project, options: Options, report: Report) -> Outcome:
    """Make Docker hold the project. Raises ConvergeFailed; PlanRefused, ComposeUnsupported and Protected before
    anything was touched; EngineError where not even the first look succeeded.
    """
    raise NotImplementedError
