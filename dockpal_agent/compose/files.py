"""Where the files come from that a Compose file names: sent along with a deploy, or, in the shell, the disk.

A deploy that was sent never makes the agent read a file of its own disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from dockpal_agent.compose.limits import LARGEST_FILE, check_size

__all__ = ["Files"]


@dataclass(frozen=True)
class Files:
    """Texts by absolute path; `from_disk` also looks there."""

    texts: Mapping[str, str] = field(default_factory=dict)
    from_disk: bool = False

    def read(self, path: str) -> str:
        """The text of a file. Raises FileNotFoundError, OSError, UnicodeDecodeError, ComposeTooLarge."""
        if path in self.texts:
            return self.texts[path]
        if not self.from_disk:
            raise FileNotFoundError(path)
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
        check_size(len(content), path)
        return content.decode("utf-8-sig")

    def has(self, path: str) -> bool:
        """Whether such a file is there."""
        return path in self.texts or (self.from_disk and os.path.isfile(path))
