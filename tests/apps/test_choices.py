"""What was chosen for an app: it holds at once, over a restart, and over damage."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from dockpal_agent.apps import choices as choices_module
from dockpal_agent.apps.app import Member
from dockpal_agent.apps.choices import Choices, ChoicesFailed

DIGEST = "sha256:" + "b" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "apps.json"


def member(labels: dict[str, str], config_hash: str = "old") -> Member:
    """A container of the service `web` with these labels."""
    compose = {"com.docker.compose.service": "web", "com.docker.compose.config-hash": config_hash}
    return Member("id", "shop-web-1", "web", 1, "nginx", "sha256:a", "running", {**labels, **compose})


def test_a_switch_is_as_it_was_set_last_also_after_a_restart(path: Path) -> None:
    choices = Choices(path)
    assert choices.switch("shop") is None

    for switched in (True, False, None, True):
        choices.set_switch("shop", switched)
        assert choices.switch("shop") is Choices(path).switch("shop") is switched
    assert choices.switch("blog") is None


def test_a_containers_own_labels_hold_where_no_deploy_says_others(path: Path) -> None:
    labels = {"dockpal.auto-update": "true", "dockpal.project": "Shop", "maintainer": "me"}

    effective = Choices(path).labels(member(labels), "shop")

    assert effective == {"dockpal.auto-update": "true", "dockpal.project": "Shop"}


def test_what_the_file_says_of_a_kept_container_goes_over_its_labels(path: Path) -> None:
    choices = Choices(path)
    own = {"dockpal.auto-update": "true", "dockpal.auto-recover": "true", "dockpal.project": "Shop"}
    choices.note_kept(
        "shop", {"web": {"old": {"dockpal.auto-update": "false", "dockpal.auto-recover": "", "dockpal.x": "1"}}}
    )

    for known in (choices, Choices(path)):
        assert known.labels(member(own), "shop") == {
            "dockpal.auto-update": "false",
            "dockpal.project": "Shop",
            "dockpal.x": "1",
        }
        assert known.labels(member(own, "new"), "shop") == own  # it was made since, with the file's labels
        assert known.labels(member(own), "blog") == own


def test_the_next_deploys_word_takes_the_place_of_this_ones(path: Path) -> None:
    choices = Choices(path)
    choices.note_kept("shop", {"web": {"old": {"dockpal.x": "1"}}, "db": {"h": {"dockpal.x": "1"}}})
    choices.note_kept("shop", {"web": {"old": {"dockpal.x": "2"}}})
    assert choices.labels(member({}), "shop") == {"dockpal.x": "2"}

    choices.note_kept("shop", {})

    assert choices.labels(member({}), "shop") == {}
    assert json.loads(path.read_text())["projects"] == []


@pytest.mark.parametrize(
    ("noted", "asked"), [("nginx", "docker.io/library/nginx:latest"), ("127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1")]
)
def test_quarantine_is_of_a_reference_in_any_form(path: Path, noted: str, asked: str) -> None:
    choices = Choices(path)

    choices.quarantine("shop", {noted: DIGEST})

    assert choices.quarantined("shop", asked) == Choices(path).quarantined("shop", asked) == DIGEST
    assert choices.quarantined("blog", asked) == ""
    assert choices.quarantined("shop", asked + "-2") == ""
    choices.release("shop", [asked])
    assert choices.quarantined("shop", noted) == Choices(path).quarantined("shop", noted) == ""


def test_quarantine_of_one_reference_leaves_that_of_another(path: Path) -> None:
    choices = Choices(path)
    choices.quarantine("shop", {"nginx:1": "sha256:a", "redis:7": "sha256:b"})
    choices.quarantine("shop", {"nginx:1": "sha256:c"})
    choices.release("shop", ["mysql"])

    assert [choices.quarantined("shop", name) for name in ("nginx:1", "redis:7")] == ["sha256:c", "sha256:b"]


def test_a_removed_project_is_forgotten_with_all_of_it(path: Path) -> None:
    choices = Choices(path)
    choices.set_switch("shop", True)
    choices.quarantine("shop", {"nginx": DIGEST})
    choices.set_switch("blog", True)

    choices.forget("shop")

    known = Choices(path)
    assert (known.switch("shop"), known.quarantined("shop", "nginx"), known.switch("blog")) == (None, "", True)


def test_a_switch_that_cannot_be_kept_is_refused_with_words_and_stays_as_it_was(path: Path) -> None:
    choices = Choices(path)
    choices.set_switch("shop", True)
    path.parent.rename(path.parent.with_name("away"))
    path.parent.write_text("no directory")

    with pytest.raises(ChoicesFailed, match="shop cannot be kept: "):
        choices.set_switch("shop", False)

    assert choices.switch("shop") is True


def test_what_an_update_notes_holds_also_where_nothing_can_be_written(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choices = Choices(path)
    path.parent.write_text("no directory")

    choices.quarantine("shop", {"nginx": DIGEST})
    assert "shop" in caplog.text
    assert choices.quarantined("shop", "nginx") == DIGEST

    path.parent.unlink()
    choices.set_switch("blog", True)
    assert Choices(path).quarantined("shop", "nginx") == DIGEST


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 99}', "\0" * 50, "[" * 100_000])
def test_a_file_that_cannot_be_used_is_set_aside(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_text(damage)

    choices = Choices(path)
    choices.set_switch("shop", True)

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert (path.parent / "apps.json.unreadable").read_text() == damage
    assert Choices(path).switch("shop") is True


@pytest.mark.parametrize(
    "projects",
    [{}, [5], [{}], [{"project": "shop", "switch": "yes", "labels": 5, "quarantine": [], "other": 1}],
     [{"project": "shop", "labels": {"web": {"old": 5}, "db": 5}}]],
)  # fmt: skip
def test_entries_of_another_shape_are_passed_over(path: Path, projects: object) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "projects": projects}))

    choices = Choices(path)

    assert (choices.switch("shop"), choices.labels(member({}), "shop")) == (None, {})


def test_projects_that_are_long_gone_are_forgotten_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices_module, "MOST_PROJECTS", 3)
    choices = Choices(path)
    for name in ("b", "a", "d"):
        choices.set_switch(name, True)
    choices = Choices(path)
    choices.set_switch("b", False)  # chosen again: it is the newest now

    choices.set_switch("c", True)

    assert [choices.switch(name) for name in "abcd"] == [None, False, True, True]


def test_nothing_is_written_where_nothing_changes(path: Path) -> None:
    choices = Choices(path)
    choices.note_kept("shop", {})
    choices.release("shop", ["nginx"])
    choices.forget("shop")

    assert not path.exists()
