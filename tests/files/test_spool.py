"""What is kept aside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dockpal_agent.files.errors import SpoolFull
from dockpal_agent.files.spool import IN_MEMORY, Spool, directory_for


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_what_was_written_is_read_again_as_often_as_needed(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    with Spool(str(tmp_path)) as spool:
        spool.fill([data[: size // 2], data[size // 2 :]])

        assert (b"".join(spool.chunks()), b"".join(spool.chunks()), spool.size) == (data, data, size)


def test_nothing_has_a_name_on_the_disk_while_it_is_kept(tmp_path: Path) -> None:
    with Spool(str(tmp_path)) as spool:
        spool.write(b"x" * (IN_MEMORY + 1))

        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(str(tmp_path))

    def full(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool._file, "write", full)

    with pytest.raises(SpoolFull, match=r"no room.*No space left on device"):
        spool.write(b"x")


def test_the_agents_own_disk_is_taken_where_it_can_be_written(tmp_path: Path) -> None:
    assert directory_for(tmp_path) == str(tmp_path)
    assert directory_for(tmp_path / "absent") is None
