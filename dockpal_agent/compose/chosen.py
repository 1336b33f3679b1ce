"""Which files, folder and variables a command line of the shell means: found as docker compose finds them.

docker compose's cmd/compose/compose.go, toProjectOptions: the `.env` of the folder that one works in is read first. It
may name the Compose files, and wins over the `.env` beside them. A folder that one came to by a symbolic link has the
link's path, as the shell's PWD has it: paths, hashes and the project's name are made of it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Union

from dockpal_agent.compose.environment import project_variables
from dockpal_agent.compose.errors import ComposeInvalid, Findings, Problem
from dockpal_agent.compose.limits import LARGEST_FILE, check_size
from dockpal_agent.compose.project import ReadRequest, TextFile

__all__ = ["env_files_of", "request_of"]

FILE_NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES: Final = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
STDIN: Final = "-"


def request_of(options: argparse.Namespace, environment: Mapping[str, str]) -> ReadRequest:
    """What the command line asks to read. Raises ComposeInvalid, ComposeTooLarge."""
    here = _here(environment)
    variables = {"PWD": str(here), **environment}
    directory = Path(os.path.normpath(here / options.project_directory)) if options.project_directory else None
    named = env_files_of(options, environment)
    first = named or _dotenv(directory or _folder_of(options.file or (), here))
    known = _variables(first, variables)
    chosen = options.file or _files_of(known) or _found_files(directory or here)
    folder = directory or _folder_of(chosen, here)
    second = named or _dotenv(folder)
    return ReadRequest(
        files=tuple(_text_file(path, here) for path in chosen),
        working_dir=os.path.normpath(folder),
        project_name=options.project_name or "",
        strict_name=True,
        variables=variables if first == second else known,
        env_files=tuple(_text_file(path, here) for path in second),
        profiles=tuple(options.profile) if options.profile else None,
        from_disk=True,
    )


def env_files_of(options: argparse.Namespace, environment: Mapping[str, str]) -> list[Path]:
    """The files that stand in the place of `.env`, by --env-file or COMPOSE_ENV_FILES."""
    names = options.env_file or environment.get("COMPOSE_ENV_FILES", "").split(",")
    here = _here(environment)
    return [Path(os.path.normpath(here / name)) for name in names if name]


def _here(environment: Mapping[str, str]) -> Path:
    """The folder that one works in; PWD knows by which path it was come to (Go's os.Getwd)."""
    said = environment.get("PWD", "")
    with contextlib.suppress(OSError):
        if os.path.isabs(said) and os.path.samefile(said, "."):
            return Path(said)
    return Path.cwd()


def _folder_of(files: Sequence[Union[str, Path]], here: Path) -> Path:
    """The folder of the first file that is not stdin, else the one that one works in."""
    return next(((here / path).parent for path in files if str(path) != STDIN), here)


def _dotenv(folder: Path) -> list[Path]:
    return [path for path in (folder / ".env",) if path.is_file()]


def _variables(env_files: list[Path], environment: Mapping[str, str]) -> dict[str, str]:
    findings = Findings()
    found = project_variables(environment, tuple(_text_file(path, path.parent) for path in env_files), findings)
    findings.raise_if_any()
    return found


def _files_of(variables: Mapping[str, str]) -> list[str]:
    separator = variables.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    return [path for path in variables.get("COMPOSE_FILE", "").split(separator) if path]


def _found_files(start: Path) -> list[Path]:
    """The Compose file of this folder or of one above it, and its override."""
    for folder in (start, *start.parents):
        found = [folder / name for name in FILE_NAMES if (folder / name).is_file()]
        if found:
            return found[:1] + [folder / name for name in OVERRIDE_NAMES if (folder / name).is_file()][:1]
    raise ComposeInvalid([Problem("no configuration file provided: not found")])


def _text_file(path: Union[str, Path], here: Path) -> TextFile:
    name = STDIN if str(path) == STDIN else os.path.normpath(here / path)
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(LARGEST_FILE + 1)
        else:
            with open(name, "rb") as file:
                content = file.read(LARGEST_FILE + 1)
        check_size(len(content), name)
        return TextFile(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ComposeInvalid([Problem(f"failed to parse {name}: yaml: the file is not UTF-8", file=name)]) from None
    except OSError as error:
        words = f"open {name}: {(error.strerror or str(error)).lower()}"
        raise ComposeInvalid([Problem(words, file=name)]) from None
