"""The files of projects: as sent, put back, rotated, removed, and never through a container's symbolic link."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from dockpal_agent.compose.deployrequest import DeployRequest
from dockpal_agent.compose.projectfolder import ProjectFolder
from dockpal_agent.compose.stored import NotOurFile, Stored, StoredFailed

ONE = DeployRequest(
    "My.App", "# one\nservices: {}\n", env_file="A=1\n", files={"conf/web.conf": "one", "run.sh": "#!x"}
)
TWO = DeployRequest("My.App", "# two\nservices: {}\n", env={"B": "it's"}, files={"conf/web.conf": "two", "new": "n"})


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "compose")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "compose" / "myapp"


def deployed(stored: Stored, request: DeployRequest, readable: tuple[str, ...] = ()) -> None:
    stored.begin(request, "deploy-1", {"web": ["h"]}, readable)
    stored.commit(request.name)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_what_is_stored_is_what_was_sent_and_only_what_containers_mount_is_readable(
    stored: Stored, folder: Path
) -> None:
    os.umask(0o077)
    deployed(stored, ONE, ("conf/web.conf", "run.sh"))
    found = modes(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "docker-compose.yml").read_text() == ONE.compose
    assert {name: found[name] for name in ("docker-compose.yml", ".env", "conf", "conf/web.conf", "run.sh")} == {
        "docker-compose.yml": 0o600,
        ".env": 0o600,
        "conf": 0o755,
        "conf/web.conf": 0o644,
        "run.sh": 0o755,
    }
    assert stored.load("my-app") is None and stored.load("myapp") == ONE
    assert stored.display_name("MYAPP") == "My.App" and stored.projects() == ["myapp"]


def test_the_deploy_before_is_kept_beside_and_what_it_alone_had_is_gone(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE)
    deployed(stored, TWO)
    assert stored.load("My.App") == TWO and stored.previous("My.App") == ONE
    assert (folder / "docker-compose.previous.yml").read_text() == ONE.compose
    assert not (folder / "run.sh").exists() and (folder / "new").read_text() == "n"
    assert "B=it's" in (folder / ".env").read_text()
    deployed(stored, TWO)
    assert stored.previous("My.App") == ONE, "the same again replaces nothing"


def test_a_file_of_the_deploy_before_that_the_user_changed_stays(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE)
    (folder / "run.sh").write_text("mine")
    deployed(stored, TWO)
    assert (folder / "run.sh").read_text() == "mine"


def test_rolled_back_every_file_is_as_it_was_and_what_was_new_is_gone(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE, ("conf/web.conf",))
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    stored.begin(TWO, "deploy-2", {"web": ["h2"]}, ())
    pending = stored.pending("My.App")
    assert pending is not None and (pending.deploy_id, pending.hashes) == ("deploy-2", {"web": ["h2"]})
    assert (folder / "conf/web.conf").read_text() == "two"
    for _ in range(2):  # a kill may make it happen twice
        stored.roll_back("My.App")
    after = {path: (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert after == before and stored.pending("My.App") is None


def test_a_first_deploy_that_is_rolled_back_leaves_nothing_but_what_was_there(stored: Stored, folder: Path) -> None:
    stored.begin(ONE, "deploy-1", {}, ())
    stored.roll_back("My.App")
    assert not folder.exists()
    folder.mkdir(parents=True)
    (folder / "docker-compose.yml").write_bytes(b"# \xff mine\n")
    stored.begin(ONE, "deploy-1", {}, ())
    assert (folder / "docker-compose.yml").read_text() == ONE.compose
    stored.roll_back("My.App")
    assert (folder / "docker-compose.yml").read_bytes() == b"# \xff mine\n"
    assert os.listdir(folder) == ["docker-compose.yml"]


@pytest.mark.parametrize("name", [".env", "conf/web.conf"])
def test_a_file_that_no_deploy_has_put_there_is_not_overwritten(stored: Stored, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(NotOurFile, match=f"{name} .*not overwritten"):
        stored.begin(ONE, "deploy-1", {}, ())
    assert (folder / name).read_text() == "mine" and stored.pending("My.App") is None
    (folder / name).write_text("A=1\n" if name == ".env" else "one")  # the same text is no loss
    deployed(stored, ONE)
    (folder / name).write_text("by hand")  # of the deploy that stands: a deploy replaces it
    deployed(stored, replace(ONE, env_file="A=2\n"))
    assert (folder / name).read_text() == ("A=2\n" if name == ".env" else "one")


def test_what_cannot_be_written_whole_is_not_begun(
    stored: Stored, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(stored, ONE)
    write = ProjectFolder.write

    def full(self: ProjectFolder, name: str, text: str, mode: int) -> None:
        if text == "n":
            raise OSError(28, "No space left on device")
        write(self, name, text, mode)

    monkeypatch.setattr(ProjectFolder, "write", full)
    with pytest.raises(StoredFailed, match="No space left"):
        stored.begin(TWO, "deploy-2", {}, ())
    assert stored.load("My.App") == ONE and stored.pending("My.App") is None
    assert (folder / "conf/web.conf").read_text() == "one"


def test_a_change_by_hand_is_what_is_deployed_next(stored: Stored, folder: Path) -> None:
    deployed(stored, replace(TWO, env_file="A=1\n"))
    (folder / "docker-compose.yml").write_text("# by hand\n")
    (folder / "conf/web.conf").write_text("by hand")
    found = stored.load("My.App")
    assert found is not None and (found.compose, found.env) == ("# by hand\n", {"B": "it's"})
    assert found.files == {"conf/web.conf": "by hand", "new": "n"}
    (folder / ".env").write_text("C=3\n")
    found = stored.load("My.App")
    assert found is not None and (found.env_file, found.env) == ("C=3\n", {})


def test_files_that_are_not_sent_again_stay_and_an_empty_map_removes_them(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE)
    deployed(stored, stored.complete(replace(ONE, compose="# three\n", files=None)))
    assert (folder / "conf/web.conf").read_text() == "one"
    deployed(stored, stored.complete(replace(ONE, compose="# four\n", files={})))
    assert not (folder / "conf").exists()


def test_the_folder_of_the_original_agent_is_read_and_its_file_kept_as_the_deploy_before(
    stored: Stored, folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "docker-compose.yml").write_text("# original\n")
    assert stored.load("myapp") == DeployRequest("myapp", "# original\n")
    deployed(stored, ONE)
    assert (folder / "docker-compose.previous.yml").read_text() == "# original\n"


def test_removed_is_what_was_written_and_the_rest_is_named(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE)
    deployed(stored, TWO)
    (folder / "data").mkdir()
    (folder / "data" / "db").write_text("precious")
    assert stored.remove("My.App") == [str(folder / "data")]
    assert os.listdir(folder) == ["data"] and (folder / "data" / "db").read_text() == "precious"
    deployed(stored, ONE)
    (folder / "data" / "db").unlink()
    (folder / "data").rmdir()
    assert stored.remove("My.App") == [] and not folder.exists()
    assert stored.remove("never-there") == []


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_that_a_container_put_into_the_folder_leads_nowhere(
    stored: Stored, folder: Path, tmp_path: Path, target: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "web.conf").write_text("not ours")
    folder.mkdir(parents=True)
    if target == "folder":
        (folder / "conf").symlink_to(outside)
    else:
        (folder / "conf").mkdir()
        (folder / "conf" / "web.conf").symlink_to(outside / "web.conf")
    with pytest.raises(StoredFailed):
        stored.begin(ONE, "deploy-1", {}, ())
    assert (outside / "web.conf").read_text() == "not ours" and os.listdir(outside) == ["web.conf"]
    assert not (folder / "docker-compose.yml").exists()


def test_files_that_lie_in_the_folder_and_that_the_file_names_are_found_and_no_others(
    stored: Stored, folder: Path, tmp_path: Path
) -> None:
    (folder / "env").mkdir(parents=True)
    for name in ("app.env", "env/b.env", "unnamed.env", "the first.env", "the second.env"):
        (folder / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (folder / "linked.env").symlink_to(tmp_path / "secret")
    (folder / "binary").write_bytes(b"\xff")
    compose = "env_file: [./app.env, 'env/b.env', linked.env, ../../secret, binary, /etc/passwd]\nimage: app.env:1\n"
    blanks = 'env_file:\n  - ./the first.env  # comment\n  - "the second.env"\n'
    found = stored.mentioned(DeployRequest("myapp", compose + blanks))
    assert found == {name: name for name in ("app.env", "env/b.env", "the first.env", "the second.env")}


def test_a_record_that_is_broken_is_set_aside_and_the_files_themselves_count(stored: Stored, folder: Path) -> None:
    deployed(stored, ONE)
    (folder / ".dockpal" / "current.json").write_text("{")
    assert stored.load("myapp") == DeployRequest("myapp", ONE.compose)
    (folder / ".dockpal" / "current.json").write_text(json.dumps({"name": 1}))
    with pytest.raises(StoredFailed, match="not the agent's own"):
        stored.load("myapp")


@pytest.mark.parametrize("after", range(1, 12))
def test_killed_after_any_write_of_a_commit_the_next_one_finishes_it(
    stored: Stored, folder: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Each change of the folder is one step; the process ends before step number `after`."""
    deployed(stored, ONE)
    stored.begin(TWO, "deploy-2", {}, ())
    steps = 0

    class Killed(BaseException):
        pass

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def step(self: ProjectFolder, *arguments: Any) -> None:
            nonlocal steps
            steps += 1
            if steps == after:
                raise Killed
            real(self, *arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(ProjectFolder, "write", counted(ProjectFolder.write))
        patch.setattr(ProjectFolder, "remove", counted(ProjectFolder.remove))
        try:
            stored.commit("My.App")
        except Killed:
            pass
    stored.commit("My.App")
    assert stored.load("My.App") == TWO and stored.previous("My.App") == ONE and stored.pending("My.App") is None
    assert not (folder / "run.sh").exists()
