"""Loads a C extension out of agent.pyz: its bytes go into a file in memory, which the loader opens under /proc."""

from __future__ import annotations

import os
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Optional
from zipimport import zipimporter

__all__ = ["spec"]


class _MemoryLoader(ExtensionFileLoader):
    """Gives the memory file back once the extension is mapped."""

    def __init__(self, name: str, descriptor: int) -> None:
        super().__init__(name, f"/proc/self/fd/{descriptor}")
        self._descriptor = descriptor

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        try:
            return super().create_module(spec)
        finally:
            os.close(self._descriptor)


def spec(fullname: str, archive: str) -> Optional[ModuleSpec]:
    """How to load the extension `fullname` of `archive` on this machine.

    None where the archive has no build for it, ImportError where it cannot be loaded (no memfd_create, no /proc).
    """
    try:
        content = zipimporter(archive).get_data(f"native/{_libc()}-{os.uname().machine}/{fullname}.so")
    except OSError:
        return None
    try:
        descriptor = os.memfd_create(fullname, os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
    except (AttributeError, OSError) as error:
        raise ImportError(f"{fullname} cannot be loaded from memory: {error}") from error
    loader = _MemoryLoader(fullname, descriptor)
    return spec_from_file_location(fullname, loader.path, loader=loader)


def _libc() -> str:
    try:
        return "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"
