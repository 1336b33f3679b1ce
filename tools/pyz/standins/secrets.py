"""Stands for secrets in agent.pyz: what the agent takes of it without the generators of random, 0.1 MB."""

from __future__ import annotations

import os
from hmac import compare_digest

__all__ = ["compare_digest", "token_bytes", "token_hex"]


def token_bytes(nbytes: int = 32) -> bytes:
    """Random bytes from the operating system."""
    return os.urandom(nbytes)


def token_hex(nbytes: int = 32) -> str:
    """Random bytes in hex."""
    return os.urandom(nbytes).hex()
