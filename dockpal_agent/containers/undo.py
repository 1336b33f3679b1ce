"""Back to the old containers, or on to the new ones: what a failure, or a start after a kill, does with a group.

Both look at what Docker holds and go from there, so that they are right on either side of every step, and may be
interrupted and run again. Neither ever deletes a volume.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Final, Optional, TypeVar

from dockpal_agent.containers import carry
from dockpal_agent.containers.aside import Was, name_for_new
from dockpal_agent.containers.create import create
from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.journal import Entry, Step
from dockpal_agent.containers.made import SWAP, Made, remove_made, swap_back
from dockpal_agent.engine import (
    Conflict,
    Engine,
    EngineError,
    EngineTimeout,
    EngineUnavailable,
    NotFound,
    containers,
    images,
)

__all__ = ["find", "finish", "rename_back", "set_policy", "stop", "undo"]

log = logging.getLogger(__name__)

GONE_WITHIN: Final = 60.0  # seconds for a container that removes itself to be gone
AWAY_WITHIN: Final = 60.0  # seconds that an undo waits for a daemon that went away in the middle
AWAY_POLL: Final = 0.5  # seconds between two tries meanwhile
POLL: Final = 0.1  # seconds
DEFAULT_STOP_TIMEOUT: Final = 10  # seconds until SIGKILL where the container does not say (Docker's default)
LONGEST_STOP_TIMEOUT: Final = 120  # seconds that we wait for the end of a stop that is perhaps under way
STOP_MARGIN: Final = 2.0  # seconds for the end itself

Found = dict[str, Any]
Note = Callable[[], None]
Part = TypeVar("Part", Entry, Made)


def undo(
    engine: Engine,
    entries: Sequence[Entry],
    note: Note = lambda: None,
    patience: float = AWAY_WITHIN,
    made: Sequence[Made] = (),
    tell: Callable[[str], None] = lambda words: None,
) -> bool:
    """Put every old container back as it was and remove the new ones; whether all of it worked.

    New ones are withdrawn last made first, as they may live in the namespaces of earlier ones; old ones come back in
    order. A daemon that has gone away is waited for, `patience` seconds in all. `note` is called when an entry changed,
    `tell` for each network and volume of `made` that is removed or has to stay.
    """
    begin = time.monotonic()
    until = begin + patience
    done = _each(reversed(entries), until, lambda entry: _withdraw_new(engine, entry))
    swaps = [one for one in made if one.kind == SWAP]
    done = _each(swaps, until, lambda one: swap_back(engine, one)) and done
    done = _each(entries, until, lambda entry: _bring_back_old(engine, entry, note, begin)) and done
    done = _each(reversed(entries), until, lambda entry: _remove_new(engine, entry)) and done
    started = {entry.final_name for entry in entries if entry.began(Step.START_NEW)}

    def take_away(one: Made) -> None:
        words = remove_made(engine, one, started)
        if words:
            tell(words)

    done = _each(reversed(made), until, take_away) and done
    return _each(entries, until, lambda entry: _return_tag(engine, entry)) and done


def finish(engine: Engine, entries: Sequence[Entry]) -> bool:
    """Remove the old containers of a committed group; whether all of it worked."""
    now = time.monotonic()
    done = _each(reversed(entries), now, lambda entry: _remove_old(engine, entry))
    return _each(entries, now, lambda entry: _return_tag(engine, entry)) and done


def find(engine: Engine, container: str) -> Optional[Found]:
    """The inspect of a container by its id or its exact name, None where there is none."""
    try:
        found = containers.inspect(engine, container)
    except NotFound:
        return None
    # Docker takes a unique prefix of an id as well: "abc" may be another container.
    return found if container in (found.get("Id"), name_of(found)) else None


def set_policy(engine: Engine, container_id: str, policy: dict[str, Any]) -> None:
    """Set the restart policy of a container in place."""
    containers.update(engine, container_id, {"RestartPolicy": policy})


def stop(engine: Engine, container_id: str, vanishes: bool) -> None:
    """Stop a container within its own stop timeout; one that removes itself is gone when this returns."""
    containers.stop(engine, container_id)
    if vanishes:
        _wait_gone(engine, container_id)


def rename_back(engine: Engine, container_id: str, name: str) -> None:
    """Undo a rename after a failure, which stays the failure."""
    try:
        containers.rename(engine, container_id, name)
    except EngineError as error:
        log.error("container %s: it could not be given its name back: %s", name, error)


def _each(entries: Iterable[Part], until: float, deed: Callable[[Part], None]) -> bool:
    """Do the deed for every entry, whatever happens to the others; whether all worked."""
    done = True
    for entry in entries:
        try:
            _while_away(deed, entry, until)
        except EngineError as error:
            log.error("%s %s: its replacement could not be settled: %s", _kind(entry), entry.name, error)
            done = False
    return done


def _kind(part: Part) -> str:
    return part.kind if isinstance(part, Made) else "container"


def _while_away(deed: Callable[[Part], None], entry: Part, until: float) -> None:
    """Try again while the daemon is away (it is being restarted): the container is down as long as we are not done."""
    while True:
        try:
            return deed(entry)
        except EngineUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(AWAY_POLL)


def _new(engine: Engine, entry: Entry) -> Optional[Found]:
    """The new container; by its temporary name where a kill or a lost answer kept its id from us."""
    if entry.new_id:
        return find(engine, entry.new_id)
    if not entry.began(Step.CREATE_NEW):
        return None
    return find(engine, name_for_new(entry.old_id, entry.name, entry.was))


def _withdraw_new(engine: Engine, entry: Entry) -> None:
    """Stop the new container, which frees ports and addresses, and take the name from it."""
    found = _new(engine, entry)
    if found is None or _keep_for_lost(engine, entry, found):
        return
    new_id, removes_itself = str(found["Id"]), bool((found.get("HostConfig") or {}).get("AutoRemove"))
    if (found.get("State") or {}).get("Running"):
        stop(engine, new_id, removes_itself)
        if removes_itself:
            return
    temporary = name_for_new(entry.old_id, entry.name, entry.was)
    if name_of(found) != temporary:
        try:
            containers.rename(engine, new_id, temporary)
        except NotFound:  # it removed itself
            _wait_gone(engine, new_id)


def _bring_back_old(engine: Engine, entry: Entry, note: Note, begin: float) -> None:
    """The old container under its own name, with its restart policy, in the state it was in."""
    if not entry.old_id:
        return
    found = find(engine, entry.old_id)
    if found is None:
        if entry.kept is None:
            log.warning("container %s: the old one was removed by somebody else meanwhile", entry.name)
            entry.lost = True
            return
        found = _make_again(engine, entry, note)
    if name_of(found) != entry.name:
        containers.rename(engine, entry.old_id, entry.name)
    current = (found.get("HostConfig") or {}).get("RestartPolicy") or {}
    if entry.began(Step.QUIET_OLD) and entry.policy and current != entry.policy:
        set_policy(engine, entry.old_id, entry.policy)
    if entry.began(Step.STOP_OLD) and entry.was.ran:
        _run_again(engine, entry, found if entry.stop_answered else _after_pending_stop(engine, found, begin))
    if entry.began(Step.START_OLD) and not entry.was.ran and (found.get("State") or {}).get("Running"):
        containers.stop(engine, entry.old_id)


def _run_again(engine: Engine, entry: Entry, found: Found) -> None:
    state = found.get("State") or {}
    if not state.get("Running"):
        containers.start(engine, entry.old_id)
    if entry.was is Was.PAUSED and not state.get("Paused"):
        containers.pause(engine, entry.old_id)


def _after_pending_stop(engine: Engine, found: Found, begin: float) -> Found:
    """The container once a stop that nobody saw the end of has had its time: it runs still, but may be about to end.

    The daemon goes on with a stop whose caller was killed. `begin` is when this undo began, after the stop did.
    """
    if not (found.get("State") or {}).get("Running"):
        return found
    timeout = (found.get("Config") or {}).get("StopTimeout")
    seconds = min(DEFAULT_STOP_TIMEOUT if timeout is None else max(timeout, 0), LONGEST_STOP_TIMEOUT) + STOP_MARGIN
    try:
        within = max(begin + seconds - time.monotonic(), 0.01)
        containers.wait(engine, str(found["Id"]), within=within, condition="not-running")
    except EngineTimeout:
        return found
    return containers.inspect(engine, str(found["Id"]))


def _make_again(engine: Engine, entry: Entry, note: Note) -> Found:
    """The old container, which removed itself when it was stopped, made again from its inspect. Its volumes are there:
    the new one holds them. Its own file system is not."""
    assert entry.kept is not None
    again = find(engine, entry.name)
    if again is None:
        container_id = create(engine, entry.name, carry.over(engine, entry.kept))
        again = containers.inspect(engine, container_id)
    entry.old_id = str(again["Id"])
    note()
    return again


def _remove_new(engine: Engine, entry: Entry) -> None:
    found = _new(engine, entry)
    if found is not None and str(found["Id"]) != entry.old_id and not _keep_for_lost(engine, entry, found):
        _remove(engine, str(found["Id"]))


def _keep_for_lost(engine: Engine, entry: Entry, new: Found) -> bool:
    """Whether the new container is all that is left: somebody removed the old one, once it was set aside. Then it
    stays, even one that has ended: with it would go what the container was, and which volumes are its own.
    """
    in_its_place = entry.began(Step.RENAME_NEW) or (new.get("State") or {}).get("Running")
    if not entry.old_id or entry.kept is not None or not in_its_place:
        return False
    if find(engine, entry.old_id) is not None:
        return False
    if name_of(new) != entry.final_name:
        containers.rename(engine, str(new["Id"]), entry.final_name)
    entry.stayed = True
    return True


def _remove_old(engine: Engine, entry: Entry) -> None:
    """Its volumes stay. It may run again: a daemon that was restarted starts what has the policy `always`."""
    if not entry.old_id or entry.stays:
        return
    found = find(engine, entry.old_id)
    if found is None:
        return
    if (found.get("State") or {}).get("Running"):
        containers.stop(engine, entry.old_id)
    _remove(engine, entry.old_id)


def _remove(engine: Engine, container_id: str) -> None:
    """Remove a container; one that is being removed already is waited for."""
    try:
        containers.remove(engine, container_id, force=True)
    except NotFound:
        return
    except Conflict:
        _wait_gone(engine, container_id)


def _return_tag(engine: Engine, entry: Entry) -> None:
    """Give a tag back that was borrowed for a create (create.py), if it still means the image it was borrowed for."""
    reference, newer = entry.borrowed.get("reference"), entry.borrowed.get("image_id")
    if not reference or not newer:
        return
    repository, version = images.split_reference(reference)
    try:
        if images.inspect(engine, reference).get("Id") == entry.image_id:
            images.tag(engine, newer, repository, version or "latest")
    except NotFound as error:
        log.warning("image %s: its tag could not be given back: %s", reference, error)
    entry.borrowed = {}


def _wait_gone(engine: Engine, container_id: str) -> None:
    """Wait until a container is removed. Raises EngineTimeout."""
    end = time.monotonic() + GONE_WITHIN
    while find(engine, container_id) is not None:
        if time.monotonic() > end:
            raise EngineTimeout(f"container {container_id[:12]} was not removed within {GONE_WITHIN:g} s")
        time.sleep(POLL)
