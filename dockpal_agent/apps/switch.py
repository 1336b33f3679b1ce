"""The switch for an app's updates: by hand, by its label, and in its stored Compose file (protocol 5.5).

Docker's labels cannot change in place and no container is restarted for a switch: so the choice is kept in state/, and
the list and the schedule go by it. The stored file is changed too, so that it says the same to people and to
docker compose.

Order of writes, and what a failure or a kill leaves:

1. the choice (state/apps.json). Where it cannot be written, nothing has changed, and the call fails.
2. the label in the stored file, in the project's queue, behind a deploy that is under way. Where that fails, or a kill
   comes before it, the choice stands and is what counts; only the file says something else, until the next switch or
   deploy. The answer says so.

A deploy of a file that carries the label, true or false, puts an end to the choice: the file is what counts then. One
that was under way when the switch came does not, as step 2 makes the choice again.
"""

from __future__ import annotations

import logging
import threading
from typing import Callable, Final, Protocol

from dockpal_agent.apps.choices import Choices, ChoicesFailed
from dockpal_agent.apps.listing import Apps
from dockpal_agent.compose.apply import Outcome
from dockpal_agent.compose.deployment import FORESEEN
from dockpal_agent.compose.lanes import QueueFull, Stopping, Work

__all__ = ["Projects", "Switch"]

log = logging.getLogger(__name__)

FILE_WITHIN: Final = 5.0  # seconds that an answer waits for the file: an update under way may hold it for minutes
LATER: Final = "the Compose file is changed when the project's changes under way have ended"


class Projects(Protocol):
    """Stored projects and their queues; compose.deploys.Deploys is one."""

    def is_stored(self, project: str) -> bool:
        """Whether there is a stored file."""

    def change(self, project: str, key: str, deed: Callable[[], None]) -> Work:
        """Queue a change. Raises QueueFull, Stopping."""

    def relabel(self, project: str, enabled: bool) -> object:
        """Within a change: set or remove the label on every service of the stored file, all else as it is."""


class Switch:
    """One for the agent. Any thread may switch."""

    def __init__(self, apps: Apps, choices: Choices, deploys: Projects, *, file_within: float = FILE_WITHIN) -> None:
        self._apps: Final = apps
        self._choices: Final = choices
        self._deploys: Final = deploys
        self._file_within: Final = file_within
        self._lock = threading.Lock()  # guards _wished
        self._wished: dict[str, bool] = {}  # by project: the last that was asked for; bounded by the projects there are

    def set(self, name: str, enabled: bool) -> str:
        """Switch an app's updates on or off; what the stored file does not say yet or cannot say, "" where all is done.

        Raises NoSuchApp, ChoicesFailed, EngineError.
        """
        project = self._apps.find(name).project
        with self._lock:
            self._wished[project] = enabled
        self._choices.set_switch(project, enabled)
        log.info("project %s: automatic updates are switched %s", project, "on" if enabled else "off")
        return self._change_file(project, enabled)

    def on_deployed(self, project: str, outcome: Outcome) -> None:
        """A deploy has been made: its file's labels count. For Deploys. Raises ChoicesFailed."""
        self._choices.note_kept(project, outcome.kept_labels)
        if outcome.auto_update_labelled:
            self._choices.set_switch(project, None)

    def on_removed(self, project: str) -> None:
        """The project is gone. For Deploys."""
        with self._lock:
            self._wished.pop(project, None)
        self._choices.forget(project)

    def _change_file(self, project: str, enabled: bool) -> str:
        try:
            if not self._deploys.is_stored(project):
                return ""
            work = self._deploys.change(project, _key(enabled), lambda: self._write(project, enabled))
            work.wait(self._file_within)
        except TimeoutError:
            return LATER
        except (*FORESEEN, ChoicesFailed, QueueFull, Stopping) as error:
            log.warning("project %s: the switch counts, but its Compose file does not say so: %s", project, error)
            return f"the switch counts, but the stored Compose file could not be changed: {error}"
        return ""

    def _write(self, project: str, enabled: bool) -> None:
        """In the project's queue. Raises what relabel does, ChoicesFailed."""
        with self._lock:
            if self._wished.get(project) is not enabled:
                return  # switched again since, which waits behind this
        self._choices.set_switch(project, enabled)  # a deploy before this one in the queue may have ended the choice
        self._deploys.relabel(project, enabled)


def _key(enabled: bool) -> str:
    """Switches in the same direction join, others keep their order."""
    return f"auto-update {'on' if enabled else 'off'} of"
