"""How a project is to be brought up, and what is told meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Final, Optional

from dockpal_agent.compose.hostpaths import HostPaths
from dockpal_agent.containers.own import OwnContainer
from dockpal_agent.images.pulls import Pulls

__all__ = ["COMPOSE_VERSION", "DONE", "ERROR", "RUNNING", "Gate", "Options", "Progress", "Report"]

Gate = Callable[[Mapping[str, str]], None]

COMPOSE_VERSION: Final = "2.40.3"  # the docker compose whose hashes these are: hashes.py
RUNNING: Final = "running"
DONE: Final = "done"
ERROR: Final = "error"


@dataclass(frozen=True)
class Options:
    """What the caller of an `up` decides.

    `pull` is always, missing, never, or None for each service's own `pull_policy`. `start` False creates only
    (`--no-start`); `wait` asks that all run, or are healthy, at the end (`--wait`). `wait_limit` is seconds for each
    condition of a `depends_on`; `proof` seconds that a started container must run, half of them where it takes no
    other's place; `health_limit` seconds that its health check may take before it counts as slow but well.
    `stop_timeout` is seconds until SIGKILL for what is removed; None leaves each container its own.

    `auths` are registry credentials by host (protocol 8). `display_name` is the project's name as the user wrote it,
    `compose_path` where its file lies on the host: both go into labels. `api` follows the Server's rule for networks
    without settings (a Docker network of exactly that name is joined); the shell follows Compose's. `host_paths` None
    means that paths here are paths of the host. `own` refuses what would end the agent itself. `pulls` are joined
    where they run already; None makes them here.

    An update of an app sets these three. `gate` judges in the place of the usual proof: it is called once when all that
    is to run was started, before the commit, with the ids by name of the containers that are meant to run, those that
    were kept too; whatever it raises undoes the whole run (NotProven for a bad verdict). It is not called where there
    is nothing to do. `leave_stopped` starts nothing that did not run: what is stopped or paused and unchanged stays,
    what is replaced is created and not started, paused again where it was paused. A replaced job for whose end others
    wait runs all the same. `new_images_for` are the services whose containers are made anew because their image
    reference means another image now, None for all; of the others, what is made anew for another reason keeps the
    image that it runs.
    """

    force_recreate: bool = False
    pull: Optional[str] = None
    remove_orphans: bool = False
    start: bool = True
    wait: bool = False
    wait_limit: float = 600.0
    proof: float = 2.0
    health_limit: float = 20.0
    stop_timeout: Optional[float] = None
    auths: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    compose_path: str = ""
    environment_files: tuple[str, ...] = ()
    version_label: str = COMPOSE_VERSION
    api: bool = False
    host_paths: Optional[HostPaths] = None
    own: Optional[OwnContainer] = None
    pulls: Optional[Pulls] = None
    gate: Optional[Gate] = None
    leave_stopped: bool = False
    new_images_for: Optional[frozenset[str]] = None

    def takes_new_image(self, service: str) -> bool:
        """Whether the service's containers follow their image reference."""
        return self.new_images_for is None or service in self.new_images_for


@dataclass(frozen=True)
class Progress:
    """One thing that happens: a deploy event of protocol 4 without its time.

    `step` is resolve, pull, create, hint or cleanup; `subject` the service, image, network or volume, "" for the
    project; `status` RUNNING, DONE or ERROR. A hint never has ERROR.
    """

    step: str
    subject: str
    message: str
    status: str = RUNNING


Report = Callable[[Progress], None]  # called by several threads; must not raise, and must not wait
