"""What was chosen for an app and cannot stand on its containers, as Docker's labels do not change in place.

state/apps.json, by project: the switch for updates, the labels that a deploy found in the file of a service which it
kept as it was, and the digests that failed the health gate (quarantine).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable, Final, Optional

from dockpal_agent.apps.app import Member
from dockpal_agent.apps.state_file import StateFile
from dockpal_agent.compose.labels import SERVICE
from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import parse

__all__ = ["Choices", "ChoicesFailed", "KeptLabels"]

log = logging.getLogger(__name__)

VERSION: Final = 1
MOST_PROJECTS: Final = 1000  # past it, the project that was chosen for the longest ago is forgotten

_PREFIX: Final = "dockpal."
KeptLabels = Mapping[str, Mapping[str, Mapping[str, str]]]  # {service: {config hash of a container: {label: text}}}
_Project = dict[str, Any]  # "switch", "labels", "quarantine"; what is empty is not there


class ChoicesFailed(Exception):
    """The choice could not be written, and is as it was."""


class Choices:
    """Answers from memory; every change is written before it is answered. Projects are named as Docker has them.

    Only set_switch() fails where nothing can be written, as somebody waits for that answer. What an update or a deploy
    notes holds in memory then, and the failure is logged.
    """

    def __init__(self, path: Path) -> None:
        self._file: Final = StateFile(path, VERSION)
        self._writing = threading.Lock()  # guards the file, and the change of what follows
        self._projects: Mapping[str, _Project] = _read(self._file.read())  # never changed in place
        self._written: Mapping[str, _Project] = self._projects

    def switch(self, project: str) -> Optional[bool]:
        """Whether updates were switched on or off for this project; None where that was never said."""
        switched = self._of(project).get("switch")
        return switched if isinstance(switched, bool) else None

    def set_switch(self, project: str, switched: Optional[bool]) -> None:
        """Switch; None leaves it to the labels again. Raises ChoicesFailed."""
        with self._writing:
            projects = _changed(self._projects, project, lambda entry: {**entry, "switch": switched})
            try:
                self._write(projects)
            except OSError as error:
                raise ChoicesFailed(f"the choice for {project} cannot be kept: {error.strerror}") from error
            self._projects = projects

    def labels(self, member: Member, project: str) -> Mapping[str, str]:
        """The `dockpal.*` labels that hold for a container: its own, and above them what its file says since a deploy
        that kept it as it was (`""` there means that the file does not have the label any more).
        """
        own = {label: text for label, text in member.labels.items() if label.startswith(_PREFIX)}
        services: KeptLabels = self._of(project).get("labels") or {}
        service = member.labels.get(SERVICE) or member.service
        since = (services.get(service) or {}).get(member.config_hash) or {}
        return {label: text for label, text in {**own, **since}.items() if text or label not in since}

    def note_kept(self, project: str, kept_labels: KeptLabels) -> None:
        """What the file of a deploy says of containers that it kept (compose's Outcome.kept_labels), in the place of
        what the deploy before it said."""
        kept = {
            service: {config_hash: dict(labels) for config_hash, labels in by_hash.items() if labels}
            for service, by_hash in kept_labels.items()
        }
        self._note(project, lambda entry: {**entry, "labels": {name: each for name, each in kept.items() if each}})

    def quarantined(self, project: str, reference: str) -> str:
        """The digest (or image id) that failed under this reference, "" for none."""
        return str((self._of(project).get("quarantine") or {}).get(_key(reference), ""))

    def quarantine(self, project: str, digests: Mapping[str, str]) -> None:
        """What these references mean now must not be tried again by itself: {reference: remote digest or image id}."""
        failed = {_key(name): digest for name, digest in digests.items()}
        self._note(project, lambda entry: {**entry, "quarantine": {**(entry.get("quarantine") or {}), **failed}})

    def release(self, project: str, references: Iterable[str]) -> None:
        """What these references mean has proven itself."""
        proven = {_key(name) for name in references}

        def without(entry: _Project) -> _Project:
            failed = entry.get("quarantine") or {}
            return {**entry, "quarantine": {name: failed[name] for name in failed if name not in proven}}

        self._note(project, without)

    def forget(self, project: str) -> None:
        """The project was removed."""
        self._note(project, lambda entry: {})

    def _of(self, project: str) -> _Project:
        return self._projects.get(project) or {}

    def _note(self, project: str, change: Callable[[_Project], _Project]) -> None:
        """Change what is known of a project; where it cannot be written, in memory alone."""
        with self._writing:
            self._projects = _changed(self._projects, project, change)
            try:
                self._write(self._projects)
            except OSError as error:
                log.error("%s: what was noted of it cannot be written: %s", project, error.strerror)

    def _write(self, projects: Mapping[str, _Project]) -> None:
        """Raises OSError. Nothing is written twice."""
        if projects == self._written:
            return
        self._file.write({"projects": [{**entry, "project": name} for name, entry in projects.items()]})
        self._written = projects


def _changed(
    projects: Mapping[str, _Project], project: str, change: Callable[[_Project], _Project]
) -> Mapping[str, _Project]:
    """All projects with one of them changed; it is the last of them then, and what is empty is left out."""
    entry = change(projects.get(project) or {})
    changed = {name: each for name, each in projects.items() if name != project}
    changed[project] = {kind: value for kind, value in entry.items() if value is not None and value != {}}
    if not changed[project]:
        del changed[project]
    for oldest in list(changed)[:-MOST_PROJECTS]:
        del changed[oldest]
    return changed


def _key(reference: str) -> str:
    """A reference in one form; what is none stays as it is."""
    try:
        return parse(reference).familiar
    except InvalidReference:
        return reference


def _read(value: Mapping[str, Any]) -> dict[str, _Project]:
    """The projects of the file, without what has another shape."""
    projects = value.get("projects")
    entries = [each for each in projects if isinstance(each, dict)] if isinstance(projects, list) else []
    return {str(each["project"]): _known(each) for each in entries if each.get("project")}


def _known(entry: Mapping[str, Any]) -> _Project:
    known: _Project = {}
    if isinstance(entry.get("switch"), bool):
        known["switch"] = entry["switch"]
    if isinstance(entry.get("quarantine"), dict):
        known["quarantine"] = {str(name): str(digest) for name, digest in entry["quarantine"].items()}
    if isinstance(entry.get("labels"), dict):
        known["labels"] = {
            service: {str(each): _texts(labels) for each, labels in by_hash.items() if isinstance(labels, dict)}
            for service, by_hash in entry["labels"].items()
            if isinstance(by_hash, dict)
        }
    return known


def _texts(labels: Mapping[str, Any]) -> dict[str, str]:
    return {str(label): str(value) for label, value in labels.items()}
