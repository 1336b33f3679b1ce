"""Programs of the container's own, run as root in it, for what the archive API cannot do. Never through a shell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Optional

from dockpal_agent.engine import BadParameter, Conflict, Engine, execs
from dockpal_agent.engine.execs import Finished
from dockpal_agent.files.errors import FilesError, NoProgram, OutOfReach, PathNotFound, WrongKind
from dockpal_agent.files.place import Container

__all__ = ["ROOT", "failure", "run"]

ROOT: Final = "0:0"  # by number: an image from scratch has no /etc/passwd
NOT_STARTED: Final = (126, 127)
ENVIRONMENT: Final = ("LC_ALL=C", "QUOTING_STYLE=literal")  # words we can read, names as they are
_NO_PROGRAM: Final = re.compile(
    rb"executable file not found|no such file or directory|not found|permission denied", re.I
)
_OCI: Final = re.compile(r"OCI runtime exec failed|exec failed", re.IGNORECASE)


def run(engine: Engine, container: Container, command: Sequence[str], *, within: float, most: int) -> Finished:
    """Run a program to its end. Raises NoProgram when the container has none of that name, OutOfReach when the
    container stopped meanwhile; EngineTimeout."""
    try:
        done = execs.run(
            engine, container.id, command, within=within, most=most, user=ROOT, working_dir="/", env=ENVIRONMENT
        )
    except Conflict as error:
        raise OutOfReach(f"container {container.name}: {error}") from error
    except BadParameter as error:  # a newer daemon refuses to start what it cannot find
        if _OCI.search(str(error)):
            raise _no_program(container, command[0]) from error
        raise
    words = done.stdout + done.stderr
    if done.exit_code in NOT_STARTED and len(words) < 4096 and _NO_PROGRAM.search(words):
        raise _no_program(container, command[0])
    return done


def failure(container: Container, path: str, done: Finished) -> FilesError:
    """What a program's failure means, by its words."""
    words = done.stderr.decode("utf-8", "replace").strip()[:500]
    lower = words.lower()
    if "no such file or directory" in lower:
        return PathNotFound(f"no such file or directory in container {container.name}: {path}")
    if "not a directory" in lower:
        return WrongKind(f"{path} is not a directory")
    if "is a directory" in lower:
        return WrongKind(f"{path} is a directory")
    return OutOfReach(words or f"container {container.name}: the command ended with {_code(done.exit_code)}")


def _code(exit_code: Optional[int]) -> str:
    return "no exit code" if exit_code is None else f"exit code {exit_code}"


def _no_program(container: Container, program: str) -> NoProgram:
    return NoProgram(f"container {container.name} has no program {program}")
