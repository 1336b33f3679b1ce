"""Credentials: taken in any dress, matched as the Server names them, never shown."""

from __future__ import annotations

import base64
import json

import pytest

from dockpal_agent.images.credentials import for_reference, hide, recode
from dockpal_agent.images.errors import InvalidCredentials
from dockpal_agent.images.references import parse

LOGIN = {"username": "user", "password": "pä?>ss>>word", "serveraddress": "ghcr.io"}
STANDARD = base64.b64encode(json.dumps(LOGIN, ensure_ascii=False).encode()).decode()
URLSAFE = base64.urlsafe_b64encode(json.dumps(LOGIN).encode()).decode()


def auth(name: str) -> str:
    return base64.b64encode(json.dumps({"username": name, "password": "secret"}).encode()).decode()


def user_of(value: object) -> object:
    assert isinstance(value, str)
    return json.loads(base64.urlsafe_b64decode(value))["username"]


@pytest.mark.parametrize(
    "text",
    [STANDARD, URLSAFE, STANDARD.rstrip("="), URLSAFE.rstrip("="), STANDARD.replace("+", " "), f" {STANDARD}\n"],
)
def test_both_alphabets_of_base64_come_out_as_the_one_the_engine_takes(text: str) -> None:
    value = recode(text)

    assert value is not None and not set("+/") & set(value)
    assert json.loads(base64.urlsafe_b64decode(value)) == LOGIN


def test_the_sample_has_what_tells_the_alphabets_apart() -> None:
    assert set("+/") & set(STANDARD)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_credentials_are_none(text: str | None) -> None:
    assert recode(text) is None


@pytest.mark.parametrize("text", ["hunter2!", "c2VjcmV0", "WyJhIl0=", "A" * 70000, "{}", "W" * 4001])
def test_what_is_no_credentials_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(InvalidCredentials) as refused:
        recode(text)

    assert text not in str(refused.value)


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("ghcr.io/team/app:1", "ghcr.io"),
        ("ghcr.io/team/app:1", "GHCR.IO"),
        ("GHCR.io/team/app:1", "ghcr.io"),
        ("ghcr.io/team/app:1", "https://ghcr.io/v2/"),
        ("ghcr.io/team/app:1", "ghcr.io/team"),
        ("ghcr.io/team/app", "ghcr.io/team/app:latest"),
        ("registry.example.com:5000/app", "registry.example.com:5000"),
        ("nginx", "docker.io"),
        ("nginx", "index.docker.io"),
        ("team/app", "https://index.docker.io/v1/"),
        ("team/app", "registry"),
        ("team/app:2", "team/app:2"),
        ("nginx", "nginx"),
    ],
)
def test_a_registry_is_found_under_every_name_that_the_server_gives_it(image: str, key: str) -> None:
    assert (
        user_of(for_reference({"other.example.com": auth("other"), key: auth("mine")}, parse(image), image)) == "mine"
    )


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("ghcr.io/team/app:1", "docker.io"),
        ("nginx", "ghcr.io"),
        ("registry.example.com:5000/app", "registry.example.com"),
        ("ghcr.io/team2/app", "ghcr.io/team"),
    ],
)
def test_credentials_of_another_registry_are_not_given_away(image: str, key: str) -> None:
    assert for_reference({key: auth("other")}, parse(image), image) is None


def test_of_two_accounts_at_one_registry_the_more_particular_key_wins() -> None:
    auths = {"ghcr.io": auth("all"), "ghcr.io/team": auth("team"), "ghcr.io/team/app:1": auth("app")}

    found = [
        user_of(for_reference(auths, parse(name), name))
        for name in ("ghcr.io/x/y", "ghcr.io/team/other", "ghcr.io/team/app:1")
    ]

    assert found == ["all", "team", "app"]


@pytest.mark.parametrize("auths", [None, {}, {"docker.io": ""}, {"docker.io": None}])
def test_an_empty_map_gives_none(auths: dict[str, str] | None) -> None:
    assert for_reference(auths, parse("nginx")) is None


def test_a_secret_that_a_registry_echoes_is_hidden() -> None:
    value = recode(STANDARD)
    assert value is not None

    text = hide(f"bad password 'pä?>ss>>word' in {value}", value)

    assert text == "bad password '***' in ***"
