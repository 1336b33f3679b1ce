"""Configs and secrets that are no files of the host: put into a container after it was made, before it is started.

Coverage 6. The owner is written as numbers into the archive: Docker's own translation of names fails in images without
a passwd file.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Final

from dockpal_agent.compose.binds import FILE_KINDS, file_target
from dockpal_agent.compose.project import Entry, Project
from dockpal_agent.engine import Engine, archive

__all__ = ["inline_targets", "put_files"]

MODE: Final = 0o444  # Compose's default


def put_files(engine: Engine, container_id: str, project: Project, service: str) -> None:
    """Write a service's inline configs and secrets into its container. Raises EngineError."""
    for target, reference, text in _inline(project, service):
        archive.put(engine, container_id, "/", _tar(target, reference, text.encode()))


def inline_targets(project: Project, service: str) -> list[str]:
    """Where put_files writes."""
    return [target for target, _, _ in _inline(project, service)]


def _inline(project: Project, service: str) -> Iterator[tuple[str, Entry, str]]:
    """(path in the container, the service's entry, text)."""
    for kind in FILE_KINDS:
        for reference in project.services[service].get(kind, ()):
            text = project.contents.get((kind, reference.get("source", "")))
            if text is not None:
                yield file_target(kind, reference), reference, text


def _tar(target: str, reference: Entry, content: bytes) -> bytes:
    entry = tarfile.TarInfo(target.lstrip("/"))
    entry.size, entry.mode = len(content), int(str(reference.get("mode") or f"{MODE:o}"), 8)
    entry.uid, entry.gid = _number(reference.get("uid")), _number(reference.get("gid"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        made.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _number(value: object) -> int:
    text = str(value or "0")
    return int(text) if text.isdigit() else 0
