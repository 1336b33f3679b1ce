"""Events of deploys: the Server's rules for them, and how viewers of any speed get them."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.compose.deployevents import (
    BURST,
    DeployRecords,
    NoSuchDeploy,
    TooManyViewers,
    View,
    _fitting,
    _Pace,
)
from dockpal_agent.compose.options import DONE, ERROR, RUNNING, Progress
from dockpal_agent.compose.telling import Teller
from tests.compose.doubles import events_of


@pytest.fixture
def records(tmp_path: Path) -> DeployRecords:
    return DeployRecords(tmp_path / "deploys")


def test_a_replay_begins_with_what_the_server_can_buffer_and_then_keeps_its_pace() -> None:
    pace = _Pace()
    now = 1000.0
    assert [pace.wait(now) for _ in range(BURST)] == [0.0] * BURST
    gone = BURST
    end = now + 2.0
    while now < end:
        wait = pace.wait(now)
        gone += wait == 0.0
        now += max(wait, 1e-4)
    assert gone <= BURST + 2.0 * 50 + 1


def test_all_events_come_and_complete_is_the_last_however_many_there_are(records: DeployRecords) -> None:
    record = records.new("app", "app")
    for number in range(BURST + 15):
        record.say("create", f"event {number}")
    record.say("complete", "done", DONE)
    told = events_of(records.open(record.deploy_id))
    assert [message for _, _, message in told[:-1]] == [f"event {number}" for number in range(BURST + 15)]
    assert told[-1][:2] == ("complete", "done")


def test_after_the_last_event_nothing_more_is_said(records: DeployRecords) -> None:
    record = records.new("app", "app")
    record.say("create", "it failed", ERROR)
    record.say("complete", "done", DONE)
    assert events_of(records.open(record.deploy_id)) == [("create", "error", "it failed")]


@given(st.text(max_size=400).map(lambda text: text * 100))
def test_a_message_always_fits_into_what_the_server_takes(message: str) -> None:
    event = {"step": "create", "message": _fitting(message), "status": "running", "time": "00:00:00"}
    assert len(json.dumps(event)) < 32_768


def test_a_viewer_waits_for_what_comes_and_leaves_at_once_when_closed(records: DeployRecords) -> None:
    record = records.new("app", "app")
    view = records.open(record.deploy_id)
    assert view.next(0.0) is None
    ended = threading.Event()

    def watch(view: View) -> None:
        try:
            view.next(60.0)
        except EOFError:
            ended.set()

    thread = threading.Thread(target=watch, args=(view,))
    thread.start()
    view.close()
    view.close()
    assert ended.wait(10)
    thread.join(10)


def test_viewers_of_a_deploy_that_outlives_the_agent_hear_an_error_last_and_its_record_stays_open(
    records: DeployRecords, tmp_path: Path
) -> None:
    goes_on, ended = records.new("app", "app"), records.new("done", "done")
    goes_on.say("parse", "reading")
    ended.say("complete", "done", "done")
    views = [records.open(record.deploy_id) for record in (goes_on, ended)]
    told: list[list[tuple[str, str, str]]] = [[], []]
    watching = [threading.Thread(target=lambda n=n: told[n].extend(events_of(views[n]))) for n in (0, 1)]
    for thread in watching:
        thread.start()

    records.part("the agent is being stopped", 20.0)

    for thread in watching:
        thread.join(20.0)
    goes_on.say("write", "saving")
    assert told[0] == [("parse", "running", "reading"), ("create", "error", "the agent is being stopped")]
    assert told[1] == [("complete", "done", "done")]
    assert events_of(records.open(goes_on.deploy_id)) == told[0]
    kept = (tmp_path / "deploys" / f"{goes_on.deploy_id}.jsonl").read_text()
    assert "saving" in kept and "is being stopped" not in kept


def test_viewers_have_a_cap_and_one_who_leaves_makes_room(tmp_path: Path) -> None:
    records = DeployRecords(tmp_path, most_viewers=1)
    record = records.new("app", "app")
    view = records.open(record.deploy_id)
    with pytest.raises(TooManyViewers):
        records.open(record.deploy_id)
    view.close()
    records.open(record.deploy_id).close()


def test_after_a_day_a_deploy_is_forgotten(tmp_path: Path) -> None:
    records = DeployRecords(tmp_path)
    record = records.new("app", "app")
    record.say("complete", "done", DONE)
    records.release(record)
    path = tmp_path / f"{record.deploy_id}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    os.utime(path, (time.time() - 86401,) * 2)
    with pytest.raises(NoSuchDeploy):
        records.open(record.deploy_id)
    records.purge()
    assert not path.exists()


def test_a_line_that_a_kill_cut_off_is_left_out_and_the_end_can_still_be_told(tmp_path: Path) -> None:
    first = DeployRecords(tmp_path)
    record = first.new("app", "app")
    record.say("parse", "reading")
    record.close()
    path = tmp_path / f"{record.deploy_id}.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": "wri')
    second = DeployRecords(tmp_path)
    (left,) = second.interrupted()
    assert (left.project, left.ended) == ("app", False) and left.said("parse") and not left.said("write")
    early = second.open(record.deploy_id)
    assert second.interrupted() == [left]
    left.say("parse", "the agent ended", ERROR)
    second.release(left)
    assert events_of(early)[-1][2] == "the agent ended", "a viewer who came before it was settled hears it, too"
    assert [event[2] for event in events_of(second.open(record.deploy_id))] == ["reading", "the agent ended"]
    assert second.interrupted() == []


def test_when_the_disk_takes_nothing_the_events_are_still_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    records = DeployRecords(tmp_path / "file" / "deploys")
    record = records.new("app", "app")
    record.say("complete", "done", DONE)
    records.release(record)
    assert len(events_of(records.open(record.deploy_id))) == 1


def test_a_pull_is_told_once_a_second_at_most_and_its_end_always(records: DeployRecords) -> None:
    record = records.new("app", "app")
    teller = Teller(record)
    for percent in range(100):
        teller.report(Progress("pull", "web", f"web: {percent} %", RUNNING))
        teller.report(Progress("pull", "db", f"db: {percent} %", RUNNING))
    teller.report(Progress("pull", "web", "web: pulled", DONE))
    teller.complete("up")
    told = [message for _, _, message in events_of(records.open(record.deploy_id))]
    assert told[:2] == ["web: 0 %", "db: 0 %"] and told[-2:] == ["web: pulled", "up"]
    assert len(told) <= 8


def test_hints_come_once_and_before_the_one_error(records: DeployRecords) -> None:
    record = records.new("app", "app")
    teller = Teller(record)
    teller.report(Progress("hint", "", "old is an orphan", DONE))
    teller.report(Progress("hint", "", "old is an orphan", DONE))
    teller.report(Progress("pull", "web", "registry.example.com/a/b:1: unauthorized", ERROR))
    teller.report(Progress("cleanup", "", "nothing to undo", DONE))
    teller.fail("registry.example.com/a/b:1: unauthorized")
    told = events_of(records.open(record.deploy_id))
    assert [(step, status) for step, status, _ in told] == [
        ("hint", "done"),
        ("pull", "running"),
        ("cleanup", "done"),
        ("hint", "done"),
        ("pull", "error"),
    ]
    assert "registry.example.com" in told[3][2]
