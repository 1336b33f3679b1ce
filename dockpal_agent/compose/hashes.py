"""The hash of a service, a network, a volume: docker compose's own, bit for bit, so that neither restarts the other's.

docker compose 2.40.3, pkg/compose/hash.go: SHA-256 of the entry as compact JSON.
"""

from __future__ import annotations

import hashlib
from typing import Final

from dockpal_agent.compose.golang import compact
from dockpal_agent.compose.project import Entry

__all__ = ["network_hash", "service_hash", "volume_hash"]

_NOT_HASHED: Final = ("build", "pull_policy", "scale", "depends_on", "profiles")


def service_hash(entry: Entry) -> str:
    """64 hex digits. `service:X` references are to be container ids already, as docker compose hashes them."""
    hashed = {key: value for key, value in entry.items() if key not in _NOT_HASHED}
    if "deploy" in hashed:
        hashed["deploy"] = {key: value for key, value in hashed["deploy"].items() if key != "replicas"}
    return _digest(hashed)


def network_hash(entry: Entry) -> str:
    """64 hex digits."""
    return _digest(entry)


def volume_hash(entry: Entry) -> str:
    """64 hex digits; a volume without a driver counts as a local one."""
    name = {key: value for key, value in entry.items() if key == "name"}
    return _digest({**name, "driver": entry.get("driver", "local"), **entry})


def _digest(entry: Entry) -> str:
    return hashlib.sha256(compact(entry).encode()).hexdigest()
