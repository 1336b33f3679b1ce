"""Replacements that a kill, a power loss or a daemon's end interrupted: finished or undone, at the next start.

First by the journal: a committed group is finished, any other undone. Then by Docker alone, for the journal may be gone
with the data directory: the temporary names (aside.py) say which two containers belong together and what the state was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.containers import aside, undo
from dockpal_agent.containers.aside import Aside, Was
from dockpal_agent.containers.describe import name_of
from dockpal_agent.containers.journal import Entry, Journal, Record, Step
from dockpal_agent.containers.moments import parse_moment
from dockpal_agent.containers.proof import NotProven, Proof, prove
from dockpal_agent.engine import Engine, EngineError, containers

__all__ = ["Settled", "settle", "settle_journal"]

log = logging.getLogger(__name__)

REST: Final = 600.0  # seconds
REST_WITHOUT_JOURNAL: Final = 25.0  # seconds: an edit's longest still moment is a health check's wait of 20
ALL_STEPS: Final = [step.value for step in Step]  # from Docker alone, any of them may have happened


@dataclass(frozen=True)
class Settled:
    """What became of one interrupted replacement: the container's name, and "finished", "undone", "unsettled", or
    "waiting" where it may be another agent's that is under way.
    """

    container: str
    outcome: str


def settle(engine: Engine, journal: Journal, rest: Optional[float] = None) -> list[Settled]:
    """Finish or undo what was interrupted. Safe at any time, and to repeat; what is being worked on is left alone.

    What only Docker's names tell of may be the work of another agent, or of a shell, on this host: it waits until it
    has not moved for `rest` seconds. By default they are few where no journal was ever written (it is gone with its
    container, or we are new), and many where ours is there and knows nothing of it.

    Raises EngineError when the daemon is away at the beginning; what fails later is logged, and stays for next time.
    """
    reports = []
    still = rest if rest is not None else REST if journal.existed else REST_WITHOUT_JOURNAL
    with journal.alone():
        for record in journal.unfinished():
            reports += _by_journal(engine, record)
        told = {report.container for report in reports}
        reports += [_by_names(engine, pair, still) for pair in _pairs(engine, journal, told)]
    for report in reports:
        if report.outcome == "waiting":
            continue
        level = logging.ERROR if report.outcome == "unsettled" else logging.WARNING
        log.log(level, "container %s: its interrupted replacement is %s", report.container, report.outcome)
    return reports


def settle_journal(engine: Engine, journal: Journal) -> list[Settled]:
    """Finish or undo what one journal holds, and look at nothing else: by its names alone, another process's group that
    is under way looks like one that was interrupted."""
    with journal.alone():
        return [report for record in journal.unfinished() for report in _by_journal(engine, record)]


def _by_journal(engine: Engine, record: Record) -> list[Settled]:
    if record.committed:
        done, outcome = undo.finish(engine, record.entries), "finished"
    else:
        done, outcome = undo.undo(engine, record.entries, record.note, patience=0.0, made=record.made), "undone"
    if done:
        record.close()
    else:
        record.leave_open()
    return [Settled(entry.name, outcome if done else "unsettled") for entry in record.entries]


@dataclass(frozen=True)
class _Pair:
    """Two halves as their names tell; one of them may be gone."""

    said: Aside
    old: Optional[Mapping[str, Any]]
    new: Optional[Mapping[str, Any]]


def _pairs(engine: Engine, journal: Journal, told: set[str]) -> list[_Pair]:
    """What Docker's names tell of, the newest first: it may live in an older one's network.

    The list comes before the question who is busy: a group says so before it creates anything.
    """
    listed = containers.list_containers(engine, all=True, filters=aside.FILTER)
    listed.sort(key=lambda entry: int(entry.get("Created") or 0), reverse=True)
    busy = told | journal.busy_names()
    pairs: list[_Pair] = []
    for entry in listed:
        found = undo.find(engine, str(entry["Id"]))
        said = aside.read(name_of(found)) if found else None
        if found is None or said is None or said.name in busy:
            continue
        other = _by_prefix(engine, said.other)
        pair = _Pair(said, other, found) if said.new else _Pair(said, found, other)
        known = {str(half["Id"]) for earlier in pairs for half in (earlier.old, earlier.new) if half}
        halves = {str(half["Id"]) for half in (pair.old, pair.new) if half}
        if not halves & known:
            pairs.append(pair)
    return pairs


def _by_prefix(engine: Engine, prefix: str) -> Optional[Mapping[str, Any]]:
    """The container whose id begins so; a container that is *called* so is not meant."""
    for entry in containers.list_containers(engine, all=True, filters={"id": prefix}):
        if str(entry["Id"]).startswith(prefix):
            return undo.find(engine, str(entry["Id"]))
    return None


def _by_names(engine: Engine, pair: _Pair, rest: float) -> Settled:
    """Settle one pair.

    A new container under its temporary name was never started: it goes, unless the old one removed itself for it. An
    old one that is set aside comes back, unless the new one proves itself now: it may have served for a week since.
    """
    name = pair.said.name
    if abs(time.time() - _last_moved(pair)) < rest:  # a time ahead of ours is a clock that was set
        return Settled(name, "waiting")
    try:
        if pair.old is None:
            return Settled(name, _without_old(engine, pair))
        if pair.new is not None and not pair.said.new and _stands(engine, pair.new, pair.said.was):
            return Settled(name, "finished" if undo.finish(engine, [_entry(pair)]) else "unsettled")
        done = undo.undo(engine, [_entry(pair)], patience=0.0)
        return Settled(name, "undone" if done else "unsettled")
    except EngineError as error:
        log.error("container %s: its interrupted replacement cannot be settled: %s", name, error)
        return Settled(name, "unsettled")


def _last_moved(pair: _Pair) -> float:
    """When one of the two was created, started or ended last; Unix seconds."""
    moments = [0.0]
    for half in (pair.old, pair.new):
        state = (half or {}).get("State") or {}
        for text in ((half or {}).get("Created"), state.get("StartedAt"), state.get("FinishedAt")):
            moments.append((parse_moment(str(text or "")) or 0) / 1e9)
    return max(moments)


def _without_old(engine: Engine, pair: _Pair) -> str:
    """Only the new one is left. Where containers of its kind remove themselves, the old one did: go on. Else somebody
    removed the old one by hand, or the new one was to be an additional one: it has not run, and goes."""
    assert pair.new is not None
    new_id = str(pair.new["Id"])
    removes_itself = (pair.new.get("HostConfig") or {}).get("AutoRemove")
    if removes_itself and pair.said.other != aside.NOBODY and undo.find(engine, pair.said.name) is None:
        containers.start(engine, new_id)
        containers.rename(engine, new_id, pair.said.name)
        return "finished"
    if (pair.new.get("State") or {}).get("Running"):
        return "unsettled"
    containers.remove(engine, new_id)
    return "undone"


def _stands(engine: Engine, new: Mapping[str, Any], was: Was) -> bool:
    """Whether the new container is what it was to become."""
    if not was.ran:
        return True
    if not (new.get("State") or {}).get("Running"):
        return False
    try:
        prove(engine, str(new["Id"]), Proof())
    except NotProven:
        return False
    return True


def _entry(pair: _Pair) -> Entry:
    """The journal entry as it may have been. The old one's restart policy is taken from the new one, which has it."""
    assert pair.old is not None
    policy = ((pair.new or pair.old).get("HostConfig") or {}).get("RestartPolicy") or {}
    return Entry(
        name=pair.said.name,
        old_id=str(pair.old["Id"]),
        was=pair.said.was,
        final_name=pair.said.name,
        new_id=str(pair.new["Id"]) if pair.new else "",
        policy=dict(policy),
        steps=list(ALL_STEPS),
    )
