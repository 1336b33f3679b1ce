"""Makes or completes a virtual environment with pinned tools: python3 -m tools.venv FOLDER LOCK [PYTHON]."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["ensure", "main"]


def ensure(folder: Path, lock: Path, python: str = sys.executable) -> Path:
    """The interpreter of `folder`, with everything of `lock` in it, hashes checked; nothing is done twice.

    Raises CalledProcessError with pip's words on stderr.
    """
    wanted = lock.read_bytes()
    mark = folder / ".installed"
    interpreter = folder / "bin" / "python"
    if interpreter.exists() and mark.exists() and mark.read_bytes() == wanted:
        return interpreter
    if not interpreter.exists():
        _create(folder, python)
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--require-hashes", "-r", str(lock)], check=True, stdin=subprocess.DEVNULL, timeout=900)
    mark.write_bytes(wanted)
    return interpreter


def _create(folder: Path, python: str) -> None:
    if python == sys.executable:
        venv.create(folder, with_pip=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True, timeout=300)


def main(arguments: list[str]) -> int:
    folder, lock, *rest = arguments
    ensure(Path(folder), Path(lock), *rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
