"""Stands for certifi in agent.pyz: the system's certificate authorities instead of a copy of Mozilla's.

The real one copies its bundle out of the archive at every start, into a temporary folder that may not be writable.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["contents", "where"]

_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)


def where() -> str:
    """The path of the system's bundle; the first usual place where there is none."""
    return next((path for path in _BUNDLES if os.path.isfile(path)), _BUNDLES[0])


def contents() -> str:
    """The bundle's text. Raises FileNotFoundError."""
    with open(where(), encoding="ascii", errors="replace") as file:
        return file.read()
