"""Stands for the standard library's zipfile in agent.pyz: requests looks for its certificates in archives with it.

Ours are a file of the system, and requests does no TLS here. The real one and what it imports are 0.35 MB of memory.
"""

from __future__ import annotations

__all__ = ["is_zipfile"]


def is_zipfile(filename: object) -> bool:
    """No file is taken for an archive."""
    return False
