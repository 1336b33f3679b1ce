"""The files of deployed projects, a folder each: what stands, what stood before, and what a deploy is about to change.

`compose/<project>/docker-compose.yml` as the user sent it, `.env`, and the files that were shipped along. Beside them,
in `.dockpal`, whole deploys as JSON: `current.json`, `previous.json`, and while one is under way `pending.json`, which
holds what each file was before. docs/decisions/0010-order-of-writes-of-a-deploy.md says what a kill leaves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.compose.deployrequest import COMPOSE_FILE, ENV_FILE, PRIVATE, DeployRequest
from dockpal_agent.compose.dotenv import dotenv
from dockpal_agent.compose.names import normalise_project_name
from dockpal_agent.compose.projectfolder import ProjectFolder

__all__ = ["NotOurFile", "Pending", "Stored", "StoredFailed", "texts_beside"]

log = logging.getLogger(__name__)

VERSION: Final = 1
PREVIOUS_FILE: Final = "docker-compose.previous.yml"  # for people; previous.json is for us
CURRENT: Final = f"{PRIVATE}/current.json"
PREVIOUS: Final = f"{PRIVATE}/previous.json"
PENDING: Final = f"{PRIVATE}/pending.json"
LARGEST: Final = 1 << 20  # bytes of one of the files
LARGEST_RECORD: Final = 32 << 20  # bytes of JSON; escapes make six of one
MOST_MENTIONED: Final = 5000  # words of a Compose file that are looked for as files
LARGEST_MENTIONED: Final = 64 * 1024  # bytes of such a file
MENTIONED_IN_ALL: Final = 1 << 20

_WORD: Final = re.compile(r"[^\s\"'\[\]{},]+")
_WORDS: Final = re.compile(  # a name with blanks: in quotes, or all that follows a key or a dash
    r"\"([^\"\n]+)\"|'([^'\n]+)'|[:-][ \t]+([^\s\"'#\[\]{},][^#\[\]{},\n]*)"
)


class StoredFailed(Exception):
    """The files of a project could not be written or read; the text says which, and why."""


class NotOurFile(StoredFailed):
    """A deploy would overwrite what somebody else put into the project's folder."""


@dataclass(frozen=True)
class Pending:
    """A deploy whose files were written and which had not ended. `hashes` are those of its services by name, as begin()
    was given them.
    """

    deploy_id: str
    name: str
    hashes: Mapping[str, Sequence[str]]


class Stored:
    """All projects' folders below `compose/`. One thread at a time may change one project: lanes.py and locks.py."""

    def __init__(self, directory: Path) -> None:
        self._directory: Final = directory

    def path(self, name: str) -> Path:
        """The folder of a project, its name in any form."""
        return self._directory / normalise_project_name(name)

    def projects(self) -> list[str]:
        """The names, as Docker has them, of the projects that have a folder."""
        try:
            return sorted(entry.name for entry in self._directory.iterdir() if entry.is_dir() and self._named(entry))
        except FileNotFoundError:
            return []
        except OSError as error:
            log.error("%s cannot be read: %s", self._directory, error.strerror)
            return []

    def load(self, name: str) -> Optional[DeployRequest]:
        """What is deployed of a project, with what the user has changed in its files since; None where nothing is.

        A folder of the original agent's has a Compose file and nothing else. Raises StoredFailed.
        """
        folder = self._folder(name)
        with _said("read", folder):
            record = self._request(folder, CURRENT)
            if record is None:
                text = _text(folder.read(COMPOSE_FILE, LARGEST))
                return None if text is None else DeployRequest(name=name, compose=text)
            return _as_on_disk(folder, record)

    def is_recorded(self, name: str) -> bool:
        """Whether there is a record of what is deployed: a lone Compose file is not all of it. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("read", folder):
            return self._json(folder, CURRENT) is not None

    def previous(self, name: str) -> Optional[DeployRequest]:
        """The deploy before the one that stands. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("read", folder):
            return self._request(folder, PREVIOUS)

    def display_name(self, name: str) -> Optional[str]:
        """How the user writes the name of the project that is stored under this name. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("read", folder):
            record = self._request(folder, CURRENT)
        return record.name if record else None

    def standing(self, name: str) -> str:
        """The id of the deploy that stands; "" where none does. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("read", folder):
            return str((self._json(folder, CURRENT) or {}).get("deploy_id", ""))

    def complete(self, request: DeployRequest) -> DeployRequest:
        """The request with the shipped files that stand, where it says nothing about files. Raises StoredFailed."""
        if request.files is not None:
            return request
        standing = self.load(request.name)
        return replace(request, files=dict((standing.files if standing else None) or {}))

    def mentioned(self, request: DeployRequest) -> dict[str, str]:
        """Files that lie in the folder, that the Compose file may name, and that were not sent: text by relative path.

        What only looks like a file's name is no harm: the reading asks for what it needs. A file that this deploy is
        going to remove is not there any more. Raises StoredFailed.
        """
        folder = self._folder(request.name)
        with _said("read", folder):
            stale = _stale(folder, self._request(folder, CURRENT), request)
        left_out = {*texts_beside(request), *stale}
        words = {word.rstrip(":") for word in _WORD.findall(request.compose)}
        words |= {"".join(found).strip() for found in _WORDS.findall(request.compose)}
        names = {_plain(word) for word in words} - {"", *left_out}
        found: dict[str, str] = {}
        size = 0
        for name in sorted(names)[:MOST_MENTIONED]:
            with contextlib.suppress(OSError):
                text = _text(folder.read(name, LARGEST_MENTIONED))
                if text is not None and size + len(text) <= MENTIONED_IN_ALL:
                    found[name] = text
                    size += len(text)
        return found

    def begin(
        self, request: DeployRequest, deploy_id: str, hashes: Mapping[str, Sequence[str]], readable: Iterable[str]
    ) -> None:
        """Write a deploy's files; what they were before is kept until commit() or roll_back().

        `hashes` are what a service's container shows when the deploy stands, any one of them; `readable` are shipped
        files that containers mount. Raises NotOurFile, StoredFailed; all files are as before then.
        """
        folder = self._folder(request.name)
        files = _rendered(request, set(readable))
        with _said("written", folder):
            folder.make()
            standing = self._request(folder, CURRENT)
            stale = _stale(folder, standing, request)
            before = {name: _kept(folder, name) for name in (*files, *stale)}
            _refuse_others(folder, files, before, standing)
            pending = {
                "version": VERSION,
                "deploy_id": deploy_id,
                "request": request.as_json(),
                "hashes": dict(hashes),
                "before": before,
            }
            folder.write(PENDING, json.dumps(pending), 0o600)
            try:
                for name, (text, mode) in files.items():
                    if before[name] != [text, mode]:
                        folder.write(name, text, mode)
            except OSError:
                self._put_back(folder, before)
                raise

    def commit(self, name: str) -> None:
        """The deploy that begin() wrote stands. Safe to repeat. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("written", folder):
            pending = self._json(folder, PENDING)
            if pending is None:
                return
            request = _request_of(pending["request"])
            standing = self._request(folder, CURRENT)
            old_compose = standing.compose if standing else (pending["before"].get(COMPOSE_FILE) or [None])[0]
            if old_compose is not None and not (standing and standing.same_files(request)):
                if standing is not None:
                    folder.write(PREVIOUS, json.dumps(standing.as_json()), 0o600)
                folder.write(PREVIOUS_FILE, old_compose, 0o600)
            for stale in _stale(folder, standing, request):
                folder.remove(stale)
            folder.write(CURRENT, json.dumps({**request.as_json(), "deploy_id": pending["deploy_id"]}), 0o600)
            folder.remove(PENDING)

    def rewrite(self, name: str, compose: str) -> None:
        """Put another text in the place of the Compose file that stands: no deploy, so what was before it stays.

        The file first, as load() goes by it: between the two writes it counts as changed by the user. Raises
        StoredFailed.
        """
        folder = self._folder(name)
        with _said("written", folder):
            record = self._json(folder, CURRENT)
            folder.write(COMPOSE_FILE, compose, 0o600)
            if record is not None:
                folder.write(CURRENT, json.dumps({**record, "compose": compose}), 0o600)

    def roll_back(self, name: str) -> None:
        """Every file is as it was before begin(). Safe to repeat. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("put back", folder):
            pending = self._json(folder, PENDING)
            if pending is not None:
                self._put_back(folder, pending["before"])

    def pending(self, name: str) -> Optional[Pending]:
        """The deploy that begin() wrote and that neither stands nor is undone. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("read", folder):
            value = self._json(folder, PENDING)
            if value is None:
                return None
            return Pending(str(value["deploy_id"]), str(value["request"]["name"]), dict(value["hashes"]))

    def remove(self, name: str) -> list[str]:
        """Remove what was written for a project; the paths that are left, as they are not ours. Raises StoredFailed."""
        folder = self._folder(name)
        with _said("removed", folder):
            if not folder.path.is_dir():
                return []
            names = {COMPOSE_FILE, PREVIOUS_FILE, CURRENT, PREVIOUS, PENDING}
            for record in (self._request(folder, CURRENT), self._pending_request(folder)):
                if record is not None:
                    names.update(_rendered(record, set()))
            for each in sorted(names, key=_is_record):  # the records last: they name the rest
                folder.remove(each)
            return [] if folder.remove_if_empty() else [str(folder.path / left) for left in folder.left()]

    def _folder(self, name: str) -> ProjectFolder:
        return ProjectFolder(self.path(name))

    def _named(self, entry: Path) -> bool:
        folder = ProjectFolder(entry)
        return normalise_project_name(entry.name) == entry.name and any(
            (folder.path / name).is_file() for name in (COMPOSE_FILE, CURRENT, PENDING)
        )

    def _put_back(self, folder: ProjectFolder, before: Mapping[str, Any]) -> None:
        for name, was in before.items():
            if was is None:
                folder.remove(name)
            elif _kept(folder, name) != was:
                folder.write(name, was[0], was[1])
        folder.remove(PENDING)
        folder.remove_if_empty()

    def _json(self, folder: ProjectFolder, name: str) -> Any:
        """A record of ours; one that cannot be read is set aside, as nothing can be done by it."""
        content = folder.read(name, LARGEST_RECORD)
        if content is None:
            return None
        try:
            value = json.loads(content)
            return value if isinstance(value, dict) else None
        except ValueError as error:
            log.error("%s cannot be read and is set aside: %s", folder.path / name, error)
            with contextlib.suppress(OSError):
                os.replace(folder.path / name, folder.path / f"{name}.unreadable")
            return None

    def _request(self, folder: ProjectFolder, name: str) -> Optional[DeployRequest]:
        value = self._json(folder, name)
        return None if value is None else _request_of(value)

    def _pending_request(self, folder: ProjectFolder) -> Optional[DeployRequest]:
        value = self._json(folder, PENDING)
        return None if value is None else _request_of(value["request"])


@contextlib.contextmanager
def _said(deed: str, folder: ProjectFolder) -> Any:
    """What the disk refuses, as StoredFailed."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoredFailed(f"the files in {folder.path} cannot be {deed}: {reason}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise StoredFailed(f"the records in {folder.path / PRIVATE} are not the agent's own: {error!r}") from error


def _request_of(value: Mapping[str, Any]) -> DeployRequest:
    return DeployRequest(
        name=value["name"],
        compose=value["compose"],
        env=value["env"],
        env_file=value["env_file"],
        files=value["files"],
        profiles=tuple(value["profiles"]),
    )


def texts_beside(request: DeployRequest) -> dict[str, str]:
    """What a deploy writes beside its Compose file, by relative path: `.env`, and what was shipped along."""
    shipped = dict(request.files or {})
    if request.env or request.env_file is not None:
        return {ENV_FILE: dotenv(request.env_file, request.env), **shipped}
    return shipped


def _rendered(request: DeployRequest, readable: set[str]) -> dict[str, tuple[str, int]]:
    """(text, mode) of every file of a deploy. Containers need to read, and sometimes run, what they mount."""
    files = {COMPOSE_FILE: (request.compose, 0o600)}
    for name, text in texts_beside(request).items():
        mode = 0o600 if name not in readable else 0o755 if text.startswith("#!") else 0o644
        files[name] = (text, mode)
    return files


def _kept(folder: ProjectFolder, name: str) -> Optional[list[Any]]:
    """[text, mode] of a file that is there. What is not UTF-8 comes back byte for byte (PEP 383)."""
    content = folder.read(name, LARGEST)
    path = folder.path / name
    if content is None:
        if os.path.lexists(path):
            raise StoredFailed(f"{path} is there and is no plain file of at most {LARGEST} bytes: it is not replaced")
        return None
    return [content.decode("utf-8", "surrogateescape"), path.lstat().st_mode & 0o777]


def _refuse_others(
    folder: ProjectFolder,
    files: Mapping[str, tuple[str, int]],
    before: Mapping[str, Optional[list[Any]]],
    standing: Optional[DeployRequest],
) -> None:
    """Raises NotOurFile for what is there with another text, and is not of the deploy that stands.

    A Compose file is kept as that of the deploy before, whoever wrote it.
    """
    ours = {COMPOSE_FILE, *(_rendered(standing, set()) if standing else ())}
    others = [
        name for name, (text, _) in files.items() if name not in ours and (was := before[name]) and was[0] != text
    ]
    if others:
        raise NotOurFile(
            f"{', '.join(others)} in {folder.path}: no deploy has put that there, and it is not overwritten; "
            "send its text along with the deploy, or move it away"
        )


def _as_on_disk(folder: ProjectFolder, record: DeployRequest) -> DeployRequest:
    """The record with the texts of its files as they are now; what is gone or no text stays as it was sent."""
    texts = {name: _text(folder.read(name, LARGEST)) for name in _rendered(record, set())}
    compose = texts[COMPOSE_FILE]
    files = {name: now if (now := texts[name]) is not None else sent for name, sent in (record.files or {}).items()}
    made = replace(record, compose=record.compose if compose is None else compose, files=files)
    env = texts.get(ENV_FILE)
    if env is None or env == _rendered(record, set())[ENV_FILE][0]:
        return made
    return replace(made, env_file=env, env={})


def _stale(folder: ProjectFolder, old: Optional[DeployRequest], new: DeployRequest) -> list[str]:
    """Files that the deploy before wrote and this one has not, where they are as they were written."""
    if old is None:
        return []
    kept = _rendered(new, set())
    return [
        name
        for name, (text, _) in _rendered(old, set()).items()
        if name not in kept and folder.read(name, LARGEST) == text.encode("utf-8", "surrogateescape")
    ]


def _is_record(name: str) -> bool:
    return name.startswith(f"{PRIVATE}/")


def _text(content: Optional[bytes]) -> Optional[str]:
    try:
        return None if content is None else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _plain(word: str) -> str:
    """The word as a path below the project's folder; "" where it cannot be one."""
    name = word[2:] if word.startswith("./") else word
    parts = name.split("/")
    bad = name.startswith(("/", "~")) or "$" in name or "\0" in name or len(name) > 512
    return "" if bad or any(part in ("", ".", "..") for part in parts) or parts[0] == PRIVATE else name
