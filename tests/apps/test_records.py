"""Records of update attempts: what they say, what is kept of them, and what survives damage."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.apps import record_file
from dockpal_agent.apps.record import Record, read_line
from dockpal_agent.apps.record_file import MOST_OF_AN_APP
from dockpal_agent.apps.records import MOST_EVENTS, NoSuchAttempt, Records, RecordsFailed
from dockpal_agent.apps.stages import ErrorCode, IllegalMove, Stage
from tests.server_standin.shapes import APP_RECORD, problems

WEB = {"web": {"image": "nginx:1", "previous_digest": "sha256:a"}}


class Clock:
    """Seconds since 1970, a second later each time it is asked."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        self.at += 1.0
        return self.at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "updates.jsonl"


@pytest.fixture
def records(path: Path) -> Records:
    return Records(path, now=Clock())


def completed(records: Records, app: str) -> Record:
    """An attempt from its beginning to its good end."""
    attempt_id = records.begin(app, "auto", WEB).attempt_id
    return records.move(attempt_id, Stage.COMPLETED, "already up to date")


@contextmanager
def no_file_grows_past(size: int) -> Iterator[None]:
    """As on a full disk: the system takes no byte past `size` of any file that this process writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_grows_with_each_stage_and_has_the_servers_shape(records: Records) -> None:
    begun = records.begin("shop", "user:agent", WEB, "pulling nginx:1")
    services = {"web": {**WEB["web"], "new_digest": "sha256:b"}}
    records.move(begun.attempt_id, Stage.RECREATING, "recreating web", services=services)
    records.move(begun.attempt_id, Stage.VERIFYING)
    ended = records.move(begun.attempt_id, Stage.ROLLED_BACK, "web exited (1)", ErrorCode.HEALTH_PROBE_FAILED)

    value = ended.as_json()
    assert problems(APP_RECORD, value) == []
    assert [(event["stage"], event.get("message", "")) for event in value.pop("events")] == [
        ("pulling", "pulling nginx:1"),
        ("recreating", "recreating web"),
        ("verifying", ""),
        ("rolled_back", "web exited (1)"),
    ]
    assert value == {
        "attempt_id": begun.attempt_id,
        "instance_id": "",
        "app": "shop",
        "stage": "rolled_back",
        "error_code": "health_probe_failed",
        "message": "web exited (1)",
        "triggered_by": "user:agent",
        "services": services,
        "started_at": 1_700_000_001_000_000,
        "updated_at": 1_700_000_004_000_000,
        "completed_at": 1_700_000_004_000_000,
    }
    assert "events" not in ended.as_json(events=False)


@pytest.mark.parametrize("last", [Stage.PULLING, Stage.RECREATING, Stage.COMPLETED])
def test_another_start_knows_all_that_this_one_knew(path: Path, records: Records, last: Stage) -> None:
    begun = records.begin("My Shop", "auto", WEB)
    record = begun if last is Stage.PULLING else records.move(begun.attempt_id, last, "text")

    again = Records(path)

    assert again.newest("My Shop") == record
    assert again.newest("myshop") == record  # as Docker writes it
    assert again.history("My Shop", 50) == [record]
    assert again.get(record.attempt_id) == record
    assert again.unfinished() == ([] if record.ended else [record])


def test_an_interrupted_attempt_is_ended_by_the_next_start(path: Path, records: Records) -> None:
    begun = records.begin("shop", "auto", WEB)
    records.move(begun.attempt_id, Stage.RECREATING)

    again = Records(path)
    again.move(begun.attempt_id, Stage.ROLLED_BACK, "the agent ended in the middle", ErrorCode.COMPOSE_ERROR)

    third = Records(path)
    assert third.unfinished() == []
    assert [event.stage for event in third.get(begun.attempt_id).events] == [
        Stage.PULLING,
        Stage.RECREATING,
        Stage.ROLLED_BACK,
    ]
    assert third.get(begun.attempt_id).services == WEB


def test_history_is_of_one_app_newest_first_and_no_longer_than_asked(records: Records) -> None:
    made = [completed(records, app) for app in ("shop", "blog", "shop", "shop")]

    assert records.history("shop", 2) == [made[3], made[2]]
    assert records.history("blog", 50) == [made[1]]
    assert records.history("unknown", 50) == []
    assert records.newest("unknown") is None


def test_what_is_newest_goes_by_who_began_last_even_when_the_clock_was_set_back(path: Path) -> None:
    clock = Clock()
    records = Records(path, now=clock)
    completed(records, "shop")
    clock.at -= 86400.0
    later = completed(records, "shop")

    assert records.newest("shop") == later
    assert Records(path).newest("shop") == later
    assert Records(path).history("shop", 1) == [later]


def test_times_within_an_attempt_never_go_back(path: Path) -> None:
    clock = Clock()
    records = Records(path, now=clock)
    begun = records.begin("shop", "auto", WEB)
    clock.at -= 3600.0

    record = records.move(begun.attempt_id, Stage.FAILED, "no", ErrorCode.PULL_ERROR)

    assert record.updated_at == record.completed_at == begun.started_at


def test_two_attempts_of_one_moment_have_two_ids(path: Path) -> None:
    records = Records(path, now=lambda: 1_700_000_000.0)

    ids = [completed(records, "shop").attempt_id for _ in range(3)]

    assert ids == [f"{1_700_000_000_000_000 + number}-shop" for number in range(3)]


@given(st.text(min_size=1, max_size=300))
def test_an_id_can_stand_in_a_path_whatever_the_app_is_called(
    tmp_path_factory: pytest.TempPathFactory, app: str
) -> None:
    records = Records(tmp_path_factory.mktemp("state") / "updates.jsonl")

    attempt_id = records.begin(app, "auto", WEB).attempt_id

    assert set(attempt_id) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(attempt_id) <= 128
    newest = records.newest(app)
    assert newest is not None and newest.attempt_id == attempt_id


def test_an_illegal_move_changes_nothing(path: Path) -> None:
    told: list[Record] = []
    records = Records(path, tell=told.append)
    begun = records.begin("shop", "auto", WEB)

    with pytest.raises(IllegalMove):
        records.move(begun.attempt_id, Stage.VERIFYING)

    assert records.get(begun.attempt_id) == begun
    assert Records(path).get(begun.attempt_id) == begun
    assert told == [begun]


def test_an_ended_attempt_stays_so(records: Records) -> None:
    ended = completed(records, "shop")

    with pytest.raises(IllegalMove, match="completed"):
        records.move(ended.attempt_id, Stage.COMPLETED)


def test_an_unknown_attempt_is_said(records: Records) -> None:
    with pytest.raises(NoSuchAttempt, match="attempt not found"):
        records.get("17-none")
    with pytest.raises(NoSuchAttempt):
        records.move("17-none", Stage.FAILED)


def test_each_stage_is_told_when_it_is_on_disk(path: Path) -> None:
    seen: list[tuple[Stage, str]] = []

    def look(record: Record) -> None:
        seen.append((record.stage, json.loads(path.read_text().splitlines()[-1])["stage"]))

    records = Records(path, tell=look)
    completed(records, "shop")

    assert seen == [(Stage.PULLING, "pulling"), (Stage.COMPLETED, "completed")]


def test_one_who_is_told_may_ask(path: Path) -> None:
    asked: list[Record | None] = []

    def ask(record: Record) -> None:
        asked.append(telling.newest(record.app))

    telling = Records(path, tell=ask)

    ended = completed(telling, "shop")

    assert asked[-1] == ended


def test_a_stage_that_says_very_much_is_not_kept_without_end(path: Path, records: Records) -> None:
    begun = records.begin("shop", "auto", WEB)
    for number in range(MOST_EVENTS + 20):
        records.move(begun.attempt_id, Stage.PULLING, f"layer {number}")
    ended = records.move(begun.attempt_id, Stage.COMPLETED, "done")

    assert len(ended.events) == MOST_EVENTS + 1
    assert Records(path).get(begun.attempt_id) == ended


@pytest.mark.parametrize("keep", [1, 40, 180])
def test_a_torn_last_line_costs_itself_only(path: Path, records: Records, keep: int) -> None:
    first = completed(records, "shop")
    second = records.begin("blog", "auto", WEB)
    records.move(second.attempt_id, Stage.RECREATING)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][: min(keep, len(lines[-1]) - 2)])

    again = Records(path)
    assert again.get(first.attempt_id) == first
    assert again.unfinished() == [second]
    again.move(second.attempt_id, Stage.FAILED, "it was interrupted", ErrorCode.PULL_ERROR)

    third = Records(path)
    assert [event.stage for event in third.get(second.attempt_id).events] == [Stage.PULLING, Stage.FAILED]


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 300, b"{}", b"[" * 200_000, b"\xff\xfe", b'{"attempt_id": 5}', b"", b'{"attempt_id":"a","app":"shop"}'],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_bad_line_costs_itself_only(
    path: Path, records: Records, damage: bytes, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    begun = records.begin("shop", "auto", WEB)
    records.move(begun.attempt_id, Stage.RECREATING, "recreating")
    ended = records.move(begun.attempt_id, Stage.COMPLETED, "done")
    lines = path.read_bytes().splitlines()
    lines[at] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")

    with caplog.at_level(logging.WARNING):
        read = Records(path).get(begun.attempt_id)

    assert [event.stage for event in read.events] == [
        event.stage for event in ended.events if event is not ended.events[at]
    ]
    assert (read.app, read.started_at, read.triggered_by) == ("shop", begun.started_at, "auto")
    assert read.services == (WEB if at else {})
    assert len(caplog.records) == 1


def test_a_line_that_was_written_twice_is_one_event(path: Path, records: Records) -> None:
    ended = completed(records, "shop")
    with open(path, "ab") as file:
        file.write(path.read_bytes().splitlines(keepends=True)[-1])

    assert Records(path).get(ended.attempt_id) == ended


@given(st.binary(max_size=300))
def test_no_line_breaks_its_reader(raw: bytes) -> None:
    try:
        read_line(raw)
    except ValueError:
        return


def test_an_app_keeps_its_newest_hundred_and_leaves_others_theirs(path: Path, records: Records) -> None:
    blog = completed(records, "blog")
    made = [completed(records, "shop") for _ in range(MOST_OF_AN_APP + 30)]

    history = records.history("shop", 1000)

    assert 90 <= len(history) <= MOST_OF_AN_APP
    assert history == made[::-1][: len(history)]
    assert records.history("blog", 5) == [blog]
    assert Records(path).history("shop", 1000) == history


def test_past_its_cap_the_file_keeps_the_newest_and_all_without_an_end(
    path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_file, "MOST_RECORDS", 40)
    runs = records.begin("runs", "auto", WEB)
    made = [completed(records, f"app{number}") for number in range(100)]

    again = Records(path)

    ids = {json.loads(line)["attempt_id"] for line in path.read_text().splitlines()}
    assert len(ids) <= 40
    assert again.unfinished() == [runs]
    assert again.newest("app99") == made[99]
    with pytest.raises(NoSuchAttempt):
        again.get(made[0].attempt_id)


def test_the_file_is_bounded_in_bytes_as_well(path: Path, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_file, "MOST_BYTES", 20_000)
    for number in range(60):
        attempt = records.begin(f"app{number}", "auto", WEB)
        records.move(attempt.attempt_id, Stage.FAILED, "x" * 900, ErrorCode.PULL_ERROR)

    assert path.stat().st_size < 25_000
    assert records.newest("app59") is not None


def test_on_a_full_disk_no_attempt_begins(path: Path) -> None:
    told: list[Record] = []
    records = Records(path, tell=told.append)
    ended = completed(records, "shop")
    told.clear()
    before = path.read_bytes()

    with (
        no_file_grows_past(len(before) + 20),
        pytest.raises(RecordsFailed, match="cannot be written: File too"),
    ):
        records.begin("shop", "auto", WEB)

    assert records.newest("shop") == ended
    assert (records.unfinished(), told) == ([], [])
    assert path.read_bytes() == before
    assert Records(path).newest("shop") == ended
    assert Records(path).unfinished() == []


def test_on_a_full_disk_an_attempt_goes_on_and_is_written_when_there_is_room(
    path: Path, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    begun = records.begin("shop", "auto", WEB)
    with no_file_grows_past(path.stat().st_size + 20):
        records.move(begun.attempt_id, Stage.RECREATING, "recreating web")
        ended = records.move(begun.attempt_id, Stage.COMPLETED, "done")
        assert [event.stage for event in ended.events] == [Stage.PULLING, Stage.RECREATING, Stage.COMPLETED]
        assert records.get(begun.attempt_id) == records.history("shop", 1)[0] == ended
        assert Records(path).unfinished() == [begun]  # what another start would see
    assert "completed cannot be written" in caplog.text

    completed(records, "blog")

    assert Records(path).get(begun.attempt_id) == ended
    assert Records(path).unfinished() == []


def test_a_file_that_cannot_be_read_is_an_error_with_words_and_stays(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir(parents=True)
    records = Records(path)

    assert records.newest("shop") is None
    with pytest.raises(RecordsFailed, match="directory"):
        records.begin("shop", "auto", WEB)
    with pytest.raises(RecordsFailed, match="directory"):
        records.history("shop", 5)
    assert "cannot be read" in caplog.text
    assert path.is_dir()


def test_only_its_owner_may_read_the_file(path: Path, records: Records) -> None:
    completed(records, "shop")

    assert path.stat().st_mode & 0o777 == 0o600


def test_many_threads_write_whole_lines(path: Path, records: Records) -> None:
    def update(app: str) -> None:
        for _ in range(5):
            completed(records, app)

    threads = [threading.Thread(target=update, args=(f"app{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    again = Records(path)
    assert [len(again.history(f"app{number}", 50)) for number in range(8)] == [5] * 8
    assert again.unfinished() == []
    assert len(path.read_bytes().splitlines()) == 80


WRITER = """
import sys
from pathlib import Path
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.stages import Stage
records = Records(Path(sys.argv[1]))
while True:
    attempt_id = records.begin("shop", "auto", {"web": {"image": "nginx:1"}}).attempt_id
    records.move(attempt_id, Stage.RECREATING, "x" * 500)
    records.move(attempt_id, Stage.COMPLETED, "done")
    print(attempt_id, flush=True)
"""


@pytest.mark.parametrize("completed_before", [1, 20, 110])
def test_what_was_completed_before_a_kill_is_there_after_it(path: Path, completed_before: int) -> None:
    """The last case is killed while the file is written anew now and then."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(completed_before)]
        writer.kill()

    again = Records(path)
    kept = again.history("shop", MOST_OF_AN_APP)

    assert again.get(told[-1]).stage is Stage.COMPLETED
    assert {record.attempt_id for record in kept} >= set(told[-80:])
    assert sum(not record.ended for record in kept) == len(again.unfinished()) <= 1
    for record in again.unfinished():
        again.move(record.attempt_id, Stage.FAILED, "interrupted", ErrorCode.PULL_ERROR)
    assert Records(path).unfinished() == []
