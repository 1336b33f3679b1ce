"""The host's own credentials for what runs unattended."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from dockpal_agent.apps.logins import Logins
from dockpal_agent.images.errors import InvalidCredentials
from dockpal_agent.images.references import parse

APP = parse("registry.example.com/team/app")


def write(path: Path, user: str) -> None:
    auth = base64.b64encode(f"{user}:secret".encode()).decode()
    path.write_text(json.dumps({"auths": {"registry.example.com": {"auth": auth}}}))


def user_of(logins: Logins) -> str:
    auth = logins.auth_for(APP)
    return "" if auth is None else str(json.loads(base64.urlsafe_b64decode(auth))["username"])


def test_without_a_file_there_are_no_credentials_and_the_variable_is_named() -> None:
    logins = Logins(None)

    assert (logins.read(), logins.auth_for(APP)) == ({}, None)
    assert "registry.example.com in DOCKPAL_REGISTRY_AUTH_FILE" in logins.advice(APP)


def test_a_later_login_counts_at_once(tmp_path: Path) -> None:
    logins = Logins(tmp_path / "config.json")
    write(tmp_path / "config.json", "first")
    assert user_of(logins) == "first"

    write(tmp_path / "config.json", "second")

    assert user_of(logins) == "second"
    assert str(tmp_path / "config.json") in logins.advice(APP)


def test_a_file_that_cannot_be_used_is_logged_once_for_each_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.json"
    logins = Logins(path)

    for content in (None, None, "secret", "secret", "ok", "ok", "secret"):
        if content == "ok":
            write(path, "user")
        elif content is not None:
            path.write_text(content)
        assert user_of(logins) == ("user" if content == "ok" else "")

    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(str(path))[2] for text in said] == [
        " cannot be read: No such file or directory",
        " is not a Docker config.json",
        " is not a Docker config.json",
    ]
    assert "is not a Docker config.json" in logins.advice(APP)
    assert "secret" not in caplog.text


def test_a_credential_helper_is_named_to_who_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"credHelpers": {"registry.example.com": "pass"}}))

    with pytest.raises(InvalidCredentials, match="docker-credential-pass"):
        Logins(path).auth_for(APP)
    assert Logins(path).auth_for(parse("nginx")) is None
