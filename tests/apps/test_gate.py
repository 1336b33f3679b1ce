"""The health gate, told by what inspect says from look to look; the clock is the test's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union, cast

import pytest

from dockpal_agent.apps.gate import Baseline, Gate, Interrupted, Verdict, patience, verdict
from dockpal_agent.apps.gate import _leaving as leaving  # kept as it is: the fixture below puts another in its place
from dockpal_agent.apps.presence import Presence
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.engine import Engine, EngineError, EngineUnavailable, NotFound, system
from tests.engines.daemon import Daemon
from tests.faults.proxy import FaultProxy

Found = dict[str, Any]
Look = Union[Found, Exception]


def seen(health: str = "", restarts: int = 0, policy: str = "no", check: Optional[Found] = None, **state: Any) -> Found:
    """An inspect of a running container, but for what `state` says."""
    shown: Found = {"Running": True, "Status": "running", **state}
    if health:
        shown["Health"] = {"Status": health, "Log": [{"ExitCode": 1, "Output": "no answer\n"}]}
    return {
        "State": shown,
        "RestartCount": restarts,
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "Config": {"Healthcheck": check} if check is not None else {},
    }


def ended(code: int, policy: str = "no", **state: Any) -> Found:
    return seen(policy=policy, Running=False, Status="exited", ExitCode=code, **state)


class Clock(threading.Event):
    """The event that ends a gate, and time that passes by waiting for it only."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.stops_at = float("inf")

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: Optional[float] = None) -> bool:
        self.now = round(self.now + (timeout or 0.0), 3)
        return self.now >= self.stops_at


class Looks:
    """What the looks at containers give: for each the steps (from second, look)."""

    def __init__(self, clock: Clock, **steps: Sequence[tuple[float, Look]]) -> None:
        self.clock, self.steps = clock, steps
        self.times: list[float] = []

    def inspect(self, engine: Engine, container_id: str) -> Found:
        self.times.append(self.clock.now)
        look = [look for start, look in self.steps[container_id] if start <= self.clock.now][-1]
        if isinstance(look, Exception):
            raise look
        return look


class Stays(contextlib.AbstractContextManager["Stays"]):
    """A daemon that is there all the time."""

    gone = False

    def __init__(self, engine: Engine, container_ids: Collection[str]) -> None:
        pass

    def stopped(self, container_id: str) -> bool:
        return False

    def __exit__(self, *exception: object) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockpal_agent.apps.gate.last_output", lambda engine, container_id: "; its last output: bye")
    monkeypatch.setattr("dockpal_agent.apps.gate._leaving", lambda engine: None)
    monkeypatch.setattr("dockpal_agent.apps.gate.Presence", Stays)


def judged(monkeypatch: pytest.MonkeyPatch, clock: Clock, grace: float = 60, **steps: Any) -> tuple[Gate, Looks]:
    """A gate that has judged containers called as their ids; `known_` ones ran before."""
    looks = Looks(clock, **steps)
    monkeypatch.setattr("dockpal_agent.engine.containers.inspect", looks.inspect)
    known = [name for name in steps if name.startswith("known")]
    unwell = [name for name in steps if name.startswith("known_unwell")]
    gate = Gate(cast(Engine, None), grace, known=known, unwell=unwell, stopping=clock, clock=clock)
    gate({name: name for name in steps})
    return gate, looks


@pytest.mark.parametrize(
    ("found", "late", "expected"),
    [
        (seen(), False, Verdict.WELL),
        (seen("healthy"), True, Verdict.WELL),
        (seen("starting"), True, Verdict.OPEN),
        (seen("unhealthy"), False, "is unhealthy: its health check ended with 1, no answer"),
        (seen(Paused=True), True, Verdict.WELL),
        (ended(0), False, Verdict.ENDED),
        (ended(0, "on-failure"), False, Verdict.ENDED),
        (ended(0, "always"), False, Verdict.OPEN),
        (ended(1), False, "ended (exit code 1)"),
        (ended(137, OOMKilled=True), False, "ran out of memory (exit code 137, out of memory)"),
        (seen(OOMKilled=True, ExitCode=0), False, "ran out of memory"),
        (seen(Running=False, Status="created", ExitCode=0), True, Verdict.OPEN),
        (seen(restarts=2), False, Verdict.WELL),
        (seen(restarts=2, ExitCode=0), True, "ends and is restarted again and again, 2 times so far"),
        (seen(Restarting=True, Status="restarting", ExitCode=1), False, Verdict.OPEN),
        (seen(Restarting=True, Status="restarting", ExitCode=1), True, "again and again"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_look_says_open_well_ended_or_what_speaks_against_it(
    found: Found, late: bool, expected: Union[Verdict, str]
) -> None:
    if isinstance(expected, Verdict):
        assert verdict(found, late=late) is expected
    else:
        with pytest.raises(NotProven) as evidence:
            verdict(found, late=late)
        assert expected in str(evidence.value)


def test_what_a_container_had_gone_through_before_does_not_count() -> None:
    before = Baseline(restarts=7, out_of_memory=True)
    assert verdict(seen(restarts=7, OOMKilled=True), before, late=True) is Verdict.WELL


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        ({"Test": ["CMD", "true"]}, 30 * 3 + 30),
        ({"StartPeriod": 20 * 10**9, "Interval": 10 * 10**9, "Retries": 2, "Timeout": 5 * 10**9}, 45),
        ({"Interval": 86400 * 10**9}, 3600),
    ],
)
def test_a_health_check_is_waited_for_as_long_as_its_own_settings_allow(check: Found, seconds: float) -> None:
    assert patience(seen("starting", check=check)) == seconds
    assert patience(seen()) == 0


def test_it_watches_for_the_whole_grace_although_all_is_well(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    gate, looks = judged(monkeypatch, clock, web=[(0, seen("healthy"))], db=[(0, seen())])
    assert clock.now == 60 and sorted(set(looks.times)) == [float(second) for second in range(0, 61, 2)]
    assert gate.summary == "db runs, web is healthy; watched for 60 s"


def test_one_that_falls_in_the_last_second_fails(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    with pytest.raises(NotProven, match=r"container web is unhealthy.*its last output: bye"):
        judged(monkeypatch, clock, web=[(0, seen("healthy")), (59, seen("unhealthy"))])


def test_a_short_grace_is_looked_at_more_often_and_on_its_end(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    _, looks = judged(monkeypatch, clock, 5, web=[(0, seen())])
    assert looks.times == [0, 1, 2, 3, 4, 5]


def test_restarts_in_the_first_half_are_forgiven_where_it_then_runs_on(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    gate, _ = judged(monkeypatch, clock, web=[(0, seen()), (3, seen(restarts=1)), (20, seen(restarts=4))])
    assert gate.summary == "web runs after 4 restarts; watched for 60 s"


def test_one_that_goes_on_restarting_fails_in_the_second_half(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    with pytest.raises(NotProven, match="again and again, 5 times"):
        judged(monkeypatch, clock, web=[(0, seen()), (20, seen(restarts=4)), (44, seen(restarts=5))])
    assert clock.now == 44


def test_one_that_ran_before_is_judged_by_what_is_new_only(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    judged(monkeypatch, clock, known_db=[(0, seen(restarts=9, OOMKilled=True))])
    with pytest.raises(NotProven, match="10 times"):
        judged(monkeypatch, Clock(), web=[(0, seen())], known_db=[(0, seen(restarts=9)), (40, seen(restarts=10))])


def test_one_that_was_unwell_before_says_nothing_against_the_update(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    gate, _ = judged(monkeypatch, clock, web=[(0, seen())], known_unwell=[(0, seen("unhealthy"))])
    assert gate.summary == "web runs; watched for 60 s"


def test_jobs_that_have_all_ended_with_0_need_no_more_time(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    gate, _ = judged(monkeypatch, clock, job=[(0, seen()), (3, ended(0))])
    assert clock.now == 4 and gate.summary == "job ended with 0; watched for 4 s"


def test_a_check_that_cannot_speak_in_time_is_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    slow = {"StartPeriod": 90 * 10**9, "Interval": 10 * 10**9, "Retries": 1, "Timeout": 10**9}
    gate, _ = judged(monkeypatch, clock, web=[(0, seen("starting", check=slow)), (95, seen("healthy", check=slow))])
    assert clock.now == 96 and gate.summary == "web is healthy; watched for 96 s"


def test_a_check_that_does_not_speak_in_its_own_time_fails(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    slow = {"StartPeriod": 90 * 10**9, "Interval": 10 * 10**9, "Retries": 1, "Timeout": 10**9}
    with pytest.raises(NotProven, match=r"web has not become healthy: .* within 101 s"):
        judged(monkeypatch, clock, web=[(0, seen("starting", check=slow))])


@pytest.mark.parametrize("look", [ended(0, "always"), seen(Running=False, Status="created", ExitCode=0)])
def test_what_does_not_run_at_the_end_fails(monkeypatch: pytest.MonkeyPatch, clock: Clock, look: Found) -> None:
    with pytest.raises(NotProven, match=r"container web does not run .* within 60 s"):
        judged(monkeypatch, clock, web=[(0, look)])


def test_one_that_removes_itself_fails(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    with pytest.raises(NotProven, match="container web ended and was removed"):
        judged(monkeypatch, clock, web=[(0, seen()), (10, NotFound("no such container", 404))])


def test_a_daemon_that_is_away_for_a_while_is_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    away = EngineUnavailable("no daemon")
    judged(monkeypatch, clock, web=[(0, seen()), (10, away), (30, seen())])
    with pytest.raises(EngineUnavailable):
        judged(monkeypatch, Clock(), web=[(0, away)])


def test_it_ends_at_once_without_a_verdict_when_the_agent_ends(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    clock.stops_at = 10
    with pytest.raises(Interrupted):
        judged(monkeypatch, clock, web=[(0, seen())])
    assert clock.now == 10


def test_containers_that_their_daemon_ended_with_itself_are_looked_at_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It answers over old connections while it ends containers, and refuses much: no time to put anything back."""
    away = EngineUnavailable("no daemon")
    monkeypatch.setattr("dockpal_agent.apps.gate._leaving", lambda engine: away if clock.now < 14 else None)

    gate, _ = judged(monkeypatch, clock, web=[(0, seen()), (10, ended(137)), (12, away), (14, seen())])

    assert gate.summary == "web runs; watched for 60 s"


def test_what_does_not_run_after_the_daemon_was_away_is_not_said_against_the_image(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    away = EngineUnavailable("no daemon")
    with pytest.raises(Interrupted, match=r"web ended \(exit code 137\), after the Docker daemon went away"):
        judged(monkeypatch, clock, web=[(0, seen()), (10, away), (14, ended(137))])


def test_nor_after_the_daemon_was_restarted_between_two_looks(
    docker_socket: str, daemon: Daemon, busybox: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a look sees then is a container that has ended, and a daemon that answers."""
    monkeypatch.setattr("dockpal_agent.apps.gate.Presence", Presence)
    container = daemon.run(busybox, "sleep", "1000", name=unique)
    with FaultProxy(docker_socket) as proxy:
        engine = Engine(proxy.socket_path)

        def restart() -> None:
            proxy.stop()
            daemon.call("POST", f"/containers/{container}/kill")
            proxy.start()

        with pytest.raises(Interrupted, match=r"ended \(exit code 137\), after the Docker daemon went away"):
            Gate(engine, 5.0, stopping=Between(restart))({unique: container})
        engine.close()


class Between(threading.Event):
    """Has something happen between the second and the third look."""

    def __init__(self, deed: Callable[[], object]) -> None:
        super().__init__()
        self._deed = deed
        self._waits = 0

    def wait(self, timeout: Optional[float] = None) -> bool:
        self._waits += 1
        if self._waits == 2:
            self._deed()
        return super().wait(timeout)


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/stop?t=0", r"ended \(exit code 137\)"),
        ("POST", "/kill?signal=KILL", r"ended \(exit code 137\)"),
        ("DELETE", "?force=1", "ended and was removed"),
    ],
)
def test_what_somebody_stopped_says_nothing_against_its_image(
    method: str, path: str, words: str, engine: Engine, daemon: Daemon, busybox: str, unique: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("dockpal_agent.apps.gate.Presence", Presence)
    container = daemon.run(busybox, "sleep", "1000", name=unique)
    other = daemon.run(busybox, "sleep", "1000", name=f"{unique}-other")
    by_hand = Between(lambda: daemon.call(method, f"/containers/{container}{path}"))
    with pytest.raises(Interrupted, match=f"{unique} {words}, after somebody stopped it"):
        Gate(engine, 5.0, stopping=by_hand)({unique: container, "other": other})


def test_what_is_unhealthy_is_so_although_somebody_has_restarted_it(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers do that heal others: the image is no better for it."""
    monkeypatch.setattr("dockpal_agent.apps.gate.Presence", Presence)
    check = {"Test": ["CMD", "test", "-f", "/tmp/well"], "Interval": 10**9, "Retries": 1, "StartPeriod": 2 * 10**9}
    container = daemon.run(busybox, "sleep", "1000", name=unique, Healthcheck=check)
    event = Between(lambda: daemon.call("POST", f"/containers/{container}/restart", {"t": 0}))
    with pytest.raises(NotProven, match="is unhealthy") as evidence:
        Gate(engine, 5.0, stopping=event)({unique: container})
    assert not isinstance(evidence.value, Interrupted)


@pytest.mark.parametrize(
    ("program", "deed"),
    [
        ("sleep 2; exit 3", ""),
        ("trap 'exit 3' HUP; sleep 1000 & wait", "kill?signal=HUP"),
        ("sleep 2; exit 3", "restart?t=0"),
    ],
    ids=["by itself", "of a signal that is to reload", "after a restart by hand"],
)
def test_what_ends_by_itself_does(
    program: str, deed: str, engine: Engine, daemon: Daemon, busybox: str, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockpal_agent.apps.gate.Presence", Presence)
    container = daemon.run(busybox, "sh", "-c", program, name=unique)
    event = Between(lambda: deed and daemon.call("POST", f"/containers/{container}/{deed}"))
    with pytest.raises(NotProven, match=r"ended \(exit code 3\)") as evidence:
        Gate(engine, 5.0, stopping=event)({unique: container})
    assert not isinstance(evidence.value, Interrupted)


def test_a_daemon_that_stays_is_present(engine: Engine, daemon: Daemon, busybox: str, unique: str) -> None:
    container = daemon.run(busybox, "sleep", "1000", name=unique)
    with Presence(engine, [container]) as presence:
        daemon.call("POST", f"/containers/{container}/kill")
        assert not presence.gone
    assert Presence(Engine("/no/such.sock"), [container]).__enter__().gone


def test_a_daemon_that_listens_no_more_is_leaving_whatever_it_says_over_old_connections(
    docker_socket: str, tmp_path: Path
) -> None:
    with FaultProxy(docker_socket) as proxy:
        through = Engine(proxy.socket_path)
        system.ping(through)
        assert leaving(through) is None
        proxy.refuse("GET", "/_ping", message="no daemon", times=None)
        assert isinstance(leaving(through), EngineError)
        through.close()
    assert isinstance(leaving(Engine(str(tmp_path / "gone.sock"))), EngineUnavailable)
