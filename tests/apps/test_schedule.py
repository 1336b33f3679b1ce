"""Which apps are updated by themselves after a round, which are skipped, and what is told."""

from __future__ import annotations

import calendar
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from dockpal_agent.apps.app import App, Member
from dockpal_agent.apps.checks import Checks
from dockpal_agent.apps.choices import Choices
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.listing import AUTO_UPDATE, Apps
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.schedule import Schedule
from dockpal_agent.apps.selection import Due
from dockpal_agent.apps.stages import Stage
from dockpal_agent.apps.window import MIN_AGE, WINDOW
from dockpal_agent.config import Config
from dockpal_agent.engine import EngineUnavailable
from dockpal_agent.images.check import ImageUpdateResult

OLD, NEW, NEWER = (f"sha256:{digit * 64}" for digit in "abc")
RUNS = f"sha256:{'1' * 64}"  # the image id of every container here
NOON = float(calendar.timegm((2026, 6, 15, 12, 0, 0)))
HOUR = 3600.0


class FixedApps(Apps):
    """The apps of a host, without an engine."""

    def __init__(self) -> None:
        self.there: list[App] = []
        self.failure: Optional[Exception] = None

    def all(self) -> list[App]:
        if self.failure is not None:
            raise self.failure
        return self.there


class Begun:
    """Notes which updates are begun."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.asked: list[tuple[str, list[str]]] = []
        self.due: Due = lambda app: ()  # what it was told to ask when its turn comes

    def running(self, project: str) -> bool:
        return project in self.busy

    def automatic(self, app: App, services: Collection[str], due: Due) -> object:
        self.due = due
        self.asked.append((app.name, sorted(services)))
        return None


class House:
    """A schedule with all that it asks; the registry has a newer image of `app:1`."""

    def __init__(self, directory: Path, config: Config) -> None:
        self.now = NOON
        self.apps = FixedApps()
        self.updates = Begun()
        self.checks = Checks(directory / "checks.json", now=lambda: self.now)
        self.choices = Choices(directory / "apps.json")
        self.records = Records(directory / "updates.jsonl", now=lambda: self.now)
        self.feed = UpdateFeed(now=lambda: self.now)
        self.view = self.feed.open()
        self.local: Callable[[float], time.struct_time] = time.localtime
        known = (self.checks, self.choices, self.records, self.feed, config)
        self.schedule = Schedule(
            self.apps, self.updates, *known, now=lambda: self.now, local=lambda moment: self.local(moment)
        )
        self.checks.note_image({"Id": RUNS, "RepoDigests": [f"app@{OLD}", f"other@{OLD}"]})
        self.publish("app:1", NEW)

    def publish(self, reference: str, digest: str) -> None:
        result = ImageUpdateResult(False, remote_digest=digest, checked_at=int(self.now))
        self.checks.note(reference, result)

    def round(self) -> list[tuple[str, list[str]]]:
        """What one round begins: (app, services)."""
        self.updates.asked.clear()
        self.schedule.after_round()
        return self.updates.asked

    def told(self) -> list[dict[str, Any]]:
        """What the feed got since the last look."""
        events = []
        while (event := self.view.next(0)) is not None:
            events.append(event)
        return events


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, Config())


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def member(service: str = "web", image: str = "app:1", state: str = "running") -> Member:
    return Member(f"id-{service}", service, service, 1, image, RUNS, state, {AUTO_UPDATE: "true"})


def labelled(labels: dict[str, str], service: str = "web", image: str = "app:1") -> Member:
    plain = member(service, image)
    return replace(plain, labels={**plain.labels, **labels})


def app(*members: Member, name: str = "shop") -> App:
    return App(name, name, members or (member(),))


def test_an_app_that_opted_in_and_runs_an_outdated_image_is_updated(house: House) -> None:
    house.apps.there = [app(member("db", "other:1"), member("web"))]

    assert house.round() == [("shop", ["web"])] and house.told() == []


def test_each_app_is_considered_for_itself(house: House) -> None:
    house.apps.there = [app(name="a"), app(labelled({AUTO_UPDATE: "false"}), name="b"), app(name="c")]

    assert house.round() == [("a", ["web"]), ("c", ["web"])]


@pytest.mark.parametrize(("switch", "expected"), [(True, 1), (False, 0), (None, 0)])
def test_the_switch_has_the_last_word(house: House, switch: Optional[bool], expected: int) -> None:
    house.apps.there = [app(labelled({AUTO_UPDATE: ""}))]
    house.choices.set_switch("shop", switch)

    assert len(house.round()) == expected


def test_switched_off_as_a_whole_nothing_is_begun_or_told(tmp_path: Path) -> None:
    house = House(tmp_path, Config(auto_update_enabled=False))
    house.apps.there = [app(labelled({WINDOW: "01:00-02:00"}))]

    assert house.round() == [] and house.told() == []


@pytest.mark.parametrize("state", ["exited", "created", "paused", "dead", "restarting"])
def test_what_does_not_run_is_not_updated_by_itself(house: House, state: str) -> None:
    house.apps.there = [app(member(state=state))]

    assert house.round() == []


def test_a_container_that_runs_the_newest_image_needs_nothing(house: House) -> None:
    house.publish("app:1", OLD)
    house.apps.there = [app()]

    assert house.round() == []


def test_what_failed_its_gate_is_not_tried_again_until_the_tag_moves_on(house: House) -> None:
    house.apps.there = [app()]
    house.choices.quarantine("shop", {"app:1": NEW})
    assert house.round() == [] and house.told() == []

    house.publish("app:1", NEWER)

    assert house.round() == [("shop", ["web"])]


WATCHTOWER = "com.centurylinklabs.watchtower.enable"


def test_a_service_that_refuses_is_left_out_and_the_others_are_updated(house: House) -> None:
    house.publish("other:1", NEW)
    refusing = labelled({WATCHTOWER: "false"}, "db", "other:1")
    house.apps.there = [app(refusing, replace(member("db"), number=2), member("web"))]

    assert house.round() == [("shop", ["web"])]


def test_an_image_of_a_service_that_refuses_is_left_to_its_other_services_too(house: House) -> None:
    house.apps.there = [app(labelled({WATCHTOWER: "False"}, "db"), member("web"))]

    assert house.round() == []


def test_watchtowers_other_word_is_no_refusal(house: House) -> None:
    house.apps.there = [app(labelled({WATCHTOWER: "true"}))]

    assert house.round() == [("shop", ["web"])]


@pytest.mark.parametrize("label", ["dockpal.agent", "dockpal.protected"])
def test_an_app_with_a_protected_container_is_not_tried_in_vain(house: House, label: str) -> None:
    house.apps.there = [app(labelled({label: "true"}), member("db"))]

    assert house.round() == []


def test_a_new_image_waits_until_it_is_old_enough(house: House) -> None:
    house.apps.there = [app(labelled({MIN_AGE: "1d12h"}))]
    house.now = NOON + 36 * HOUR - 1
    assert house.round() == [] and house.told() == []

    house.now = NOON + 36 * HOUR

    assert house.round() == [("shop", ["web"])]


@pytest.mark.parametrize("state", ["running", "exited"])
def test_an_image_that_several_services_use_is_to_be_old_enough_for_all(house: House, state: str) -> None:
    careful = replace(labelled({MIN_AGE: "72h"}, "db"), state=state)
    house.apps.there = [app(careful, member("web"))]
    assert house.round() == []

    house.now = NOON + 72 * HOUR

    assert house.round() == [("shop", ["db", "web"] if state == "running" else ["web"])]


def test_the_age_is_that_of_the_newest_image_and_not_of_the_last_question(house: House) -> None:
    house.apps.there = [app(labelled({MIN_AGE: "10h"}))]
    house.now = NOON + 9 * HOUR
    house.publish("app:1", NEW)
    house.now = NOON + 10 * HOUR
    assert house.round() != []

    house.publish("app:1", NEWER)
    assert house.round() == []


def test_an_age_that_is_none_is_said_and_not_heeded(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.apps.there = [app(labelled({MIN_AGE: "a week"}))]

    assert house.round() == [("shop", ["web"])] and "a week is no duration" in caplog.text


@pytest.mark.parametrize("triggered_by", ["auto", "user:agent"])
def test_within_the_cooldown_it_is_skipped_and_told_in_each_round(house: House, triggered_by: str) -> None:
    house.apps.there = [app()]
    attempt = house.records.begin("shop", triggered_by, {})
    house.records.move(attempt.attempt_id, Stage.COMPLETED)
    for minutes in (10, 40):
        house.now = NOON + minutes * 60
        assert house.round() == []
        (event,) = house.told()
        assert event == {
            "attempt_id": "", "instance_id": "", "app": "shop", "stage": "pending", "error_code": "skipped_cooldown",
            "message": f"the last attempt began {minutes} min ago; the next one may begin in {60 - minutes} min",
            "at": int(house.now * 1e6),
        }  # fmt: skip
    assert [record.attempt_id for record in house.records.history("shop", 9)] == [attempt.attempt_id]

    house.now = NOON + 60 * 60

    assert house.round() == [("shop", ["web"])] and house.told() == []


def test_an_attempt_of_the_future_is_another_clocks(house: House) -> None:
    house.apps.there = [app()]
    house.now = NOON + 5 * HOUR
    house.records.begin("shop", "auto", {})
    house.now = NOON

    assert house.round() == [("shop", ["web"])]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (["11:00-13:00"], True),
        (["12:00-13:00"], True),
        (["11:00-12:00"], False),
        (["22:00-05:00"], False),
        (["22:00-12:01"], True),
        (["", "11:00-13:00"], True),
        (["11:00-13:00", "01:00-02:00"], False),
        (["noon"], True),
    ],
)
def test_outside_a_window_it_is_skipped_and_told(house: House, windows: list[str], expected: bool) -> None:
    house.apps.there = [app(*(labelled({WINDOW: text}, f"s{number}") for number, text in enumerate(windows)))]

    assert bool(house.round()) is expected

    events = house.told()
    assert [event["error_code"] for event in events] == ([] if expected else ["skipped_window"])
    assert all("it is 12:00 on this host" in event["message"] for event in events)


def test_one_that_waits_for_its_turn_is_asked_about_again_when_it_comes(house: House) -> None:
    shop = app(labelled({WINDOW: "12:00-12:10"}))
    house.apps.there = [shop]
    assert house.round() == [("shop", ["web"])]
    house.now = NOON + 9 * 60
    assert list(house.updates.due(shop)) == ["web"] and house.told() == []

    house.now = NOON + 10 * 60

    assert not house.updates.due(shop)
    assert [event["error_code"] for event in house.told()] == ["skipped_window"]
    house.now = NOON
    house.choices.set_switch("shop", False)
    assert not house.updates.due(shop) and house.told() == []


def test_a_window_goes_by_the_hosts_clock_not_by_the_agents(house: House) -> None:
    house.apps.there = [app(labelled({WINDOW: "01:00-02:00"}))]
    house.local = lambda moment: time.gmtime(moment + 13.5 * HOUR)
    assert house.round() == [("shop", ["web"])] and house.told() == []

    house.apps.there = [app(labelled({WINDOW: "11:00-13:00"}))]
    assert house.round() == [] and "it is 01:30 on this host" in house.told()[0]["message"]


def test_a_window_says_nothing_where_there_is_nothing_to_update(house: House) -> None:
    house.publish("app:1", OLD)
    house.apps.there = [app(labelled({WINDOW: "01:00-02:00"}))]

    assert house.round() == [] and house.told() == []


def test_the_labels_of_the_deployed_file_count(house: House) -> None:
    kept = replace(member(), labels={AUTO_UPDATE: "true", "com.docker.compose.config-hash": "h"})
    house.apps.there = [app(kept)]
    house.choices.note_kept("shop", {"web": {"h": {WINDOW: "01:00-02:00"}}})

    assert house.round() == [] and house.told()[0]["error_code"] == "skipped_window"


def test_while_an_update_of_it_runs_or_waits_nothing_is_begun_or_told(house: House) -> None:
    house.apps.there = [app(labelled({WINDOW: "01:00-02:00"}))]
    house.updates.busy.add("shop")

    assert house.round() == [] and house.told() == []


def test_without_a_daemon_the_round_is_over_and_said(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.apps.failure = EngineUnavailable("the Docker daemon does not answer")

    assert house.round() == [] and "does not answer" in caplog.text
