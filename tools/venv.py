"""Makes or completes a virtual environment with pinned tools: python3 -m tools.venv FOLDER LOCK [PYTHON]."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Optional

from tools.engines import EngineProblem, install

__all__ = ["ensure", "main"]


def ensure(folder: Path, lock: Optional[Path] = None, python: str = sys.executable) -> Path:
    """The interpreter of `folder`, with pip and everything of `lock` in it, hashes checked; nothing is done twice.

    Raises CalledProcessError with pip's words on stderr.
    """
    wanted = lock.read_bytes() if lock else b""
    mark = folder / ".installed"
    interpreter = folder / "bin" / "python"
    if interpreter.exists() and mark.exists() and mark.read_bytes() == wanted:
        return interpreter
    if not interpreter.exists():
        _create(folder, python)
    if lock:
        command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += ["--require-hashes", "-r", str(lock)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=900)
    mark.write_bytes(wanted)
    return interpreter


def _create(folder: Path, python: str) -> None:
    if python == sys.executable and importlib.util.find_spec("ensurepip") is None:  # Debian packs it apart
        install(["python3-venv"])
    if python == sys.executable:
        venv.create(folder, with_pip=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(folder)], check=True, timeout=300)


def main(arguments: list[str]) -> int:
    folder, lock, *rest = arguments
    try:
        ensure(Path(folder), Path(lock), *rest)
    except EngineProblem as problem:
        print(f"venv: {problem}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"venv: pip ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
