"""How an attempt that was cut off is ended, by what Docker holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Optional, cast

import pytest

from dockpal_agent.apps import ending
from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.ending import End, Parts
from dockpal_agent.apps.notes import Note, Notes
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.stages import MOVES, ErrorCode, Stage
from dockpal_agent.engine import Engine, EngineUnavailable, NotFound
from tests.apps.test_records import no_file_grows_past
from tests.apps.test_selection import held

ENGINE: Final = cast(Engine, None)
OLD, OLDER, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abcd")
NOTE: Final = Note("1-shop", "shop", {"nginx:1": OLD}, {"web": [OLD, OLDER], "db": [OLD]}, {"web": NEW})


class Docker:
    """What runs, and what tags mean."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **services: list[str]) -> None:
        self.tags = {"nginx:1": NEW}
        running = [held(service, image_id=image) for service, images in services.items() for image in images]
        monkeypatch.setattr(ending, "held_by", lambda engine, project: running)
        monkeypatch.setattr("dockpal_agent.engine.images.inspect", self.inspect)
        monkeypatch.setattr("dockpal_agent.engine.images.tag", self.tag)

    def inspect(self, engine: Engine, image: str) -> dict[str, Any]:
        if image not in self.tags:
            raise NotFound("No such image", 404)
        return {"Id": self.tags[image]}

    def tag(self, engine: Engine, image: str, repository: str, tag: str) -> None:
        self.tags[f"{repository}:{tag}"] = image


@pytest.mark.parametrize("stage", [Stage.PULLING, Stage.RECREATING, Stage.VERIFYING])
@pytest.mark.parametrize(
    ("web", "end", "code"),
    [
        ([NEW, NEW], Stage.COMPLETED, None),
        ([OLD, OLDER], Stage.ROLLED_BACK, ErrorCode.COMPOSE_ERROR),
        ([OLD, NEW], Stage.FAILED, ErrorCode.ROLLBACK_FAILED),
        ([OTHER], Stage.FAILED, ErrorCode.ROLLBACK_FAILED),
        ([], Stage.FAILED, ErrorCode.ROLLBACK_FAILED),
    ],
    ids=["new", "old", "both", "another", "none"],
)
def test_docker_decides_whatever_stage_the_record_came_to(
    web: list[str], end: Stage, code: Optional[ErrorCode], stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(monkeypatch, web=web, db=[OLD])
    if stage is Stage.PULLING and end is Stage.ROLLED_BACK:
        end, code = Stage.FAILED, ErrorCode.PULL_ERROR
    found = ending.found(ENGINE, NOTE, stage, "cut off")
    assert (found.stage, found.error_code) == (end, code) and found.message.startswith("cut off; ")
    assert found.stage in MOVES[stage]
    assert docker.tags == {"nginx:1": NEW if end is Stage.COMPLETED else OLD}


def test_where_nothing_was_pulled_yet_nothing_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    Docker(monkeypatch, web=[OLD])
    found = ending.found(ENGINE, Note("1-shop", "shop"), Stage.PULLING, "cut off")
    assert (found.stage, found.message) == (Stage.FAILED, "cut off; nothing was changed")


@pytest.mark.parametrize(
    ("note", "stage", "end"),
    [
        (NOTE, Stage.VERIFYING, Stage.FAILED),
        (replace(NOTE, new={}, pulled={"nginx:1": NEW}), Stage.PULLING, Stage.FAILED),
        (replace(NOTE, new={}), Stage.PULLING, Stage.FAILED),
    ],
    ids=["recreating", "pulled", "pulling"],
)
def test_what_an_operator_brought_up_while_the_agent_was_away_is_not_turned_back(
    note: Note, stage: Stage, end: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(monkeypatch, web=[OTHER], db=[OLD])
    docker.tags = {"nginx:1": OTHER}
    found = ending.found(ENGINE, note, stage, "cut off")
    assert docker.tags == {"nginx:1": OTHER}
    assert found.stage is end and "the tag nginx:1 means another image meanwhile, and stays so" in found.message


@pytest.mark.parametrize("pulled", [{}, {"nginx:1": NEW}])
def test_what_was_pulled_when_the_agent_was_killed_is_taken_back_whether_it_was_noted_or_not(
    pulled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(monkeypatch, web=[OLD], db=[OLD])
    found = ending.found(ENGINE, replace(NOTE, new={}, pulled=pulled), Stage.PULLING, "cut off")
    assert docker.tags == {"nginx:1": OLD}
    assert found == ending.End(Stage.FAILED, "cut off; nothing was changed", ErrorCode.PULL_ERROR)


def test_where_the_daemon_goes_away_before_a_tag_is_given_back_the_end_is_left_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Docker(monkeypatch, web=[OLD, OLDER])

    def away(engine: Engine, image: str, repository: str, tag: str) -> None:
        raise EngineUnavailable("nobody is there")

    monkeypatch.setattr("dockpal_agent.engine.images.tag", away)
    with pytest.raises(EngineUnavailable, match="nobody is there"):
        ending.found(ENGINE, NOTE, Stage.VERIFYING, "cut off")


def parts_of(records: Records, notes: Notes, directory: Path, cleanup: bool = False) -> Parts:
    checks = Checks(directory / "checks.json")
    found = SimpleNamespace(engine=ENGINE, records=records, notes=notes, checks=checks, cleanup=cleanup)
    return cast(Parts, found)


@pytest.mark.parametrize("cleanup", [True, False])
@pytest.mark.parametrize("end", [Stage.COMPLETED, Stage.FAILED])
def test_whoever_ends_a_good_update_cleans_up_where_that_is_wanted(
    end: Stage, cleanup: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it the next start of an agent that was killed after the verdict."""
    cleaned: list[Note] = []
    monkeypatch.setattr(ending, "clean_up", lambda engine, note: cleaned.append(note))
    records = Records(tmp_path / "updates.jsonl")
    note = replace(NOTE, attempt_id=records.begin("shop", "auto", {}).attempt_id)

    ending.record(parts_of(records, Notes(tmp_path / "updates"), tmp_path, cleanup), note, End(end, "done"))

    assert cleaned == ([note] if cleanup and end is Stage.COMPLETED else [])


@pytest.mark.parametrize("web", [[NEW], [OLD, OLDER]], ids=["completed", "rolled back"])
def test_an_end_that_the_disk_did_not_take_is_found_again_after_a_restart(
    web: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = Docker(monkeypatch, web=web, db=[OLD])
    end = Stage.COMPLETED if web == [NEW] else Stage.ROLLED_BACK
    path = tmp_path / "updates.jsonl"
    records, notes = Records(path), Notes(tmp_path / "updates")
    parts = parts_of(records, notes, tmp_path)
    begun = records.begin("shop", "auto", {})
    records.move(begun.attempt_id, Stage.RECREATING)
    records.move(begun.attempt_id, Stage.VERIFYING)
    note = replace(NOTE, attempt_id=begun.attempt_id)
    notes.write(note)
    with no_file_grows_past(path.stat().st_size + 20):
        ending.record(parts, note, End(end, "done"))
    assert records.unfinished() == [] and notes.meant(["nginx:1"]) == {}

    (left,) = Records(path).unfinished()
    read = Notes(tmp_path / "updates").read(left.attempt_id)

    assert read is not None
    found = ending.found(ENGINE, read, left.stage, "cut off")
    assert found.stage is end and docker.tags == {"nginx:1": NEW if end is Stage.COMPLETED else OLD}


def test_a_tag_that_cannot_be_given_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Docker(monkeypatch, web=[OLD, OLDER])

    def refuse(engine: Engine, image: str, repository: str, tag: str) -> None:
        raise NotFound(f"No such image: {image}", 404)

    monkeypatch.setattr("dockpal_agent.engine.images.tag", refuse)
    found = ending.found(ENGINE, NOTE, Stage.VERIFYING, "cut off")
    assert found.stage is Stage.ROLLED_BACK
    assert f"the tag nginx:1 could not be given back: No such image: {OLD}" in found.message
