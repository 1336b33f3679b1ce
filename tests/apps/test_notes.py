"""The way back of an attempt, on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dockpal_agent.apps.notes import Note, Notes, NotesFailed

NOTE = Note(
    "1-shop",
    "shop",
    {"nginx:1": "sha256:a", "new:1": ""},
    {"web": ["sha256:a", "sha256:b"]},
    {"web": "sha256:c"},
    {"nginx:1": "sha256:c"},
)


def test_a_note_is_read_as_it_was_written_and_is_gone_when_removed(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "updates")
    assert notes.read("1-shop") is None
    notes.write(NOTE)
    assert Notes(tmp_path / "updates").read("1-shop") == NOTE
    notes.remove("1-shop")
    notes.remove("1-shop")
    assert notes.read("1-shop") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"project":"shop"}', '{"project":"shop","tags":[],"old":{},"new":{}}']
)
def test_one_that_cannot_be_read_counts_as_none(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1-shop.json").write_text(text)
    assert Notes(tmp_path).read("1-shop") is None
    assert "1-shop cannot be read" in caplog.text


def test_one_that_an_older_agent_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "1-shop.json").write_text(
        '{"version":1,"project":"shop","tags":{"nginx":"sha256:a"},"old":{},"new":{}}'
    )
    assert Notes(tmp_path).read("1-shop") == Note("1-shop", "shop", {"nginx": "sha256:a"})


def test_notes_of_attempts_that_have_ended_are_swept(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.keep_only(set())
    for attempt_id in ("1-shop", "2-shop"):
        notes.write(Note(attempt_id, "shop"))
    notes.keep_only({"2-shop"})
    assert notes.read("1-shop") is None and notes.read("2-shop") is not None


def test_what_is_left_to_give_back_outlives_a_restart_and_is_not_swept(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.write(NOTE)
    assert notes.left() == [] and notes.left_of("1-shop") is None
    notes.leave(NOTE)
    left = replace(NOTE, ended=True)
    assert notes.left_of("1-shop") == left
    again = Notes(tmp_path)
    assert again.left() == [left]
    again.keep_only({"1-shop"})
    assert again.left_of("1-shop") == left
    again.remove("1-shop")
    assert again.left() == [] and again.left_of("1-shop") is None


def test_a_disk_that_takes_nothing_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "updates").write_text("a file, where a folder should be")
    with pytest.raises(NotesFailed, match="the way back cannot be written"):
        Notes(tmp_path / "updates").write(NOTE)


def test_a_tag_that_two_attempts_move_goes_back_to_what_it_meant_before_both(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.write(Note("1-shop", "shop", tags={"nginx": "sha256:a"}))

    assert notes.meant(["docker.io/library/nginx:latest", "redis:7"]) == {"docker.io/library/nginx:latest": "sha256:a"}

    notes.remove("1-shop")
    assert notes.meant(["nginx"]) == {}


def test_what_one_attempt_has_proven_is_what_the_others_go_back_to_also_after_a_restart(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    shop, blog = Note("1-shop", "shop", tags={"nginx": "sha256:a"}), Note("2-blog", "blog", tags={"nginx": "sha256:a"})
    notes.write(shop)
    notes.write(blog)

    notes.proven(shop, {"nginx:latest": "sha256:b"})
    notes.write(replace(blog, new={"web": "sha256:b"}))

    expected = replace(blog, tags={"nginx": "sha256:b"}, new={"web": "sha256:b"})
    assert notes.latest(blog).tags == expected.tags
    assert Notes(tmp_path).read("2-blog") == expected
    assert notes.latest(shop) == shop
