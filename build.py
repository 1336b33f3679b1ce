#!/usr/bin/env python3
"""Packs the agent and its pinned dependencies into dist/agent.pyz, the same bytes for the same commit and interpreters.

python3 build.py               with bytecode for every supported Python that is found on this machine
python3 build.py --release     all of 3.9 to 3.13 must be there, and the tree must be committed
python3 build.py --output F    into another file
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tools.pyz import archive, bytecode, contents, unit, wheels

__all__ = ["build", "dependencies", "main"]

ROOT: Final = Path(__file__).resolve().parent
LIMIT: Final = 6_000_000  # bytes
NATIVE: Final = frozenset({"psutil"})


def dependencies() -> list[wheels.Wheel]:
    """The wheels that requirements.lock pins. Raises WheelMissing."""
    return wheels.fetch(wheels.read_lock(ROOT / "requirements.lock"), ROOT / ".cache" / "wheels", NATIVE)


def build(packed: list[wheels.Wheel], modules: Mapping[str, bytes], *, release: bool = False) -> bytes:
    """The bytes of agent.pyz. Raises ValueError (a release that lacks something, a file too large), CalledProcessError.

    `modules` are what `contents.sources` found: path → content.
    """
    found = {version: bytecode.find_interpreter(version) for version in bytecode.SUPPORTED}
    missing = [version for version, interpreter in found.items() if interpreter is None]
    if release and missing:
        raise ValueError(f"a release needs the interpreters of Python {', '.join(missing)} too (python3.N or pyenv)")
    if release and not contents.revision().isalnum():
        raise ValueError("a release is built from a commit, and the tree has changes")
    there = {version: interpreter for version, interpreter in found.items() if interpreter}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for an interpreter of its own
        compiled = list(pool.map(lambda version: bytecode.compile_all(there[version], version, modules), there))
    units = {"": unit.packed(modules), **{each.magic: unit.packed(each.files) for each in compiled}}
    data = archive.packed(contents.collect(packed, compiled), units, contents.bootstrap)
    if len(data) >= LIMIT:
        raise ValueError(f"agent.pyz would have {len(data):,} bytes; the budget is {LIMIT:,}")
    print(f"bytecode for {', '.join(each.version for each in compiled)}", end="", file=sys.stderr)
    print(f"; none for {', '.join(missing)} (runs from source there)" if missing else "", file=sys.stderr)
    return data


def main() -> int:
    parser = argparse.ArgumentParser(description="Pack dist/agent.pyz.")
    parser.add_argument("--release", action="store_true", help="insist on all interpreters and a clean tree")
    parser.add_argument("--output", type=Path, default=ROOT / "dist" / "agent.pyz", help="the file to write")
    options = parser.parse_args()
    try:
        packed = dependencies()
        data = build(packed, contents.sources(packed), release=options.release)
    except (wheels.WheelMissing, ValueError, subprocess.CalledProcessError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    digest = archive.write(data, options.output)
    print(f"{options.output}  {len(data):,} bytes  sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
