"""`compose plan` and `compose up`: what would be done, and doing it, as for a deploy."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Callable

from dockpal_agent.compose.apply import converge
from dockpal_agent.compose.chosen import env_files_of
from dockpal_agent.compose.errors import ComposeUnsupported
from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.compose.observe import observe
from dockpal_agent.compose.options import DONE, Options, Progress
from dockpal_agent.compose.plan import plan
from dockpal_agent.compose.prepare import refuse_unmounted
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.shell import Shell, shell
from dockpal_agent.compose.unsupported import ignored, unsupported
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.settle import settle_journal

__all__ = ["run_plan", "run_up"]


def run_plan(arguments: argparse.Namespace, read: Callable[[], Project]) -> int:
    """Print what `up` would do and why; does nothing."""
    project = _project(read)
    with shell() as at:
        options = _options(arguments, project, at, at.paths())
        made = plan(project, observe(at.engine, project.name, project), options)
    if arguments.format == "json":
        json.dump(made.as_json(), sys.stdout, indent=2)
        print()
    else:
        print(made)
        for warning in made.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    return 0


def run_up(arguments: argparse.Namespace, read: Callable[[], Project]) -> int:
    """Bring the project up; all of it, or nothing."""
    _end_as_by_ctrl_c()
    project = _project(read)
    with shell() as at, at.alone(project.name):
        options = _options(arguments, project, at, at.paths())
        # A journal of its own: the agent would take an open entry in its own for one that a kill left, and undo it.
        journal = Journal(at.state / "shell" / project.name)
        settle_journal(at.engine, journal)
        outcome = converge(at.engine, journal, project, options, at.printer.report)
        for warning in outcome.warnings:
            at.printer.report(Progress("hint", "", warning, DONE))
        count = len(outcome.containers)
        words = f"project {project.name} is up: {count} container{'' if count == 1 else 's'}"
        at.printer.report(Progress("complete", "", words, DONE))
    return 0


def _end_as_by_ctrl_c() -> None:
    """Undo what was begun also where the connection to the host breaks off, or somebody ends the process."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)


def _project(read: Callable[[], Project]) -> Project:
    """The file's project, if it can be brought up at all. Raises ComposeError."""
    project = read()
    problems = unsupported(project)
    if problems:
        raise ComposeUnsupported(problems)
    for line in ignored(project):
        print(f"warning: {line}", file=sys.stderr)
    return project


def _options(arguments: argparse.Namespace, project: Project, at: Shell, paths: HostPaths) -> Options:
    """Raises NoHostPath."""
    folder = Path(project.working_dir)
    refuse_unmounted(project, folder, paths, folder)
    return Options(
        force_recreate=arguments.force_recreate,
        pull=arguments.pull,
        remove_orphans=arguments.remove_orphans,
        start=not getattr(arguments, "no_start", False),
        wait=getattr(arguments, "wait", False),
        display_name=arguments.project_name or project.name,
        compose_path=project.config_files[0] if project.config_files else "",
        environment_files=tuple(map(str, env_files_of(arguments, os.environ))),
        host_paths=paths if paths.contained else None,
        own=at.own,
    )
