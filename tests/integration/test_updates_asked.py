"""Who asks for an update, when, and what comes of that, on a real engine with a registry that wants a password.

`ROWS` is a table of docs/updates.md. Each row is a test, which prints what it saw.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Final

import pytest

from dockpal_agent.api.auth import Guard
from dockpal_agent.api.messages import Body, Json, Query, Request
from dockpal_agent.api.router import Router
from dockpal_agent.api.routes import ALIASES, ROUTES
from dockpal_agent.api.service import Service
from dockpal_agent.apps.stages import Stage
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.integration.updating import STAYS, Bench, Shop, deploy, login_file, working

AUTO: Final = "dockpal.auto-update: 'true'"
NIGHT: Final = "dockpal.auto-update.window: '23:00-01:30'"
WHOLE: Final = ["pulling", "recreating", "verifying", "completed"]


@dataclass(frozen=True)
class Row:
    """`what` is asked for; the `answer`, the feed's events, how many records the app has then, which image runs."""

    what: str
    answer: str
    feed: list[str]
    records: int
    runs: str
    ask: Callable[[Bench, Shop], str]
    labels: str = AUTO

    def line(self) -> str:
        """As docs/updates.md has it."""
        feed = " → ".join(f"`{each}`" if "_" in each else each for each in self.feed) or "–"
        return f"| {self.what} | {self.answer} | {feed} | {self.records or '–'} | {self.runs} |"


def post_update(bench: Bench, name: str) -> str:
    """The answer to the Server's call."""
    service = Service(Router(ROUTES, ALIASES), Guard(("t",)), bench.agent)
    request = Request("POST", f"/agent/docker/apps/{name}/update", Query(None), {}, Body.of(b""))
    answer = service.answer(request, trusted=True)
    assert isinstance(answer, Json)
    value = json.loads(answer.encode())
    return f"{answer.status}" + (f" `{value['error'].partition(':')[0]}`" if "error" in value else "")


def by_hand(bench: Bench, shop: Shop) -> str:
    return post_update(bench, shop.unique)


def two_at_once(bench: Bench, shop: Shop) -> str:
    answers: list[str] = []
    ready = threading.Barrier(2)

    def ask() -> None:
        ready.wait(10)
        answers.append(post_update(bench, shop.unique))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return ", ".join(sorted(answers))


def attempted(bench: Bench, shop: Shop) -> None:
    """An attempt just now, of another kind: nothing was newer then."""
    record = bench.parts.records.begin(shop.unique, "auto", {})
    bench.heard(bench.parts.records.move(record.attempt_id, Stage.COMPLETED))
    bench.told.clear()


def by_hand_within_the_cooldown(bench: Bench, shop: Shop) -> str:
    attempted(bench, shop)
    return by_hand(bench, shop)


def by_itself(clock: str) -> Callable[[Bench, Shop], str]:
    def ask(bench: Bench, shop: Shop) -> str:
        bench.look()
        bench.act(clock)
        return "–"

    return ask


def by_itself_within_the_cooldown(bench: Bench, shop: Shop) -> str:
    attempted(bench, shop)
    return by_itself("12:00")(bench, shop)


ROWS: Final = (
    Row("by hand", "202", WHOLE, 1, "new", by_hand),
    Row("by hand, twice at once", "202, 409 `update_already_running`", WHOLE, 1, "new", two_at_once),
    Row("by hand, within the cooldown", "202", WHOLE, 2, "new", by_hand_within_the_cooldown),
    Row("by hand, outside the window", "202", WHOLE, 1, "new", by_hand, f"{AUTO}, {NIGHT}"),
    Row("by itself", "–", WHOLE, 1, "new", by_itself("12:00")),
    Row("by itself, switched off", "–", [], 0, "old", by_itself("12:00"), "dockpal.auto-update: 'false'"),
    Row(
        *("by itself, within the cooldown", "–", ["skipped_cooldown"], 1, "old"),
        by_itself_within_the_cooldown,
    ),
    Row(
        *("by itself, window 23:00-01:30, at 22:59", "–", ["skipped_window"], 0, "old"),
        *(by_itself("22:59"), f"{AUTO}, {NIGHT}"),
    ),
    Row("by itself, window 23:00-01:30, at 23:00", "–", WHOLE, 1, "new", by_itself("23:00"), f"{AUTO}, {NIGHT}"),
    Row("by itself, window 23:00-01:30, at 01:29", "–", WHOLE, 1, "new", by_itself("01:29"), f"{AUTO}, {NIGHT}"),
    Row(
        *("by itself, window 23:00-01:30, at 01:30", "–", ["skipped_window"], 0, "old"),
        *(by_itself("01:30"), f"{AUTO}, {NIGHT}"),
    ),
)


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    shop.clean()


def heard(bench: Bench, shop: Shop) -> list[str]:
    """Each of the feed's events of the app once, skips by their code."""
    events: list[dict[str, Any]] = [event for event in list(bench.told) if event["app"] == shop.unique]
    return list(dict.fromkeys(event.get("error_code") or event["stage"] for event in events))


@pytest.mark.parametrize("row", ROWS, ids=[row.what.replace(" ", "-") for row in ROWS])
def test_what_comes_of_it_is_as_the_table_says(
    row: Row, shop: Shop, docker_socket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.push("1", STAYS)
    login = login_file(tmp_path, shop.registry)
    with working(tmp_path / "data", docker_socket, login=login, auto_update_cooldown=3600.0, grace=1.0) as bench:
        deploy(bench, shop, shop.compose(f"labels: {{{row.labels}}}"))
        old = shop.runs()
        shop.write_data()
        shop.push("2", STAYS)

        assert row.ask(bench, shop) == row.answer

        wait_for(lambda: not bench.updates.running(shop.unique), "the end of the update", 60)
        wait_for(lambda: len(heard(bench, shop)) >= len(row.feed), "the feed", 10)
        assert heard(bench, shop) == row.feed
        records = bench.parts.records.history(shop.unique, 10)
        assert len(records) == row.records and all(record.ended for record in records)
        assert (shop.runs() == old) is (row.runs == "old") and shop.means() == shop.runs()
        assert shop.data() == b"precious\n"
    with capsys.disabled():
        print(f"\n{row.line()}")


def test_the_table_in_the_docs_is_this_one() -> None:
    _, _, after = Path("docs/updates.md").read_text().partition("| who asks, and when |")
    lines = after.partition("\n\n")[0].splitlines()
    assert lines[2:] == [row.line() for row in ROWS]
