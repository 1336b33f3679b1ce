"""Hostile deploys to a running agent: each is a clear 4xx at once, and the agent is as large as before."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from tests.api.test_deploy import HOSTILE
from tests.integration.deploying import Agent, running_agent


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, docker_socket: str) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("data"), docker_socket) as agent:
        yield agent


@pytest.fixture(scope="module")
def warm(agent: Agent) -> Agent:
    """An agent that has refused a file of the largest size already, so that all it needs for that is loaded."""
    full = "services: {web: {image: x, depends_on: [no]}}\n" + "# comment\n" * 40_000
    assert agent.deploy("warm", full).status_code == 400
    return agent


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_file_is_refused_and_the_agent_is_as_large_as_before(warm: Agent, case: str) -> None:
    compose, expected = HOSTILE[case]
    before = warm.memory()
    for _ in range(3):
        try:
            answer = warm.deploy("app", compose)
        except requests.ConnectionError:  # it hung up while we were still sending 10 MB, as it may
            assert case == "10 MB"
            continue
        assert answer.status_code in expected and answer.json()["error"]
        assert json.dumps(answer.json()).isprintable()
    assert warm.memory() - before < 3 << 20, f"{(warm.memory() - before) >> 10} KiB more"
    assert not (warm.data / "compose" / "app").exists()


def test_the_agent_answers_while_a_hostile_file_is_read_and_says_in_the_end_what_is_wrong(warm: Agent) -> None:
    compose, _ = HOSTILE["10,000 services"]
    started = warm.start("app", compose)
    assert warm.answers()
    (*_, last) = warm.events(started)
    assert (last["step"], last["status"]) == ("parse", "error") and "services" in last["message"]
