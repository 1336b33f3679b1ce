"""The host's own registry credentials, for what happens without a request: Docker's `config.json`.

`docker login` writes it; DOCKPAL_REGISTRY_AUTH_FILE names it. It is read anew each time, so that a later login counts
and nothing of it stays in memory.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional, Union

from dockpal_agent.images.credentials import Unusable
from dockpal_agent.images.errors import InvalidCredentials

__all__ = ["read_login_file"]

SIZE_LIMIT: Final = 1 << 20  # bytes
BRACKET_LIMIT: Final = 2000  # one for each registry and some more; json.loads recurses on a small stack


def read_login_file(path: Path) -> dict[str, Union[str, Unusable]]:
    """{registry: X-Registry-Auth value} of a Docker config.json, fit for credentials.for_reference.

    Where a credential helper or store has the password, its program is not run: such a registry is Unusable, and who
    needs it is told so. Raises InvalidCredentials when the file cannot be read or is no such file; the text names the
    file and nothing secret that is in it.
    """
    value = _read(path)
    auths, helpers, store = value.get("auths"), value.get("credHelpers"), value.get("credsStore")
    if not isinstance(auths, dict) and not isinstance(helpers, dict):
        raise InvalidCredentials(
            f"{path} has no auths: `docker login` writes them, unless a credential store is set up"
        )
    found: dict[str, Union[str, Unusable]] = {}
    for registry, helper in (helpers if isinstance(helpers, dict) else {}).items():
        found[registry] = _left_to(path, registry, helper)
    for registry, entry in (auths if isinstance(auths, dict) else {}).items():
        header = _header(registry, entry)
        if header is not None:
            found[registry] = header
        elif store and entry == {}:
            found.setdefault(registry, _left_to(path, registry, store))
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT)
    except OSError as error:
        raise InvalidCredentials(f"{path} cannot be read: {error.strerror}") from error
    try:
        if data.count(b"[") + data.count(b"{") > BRACKET_LIMIT:
            raise ValueError("not a login file")
        value = json.loads(data)
    except ValueError:
        raise InvalidCredentials(f"{path} is not a Docker config.json") from None
    return value if isinstance(value, dict) else {}


def _left_to(path: Path, registry: str, helper: Any) -> Unusable:
    program = f"docker-credential-{str(helper)[:80]}"
    return Unusable(
        f"{path} leaves the credentials for {registry} to {program}, a program that the agent does not run; "
        f"`docker --config <another directory> login {registry}` writes them into a file"
    )


def _header(registry: str, entry: Any) -> Optional[str]:
    """An entry's X-Registry-Auth value: `auth` is base64 of user:password there, split in two for the Engine."""
    if not isinstance(entry, Mapping):
        return None
    login = {
        key: str(entry[key]) for key in ("username", "password", "identitytoken", "registrytoken") if entry.get(key)
    }
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            user, colon, password = base64.b64decode(entry["auth"], validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if colon:
            login.update(username=user, password=password.rstrip("\0"))
    if not login:
        return None
    return base64.urlsafe_b64encode(json.dumps({**login, "serveraddress": registry}).encode("ascii")).decode("ascii")
