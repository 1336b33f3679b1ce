"""Runs the unit tests under the oldest and the newest supported Python that are here, each in a venv of its own.

Both run at once and are shown one after the other.
"""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools import venv
from tools.pyz.bytecode import find_interpreter

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parent.parent
VERSIONS: Final = ("3.9", "3.13")
LIMIT: Final = 900  # seconds for one run
# What asks an engine runs once, under the Python of `make test`: two runs at once would see each other's containers.
# agent.pyz itself serves under all of them there.
UNITS: Final = ("--ignore=tests/integration", "--ignore=tests/faults", "-m", "not slow and not engine")


def _units(version: str) -> tuple[bool, str]:
    """Whether the unit tests pass under this version, and what there is to say about it."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        return True, "it is not on this machine"
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return True, "it runs all tests"
    python = venv.ensure(ROOT / ".cache" / f"venv-{version}", ROOT / "requirements-dev.lock", interpreter)
    command = [str(python), "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *UNITS]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return False, f"not done within {LIMIT} s"
    return ended.returncode == 0, ended.stdout + ended.stderr


def main() -> int:
    passed = True
    with concurrent.futures.ThreadPoolExecutor(len(VERSIONS)) as pool:
        for version, (good, words) in zip(VERSIONS, pool.map(_units, VERSIONS)):
            print(f"unit tests under Python {version}: {words.rstrip()}", flush=True)
            passed = passed and good
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
