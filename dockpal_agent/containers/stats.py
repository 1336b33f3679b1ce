"""Live figures of containers: a one-shot sample against the last one kept.

Older daemons (20.10) sample all containers by one ticker: asked after a second of quiet they answer in milliseconds,
else at the next tick, up to a second later. Newer ones (28) sample at once, however close to the last time, but count
the host's time in steps of 10 ms. So requests for one container share a sample, one just taken serves for a second
more, and a percentage spans SHORTEST at least. It needs a sample before: one is taken of each container when it starts
and when the agent does, so that only who asks after a pause of more than LONGEST waits for a second one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Optional

from dockpal_agent.containers.ahead import Ahead, side_by_side
from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.containers.figures import ZEROS, Mark, cpu_percent, figures, mark_of
from dockpal_agent.containers.streams import FAILED, Ended, TooMany
from dockpal_agent.engine import Engine, EngineError, NotFound, containers

__all__ = ["Stats", "Viewer"]

log = logging.getLogger(__name__)

FRESH: Final = 1.0  # seconds that a figure is good for; the daemon has no newer one before its next tick
SHORTEST: Final = 0.9  # seconds that a percentage spans at least
LONGEST: Final = 30.0  # seconds that a percentage may span; the Server asks every 15
AHEAD_DELAY: Final = 2.0  # seconds until what has just started is sampled: the agent's own start comes first
AHEAD_WORKERS: Final = 64  # samples taken ahead at a time: all in one tick, as each tick makes who polls wait
ATTEMPTS: Final = 3  # samples until a percentage can be told
KEPT: Final = 1024  # containers whose last sample is kept, and names whose last figure is
PLACES: Final = 128  # samples that the daemon is asked for at the same time
PLACE_WITHIN: Final = 20.0  # seconds that a request waits for a place; the Server gives it 30 for all
FLIGHT_WITHIN: Final = 60.0  # seconds that a request waits for another's sample, which has limits of its own
PERIOD: Final = 2.0  # seconds between the messages of a stream
SAMPLERS: Final = 64  # containers that are watched at the same time

RENEWING: Final = frozenset({"start", "die", "died", "destroy", "remove", "rename"})


@dataclass(frozen=True)
class _Kept:
    """The last sample's counters, when they came, and the percentage then, where there was one to compare with."""

    when: float
    mark: Mark
    percent: Optional[float]


@dataclass(frozen=True)
class _Recent:
    """The last figures, None of a container that did not run."""

    when: float
    container_id: str
    figure: Optional[Mapping[str, Any]]


@dataclass
class _Flight:
    """A measurement under way; who asks for the same meanwhile waits for it."""

    done: threading.Event = field(default_factory=threading.Event)
    figure: Optional[Mapping[str, Any]] = None
    failure: Optional[Exception] = None


class Stats:
    """Measures containers. `feed` tells which of the kept samples are of the past."""

    def __init__(self, engine: Engine, feed: EventFeed) -> None:
        self._engine: Final = engine
        self._lock = threading.Lock()  # guards the four that follow
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # by full id, the oldest first
        self._recent: OrderedDict[str, _Recent] = OrderedDict()  # by id or name, as it was asked for; the oldest first
        self._flights: dict[str, _Flight] = {}
        self._samplers: dict[str, _Sampler] = {}  # by full id
        self._stopped = threading.Event()
        self._places = threading.BoundedSemaphore(PLACES)
        self._ahead: Final = Ahead("stats-ahead", engine, self._learn, all=False, delay=AHEAD_DELAY)
        feed.subscribe(self._on_event, self._on_gap)

    def figures(self, container: str) -> Mapping[str, Any]:
        """Protocol 2's Stats; zeros for a container that does not run. Raises NotFound, EngineError, TooMany."""
        return self.running_figures(container) or ZEROS

    def running_figures(self, container: str) -> Optional[Mapping[str, Any]]:
        """As figures(), but None for a container that does not run."""
        with self._lock:
            recent = self._recent.get(container)
            if recent is not None and time.monotonic() - recent.when < FRESH:
                return recent.figure
            flight = self._flights.get(container)
            first = flight is None
            if flight is None:
                flight = self._flights[container] = _Flight()
        if first:
            self._fly(container, flight)
        elif not flight.done.wait(FLIGHT_WITHIN):
            raise TooMany("the Docker daemon is too slow with its statistics; try again later")
        if flight.failure is not None:
            raise flight.failure
        return flight.figure

    def watch(self, container: str) -> Viewer:
        """A stream of the figures every 2 s; the viewers of one container share one sampler. Raises TooMany.

        What is wrong with the container comes as a message of the stream (protocol 1.4).
        """
        try:
            found = containers.inspect(self._engine, container)
        except EngineError as error:
            return _Sampler(self, "", _trouble(error)).join()
        container_id = str(found.get("Id") or "")
        with self._lock:
            sampler = self._samplers.get(container_id)
            if sampler is None or sampler.trouble:
                if len(self._samplers) >= SAMPLERS:
                    raise TooMany(f"{SAMPLERS} containers are watched already; close a stream first")
                sampler = self._samplers[container_id] = _Sampler(self, container_id)
            viewer = sampler.join()
        sampler.ensure_running()
        return viewer

    def stop(self) -> None:
        """End all streams."""
        self._stopped.set()
        self._ahead.stop()
        with self._lock:
            samplers = list(self._samplers.values())
        for sampler in samplers:
            sampler.end("the agent is stopping")

    def release(self, viewer: Viewer) -> None:
        """A viewer left; with the last one its sampler ends."""
        sampler = viewer.sampler
        with self._lock:
            if sampler.leave(viewer) and self._samplers.get(sampler.container_id) is sampler:
                del self._samplers[sampler.container_id]

    def drop(self, sampler: _Sampler) -> None:
        """A sampler has ended: the next viewer gets a new one."""
        with self._lock:
            if self._samplers.get(sampler.container_id) is sampler:
                del self._samplers[sampler.container_id]

    def _fly(self, container: str, flight: _Flight) -> None:
        try:
            container_id, flight.figure = self._measure(container)
            with self._lock:
                _put(self._recent, container, _Recent(time.monotonic(), container_id, flight.figure))
        except Exception as error:  # whatever it is, those who wait are told as well as the caller
            flight.failure = error
            raise
        finally:
            with self._lock:
                del self._flights[container]
            flight.done.set()

    def _measure(self, container: str) -> tuple[str, Optional[Mapping[str, Any]]]:
        """(id, figures), None for one that does not run: samples until two of them give a percentage."""
        for _ in range(ATTEMPTS):
            sample = self._sample(container)
            container_id, mark = str(sample.get("id") or container), mark_of(sample)
            if mark is None:
                with self._lock:
                    self._kept.pop(container_id, None)
                return container_id, None
            percent, pause = self._compare(container_id, mark)
            if percent is not None:
                break
            self._stopped.wait(pause)
        return container_id, figures(sample, percent or 0.0)

    def _compare(self, container_id: str, mark: Mark) -> tuple[Optional[float], float]:
        """The percentage since the sample before, or None and the seconds until the next one is worth its while."""
        now = time.monotonic()
        with self._lock:
            before = self._kept.get(container_id)
            if before is not None and now - before.when < SHORTEST and before.mark.container <= mark.container:
                return before.percent, SHORTEST - (now - before.when)
            percent = None
            if before is not None and now - before.when <= LONGEST:
                percent = cpu_percent(before.mark, mark)
            _put(self._kept, container_id, _Kept(now, mark, percent))
        return percent, SHORTEST

    def _sample(self, container: str) -> Mapping[str, Any]:
        if not self._places.acquire(timeout=PLACE_WITHIN):
            raise TooMany("too many statistics are asked for at once; try again later")
        try:
            return containers.stats_once(self._engine, container)
        finally:
            self._places.release()

    def _learn(self, ids: list[str]) -> None:
        """Take a first sample of each that has none. Raises EngineError."""
        with self._lock:
            unknown = [container_id for container_id in ids if container_id not in self._kept]
        side_by_side(unknown, AHEAD_WORKERS, self._take_first)

    def _take_first(self, container_id: str) -> None:
        mark = mark_of(containers.stats_once(self._engine, container_id))
        with self._lock:
            if mark is not None and container_id not in self._kept:
                _put(self._kept, container_id, _Kept(time.monotonic(), mark, None))

    def _on_event(self, event: Event) -> None:
        if event.kind != "container" or event.action not in RENEWING:
            return
        if event.action == "start":
            self._ahead.add(event.id)
        with self._lock:
            if event.action != "rename":
                self._kept.pop(event.id, None)
            for name in [name for name, entry in self._recent.items() if entry.container_id == event.id]:
                del self._recent[name]

    def _on_gap(self) -> None:
        with self._lock:
            self._kept.clear()
            self._recent.clear()
        self._ahead.everything()


def _put(entries: OrderedDict[str, Any], key: str, value: Any) -> None:
    """Put in as the newest, and drop the oldest past the cap."""
    entries[key] = value
    entries.move_to_end(key)
    while len(entries) > KEPT:
        entries.popitem(last=False)


def _trouble(error: Exception) -> str:
    """The word of protocol 1.4 for what went wrong."""
    return "container not found" if isinstance(error, NotFound) else "failed to get container stats"


class _Sampler:
    """One thread that measures one container for all its viewers, until the last has left or the container stopped."""

    def __init__(self, stats: Stats, container_id: str, trouble: str = "") -> None:
        self.container_id: Final = container_id
        self.changed = threading.Condition()  # guards all that follows
        self.latest: Optional[Mapping[str, Any]] = None
        self.serial = 0  # counts what `latest` held
        self.trouble = trouble  # why there will be nothing more; "" while there may be
        self._stats: Final = stats
        self._viewers: set[Viewer] = set()
        self._thread: Optional[threading.Thread] = None

    def join(self) -> Viewer:
        """Add a viewer."""
        viewer = Viewer(self._stats, self)
        with self.changed:
            self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> bool:
        """Take a viewer off; whether nobody is left."""
        with self.changed:
            self._viewers.discard(viewer)
            self.changed.notify_all()
            return not self._viewers

    def ensure_running(self) -> None:
        """Start the thread, once."""
        with self.changed:
            if self._thread is not None:
                return
            thread = self._thread = threading.Thread(
                target=self._run, name=f"stats-{self.container_id[:12]}", daemon=True
            )
        thread.start()

    def end(self, trouble: str) -> None:
        """Tell the viewers that there will be nothing more."""
        with self.changed:
            self.trouble = self.trouble or trouble
            self.changed.notify_all()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            trouble, figure = self._look()
            with self.changed:
                if figure is not None:
                    self.latest, self.serial = figure, self.serial + 1
                self.trouble = self.trouble or trouble
                self.changed.notify_all()
                due = max(due + PERIOD, time.monotonic())
                self.changed.wait_for(self._is_over, due - time.monotonic())
                if self._is_over():
                    break
        self._stats.drop(self)

    def _is_over(self) -> bool:
        return bool(self.trouble) or not self._viewers

    def _look(self) -> tuple[str, Optional[Mapping[str, Any]]]:
        """(trouble, figures): one of them."""
        try:
            figure = self._stats.running_figures(self.container_id)
        except (EngineError, TooMany) as error:
            log.debug("container %s: no statistics: %s", self.container_id[:12], error)
            return _trouble(error), None
        return ("", figure) if figure is not None else ("container is not running", None)


class Viewer:
    """One viewer of a container's figures: a message whenever there are new ones, a slow one misses some."""

    def __init__(self, stats: Stats, sampler: _Sampler) -> None:
        self.sampler: Final = sampler
        self._stats: Final = stats
        self._seen = 0
        self._closed = False  # guarded by sampler.changed, as the next
        self._told = False  # the trouble was passed on

    def next(self, timeout: float) -> Optional[Mapping[str, Any]]:
        """The newest figures not seen yet, `{"error": …}` once, or None after `timeout` seconds. Raises Ended."""
        sampler = self.sampler
        with sampler.changed:
            sampler.changed.wait_for(self._has_news, timeout)
            if self._closed:
                raise Ended()
            if sampler.serial > self._seen:
                self._seen = sampler.serial
                return sampler.latest
            if not sampler.trouble:
                return None
            if self._told:
                raise Ended(sampler.trouble, FAILED)
            self._told = True
            return {"error": sampler.trouble}

    def close(self) -> None:
        """Leave; from any thread, once or more."""
        with self.sampler.changed:
            self._closed = True
        self._stats.release(self)

    def _has_news(self) -> bool:
        return self._closed or self.sampler.serial > self._seen or bool(self.sampler.trouble)
