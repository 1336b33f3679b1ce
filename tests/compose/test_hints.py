"""Advice by Docker's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.compose.dotenv import dotenv
from dockpal_agent.compose.envfile import parse_env
from dockpal_agent.compose.hints import hints


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            "driver failed programming external connectivity on endpoint web: Bind for 0.0.0.0:80 failed: "
            "port is already allocated",
            "0.0.0.0:80 is taken",
        ),
        ("listen tcp4 0.0.0.0:8080: bind: address already in use", "0.0.0.0:8080 is taken"),
        ("No such image: app:1", "not on this host"),
        ('Conflict. The container name "/web" is already in use by container "abc"', "another `container_name`"),
        ("error while creating mount source path '/data': permission denied", "owner and mode"),
        ("network proxy declared as external, but could not be found", "docker network create"),
        ("net/http: request canceled (Client.Timeout exceeded while awaiting headers)", "took too long"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ("manifest for registry.example.com/team/app:9 not found: manifest unknown", "registry.example.com has no"),
        ("pull access denied for app, repository does not exist", "credentials for Docker Hub"),
        ("Get https://r.example.com:5000/v2/a/manifests/1: unauthorized", "credentials for r.example.com:5000"),
        ("unauthorized: ghcr.io/team/app:1", "credentials for ghcr.io"),
        ("container app-web-1 ended (exit code 7)", "did not get ready"),  # its log went with it
        ("toomanyrequests: You have reached your pull rate limit", "Docker Hub limits"),
    ],
)
def test_dockers_words_have_advice(words: str, advice: str) -> None:
    assert any(advice in hint for hint in hints(words)), hints(words)


def test_what_is_not_known_has_none() -> None:
    assert hints("something else") == []


@given(st.text(max_size=2000))
def test_any_text_is_taken(words: str) -> None:
    assert len(hints(words)) <= 3


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), st.text(st.characters(codec="utf-8"))))
def test_a_variable_is_read_back_from_the_env_file_as_it_was_or_is_a_comment(variables: dict[str, str]) -> None:
    text = dotenv("SENT=1", variables)
    lost = {name for name in variables if f"# {name} cannot be written" in text}
    read = parse_env(text, lambda name: None)
    assert {name: read.get(name) for name in variables if name not in lost} == {
        name: value for name, value in variables.items() if name not in lost
    }
