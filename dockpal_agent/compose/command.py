"""`agent.pyz compose …`: Compose in the shell of the host.

Exit codes: 0 done, 1 failed, 2 the file (or the command line) is wrong. In the shell the operator's own environment
gives variables, as for docker compose (docs/decisions/0005-variables-of-compose.md); in a deploy it never does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Callable, Final, Optional

from dockpal_agent.compose.child import read_project
from dockpal_agent.compose.chosen import request_of
from dockpal_agent.compose.errors import ComposeError, ComposeInvalid, ComposeTooLarge, ComposeUnsupported, Problem
from dockpal_agent.compose.project import Project, ReadRequest

__all__ = ["COMMANDS", "FAILED", "WRONG_FILE", "main", "project_of"]

FAILED: Final = 1
WRONG_FILE: Final = 2


def project_of(options: argparse.Namespace) -> Project:
    """The project that the command line names; its warnings go to stderr. Raises ComposeError."""
    return _warned(read_project(request_of(options, os.environ)))


def _warned(project: Project) -> Project:
    for warning in project.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return project


def _begun(options: argparse.Namespace) -> Callable[[], Project]:
    """`project_of` begun in the background: the child reads while this process loads what speaks with Docker.

    Raises ComposeInvalid, ComposeTooLarge; the result raises as project_of.
    """
    reading = _Reading(request_of(options, os.environ))
    reading.start()
    return lambda: _warned(reading.result())


class _Reading(threading.Thread):
    """Reads a project; it ends with the reading, which has its own limit. Loading concurrent.futures for it, before the
    child can begin, would be a twentieth of an `up` that changes nothing.
    """

    def __init__(self, request: ReadRequest) -> None:
        super().__init__(name="reading", daemon=True)
        self._request: Final = request
        self._project: Optional[Project] = None
        self._failure: Optional[Exception] = None

    def run(self) -> None:
        try:
            self._project = read_project(self._request)
        except Exception as failure:  # noqa: BLE001  the boundary of a thread: result() raises it
            self._failure = failure

    def result(self) -> Project:
        """The project. Raises as read_project."""
        self.join()
        if self._failure is not None:
            raise self._failure
        assert self._project is not None
        return self._project


def _config(options: argparse.Namespace) -> int:
    from dockpal_agent.compose.printing import as_hashes, as_json, as_yaml_text  # only here: `up` prints no model

    project = project_of(options)
    if options.services:
        print("\n".join(project.order()))
    elif options.hash is not None:
        names = () if options.hash == "*" else tuple(options.hash.split(","))
        for name in names:
            if name not in project.services:
                raise ComposeInvalid([Problem(f"no such service: {name}")])
        sys.stdout.write(as_hashes(project, names))
    elif not options.quiet:
        sys.stdout.write(as_json(project) if options.format == "json" else as_yaml_text(project))
    return 0


def _config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    parser.add_argument("--hash", metavar="SERVICES", help="hashes of services, separated by commas, or '*' for all")
    parser.add_argument("--services", action="store_true", help="names of services only, in the order of their start")
    parser.add_argument("-q", "--quiet", action="store_true", help="only check the file")


def _plan(options: argparse.Namespace) -> int:
    reading = _begun(options)
    from dockpal_agent.compose import shell_up  # only here: what speaks with Docker is not loaded for `config`

    return shell_up.run_plan(options, reading)


def _up(options: argparse.Namespace) -> int:
    reading = _begun(options)
    from dockpal_agent.compose import shell_up

    return shell_up.run_up(options, reading)


def _ps(options: argparse.Namespace) -> int:
    from dockpal_agent.compose import shell_project

    return shell_project.run_ps(options)


def _stop(options: argparse.Namespace) -> int:
    from dockpal_agent.compose import shell_project

    return shell_project.run_stop(options)


def _down(options: argparse.Namespace) -> int:
    from dockpal_agent.compose import shell_project

    return shell_project.run_down(options)


def _converge_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force-recreate", action="store_true", help="recreate containers that have not changed")
    parser.add_argument("--pull", choices=("always", "missing", "never"), help="instead of each service's pull_policy")
    parser.add_argument("--remove-orphans", action="store_true", help="remove containers of services that are gone")


def _plan_options(parser: argparse.ArgumentParser) -> None:
    _converge_options(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def _up_options(parser: argparse.ArgumentParser) -> None:
    _converge_options(parser)
    parser.add_argument("-d", "--detach", action="store_true", help="taken for docker compose's sake: always so")
    parser.add_argument("--no-start", action="store_true", help="create, but start nothing")
    parser.add_argument("--wait", action="store_true", help="until all services run, or are healthy")


def _ps_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="stopped containers, too")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _stop_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--timeout", type=_seconds, metavar="SECONDS", help="until SIGKILL")


def _down_options(parser: argparse.ArgumentParser) -> None:
    _stop_options(parser)
    parser.add_argument("-v", "--volumes", action="store_true", help="remove the project's named volumes, too")
    parser.add_argument("--remove-orphans", action="store_true", help="taken for docker compose's sake: always so")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 <= seconds <= 3600:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")


Run = Callable[[argparse.Namespace], int]
COMMANDS: Final[Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None], Run]]] = {
    "config": ("print the project as it is understood", _config_options, _config),
    "plan": ("print what `up` would do and why", _plan_options, _plan),
    "up": ("bring the project up: all of it, or nothing", _up_options, _up),
    "ps": ("print the project's containers", _ps_options, _ps),
    "stop": ("stop the project's containers", _stop_options, _stop),
    "down": ("remove the project's containers and networks", _down_options, _down),
}


def _project_options(parser: argparse.ArgumentParser) -> None:
    """Options that stand before or after the command; argparse must not overwrite the first with a default."""
    nothing = argparse.SUPPRESS
    parser.add_argument("-f", "--file", action="append", default=nothing, help="a Compose file; several merge")
    parser.add_argument("-p", "--project-name", default=nothing, metavar="NAME")
    parser.add_argument("--project-directory", default=nothing, metavar="FOLDER", help="what paths are relative to")
    parser.add_argument("--env-file", action="append", default=nothing, metavar="FILE", help="instead of .env")
    parser.add_argument("--profile", action="append", default=nothing, metavar="NAME")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent.pyz compose", description="Compose projects in the shell.")
    _project_options(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (words, add_options, _) in COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words)
        _project_options(command)
        add_options(command)
    return parser


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; lists before and after the command's name add up."""
    options = _parser().parse_args(arguments)
    for name in ("file", "project_name", "project_directory", "env_file", "profile"):
        if not hasattr(options, name):
            setattr(options, name, None)
    return options


def main(arguments: Sequence[str]) -> int:
    """Run one command; what is wrong is said on stderr."""
    try:
        options = _options(["--help"] if list(arguments) in ([], ["help"]) else arguments)
    except SystemExit as end:
        return _code(end.code)
    try:
        return COMMANDS[options.command][2](options)
    except (ComposeInvalid, ComposeTooLarge, ComposeUnsupported) as error:
        print(error, file=sys.stderr)
        return WRONG_FILE
    except ComposeError as error:
        print(error, file=sys.stderr)
        return FAILED
    except Exception as error:
        if not _is_foreseen(error):
            raise
        print(error, file=sys.stderr)
        return FAILED


def _is_foreseen(error: Exception) -> bool:
    """Whether an error's text is all that a user needs; only commands that speak with Docker come here."""
    from dockpal_agent.compose.deployment import FORESEEN
    from dockpal_agent.compose.running import NoSuchProject

    return isinstance(error, (*FORESEEN, NoSuchProject, OSError))


def _code(code: object) -> int:
    return code if isinstance(code, int) else 0 if code is None else WRONG_FILE
