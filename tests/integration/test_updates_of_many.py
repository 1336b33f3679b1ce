"""Updates of apps with several services that need one another, and several updates at once, on a real engine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from dockpal_agent.apps.listing import NoSuchApp
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.apps.updates import AlreadyRunning, TooManyUpdates
from dockpal_agent.compose.deployrequest import DeployRequest
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy, When
from tests.integration.edits import variant
from tests.integration.updating import STAYS, Bench, Shop, bring_up, compose_command, deploy, login_file, working

# The image's program: a job counts how often it ran, everything else stays.
PROGRAM: Final = """CMD ["sh","-c","sleep 1000"]"""
MIGRATE: Final = "echo $VERSION >> /data/migrated; test $VERSION != bad"
FILE: Final = """\
services:
  app:
    image: {image}
    stop_signal: SIGKILL
    scale: 2
    depends_on:
      migrate: {{condition: service_completed_successfully}}
  db:
    image: {image}
    stop_signal: SIGKILL
    command: [sh, -c, 'sleep 1; touch /tmp/up; sleep 1000']
    healthcheck: {{test: [CMD, test, -f, /tmp/up], interval: 1s, retries: 9}}
    volumes: ['kept:/data', '/anonymous']
  migrate:
    image: {image}
    stop_signal: SIGKILL
    command: [sh, -c, '{migrate}']
    volumes: ['kept:/data']
    depends_on:
      db: {{condition: service_healthy}}
  cache:
    image: {busybox}
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on:
      db: {{condition: service_started, restart: true}}
  side:
    image: {busybox}
    command: [sleep, '1000']
    stop_signal: SIGKILL
    network_mode: service:db
volumes: {{kept: {{}}}}
"""


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    shop.clean()


def text_of(shop: Shop) -> str:
    return FILE.format(image=shop.reference, busybox=shop.busybox, migrate=MIGRATE.replace("$", "$$"))


def rows(shop: Shop) -> dict[str, dict[str, Any]]:
    """Inspects by service and number."""
    listed = shop.daemon.containers(label=[f"com.docker.compose.project={shop.unique}"])
    found = [shop.daemon.inspect(entry["Id"]) for entry in listed]
    return {one["Name"].removeprefix(f"/{shop.unique}-"): one for one in found}


def ids(shop: Shop) -> dict[str, str]:
    return {name: one["Id"] for name, one in rows(shop).items()}


def up(shop: Shop, bench: Bench, stored: bool, folder: Path, docker_compose: Path) -> None:
    if stored:
        deploy(bench, shop, text_of(shop))
    else:
        bring_up(shop, text_of(shop), folder, docker_compose)


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "by-hand"])
def test_services_come_up_in_order_with_all_that_belongs_to_them(
    stored: bool, shop: Shop, docker_socket: str, docker_compose: Path, tmp_path: Path
) -> None:
    shop.push("1", PROGRAM)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login) as bench:
        up(shop, bench, stored, tmp_path, docker_compose)
        before = rows(shop)
        shop.daemon.exec(before["db-1"]["Id"], "sh", "-c", "echo a > /anonymous/file")
        shop.push("2", PROGRAM)

        record = bench.update(shop.unique)

        assert record.stage is Stage.COMPLETED, record.message
        after = rows(shop)
        assert after.keys() == before.keys()
        for name in ("app-1", "app-2", "db-1", "migrate-1"):
            assert after[name]["Image"] == shop.means() != before[name]["Image"]
            assert after[name]["Config"]["Labels"]["com.docker.compose.image"] == shop.means()
        started = {name: one["State"]["StartedAt"] for name, one in after.items()}
        assert started["db-1"] < started["migrate-1"] < min(started["app-1"], started["app-2"])
        assert after["migrate-1"]["State"]["ExitCode"] == 0
        assert shop.daemon.exec(after["db-1"]["Id"], "cat", "/data/migrated") == b"1\n2\n"
        assert shop.daemon.exec(after["db-1"]["Id"], "cat", "/anonymous/file") == b"a\n"
        assert after["cache-1"]["Id"] == before["cache-1"]["Id"]
        assert started["cache-1"] > started["db-1"]
        assert after["side-1"]["HostConfig"]["NetworkMode"] == f"container:{after['db-1']['Id']}"
        assert after["side-1"]["State"]["Running"]
        assert "migrate-1 ended with 0" in record.message
    if not stored:
        subprocess.run(**compose_command(shop, tmp_path, docker_compose, "up", "-d"))
        seen = {name: one["Id"] for name, one in after.items()}
        seen["side-1"] = ids(shop)["side-1"]  # Compose's hash of it holds the id of db's container: it has to be anew
        assert ids(shop) == seen


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "by-hand"])
def test_a_job_that_fails_takes_all_back(
    stored: bool, shop: Shop, docker_socket: str, docker_compose: Path, tmp_path: Path
) -> None:
    shop.push("1", PROGRAM)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login) as bench:
        up(shop, bench, stored, tmp_path, docker_compose)
        old, before = shop.means(), ids(shop)
        shop.push("bad", PROGRAM)

        record = bench.update(shop.unique)

        assert (record.stage, record.error_code) == (Stage.ROLLED_BACK, ErrorCode.HEALTH_PROBE_FAILED), record.message
        assert "migrate" in record.message and "exit 1" in record.message
        assert ids(shop) == before and shop.means() == old
        running = {name for name, one in rows(shop).items() if one["State"]["Running"]}
        assert running == before.keys() - {"migrate-1"}
        assert bench.parts.choices.quarantined(shop.unique, shop.reference)


def test_a_second_trigger_is_refused_and_so_is_one_past_the_limit(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    with working(tmp_path / "data", docker_socket, login=login_file(tmp_path, shop.registry)) as bench:
        deploy(bench, shop, shop.compose())
        shop.push("2", STAYS)
        attempt_id = bench.updates.trigger(shop.unique)
        with pytest.raises(AlreadyRunning, match="update_already_running"):
            bench.updates.trigger(shop.unique)
        assert bench.updates.running(shop.unique)
        with bench.updates._lock:
            bench.updates._running.update({f"other-{number}": "user:agent" for number in range(7)})
        other = f"{shop.unique}-other"
        shop.daemon.run(
            *(shop.busybox, "sleep", "1000"), name=other, labels={"com.docker.compose.project": other, **shop.labels}
        )
        with pytest.raises(TooManyUpdates):
            bench.updates.trigger(other)
        assert bench.ended(attempt_id).stage is Stage.COMPLETED
        wait_for(lambda: not bench.updates.running(shop.unique), "its end")
        assert [record.attempt_id for record in bench.parts.records.history(shop.unique, 10)] == [attempt_id]


def test_an_image_that_failed_waits_for_its_tag_to_move_on_and_by_itself_nothing_begins_within_the_cooldown(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, auto_update_cooldown=3600.0) as bench:
        deploy(bench, shop, shop.compose("labels: {dockpal.auto-update: 'true'}"))
        shop.push("2", """CMD ["sh","-c","exit 3"]""")
        bench.round()
        record = bench.newest(shop.unique)
        assert (record.stage, record.triggered_by) == (Stage.ROLLED_BACK, "auto"), record.message

        bench.told.clear()
        bench.round()  # the same image: not even a skip
        assert bench.told == []
        shop.push("3", STAYS)
        bench.round()
        wait_for(lambda: bench.told, "a skip")
        assert [(event["stage"], event["error_code"]) for event in bench.told] == [("pending", "skipped_cooldown")]
        assert bench.parts.records.newest(shop.unique) == record

    with working(tmp_path / "data", docker_socket, login=login, auto_update_cooldown=0.0) as bench:
        night = "labels: {dockpal.auto-update: 'true', dockpal.auto-update.window: '22:00-02:00'}"
        deploy(bench, shop, shop.compose(night))
        bench.round()
        wait_for(lambda: bench.told, "a skip")
        assert [event["error_code"] for event in bench.told] == ["skipped_window"]
        deploy(bench, shop, shop.compose("labels: {dockpal.auto-update: 'true'}"))
        bench.round()
        assert bench.newest(shop.unique).stage is Stage.COMPLETED
        assert bench.parts.choices.quarantined(shop.unique, shop.reference) == ""


def test_a_tag_that_moves_on_to_a_younger_image_before_the_pull_is_left(
    shop: Shop, docker_socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.push("1", STAYS)
    with working(tmp_path / "data", docker_socket, login=login_file(tmp_path, shop.registry)) as bench:
        deploy(bench, shop, shop.compose("labels: {dockpal.auto-update: 'true', dockpal.auto-update.min-age: 1h}"))
        old = shop.means()
        shop.push("2", STAYS)
        now = time.time()
        monkeypatch.setattr(bench.agent.checks, "_now", lambda: now - 7200)
        bench.look()
        monkeypatch.undo()
        shop.push("3", STAYS)

        bench.act()

        record = bench.newest(shop.unique)
        assert record.stage is Stage.COMPLETED and "is not 1h old yet" in record.message, record.message
        assert shop.runs() == old == shop.means()
        assert bench.update(shop.unique).stage is Stage.COMPLETED
        assert shop.runs() != old, "by hand it is brought up"


def test_automatic_updates_wait_for_their_turn_unless_they_are_switched_off_meanwhile(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, auto_update_concurrency=1, grace=2.0) as bench:
        *names, left = (f"{shop.unique}-{letter}" for letter in "acdb")
        for name in (*names, left):
            shop.unique = name
            deploy(bench, shop, shop.compose("labels: {dockpal.auto-update: 'true'}"))
        shop.unique = names[0][:-2]
        shop.push("2", STAYS)
        bench.round()
        assert all(bench.updates.running(name) for name in (*names, left))
        bench.agent.switch.set(left, False)
        records = [bench.newest(name) for name in names]
        assert {record.stage for record in records} == {Stage.COMPLETED}
        spans = sorted((record.started_at, record.completed_at or 0) for record in records)
        assert spans[0][1] <= spans[1][0] and spans[1][1] <= spans[2][0]
        assert not bench.updates.running(left) and bench.parts.records.newest(left) is None, "switched off meanwhile"


def test_the_agents_end_takes_an_update_back_that_is_not_proven(shop: Shop, docker_socket: str, tmp_path: Path) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, grace=600.0) as bench:
        deploy(bench, shop, shop.compose())
        old = shop.means()
        shop.push("2", STAYS)
        attempt_id = bench.updates.trigger(shop.unique)
        wait_for(lambda: bench.parts.records.get(attempt_id).stage is Stage.VERIFYING, "the gate", 30)
    with working(tmp_path / "data", docker_socket) as bench:
        record = bench.ended(attempt_id)
        assert (record.stage, record.error_code) == (Stage.ROLLED_BACK, ErrorCode.COMPOSE_ERROR), record.message
        assert "the agent ended" in record.message
        assert shop.runs() == old == shop.means()
        assert bench.parts.choices.quarantined(shop.unique, shop.reference) == ""


def test_what_cannot_be_put_back_is_said_and_put_back_later(shop: Shop, docker_socket: str, tmp_path: Path) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with FaultProxy(docker_socket) as proxy, working(tmp_path / "data", proxy.socket_path, login=login) as bench:
        deploy(bench, shop, shop.compose())
        old = shop.means()
        shop.push("2", """CMD ["sh","-c","exit 3"]""")
        proxy.refuse("POST", "/containers/[^/]+/start", message="the disk is on fire", nth=2, times=None)

        record = bench.update(shop.unique)

        assert (record.stage, record.error_code) == (Stage.FAILED, ErrorCode.ROLLBACK_FAILED), record.message
        assert "exit code 3" in record.message and "not everything could be put back" in record.message
        assert shop.means() == old
        proxy.clear()
        wait_for(lambda: shop.containers().get(shop.web) == "running", "the next settling", 30)
        assert shop.runs() == old


def test_a_protected_app_is_refused_before_anything_is_pulled(shop: Shop, docker_socket: str, tmp_path: Path) -> None:
    shop.push("1", STAYS)
    with working(tmp_path / "data", docker_socket, login=login_file(tmp_path, shop.registry)) as bench:
        deploy(bench, shop, shop.compose("labels: {dockpal.protected: 'true'}"))
        before, old = shop.daemon.inspect(shop.web)["Id"], shop.means()
        shop.push("2", STAYS)
        record = bench.update(shop.unique)
        assert (record.stage, record.error_code) == (Stage.FAILED, ErrorCode.COMPOSE_ERROR)
        assert "dockpal.protected" in record.message and "nothing was changed" in record.message
        assert (shop.daemon.inspect(shop.web)["Id"], shop.means()) == (before, old)


def test_an_app_without_images_of_a_registry_has_nothing_to_update(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    image = shop.daemon.call("GET", f"/images/{shop.busybox}/json")["Id"]
    labels = {"com.docker.compose.project": shop.unique, **shop.labels}
    shop.daemon.run(image, "sleep", "1000", name=shop.web, labels=labels)
    with working(tmp_path / "data", docker_socket) as bench:
        with pytest.raises(NoSuchApp):
            bench.updates.trigger("no-such-app")
        record = bench.update(shop.unique)
        assert record.stage is Stage.COMPLETED
        assert "nothing to update" in record.message and "was created from an image id" in record.message


@pytest.mark.parametrize("cleanup", [True, False])
def test_the_old_image_stays_unless_it_is_to_be_cleaned_up(
    cleanup: bool, shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, cleanup=cleanup, grace=1.0) as bench:
        deploy(bench, shop, shop.compose())
        old = shop.means()
        shop.push("2", STAYS)
        assert bench.update(shop.unique).stage is Stage.COMPLETED
        wait_for(lambda: not bench.updates.running(shop.unique), "the end of the attempt's thread")
        assert (shop.daemon.answer("GET", f"/images/{old}/json").status == 404) is cleanup


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "by-hand"])
def test_old_containers_that_somebody_prunes_while_the_gate_watches_are_said_to_be_gone(
    stored: bool, shop: Shop, docker_socket: str, docker_compose: Path, tmp_path: Path
) -> None:
    """As `docker container prune` does each night on many hosts: they are stopped."""
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login) as bench:
        if stored:
            deploy(bench, shop, shop.compose())
        else:
            bring_up(shop, shop.compose(), tmp_path, docker_compose)
        shop.push("2", """CMD ["sh","-c","sleep 2; exit 3"]""")
        attempt_id = bench.updates.trigger(shop.unique)
        wait_for(lambda: bench.parts.records.get(attempt_id).stage is Stage.VERIFYING, "the gate", 30)
        (aside,) = [entry for entry in shop.daemon.containers(name=[shop.web]) if entry["State"] == "exited"]
        shop.daemon.remove(aside["Id"])

        record = bench.ended(attempt_id)

        assert (record.stage, record.error_code) == (Stage.FAILED, ErrorCode.ROLLBACK_FAILED), record.message
        assert f"cannot come back: somebody else removed {shop.web} meanwhile" in record.message
        assert f"left as it is: {shop.web}" in record.message
        assert shop.containers()[shop.web] == "exited" and shop.runs() != shop.means(), "all that is left of it"
        kept = shop.daemon.inspect(shop.web)["Mounts"]
        assert [mount["Name"] for mount in kept] == [f"{shop.unique}_kept"]
        assert bench.parts.choices.quarantined(shop.unique, shop.reference)
        assert not list((bench.agent.config.state_dir / "replacements").glob("*"))


@pytest.mark.parametrize("well", [True, False], ids=["the second is well", "none is well"])
def test_apps_that_share_a_tag_leave_it_to_what_was_proven_whoever_ends_last(
    well: bool, shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    """The first one is still being watched when the second begins, and fails before that ends."""
    first = f"{shop.unique}-first"
    command = "command: [sh, -c, 'test $$VERSION = 1 || { sleep SECONDS; exit 3; }; sleep 1000']"
    shop.push("1", PROGRAM)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, grace=8.0) as bench:
        deploy(bench, shop, shop.compose("" if well else command.replace("SECONDS", "5")))
        text = shop.compose(command.replace("SECONDS", "3"))
        bench.agent.deploys.start(DeployRequest(first, text)).wait(60)
        old = shop.means()
        shop.push("2", PROGRAM)
        attempt_id = bench.updates.trigger(first)
        wait_for(lambda: bench.parts.records.get(attempt_id).stage is Stage.VERIFYING, "the gate", 30)

        record = bench.update(shop.unique)

        assert bench.ended(attempt_id).stage is Stage.ROLLED_BACK
        assert record.stage is (Stage.COMPLETED if well else Stage.ROLLED_BACK), record.message
        assert shop.runs() == shop.means()
        assert (shop.means() == old) is not well


def test_a_service_that_was_not_chosen_is_left_although_its_tag_has_moved_here(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    """As another app's update moves it, or a build on this host."""
    shop.push("1", STAYS)
    local = f"dockpal-test/{shop.unique}:local"
    with working(tmp_path / "data", docker_socket, login=login_file(tmp_path, shop.registry)) as bench:
        variant(shop.daemon, shop.busybox, local, "ENV BUILT=1")
        deploy(bench, shop, shop.compose().replace(f"image: {shop.busybox}", f"image: {local}"))
        before = rows(shop)
        variant(shop.daemon, shop.busybox, local, "ENV BUILT=2")
        shop.push("2", STAYS)

        record = bench.update(shop.unique)

        assert record.stage is Stage.COMPLETED, record.message
        after = rows(shop)
        assert after["db-1"]["Id"] == before["db-1"]["Id"]
        assert after["web-1"]["Image"] == shop.means() != before["web-1"]["Image"]


def test_a_service_that_is_no_more_in_the_stored_file_is_left_and_not_tried_again_and_again(
    shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    """Its container runs on, as docker compose leaves it, too."""
    shop.push("1", STAYS)
    labelled = "labels: {dockpal.auto-update: 'true'}"
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, auto_update_cooldown=0.0) as bench:
        gone = f"  gone:\n    image: {shop.reference}\n    stop_signal: SIGKILL\n    volumes: ['kept:/data']\n"
        deploy(bench, shop, shop.compose(labelled).replace("volumes: {", f"{gone}volumes: {{"))
        deploy(bench, shop, shop.compose(labelled))
        before = rows(shop)
        shop.push("2", STAYS)

        bench.round()

        record = bench.newest(shop.unique)
        assert record.stage is Stage.COMPLETED, record.message
        assert "web updated" in record.message and "left as it is: gone, not in the stored" in record.message
        after = rows(shop)
        assert after["gone-1"]["Id"] == before["gone-1"]["Id"] and after["gone-1"]["State"]["Running"]
        assert after["web-1"]["Image"] == shop.means() != before["web-1"]["Image"]
        bench.round()
        assert bench.newest(shop.unique) == record, "nothing can come of another attempt"


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "by-hand"])
def test_an_image_that_failed_is_not_forgiven_by_an_update_in_which_nothing_ran_it(
    stored: bool, shop: Shop, docker_socket: str, docker_compose: Path, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    with working(tmp_path / "data", docker_socket, login=login_file(tmp_path, shop.registry)) as bench:
        if stored:
            deploy(bench, shop, shop.compose())
        else:
            bring_up(shop, shop.compose(), tmp_path, docker_compose)
        shop.push("2", """CMD ["sh","-c","exit 3"]""")
        assert bench.update(shop.unique).stage is Stage.ROLLED_BACK
        failed = bench.parts.choices.quarantined(shop.unique, shop.reference)
        shop.daemon.call("POST", f"/containers/{shop.web}/stop")

        record = bench.update(shop.unique)

        assert record.stage is Stage.COMPLETED, record.message
        assert shop.runs() == shop.means() and shop.containers()[shop.web] == "created"
        assert bench.parts.choices.quarantined(shop.unique, shop.reference) == failed != ""


@pytest.mark.parametrize("restarted", [False, True], ids=["it comes back", "the agent is restarted"])
def test_a_tag_that_the_daemon_was_away_for_is_given_back_when_it_answers(
    restarted: bool, shop: Shop, docker_socket: str, tmp_path: Path
) -> None:
    shop.push("1", STAYS)
    login, notes = login_file(tmp_path, shop.registry), tmp_path / "data" / "state" / "updates"
    with FaultProxy(docker_socket) as proxy, working(tmp_path / "data", proxy.socket_path, login=login) as bench:
        deploy(bench, shop, shop.compose())
        old = shop.means()
        shop.push("2", """CMD ["sh","-c","exit 3"]""")
        proxy.cut("POST", "/images/.*/tag", When.BEFORE, times=None)

        record = bench.update(shop.unique)

        assert (record.stage, record.error_code) == (Stage.ROLLED_BACK, ErrorCode.HEALTH_PROBE_FAILED), record.message
        assert f"the tag {shop.reference} could not be given back" in record.message
        assert "when Docker answers again" in record.message
        assert shop.runs() == old != shop.means()
        with pytest.raises(AlreadyRunning):
            bench.updates.trigger(shop.unique)
        if not restarted:
            proxy.clear()
            wait_for(lambda: not bench.updates.running(shop.unique), "the tags", 30)
            assert shop.means() == old and not list(notes.glob("*"))
    if restarted:
        with working(tmp_path / "data", docker_socket) as bench:
            wait_for(lambda: not bench.updates.running(shop.unique), "the tags", 30)
            assert shop.means() == old and not list(notes.glob("*"))
            assert bench.parts.records.newest(shop.unique) == record
