"""The labels by which Docker Compose, and this agent, know what is theirs (coverage 7, protocol 9)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from dockpal_agent.compose.inlinefiles import inline_targets
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Entry, Project
from dockpal_agent.containers.putfiles import FILES_LABEL, label_of

__all__ = [
    "CONFIG_HASH",
    "CONTENT_HASH",
    "DEPENDS_ON",
    "IMAGE",
    "NETWORK",
    "NUMBER",
    "ONEOFF",
    "ORIGINAL_PROJECT",
    "ORIGINAL_SERVICE",
    "PROJECT",
    "SERVICE",
    "SHIPPED",
    "VERSION",
    "VOLUME",
    "container_labels",
    "content_hash",
    "mounted_paths",
    "number_of",
    "resource_labels",
]

_PREFIX: Final = "com.docker.compose."
PROJECT: Final = f"{_PREFIX}project"
SERVICE: Final = f"{_PREFIX}service"
NUMBER: Final = f"{_PREFIX}container-number"
ONEOFF: Final = f"{_PREFIX}oneoff"
CONFIG_HASH: Final = f"{_PREFIX}config-hash"
IMAGE: Final = f"{_PREFIX}image"
VERSION: Final = f"{_PREFIX}version"
WORKING_DIR: Final = f"{_PREFIX}project.working_dir"
CONFIG_FILES: Final = f"{_PREFIX}project.config_files"
ENVIRONMENT_FILE: Final = f"{_PREFIX}project.environment_file"
DEPENDS_ON: Final = f"{_PREFIX}depends_on"
NETWORK: Final = f"{_PREFIX}network"
VOLUME: Final = f"{_PREFIX}volume"

ORIGINAL_PROJECT: Final = "dockpal.project"  # the original agent's too, and its only ones
ORIGINAL_SERVICE: Final = "dockpal.service"
CONTENT_HASH: Final = "dockpal.content-hash"
LONGEST_NUMBER: Final = 9  # digits
SHIPPED: Final = "files"  # the kind of a shipped file among a project's contents, by its path on the host


def number_of(given: Mapping[str, str]) -> int:
    """A container's number among those of its service, 0 where its label is none. Anybody can write labels: an image
    that somebody runs has some.
    """
    text = str(given.get(NUMBER) or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else 0


def container_labels(
    project: Project, service: str, number: int, config_hash: str, image_id: str, options: Options
) -> dict[str, str]:
    """All labels of a service's container: ours below the user's, Compose's above."""
    entry = project.services[service]
    ours = {
        "dockpal.managed": "true",
        ORIGINAL_PROJECT: options.display_name or project.name,
        ORIGINAL_SERVICE: service,
    }
    if options.compose_path:
        ours["dockpal.compose"] = options.compose_path
    contents = content_hash(project, service)
    if contents:
        ours[CONTENT_HASH] = contents
    files = label_of(inline_targets(project, service))
    if files:
        ours[FILES_LABEL] = files
    theirs = {
        PROJECT: project.name,
        SERVICE: service,
        NUMBER: str(number),
        ONEOFF: "False",
        CONFIG_HASH: config_hash,
        VERSION: options.version_label,
        WORKING_DIR: project.working_dir,
        CONFIG_FILES: ",".join(project.config_files),
        DEPENDS_ON: _depends_on(project, entry),
    }
    if image_id:
        theirs[IMAGE] = image_id
    if options.environment_files:
        theirs[ENVIRONMENT_FILE] = ",".join(options.environment_files)
    return {**ours, **entry.get("labels", {}), **theirs}


def resource_labels(
    project: Project, kind: str, key: str, entry: Entry, config_hash: str, options: Options
) -> dict[str, str]:
    """Labels of a network or a volume (`kind` is the label NETWORK or VOLUME)."""
    theirs = {PROJECT: project.name, kind: key, VERSION: options.version_label, CONFIG_HASH: config_hash}
    return {**entry.get("labels", {}), **theirs}


def content_hash(project: Project, service: str) -> str:
    """The digest of what Compose's hash leaves out: a service's configs and secrets that are no files, and the files
    that were shipped with the deploy and that it mounts. "" for none.
    """
    digest, any_content = hashlib.sha256(), False
    for kind in ("configs", "secrets"):
        for reference in project.services[service].get(kind, ()):
            text = project.contents.get((kind, reference.get("source", "")))
            if text is not None:
                any_content = True
                digest.update(f"{kind}\0{reference.get('source')}\0{len(text)}\0{text}\0".encode())
    mounted = mounted_paths(project, service)
    for (kind, path), text in sorted(project.contents.items()):
        if kind == SHIPPED and any(path == source or path.startswith(f"{source.rstrip('/')}/") for source in mounted):
            any_content = True
            digest.update(f"{kind}\0{path}\0{len(text)}\0{text}\0".encode())
    return digest.hexdigest() if any_content else ""


def mounted_paths(project: Project, service: str) -> list[str]:
    """The paths of the host that a service mounts: binds, and configs and secrets that are files."""
    entry = project.services[service]
    paths = [mount.get("source") for mount in entry.get("volumes") or () if mount.get("type") == "bind"]
    for kind in ("configs", "secrets"):
        resources = getattr(project, kind)
        paths += [resources.get(reference.get("source", ""), {}).get("file") for reference in entry.get(kind) or ()]
    return [str(path) for path in paths if path]


def _depends_on(project: Project, entry: Entry) -> str:
    """What is optional and not active is left out."""
    wanted: Mapping[str, Entry] = entry.get("depends_on", {})
    return ",".join(
        f"{name}:{need['condition']}:{'true' if need.get('restart') else 'false'}"
        for name, need in wanted.items()
        if name in project.services
    )
