"""Files of variables and labels that services name, put into their environment and labels.

Compose Specification, env_file and label_file: later files win, and what stands in the Compose file wins over them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Final, Optional

from dockpal_agent.compose.envfile import EnvFileError, parse_env, parse_raw
from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.files import Files
from dockpal_agent.compose.golang import quoted
from dockpal_agent.compose.project import Entry, TextFile
from dockpal_agent.compose.template import Lookup
from dockpal_agent.compose.tree import Path

__all__ = ["complete_service", "project_variables"]

_Parser = Callable[[str, Lookup, Mapping[str, str]], dict[str, str]]
_FORMATS: Final[Mapping[str, _Parser]] = {"": parse_env, ".env": parse_env, "raw": parse_raw}


def project_variables(given: Mapping[str, str], env_files: tuple[TextFile, ...], findings: Findings) -> dict[str, str]:
    """The variables of a project: those given, and below them the ones of `.env` files, the later file first."""
    values: dict[str, str] = {}
    for file in env_files:
        try:
            values = parse_env(file.text, given.get, values)
        except EnvFileError as error:
            findings.problem(f"failed to read {file.path}: {error}", file=file.path)
    return {**values, **given}


def complete_service(
    name: str, entry: Entry, variables: Mapping[str, str], files: Files, order: tuple[str, ...], findings: Findings
) -> Entry:
    """The service with its files read and their attributes gone; `order` is the model's order of attributes."""
    made = {key: value for key, value in entry.items() if key not in ("env_file", "label_file")}
    environment = _environment(("services", name, "env_file"), entry, variables, files, findings)
    if environment:
        made["environment"] = dict(sorted(environment.items()))
    labels: dict[str, str] = {}
    for path in entry.get("label_file", ()):
        place = ("services", name, "label_file")
        labels.update(_read(path, "", {}, labels.get, files, findings, place, "label file") or {})
    labels.update(entry.get("labels", {}))
    if labels:
        made["labels"] = dict(sorted(labels.items()))
    return {key: made[key] for key in order if key in made}


def _environment(
    place: Path, entry: Entry, variables: Mapping[str, str], files: Files, findings: Findings
) -> dict[str, Optional[str]]:
    own = {key: variables.get(key) if value is None else value for key, value in entry.get("environment", {}).items()}
    values = {key: value for key, value in own.items() if value is not None}

    def lookup(key: str) -> Optional[str]:
        return variables.get(key, own.get(key))

    for file in entry.get("env_file", ()):
        if not file["required"] and not files.has(file["path"]):
            continue
        read = _read(file["path"], file["format"], values, lookup, files, findings, place, "env file")
        values = values if read is None else read
    return {**values, **own}


def _read(
    path: str,
    form: str,
    known: Mapping[str, str],
    lookup: Lookup,
    files: Files,
    findings: Findings,
    place: Path,
    noun: str,
) -> Optional[dict[str, str]]:
    """The variables of a file on top of those known; None, and a problem noted, when it cannot be read."""
    parse = _FORMATS.get(form)
    if parse is None:
        findings.problem(f"unsupported env_file format {quoted(form)}", place)
        return None
    try:
        return parse(files.read(path), lookup, known)
    except FileNotFoundError:
        findings.problem(f"{noun} {path} not found: stat {path}: no such file or directory", place)
    except (OSError, UnicodeDecodeError, EnvFileError) as error:
        findings.problem(f"failed to read {path}: {error}", place)
    return None
