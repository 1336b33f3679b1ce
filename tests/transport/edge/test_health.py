from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dockpal_agent.transport.edge.health import FILE, LineRecord, edge_health
from dockpal_agent.transport.edge.state import State


@pytest.fixture
def record(tmp_path: Path) -> LineRecord:
    return LineRecord(tmp_path, "wss://dock.example.com")


def test_a_line_that_serves_is_healthy_since_when_it_opened(record: LineRecord, tmp_path: Path) -> None:
    record.write(State.SERVING, 1_700_000_000.5, "")
    health = edge_health(tmp_path, 30.0)
    assert health.ok and health.text == "connected to wss://dock.example.com since 2023-11-14T22:13:20Z"


def test_a_line_that_waits_for_its_first_request_is_healthy_and_says_so(record: LineRecord, tmp_path: Path) -> None:
    record.write(State.TOKEN_SENT, time.time(), "")
    health = edge_health(tmp_path, 30.0)
    assert health.ok and "waiting for the Server's first request" in health.text


@pytest.mark.parametrize("state", [State.WAITING, State.STOPPED])
def test_a_line_that_is_down_is_not_and_tells_the_last_error(record: LineRecord, tmp_path: Path, state: State) -> None:
    record.write(state, time.time(), "connection refused: x")
    health = edge_health(tmp_path, 30.0)
    assert not health.ok and health.text.endswith("connection refused: x")


def test_a_record_that_nobody_touches_is_a_hung_agents_until_the_next_heartbeat(
    record: LineRecord, tmp_path: Path
) -> None:
    record.write(State.SERVING, time.time(), "")
    long_ago = time.time() - 200
    os.utime(tmp_path / FILE, (long_ago, long_ago))
    assert "hangs or has ended" in edge_health(tmp_path, 30.0).text
    assert edge_health(tmp_path, 60.0).ok
    record.touch()
    assert edge_health(tmp_path, 30.0).ok


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"state":7}', '{"state":"serving","since":"x"}'])
def test_a_damaged_record_is_an_answer_and_no_exception(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert edge_health(tmp_path, 30.0).text


def test_a_record_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    record = LineRecord(tmp_path / "file" / "state", "wss://dock.example.com")
    record.write(State.SERVING, 0.0, "")
    record.touch()
    assert caplog.text.count("healthcheck will not know the line") == 1
