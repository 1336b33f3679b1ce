"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dockpal_agent import storage


def test_a_written_file_has_its_content_and_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    storage.write_atomic(tmp_path / "a", "text", mode=0o640)

    assert (tmp_path / "a").read_text() == "text"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_atomic(tmp_path / "a", "old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        storage.write_atomic(tmp_path / "a", "new")

    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_json_comes_back_and_an_absent_file_is_none(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "a", {"b": [1, "ü"]})

    assert storage.read_json(tmp_path / "a") == {"b": [1, "ü"]}
    assert storage.read_json(tmp_path / "none") is None


def test_a_private_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    storage.make_private_directory(tmp_path / "x" / "state")
    storage.make_private_directory(tmp_path / "x" / "state")

    assert stat.S_IMODE((tmp_path / "x" / "state").stat().st_mode) == 0o700
