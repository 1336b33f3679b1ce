"""The whole way of an update that nobody asks for: the registry has a newer image, and the agent finds out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.api.agent import Agent
from dockpal_agent.apps.feed import View
from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import Registry
from tests.integration.edits import house, small_config
from tests.integration.updating import GRACE, STAYS, Bench, Shop, deploy, login_file


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    shop.clean()


@pytest.fixture
def agent(docker_socket: str, tmp_path: Path, registry: Registry) -> Iterator[Agent]:
    """An agent that asks registries every second, after its first seconds."""
    config = replace(
        small_config(tmp_path, docker_socket),
        registry_auth_file=login_file(tmp_path, registry),
        auto_update_health_grace=GRACE,
        image_check_interval=1.0,
    )
    with house(config) as service:
        yield service.agent


class Heard:
    """The feed's events of one app, as they come."""

    def __init__(self, view: View, app: str) -> None:
        self._view = view
        self._app = app
        self.events: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._listen, name="feed", daemon=True)

    def __enter__(self) -> Heard:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._view.close()
        self._thread.join(10)

    def _listen(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                event = self._view.next(60)
                if event is not None and event["app"] == self._app:
                    self.events.append(event)

    def stages(self) -> list[str]:
        """Each stage once, as it followed another; skips by their code."""
        stages = [event.get("error_code") or event["stage"] for event in list(self.events)]
        return [stage for place, stage in enumerate(stages) if stage not in stages[max(place - 1, 0) : place]]


def summary(agent: Agent, name: str) -> dict[str, Any]:
    (found,) = [app for app in agent.apps.list() if app["name"] == name]
    return found


def test_a_newer_image_is_found_brought_up_and_recorded_and_the_next_one_waits_for_the_cooldown(
    shop: Shop, agent: Agent
) -> None:
    shop.push("1", STAYS)
    labels = 'labels: {dockpal.auto-update: "true"}'
    deploy(Bench(agent, agent.updates, agent.updates._parts), shop, shop.compose(labels))
    shop.write_data()
    first = shop.runs()
    with Heard(agent.update_feed.open(), shop.unique) as heard:
        assert heard.stages() == []
        shop.push("2", STAYS)

        wait_for(lambda: "completed" in heard.stages(), "the update", 90)

        second = shop.runs()
        assert second != first and shop.means() == second and shop.data() == b"precious\n"
        assert heard.stages()[:4] == ["pulling", "recreating", "verifying", "completed"]
        (record,) = agent.app_records.history(shop.unique, 9)
        app = summary(agent, shop.unique)
        assert (record.triggered_by, app["has_update"]) == ("auto", False)
        assert app["last_update"]["attempt_id"] == record.attempt_id

        shop.push("3", STAYS)
        wait_for(lambda: "skipped_cooldown" in heard.stages(), "a word on the cooldown", 30)

    assert shop.runs() == second and agent.app_records.history(shop.unique, 9) == [record]
    assert summary(agent, shop.unique)["has_update"]


def test_who_did_not_opt_in_is_told_of_updates_only_until_the_switch(shop: Shop, agent: Agent) -> None:
    shop.push("1", STAYS)
    deploy(Bench(agent, agent.updates, agent.updates._parts), shop, shop.compose())
    first = shop.runs()
    shop.push("2", STAYS)
    wait_for(lambda: summary(agent, shop.unique)["has_update"], "the check", 30)
    assert shop.runs() == first and agent.app_records.newest(shop.unique) is None

    assert agent.switch.set(shop.unique, True) == ""

    wait_for(lambda: shop.runs() != first, "the update", 60)
    wait_for(lambda: (found := agent.app_records.newest(shop.unique)) is not None and found.ended, "its end", 60)
