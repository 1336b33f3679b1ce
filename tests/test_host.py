"""The host's figures, from psutil and from /proc alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dockpal_agent.engine import Engine
from dockpal_agent.host import CpuTimes, FromProc, FromPsutil, Host, arc_size

STAT = "cpu  100 20 30 800 50 3 7 10 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
MEMINFO = "MemTotal:        8000000 kB\nMemFree:         1000000 kB\nMemAvailable:    6000000 kB\nCached: 4000000 kB\n"


class Counters:
    """Counters that a test sets."""

    def __init__(self) -> None:
        self.times = CpuTimes(0.0, 0.0)

    def cpu(self) -> CpuTimes:
        return self.times

    def memory(self):  # type: ignore[no-untyped-def]
        return FromProc().memory()


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "meminfo").write_text(MEMINFO)
    return tmp_path


@pytest.fixture
def absent_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(str(tmp_path / "none.sock"))
    yield engine
    engine.close()


def test_proc_counts_guest_time_once_and_waiting_for_disks_as_idle(proc: Path) -> None:
    times = FromProc(str(proc)).cpu()

    ticks = os.sysconf("SC_CLK_TCK")
    assert times.total == pytest.approx((100 + 20 + 30 + 800 + 50 + 3 + 7 + 10) / ticks)
    assert times.busy == pytest.approx((100 + 20 + 30 + 3 + 7 + 10) / ticks)


def test_memory_that_the_kernel_can_give_back_is_not_used(proc: Path) -> None:
    assert FromProc(str(proc)).memory() == (8000000 * 1024, 2000000 * 1024)


def test_both_sources_tell_the_same_of_this_host() -> None:
    mine, theirs = FromProc(), FromPsutil(psutil)

    assert mine.memory().total == theirs.memory().total
    assert mine.memory().used == pytest.approx(theirs.memory().used, rel=0.05, abs=64 << 20)
    assert mine.cpu().total == pytest.approx(theirs.cpu().total, rel=0.01)
    assert mine.cpu().busy == pytest.approx(theirs.cpu().busy, rel=0.02, abs=2.0)


def test_the_processors_figure_is_that_of_the_span_since_the_last_sample(absent_engine: Engine) -> None:
    counters, now = Counters(), [100.0]
    host = Host(absent_engine, counters=counters, clock=lambda: now[0])

    now[0], counters.times = 102.0, CpuTimes(1.0, 4.0)

    assert host.stats()["cpu_percent"] == 25.0


def test_a_figure_without_any_span_is_zero_and_a_counter_that_runs_back_is_never_negative(
    absent_engine: Engine,
) -> None:
    counters, now = Counters(), [100.0]
    counters.times = CpuTimes(50.0, 100.0)
    host = Host(absent_engine, counters=counters, clock=lambda: now[0])

    assert host.stats()["cpu_percent"] == 0.0
    now[0], counters.times = 101.0, CpuTimes(49.0, 101.0)
    assert host.stats()["cpu_percent"] == 0.0


def test_stats_are_whole_numbers_of_bytes(absent_engine: Engine) -> None:
    stats = Host(absent_engine).stats()

    assert {name: type(value) for name, value in stats.items()} == {
        "cpu_percent": float,
        "total_ram": int,
        "used_ram": int,
        "total_disk": int,
        "used_disk": int,
    }
    assert 0 < stats["used_ram"] < stats["total_ram"]
    assert 0 < stats["used_disk"] < stats["total_disk"]


def test_facts_without_docker_are_the_kernels_and_name_no_version(absent_engine: Engine) -> None:
    info = Host(absent_engine).info()

    assert info["docker_version"] == ""
    assert info["hostname"] == os.uname().nodename
    assert info["cpu_cores"] == os.cpu_count()


def test_facts_with_docker_are_the_hosts_own(engine: Engine) -> None:
    info = Host(engine).info()

    daemon = engine.get("/info").json()
    assert info["hostname"] == daemon["Name"]
    assert info["docker_version"] == daemon["ServerVersion"]
    assert info["total_memory"] == daemon["MemTotal"]


def test_the_daemon_is_not_asked_again_within_the_time_that_facts_are_kept(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(engine)
    first = host.info()

    monkeypatch.setattr(engine, "get", None)
    monkeypatch.setattr(engine, "call", None)
    assert host.info() == first


def test_what_zfs_caches_is_known_where_there_is_zfs(tmp_path: Path) -> None:
    (tmp_path / "arcstats").write_text(
        "13 1 0x01 123 33456 1 2\nname type data\nsize                            4    5000\n"
    )

    assert arc_size(str(tmp_path / "arcstats")) == 5000
    assert arc_size(str(tmp_path / "none")) == 0
