"""Figures of real containers: right, shared, and zeros for what does not run."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

import pytest

from dockpal_agent.containers import stats as room
from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.containers.figures import ZEROS
from dockpal_agent.containers.stats import Stats, Viewer
from dockpal_agent.containers.streams import Ended, TooMany
from dockpal_agent.engine import Engine, EngineError, NotFound
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

Docker = Callable[..., str]


@pytest.fixture
def stats(proxied: Engine, feed: EventFeed) -> Iterator[Stats]:
    """It takes no samples of its own accord, so that those which are asked for can be counted."""
    stats = Stats(proxied, feed)
    stats._ahead.stop()
    feed.start()
    assert feed.wait_connected(10)
    yield stats
    stats.stop()


@pytest.fixture
def docker(docker_socket: str) -> Docker:
    """The docker program on the same engine."""

    def run(*words: str) -> str:
        command = ["docker", "-H", f"unix://{docker_socket}", *words]
        return subprocess.run(command, capture_output=True, check=True, timeout=30, text=True).stdout.strip()

    return run


@pytest.fixture
def idle(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container that does nothing."""
    return daemon.run(busybox, "sleep", "1000", name=unique, labels=labels)


def samples(proxy: FaultProxy, container_id: str = "") -> int:
    """How many samples were asked for, of one container or of all: other tests' containers start meanwhile, too."""
    return len([path for _, path in proxy.calls if path.endswith(f"{container_id}/stats")])


def rest_of(viewer: Viewer) -> list[Optional[Mapping[str, Any]]]:
    """What comes until the end."""
    messages: list[Optional[Mapping[str, Any]]] = []
    try:
        for _ in range(100):
            messages.append(viewer.next(60))
    except Ended:
        return messages
    raise AssertionError("the stream does not end")


def age(stats: Stats, container: str, seconds: float) -> None:
    """Let the last sample of a container be so much older than it is."""
    with stats._lock:
        kept = stats._kept[container]
        stats._kept[container] = room._Kept(kept.when - seconds, kept.mark, kept.percent)


def outlive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no figure serve twice."""
    monkeypatch.setattr(room, "FRESH", 0.0)


@pytest.mark.engines
def test_the_percentage_is_that_of_docker_stats(
    stats: Stats,
    daemon: Daemon,
    docker: Docker,
    busybox: str,
    unique: str,
    labels: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Held to a part of a CPU by the kernel, so that other work on this machine changes neither figure."""
    outlive(monkeypatch)
    busy = daemon.run(
        busybox, "sh", "-c", "while :; do :; done", name=unique, labels=labels, HostConfig={"NanoCpus": 200_000_000}
    )
    stats.figures(busy)

    def differs() -> float:
        shown = docker("stats", "--no-stream", "--format", "{{.CPUPerc}}", busy)
        return abs(float(stats.figures(busy)["cpu_percent"]) - float(shown.rstrip("%")))

    wait_for(lambda: differs() < 5, "our percentage to be within 5 points of docker's")


@pytest.mark.engines
def test_memory_is_that_of_docker_stats(
    stats: Stats, daemon: Daemon, docker: Docker, busybox: str, unique: str
) -> None:
    writer = daemon.run(
        busybox, "sh", "-c", "dd if=/dev/zero of=/tmp/f bs=1M count=32 2>/dev/null; sleep 1000", name=unique
    )
    wait_for(lambda: daemon.exec(writer, "sh", "-c", "pgrep sleep"), "the file to be written")

    def matches() -> bool:
        shown = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", writer).split("/")[0]
        number, unit = re.fullmatch(r"([0-9.]+)([KMG]iB|B)", shown.strip()).groups()  # type: ignore[union-attr]
        theirs = float(number) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
        return abs(stats.figures(writer)["memory_usage"] - theirs) < max(0.05 * theirs, 1 << 18)

    wait_for(matches, "our memory to be docker's")


@pytest.mark.engines
def test_a_second_figure_needs_one_sample_only(
    stats: Stats, proxy: FaultProxy, idle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlive(monkeypatch)
    first = stats.figures(idle)
    asked = samples(proxy)

    second = stats.figures(idle)

    assert first["memory_limit"] > 0 and second["memory_limit"] == first["memory_limit"]
    assert (asked, samples(proxy)) == (2, 3)


def test_of_what_runs_and_what_starts_a_sample_is_taken_before_anybody_asks(
    proxied: Engine, proxy: FaultProxy, feed: EventFeed, daemon: Daemon, busybox: str, unique: str, idle: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(room, "AHEAD_DELAY", 0.0)
    stats = Stats(proxied, feed)
    feed.start()
    wait_for(lambda: idle in stats._kept, "a sample of what ran already")
    started = daemon.run(busybox, "sleep", "1000", name=f"{unique}-b")
    wait_for(lambda: started in stats._kept, "a sample of what has started")
    wait_for(lambda: not stats._ahead.busy, "the rest")
    age(stats, started, 2)
    asked = samples(proxy, started)

    assert stats.figures(started)["memory_limit"] > 0

    assert samples(proxy, started) == asked + 1
    stats.stop()


def test_a_figure_just_taken_serves_again_under_the_same_name(stats: Stats, proxy: FaultProxy, idle: str) -> None:
    stats.figures(idle)
    asked = samples(proxy)

    stats.figures(idle)

    assert samples(proxy) == asked


def test_requests_for_one_container_at_the_same_time_share_the_engines_calls(
    stats: Stats, proxy: FaultProxy, idle: str
) -> None:
    found: list[Mapping[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(stats.figures(idle))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(found) == 30 and all(figure == found[0] for figure in found)
    assert samples(proxy) == 2


def test_many_containers_at_once_are_all_answered(
    stats: Stats, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More at a time than the daemon is asked for at a time."""
    monkeypatch.setattr(stats, "_places", threading.BoundedSemaphore(3))
    ids = [daemon.run(busybox, "sleep", "1000", name=f"{unique}-{number}", labels=labels) for number in range(8)]
    found: list[Mapping[str, Any]] = []
    threads = [threading.Thread(target=lambda one=one: found.append(stats.figures(one))) for one in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)

    assert len(found) == 8 and all(figure["memory_limit"] > 0 for figure in found)


def test_past_the_cap_the_answer_is_a_clear_refusal(stats: Stats, idle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_places", threading.BoundedSemaphore(1))
    monkeypatch.setattr(room, "PLACE_WITHIN", 0.05)
    stats._places.acquire()

    with pytest.raises(TooMany, match="try again later"):
        stats.figures(idle)


@pytest.mark.engines
def test_what_does_not_run_has_zeros(
    stats: Stats, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    created = daemon.create(busybox, name=unique, labels=labels)
    over = daemon.run(busybox, "true", name=f"{unique}-over", labels=labels)
    wait_for(lambda: daemon.inspect(over)["State"]["Status"] == "exited", "it to end")

    assert stats.figures(created) == ZEROS
    assert stats.figures(over) == ZEROS


def test_a_stopped_container_is_not_shown_as_it_was_a_moment_ago(
    stats: Stats, feed: EventFeed, daemon: Daemon, idle: str
) -> None:
    assert stats.figures(idle) != ZEROS
    heard = threading.Event()
    feed.subscribe(lambda event: heard.set() if event.action == "die" and event.id == idle else None)

    daemon.call("POST", f"/containers/{idle}/stop", {"t": 0})

    assert heard.wait(10)
    assert stats.figures(idle) == ZEROS
    assert idle not in stats._kept


def test_after_a_restart_no_percentage_is_made_of_the_counters_of_before(
    stats: Stats, proxy: FaultProxy, daemon: Daemon, idle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlive(monkeypatch)
    stats.figures(idle)
    daemon.call("POST", f"/containers/{idle}/restart", {"t": 0})
    wait_for(lambda: idle not in stats._kept, "the old counters to be dropped")
    asked = samples(proxy)

    assert 0 <= stats.figures(idle)["cpu_percent"] <= 200
    assert samples(proxy) == asked + 2


def test_a_sample_that_is_too_old_is_not_compared_with(
    stats: Stats, proxy: FaultProxy, idle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outlive(monkeypatch)
    stats.figures(idle)
    age(stats, idle, 60)
    asked = samples(proxy)

    stats.figures(idle)

    assert samples(proxy) == asked + 2


@pytest.mark.engines
def test_samples_that_are_close_together_give_the_percentage_of_a_longer_span(
    stats: Stats, proxy: FaultProxy, idle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engine 28 samples at once: over a few milliseconds the host's counter, in steps of 10 ms, may not move at all."""
    outlive(monkeypatch)
    percent = stats.figures(idle)["cpu_percent"]
    kept = stats._kept[idle]

    assert stats.figures(idle)["cpu_percent"] == percent

    spanned = stats._kept[idle].when - kept.when
    assert spanned == 0 or spanned >= room.SHORTEST


def test_an_unknown_container_is_not_found_for_all_who_asked(stats: Stats) -> None:
    failures: list[Exception] = []

    def ask() -> None:
        try:
            stats.figures("there-is-no-such-container")
        except EngineError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(failures) == 5 and all(isinstance(error, NotFound) for error in failures)


def test_what_is_kept_is_bounded(stats: Stats, idle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEPT", 2)
    for name in ("one", "two", "three"):
        stats._recent[name] = room._Recent(0.0, name, None)

    stats.figures(idle)

    assert list(stats._recent) == ["three", idle]


def test_viewers_of_one_container_share_one_sampler_which_ends_with_the_last(
    stats: Stats, proxy: FaultProxy, idle: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PERIOD", 0.5)
    viewers = [stats.watch(idle), stats.watch(unique), stats.watch(idle[:12])]
    assert len([name for name in threads() if name.startswith("stats-")]) == 1

    for _ in range(2):
        for viewer in viewers:
            message = viewer.next(10)
            assert message is not None and message["memory_limit"] > 0
    assert samples(proxy) <= 4

    for viewer in viewers:
        viewer.close()
    wait_for(lambda: not [name for name in threads() if name.startswith("stats-")], "the sampler to end")
    with pytest.raises(Ended):
        viewers[0].next(10)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_closing_ends_a_wait_at_once(stats: Stats, idle: str) -> None:
    viewer = stats.watch(idle)
    assert viewer.next(10) is not None
    timer = threading.Timer(0.1, viewer.close)
    timer.start()

    rest_of(viewer)
    timer.join()


def test_nothing_new_is_none_after_the_time_given(stats: Stats, idle: str) -> None:
    viewer = stats.watch(idle)
    assert viewer.next(10) is not None

    assert viewer.next(0.01) is None


@pytest.mark.parametrize(
    ("make", "trouble"),
    [(None, "container not found"), ("create", "container is not running"), ("break", "failed to get container stats")],
)
def test_what_is_wrong_comes_as_one_message_and_then_the_end(
    make: str, trouble: str, stats: Stats, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    if make is not None:
        daemon.create(busybox, "sleep", "1000", name=unique)
    if make == "break":
        proxy.refuse("GET", ".*/stats", message="the daemon is unwell", times=None)

    viewer = stats.watch(unique)

    assert viewer.next(10) == {"error": trouble}
    with pytest.raises(Ended) as end:
        viewer.next(10)
    assert (end.value.reason, end.value.code) == (trouble, 1011)


def test_the_viewers_of_a_container_that_stops_are_told_and_a_later_one_sees_it_running_again(
    stats: Stats, daemon: Daemon, idle: str
) -> None:
    viewer = stats.watch(idle)
    assert viewer.next(10) is not None

    daemon.call("POST", f"/containers/{idle}/stop", {"t": 0})
    assert rest_of(viewer)[-1] == {"error": "container is not running"}

    daemon.call("POST", f"/containers/{idle}/start")
    again = stats.watch(idle)
    message = again.next(10)
    assert message is not None and "error" not in message


def test_a_sampler_that_has_just_ended_takes_no_new_viewers(stats: Stats, idle: str) -> None:
    over = room._Sampler(stats, idle, "container is not running")
    stats._samplers[idle] = over

    message = stats.watch(idle).next(10)

    assert message is not None and "error" not in message


def test_more_watched_containers_than_the_cap_are_refused(
    stats: Stats, idle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SAMPLERS", 0)

    with pytest.raises(TooMany):
        stats.watch(idle)


def test_stopping_ends_every_stream(stats: Stats, idle: str) -> None:
    viewer = stats.watch(idle)
    assert viewer.next(10) is not None

    stats.stop()

    assert rest_of(viewer)[-1] == {"error": "the agent is stopping"}
