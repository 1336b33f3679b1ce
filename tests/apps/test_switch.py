"""The switch: what is said at once, what the stored file says in the end, and who has the last word."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

from dockpal_agent.apps.app import App, Member
from dockpal_agent.apps.choices import Choices, ChoicesFailed
from dockpal_agent.apps.listing import AUTO_UPDATE, Apps, NoSuchApp, opted_in
from dockpal_agent.apps.switch import LATER, Switch
from dockpal_agent.compose.apply import Outcome
from dockpal_agent.compose.lanes import Lanes, QueueFull, Work
from dockpal_agent.compose.plan import Plan
from dockpal_agent.compose.stored import StoredFailed
from tests.engines.daemon import wait_for

BOUND = 20.0


class OneApp(Apps):
    """A host with one app, and no engine."""

    def __init__(self) -> None:
        self.app = App("Shop", "shop", (Member("id", "web", "web", 1, "app:1", "sha256:1", "running", {}),))

    def all(self) -> list[App]:
        return [self.app]


class Projects:
    """Queues as they are, and files that hold the label only."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.files: dict[str, bool] = {"shop": False}  # by project: whether the label stands in it
        self.failure: Optional[Exception] = None
        self.written: list[bool] = []

    def is_stored(self, project: str) -> bool:
        return project in self.files

    def change(self, project: str, key: str, deed: Callable[[], None]) -> Work:
        return self.lanes.submit(Work(project, f"{key} {project}", f"{key} {project}", deed))

    def relabel(self, project: str, enabled: bool) -> object:
        if self.failure is not None:
            raise self.failure
        self.written.append(enabled)
        self.files[project] = enabled
        return None

    def hold(self) -> threading.Event:
        """Keep the project's queue busy until the event is set."""
        go, begun = threading.Event(), threading.Event()

        def deed() -> None:
            begun.set()
            assert go.wait(BOUND)

        self.change("shop", "deploy", deed)
        assert begun.wait(BOUND)
        return go


class House:
    """A switch with what it stands on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.choices = Choices(directory / "apps.json")
        self.apps = OneApp()
        self.projects = Projects()
        self.switch = Switch(self.apps, self.choices, self.projects)

    @property
    def on(self) -> bool:
        """What the list and the schedule say."""
        return opted_in(self.apps.app, self.choices)

    @property
    def idle(self) -> bool:
        return not self.projects.lanes.busy("shop")

    def be_impatient(self) -> None:
        """Do not wait for the file."""
        self.switch = Switch(self.apps, self.choices, self.projects, file_within=0.01)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    assert house.projects.lanes.close(BOUND)


def outcome(*, labelled: bool = False, kept: Optional[dict[str, dict[str, dict[str, str]]]] = None) -> Outcome:
    return Outcome(Plan("shop", (), kept_labels=kept or {}), {}, auto_update_labelled=labelled)


@pytest.mark.parametrize("name", ["Shop", "shop"])
def test_the_list_and_the_file_say_so_and_both_are_kept(house: House, name: str) -> None:
    assert house.switch.set(name, True) == ""
    assert house.on and house.projects.files == {"shop": True}
    assert Choices(house.directory / "apps.json").switch("shop") is True

    assert house.switch.set(name, False) == ""
    assert not house.on and house.projects.files == {"shop": False}


def test_a_project_without_a_stored_file_can_be_switched_too(house: House) -> None:
    house.projects.files.clear()

    assert house.switch.set("shop", True) == ""
    assert house.on and house.projects.written == []


def test_an_unknown_app_is_not_switched(house: House) -> None:
    with pytest.raises(NoSuchApp, match="app not found"):
        house.switch.set("other", True)
    assert house.choices.switch("other") is None


def test_a_choice_that_cannot_be_kept_is_not_made(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)

    with pytest.raises(ChoicesFailed, match="No space left on device"):
        house.switch.set("shop", True)

    assert not house.on and house.projects.written == []


@pytest.mark.parametrize("failure", [StoredFailed("read-only file system"), QueueFull("8 changes wait")])
def test_where_the_file_cannot_be_changed_the_switch_counts_and_the_answer_says_why(
    house: House, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    house.projects.failure = failure

    note = house.switch.set("shop", True)

    assert str(failure) in note and str(failure) in caplog.text
    assert house.on and house.projects.files == {"shop": False}


def test_where_the_projects_folder_cannot_be_read_the_switch_counts_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(project: str) -> bool:
        raise StoredFailed("the files cannot be read: Input/output error")

    monkeypatch.setattr(house.projects, "is_stored", unreadable)
    assert "Input/output error" in house.switch.set("shop", True)
    assert house.on


def test_behind_a_long_change_the_answer_comes_at_once_and_the_file_follows(house: House) -> None:
    house.be_impatient()
    go = house.projects.hold()

    assert house.switch.set("shop", True) == LATER
    assert house.on and house.projects.files == {"shop": False}

    go.set()
    wait_for(lambda: house.projects.files == {"shop": True}, "the file")


def test_of_several_switches_behind_a_change_the_last_one_counts(house: House) -> None:
    house.be_impatient()
    go = house.projects.hold()
    for enabled in (True, False, True, False, False):
        house.switch.set("shop", enabled)
        assert house.on is enabled

    go.set()

    wait_for(lambda: house.idle, "all to have ended")
    assert not house.on and house.projects.files == {"shop": False}
    assert set(house.projects.written) == {False}, "what was switched back before its turn is not written"


def test_a_deploy_of_a_file_without_the_label_does_not_undo_the_switch(house: House) -> None:
    house.switch.set("shop", True)

    house.switch.on_deployed("shop", outcome())

    assert house.on


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_deploy_of_a_file_with_the_label_ends_the_switch(house: House, text: str) -> None:
    house.switch.set("shop", text != "true")
    assert house.on is (text != "true")
    house.apps.app = App("Shop", "shop", (_labelled(house.apps.app.members[0], text),))

    house.switch.on_deployed("shop", outcome(labelled=True))

    assert house.on is (text == "true") and house.choices.switch("shop") is None


def test_a_deploy_that_was_under_way_when_the_switch_came_does_not_end_it(house: House) -> None:
    house.be_impatient()
    go = house.projects.hold()
    house.switch.set("shop", True)
    house.switch.on_deployed("shop", outcome(labelled=True))  # the last that a deploy does in its turn
    assert not house.on

    go.set()

    wait_for(lambda: house.idle, "the switch's turn")
    assert house.on and house.projects.files == {"shop": True}


def test_what_the_file_says_of_kept_containers_is_noted_at_each_deploy(house: House) -> None:
    member = house.apps.app.members[0]
    house.switch.on_deployed("shop", outcome(kept={"web": {"": {AUTO_UPDATE: "true"}}}))
    assert house.choices.labels(member, "shop").get(AUTO_UPDATE) == "true"

    house.switch.on_deployed("shop", outcome())

    assert AUTO_UPDATE not in house.choices.labels(member, "shop")


def test_with_its_removal_a_projects_choices_are_forgotten(house: House) -> None:
    house.switch.set("shop", True)

    house.switch.on_removed("shop")

    assert not house.on and house.switch._wished == {}


def test_each_switch_is_logged_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    house.switch.set("shop", True)
    assert caplog.text.count("automatic updates are switched on") == 1


def _labelled(member: Member, text: str) -> Member:
    return Member(**{**vars(member), "labels": {AUTO_UPDATE: text}})
