"""The reading in a process of its own: hostile text cannot hurt the agent, and what YAML took of memory comes back.

The parent starts `agent.pyz compose-read` (reading.py) with an empty environment, writes the request to it as JSON and
reads the project, or what is wrong, as JSON. The child limits its own processor time and memory, the parent its wall
time; no more than a few run at once.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dockpal_agent.compose.errors import (
    ComposeInvalid,
    ComposeTooLarge,
    ComposeUneditable,
    ComposeUnread,
    Problem,
)
from dockpal_agent.compose.limits import READING_SECONDS, check_size, check_text
from dockpal_agent.compose.project import Project, ReadRequest

__all__ = ["child_command", "read_project", "switch_label"]

log = logging.getLogger(__name__)

WALL_SECONDS: Final = 15.0
AT_ONCE: Final = 4
WAIT_SECONDS: Final = 20.0  # for a place among those
_ROOT: Final = Path(__file__).resolve().parents[2]  # the folder with the package, or agent.pyz
_ROOMS: Final = threading.BoundedSemaphore(AT_ONCE)

Json = Any


def child_command() -> tuple[list[str], Path]:
    """What to run, and where: the packed file that this process came from, or the package beside this module."""
    python = sys.executable or os.readlink("/proc/self/exe")  # Python does not know its own name where PATH is not set
    if _ROOT.is_file():
        return [python, "-I", "-S", str(_ROOT), "compose-read"], _ROOT.parent
    return [python, "-m", "dockpal_agent", "compose-read"], _ROOT


def read_project(request: ReadRequest) -> Project:
    """Read a project in a child. Raises ComposeTooLarge, ComposeInvalid; ComposeUnread when the child failed."""
    return _project_of(_asked(request, {})["project"])


def switch_label(request: ReadRequest, enabled: bool) -> str:
    """The text of the request's one file with `dockpal.auto-update` set or removed (relabel.py), made in a child.

    Raises as read_project, ComposeUneditable.
    """
    return str(_asked(request, {"auto_update": enabled})["text"])


def _asked(request: ReadRequest, more: Mapping[str, Json]) -> Mapping[str, Json]:
    """The child's answer. Raises what it says went wrong."""
    _check(request)
    if not _ROOMS.acquire(timeout=WAIT_SECONDS):
        raise ComposeUnread("too many Compose files are being read at once; try again", busy=True)
    try:
        answer = _run(json.dumps({**_request_as_json(request), **more}).encode())
        try:
            return _checked(json.loads(answer))
        except ValueError as error:
            raise ComposeUnread("the Compose file could not be read: the reading process gave no answer") from error
    finally:
        _ROOMS.release()


def _check(request: ReadRequest) -> None:
    """Size and NULs before anything else sees the text; all files together may be as large as one."""
    total = 0
    for file in (*request.files, *request.env_files):
        check_text(file.text, file.path)
        total += len(file.text)
    check_size(total, request.files[0].path if request.files else "compose")
    check_size(sum(map(len, request.texts.values())) // 16, "files of the project")
    for path in (*(file.path for file in (*request.files, *request.env_files)), *request.texts, request.working_dir):
        if "\0" in path:
            raise ComposeInvalid([Problem("a path must not hold a NUL")])


def _run(request: bytes) -> bytes:
    command, folder = child_command()
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, timeout=WALL_SECONDS, cwd=folder, env={}, check=False
        )
    except subprocess.TimeoutExpired:
        raise ComposeUnread(f"the Compose file took more than {WALL_SECONDS:.0f} s to read") from None
    except OSError as error:
        raise ComposeUnread(f"the Compose file could not be read: {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        if done.returncode == -signal.SIGXCPU:
            raise ComposeTooLarge(f"the Compose file took more than {READING_SECONDS} s of processor time to read")
        log.warning("compose-read: ended with %d: %s", done.returncode, done.stderr[-2000:].decode(errors="replace"))
        raise ComposeUnread(f"the Compose file could not be read: the reading process ended with {done.returncode}")
    return done.stdout


def _request_as_json(request: ReadRequest) -> Json:
    plain = {**vars(request), "variables": dict(request.variables), "texts": dict(request.texts)}
    for key in ("files", "env_files"):
        plain[key] = [[file.path, file.text] for file in plain[key]]
    return plain


def _project_of(plain: Json) -> Project:
    for key in ("config_files", "profiles", "warnings"):
        plain[key] = tuple(plain[key])
    plain["contents"] = {(kind, name): text for kind, name, text in plain["contents"]}
    plain["extensions"] = {tuple(path): fields for path, fields in plain["extensions"]}
    return Project(**plain)


def _checked(answer: Mapping[str, Json]) -> Mapping[str, Json]:
    if "project" in answer or "text" in answer:
        return answer
    if "invalid" in answer:
        problems = [
            Problem(message, tuple(path), file, line) for message, path, file, line in answer["invalid"]["problems"]
        ]
        raise ComposeInvalid(problems, answer["invalid"]["heading"])
    if "too_large" in answer:
        raise ComposeTooLarge(answer["too_large"])
    if "uneditable" in answer:
        raise ComposeUneditable(answer["uneditable"])
    raise ComposeUnread(str(answer["unread"]))
