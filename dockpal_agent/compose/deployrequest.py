"""What a deploy asks for: read once from a request's JSON (protocol 2 and 13) into a value that cannot be wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Optional

from dockpal_agent.compose.limits import check_size
from dockpal_agent.compose.names import normalise_project_name

__all__ = ["COMPOSE_FILE", "ENV_FILE", "LARGEST_BODY", "PRIVATE", "DeployRequest", "InvalidDeploy", "read_deploy"]

COMPOSE_FILE: Final = "docker-compose.yml"
ENV_FILE: Final = ".env"
PRIVATE: Final = ".dockpal"  # the folder of the agent's own records, in a project's folder
RESERVED: Final = frozenset(
    {
        COMPOSE_FILE,
        ENV_FILE,
        PRIVATE,
        "docker-compose.previous.yml",
        "docker-compose.yaml",
        "compose.yaml",
        "compose.yml",
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
        "compose.override.yml",
        "compose.override.yaml",
    }
)

LARGEST_BODY: Final = 4 << 20  # bytes of the JSON: the largest file, its escapes, and what is shipped
LARGEST_FILES: Final = 1 << 20  # bytes of all shipped files
MOST_FILES: Final = 200
MOST_VARIABLES: Final = 2000
MOST_NAMES: Final = 100  # profiles, and registries with credentials
LONGEST_PATH: Final = 512  # characters
MOST_LEVELS: Final = 16

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PROFILE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*|\*")


class InvalidDeploy(Exception):
    """The request is malformed, or a value in it is not what it must be; the text names it."""


@dataclass(frozen=True)
class DeployRequest:
    """A project to bring up. Only `name` and `compose` are always given.

    `auths` are registry credentials by host, for this one deploy: never stored, compared or logged. `env_file` None
    means that there is no `.env`; `files` None that those of the deploy before stay as they are.
    """

    name: str
    compose: str = field(repr=False)
    force_pull: bool = False
    auths: Mapping[str, str] = field(default_factory=dict, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_file: Optional[str] = field(default=None, repr=False)
    files: Optional[Mapping[str, str]] = field(default=None, repr=False)
    profiles: tuple[str, ...] = ()

    @property
    def project(self) -> str:
        """The name in Docker, as Compose normalises it."""
        return normalise_project_name(self.name)

    @property
    def digest(self) -> str:
        """The same for the same deploy, whatever its credentials are."""
        return hashlib.sha256(json.dumps([*self._content(), self.force_pull], sort_keys=True).encode()).hexdigest()

    def same_files(self, other: DeployRequest) -> bool:
        """Whether both store the same."""
        return self._content() == other._content()

    def as_json(self) -> dict[str, Any]:
        """What is stored of it: all but the credentials."""
        return {
            "name": self.name,
            "compose": self.compose,
            "env": dict(self.env),
            "env_file": self.env_file,
            "files": None if self.files is None else dict(self.files),
            "profiles": list(self.profiles),
        }

    def _content(self) -> list[Any]:
        files = None if self.files is None else dict(self.files)
        return [self.name, self.compose, dict(self.env), self.env_file, files, list(self.profiles)]


def read_deploy(body: Mapping[str, Any]) -> DeployRequest:
    """The deploy of a JSON body. Raises InvalidDeploy; ComposeTooLarge where size is what is wrong.

    The file is in `compose` (direct) or `compose_yaml` (edge), credentials in `registry_auths`.
    """
    name = _text(body, "name")
    if not name:
        raise InvalidDeploy("name is required")
    if not _NAME.fullmatch(name):
        raise InvalidDeploy(
            "name may have up to 128 letters, digits, dots, dashes and underscores, a letter or digit first"
        )
    compose = _text(body, "compose") or _text(body, "compose_yaml")
    if not compose or not compose.strip():
        raise InvalidDeploy("compose is required: the text of a Compose file")
    _check_text(compose, COMPOSE_FILE)
    env_file = _text(body, "env_file")
    if env_file is not None:
        _check_text(env_file, ENV_FILE)
    return DeployRequest(
        name=name,
        compose=compose,
        force_pull=_flag(body, "force_pull"),
        auths=_auths(body),
        env=_variables(body),
        env_file=env_file,
        files=_files(body),
        profiles=_profiles(body),
    )


def _text(body: Mapping[str, Any], field_name: str) -> Optional[str]:
    value = body.get(field_name)
    if value is not None and not isinstance(value, str):
        raise InvalidDeploy(f"{field_name} must be a string")
    return value


def _flag(body: Mapping[str, Any], field_name: str) -> bool:
    value = body.get(field_name)
    if value is not None and not isinstance(value, bool):
        raise InvalidDeploy(f"{field_name} must be true or false")
    return bool(value)


def _mapping(body: Mapping[str, Any], field_name: str, most: int) -> Optional[dict[str, Any]]:
    value = body.get(field_name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidDeploy(f"{field_name} must be an object")
    if len(value) > most:
        raise InvalidDeploy(f"{field_name} has {len(value)} entries; at most {most} are accepted")
    return value


def _check_text(text: str, file: str) -> None:
    """Size first: nothing else looks at what is too large. NULs are left to the reading, which says where they are."""
    check_size(len(text), file)
    try:
        check_size(len(text.encode("utf-8")), file)
    except UnicodeEncodeError:
        raise InvalidDeploy(f"{file}: the text is not Unicode: it holds half a character") from None


def _auths(body: Mapping[str, Any]) -> dict[str, str]:
    auths = {}
    for host, value in (_mapping(body, "registry_auths", MOST_NAMES) or {}).items():
        if value is not None and not isinstance(value, str):
            raise InvalidDeploy(f"registry_auths: the credentials for {host[:200]!r} must be base64 text")
        if value:
            auths[host] = value
    return auths


def _variables(body: Mapping[str, Any]) -> dict[str, str]:
    """Numbers and booleans are taken as a `.env` has them, null as an empty text."""
    variables = {}
    for key, value in (_mapping(body, "env", MOST_VARIABLES) or {}).items():
        if not key or "=" in key or _CONTROL.search(key):
            raise InvalidDeploy(f"env: {key[:200]!r} is not the name of a variable")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if value is not None and not isinstance(value, (str, int, float)):
            raise InvalidDeploy(f"env: the value of {key[:200]} must be a string")
        text = "" if value is None else str(value)
        if "\0" in text:
            raise InvalidDeploy(f"env: the value of {key[:200]} holds a NUL")
        variables[key] = text
    total = "".join(f"{key}={value}\n" for key, value in variables.items())
    _check_text(total, "env")
    return variables


def _files(body: Mapping[str, Any]) -> Optional[dict[str, str]]:
    given = _mapping(body, "files", MOST_FILES)
    if given is None:
        return None
    files: dict[str, str] = {}
    for path, text in given.items():
        clean = _relative(path)
        if not isinstance(text, str):
            raise InvalidDeploy(f"files: the content of {path!r} must be a string")
        if clean in files:
            raise InvalidDeploy(f"files: {clean} is there twice")
        _check_text(text, clean)
        files[clean] = text
    for path in files:
        above = path.split("/")[:-1]
        if any("/".join(above[: count + 1]) in files for count in range(len(above))):
            raise InvalidDeploy(f"files: {path} lies below another of the files")
    total = sum(len(text.encode("utf-8")) for text in files.values())
    if total > LARGEST_FILES:
        raise InvalidDeploy(f"files have {total} bytes together; at most {LARGEST_FILES} are accepted")
    return files


def _relative(path: str) -> str:
    """A path below the project's folder, `./` left out."""
    shown = repr(path[:200])
    if not path or path.startswith("/") or _CONTROL.search(path) or len(path) > LONGEST_PATH:
        raise InvalidDeploy(f"files: {shown} must be a relative path without control characters")
    parts = [part for part in path.split("/") if part != "."]
    if not parts or ".." in parts or "" in parts or len(parts) > MOST_LEVELS or any(len(p) > 255 for p in parts):
        raise InvalidDeploy(f"files: {shown} must be the path of a file below the project's folder, without ..")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidDeploy(f"files: {shown} is not Unicode") from None
    if parts[0] in RESERVED:
        raise InvalidDeploy(f"files: {parts[0]} is made of `compose` and `env_file`, or read by docker compose")
    return "/".join(parts)


def _profiles(body: Mapping[str, Any]) -> tuple[str, ...]:
    value = body.get("profiles")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidDeploy("profiles must be a list of names")
    if len(value) > MOST_NAMES:
        raise InvalidDeploy(f"profiles has {len(value)} entries; at most {MOST_NAMES} are accepted")
    for name in value:
        if len(name) > 128 or not _PROFILE.fullmatch(name):
            raise InvalidDeploy(f"profiles: {name[:200]!r} is not the name of a profile")
    return tuple(dict.fromkeys(value))
