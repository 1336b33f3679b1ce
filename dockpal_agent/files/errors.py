"""What can go wrong with files.

FilesError              root; str() names the path and what can be done about it
├─ BadPath              the path is not absolute, holds `..` or a control character, or is too long
├─ ProtectedPath        a directory that no container lives without
├─ PathNotFound         nothing there, or no directory to put it into
├─ WrongKind            a directory where a file is needed, or the reverse; a device, a socket
├─ TooLarge             more than this call takes or gives
├─ OutOfReach           Docker's archive API does not reach there, or the container's state does not allow it
├─ NoProgram            the container has no program that could do it
├─ TooSlow              the directory is too much for the archive API within the time
├─ SpoolFull            the agent's own disk has no room to keep the body aside
└─ WriteFailed          Docker failed in the middle; the text says what became of the old file
"""

from __future__ import annotations

__all__ = [
    "BadPath",
    "FilesError",
    "NoProgram",
    "OutOfReach",
    "PathNotFound",
    "ProtectedPath",
    "SpoolFull",
    "TooLarge",
    "TooSlow",
    "WriteFailed",
    "WrongKind",
]


class FilesError(Exception):
    """Root of all; the message is for the user."""


class BadPath(FilesError):
    """The path breaks the rules of paths.clean."""


class ProtectedPath(FilesError):
    """Deleting this is refused, whatever way it is named."""


class PathNotFound(FilesError):
    """Nothing is at this path, or the directory that should hold it is missing; the text names which."""


class WrongKind(FilesError):
    """What is there is not of the kind that the call needs."""


class TooLarge(FilesError):
    """Past the limit of the call."""


class OutOfReach(FilesError):
    """The state of the container, or a mount over the path, does not allow it."""


class NoProgram(FilesError):
    """It takes a program that this container's image does not have."""


class TooSlow(FilesError):
    """The archive API would have to send too much to answer this."""


class SpoolFull(FilesError):
    """No room on the agent's own disk."""


class WriteFailed(FilesError):
    """The Engine failed while it wrote."""
