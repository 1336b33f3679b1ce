"""Writing a `.env`: the text that was sent, and below it the deploy's own variables, which win.

With it, `docker compose` in the folder on the host finds the values that the deploy had, and so the same hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Optional

from dockpal_agent.compose.envfile import EnvFileError, parse_env

__all__ = ["dotenv"]

HEADING: Final = "# Variables of the deploy"


def dotenv(text: Optional[str], variables: Mapping[str, str]) -> str:
    """The text of a `.env` with these variables."""
    lines = [_line(name, value) for name, value in variables.items()]
    sent = text or ""
    if not lines:
        return sent
    gap = "" if not sent or sent.endswith("\n") else "\n"
    return sent + gap + "\n".join([HEADING, *lines]) + "\n"


def _line(name: str, value: str) -> str:
    """`NAME=value`, quoted as Compose reads it back; a comment where no quoting does."""
    single = value.replace("'", "\\'")
    double = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("\n", "\\n")
    for line in (f"{name}={value}", f"{name}='{single}'", f'{name}="{double}"'):
        try:
            if parse_env(line, lambda _: None) == {name: value}:
                return line
        except EnvFileError:
            continue
    return f"# {name} cannot be written in a .env"
