"""The journal on disk: what is written is read by the next start, whatever moment the last one ended in."""

from __future__ import annotations

import errno
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.containers.aside import Was
from dockpal_agent.containers.journal import Entry, Journal, JournalFailed, Step, Taken


def entry(name: str = "web", old_id: str = "a" * 64) -> Entry:
    return Entry(name, old_id, Was.PAUSED, final_name="shop", policy={"Name": "always"}, kept={"Id": old_id})


def test_the_next_start_reads_what_was_written(tmp_path: Path) -> None:
    record = Journal(tmp_path / "j").open("edit of web")
    kept = entry()
    record.add(kept)
    record.step(kept, Step.CREATE_NEW)
    kept.new_id = "b" * 64
    record.note()

    [found] = Journal(tmp_path / "j").unfinished()

    assert (found.title, found.committed, found.entries) == ("edit of web", False, [kept])
    assert kept.began(Step.CREATE_NEW)
    assert not kept.began(Step.STOP_OLD)


def test_nobody_else_can_read_it_as_an_inspect_holds_secrets(tmp_path: Path) -> None:
    record = Journal(tmp_path / "j").open("edit of web")
    record.add(entry())

    [path] = (tmp_path / "j").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o700


def test_the_commit_is_one_write(tmp_path: Path) -> None:
    record = Journal(tmp_path / "j").open("edit of web")
    record.add(entry())
    record.commit()

    [found] = Journal(tmp_path / "j").unfinished()
    assert found.committed


def test_a_closed_group_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    record = journal.open("edit of web")
    record.add(entry())
    record.close()

    assert list((tmp_path / "j").iterdir()) == []
    assert journal.unfinished() == []
    assert not journal.waiting()


def test_what_is_being_worked_on_is_not_unfinished_until_it_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    record = journal.open("edit of web")
    record.add(entry())
    assert journal.unfinished() == []
    assert journal.busy_names() == {"web"}

    record.leave_open()

    assert journal.waiting()
    assert [found.title for found in journal.unfinished()] == ["edit of web"]


def test_one_container_is_in_one_group_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    first, second = journal.open("deploy of shop"), journal.open("edit of web")
    first.add(entry())

    with pytest.raises(Taken, match="deploy of shop is under way"):
        second.add(entry())
    assert second.entries == []

    first.close()
    second.add(entry())


def test_the_successor_of_a_group_under_way_is_in_no_other_group(tmp_path: Path) -> None:
    """While the group's gate watches it bears the name, so that an edit by name finds it."""
    journal = Journal(tmp_path / "j")
    update, edit = journal.open("deploy of shop"), journal.open("edit of web")
    update.add(replace(entry(), new_id="2" * 64))

    with pytest.raises(Taken, match="deploy of shop is under way"):
        edit.add(replace(entry(), old_id="2" * 64))

    update.close()
    edit.add(replace(entry(), old_id="2" * 64))


def test_an_unreadable_file_is_set_aside_and_does_not_stop_the_others(tmp_path: Path) -> None:
    record = Journal(tmp_path / "j").open("edit of web")
    record.add(entry())
    (tmp_path / "j" / "broken.json").write_text('{"title": "x", "entr')

    journal = Journal(tmp_path / "j")

    assert [found.title for found in journal.unfinished()] == ["edit of web"]
    assert (tmp_path / "j" / "broken.unreadable").exists()


@pytest.mark.parametrize("deed", ["add", "step", "commit"])
def test_what_cannot_be_written_has_not_been_begun(deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, "")

    record = Journal(tmp_path / "j").open("edit of web")
    known = entry()
    record.add(known)
    monkeypatch.setattr("dockpal_agent.containers.journal.write_json", full)

    with pytest.raises(JournalFailed, match="cannot be written: No space left on device"):
        {
            "add": lambda: record.add(entry("other", "c" * 64)),
            "step": lambda: record.step(known, Step.STOP_OLD),
            "commit": record.commit,
        }[deed]()

    assert record.entries == [known]
    assert known.steps == []
    assert not record.committed


def test_others_journals_are_named_as_busy(tmp_path: Path) -> None:
    Journal(tmp_path / "shell" / "shop").open("up of shop").add(entry("shop-web-1"))
    assert Journal(tmp_path / "j", others=tmp_path / "shell").busy_names() == {"shop-web-1"}
