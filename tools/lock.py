"""Resolves requirements*.in into the lock files: one version of each for all Pythons from 3.9 up, with hashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tools import venv

__all__ = ["main"]

ROOT: Final = Path(__file__).resolve().parent.parent
RESOLVER: Final = "uv==0.13.9"
OPTIONS: Final = (
    *("--universal", "--python-version", "3.9", "--fork-strategy", "fewest"),
    *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
)
# requests asks for them; a small certifi and idna of our own are packed instead, and it does without the third.
NOT_PACKED: Final = ("--no-emit-package=certifi", "--no-emit-package=idna", "--no-emit-package=charset-normalizer")


def main() -> int:
    python = venv.ensure(ROOT / ".cache" / "venv-lock")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", RESOLVER], check=True, timeout=600)
    compile_pins = [str(python), "-m", "uv", "pip", "compile", *OPTIONS]
    packed = [*compile_pins, *NOT_PACKED, "requirements.in", "-o", "requirements.lock"]
    tools = [*compile_pins, "requirements-dev.in", "-c", "requirements.lock", "-o", "requirements-dev.lock"]
    for command in (packed, tools):
        subprocess.run(command, cwd=ROOT, check=True, timeout=600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
