"""The child's side of the reading: a request as JSON on stdin, a project or what is wrong with it on stdout. Where the
request says `auto_update`, the answer is the file's text with that label switched instead.

How long this takes is how long every deploy waits: nothing is loaded here that the reading does not need.
"""

from __future__ import annotations

import json
import resource
from typing import Any, BinaryIO, Final, Optional

from dockpal_agent.compose.errors import ComposeError, ComposeInvalid, ComposeTooLarge, ComposeUneditable
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
    plain = json.loads(stdin.read(64 * LARGEST_FILE))
    switch = plain.pop("auto_update", None)
    stdout.write(_answer(_request_of(plain), switch))
    stdout.flush()
    return 0


def _answer(request: ReadRequest, switch: Optional[bool]) -> bytes:
    try:
        answer = json.dumps(_read(request) if switch is None else _switched(request, switch)).encode()
        if len(answer) <= LARGEST_MODEL:
            return answer
        refusal: Json = {"too_large": f"the project is larger than {LARGEST_MODEL} bytes once it is read"}
    except ComposeInvalid as error:
        problems = [[problem.message, problem.path, problem.file, problem.line] for problem in error.problems]
        refusal = {"invalid": {"problems": problems, "heading": error.heading}}
    except ComposeTooLarge as error:
        refusal = {"too_large": str(error)}
    except ComposeUneditable as error:
        refusal = {"uneditable": str(error)}
    except ComposeError as error:
        refusal = {"unread": str(error)}
    except MemoryError:
        refusal = {"too_large": f"the Compose file took more than {MEMORY >> 20} MiB of memory to read"}
    return json.dumps(refusal).encode()


def _read(request: ReadRequest) -> Json:
    return {"project": _project_as_json(load(request))}


def _switched(request: ReadRequest, enabled: bool) -> Json:
    from dockpal_agent.compose.relabel import relabelled  # only here: seldom asked for

    return {"text": relabelled(request, enabled)}


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
