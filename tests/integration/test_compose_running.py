"""Real files that run: docker compose and the agent take over each other's projects, and nothing restarts.

All images are one that runs whatever its command is. A file takes part when docker compose can bring it up with that,
and all of it goes on running.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockpal_agent.compose.apply import ConvergeFailed
from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.running import NoSuchProject
from dockpal_agent.compose.unsupported import unsupported
from dockpal_agent.compose.waiting import HEALTHY
from dockpal_agent.engine import Engine
from tests.compose.corpus import Golden
from tests.engines.daemon import Daemon
from tests.engines.images import archive_of
from tests.integration.stacks import Stack
from tests.integration.test_compose_equal import Stage, corpus, stages

__all__ = ["corpus", "stages"]  # fixtures

LEAST = 40  # files that must have run
CHECKS = ("curl", "healthcheck", "mariadb-admin", "mongosh", "mysqladmin", "node", "pg_isready", "python", "redis-cli")


@pytest.fixture
def runs_anything(daemon: Daemon, busybox: str, unique: str) -> Iterator[str]:
    """An image whose containers run for good, with programs that find everything healthy."""
    reference = f"dockpal-test/{unique}:anything"
    container = daemon.create(busybox, name=unique)
    links = [(f"bin/{name}", "/bin/true") for name in CHECKS]
    daemon.call("PUT", f"/containers/{container}/archive", {"path": "/"}, body=archive_of([], links))
    config = {"Entrypoint": ["/bin/sh", "-c", "exec sleep 100000"], "Cmd": [], "StopSignal": "SIGKILL"}
    name, _, tag = reference.partition(":")
    daemon.call("POST", "/commit", {"container": container, "repo": name, "tag": tag}, body=config)
    daemon.remove(container)
    yield reference
    daemon.call("DELETE", f"/images/{reference}", {"force": 1})


def up(stack: Stack) -> subprocess.CompletedProcess[str]:
    """docker compose's; what is not here is not pulled, and nothing is built."""
    return stack.theirs("up", "-d", "--pull", "never", "--no-build", check=False)


def runs(stack: Stack) -> bool:
    return set(stack.states().values()) == {"running"}


def changes_hands(stack: Stack) -> list[str]:
    """What is not as it should be: theirs first, then ours over it; then ours, and theirs over it."""
    problems = []
    before = stack.rows()
    planned = stack.plan(pull="never")
    if planned.changes and runs(stack):
        problems.append(f"ours over theirs plans:\n{planned}")
    try:
        stack.ours(proof=0.0, pull="never")
        if stack.rows() != before:
            problems.append("ours over theirs restarts")
        stack.down()
        stack.ours(proof=0.0, pull="never")
    except ConvergeFailed as failure:
        return [*problems, str(failure)]
    ours = stack.rows()
    if ours.keys() != before.keys():
        problems.append(f"other containers: {sorted(before)}, {sorted(ours)}")
    again = up(stack)
    if again.returncode or "Recreate" in again.stderr or stack.rows() != ours:
        problems.append(f"theirs over ours: {again.stderr}")
    return problems


def waits(project: Project) -> bool:
    """Whether a service of it waits for a health check: those of real files take half a minute each."""
    needs = (need for service in project.services for need in project.dependencies(service))
    return any(need.condition == HEALTHY for need in needs)


@pytest.mark.slow
def test_real_files_change_hands_while_they_run_and_nothing_restarts(
    corpus: list[Golden],
    daemon: Daemon,
    engine: Engine,
    docker_compose: Path,
    runs_anything: str,
    unique: str,
    stages: list[Stage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong: dict[str, list[str]] = {}
    equal = 0
    for number, golden in enumerate(corpus):
        stack = Stack(tmp_path / str(number), unique, daemon, engine, docker_compose)
        stack.write(golden.path.read_text("utf-8"))
        try:
            project = stack.read()
        except ComposeError:  # it wants variables or files that the golden run had
            continue
        if unsupported(project) or waits(project):
            continue
        stage = Stage(daemon, runs_anything, stack.folder, [], [])
        stages.append(stage)
        stage.set(project)
        try:
            if up(stack).returncode == 0 and runs(stack):
                problems = changes_hands(stack)
                equal += not problems
                if problems and runs(stack):
                    wrong[golden.name] = problems
        finally:
            with contextlib.suppress(NoSuchProject):
                stack.down()
            stage.clear()

    with capsys.disabled():
        print(f"\ncompose: {equal} of {equal + len(wrong)} real files change hands while they run, in both directions")
    assert wrong == {}
    assert equal >= LEAST
