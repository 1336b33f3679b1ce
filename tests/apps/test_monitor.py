"""The image monitor: what it asks registries, how often, and what it makes of their answers."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.apps import monitor as monitor_module
from dockpal_agent.apps.checks import FIRST_WAIT, Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.listing import Apps
from dockpal_agent.apps.logins import Logins
from dockpal_agent.apps.monitor import Monitor
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.rounds import SILENT_AFTER, questions
from dockpal_agent.engine import Engine, EngineError
from dockpal_agent.images.check import ImageUpdateResult
from tests.engines.daemon import Daemon, wait_for
from tests.engines.images import archive_of, import_image
from tests.engines.limited_registry import LimitedRegistry, limited_registry
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy

INTERVAL = 1800.0  # seconds, as by default
WITHIN = 30.0  # seconds for what happens soon


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "image-checks.json"


@pytest.fixture
def checks(path: Path, clock: Clock) -> Checks:
    return Checks(path, now=clock)


@pytest.fixture
def limited(registry: Registry) -> Iterator[LimitedRegistry]:
    with limited_registry(registry) as proxy:
        yield proxy


class Host:
    """Images of a registry on the engine's host, and what is newer there."""

    def __init__(self, daemon: Daemon, registry: Registry, unique: str) -> None:
        self._daemon = daemon
        self._registry = registry
        self._unique = unique
        self._made: list[str] = []  # ids
        self._old = self._image("old")

    def repository(self, name: str) -> str:
        """What the registry calls it."""
        return f"{self._unique}/{name}"

    def has(self, name: str) -> str:
        """An image that was pulled; its reference."""
        repository = f"{self._registry.address}/{self._unique}/{name}"
        self._push(self._old, repository)
        return f"{repository}:1"

    def publish_newer(self, reference: str) -> None:
        """The registry gets something newer under the reference; the host stays as it is."""
        repository = reference.rpartition(":")[0]
        self._push(self._image(reference), repository)
        self._daemon.call("POST", f"/images/{self._old}/tag", {"repo": repository, "tag": "1"})

    def clean(self) -> None:
        """Remove all of it, the containers first; an image's id goes with all its tags and digests."""
        self._daemon.clean(self._unique, "dockpal.test=none")
        for image_id in self._made:
            self._daemon.answer("DELETE", f"/images/{image_id}", {"force": 1})

    def _image(self, content: str) -> str:
        name = f"{self._unique}/local{len(self._made)}:1"
        busybox = Path("/bin/busybox").read_bytes()
        import_image(self._daemon, name, archive_of([("bin/busybox", busybox), ("content", content.encode())]))
        self._made.append(str(self._daemon.call("GET", f"/images/{name}/json")["Id"]))
        return self._made[-1]

    def _push(self, image_id: str, repository: str) -> None:
        self._daemon.call("POST", f"/images/{image_id}/tag", {"repo": repository, "tag": "1"})
        headers = {"X-Registry-Auth": self._registry.auth}
        pushed = self._daemon.answer("POST", f"/images/{repository}/push", {"tag": "1"}, headers=headers, timeout=120)
        assert pushed.status == 200 and b'"error"' not in pushed.body, pushed.body[-500:]


@pytest.fixture
def host(daemon: Daemon, limited: LimitedRegistry, unique: str) -> Iterator[Host]:
    host = Host(daemon, limited.registry, unique)
    yield host
    host.clean()


@pytest.fixture
def other_host(daemon: Daemon, registry: Registry, unique: str) -> Iterator[Host]:
    """Images of a registry that never fails."""
    host = Host(daemon, registry, f"{unique}-other")
    yield host
    host.clean()


def login_of(registry: Registry) -> Mapping[str, str]:
    return {registry.address: registry.auth}


def monitor(engine: Engine, checks: Checks, login: Mapping[str, Any], clock: Clock, **more: Any) -> Monitor:
    return Monitor(engine, checks, login=lambda: login, interval=INTERVAL, now=clock, **more)


def image(image_id: str, *tags: str, digests: list[str] | None = None) -> dict[str, Any]:
    """An entry of GET /images/json; its digests are of all its tags' repositories unless others are given."""
    known = [f"{tag.rpartition(':')[0]}@sha256:{image_id}" for tag in tags]
    return {"Id": image_id, "RepoTags": list(tags), "RepoDigests": known if digests is None else digests}


def test_running_images_are_asked_about_first_then_one_registry_after_the_other(checks: Checks) -> None:
    local = [
        image("1", "nginx:1"),
        image("2", "ghcr.io/a/b:1"),
        image("3", "redis:7"),
        image("4", "ghcr.io/a/c:1"),
        image("5", "mysql:8"),
    ]
    checks.note("nginx:1", ImageUpdateResult(False, remote_digest="sha256:x", checked_at=9))
    running = [{"ImageID": "5"}, {"ImageID": "9", "Image": "ghcr.io/a/c:1"}]

    order = [question.reference.familiar for question in questions(local, running, checks)]

    assert order == ["mysql:8", "ghcr.io/a/c:1", "redis:7", "nginx:1", "ghcr.io/a/b:1"]


def test_what_no_registry_knows_is_not_asked_about(checks: Checks) -> None:
    local = [
        image("1", "built:1", digests=[]),
        image("2", "nginx:1", "mynginx:1", digests=["nginx@sha256:2"]),
        image("3", "<none>:<none>", digests=["<none>@<none>"]),
        {"Id": "4", "RepoTags": None, "RepoDigests": ["redis@sha256:4"]},
        image("5", "nginx:latest"),
        image("6", "docker.io/library/nginx:latest"),
    ]

    order = [question.reference.familiar for question in questions(local, [], checks)]

    assert order == ["nginx:1", "nginx:latest"]


def create_app(daemon: Daemon, unique: str, name: str, reference: str) -> None:
    labels = {"com.docker.compose.project": f"{unique}-{name}", "com.docker.compose.service": "web"}
    daemon.create(reference, "/bin/busybox", "sleep", "600", name=f"{unique}-{name}-web-1", labels=labels)


@pytest.mark.slow
def test_fifty_apps_are_checked_within_the_registrys_limit(
    engine: Engine, daemon: Daemon, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock, path: Path,
    unique: str, tmp_path: Path,
) -> None:  # fmt: skip
    references = [host.has(f"image{number}") for number in range(40)]
    for number in range(50):  # ten images have two apps
        create_app(daemon, unique, f"app{number}", references[number % 40])
    newer = (0, 7, 39)
    for number in newer:
        host.publish_newer(references[number])
    login = login_of(limited.registry)

    windows = []
    wait = 0.0
    for start in range(3):  # each window of the registry allows fifteen questions
        clock.at += wait
        limited.allow(15)
        wait = monitor(engine, checks, login, clock).round(first=start == 0)
        windows.append(limited.asked)
        assert len(limited.asked) <= 16, "one refusal is enough"
        assert FIRST_WAIT <= wait <= 1.1 * FIRST_WAIT or start == 2

        monitor(engine, checks, login, clock).round()
        monitor(engine, Checks(path, now=clock), login, clock).round(first=True)  # as after a restart
        assert limited.asked == windows[-1], "a limited registry is left alone, also by the next start"

    asked = [*windows[0][:15], *windows[1][:15], *windows[2][:10]]
    assert sorted(asked) == sorted(host.repository(f"image{number}") for number in range(40))
    assert all(checks.said(reference).remote_digest for reference in references)

    apps = Apps(engine, checks, Choices(tmp_path / "apps.json"), Records(tmp_path / "updates.jsonl"))
    outdated = {
        app["name"].rpartition("-")[2] for app in apps.list() if app["name"].startswith(unique) and app["has_update"]
    }
    assert outdated == {"app0", "app40", "app7", "app47", "app39"}

    limited.allow(None)
    clock.at += 2 * INTERVAL
    monitor(engine, checks, login, clock).round()
    assert sorted(limited.asked) == sorted(set(limited.asked)) and len(limited.asked) == 40  # once for two apps


def test_a_newer_image_is_seen_and_gone_when_the_container_runs_it(
    engine: Engine, daemon: Daemon, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock
) -> None:
    reference = host.has("app")
    rounds = monitor(engine, checks, login_of(limited.registry), clock)
    old_id = daemon.call("GET", f"/images/{reference}/json")["Id"]
    rounds.round(first=True)
    assert not checks.of(reference, old_id).has_update

    host.publish_newer(reference)
    clock.at += INTERVAL
    rounds.round()
    seen = checks.of(reference, old_id)
    assert seen.has_update and seen.local_digest != seen.remote_digest and seen.first_seen == clock.at

    clock.at += 60.0
    daemon.answer("POST", "/images/create", {"fromImage": reference.rpartition(":")[0], "tag": "1"},
                  headers={"X-Registry-Auth": limited.registry.auth}, timeout=60)  # fmt: skip
    new_id = daemon.call("GET", f"/images/{reference}/json")["Id"]
    rounds.round()
    assert new_id != old_id
    assert checks.of(reference, old_id).has_update  # the tag has moved on, the container has not
    assert not checks.of(reference, new_id).has_update
    assert checks.of(reference, new_id).local_digest == seen.remote_digest


def test_the_first_round_leaves_what_was_asked_less_than_an_interval_ago(
    engine: Engine, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock, path: Path
) -> None:
    host.has("app")
    login = login_of(limited.registry)
    monitor(engine, checks, login, clock).round(first=True)
    limited.allow(None)
    clock.at += INTERVAL - 300.0

    wait = monitor(engine, Checks(path, now=clock), login, clock).round(first=True)

    assert limited.asked == []
    assert wait <= 1.1 * INTERVAL - (INTERVAL - 300.0)
    clock.at += 300.0
    monitor(engine, Checks(path, now=clock), login, clock).round(first=True)
    assert limited.asked == [host.repository("app")]


def test_a_registry_that_fails_is_left_alone_for_the_round_and_what_it_said_stays(
    engine: Engine, host: Host, other_host: Host, limited: LimitedRegistry, registry: Registry, checks: Checks,
    clock: Clock, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    references = [host.has(f"image{number}") for number in range(SILENT_AFTER + 2)]
    healthy = other_host.has("app")
    login = {**login_of(limited.registry), **login_of(registry)}
    rounds = monitor(engine, checks, login, clock)
    rounds.round(first=True)
    known = [checks.said(reference) for reference in references]
    limited.allow(None)
    limited.fail(True)
    clock.at += INTERVAL

    rounds.round()

    assert len(limited.asked) == SILENT_AFTER
    assert [checks.said(each).remote_digest for each in references] == [each.remote_digest for each in known]
    assert sum("500" in checks.said(each).error for each in references) == SILENT_AFTER
    assert checks.said(healthy).checked_at == clock.at and not checks.said(healthy).error
    assert "left alone until the next round" in caplog.text
    limited.fail(False)
    clock.at += INTERVAL
    rounds.round()
    assert [checks.said(each).error for each in references] == [""] * len(references)


def test_without_credentials_a_private_image_is_said_once_and_asked_again(
    engine: Engine, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    reference = host.has("app")
    logins = Logins(tmp_path / "config.json")
    rounds = Monitor(engine, checks, login=logins.read, interval=INTERVAL, now=clock)
    for _ in range(2):
        rounds.round()
        clock.at += INTERVAL

    assert "needs credentials" in checks.said(reference).error
    assert [record.levelname for record in caplog.records if reference in record.getMessage()] == ["WARNING"]
    assert sum("DOCKPAL_REGISTRY_AUTH_FILE" in record.getMessage() for record in caplog.records) == 1

    login = f"{limited.registry.user}:{limited.registry.password}".encode()
    auths = {limited.registry.address: {"auth": base64.b64encode(login).decode()}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    rounds.round()

    assert checks.said(reference).remote_digest and not checks.said(reference).error
    assert limited.registry.password not in caplog.text


def test_a_credential_helper_is_named_where_it_would_be_needed(
    engine: Engine, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock, tmp_path: Path
) -> None:
    reference = host.has("app")
    limited.allow(None)
    helpers = {"credHelpers": {limited.registry.address: "pass"}}
    (tmp_path / "config.json").write_text(json.dumps(helpers))
    rounds = Monitor(engine, checks, login=Logins(tmp_path / "config.json").read, interval=INTERVAL, now=clock)

    rounds.round()

    assert "docker-credential-pass" in checks.said(reference).error
    assert limited.asked == []


def test_what_was_checked_by_hand_is_not_asked_again_in_the_next_round(
    engine: Engine, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock
) -> None:
    checks.note(host.has("app"), ImageUpdateResult(False, remote_digest="sha256:x", checked_at=int(clock.at)))
    limited.allow(None)

    monitor(engine, checks, login_of(limited.registry), clock).round()

    assert limited.asked == []


def test_an_image_that_is_gone_is_forgotten(
    engine: Engine, daemon: Daemon, host: Host, limited: LimitedRegistry, checks: Checks, clock: Clock
) -> None:
    reference = host.has("app")
    rounds = monitor(engine, checks, login_of(limited.registry), clock)
    rounds.round()
    assert checks.said(reference).remote_digest

    daemon.call("DELETE", f"/images/{reference}", {"force": 1})
    rounds.round()

    assert not checks.said(reference).remote_digest


def test_stopping_ends_a_question_that_hangs_and_keeps_what_was_learned(
    docker_socket: str, host: Host, limited: LimitedRegistry, clock: Clock, path: Path
) -> None:
    references = [host.has("a"), host.has("b")]
    with FaultProxy(docker_socket) as proxy:
        hanging = proxy.hang("GET", "/distribution/.*(/|%2F)b(:|%3A)1/json")
        engine = Engine(proxy.socket_path)
        checks = Checks(path, now=clock)
        running = monitor(engine, checks, login_of(limited.registry), clock, first=(0.0, 0.0))
        running.start()
        hanging.wait_reached()

        running.stop(WITHIN)

        engine.close()
    assert "image monitor" not in {thread.name for thread in threading.enumerate()}
    again = Checks(path, now=clock)
    assert again.said(references[0]).remote_digest
    assert again.said(references[1]).asked_at == 0  # no answer is not the registry's doing


def test_rounds_begin_when_the_daemon_is_there_and_go_on_whatever_their_findings_run_into(
    docker_socket: str, checks: Checks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor_module, "DAEMON_AWAY", 0.05)
    monkeypatch.setattr(monitor_module, "SHORTEST", 0.05)
    rounds = threading.Semaphore(0)

    def fail() -> None:
        rounds.release()
        raise ValueError("of the schedule")

    with FaultProxy(docker_socket) as proxy:
        proxy.cut("GET", "/images/json", times=None)
        engine = Engine(proxy.socket_path)
        running = Monitor(engine, checks, login=dict, interval=0.05, after_round=fail, first=(0.0, 0.0))
        with caplog.at_level(logging.WARNING):
            running.start()
            wait_for(lambda: proxy.calls.count(("GET", "/images/json")) >= 3, "three tries")
            assert not rounds.acquire(blocking=False)
            proxy.clear()
            assert rounds.acquire(timeout=WITHIN) and rounds.acquire(timeout=WITHIN)
        running.stop(WITHIN)
        engine.close()
    said = [record for record in caplog.records if record.name == "dockpal_agent.apps.monitor"]
    assert [record.levelname for record in said][:2] == ["WARNING", "ERROR"]


def test_a_mistake_in_a_round_is_logged_with_its_trace_and_the_next_round_comes(
    docker_socket: str, checks: Checks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds, mistakes = threading.Semaphore(0), [TypeError("a label of an unforeseen kind")]

    def questions_once_wrong(*found: Any) -> Any:
        if mistakes:
            raise mistakes.pop()
        return questions(*found)

    monkeypatch.setattr(monitor_module, "questions", questions_once_wrong)
    monkeypatch.setattr(monitor_module, "SHORTEST", 0.05)
    with contextlib.closing(Engine(docker_socket)) as engine:
        running = Monitor(engine, checks, login=dict, interval=0.05, after_round=rounds.release, first=(0.0, 0.0))
        running.start()
        assert rounds.acquire(timeout=WITHIN)
        running.stop(WITHIN)
    assert "a round failed unexpectedly" in caplog.text and "of an unforeseen kind" in caplog.text


def test_what_was_learned_before_the_daemon_went_away_is_kept(
    docker_socket: str, host: Host, limited: LimitedRegistry, clock: Clock, path: Path
) -> None:
    references = [host.has("a"), host.has("b")]
    checks = Checks(path, now=clock)
    with FaultProxy(docker_socket) as proxy:
        proxy.cut("GET", "/distribution/.*(/|%2F)b(:|%3A)1/json", times=None)
        engine = Engine(proxy.socket_path)

        with pytest.raises(EngineError):
            monitor(engine, checks, login_of(limited.registry), clock).round()

        engine.close()
    assert Checks(path).said(references[0]).remote_digest
    assert not Checks(path).said(references[1]).error


def test_what_was_checked_by_hand_is_kept_when_the_agent_ends(checks: Checks, path: Path) -> None:
    checks.note("nginx", ImageUpdateResult(False, remote_digest="sha256:x"))

    Monitor(Engine("/nowhere.sock"), checks, login=dict, interval=INTERVAL).stop()  # before it was started, too

    assert Checks(path).said("nginx").remote_digest == "sha256:x"
