"""Real files: the same model, the same hashes, the same refusals as docker compose 2.40.3."""

from __future__ import annotations

import json
import os
import re

import pytest

from dockpal_agent.compose.errors import ComposeError
from dockpal_agent.compose.load import load
from dockpal_agent.compose.printing import as_hashes, as_json
from dockpal_agent.compose.project import Project
from tests.compose.corpus import FOLDER, Golden, absence, goldens, request_for


@pytest.fixture(scope="module")
def corpus() -> list[Golden]:
    missing = absence()
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return goldens()


def read(golden: Golden) -> Project | str:
    try:
        return load(request_for(golden))
    except ComposeError as error:
        return str(error)


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}")


def test_every_file_that_compose_accepts_gives_the_same_model(
    corpus: list[Golden], capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = [golden for golden in corpus if not golden.refusal]
    wrong = {}
    for golden in accepted:
        project = read(golden)
        if isinstance(project, str) or json.loads(as_json(project)) != golden.model:
            wrong[golden.name] = project if isinstance(project, str) else "another model"

    say(capsys, f"compose golden: {len(accepted) - len(wrong)} of {len(accepted)} models equal")
    assert accepted
    assert wrong == {}


def test_every_service_has_the_hash_that_compose_gives_it(
    corpus: list[Golden], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {(golden.name, line) for golden in corpus for line in golden.hashes}
    found = set()
    for golden in corpus:
        project = read(golden)
        if isinstance(project, Project):
            found |= {(golden.name, line) for line in as_hashes(project).splitlines()}

    say(capsys, f"compose golden: {len(expected & found)} of {len(expected)} hashes equal")
    assert expected
    assert found == expected


def test_every_file_that_compose_refuses_is_refused_for_the_same_attribute(
    corpus: list[Golden], capsys: pytest.CaptureFixture[str]
) -> None:
    refused = [golden for golden in corpus if golden.refusal]
    wrong = {}
    for golden in refused:
        answer = read(golden)
        words = golden.refusal.strip().replace("FILE", f"{FOLDER}/{golden.name}")
        if isinstance(answer, Project) or not same_place(words, answer):
            wrong[golden.name] = (words, answer)

    say(capsys, f"compose golden: {len(refused) - len(wrong)} of {len(refused)} refusals for the same attribute")
    assert refused
    assert wrong == {}


def same_place(theirs: str, ours: str) -> bool:
    """Compose's words, whole or without a hint that is added here, in one of the problems."""
    return theirs in re.sub(r" \(did you mean [^)]*\)", "", ours)
