"""Files of variables and labels that services name, put into their environment and labels.

Compose Specification, env_file and label_file: later files win, and what stands in the Compose file wins over them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Final, Optional, Union

from dockpal_agent.compose.envfile import EnvFileError, parse_env, parse_raw
from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.files import Files
from dockpal_agent.compose.golang import quoted
from dockpal_agent.compose.project import Entry, TextFile
from dockpal_agent.compose.template import Lookup
from dockpal_agent.compose.tree import Path

__all__ = ["complete_labels", "complete_service", "project_variables", "unresolved_service"]

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
    """The service with its files read; `order` is the model's order of attributes.

    `env_file` is gone, `label_file` stays: docker compose's hash on a container has it.
    """
    made = complete_labels(name, entry, files, order, findings)
    made.pop("env_file", None)
    environment = _environment(("services", name, "env_file"), entry, variables, files, findings)
    if environment:
        made["environment"] = dict(sorted(environment.items()))
    return {key: made[key] for key in order if key in made}


def complete_labels(name: str, entry: Entry, files: Files, order: tuple[str, ...], findings: Findings) -> Entry:
    """The service with the labels of its files."""
    made = dict(entry)
    labels: dict[str, str] = {}
    for path in entry.get("label_file", ()):
        place = ("services", name, "label_file")
        labels.update(_read(path, "", {}, labels.get, files, findings, place, "label file") or {})
    labels.update(entry.get("labels", {}))
    if labels:
        made["labels"] = dict(sorted(labels.items()))
    return {key: made[key] for key in order if key in made}


def unresolved_service(name: str, entry: Entry, files: Files, order: tuple[str, ...]) -> Entry:
    """The service as `docker compose config --hash` has it: its env files by name, its labels complete."""
    made = complete_labels(name, entry, files, order, Findings())
    made.pop("label_file", None)
    if "env_file" in entry:
        made["env_file"] = [_env_file_name(file) for file in entry["env_file"]]
    return {key: made[key] for key in order if key in made}


def _env_file_name(file: Entry) -> Union[str, Entry]:
    if file["required"]:
        return str(file["path"])
    form = {"format": file["format"]} if file["format"] else {}
    return {"path": file["path"], "required": False, **form}


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
