"""Replacing several containers at once by such with newer images: all of them, judged by a gate, or none.

For projects that have no Compose file here: each successor is made from what Docker knows of the old container. The
order of writes is a group's (docs/decisions/0004); the gate watches before its one commit, so that the old containers
are still there when its verdict is bad (docs/decisions/0014).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from dockpal_agent.containers import dependants, image_change
from dockpal_agent.containers.aside import was
from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.image_change import CannotEdit
from dockpal_agent.containers.journal import Entry, Journal
from dockpal_agent.containers.replace import Group
from dockpal_agent.engine import Engine, containers, images

__all__ = ["Change", "Gate", "Wishes", "changes_of", "replace_together"]

Found = Mapping[str, Any]
Gate = Callable[[Mapping[str, str]], None]  # ids by name of what was started; raises what speaks against them
Ready = Callable[[str, Mapping[str, str]], None]  # (old id, new ids by old ones): returns when it may be started


@dataclass(frozen=True)
class Wishes:
    """What the caller wants of a replacement, all by the containers' ids as they are now.

    `images` are ids of the new images. `needs` are the containers that one must be started after, `jobs` those that
    run to their end even though they are stopped, as others wait for that; `restarts` those that keep their image and
    are stopped before, and started after the others.
    """

    images: Mapping[str, str]
    needs: Mapping[str, Collection[str]] = field(default_factory=dict)
    jobs: Collection[str] = ()
    restarts: Collection[str] = ()


@dataclass(frozen=True)
class Change:
    """One container to be replaced. `image_id` is "" for one that keeps its image, and goes along with another one
    whose namespaces it lives in.
    """

    old: Found
    image_id: str
    runs: bool

    @property
    def old_id(self) -> str:
        """Its id now."""
        return str(self.old["Id"])


def changes_of(engine: Engine, wishes: Wishes) -> list[Change]:
    """All that has to be replaced, in the order in which it is started. Raises NotFound, CannotEdit, EngineError."""
    olds = [containers.inspect(engine, container_id) for container_id in wishes.images]
    along = dependants.of_all(engine, olds)
    for old in olds:
        others = [name_of(other) for other in along if dependants.lives_in(other, old)]
        if others and (old.get("HostConfig") or {}).get("AutoRemove"):
            raise CannotEdit(
                f"container {name_of(old)} removes itself when it stops, and {', '.join(others)} would lose the "
                "network that it shares with it; stop that one first"
            )
    changes = {
        str(old["Id"]): Change(
            old, wishes.images.get(str(old["Id"]), ""), was(old).ran or str(old["Id"]) in wishes.jobs
        )
        for old in [*olds, *along]
    }
    return list(_in_order(changes, wishes.needs))


def replace_together(
    engine: Engine,
    journal: Journal,
    title: str,
    changes: Sequence[Change],
    gate: Gate,
    *,
    restarts: Sequence[Found] = (),  # inspects
    ready: Ready = lambda old_id, new_ids: None,
) -> dict[str, str]:
    """Replace these containers, in their order; the new ids by the old ones.

    `restarts` keep their image; they are stopped before and started after the others. `ready` is called before each
    start, `gate` when all run, and what either raises undoes everything. What was paused is judged while it runs, and
    is paused again. Raises ReplacementFailed, whose cause is what failed.
    """
    olds = [change.old for change in changes]
    new_ids: dict[str, str] = {}
    entries: dict[str, Entry] = {}
    with Group(engine, journal, title) as group:
        for change in changes:
            entry = group.prepare(change.old, _request(engine, change, new_ids, olds))
            entries[change.old_id] = entry
            new_ids[change.old_id] = entry.new_id
        staying = [group.stay(old) for old in restarts]
        for one in reversed(staying):
            group.stop(one)
        for change in reversed(changes):
            group.switch(entries[change.old_id])
        started = {}
        for change in changes:
            if change.runs:
                _asked(group, ready, change.old_id, new_ids)
                entry = entries[change.old_id]
                group.run(entry)
                started[entry.final_name] = entry.new_id
        for one in staying:
            group.start_old(one)
        _asked(group, gate, {**started, **{one.name: one.old_id for one in staying}})
        for entry in entries.values():
            group.pause(entry)
        group.commit()
    return new_ids


def _asked(group: Group, question: Callable[..., None], *facts: object) -> None:
    """Ask the caller; whatever is raised undoes the group."""
    try:
        question(*facts)
    except Exception as error:
        raise group.give_up(error) from error


def _request(engine: Engine, change: Change, new_ids: Mapping[str, str], olds: Sequence[Found]) -> CreateRequest:
    """What makes the successor, in the namespaces of the new ones."""
    request = dependants.request_for(engine, change.old, new_ids, olds)
    if not change.image_id:
        return request
    given = image_change.config_of_image(engine, change.old)
    reference = str((change.old.get("Config") or {}).get("Image") or "")
    return image_change.with_image(request, given, images.inspect(engine, change.image_id), reference)


def _in_order(changes: Mapping[str, Change], needs: Mapping[str, Collection[str]]) -> Iterator[Change]:
    """Each after what it needs, and after those whose namespaces it lives in; a circle is broken where it is met."""
    met: set[str] = set()

    def visit(change: Change) -> Iterator[Change]:
        if change.old_id in met:
            return
        met.add(change.old_id)
        for other in changes.values():
            if other.old_id in needs.get(change.old_id, ()) or dependants.lives_in(change.old, other.old):
                yield from visit(other)
        yield change

    for change in changes.values():
        yield from visit(change)
