"""The agent's own container, and what is refused for it and for others that are protected.

Protocol 13: who removes, stops, recreates or updates the agent from afar cuts the line that they manage the host by.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Final, Literal, Optional

from dockpal_agent.containers.describe import name_of
from dockpal_agent.engine import Engine, NotFound, containers

__all__ = ["AGENT_LABEL", "PROTECTED_LABEL", "Action", "OwnContainer", "Protected", "traces"]

AGENT_LABEL: Final = "dockpal.agent"
PROTECTED_LABEL: Final = "dockpal.protected"

Action = Literal["stop", "remove", "edit", "update"]

OWN: Final = "it is the container of the DockPal agent itself, by which this host is managed"
LABELLED: Final = f"it bears the label {PROTECTED_LABEL}=true"

# (own container, another protected one): what to do instead
ADVICE: Final[Mapping[str, tuple[str, str]]] = {
    "stop": ("run `docker stop {name}` on its host", "run `docker stop {name}` on its host"),
    "remove": ("run `docker rm -f {name}` on its host", "run `docker rm -f {name}` on its host"),
    "edit": (
        "run the agent's install command again on its host, with the new settings",
        "recreate it on its host, or deploy it without the label first",
    ),
    "update": (
        "run the agent's install command again on its host",
        "recreate it on its host, or deploy it without the label first",
    ),
}
DEED: Final[Mapping[str, str]] = {
    "stop": "stopped",
    "remove": "removed",
    "edit": "recreated",
    "update": "recreated from a new image",
}

_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_ID_MOUNT: Final = re.compile(r"/([0-9a-f]{64})/(?:[^ ]*/)?[a-z.]+ /etc/(?:hostname|hosts|resolv\.conf) ")
_SHORT_ID: Final = re.compile(r"[0-9a-f]{12}")


class Protected(Exception):
    """The container may not be stopped, removed or replaced from here; the text says why and what to do instead."""


def traces(proc: Path = Path("/proc/self"), hostname: Optional[str] = None) -> list[str]:
    """Ids that may be our own container's, the surest first.

    cgroup v1 names it in the cgroup's path. With a cgroup namespace (v2's default) the files that Docker mounts over
    /etc/hostname and its like still come from a folder that bears the id. The host name is the id unless it was chosen.
    """
    found = _ID.findall(_text(proc / "cgroup")) + _ID_MOUNT.findall(_text(proc / "mountinfo"))
    name = socket.gethostname() if hostname is None else hostname
    if _SHORT_ID.fullmatch(name):
        found.append(name)
    return list(dict.fromkeys(found))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # not Linux, or /proc is hidden: then this trace says nothing
        return ""


class OwnContainer:
    """Knows which container the agent runs in. Asked for when first needed, as the daemon may be away at the start."""

    def __init__(self, engine: Engine, find_traces: Callable[[], Sequence[str]] = traces) -> None:
        self._engine: Final = engine
        self._find_traces: Final = find_traces
        self._known: Optional[tuple[Optional[str]]] = None  # (our id,) once asked; set as a whole, so no lock

    def id(self) -> Optional[str]:
        """Our container's full id; None where we run in none of this daemon's. Raises EngineError."""
        if self._known is None:
            self._known = (self._identify(),)
        return self._known[0]

    def _identify(self) -> Optional[str]:
        """The first trace that this daemon knows as a running container; where we are nested, it may know none."""
        for trace in self._find_traces():
            try:
                found = containers.inspect(self._engine, trace)
            except NotFound:
                continue
            container_id = str(found.get("Id") or "")
            if container_id.startswith(trace) and (found.get("State") or {}).get("Running"):
                return container_id
        return None

    def is_own(self, found: Mapping[str, Any]) -> bool:
        """Whether an inspected container is the agent's own. Raises EngineError."""
        labels = (found.get("Config") or {}).get("Labels") or {}
        return self._is_own(str(found.get("Id") or ""), labels, bool((found.get("State") or {}).get("Running")))

    def protection(self, container_id: str, labels: Optional[Mapping[str, Any]], running: bool) -> Optional[str]:
        """Why a container is protected; None when it is not. Raises EngineError."""
        if self._is_own(container_id, labels or {}, running):
            return OWN
        return LABELLED if str((labels or {}).get(PROTECTED_LABEL)).lower() == "true" else None

    def reason(self, found: Mapping[str, Any]) -> Optional[str]:
        """Why an inspected container is protected; None when it is not. Raises EngineError."""
        labels = (found.get("Config") or {}).get("Labels") or {}
        return self.protection(str(found.get("Id") or ""), labels, bool((found.get("State") or {}).get("Running")))

    def guard(self, found: Mapping[str, Any], action: Action) -> None:
        """Let an action on an inspected container pass, or raise Protected with the reason and what to do instead.

        "edit" is for one that recreates; what is changed in place harms nobody.
        """
        reason = self.reason(found)
        if reason is None:
            return
        name = name_of(found)
        advice = ADVICE[action][0 if reason is OWN else 1].format(name=name)
        raise Protected(f"container {name} cannot be {DEED[action]} from here: {reason}; {advice}")

    def _is_own(self, container_id: str, labels: Mapping[str, Any], running: bool) -> bool:
        """By id; where the id cannot be found out, by the label of a running one, as we run."""
        own = self.id()
        if own is not None:
            return container_id == own
        return running and str(labels.get(AGENT_LABEL)).lower() == "true"
