"""The pinned wheels: what requirements.lock names, fetched with pip into .cache, each held against its hash."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["NATIVE_PLATFORMS", "Pin", "Wheel", "WheelMissing", "fetch", "read_lock"]

# libc and machine, as the file names them inside → the platform tags that pip is asked for. The builds are abi3: one
# for all versions of Python.
NATIVE_PLATFORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "glibc-x86_64": ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux2010_x86_64"),
    "glibc-aarch64": ("manylinux_2_28_aarch64", "manylinux2014_aarch64"),
    "musl-x86_64": ("musllinux_1_2_x86_64",),
    "musl-aarch64": ("musllinux_1_2_aarch64",),
}
_PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)((?:\s*\\\n\s+--hash=sha256:[0-9a-f]{64})+)", re.MULTILINE)
_PURE: Final = re.compile(r"-none-any\.whl$")


class WheelMissing(Exception):
    """A pinned wheel could not be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Pin:
    """One line of the lock: a distribution, its version, and the SHA-256 of every file that may stand for it."""

    name: str
    version: str
    hashes: frozenset[str]

    def requirement(self) -> str:
        """The line as pip reads it."""
        return f"{self.name}=={self.version} " + " ".join(f"--hash=sha256:{digest}" for digest in sorted(self.hashes))


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk whose hash is one of its pin's. `platform` is a key of NATIVE_PLATFORMS, "" for pure Python."""

    pin: Pin
    path: Path
    platform: str = ""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(path, content) of every file in it, in order."""
        with zipfile.ZipFile(self.path) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    yield name, archive.read(name)


def read_lock(path: Path) -> list[Pin]:
    """The pins of a lock file, by name. Raises WheelMissing for a requirement without hashes."""
    text = path.read_text("utf-8")
    pins = [
        Pin(name, version, frozenset(re.findall(r"sha256:([0-9a-f]{64})", rest)))
        for name, version, rest in _PIN.findall(text)
    ]
    if len(pins) != len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)):
        raise WheelMissing(f"{path.name} has a line that is not `name==version` with hashes")
    return sorted(pins, key=lambda pin: pin.name)


def fetch(pins: list[Pin], cache: Path, native: frozenset[str]) -> list[Wheel]:
    """All wheels: from `cache` where the hash is right, else by pip; for every platform where `native` names it."""
    wheels: list[Wheel] = []
    for pin in pins:
        for platform in NATIVE_PLATFORMS if pin.name in native else ("",):
            folder = cache / f"{pin.name}-{pin.version}" / platform
            wheels.append(_cached(pin, folder, platform) or _download(pin, folder, platform))
    return wheels


def _cached(pin: Pin, folder: Path, platform: str) -> Wheel | None:
    for path in sorted(folder.glob("*.whl")):
        if hashlib.sha256(path.read_bytes()).hexdigest() in pin.hashes and bool(platform) != bool(
            _PURE.search(path.name)
        ):
            return Wheel(pin, path, platform)
    return None


def _download(pin: Pin, folder: Path, platform: str) -> Wheel:
    folder.mkdir(parents=True, exist_ok=True)
    requirement = folder / "requirement.txt"
    requirement.write_text(pin.requirement() + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--dest", str(folder), "-r", str(requirement)]
    if platform:
        command += ["--python-version", "3.9", "--implementation", "cp", "--abi", "abi3"]
        command += [part for tag in NATIVE_PLATFORMS[platform] for part in ("--platform", tag)]
    ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)
    wheel = _cached(pin, folder, platform)
    if wheel is None:
        words = ended.stderr.strip() or "pip gave another file than the one that is pinned"
        raise WheelMissing(f"{pin.name} {pin.version} {platform}: {words}")
    return wheel
