"""Bringing a project up: look, pull, plan, then do what the plan says, all of it or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockpal_agent.compose.agentlabels import says_itself
from dockpal_agent.compose.carrying_out import Run, RunFailed
from dockpal_agent.compose.errors import ComposeUnsupported
from dockpal_agent.compose.observe import observe
from dockpal_agent.compose.options import DONE, Options, Progress, Report
from dockpal_agent.compose.plan import Plan, PlanRefused, plan
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.pulling import PullFailed, pull_images
from dockpal_agent.compose.unsupported import unsupported
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.own import Action as OwnAction
from dockpal_agent.engine import Engine, containers

__all__ = ["ConvergeFailed", "Outcome", "converge"]

log = logging.getLogger(__name__)

UNTOUCHED: Final = "nothing was changed"


class ConvergeFailed(Exception):
    """The project could not be brought up; the text says what failed, in Docker's words, and what was undone.

    `restored` says whether all is as it was before; `undone` is what was put back or removed, one line each;
    `began_start` says whether it came to the start of a new container;
    `__cause__` is the Engine's error, ImageError, NotProven, JournalFailed, DependencyFailed or HookFailed.
    """

    def __init__(
        self, message: str, *, restored: bool, undone: tuple[str, ...] = (), began_start: bool = False
    ) -> None:
        super().__init__(message)
        self.restored: Final = restored
        self.undone: Final = undone
        self.began_start: Final = began_start


@dataclass(frozen=True)
class Outcome:
    """A project that is up. `plan` is what was done; `containers` are the ids of its containers by name.

    `kept_labels` is {service: {config hash of a container: {label: text}}}: what the file says now of containers that
    were kept although it changed labels that only the agent reads; "" for one that it has no more. Of
    `dockpal.auto-update`, `auto_update_labelled` says whether any service of the file has it, with whatever text.
    """

    plan: Plan
    containers: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    auto_update_labelled: bool = False

    @property
    def kept_labels(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """See the class."""
        return self.plan.kept_labels


def converge(engine: Engine, journal: Journal, project: Project, options: Options, report: Report) -> Outcome:
    """Make Docker hold the project. Raises ConvergeFailed; PlanRefused, ComposeUnsupported and Protected before
    anything was touched; EngineError where not even the first look succeeded.
    """
    problems = unsupported(project)
    if problems:
        raise ComposeUnsupported(problems)
    observed = observe(engine, project.name, project)
    made = plan(project, observed, options)
    _guard(engine, made, options)
    if made.refusal:
        raise PlanRefused(made.refusal)
    report(Progress("resolve", "", f"order: {', '.join(project.order())}", DONE))
    warnings = list(made.warnings)
    if made.pulls:
        warnings += _pulled(engine, made, options, report)
        observed = observe(engine, project.name, project)
        made = plan(project, observed, _without_pulls(options))
        _guard(engine, made, options)
    labelled = says_itself(project)
    if not made.changes:
        report(Progress("create", "", f"project {project.name} is up to date", DONE))
        return Outcome(made, _ids(made), tuple(warnings), labelled)
    run = Run(engine, journal, project, options, report, made, observed)
    try:
        ids, more = run.carry_out()
    except RunFailed as failure:
        raise ConvergeFailed(
            str(failure), restored=failure.restored, undone=failure.undone, began_start=failure.began_start
        ) from failure.__cause__
    log.info("project %s: %d containers", project.name, len(ids))
    return Outcome(made, ids, (*warnings, *more), labelled)


def _pulled(engine: Engine, made: Plan, options: Options, report: Report) -> list[str]:
    try:
        return pull_images(engine, made.pulls, options, report)
    except PullFailed as failure:
        raise ConvergeFailed(f"{failure}; {UNTOUCHED}", restored=True) from failure.__cause__


def _without_pulls(options: Options) -> Options:
    """What was asked to be pulled has been."""
    return Options(**{**vars(options), "pull": "never"})


def _ids(made: Plan) -> dict[str, str]:
    return {action.container: action.old.id for action in made.actions if action.kind == "service" and action.old}


def _guard(engine: Engine, made: Plan, options: Options) -> None:
    """Refuse what would end the agent's own container, or a protected one. Raises Protected, EngineError."""
    if options.own is None:
        return
    for action in made.of("service", "recreate", "remove", "start"):
        old = action.old
        if old is not None and options.own.protection(old.id, old.labels, old.running) is not None:
            deed: OwnAction = "remove" if action.action == "remove" else "edit"
            options.own.guard(containers.inspect(engine, old.id), deed)
