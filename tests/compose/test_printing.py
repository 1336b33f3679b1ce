"""A project printed as YAML and JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockpal_agent.compose.load import load
from dockpal_agent.compose.printing import as_json, as_yaml_text
from dockpal_agent.compose.project import ReadRequest, TextFile
from tests.compose.judge import FOLDER, Case, cases, request_for
from tests.compose.reading import read

PRINTED = Path(__file__).parent / "printed"
NOT_READ_AGAIN = (  # docker compose itself reads something else in what it prints for these
    'extra_hosts: ["a:1", "a:2", "a:1,3"]',
    "memswap_limit: -1",
    'ports: [{target: 80, published: 8080}, "8080:80"]',
    "build6",
)
ACCEPTED = [
    pytest.param(case, id=f"{group}: {case.name}")
    for group in ("attributes", "yaml", "merges")
    for case in cases(group)
    if case.model and case.name not in NOT_READ_AGAIN
]


def test_yaml_is_what_docker_compose_prints_letter_by_letter() -> None:
    text = (PRINTED / "given.yml").read_text("utf-8")
    variables = {"ABC": "q", "HOME": "/nonexistent"}

    project = load(ReadRequest((TextFile(f"{FOLDER}/given.yml", text),), FOLDER, "app", variables=variables))

    assert as_yaml_text(project) == (PRINTED / "config.yml").read_text("utf-8")
    assert as_json(project) == (PRINTED / "config.json").read_text("utf-8")


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_project_that_was_printed_as_yaml_is_read_as_the_same(case: Case) -> None:
    project = load(request_for(case))

    again = load(ReadRequest((TextFile(f"{FOLDER}/c.yml", as_yaml_text(project)),), FOLDER, "app"))

    assert as_json(again) == as_json(project)


def test_dollars_are_doubled_in_print_and_single_in_the_project() -> None:
    project = read("services: {a: {image: x, command: [$$HOME]}}")

    assert project.services["a"]["command"] == ["$HOME"]
    assert '"$$HOME"' in as_json(project)
