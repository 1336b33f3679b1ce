"""Lanes and rooms: every file is tested once, and what runs in a room meets nobody."""

from __future__ import annotations

import subprocess

from build import ROOT
from tests.engines.daemon import Daemon
from tools import rooms, suite


def test_each_file_goes_to_one_lane_and_the_lanes_take_equally_long() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    lanes = [suite.Lane(), suite.Lane(), suite.Lane()]

    suite.share(files, lanes)

    assert sorted(file for lane in lanes for file in lane.files) == sorted(files)
    assert set(suite.OUTSIDE) <= set(lanes[0].files)
    seconds = [lane.seconds for lane in lanes]
    assert max(seconds) - min(seconds) <= suite.SHORT


def test_the_files_that_take_long_are_there() -> None:
    assert [file for file in (*suite.LONG, *suite.OUTSIDE) if not (ROOT / file).is_file()] == []


def test_a_room_has_an_engine_and_a_network_of_its_own(daemon: Daemon, busybox: str, unique: str) -> None:
    outside = daemon.run(busybox, "sleep", "100", name=f"{unique}-outside", StopTimeout=0)
    with rooms.room() as enter:
        seen = subprocess.run(
            [
                *enter,
                "sh",
                "-c",
                "docker version -f {{.Server.APIVersion}}; docker ps -aq --no-trunc; cat /proc/net/dev",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert seen.returncode == 0, seen.stderr
    version, *rest = seen.stdout.splitlines()
    assert version >= "1.41"
    assert outside not in rest
    assert {line.split(":")[0].strip() for line in rest if ":" in line} == {"lo", "docker0"}
