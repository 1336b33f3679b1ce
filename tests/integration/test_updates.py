"""Updates of apps on a real engine, with images from a registry with a password: each way in which one can end.

`ROWS` is the table of docs/updates.md. Each row is a test, which prints what it saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Final, Optional

import pytest

from dockpal_agent.apps.record import Record
from dockpal_agent.apps.stages import ErrorCode, Stage
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy
from tests.integration.test_edit_update_image import load_foreign
from tests.integration.updating import GRACE, STAYS, Bench, Shop, bring_up, deploy, login_file, working
from tests.server_standin.shapes import APP_RECORD, problems

HEALTHY: Final = 'HEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD ["test","-f","/data/started"]'
FALLS: Final = (
    """CMD ["sh","-c","touch /tmp/well; sleep 5; rm /tmp/well; sleep 1000"]""",
    'HEALTHCHECK --interval=1s --timeout=2s --retries=1 CMD ["test","-f","/tmp/well"]',
)
SLOW: Final = (
    """CMD ["sh","-c","sleep 7; touch /tmp/well; sleep 1000"]""",
    'HEALTHCHECK --interval=2s --timeout=2s --start-period=8s CMD ["test","-f","/tmp/well"]',
)
CANNOT_START: Final = ("""CMD ["no-such-program"]""",)
REACHES: Final = {
    Stage.PULLING: ["pulling"],
    Stage.RECREATING: ["pulling", "recreating"],
    Stage.VERIFYING: ["pulling", "recreating", "verifying"],
}


STORED, BY_HAND = "stored", "by hand"  # who brought the app up: the agent, which has its file, or docker compose
BOTH: Final = (STORED, BY_HAND)


@dataclass(frozen=True)
class Row:
    """A way in which an update can go. `reaches` is the last stage before the end; `says` are parts of its message.

    `new` are the Dockerfile lines of the new image, `web` lines of the service in the Compose file. `before` is done
    before the update, `during` when it verifies; `login` says whether the agent has a login file. `ways` are those
    tried, where the way makes a difference both.
    """

    name: str
    end: Stage
    code: Optional[ErrorCode]
    reaches: Stage
    runs: str  # which image afterwards: old or new
    says: tuple[str, ...]
    new: tuple[str, ...] = (STAYS,)
    web: str = ""
    login: bool = True
    before: Callable[[Shop, FaultProxy], None] = lambda shop, proxy: None
    during: Callable[[Shop, FaultProxy], None] = lambda shop, proxy: None
    grace: float = GRACE
    ways: tuple[str, ...] = BOTH

    @property
    def quarantined(self) -> bool:
        """Whether the image is not tried again by itself: it ran badly, or could not be started at all."""
        return self.code is UNHEALTHY or self.before is foreign or self.new == CANNOT_START


def delete_manifest(shop: Shop, proxy: FaultProxy) -> None:
    shop.forget()


def refuse_create(shop: Shop, proxy: FaultProxy) -> None:
    proxy.refuse("POST", "/containers/create", message="no space left on device", times=1)


def remove_old_image(shop: Shop, proxy: FaultProxy) -> None:
    """The image that the way back leads to, taken away while the gate watches."""
    old = next(entry for entry in shop.daemon.containers(name=[shop.web]) if ".dockpal-old." in entry["Names"][0])
    removed = shop.daemon.answer("DELETE", f"/images/{old['ImageID']}", {"force": 1})
    assert removed.status == 200, removed.body


def stop_by_hand(shop: Shop, proxy: FaultProxy) -> None:
    shop.daemon.call("POST", f"/containers/{shop.web}/stop")


def foreign(shop: Shop, proxy: FaultProxy) -> None:
    """The tag means an image for another processor now, here and in the registry."""
    was = shop.means()
    load_foreign(shop.daemon, f"dockpal-test/{shop.unique}:foreign", "s390x")
    shop.registry.push(shop.daemon, f"dockpal-test/{shop.unique}:foreign", shop.name)
    shop.daemon.call("POST", f"/images/{was}/tag", {"repo": shop.reference[:-2], "tag": "1"})


COMPLETED, FAILED, BACK = Stage.COMPLETED, Stage.FAILED, Stage.ROLLED_BACK
UNHEALTHY, NOT_MADE = ErrorCode.HEALTH_PROBE_FAILED, ErrorCode.COMPOSE_ERROR
PULL, RECREATE, VERIFY = Stage.PULLING, Stage.RECREATING, Stage.VERIFYING

ROWS: Final = (
    Row("a newer image", COMPLETED, None, VERIFY, "new", ("web updated", "web-1 runs")),
    Row("a newer image with a health check", COMPLETED, None, VERIFY, "new", ("web-1 is healthy",), (STAYS, HEALTHY)),
    Row(
        *("a health check that speaks after the grace", COMPLETED, None, VERIFY, "new", ("web-1 is healthy",), SLOW),
        ways=(BY_HAND,),
    ),
    Row("nothing newer", COMPLETED, None, PULL, "old", ("already up to date",), (), ways=(BY_HAND,)),
    Row(
        *("the pull fails", FAILED, ErrorCode.PULL_ERROR, PULL, "old", ("manifest unknown", "nothing was changed")),
        before=delete_manifest,
        ways=(STORED,),
    ),
    Row(
        *("no credentials", FAILED, ErrorCode.AUTH_MISSING, PULL, "old"),
        ("DOCKPAL_REGISTRY_AUTH_FILE", "nothing was changed"),
        login=False,
        ways=(BY_HAND,),
    ),
    Row(
        *("an image for another processor", FAILED, ErrorCode.PULL_ERROR, PULL, "old"),
        ("is for s390x", "nothing was changed"),
        before=foreign,
        ways=(STORED,),
    ),
    Row(
        *("it starts and exits", BACK, UNHEALTHY, VERIFY, "old", ("exit code 3", "cannot go on")),
        ("""CMD ["sh","-c","sleep 1; echo cannot go on; exit 3"]""",),
    ),
    Row(
        *("it exits again and again, and is restarted", BACK, UNHEALTHY, VERIFY, "old", ("again and again",)),
        ("""CMD ["sh","-c","sleep 0.3; exit 3"]""",),
        web="restart: unless-stopped",
        ways=(STORED,),
    ),
    Row(
        *("it turns unhealthy at second 5", BACK, UNHEALTHY, VERIFY, "old", ("is unhealthy", "health check")),
        FALLS,
        grace=8.0,
    ),
    Row(
        *("the create is refused", BACK, NOT_MADE, RECREATE, "old", ("no space left on device", "nothing was changed")),
        before=refuse_create,
    ),
    Row(
        *("it cannot be started", BACK, NOT_MADE, RECREATE, "old", ("executable file not found", "put back")),
        CANNOT_START,
    ),
    Row(
        *("the image to go back to was removed", BACK, UNHEALTHY, VERIFY, "old", ("is unhealthy",)),
        FALLS,
        during=remove_old_image,
        grace=8.0,
    ),
    Row(
        *("web was stopped by hand", COMPLETED, None, VERIFY, "new", ("web updated",)),
        before=stop_by_hand,
    ),
)


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    shop.clean()


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


def check_record(bench: Bench, record: Record, stages: list[str]) -> None:
    """The record is what the Server can read, and the feed told the same."""
    assert problems(APP_RECORD, record.as_json()) == []
    assert list(dict.fromkeys(event.stage.value for event in record.events)) == stages
    assert record.completed_at is not None
    told = [event for event in bench.heard(record) if event["attempt_id"] == record.attempt_id]
    assert list(dict.fromkeys(event["stage"] for event in told)) == stages
    assert told[-1].get("error_code") == (record.error_code.value if record.error_code else None)
    assert told[-1]["message"] == record.message and told[-1]["at"] == record.completed_at


@pytest.mark.parametrize(
    ("row", "way"),
    [pytest.param(row, way, id=f"{row.name}, {way}".replace(" ", "-")) for row in ROWS for way in row.ways],
)
def test_an_update_ends_as_the_table_says_and_leaves_what_it_says(
    row: Row,
    way: str,
    shop: Shop,
    proxy: FaultProxy,
    docker_compose: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry) if row.login else None
    with working(tmp_path / "data", proxy.socket_path, login=login, grace=row.grace) as bench:
        if way == STORED:
            deploy(bench, shop, shop.compose(row.web))
        else:
            bring_up(shop, shop.compose(row.web), tmp_path, docker_compose)
        old, db = shop.means(), shop.daemon.inspect(f"{shop.unique}-db-1")["Id"]
        shop.write_data()
        if row.new:
            shop.push("2", *row.new)
        row.before(shop, proxy)
        state = shop.containers()

        attempt_id = bench.updates.trigger(shop.unique)
        if row.during is not Row.during:
            wait_for(lambda: bench.parts.records.get(attempt_id).stage is Stage.VERIFYING, "the gate", 30)
            row.during(shop, proxy)
        record = bench.ended(attempt_id)

        assert (record.stage, record.error_code) == (row.end, row.code), record.message
        for words in row.says:
            assert words in record.message, record.message
        check_record(bench, record, [*REACHES[row.reaches], row.end.value])
        assert (shop.runs() == old) is (row.runs == "old")
        if row.runs == "new":
            assert shop.runs() == shop.means()
            assert record.services["web"]["new_digest"] != record.services["web"]["previous_digest"]
        elif row.during is not remove_old_image:
            assert shop.means() == old  # a redeploy brings up what runs now
        assert shop.containers().keys() == state.keys()
        assert (shop.containers()[shop.web] == "running") is (state[shop.web] == "running")
        if state[shop.web] == "running":
            assert shop.data() == b"precious\n"
        assert shop.daemon.inspect(f"{shop.unique}-db-1")["Id"] == db
        assert not list((bench.agent.config.state_dir / "updates").glob("*"))
        assert not list((bench.agent.config.state_dir / "replacements").glob("*"))
        quarantined = bench.parts.choices.quarantined(shop.unique, shop.reference)
        assert bool(quarantined) is row.quarantined
        if way == STORED:
            kept = (bench.agent.config.compose_dir / shop.unique / "docker-compose.yml").read_text()
            assert kept == shop.compose(row.web)
    with capsys.disabled():
        print(f"\n| {row.name} ({way}) | {table_line(row)} | {record.message} |")


def table_line(row: Row) -> str:
    """A row as docs/updates.md has it."""
    stages = " → ".join([*REACHES[row.reaches], row.end.value])
    return f"{stages} | {row.code.value if row.code else ''} | {row.runs}"


def test_the_table_in_the_docs_is_this_one() -> None:
    _, _, after = Path("docs/updates.md").read_text().partition("| what | stages | error code | runs afterwards |")
    lines = after.partition("\n\n")[0].splitlines()
    assert lines[2:] == [f"| {row.name} | {table_line(row)} |" for row in ROWS]
