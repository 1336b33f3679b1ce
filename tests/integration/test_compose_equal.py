"""Real files: docker compose and the agent leave the same in Docker, and neither touches what the other one made.

The deliberate differences are written down in docs/compose.md; `stacks.OWN` and `stacks.normal` leave out only what
the Engine makes up by itself, and our own labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockpal_agent.compose.desired import Surroundings, container_request, network_body
from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Project
from dockpal_agent.engine import Engine
from tests.compose.corpus import Golden, absence, goldens
from tests.engines.daemon import Daemon
from tests.integration.stacks import Stack, tags_of

LEAST = 60  # files that must be compared with an engine
LEAST_OF_SOME = 15
EVERY = 4
OLDER, NEWER = (1, 41), (1, 51)


@pytest.fixture
def corpus() -> list[Golden]:
    missing = absence()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return [golden for golden in goldens() if not golden.refusal]


@dataclass
class Stage:
    """What a file refers to, made before it is brought up and taken away afterwards."""

    daemon: Daemon
    image: str
    folder: Path
    tags: list[str]
    networks: list[str]

    def set(self, project: Project) -> None:
        for tag in tags_of(project):
            if "@" not in tag and self.daemon.answer("GET", f"/images/{tag}/json").status == 404:
                name, colon, version = tag.rpartition(":") if ":" in tag.split("/")[-1] else (tag, ":", "latest")
                assert colon
                if (
                    self.daemon.answer("POST", f"/images/{self.image}/tag", {"repo": name, "tag": version}).status
                    == 201
                ):
                    self.tags.append(f"{name}:{version}")
        for entry in project.networks.values():
            if entry.get("external"):
                body = {"Name": entry["name"], "CheckDuplicate": True}
                self.networks.append(self.daemon.call("POST", "/networks/create", body=body)["Id"])
        for entry in (*project.secrets.values(), *project.configs.values()):
            self._file(entry.get("file", ""))
        for service in project.services.values():
            for mount in service.get("volumes", ()):
                if mount["type"] == "bind" and "." in Path(mount["source"]).name:
                    self._file(mount["source"])

    def clear(self) -> None:
        for network in self.networks:
            self.daemon.answer("DELETE", f"/networks/{network}")
        for tag in self.tags:
            self.daemon.answer("DELETE", f"/images/{tag}")

    def _file(self, path: str) -> None:
        """A file of the project's own folder; what lies elsewhere on the host is not ours to make."""
        if path.startswith(f"{self.folder}/") and not Path(path).exists():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("content")


@pytest.fixture
def stages(daemon: Daemon, busybox: str) -> Iterator[list[Stage]]:
    made: list[Stage] = []
    yield made
    for stage in made:
        stage.clear()


def compared(stack: Stack) -> list[str]:
    """What is not as it should be: theirs first, then ours over it; then ours, and theirs over it."""
    problems = []
    theirs = stack.held()
    over = stack.plan(start=False)
    if over.changes:
        problems.append(f"ours over theirs plans:\n{over}")
    stack.down()
    stack.ours(start=False)
    ours, rows = stack.held(), stack.rows()
    problems += [f"{kind} differ" for kind in theirs if theirs[kind] != ours[kind]]
    again = stack.theirs("up", "--no-start", check=False)
    if again.returncode or "Recreate" in again.stderr or stack.rows() != rows:
        problems.append(f"theirs over ours: {again.stderr}")
    return problems


def differs(project: Project) -> bool:
    """Whether what we send depends on the API version; a second network is part of the create, or a call of its own."""
    requests = []
    for version in (OLDER, NEWER):
        around = Surroundings(
            options=Options(),
            version=version,
            networks={key: str(entry.get("name")) for key, entry in project.networks.items()},
            volumes={key: str(entry.get("name")) for key, entry in project.volumes.items()},
            images={},
            parents=dict.fromkeys(project.services, "parent"),
            names={service: [service] for service in project.services},
            ids=dict.fromkeys(project.services, "id"),
        )
        networks = [network_body(project, key, Options(), version) for key in project.networks]
        requests.append([container_request(project, name, 1, around) for name in project.services] + networks)
    several = any(len(entry.get("networks") or ()) > 1 for entry in project.services.values())
    return requests[0] != requests[1] or several


@pytest.fixture
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether this engine meets the whole corpus.

    The third is the second one with older API versions cut off: it meets the files for which the version matters, and
    every fourth of the others.
    """
    return bool(request.node.callspec.params["docker_socket"] != "new-from-1.44")


@pytest.mark.slow
@pytest.mark.engines
def test_real_files_leave_the_same_in_docker_and_neither_touches_the_others_work(
    corpus: list[Golden],
    whole: bool,
    daemon: Daemon,
    engine: Engine,
    docker_compose: Path,
    busybox: str,
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
        if not (whole or differs(project) or number % EVERY == 0):
            continue
        stage = Stage(daemon, busybox, stack.folder, [], [])
        stages.append(stage)
        stage.set(project)
        try:
            if stack.theirs("up", "--no-start", check=False).returncode == 0:
                problems = compared(stack)
                equal += not problems
                if problems:
                    wrong[golden.name] = problems
        finally:
            if stack.rows():
                stack.down()
            stage.clear()

    with capsys.disabled():
        print(f"\ncompose: {equal} of {equal + len(wrong)} real files leave the same, API {daemon.version} and up")
    assert wrong == {}
    assert equal >= (LEAST if whole else LEAST_OF_SOME)
