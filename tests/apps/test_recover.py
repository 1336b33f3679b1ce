"""Containers that ended by themselves and are to run: who is started again, when, and who is left alone."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from dockpal_agent.apps import recover as room
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.recover import AUTO_RECOVER, WELL_AFTER, Recover
from dockpal_agent.compose.labels import CONFIG_HASH, PROJECT, SERVICE
from dockpal_agent.containers.feed import Event, EventFeed
from dockpal_agent.engine import Engine
from tests.apps.crashing import PROGRAM, crash, wait_until_ready
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy

SOON = 0.05  # seconds of the first delay here


class House:
    """An engine behind a proxy, its events, and what recovers."""

    def __init__(self, proxy: FaultProxy, choices: Choices) -> None:
        self.proxy = proxy
        self.choices = choices
        self.busy: set[str] = set()
        self.later = 0.0  # seconds that the clock is ahead
        self.engine = Engine(proxy.socket_path)
        self.feed = EventFeed(self.engine)
        self.recover = Recover(
            self.engine, self.feed, choices, lambda project: project in self.busy,
            first_delay=SOON, look_again=SOON, clock=lambda: time.monotonic() + self.later,
        )  # fmt: skip

    def start(self) -> None:
        self.feed.start()
        assert self.feed.wait_connected(10)

    def close(self) -> None:
        self.recover.stop()
        self.feed.stop()
        self.engine.close()

    @contextlib.contextmanager
    def heard(self, container: str, action: str) -> Iterator[None]:
        """What is done within is over once this event of the container has been heard, here last of all."""
        came = threading.Event()

        def on_event(event: Event) -> None:
            if (event.id, event.action) == (container, action):
                came.set()

        leave = self.feed.subscribe(on_event)
        yield
        assert came.wait(20), f"no {action} of {container}"
        leave()

    @property
    def starts(self) -> int:
        """How often a container was started by what recovers."""
        return len([path for method, path in self.proxy.calls if method == "POST" and path.endswith("/start")])

    @property
    def idle(self) -> bool:
        return self.recover.waiting == 0 and self.recover._thread is None


@pytest.fixture
def house(docker_socket: str, tmp_path: Path) -> Iterator[House]:
    with FaultProxy(docker_socket) as proxy:
        house = House(proxy, Choices(tmp_path / "apps.json"))
        yield house
        house.close()


@pytest.fixture
def run(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> Callable[..., str]:
    """Run a container that ends with 3 when it gets USR1, by default with the label."""

    def run(*, label: Optional[str] = "true", more: Optional[dict[str, str]] = None, **config: Any) -> str:
        chosen = {**({} if label is None else {AUTO_RECOVER: label}), **(more or {})}
        container = daemon.run(busybox, "sh", "-c", PROGRAM, name=unique, labels={**labels, **chosen}, **config)
        wait_until_ready(daemon, container)
        return container

    return run


def runs_again(daemon: Daemon, container: str, since: str) -> bool:
    state = daemon.inspect(container)["State"]
    return bool(state["Running"]) and state["StartedAt"] != since


def started_at(daemon: Daemon, container: str) -> str:
    return str(daemon.inspect(container)["State"]["StartedAt"])


@pytest.mark.engines
def test_what_crashed_is_started_again(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run()
    house.start()
    before = started_at(daemon, web)

    crash(daemon, web)

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")
    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 1


def test_a_signal_that_means_something_else_is_no_stop(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run()
    house.start()
    before = started_at(daemon, web)

    daemon.call("POST", f"/containers/{web}/kill", {"signal": "SIGUSR1"})

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")


@pytest.mark.engines
@pytest.mark.parametrize(
    ("call", "query", "last"),
    [("stop", {"t": 5}, "stop"), ("kill", {}, "die"), ("kill", {"signal": "TERM"}, "die")],
    ids=["stop", "kill", "kill -s TERM"],
)
def test_what_somebody_stopped_is_left_alone(
    house: House, daemon: Daemon, run: Callable[..., str], call: str, query: dict[str, Any], last: str
) -> None:
    web = run()
    house.start()

    with house.heard(web, last):
        daemon.call("POST", f"/containers/{web}/{call}", query)

    assert house.recover.waiting == 0
    assert not daemon.inspect(web)["State"]["Running"]


def test_a_stop_that_a_container_answers_to_in_its_own_way_is_a_stop(
    house: House, daemon: Daemon, run: Callable[..., str]
) -> None:
    """Its stop signal is none that we know: the `stop` comes after the end."""
    web = run(StopSignal="SIGUSR1")
    house.start()

    with house.heard(web, "stop"):
        daemon.call("POST", f"/containers/{web}/stop", {"t": 5})

    assert house.recover.waiting == 0 and house.starts == 0


def test_a_restart_by_hand_is_not_doubled(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run()
    house.start()

    with house.heard(web, "restart"):
        daemon.call("POST", f"/containers/{web}/restart", {"t": 5})

    assert house.recover.waiting == 0 and house.starts == 0


@pytest.mark.parametrize("label", [None, "false", ""])
def test_without_the_label_nothing_is_started(
    house: House, daemon: Daemon, run: Callable[..., str], label: Optional[str]
) -> None:
    web = run(label=label, more={PROJECT: "app", SERVICE: "web"})
    house.start()

    with house.heard(web, "die"):
        crash(daemon, web)

    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 0 and not daemon.inspect(web)["State"]["Running"]


@pytest.mark.parametrize(("own", "in_file", "expected"), [(None, "true", True), ("true", "false", False)])
def test_the_label_of_the_file_counts_where_a_deploy_kept_the_container(
    house: House, daemon: Daemon, run: Callable[..., str], own: Optional[str], in_file: str, expected: bool
) -> None:
    web = run(label=own, more={PROJECT: "app", SERVICE: "web", CONFIG_HASH: "h"})
    house.choices.note_kept("app", {"web": {"h": {AUTO_RECOVER: in_file}}})
    house.start()
    before = started_at(daemon, web)

    with house.heard(web, "die"):
        crash(daemon, web)

    wait_for(lambda: house.idle, "nothing left to do")
    assert runs_again(daemon, web, before) is expected


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_what_docker_restarts_itself_is_left_to_docker(
    house: House, daemon: Daemon, run: Callable[..., str], policy: str
) -> None:
    web = run(HostConfig={"RestartPolicy": {"Name": policy}})
    house.start()
    before = started_at(daemon, web)

    with house.heard(web, "start"):
        crash(daemon, web)

    wait_for(lambda: house.idle, "nothing left to do")
    assert runs_again(daemon, web, before) and house.starts == 0


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_what_docker_always_restarts_is_left_alone_even_when_it_does_not_run(
    house: House, daemon: Daemon, run: Callable[..., str], policy: str
) -> None:
    """Stopped by hand while nothing was heard; then the end is heard of late."""
    web = run(HostConfig={"RestartPolicy": {"Name": policy}})
    daemon.call("POST", f"/containers/{web}/stop", {"t": 5})

    house.recover._on_event(Event("container", "die", web, attributes={AUTO_RECOVER: "true"}))

    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 0 and ("GET", f"/containers/{web}/json") in house.proxy.calls


def test_where_docker_has_given_up_it_is_started_again(
    house: House, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    """on-failure:1 has been tried once more; then it is exited for good."""
    house.start()
    again = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    daemon.run(busybox, "false", name=unique, labels={**labels, AUTO_RECOVER: "true"}, HostConfig=again)

    wait_for(lambda: house.starts >= 1, "a start")


def test_what_was_stopped_before_the_agent_ran_is_left_alone(
    house: House, daemon: Daemon, run: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    web = run()
    crash(daemon, web)
    wait_for(lambda: not daemon.inspect(web)["State"]["Running"], "its end")

    house.start()

    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 0 and "left alone" not in caplog.text


@pytest.mark.engines
def test_what_ended_while_nothing_could_be_heard_is_left_alone_and_said(
    house: House, daemon: Daemon, run: Callable[..., str], unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    house.start()
    web = run()
    house.proxy.stop()
    wait_for(lambda: not house.feed.connected, "the loss to be seen")
    crash(daemon, web)
    wait_for(lambda: not daemon.inspect(web)["State"]["Running"], "its end")

    house.proxy.start()

    wait_for(lambda: f"container {unique}: ended while Docker's events could not be heard" in caplog.text, "a word")
    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 0


def test_what_was_stopped_before_nothing_could_be_heard_is_not_spoken_of(
    house: House, daemon: Daemon, run: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    house.start()
    web = run()
    with house.heard(web, "stop"):
        daemon.call("POST", f"/containers/{web}/stop", {"t": 5})
    house.proxy.stop()
    wait_for(lambda: not house.feed.connected, "the loss to be seen")

    house.proxy.start()

    asked = ("GET", f"/containers/{web}/json")
    wait_for(lambda: asked in house.proxy.calls and house.idle, "a look, and nothing left to do")
    assert house.starts == 0 and "left alone" not in caplog.text


def test_an_end_that_was_heard_is_not_forgotten_when_the_daemon_goes_away(
    house: House, daemon: Daemon, run: Callable[..., str]
) -> None:
    web = run()
    house.start()
    before = started_at(daemon, web)
    fault = house.proxy.refuse("GET", re.escape(f"/containers/{web}/json"), status=500, message="away", times=1)

    crash(daemon, web)
    fault.wait_reached()

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")


def test_another_end_that_was_not_heard_is_left_alone(
    house: House, daemon: Daemon, run: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """The first end was heard long ago; somebody has started and stopped the container since."""
    caplog.set_level(logging.INFO)
    web = run()
    crash(daemon, web)
    wait_for(lambda: not daemon.inspect(web)["State"]["Running"], "its end")

    house.recover._on_event(Event("container", "die", web, attributes={AUTO_RECOVER: "true"}, time_ns=1))

    wait_for(lambda: house.idle, "nothing left to do")
    assert house.starts == 0 and "ended again while events could not be heard" in caplog.text


def test_while_its_project_is_being_changed_it_waits(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run(more={PROJECT: "app"})
    house.busy.add("app")
    house.start()
    before = started_at(daemon, web)
    crash(daemon, web)
    wait_for(lambda: house.proxy.calls.count(("GET", f"/containers/{web}/json")) >= 3, "several looks")
    assert house.starts == 0

    house.busy.clear()

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")


def test_while_it_is_one_half_of_a_replacement_it_waits(
    house: House, daemon: Daemon, busybox: str, run: Callable[..., str], unique: str, labels: dict[str, str]
) -> None:
    web = run()
    old = daemon.create(busybox, "true", name=f"{web[:12]}_{unique}.dockpal-old.running", labels=labels)
    house.start()
    before = started_at(daemon, web)
    crash(daemon, web)
    wait_for(lambda: house.proxy.calls.count(("GET", f"/containers/{web}/json")) >= 3, "several looks")
    assert house.starts == 0

    daemon.remove(old)

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")


def test_a_container_set_aside_is_never_started(
    house: House, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    name = f"{'0' * 12}_{unique}.dockpal-old.running"
    old = daemon.run(busybox, "sh", "-c", PROGRAM, name=name, labels={**labels, AUTO_RECOVER: "true"})
    house.start()
    try:
        with house.heard(old, "die"):
            crash(daemon, old)
        wait_for(lambda: house.idle, "nothing left to do")
        assert house.starts == 0
    finally:
        daemon.remove(old)


def delays(caplog: pytest.LogCaptureFixture) -> list[float]:
    """What each start had waited for."""
    return [float(text) for text in re.findall(r"started again after ([0-9.]+) s", caplog.text)]


def test_who_ends_again_and_again_is_started_ever_less_often(
    house: House, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    house.start()

    daemon.run(busybox, "false", name=unique, labels={**labels, AUTO_RECOVER: "true"})

    wait_for(lambda: len(delays(caplog)) >= 4, "four starts")
    assert delays(caplog)[:4] == [SOON, SOON * 2, SOON * 4, SOON * 8]


def test_who_ran_long_is_started_at_once_again(
    house: House, daemon: Daemon, run: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    web = run()
    house.start()
    for number, expected in enumerate([[SOON], [SOON, SOON * 2], [SOON, SOON * 2, SOON]]):
        house.later += WELL_AFTER if number == 2 else 0.0
        before = started_at(daemon, web)
        crash(daemon, web)
        wait_for(lambda: runs_again(daemon, web, before), "it to run again")  # noqa: B023  within this turn
        wait_for(lambda: len(delays(caplog)) == len(expected), "a word")  # noqa: B023
        assert delays(caplog) == expected


def test_the_delay_has_an_end(house: House) -> None:
    """Each end follows right upon a start."""
    seen = []
    for _ in range(16):
        house.recover._on_event(Event("container", "die", "c" * 64, attributes={AUTO_RECOVER: "true"}))
        (death,) = house.recover._deaths.values()
        seen.append(death.delay)
        house.recover._lives["c" * 64] = room._Life(house.recover._clock(), death.delay)
    assert seen[:3] == [SOON, SOON * 2, SOON * 4] and seen[-2:] == [300.0, 300.0]


def test_a_start_that_docker_refuses_is_tried_again(
    house: House, daemon: Daemon, run: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    web = run()
    house.start()
    before = started_at(daemon, web)
    house.proxy.refuse("POST", re.escape(f"/containers/{web}/start"), message="port is already allocated", times=2)

    crash(daemon, web)

    wait_for(lambda: runs_again(daemon, web, before), "it to run again")
    assert caplog.text.count("port is already allocated") == 2


def test_who_is_removed_while_it_waits_is_forgotten(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run(more={PROJECT: "app"})
    house.start()
    before = started_at(daemon, web)
    crash(daemon, web)
    wait_for(lambda: runs_again(daemon, web, before) and list(house.recover._lives) == [web], "it to run again")
    house.busy.add("app")
    crash(daemon, web)
    wait_for(lambda: house.recover.waiting == 1, "it to wait")

    daemon.remove(web)

    wait_for(lambda: house.idle and not house.recover._lives, "it to be forgotten")


def test_when_the_agent_ends_nothing_is_started_any_more(house: House, daemon: Daemon, run: Callable[..., str]) -> None:
    web = run(more={PROJECT: "app"})
    house.busy.add("app")
    house.start()
    crash(daemon, web)
    wait_for(lambda: house.recover.waiting == 1, "it to wait")

    house.recover.stop()

    assert house.recover._thread is None
    house.busy.clear()
    assert house.starts == 0


def test_what_is_remembered_is_bounded(house: House) -> None:
    house.busy.add("app")
    for number in range(2000):
        house.recover._on_event(Event("container", "kill", f"{number:064x}", attributes={"signal": "9"}))
    assert len(house.recover._killed) == 512


@pytest.mark.parametrize(
    ("signal", "stopping"),
    [("15", True), ("9", True), ("SIGTERM", True), ("kill", True), ("", True), ("1", False), ("SIGUSR1", False)],
)
def test_which_signals_stop(house: House, signal: str, stopping: bool) -> None:
    house.recover._on_event(Event("container", "kill", "c" * 64, attributes={"signal": signal}))
    house.recover._on_event(Event("container", "die", "c" * 64, attributes={AUTO_RECOVER: "true"}))
    assert house.recover.waiting == (0 if stopping else 1)
