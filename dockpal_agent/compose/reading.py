"""The child's side of the reading: a request as JSON on stdin, a project or what is wrong with it on stdout.

How long this takes is how long every deploy waits: nothing is loaded here that the reading does not need.
"""

from __future__ import annotations

import json
import resource
from typing import Any, BinaryIO, Final

from dockpal_agent.compose.errors import ComposeError, ComposeInvalid, ComposeTooLarge
from dockpal_agent.compose.limits import LARGEST_FILE, LARGEST_MODEL, READING_SECONDS
from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import Project, ReadRequest, TextFile

__all__ = ["main"]

MEMORY: Final = 512 * 1024 * 1024  # bytes of address space

Json = Any


def main(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """`compose-read`: 0 unless what went wrong is not the file's fault."""
    resource.setrlimit(resource.RLIMIT_CPU, (READING_SECONDS, READING_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = _request_of(json.loads(stdin.read(64 * LARGEST_FILE)))
    stdout.write(_answer(request))
    stdout.flush()
    return 0


def _answer(request: ReadRequest) -> bytes:
    try:
        answer = json.dumps({"project": _project_as_json(load(request))}).encode()
        if len(answer) <= LARGEST_MODEL:
            return answer
        refusal: Json = {"too_large": f"the project is larger than {LARGEST_MODEL} bytes once it is read"}
    except ComposeInvalid as error:
        problems = [[problem.message, problem.path, problem.file, problem.line] for problem in error.problems]
        refusal = {"invalid": {"problems": problems, "heading": error.heading}}
    except ComposeTooLarge as error:
        refusal = {"too_large": str(error)}
    except ComposeError as error:
        refusal = {"unread": str(error)}
    except MemoryError:
        refusal = {"too_large": f"the Compose file took more than {MEMORY >> 20} MiB of memory to read"}
    return json.dumps(refusal).encode()


def _request_of(plain: Json) -> ReadRequest:
    for key in ("files", "env_files"):
        plain[key] = tuple(TextFile(path, text) for path, text in plain[key])
    plain["profiles"] = None if plain["profiles"] is None else tuple(plain["profiles"])
    return ReadRequest(**plain)


def _project_as_json(project: Project) -> Json:
    plain = dict(vars(project))
    plain["contents"] = [[*key, text] for key, text in project.contents.items()]
    plain["extensions"] = [[list(path), fields] for path, fields in project.extensions.items()]
    return plain
