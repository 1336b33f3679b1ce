"""What an update asks of bringing a project up: a gate before the commit, and that what was stopped stays so."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from dockpal_agent.compose.apply import ConvergeFailed, Outcome, converge
from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.compose.deploys import Deploys
from dockpal_agent.compose.stored import Stored, StoredFailed
from dockpal_agent.containers.proof import NotProven
from dockpal_agent.engine import Engine
from tests.compose.doubles import Told, house
from tests.engines.daemon import Daemon

BOUND = 60.0
FILE = """
services:
  db:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: [/data]
  web:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
"""
JOBS = """
services:
  migrate:
    image: {image}
    command: "true"
  tidy:
    image: {image}
    command: "true"
  kept:
    image: {other}
    command: sleep 1000
    stop_signal: SIGKILL
  stopped:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {{test: "true", interval: 1s}}
  paused:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
  web:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on:
      migrate: {{condition: service_completed_successfully}}
      stopped: {{condition: service_healthy}}
"""


class Place:
    """A running project of the test's name, deployed through Deploys, and an image of its own that can move on."""

    def __init__(self, deploys: Deploys, daemon: Daemon, project: str, stored: Path, told: list[Told]) -> None:
        self.deploys, self.daemon, self.project, self.stored, self.told = deploys, daemon, project, stored, told
        self.image = f"dockpal-test/{project}:1"

    def deploy(self, text: str) -> Outcome:
        return self.deploys.start(DeployRequest(self.project, text)).wait(BOUND)

    def newer(self) -> str:
        """The tag means another image from now on; its id."""
        seed = self.daemon.create("dockpal-test/busybox:latest", "true", name=f"{self.project}-seed")
        where = {"container": seed, "repo": f"dockpal-test/{self.project}", "tag": "1", "comment": "newer"}
        made = self.daemon.call("POST", "/commit", where, body={})
        self.daemon.remove(seed)
        return str(made["Id"])

    def redeploy(
        self, gate: Callable[[Mapping[str, str]], None], new_images_for: Optional[Collection[str]] = None
    ) -> Outcome:
        def deed() -> Outcome:
            return self.deploys.redeploy(self.project, gate, new_images_for=new_images_for)

        outcome: Outcome = self.deploys.change(self.project, "update", deed).wait(BOUND)
        return outcome

    def name(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> Any:
        return self.daemon.inspect(self.name(service))

    def rows(self) -> dict[str, tuple[str, str, str]]:
        """{container: (id, image id, state)}."""
        label = [f"com.docker.compose.project={self.project}"]
        listed = self.daemon.containers(label=label)
        return {entry["Names"][0][1:]: (entry["Id"], entry["ImageID"], entry["State"]) for entry in listed}


@pytest.fixture
def place(engine: Engine, daemon: Daemon, busybox: str, unique: str, tmp_path: Path) -> Iterator[Place]:
    daemon.call("POST", f"/images/{busybox}/tag", {"repo": f"dockpal-test/{unique}", "tag": "1"})
    told: list[Told] = []
    with house(engine, tmp_path, converge, told) as deploys:
        yield Place(deploys, daemon, unique, tmp_path / "compose" / unique, told)
    daemon.clean(unique, f"com.docker.compose.project={unique}")
    daemon.answer("DELETE", f"/images/dockpal-test/{unique}:1", {"force": 1})


def never(containers: Mapping[str, str]) -> None:
    pytest.fail(f"the gate was called with {containers}")


def test_the_gate_sees_all_containers_run_while_the_old_ones_still_stand_beside_them(place: Place) -> None:
    place.deploy(FILE.format(image=place.image))
    before = place.rows()
    image_id = place.newer()
    seen: list[Mapping[str, str]] = []
    beside: list[str] = []

    def gate(containers: Mapping[str, str]) -> None:
        seen.append(containers)
        assert {place.daemon.inspect(each)["State"]["Status"] for each in containers.values()} == {"running"}
        beside.extend(row[0] for row in place.rows().values())

    outcome = place.redeploy(gate)

    after = place.rows()
    assert {name: row[1:] for name, row in after.items()} == dict.fromkeys(before, (image_id, "running"))
    assert seen == [{name: row[0] for name, row in after.items()}] == [outcome.containers]
    assert {row[0] for row in before.values()} <= set(beside)


@pytest.mark.parametrize("failure", [NotProven("web answers 500"), RuntimeError("a defect of the gate")])
def test_whatever_the_gate_raises_the_containers_of_before_run_again(place: Place, failure: Exception) -> None:
    place.deploy(FILE.format(image=place.image))
    place.daemon.exec(place.name("db"), "sh", "-c", "echo kept > /data/file")
    before = place.rows()
    place.newer()

    def gate(containers: Mapping[str, str]) -> None:
        raise failure

    with pytest.raises((ConvergeFailed, RuntimeError)) as caught:
        place.redeploy(gate)

    if isinstance(failure, NotProven):
        assert isinstance(caught.value, ConvergeFailed) and caught.value.__cause__ is failure
        assert caught.value.restored and "web answers 500" in str(caught.value)
    assert place.rows() == before
    assert place.daemon.exec(place.name("db"), "cat", "/data/file") == b"kept\n"


def test_the_gate_is_not_called_and_nothing_is_written_where_nothing_is_newer(place: Place) -> None:
    place.deploy(FILE.format(image=place.image))
    before, files = place.rows(), {path: path.stat().st_mtime_ns for path in place.stored.rglob("*")}

    outcome = place.redeploy(never)

    assert not outcome.plan.changes and place.rows() == before
    assert {path: path.stat().st_mtime_ns for path in place.stored.rglob("*")} == files


def test_what_was_stopped_stays_so_but_for_a_job_that_others_wait_for(place: Place, busybox: str) -> None:
    place.deploy(JOBS.format(image=place.image, other=busybox))
    for service in ("stopped", "kept"):
        place.daemon.call("POST", f"/containers/{place.name(service)}/stop")
    place.daemon.call("POST", f"/containers/{place.name('paused')}/pause")
    before = place.rows()
    image_id = place.newer()
    seen: list[set[str]] = []

    place.redeploy(lambda containers: seen.append(set(containers)))

    after = place.rows()
    states = {name: row[2] for name, row in after.items()}
    assert states == {
        place.name("web"): "running",
        place.name("paused"): "paused",
        place.name("migrate"): "exited",
        place.name("tidy"): "created",
        place.name("stopped"): "created",
        place.name("kept"): "exited",
    }
    assert {name for name, row in after.items() if row[1] != image_id} == {place.name("kept")}
    assert after[place.name("kept")] == before[place.name("kept")]
    assert seen == [{place.name(service) for service in ("web", "paused", "migrate")}]
    assert place.inspect("migrate")["State"]["StartedAt"] > place.inspect("web")["Created"]


TWO = """
services:
  db:
    image: {image}
    command: sleep 1000
    stop_signal: SIGKILL
  side:
    image: {other}
    command: sleep 1000
    stop_signal: SIGKILL
    network_mode: service:db
  web:
    image: {other}
    command: sleep 1000
    stop_signal: SIGKILL
"""


def test_a_service_that_is_not_chosen_keeps_its_image_although_its_tag_has_moved(place: Place) -> None:
    """`side` has to be made anew all the same, as it lives in the network of db."""
    other = f"dockpal-test/{place.project}:other"
    place.daemon.call("POST", f"/images/{place.image}/tag", {"repo": f"dockpal-test/{place.project}", "tag": "other"})
    try:
        place.deploy(TWO.format(image=place.image, other=other))
        before = place.rows()
        newer = place.newer()
        where = {"repo": f"dockpal-test/{place.project}", "tag": "other"}
        place.daemon.call("POST", f"/images/{newer}/tag", where)
        seen: list[Mapping[str, str]] = []

        place.redeploy(seen.append, ["db"])

        after, (db, side, web) = place.rows(), map(place.name, ("db", "side", "web"))
        assert after[web] == before[web]
        assert after[db][1:] == (newer, "running")
        assert after[side][0] != before[side][0] and after[side][1:] == before[side][1:]
        assert place.inspect("side")["Config"]["Labels"]["com.docker.compose.image"] == before[side][1]
        assert place.inspect("side")["Config"]["Image"] == other
        assert place.daemon.call("GET", f"/images/{other}/json")["Id"] == newer
        assert [set(containers) for containers in seen] == [{db, side, web}]
    finally:
        place.daemon.answer("DELETE", f"/images/{other}", {"force": 1})


@pytest.mark.parametrize("well", [True, False])
def test_what_lives_in_the_network_of_a_service_without_being_of_the_project_is_taken_along(
    well: bool, place: Place, busybox: str
) -> None:
    place.deploy(FILE.format(image=place.image))
    names = {f"{place.project}-guest": place.name("db"), f"{place.project}-guest-of-guest": f"{place.project}-guest"}
    for name, parent in names.items():
        host = {"NetworkMode": f"container:{parent}"}
        place.daemon.run(busybox, "sleep", "1000", name=name, StopSignal="SIGKILL", HostConfig=host)
    before = {name: place.daemon.inspect(name) for name in names}
    place.newer()
    seen: list[set[str]] = []

    def gate(containers: Mapping[str, str]) -> None:
        seen.append(set(containers))
        if not well:
            raise NotProven("web answers 500")

    try:
        with contextlib.nullcontext() if well else pytest.raises(ConvergeFailed):
            place.redeploy(gate)

        assert seen == [{*names, place.name("db"), place.name("web")}]
        for name, parent in names.items():
            found = place.daemon.inspect(name)
            assert found["State"]["Running"]
            assert found["HostConfig"]["NetworkMode"] == f"container:{place.daemon.inspect(parent)['Id']}"
            assert (found["Id"] == before[name]["Id"]) is not well
            assert found["Config"]["Hostname"] == place.inspect("db")["Config"]["Hostname"]
    finally:
        for entry in place.daemon.containers(name=[f"{place.project}-guest"]):
            place.daemon.remove(entry["Id"])


def test_an_unchanged_service_that_was_stopped_is_left_although_it_restarts_with_what_is_replaced(
    place: Place, busybox: str
) -> None:
    text = FILE.format(image=place.image).replace(
        f"image: {place.image}\n    command: sleep 1000\n    stop_signal: SIGKILL\n    depends_on: [db]",
        f"image: {busybox}\n    command: sleep 1000\n    stop_signal: SIGKILL\n    depends_on:\n"
        "      db: {condition: service_started, restart: true}",
    )
    place.deploy(text)
    place.daemon.call("POST", f"/containers/{place.name('web')}/stop")
    before = place.rows()
    place.newer()

    place.redeploy(lambda containers: None)

    after = place.rows()
    assert after[place.name("web")] == before[place.name("web")]
    assert after[place.name("db")][0] != before[place.name("db")][0]


def test_a_project_that_was_not_deployed_here_is_not_stored_and_cannot_be_deployed_again(place: Place) -> None:
    assert not place.deploys.is_stored(place.project)
    with pytest.raises(StoredFailed, match="no Compose file"):
        place.redeploy(never)
    place.deploy(FILE.format(image=place.image))
    assert place.deploys.is_stored(place.project)


WITH_LABEL = "  web:\n    labels: {dockpal.auto-update: 'true'}\n"


def test_a_changed_label_of_the_agents_restarts_nothing_and_is_told(place: Place) -> None:
    text = FILE.format(image=place.image)
    first = place.deploy(text)
    before = place.rows()

    second = place.deploy(text.replace("  web:\n", WITH_LABEL))

    config_hash = place.inspect("web")["Config"]["Labels"]["com.docker.compose.config-hash"]
    assert place.rows() == before
    assert second.kept_labels == {"web": {config_hash: {"dockpal.auto-update": "true"}}}
    assert (first.auto_update_labelled, second.auto_update_labelled) == (False, True)
    assert first.kept_labels == {}

    third = place.deploy(text)
    assert place.rows() == before
    assert third.kept_labels == {} and not third.auto_update_labelled


def test_a_label_is_on_the_container_when_it_is_made_anew_for_another_reason(place: Place) -> None:
    text = FILE.format(image=place.image)
    place.deploy(text)
    place.deploy(text.replace("  web:\n", WITH_LABEL))
    place.newer()

    outcome = place.redeploy(lambda containers: None)

    assert place.inspect("web")["Config"]["Labels"]["dockpal.auto-update"] == "true"
    assert outcome.kept_labels == {}
    assert place.deploy(text).kept_labels.keys() == {"web"}


def test_those_who_want_to_know_of_deploys_and_removals_are_told_once_they_stand(place: Place) -> None:
    outcome = place.deploy(FILE.format(image=place.image))
    place.redeploy(never)
    assert place.told == [(place.project, outcome)]
    with pytest.raises(ConvergeFailed):
        place.deploy("services:\n  web:\n    image: dockpal-test/there-is-none:1\n    pull_policy: never\n")
    assert len(place.told) == 1
    place.deploys.remove(place.project, BOUND)
    assert place.told[1:] == [(place.project, None)]


class Killed(Exception):
    """Where the agent was killed."""


class KilledStore(Stored):
    """The files of an agent that is killed before it can put them back."""

    def roll_back(self, name: str) -> None:
        raise StoredFailed("the process is gone")


def test_killed_before_its_files_stand_a_deploy_that_changed_labels_only_is_finished(
    engine: Engine, place: Place, tmp_path: Path
) -> None:
    """Nothing that Docker shows is new then: the containers were kept, and are known by the hash that they have."""
    text = FILE.format(image=place.image)
    place.deploy(text)
    new = text.replace("  web:\n", WITH_LABEL)

    def killed(*arguments: Any) -> Outcome:
        converge(*arguments)
        raise Killed

    with (
        house(engine, tmp_path / "second", killed, stored=KilledStore(place.stored.parent)) as second,
        pytest.raises(Killed),
    ):
        second.start(DeployRequest(place.project, new)).wait(BOUND)
    assert place.deploys.stored.pending(place.project) is not None

    place.deploys.settle()

    assert place.deploys.stored.pending(place.project) is None
    standing = place.deploys.stored.load(place.project)
    assert standing is not None and standing.compose == new
    project, outcome = place.told[-1]
    assert project == place.project and outcome is not None and len(place.told) == 2
    assert outcome.auto_update_labelled and set(outcome.kept_labels) == {"web"}
    assert set(outcome.containers) == {place.name("db"), place.name("web")}
