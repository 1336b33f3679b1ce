"""Bytecode for every supported Python whose interpreter is on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional

__all__ = ["SUPPORTED", "Bytecode", "compile_all", "find_interpreter"]

SUPPORTED: Final = ("3.9", "3.10", "3.11", "3.12", "3.13")
_IDENTIFY: Final = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sys.version_info[3])"
_COMPILER: Final = Path(__file__).with_name("compile.py")


@dataclass(frozen=True)
class Bytecode:
    """All modules compiled by one interpreter: `magic` in hex, `files` by their path."""

    version: str
    magic: str
    files: Mapping[str, bytes]


def find_interpreter(version: str) -> Optional[str]:
    """A CPython of this version (`3.9`): this one, one on PATH, or one of pyenv's; None when there is none."""
    for candidate in _candidates(version):
        try:
            ended = subprocess.run([candidate, "-I", "-S", "-c", _IDENTIFY], capture_output=True, text=True, timeout=20)
        except OSError:
            continue
        if ended.stdout.split() == ["cpython", version, "final"]:
            return candidate
    return None


def _candidates(version: str) -> Iterator[str]:
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        yield sys.executable
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield on_path
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in sorted(root.glob(f"versions/{version}.*"), reverse=True):
        yield str(folder / "bin" / "python")


def compile_all(interpreter: str, version: str, sources: Mapping[str, bytes]) -> Bytecode:
    """Compile `sources` (path → content). Raises CalledProcessError with the compiler's words."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "source"), Path(folder, "output")
        for name, content in sources.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # no_debug_ranges: columns for tracebacks that could not show a source line anyway. Unknown to 3.9 and 3.10.
        command = [interpreter, "-S", "-s", "-X", "no_debug_ranges", str(_COMPILER), str(source), str(output)]
        ended = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env={"PYTHONHASHSEED": "0"}
        )
        files = {path.relative_to(output).as_posix(): path.read_bytes() for path in sorted(output.rglob("*.pyc"))}
    return Bytecode(version, ended.stdout.strip(), files)
