"""All tests, several files at a time: python3 -m tools.suite [pytest's options].

Most of what tests on real engines take is waiting: for a container to stop, for a second sample, for a proof. So the
files are shared among lanes that run at once, each one run of pytest: one on this machine's engine, the others in rooms
(tools/rooms.py). Beside them go the unit tests under other Pythons (tools/pythons.py). The first lane is shown as it
goes, the rest after it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import build
from tools import rooms
from tools.engines import EngineProblem
from tools.pyz import archive, contents

__all__ = ["Lane", "main", "share"]

ROOT: Final = Path(__file__).resolve().parent.parent
ROOMS: Final = 2  # beside the lane on this machine's own engine
LIMIT: Final = 3000  # seconds for one lane
# These fetch what they need, once: rooms have no way out.
OUTSIDE: Final = (
    "tests/integration/test_image.py",
    "tests/integration/test_make_run.py",
    "tests/transport/direct/test_autobahn.py",
)
# Seconds that a file takes on two cores, so that no lane is left with the long ones; what is not listed is short.
LONG: Final[Mapping[str, int]] = {
    "tests/apps/test_gate.py": 30,
    "tests/apps/test_monitor.py": 25,
    "tests/apps/test_recover.py": 45,
    "tests/containers/test_lifecycle.py": 20,
    "tests/containers/test_logs.py": 40,
    "tests/containers/test_stats.py": 70,
    "tests/faults/test_compose_killed.py": 160,
    "tests/faults/test_deploy_killed.py": 70,
    "tests/faults/test_direct_connections.py": 20,
    "tests/faults/test_edge_without_docker.py": 45,
    "tests/faults/test_replace_killed.py": 160,
    "tests/faults/test_replace_refused.py": 90,
    "tests/faults/test_update_killed.py": 85,
    "tests/integration/test_apps_by_themselves.py": 25,
    "tests/integration/test_apps_calls.py": 25,
    "tests/integration/test_compose_adoption.py": 45,
    "tests/integration/test_compose_equal.py": 200,
    "tests/integration/test_compose_gate.py": 40,
    "tests/integration/test_compose_running.py": 200,
    "tests/integration/test_compose_scenarios.py": 165,
    "tests/integration/test_compose_shell.py": 25,
    "tests/integration/test_containers_over_tls.py": 75,
    "tests/integration/test_deploy_calls.py": 60,
    "tests/integration/test_edge_calls.py": 50,
    "tests/integration/test_edge_deploys.py": 15,
    "tests/integration/test_edge_process.py": 30,
    "tests/integration/test_edit_container.py": 55,
    "tests/integration/test_edit_keeps_settings.py": 45,
    "tests/integration/test_engine_containers.py": 20,
    "tests/integration/test_files.py": 75,
    "tests/integration/test_files_roundtrip.py": 200,
    "tests/integration/test_image.py": 110,
    "tests/integration/test_make_run.py": 60,
    "tests/integration/test_updates.py": 160,
    "tests/integration/test_updates_asked.py": 60,
    "tests/integration/test_updates_of_many.py": 210,
    "tests/test_build.py": 35,
    "tests/transport/direct/test_autobahn.py": 50,
}
SHORT: Final = 5
UNITS: Final = 1  # seconds of a file without an engine, by and large


@dataclass
class Lane:
    """Files that are tested one after the other; `enter` is put before the command."""

    enter: Sequence[str] = ()
    files: list[str] = field(default_factory=list)
    seconds: int = 0

    def add(self, file: str) -> None:
        self.files.append(file)
        self.seconds += _seconds(file)


def _seconds(file: str) -> int:
    engine = file.startswith(("tests/integration/", "tests/faults/", "tests/containers/", "tests/apps/"))
    return LONG.get(file, SHORT if engine else UNITS)


def share(files: Sequence[str], lanes: Sequence[Lane]) -> None:
    """Give each file to the lane that has the least to do, the longest first; the first lane takes OUTSIDE."""
    for file in sorted(files, key=lambda file: (file not in OUTSIDE, -_seconds(file), file)):
        (lanes[0] if file in OUTSIDE else min(lanes, key=lambda lane: lane.seconds)).add(file)


def _run(lanes: Sequence[Lane], options: Sequence[str], folder: Path) -> bool:
    """Whether all passed; the first lane's output goes out as it comes, the others' when they have ended."""
    environment = {**os.environ, "DOCKPAL_TEST_PYZ": str(folder / "agent.pyz")}
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    commands = [[*lane.enter, *pytest, *sorted(lane.files)] for lane in lanes]
    commands.append([sys.executable, "-m", "tools.pythons"])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            output = (folder / f"output-{number}").open("wb") if number else None
            processes.append(
                subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
            )
        passed = [_ended(process, number, folder) for number, process in enumerate(processes)]
        return all(passed)
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _ended(process: subprocess.Popen[bytes], number: int, folder: Path) -> bool:
    """Wait for the end of one command, and show what it said."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(LIMIT)
    if number:
        sys.stdout.write((folder / f"output-{number}").read_text("utf-8", "replace"))
    if process.poll() is None:
        print(f"not done within {LIMIT} s: {process.args!r}")
    sys.stdout.flush()
    return process.poll() == 0


def main(options: Sequence[str]) -> int:
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    packed = build.dependencies()
    with contextlib.ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="dockpal-suite-")))
        archive.write(build.build(packed, contents.sources(packed)), folder / "agent.pyz")
        try:
            lanes = [Lane(), *(Lane(ending.enter_context(rooms.room())) for _ in range(ROOMS))]
        except EngineProblem as problem:
            print(f"suite: {problem}", file=sys.stderr)
            return 1
        share(files, lanes)
        return 0 if _run(lanes, options, folder) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
