"""Facts and figures of the host itself: psutil where its extension loads, /proc where it does not.

Memory is the host's, not the container's: /proc/meminfo shows it under every cgroup version, and what the kernel can
give back (page cache, ZFS' ARC) does not count as used.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Final, NamedTuple, Optional, Protocol, TypedDict

from dockpal_agent.engine import Engine, EngineError, system

__all__ = ["CpuTimes", "Host", "HostInfo", "HostStats", "source"]

log = logging.getLogger(__name__)

SAMPLE_EVERY: Final = 5.0  # seconds between two looks at the processor's counters, also when nobody asks
LEAST_SPAN: Final = 0.9  # seconds between the two samples of a figure; ticks of 10 ms make a shorter span wrong
FACTS_KEPT: Final = 10.0  # seconds for which the daemon's facts are not asked for again
FACTS_WITHIN: Final = 3.0  # seconds for the daemon's facts: a hung daemon must not hang what the host itself knows


class HostInfo(TypedDict):
    """protocol 2: HostInfo. `total_memory` is bytes; `docker_version` is "" while Docker is away."""

    hostname: str
    os: str
    cpu_cores: int
    total_memory: int
    docker_version: str


class HostStats(TypedDict):
    """protocol 2: HostStats. `cpu_percent` is percent of the whole host; the rest is bytes, disk figures of "/"."""

    cpu_percent: float
    total_ram: int
    used_ram: int
    total_disk: int
    used_disk: int


class CpuTimes(NamedTuple):
    """Seconds since the host's start, over all cores."""

    busy: float
    total: float


class Memory(NamedTuple):
    """Bytes."""

    total: int
    used: int


class Source(Protocol):
    """Where the counters come from."""

    def cpu(self) -> CpuTimes: ...

    def memory(self) -> Memory: ...


class FromProc:
    """The figures from /proc/stat and /proc/meminfo (proc(5)), where psutil's extension cannot be loaded."""

    def __init__(self, root: str = "/proc") -> None:
        self._root = root

    def cpu(self) -> CpuTimes:
        with open(f"{self._root}/stat", encoding="ascii") as file:
            numbers = [int(field) for field in file.readline().split()[1:9]]  # guest time is part of user time already
        ticks = os.sysconf("SC_CLK_TCK")
        idle = sum(numbers[3:5])
        return CpuTimes((sum(numbers) - idle) / ticks, sum(numbers) / ticks)

    def memory(self) -> Memory:
        sizes: dict[str, int] = {}
        with open(f"{self._root}/meminfo", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                sizes[name] = int(rest.split()[0]) * 1024
        total = sizes["MemTotal"]
        if "MemAvailable" in sizes:
            available = sizes["MemAvailable"]
        else:  # kernels before 3.14
            available = sizes["MemFree"] + sizes.get("Buffers", 0) + sizes.get("Cached", 0)
        return Memory(total, max(0, total - available))


class FromPsutil:
    """The same figures through psutil."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil

    def cpu(self) -> CpuTimes:
        times = self._psutil.cpu_times()
        idle = times.idle + times.iowait
        total = times.user + times.nice + times.system + idle + times.irq + times.softirq + times.steal
        return CpuTimes(total - idle, total)

    def memory(self) -> Memory:
        memory = self._psutil.virtual_memory()
        return Memory(int(memory.total), max(0, int(memory.total) - int(memory.available)))


def source() -> Source:
    """psutil, or /proc with one warning where psutil's C extension does not load (a platform without its own build)."""
    try:
        import psutil  # loads its extension, which is not there for every platform
    except ImportError as error:
        log.warning("psutil cannot be loaded (%s): the host's figures come from /proc", error)
        return FromProc()
    return FromPsutil(psutil)


def arc_size(path: str = "/proc/spl/kstat/zfs/arcstats") -> int:
    """Bytes that ZFS caches and gives back under pressure, which MemAvailable does not know; 0 without ZFS."""
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if len(fields) == 3 and fields[0] == "size":
                    return int(fields[2])
    except (OSError, ValueError):
        pass  # no ZFS here, which is the ordinary case
    return 0


@dataclass(frozen=True)
class _Facts:
    hostname: str
    docker_version: str
    cores: int
    at: float


class Host:
    """Answers for host/info and host/stats. `start` runs the sampler; an answer then costs no waiting."""

    def __init__(
        self,
        engine: Engine,
        *,
        counters: Optional[Source] = None,
        disk: str = "/",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._counters = counters or source()
        self._disk = disk
        self._clock = clock
        self._lock = threading.Lock()  # guards _older, _newer and _facts
        first = (clock(), self._counters.cpu())
        self._older = self._newer = first
        self._facts: Optional[_Facts] = None
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        """Begin to sample in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="host-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the sampler."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def info(self) -> HostInfo:
        """HostInfo. Asks the daemon at most every 10 s, and lets it 3 s; without it the kernel's names answer."""
        facts = self._known_facts()
        return {
            "hostname": facts.hostname,
            "os": "linux",
            "cpu_cores": facts.cores,
            "total_memory": self._counters.memory().total,
            "docker_version": facts.docker_version,
        }

    def stats(self) -> HostStats:
        """HostStats. The processor's figure is that of the last seconds, never of no time at all."""
        memory = self._counters.memory()
        disk = os.statvfs(self._disk)
        return {
            "cpu_percent": self._cpu_percent(),
            "total_ram": memory.total,
            "used_ram": max(0, memory.used - arc_size()),
            "total_disk": disk.f_blocks * disk.f_frsize,
            "used_disk": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        }

    def _cpu_percent(self) -> float:
        now = (self._clock(), self._counters.cpu())
        with self._lock:
            base = self._newer if now[0] - self._newer[0] >= LEAST_SPAN else self._older
        total = now[1].total - base[1].total
        busy = now[1].busy - base[1].busy
        if total <= 0:
            return 0.0
        return round(min(100.0, max(0.0, 100.0 * busy / total)), 2)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            try:
                sample = (self._clock(), self._counters.cpu())
            except OSError as error:  # /proc hidden from us for a moment; the last samples stand until it is back
                log.warning("the processor's counters cannot be read: %s", error)
                continue
            with self._lock:
                self._older, self._newer = self._newer, sample

    def _known_facts(self) -> _Facts:
        now = self._clock()
        with self._lock:
            facts = self._facts
        if facts is not None and now - facts.at < FACTS_KEPT:
            return facts
        facts = self._ask_daemon(now)
        with self._lock:
            self._facts = facts if facts.docker_version else None  # an absent daemon is asked again at once
        return facts

    def _ask_daemon(self, now: float) -> _Facts:
        cores = os.cpu_count() or 1
        try:
            info = system.info(self._engine, within=FACTS_WITHIN)
        except EngineError as error:
            log.debug("host facts without Docker: %s", error)
            return _Facts(socket.gethostname(), "", cores, now)
        # In a container our own host name is the container's id; the daemon knows the host's.
        name = info.get("Name") or socket.gethostname()
        return _Facts(str(name), str(info.get("ServerVersion") or ""), int(info.get("NCPU") or cores), now)
