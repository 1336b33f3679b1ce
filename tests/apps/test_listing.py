"""Apps as the Server shows them, made from one list of Docker's and what is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.listing import AUTO_UPDATE, Apps, NoSuchApp
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.stages import Stage
from dockpal_agent.compose.labels import (
    CONFIG_HASH,
    NUMBER,
    ONEOFF,
    ORIGINAL_PROJECT,
    ORIGINAL_SERVICE,
    PROJECT,
    SERVICE,
)
from dockpal_agent.compose.observe import observe
from dockpal_agent.engine import Engine, EngineUnavailable
from dockpal_agent.images.check import ImageUpdateResult
from tests.engines.daemon import Daemon
from tests.faults.proxy import FaultProxy
from tests.server_standin.shapes import APP_SUMMARY, problems

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Known:
    """What is known beside Docker's list."""

    def __init__(self, directory: Path) -> None:
        self.checks = Checks(directory / "checks.json")
        self.choices = Choices(directory / "apps.json")
        self.records = Records(directory / "updates.jsonl")

    def pulled(self, image_id: str, reference: str, digest: str) -> None:
        """This image came from a registry, where it had that digest."""
        self.checks.note_image({"Id": image_id, "RepoDigests": [f"{reference.rpartition(':')[0]}@{digest}"]})

    def published(self, reference: str, digest: str) -> None:
        """The registry has this one by now."""
        self.checks.note(reference, ImageUpdateResult(False, remote_digest=digest, checked_at=1))


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known(tmp_path)


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture
def apps(proxy: FaultProxy, known: Known) -> Iterator[Apps]:
    engine = Engine(proxy.socket_path)
    yield Apps(engine, known.checks, known.choices, known.records)
    engine.close()


@pytest.fixture
def image(daemon: Daemon, busybox: str, unique: str) -> Iterator[str]:
    """A reference of our own."""
    reference = f"{unique}/app:1"
    tag(daemon, busybox, reference)
    yield reference
    daemon.answer("DELETE", f"/images/{reference}", {"force": 1})


def tag(daemon: Daemon, image: str, reference: str) -> None:
    repository, _, version = reference.rpartition(":")
    daemon.call("POST", f"/images/{image}/tag", {"repo": repository, "tag": version})


def id_of(daemon: Daemon, image: str) -> str:
    return str(daemon.call("GET", f"/images/{image}/json")["Id"])


class Host:
    """Makes containers of one project."""

    def __init__(self, daemon: Daemon, image: str, unique: str, labels: dict[str, str]) -> None:
        self.project = unique
        self._daemon, self._image, self._labels = daemon, image, labels
        self._count = 0

    def add(self, service: str, number: int = 1, *, runs: bool = False, labels: Optional[dict[str, str]] = None) -> str:
        self._count += 1
        chosen = {PROJECT: self.project, SERVICE: service, NUMBER: str(number), **(labels or {})}
        return self.create(chosen, f"{self.project}-{service}-{number}-{self._count}", runs)

    def create(self, labels: dict[str, str], name: str, runs: bool = False) -> str:
        make = self._daemon.run if runs else self._daemon.create
        return make(self._image, "sleep", "1000", name=name, labels={**self._labels, **labels})


@pytest.fixture
def host(daemon: Daemon, image: str, unique: str, labels: dict[str, str]) -> Host:
    return Host(daemon, image, unique, labels)


def shown(apps: Apps, name: str) -> dict[str, Any]:
    """The app's summary, whose whole list the Server can read."""
    listed = apps.list()
    assert problems([APP_SUMMARY], listed) == []
    assert [app["name"] for app in listed] == sorted(app["name"] for app in listed)
    (found,) = [app for app in listed if app["name"] == name]
    return found


@pytest.mark.engines
def test_a_project_of_docker_compose_is_an_app_with_its_services_by_name(apps: Apps, host: Host, image: str) -> None:
    host.add("web", runs=True)
    host.add("db")

    app = shown(apps, host.project)

    assert [(service["name"], service["image"], service["state"]) for service in app["services"]] == [
        ("db", image, "created"),
        ("web", image, "running"),
    ]
    assert (app["auto_update"], app["has_update"]) == (False, False) and "last_update" not in app


@pytest.mark.engines
def test_a_list_is_one_call_of_the_engine(apps: Apps, proxy: FaultProxy, host: Host) -> None:
    host.add("web")
    host.add("db")

    apps.list()

    assert proxy.calls == [("GET", "/containers/json")]


def test_the_original_agents_labels_make_an_app_too(apps: Apps, host: Host, unique: str) -> None:
    name = f"My{unique}"
    host.create({ORIGINAL_PROJECT: name, ORIGINAL_SERVICE: "web"}, f"{unique}_web")
    host.create({ORIGINAL_PROJECT: name}, f"{unique}_db")

    assert [service["name"] for service in shown(apps, name)["services"]] == [f"{unique}_db", "web"]
    assert apps.find(name) == apps.find(f"my{unique}")


def test_replicas_fold_into_the_first(apps: Apps, host: Host) -> None:
    for number in (10, 2, 1):
        host.add("web", number, runs=number == 1)

    (service,) = shown(apps, host.project)["services"]

    assert service["state"] == "running"


@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1", "first"], ids=lambda text: text[:9])
def test_a_number_that_is_none_is_no_harm_to_the_list(apps: Apps, host: Host, engine: Engine, number: str) -> None:
    """Anybody's image may have such a label."""
    host.add("web", labels={NUMBER: number})

    assert [service["name"] for service in shown(apps, host.project)["services"]] == ["web"]
    (seen,) = observe(engine, host.project).containers
    assert seen.number == 0


@pytest.mark.parametrize(
    "project", ["../../{}", "{}/x", "..", "{} x", "{}é", "{}" + "x" * 3000], ids=lambda text: text[:9]
)
def test_what_no_compose_would_call_a_project_is_no_app(apps: Apps, host: Host, unique: str, project: str) -> None:
    """A project's name is also that of its folder, and of files of ours."""
    host.create({PROJECT: project.format(unique), SERVICE: "web"}, f"{unique}-web")

    assert not [app for app in apps.all() if any(member.name == f"{unique}-web" for member in app.members)]


def test_what_is_set_aside_or_ran_once_is_no_service(apps: Apps, host: Host, daemon: Daemon) -> None:
    web = host.add("web")
    host.add("task", labels={ONEOFF: "True"})
    old = host.create({PROJECT: host.project, SERVICE: "web"}, f"{web[:12]}_{host.project}-web-1.dockpal-old.running")
    try:
        assert [member.id for member in apps.find(host.project).members] == [web]
    finally:
        daemon.remove(old)


def test_whether_there_is_an_update_is_asked_of_the_image_that_runs(
    apps: Apps, known: Known, host: Host, daemon: Daemon, image: str
) -> None:
    host.add("web")
    known.pulled(id_of(daemon, image), image, OLD)
    assert not shown(apps, host.project)["has_update"]

    known.published(image, NEW)

    app = shown(apps, host.project)
    assert app["has_update"] and app["services"][0] == {
        "name": "web", "image": image, "state": "created", "has_update": True, "local_digest": OLD,
        "remote_digest": NEW,
    }  # fmt: skip


def test_where_any_replica_runs_an_outdated_image_the_service_does(
    apps: Apps, known: Known, host: Host, daemon: Daemon, image: str, scratch_image: str
) -> None:
    known.pulled(id_of(daemon, image), image, OLD)
    known.pulled(id_of(daemon, scratch_image), image, NEW)
    known.published(image, NEW)
    host.add("web", 2)
    tag(daemon, scratch_image, image)
    host.add("web", 1)

    (service,) = shown(apps, host.project)["services"]

    assert (service["has_update"], service["local_digest"]) == (True, OLD)
    assert service["image"] == image, "not the id, though the tag means another image than the second replica's"


def test_the_label_opts_in_and_the_switch_has_the_last_word(apps: Apps, known: Known, host: Host) -> None:
    host.add("db")
    host.add("web", labels={AUTO_UPDATE: "true", CONFIG_HASH: "h"})
    assert shown(apps, host.project)["auto_update"]

    known.choices.set_switch(host.project, False)
    assert not shown(apps, host.project)["auto_update"]

    known.choices.set_switch(host.project, None)
    known.choices.note_kept(host.project, {"web": {"h": {AUTO_UPDATE: ""}}})
    assert not shown(apps, host.project)["auto_update"], "the deployed file has no label any more"

    known.choices.set_switch(host.project, True)
    assert shown(apps, host.project)["auto_update"]


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("True", True), ("false", False), ("", False)])
def test_the_label_is_true_or_it_is_not(apps: Apps, host: Host, text: str, expected: bool) -> None:
    host.add("web", labels={AUTO_UPDATE: text})

    assert shown(apps, host.project)["auto_update"] is expected


def test_the_newest_record_is_shown_without_its_events(apps: Apps, known: Known, host: Host) -> None:
    host.add("web")
    known.records.begin(host.project, "auto", {})
    newest = known.records.begin(host.project, "user:agent", {"web": {"image": "a:1", "previous_digest": OLD}})
    known.records.move(newest.attempt_id, Stage.COMPLETED, "already up to date")

    record = shown(apps, host.project)["last_update"]

    assert (record["attempt_id"], record["stage"]) == (newest.attempt_id, "completed") and "events" not in record


def test_an_unknown_app_is_said_in_the_words_that_the_server_knows(apps: Apps) -> None:
    with pytest.raises(NoSuchApp, match=r"^app not found$"):
        apps.find("no-such-app")


def test_without_a_daemon_the_list_says_so(apps: Apps, proxy: FaultProxy) -> None:
    proxy.stop()
    with pytest.raises(EngineUnavailable):
        apps.list()
