"""Percentages and sums as `docker stats` shows them."""

from __future__ import annotations

import json
import os
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.containers.figures import ZEROS, Mark, cpu_percent, figures, mark_of


def sample(total: int, system: int, *, online: Optional[int] = 2, percpu: Optional[list[int]] = None) -> dict[str, Any]:
    usage: dict[str, Any] = {"total_usage": total}
    if percpu is not None:
        usage["percpu_usage"] = percpu
    cpu: dict[str, Any] = {"cpu_usage": usage, "system_cpu_usage": system}
    if online is not None:
        cpu["online_cpus"] = online
    return {"cpu_stats": cpu}


def percent(before: dict[str, Any], now: dict[str, Any]) -> Optional[float]:
    first, second = mark_of(before), mark_of(now)
    assert first is not None and second is not None
    return cpu_percent(first, second)


def test_a_container_that_keeps_one_of_two_cpus_busy_uses_a_hundred_percent() -> None:
    assert percent(sample(0, 10**9), sample(10**9, 3 * 10**9)) == pytest.approx(100.0)


def test_the_online_cpus_count_and_where_they_are_missing_the_percpu_entries() -> None:
    assert percent(sample(0, 10**9, online=4), sample(10**9, 5 * 10**9, online=4)) == pytest.approx(100.0)
    before = sample(0, 10**9, online=None, percpu=[1, 2, 3, 4])
    assert percent(before, sample(10**9, 5 * 10**9, online=None, percpu=[1, 2, 3, 4])) == pytest.approx(100.0)


def test_on_cgroup_v2_without_either_the_cpus_that_we_see_count() -> None:
    mark = mark_of(sample(1, 1, online=None))

    assert mark is not None and mark.cpus == os.cpu_count()


def test_a_counter_that_went_back_gives_no_percentage() -> None:
    assert percent(sample(5, 10), sample(4, 20)) is None
    assert percent(sample(5, 10), sample(6, 10)) is None
    assert percent(sample(5, 10), sample(6, 9)) is None


@pytest.mark.parametrize("stopped", [{}, {"cpu_stats": {}}, {"cpu_stats": {"cpu_usage": {"total_usage": 0}}}])
def test_a_container_that_does_not_run_has_no_counters(stopped: dict[str, Any]) -> None:
    assert mark_of(stopped) is None


@pytest.mark.parametrize(
    ("parts", "used"),
    [
        ({"total_inactive_file": 300, "inactive_file": 1}, 700),
        ({"inactive_file": 400}, 600),
        ({"total_inactive_file": 2000, "inactive_file": 100}, 900),
        ({"inactive_file": 2000}, 1000),
        ({}, 1000),
        (None, 1000),
    ],
    ids=["v1", "v2", "v1 above usage", "v2 above usage", "no parts", "null"],
)
def test_memory_is_without_the_inactive_file_cache(parts: Any, used: int) -> None:
    shown = figures({"memory_stats": {"usage": 1000, "limit": 2000, "stats": parts}}, 0.0)

    assert (shown["memory_usage"], shown["memory_limit"], shown["memory_percent"]) == (used, 2000, used / 20)


def test_networks_are_summed_and_a_container_of_the_hosts_network_has_none() -> None:
    networks = {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}}

    assert figures({"networks": networks}, 0.0)["network_rx"] == 11
    assert figures({"networks": networks}, 0.0)["network_tx"] == 22
    assert figures({}, 0.0)["network_rx"] == 0


NUMBERS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_whatever_the_engine_says_the_types_and_ranges_are_those_of_the_protocol(
    usage: Any, limit: Any, rx: Any
) -> None:
    odd = {"memory_stats": {"usage": usage, "limit": limit}, "networks": {"a": {"rx_bytes": rx}, "b": None}}

    shown = json.loads(json.dumps(figures(odd, 1.0)))

    assert shown.keys() == ZEROS.keys()
    for key in ("memory_usage", "memory_limit", "network_rx", "network_tx"):
        assert type(shown[key]) is int and 0 <= shown[key] < 1 << 64


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**63), st.integers(1, 512))
def test_a_percentage_is_never_negative(first: int, second: int, before: int, after: int, cpus: int) -> None:
    found = cpu_percent(Mark(first, before, cpus), Mark(second, after, cpus))

    assert found is None or found >= 0
