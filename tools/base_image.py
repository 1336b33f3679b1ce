"""A Python image without a registry: debootstrap's smallest Debian with python3 and openssl, imported once."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from tools import engines

__all__ = ["BASE", "ensure_base"]

BASE: Final = "dockpal-test/python-base:latest"


def ensure_base() -> str:
    """The reference of the image, made when it is missing: 35 s, 265 MB. Raises EngineProblem."""
    if _docker("image", "inspect", BASE).returncode == 0:
        return BASE
    engines.install(engines.wanting({"debootstrap": "debootstrap"}))
    with tempfile.TemporaryDirectory(prefix="dockpal-base-") as folder:
        root = Path(folder, "root")
        command = ["debootstrap", "--variant=minbase", "--include=python3,openssl", "bookworm", str(root)]
        ended = subprocess.run([*command, engines.mirror()], capture_output=True, text=True, timeout=900, cwd="/")
        if ended.returncode:
            raise engines.EngineProblem(f"debootstrap failed: {ended.stdout[-500:]} {ended.stderr[-500:]}")
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as archive:
            imported = _docker("import", "-", BASE, stdin=archive.stdout)
        if imported.returncode:
            raise engines.EngineProblem(f"the base image could not be imported: {imported.stderr.decode()}")
    return BASE


def _docker(*arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], stdin=stdin, capture_output=True, timeout=600)
