"""Docker's config.json as `docker login` writes it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.images.credentials import for_reference
from dockpal_agent.images.errors import InvalidCredentials
from dockpal_agent.images.login_file import read_login_file
from dockpal_agent.images.references import parse


def written(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def opened(header: str | None) -> Any:
    assert header is not None
    return json.loads(base64.urlsafe_b64decode(header))


def test_a_login_is_found_for_the_images_of_its_registry(tmp_path: Path) -> None:
    auth = base64.b64encode("üser:pass:word".encode()).decode()
    path = written(
        tmp_path,
        {
            "auths": {
                "https://index.docker.io/v1/": {"auth": auth},
                "ghcr.io": {"identitytoken": "token", "auth": base64.b64encode(b"u:").decode()},
                "empty.example.com": {},
                "broken.example.com": {"auth": "%%%"},
            },
        },
    )

    auths = read_login_file(path)

    assert opened(for_reference(auths, parse("nginx"))) == {
        "username": "üser",
        "password": "pass:word",
        "serveraddress": "https://index.docker.io/v1/",
    }
    assert opened(for_reference(auths, parse("ghcr.io/a/b")))["identitytoken"] == "token"
    assert for_reference(auths, parse("empty.example.com/a")) is None
    assert for_reference(auths, parse("broken.example.com/a")) is None


def test_who_needs_a_credential_helper_is_told_so_and_others_are_not(tmp_path: Path) -> None:
    login = {"auth": base64.b64encode(b"user:secret").decode()}
    path = written(
        tmp_path,
        {
            "auths": {"stored.example.com": {}, "plain.example.com": login, "both.example.com": login},
            "credsStore": "desktop",
            "credHelpers": {"eu.gcr.io": "gcloud", "both.example.com": "pass"},
        },
    )

    auths = read_login_file(path)

    with pytest.raises(InvalidCredentials, match=r"config\.json .*stored\.example\.com to docker-credential-desktop"):
        for_reference(auths, parse("stored.example.com/app"))
    with pytest.raises(InvalidCredentials, match=r"eu\.gcr\.io to docker-credential-gcloud"):
        for_reference(auths, parse("eu.gcr.io/team/app"))
    assert opened(for_reference(auths, parse("plain.example.com/app")))["password"] == "secret"
    assert opened(for_reference(auths, parse("both.example.com/app")))["password"] == "secret"
    assert for_reference(auths, parse("nginx")) is None


def test_helpers_alone_make_a_login_file(tmp_path: Path) -> None:
    auths = read_login_file(written(tmp_path, {"credHelpers": {"ghcr.io": "pass"}}))

    with pytest.raises(InvalidCredentials, match="docker-credential-pass"):
        for_reference(auths, parse("ghcr.io/a/b"))


@pytest.mark.parametrize("value", ["", "secret", "[]", "{}", '{"auths": []}', "[" * 100000])
def test_another_file_is_refused_without_its_content(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidCredentials, match=r"config\.json") as refused:
        read_login_file(written(tmp_path, value))

    assert "secret" not in str(refused.value)


def test_an_absent_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidCredentials, match="No such file"):
        read_login_file(tmp_path / "absent")
