"""The rules for paths that come from outside, and the paths that nobody may delete.

A directory may hold names with newlines or other control characters; listings show them exactly. To address such a file
is refused: a path travels in query strings, logs and error texts, where a control character does harm.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from dockpal_agent.files.errors import BadPath

__all__ = ["PROTECTED", "clean", "is_below", "join", "name_of_upload", "wants_directory"]

PATH_LIMIT: Final = 4096  # bytes, Linux's PATH_MAX
NAME_LIMIT: Final = 255  # bytes, Linux's NAME_MAX
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")  # category Cc; unicodedata's tables would stay in memory
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # category Cs

PROTECTED: Final = (
    "/",
    "/etc",
    "/bin",
    "/sbin",
    "/usr",
    "/var",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/lib",
    "/lib64",
    "/opt",
    "/home",
    "/root",
    "/run",
    "/tmp",
)


def clean(path: str) -> str:
    """An absolute path in its one form: no double or trailing slashes, no `.`. Raises BadPath, also for any `..`."""
    if not path:
        raise BadPath("path is required")
    if not path.startswith("/"):
        raise BadPath("the path must be absolute: it must begin with /")
    _refuse_control_characters(path, "path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadPath("the path must not contain ..")
    for part in parts:
        if len(part.encode("utf-8")) > NAME_LIMIT:
            raise BadPath(f"a name in the path is longer than {NAME_LIMIT} bytes")
    cleaned = "/" + "/".join(parts)
    if len(cleaned.encode("utf-8")) >= PATH_LIMIT:
        raise BadPath(f"the path is too long: it must stay below {PATH_LIMIT} bytes")
    return cleaned


def wants_directory(path: str) -> bool:
    """Whether the path is written as a directory's: `/data/`, `/data/.`."""
    return path.endswith(("/", "/."))


def name_of_upload(filename: str) -> str:
    """The name under which an uploaded file is put into a directory: the last part of what the client calls it.

    Raises BadPath when that is no name.
    """
    name = filename.rpartition("/")[2]
    if name in ("", ".", ".."):
        raise BadPath("the uploaded file has no name: give the full target path")
    _refuse_control_characters(name, "file's name")
    if len(name.encode("utf-8")) > NAME_LIMIT:
        raise BadPath(f"the file's name is longer than {NAME_LIMIT} bytes")
    return name


def is_below(path: str, directory: str) -> bool:
    """Whether a clean path is the directory or in it."""
    return path == directory or directory == "/" or path.startswith(directory + "/")


def join(directory: str, *names: str) -> str:
    """Names below a clean path."""
    return posixpath.join(directory, *names)


def _refuse_control_characters(text: str, what: str) -> None:
    found = _CONTROL.search(text)
    if found is not None:
        raise BadPath(f"the {what} contains a control character (U+{ord(found.group()):04X})")
    if _SURROGATE.search(text):
        raise BadPath(f"the {what} is not valid Unicode")
