"""Runs the unit tests under the oldest and the newest supported Python that are here, each in a venv of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tools import venv
from tools.pyz.bytecode import find_interpreter

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parent.parent
VERSIONS: Final = ("3.9", "3.13")
LIMIT: Final = 600  # seconds for one run
# Integration and faults run once, under the Python of `make test`; agent.pyz itself is tried under all of them there.
UNITS: Final = ("--ignore=tests/integration", "--ignore=tests/faults", "--ignore=tests/engines", "-m", "not slow")


def main() -> int:
    failed = []
    for version in VERSIONS:
        interpreter = find_interpreter(version)
        if interpreter is None or version == f"{sys.version_info[0]}.{sys.version_info[1]}":
            print(f"unit tests under Python {version}: {'as below' if interpreter else 'it is not here'}", flush=True)
            continue
        print(f"unit tests under Python {version}:", flush=True)
        python = venv.ensure(ROOT / ".cache" / f"venv-{version}", ROOT / "requirements-dev.lock", interpreter)
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *UNITS]
        if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=LIMIT).returncode:
            failed.append(version)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
