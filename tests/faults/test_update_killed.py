"""The agent is killed in each stage of an update; its next start leaves the old containers or the new, and an end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional

import pytest

from dockpal_agent.apps.record import Record
from dockpal_agent.apps.stages import ErrorCode, Stage
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.faults.proxy import Call, FaultProxy, When
from tests.integration.updating import STAYS, Bench, Shop, bring_up, deploy, login_file, working

NEVER: Final = "no call"


@dataclass(frozen=True)
class Kill:
    """At the nth call of this kind, before it reaches the daemon or when that has done it; what is then. `row` is its
    row in docs/updates.md.
    """

    row: str
    method: str
    path: str
    before: bool
    stage: Stage
    code: Optional[ErrorCode]
    nth: int = 1


PULLING: Final = "while pulling"
RECREATING: Final = "while recreating, or while the gate watches"
COMMITTED: Final = "after the verdict"
BACK, NOT_MADE = Stage.ROLLED_BACK, ErrorCode.COMPOSE_ERROR
KILLS: Final = {
    "pulling": Kill(PULLING, "POST", "/images/create", False, Stage.FAILED, ErrorCode.PULL_ERROR),
    "pulled": Kill(RECREATING, "POST", "/containers/create", True, BACK, NOT_MADE),
    "created": Kill(RECREATING, "POST", "/containers/create", False, BACK, NOT_MADE),
    "old stopped": Kill(RECREATING, "POST", "/containers/[^/]+/stop", False, BACK, NOT_MADE),
    "new named": Kill(RECREATING, "POST", "/containers/[^/]+/rename", False, BACK, NOT_MADE, nth=2),
    "new started": Kill(RECREATING, "POST", "/containers/[^/]+/start", False, BACK, NOT_MADE),
    "verifying": Kill(RECREATING, NEVER, "", False, BACK, NOT_MADE),
    "committed": Kill(COMMITTED, "DELETE", "/containers/[^/]+", True, Stage.COMPLETED, None),
    "old removed": Kill(COMMITTED, "DELETE", "/containers/[^/]+", False, Stage.COMPLETED, None),
}
# Of each moment, which of the two ways to bring the new images up is tried.
TRIED: Final = [
    *(("pulling", True), ("pulled", False), ("created", True), ("old stopped", False), ("new named", True)),
    *(("new started", False), ("verifying", True), ("verifying", False), ("committed", True), ("committed", False)),
    ("old removed", True),
]


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    shop.clean()


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


def killed(kill: Kill, shop: Shop, proxy: FaultProxy, data: Path, login: Path) -> None:
    """An update in another process, until the kill."""
    grace = "30" if kill.method == NEVER else "2"
    arguments = [proxy.socket_path, str(data), str(login), shop.unique, grace]
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.updated", *arguments])

    def end(seen: Call) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(20)

    try:
        if kill.method == NEVER:
            records = data / "state" / "updates.jsonl"
            wait_for(lambda: records.exists() and '"verifying"' in records.read_text(), "the gate", 60)
            process.send_signal(signal.SIGKILL)
        elif kill.before:
            proxy.cut(kill.method, kill.path, When.BEFORE, nth=kill.nth)
            proxy.before(kill.method, kill.path, end, nth=kill.nth, times=1)
        else:
            proxy.after(kill.method, kill.path, end, nth=kill.nth, times=1)
        assert process.wait(90) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait(20)


def only_end(bench: Bench) -> Record:
    """The one attempt that there was, once it has ended."""
    wait_for(lambda: not bench.parts.records.unfinished(), "the end of the interrupted attempt", 60)
    (record,) = bench.parts.records.history(bench.app, 10)
    return record


@pytest.mark.parametrize(("moment", "stored"), TRIED)
def test_killed_in_an_update_the_next_start_ends_it_with_the_old_containers_or_the_new(
    moment: str,
    stored: bool,
    shop: Shop,
    proxy: FaultProxy,
    docker_socket: str,
    docker_compose: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill, data = KILLS[moment], tmp_path / "data"
    login = login_file(tmp_path, shop.registry)
    shop.push("1", STAYS)
    if stored:
        with working(data, docker_socket) as bench:
            deploy(bench, shop, shop.compose())
    else:
        bring_up(shop, shop.compose(), tmp_path, docker_compose)
    old = shop.means()
    shop.write_data()
    shop.push("2", STAYS)

    killed(kill, shop, proxy, data, login)

    proxy.clear()
    proxy.hang("*", "/containers/json", times=None)  # until somebody listens
    with working(data, proxy.socket_path, login=login, grace=1.0, app=shop.unique) as bench:
        proxy.clear()
        record = only_end(bench)
        assert (record.stage, record.error_code) == (kill.stage, kill.code), record.message
        assert "the agent ended during this update" in record.message
        assert [event["stage"] for event in bench.heard(record)] == [kill.stage.value]
        came_up = kill.stage is Stage.COMPLETED
        assert (shop.runs() == old) is not came_up
        assert (shop.means() == old) is not came_up
        assert shop.containers() == {shop.web: "running", f"{shop.unique}-db-1": "running"}
        assert shop.data() == b"precious\n"
        assert not list((data / "state" / "updates").glob("*"))
        assert not list((data / "state" / "replacements").glob("*"))
        assert bench.parts.choices.quarantined(shop.unique, shop.reference) == ""
        again = bench.update(shop.unique)
        assert again.stage is Stage.COMPLETED, again.message
        assert shop.runs() != old and shop.data() == b"precious\n"
    with capsys.disabled():
        way = "stored" if stored else "by hand"
        print(f"\n| killed: {moment} ({way}) | {record.stage.value} | {record.message} |")


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
def test_the_docs_say_the_same_of_each_moment(kill: Kill) -> None:
    (line,) = [line for line in Path("docs/updates.md").read_text().splitlines() if line.startswith(f"| {kill.row} |")]
    code = f", `{kill.code.value}`" if kill.code else ""
    assert line.startswith(f"| {kill.row} | {kill.stage.value}{code};")


def test_a_daemon_that_is_away_at_the_start_is_waited_for(
    shop: Shop, proxy: FaultProxy, docker_socket: str, tmp_path: Path
) -> None:
    data, login = tmp_path / "data", login_file(tmp_path, shop.registry)
    shop.push("1", STAYS)
    with working(data, docker_socket) as bench:
        deploy(bench, shop, shop.compose())
    old = shop.means()
    shop.push("2", STAYS)
    killed(KILLS["created"], shop, proxy, data, login)
    proxy.stop()
    with working(data, proxy.socket_path, login=login, app=shop.unique) as bench:
        assert bench.parts.records.newest(shop.unique) in bench.parts.records.unfinished()
        assert bench.updates.running(shop.unique)
        proxy.start()
        assert only_end(bench).stage is BACK and shop.runs() == old == shop.means()
        wait_for(lambda: not bench.updates.running(shop.unique), "the app to be free again")
