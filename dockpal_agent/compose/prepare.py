"""From a deploy's request to the project that converge() takes: read in a child, with paths as the host has them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Final, Optional

from dockpal_agent.compose.deployrequest import COMPOSE_FILE, ENV_FILE, DeployRequest
from dockpal_agent.compose.errors import ComposeUnsupported
from dockpal_agent.compose.hashes import service_hash
from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.compose.labels import ORIGINAL_PROJECT, SHIPPED, content_hash, mounted_paths
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Project, ReadRequest, TextFile
from dockpal_agent.compose.stored import Stored, texts_beside
from dockpal_agent.compose.unsupported import ignored, unsupported
from dockpal_agent.engine import Engine, containers

__all__ = [
    "NameClash",
    "NoHostPath",
    "Prepared",
    "check_name",
    "host_files",
    "prepare",
    "read_request",
    "refuse_unmounted",
]

Read = Callable[[ReadRequest], Project]

_NAMESPACES: Final = ("network_mode", "ipc", "pid")


class NameClash(Exception):
    """Another project's name is the same once it is written as Compose allows it."""


class NoHostPath(Exception):
    """A file of the project is to be mounted, and no mount of the agent's container shows its folder on the host."""


@dataclass(frozen=True)
class Prepared:
    """A deploy that can begin. `request` has all its files; `readable` are those that containers mount."""

    request: DeployRequest
    project: Project
    options: Options
    readable: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def hashes(self) -> dict[str, str]:
        """`config hash/content hash` of the services: by them, Docker will show that this deploy stands.

        Without those whose hash holds a container's id, which only the deploy itself will know.
        """
        found = {}
        for name, entry in self.project.services.items():
            in_another = any("service:" in str(entry.get(key)) for key in _NAMESPACES) or entry.get("volumes_from")
            if self.project.replicas(name) > 0 and not in_another:
                found[name] = f"{service_hash(entry)}/{content_hash(self.project, name)}"
        return found


def check_name(engine: Engine, stored: Stored, request: DeployRequest) -> None:
    """Raises NameClash; EngineError, StoredFailed."""
    project = request.project
    names = {
        str((found.get("Labels") or {}).get(ORIGINAL_PROJECT))
        for found in containers.list_containers(engine, all=True, filters={"label": [ORIGINAL_PROJECT]})
    }
    names.add(stored.display_name(project) or request.name)
    others = sorted(name for name in names if name != request.name and normalise_project_name(name) == project)
    if others:
        raise NameClash(
            f"the name {request.name} becomes {project} in Docker, as that of project {others[0]} does: "
            f"choose another name, or remove {others[0]} first"
        )


def prepare(
    request: DeployRequest, stored: Stored, host_paths: HostPaths, read: Read, base: Optional[Options] = None
) -> Prepared:
    """Read the project. Raises ComposeError, NoHostPath, StoredFailed."""
    request = stored.complete(request)
    here = stored.path(request.name)
    folder = host_paths.on_host(str(here)) or str(here)
    project = read(read_request(request, stored, folder))
    problems = unsupported(project)
    if problems:
        raise ComposeUnsupported(problems)
    refuse_unmounted(project, here, host_paths, here.parent.parent)
    options = replace(
        base or Options(),
        pull="always" if request.force_pull else None,
        auths=request.auths,
        display_name=request.name,
        compose_path=f"{folder}/{COMPOSE_FILE}",
        api=True,
        host_paths=host_paths,
    )
    mounted = host_files(project)
    files = {name: text for name, text in texts_beside(request).items() if _is_mounted(f"{folder}/{name}", mounted)}
    readable = tuple(files)
    # Compose does not look into files that are mounted: a change of one that was sent here must still be seen.
    shipped = {(SHIPPED, f"{folder}/{name}"): text for name, text in files.items()}
    project = replace(project, contents={**project.contents, **shipped})
    return Prepared(request, project, options, readable, (*project.warnings, *ignored(project)))


def read_request(request: DeployRequest, stored: Stored, folder: str) -> ReadRequest:
    """What the reading needs of a complete request; `folder` is the project's on the host. Raises StoredFailed."""
    texts = {**stored.mentioned(request), **texts_beside(request)}
    env = () if request.env_file is None else (TextFile(f"{folder}/{ENV_FILE}", request.env_file),)
    return ReadRequest(
        files=(TextFile(f"{folder}/{COMPOSE_FILE}", request.compose),),
        working_dir=folder,
        project_name=request.name,
        variables=request.env,
        env_files=env,
        profiles=request.profiles,
        texts={f"{folder}/{name}": text for name, text in texts.items()},
    )


def refuse_unmounted(project: Project, here: Path, host_paths: HostPaths, wanted_mount: Path) -> None:
    """Raises NoHostPath where a file below `wanted_mount` is to be mounted, and the host has no such folder.

    Docker would make an empty directory instead. `wanted_mount` is the folder that the agent should have mounted, the
    project's own or one above it: `../shared` is relative, too.
    """
    if host_paths.on_host(str(here)) == project.working_dir:
        return
    wanted = sorted(path for path in host_files(project) if _below(path, str(wanted_mount)))
    if wanted:
        names = ", ".join(posixpath.relpath(path, project.working_dir) for path in wanted[:5])
        raise NoHostPath(
            f"{names}: to be mounted, these files must lie on the host, and {here} is in the agent's own container; "
            f"run the agent's install command again with `-v {wanted_mount}:{wanted_mount}`"
        )


def host_files(project: Project) -> set[str]:
    """The paths of the host that services mount."""
    return {path for service in project.services for path in mounted_paths(project, service)}


def _is_mounted(path: str, mounted: set[str]) -> bool:
    return any(_below(path, source) for source in mounted)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
