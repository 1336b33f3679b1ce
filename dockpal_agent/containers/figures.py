"""What `docker stats` shows, computed from the Engine's samples as the docker program does (cli/command/container).

Pure: a sample is Docker's JSON of GET /containers/{id}/stats; a `Mark` is what is kept of one for the next percentage.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

__all__ = ["ZEROS", "Mark", "cpu_percent", "figures", "mark_of"]

ZEROS: Final[Mapping[str, Any]] = {
    "cpu_percent": 0.0,
    "memory_usage": 0,
    "memory_limit": 0,
    "memory_percent": 0.0,
    "network_rx": 0,
    "network_tx": 0,
}
_LARGEST: Final = (1 << 64) - 1  # the Server decodes byte counts into unsigned 64-bit integers


@dataclass(frozen=True)
class Mark:
    """A container's CPU time and the host's at one moment, nanoseconds over all CPUs; `cpus` are those online."""

    container: int
    host: int
    cpus: int


def mark_of(sample: Mapping[str, Any]) -> Optional[Mark]:
    """The CPU counters of a sample; None where it has none, as of a container that does not run.

    Engines before API 1.27, and Podman at times, leave online_cpus out: then it is the number of percpu entries, and on
    cgroup v2, which has none of those, what we see ourselves.
    """
    cpu = sample.get("cpu_stats") or {}
    usage = cpu.get("cpu_usage") or {}
    host = _count(cpu.get("system_cpu_usage"))
    if not host:
        return None
    cpus = _count(cpu.get("online_cpus")) or len(usage.get("percpu_usage") or ()) or os.cpu_count() or 1
    return Mark(_count(usage.get("total_usage")), host, cpus)


def cpu_percent(before: Mark, now: Mark) -> Optional[float]:
    """Percent of one CPU between two marks, up to 100 times the CPUs; None where a counter went back (a restart)."""
    used, passed = now.container - before.container, now.host - before.host
    if used < 0 or passed <= 0:
        return None
    return used / passed * now.cpus * 100.0


def figures(sample: Mapping[str, Any], percent: float) -> dict[str, Any]:
    """Protocol 2's Stats: memory without the inactive file cache, sums over all networks."""
    memory = sample.get("memory_stats") or {}
    usage, limit = _memory(memory), _count(memory.get("limit"))
    networks = [network for network in (sample.get("networks") or {}).values() if isinstance(network, dict)]
    return {
        "cpu_percent": round(percent, 2),
        "memory_usage": usage,
        "memory_limit": limit,
        "memory_percent": round(usage / limit * 100.0, 2) if limit else 0.0,
        "network_rx": _sum(network.get("rx_bytes") for network in networks),
        "network_tx": _sum(network.get("tx_bytes") for network in networks),
    }


def _memory(memory: Mapping[str, Any]) -> int:
    """Used bytes: `total_inactive_file` is cgroup v1's word, `inactive_file` v2's (v1 has it too, for less)."""
    usage = _count(memory.get("usage"))
    parts = memory.get("stats") or {}
    for word in ("total_inactive_file", "inactive_file"):
        if word in parts and _count(parts[word]) < usage:
            return usage - _count(parts[word])
    return usage


def _sum(values: Iterable[Any]) -> int:
    return min(sum(_count(value) for value in values), _LARGEST)


def _count(value: Any) -> int:
    """A counter as a non-negative integer."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    return min(max(int(value), 0), _LARGEST)
