"""What goes into agent.pyz: our package, the libraries without what never runs here, licences, the list of it all."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from tools.pyz.bytecode import Bytecode
from tools.pyz.wheels import Wheel

__all__ = ["bootstrap", "collect", "revision", "sources", "version"]

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
# Never imported on Linux, or only by code that we do not use.
UNUSED: Final = re.compile(
    r"""(^|/)(tests?|__pycache__)/ | \.pyi$ | (^|/)py\.typed$ | \.so$
    | ^psutil/_ps(aix|bsd|osx|sunos|windows)\.py$
    | ^(requests|urllib3)/  # engine/connection.py has requests-unixsocket do without them (docs/decisions/0003)
    | ^h11/  # wsproto reads opening handshakes with it; ours are read in transport/direct/opening.py
    | ^websocket/_wsdump\.py$ | ^[^/]+\.data/
    """,
    re.VERBOSE,
)
# What is imported from a library that is left out above.
INSTEAD: Final[Mapping[str, bytes]] = {
    "wsproto/handshake.py": b"class H11Handshake: pass\n",
    "h11/__init__.py": b"",
    "h11/_headers.py": b"class Headers: pass\n",
}
# Modules of the standard library that wait for their first use (tools/pyz/lazy.py): who imports them, for what.
LAZY: Final = (
    *("bz2", "lzma"),  # shutil and tarfile, to see whether they are there; each brings a library
    "email.utils",  # http.server, for the Date field, which ours writes itself; brings random, calendar and addresses
    "locale",  # subprocess (until 3.11), for an encoding
    "mimetypes",  # http.server, to guess what a file is
    "tarfile",  # compose and files, for archives
    "tempfile",  # files, for bodies that are kept aside; brings random
    "traceback",  # logging, for exceptions; brings linecache, tokenize and textwrap
    "shutil",  # http.server, to copy and remove trees (from 3.11: always)
)
_LICENSE: Final = re.compile(r"^[^/]+\.dist-info/(?:licenses/)?(.*(?:LICEN[SC]E|COPYING|NOTICE)[^/]*)$", re.IGNORECASE)


def sources(wheels: Iterable[Wheel]) -> dict[str, bytes]:
    """Path → content of every module in the archive: ours, the libraries', and those that stand beside them."""
    files = {path.name: path.read_bytes() for path in (HERE / "standins").glob("*.py")}
    files.update({f"{name}.py": (HERE / "lazy.py").read_bytes() for name in LAZY})
    for path in (ROOT / "dockpal_agent").rglob("*.py"):
        files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for wheel in wheels:
        files.update((name, data) for name, data in wheel.files() if name.endswith(".py") and not UNUSED.search(name))
    # zipimport knows no namespace packages (`ruamel` is one): every folder gets its __init__.py.
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents} - {"."}
    return {**{f"{folder}/__init__.py": b"" for folder in folders}, **files, **INSTEAD}


def collect(wheels: list[Wheel], bytecodes: Iterable[Bytecode]) -> dict[str, bytes]:
    """Path → content of everything in the archive but the modules and __main__.py."""
    files: dict[str, bytes] = {}
    for wheel in wheels:
        files.update(_licences(wheel))
        files.update(_extensions(wheel))
    files["licenses/dockpal-agent/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    about = {
        "version": version(),
        "revision": revision(),
        "bytecode": {bytecode.version: bytecode.magic for bytecode in bytecodes},
        "packages": {wheel.pin.name: wheel.pin.version for wheel in wheels},
        "native": sorted(wheel.platform for wheel in wheels if wheel.platform),
    }
    files["build.json"] = json.dumps(about, indent=1).encode() + b"\n"
    return files


def bootstrap(units: Mapping[str, tuple[int, int, int]]) -> bytes:
    """The archive's __main__.py; `units` says by magic number (hex, "" for source) where each unit lies."""
    source = (HERE / "bootstrap.py").read_text("utf-8")
    table = {bytes.fromhex(magic): place for magic, place in units.items()}
    filled = source.replace("= {}  # build.py fills it in", f"= {table!r}")
    if filled == source:
        raise ValueError("tools/pyz/bootstrap.py has no place for the table of units")
    return filled.encode()


def _licences(wheel: Wheel) -> dict[str, bytes]:
    found = ((_LICENSE.match(name), data) for name, data in wheel.files())
    return {f"licenses/{wheel.pin.name}/{match.group(1)}": data for match, data in found if match}


def _extensions(wheel: Wheel) -> dict[str, bytes]:
    """`psutil/_psutil_linux.abi3.so` → `native/<platform>/psutil._psutil_linux.so`."""
    extensions = ((name, data) for name, data in wheel.files() if wheel.platform and name.endswith(".so"))
    return {f"native/{wheel.platform}/{name.split('.')[0].replace('/', '.')}.so": data for name, data in extensions}


def version() -> str:
    """The project's version, as dockpal_agent/__init__.py says it."""
    match = re.search(r'^__version__ = "([^"]+)"', (ROOT / "dockpal_agent" / "__init__.py").read_text("utf-8"), re.M)
    if match is None:
        raise ValueError("dockpal_agent/__init__.py names no __version__")
    return match.group(1)


def revision() -> str:
    """The commit that is built, `-dirty` where the tree differs from it, "unknown" outside of git."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", "dockpal_agent", "tools/pyz", "requirements.lock", "LICENSE")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    ended = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True, text=True, timeout=30)
    return ended.stdout.strip()
