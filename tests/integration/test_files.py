"""Files of real containers: kinds, links, mounts, owners, and what is refused and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockpal_agent.engine import Engine, NotFound
from dockpal_agent.files import listing
from dockpal_agent.files.deletion import delete
from dockpal_agent.files.errors import (
    NoProgram,
    OutOfReach,
    PathNotFound,
    ProtectedPath,
    TooLarge,
    TooSlow,
    WrongKind,
)
from dockpal_agent.files.listing import list_directory
from dockpal_agent.files.reading import READ_LIMIT, open_file, read_text
from dockpal_agent.files.spool import Spool
from dockpal_agent.files.writing import write
from tests.engines.daemon import Daemon

TREE = """
mkdir -p /d/sub/deep /real && cd /d
printf 'hello\\n' > file; printf '\\000\\377' > binary; : > empty
ln -s file link; ln -s /real away; ln -s ../../../../etc/passwd climb; ln -s nowhere broken; ln -s loop loop
mkfifo fifo; touch 'new
line' "q'uo\\"te" -- -dash; ln file hard
chown 7:8 file; chmod 4750 file
"""


def put(engine: Engine, container: str, path: str, data: bytes, name: str | None = None) -> str:
    with Spool() as spool:
        spool.write(data)
        return write(engine, container, path, spool, name=name)


def content(engine: Engine, container: str, path: str) -> str:
    return str(read_text(engine, container, path)["content"])


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """A running container with a tree of everything, a tmpfs, a volume, and a file that is a mount."""
    host = {"Tmpfs": {"/scratch": ""}, "Binds": [f"{unique}-data:/data"]}
    container = daemon.run(busybox, "sleep", "100000", name=f"{unique}-web", labels=labels, HostConfig=host)
    daemon.exec(container, "sh", "-c", TREE)
    daemon.exec(container, "sh", "-c", "echo kept > /data/kept; echo fleeting > /scratch/fleeting")
    return container


@pytest.fixture
def stopped(daemon: Daemon, web: str) -> str:
    daemon.call("POST", f"/containers/{web}/kill")
    daemon.call("POST", f"/containers/{web}/wait")
    return web


@pytest.mark.engines
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_directory_is_listed_with_kinds_sizes_owners_and_links(
    engine: Engine, request: pytest.FixtureRequest, state: str
) -> None:
    container = request.getfixturevalue("web" if state == "running" else "stopped")

    found = {entry.name: entry for entry in list_directory(engine, container, "/d")}

    assert {name: (entry.kind, entry.link) for name, entry in found.items()} == {
        "file": ("file", None),
        "hard": ("file", None),
        "binary": ("file", None),
        "empty": ("file", None),
        "new\nline": ("file", None),
        "q'uo\"te": ("file", None),
        "-dash": ("file", None),
        "fifo": ("fifo", None),
        "sub": ("directory", None),
        "link": ("link", "file"),
        "away": ("link", "/real"),
        "climb": ("link", "../../../../etc/passwd"),
        "broken": ("link", "nowhere"),
        "loop": ("link", "loop"),
    }
    assert (found["file"].size, found["hard"].size, found["binary"].size) == (6, 6, 2)
    assert (found["file"].mode, found["file"].uid, found["file"].gid) == (0o4750, 7, 8)


def test_the_root_and_what_a_link_leads_to_are_listed(engine: Engine, web: str) -> None:
    assert {"bin", "d", "real", "proc"} <= {entry.name for entry in list_directory(engine, web, "/")}
    put(engine, web, "/d/away/x", b"1")

    assert [entry.name for entry in list_directory(engine, web, "/d/away")] == ["x"]
    assert [entry.name for entry in list_directory(engine, web, "/real/")] == ["x"]


def test_a_huge_directory_is_listed_in_a_running_container(engine: Engine, daemon: Daemon, web: str) -> None:
    daemon.exec(web, "sh", "-c", "mkdir /huge; cd /huge; seq 1 10000 | xargs touch")

    assert len(list_directory(engine, web, "/huge")) == 10000


def test_a_directory_too_big_for_an_archive_is_refused_with_the_reason(
    engine: Engine, stopped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "ARCHIVE_LIMIT", 100_000)

    with pytest.raises(TooSlow, match="is exited, not running, so Docker must send all"):
        list_directory(engine, stopped, "/")


def test_links_are_followed_within_the_containers_own_root(engine: Engine, web: str) -> None:
    assert content(engine, web, "/d/link") == "hello\n"
    assert content(engine, web, "/d/climb") == "root:x:0:0:root:/:/bin/sh\n"


def test_text_and_binary_are_told_apart_and_both_are_exact(engine: Engine, web: str) -> None:
    assert read_text(engine, web, "/d/file") == {"content": "hello\n", "encoding": "utf-8", "binary": False, "size": 6}
    assert read_text(engine, web, "/d/binary") == {"content": "AP8=", "encoding": "base64", "binary": True, "size": 2}
    assert read_text(engine, web, "/d/empty")["content"] == ""


def test_what_is_too_large_for_json_says_to_download_it(engine: Engine, daemon: Daemon, web: str) -> None:
    daemon.exec(web, "sh", "-c", f"head -c {READ_LIMIT + 1} /dev/zero > /d/big")

    with pytest.raises(TooLarge, match="download it"):
        read_text(engine, web, "/d/big")


@pytest.mark.engines
@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("/d", WrongKind, "/d is a directory"),
        ("/d/fifo", WrongKind, "not a regular file"),
        ("/dev/zero", WrongKind, "not a regular file"),
        ("/d/loop", WrongKind, "circle"),
        ("/d/file/x", WrongKind, "/d/file is not a directory"),
        ("/d/broken", PathNotFound, "/d/nowhere"),
        ("/none/x", PathNotFound, "no such directory .*: /none"),
        ("/d/none", PathNotFound, "/d/none"),
        ("/proc/none", PathNotFound, "/proc/none"),
        ("/scratch/none", PathNotFound, "/scratch/none"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    engine: Engine, web: str, path: str, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        open_file(engine, web, path)


@pytest.mark.engines
def test_what_only_the_running_container_sees_is_read_and_listed_there(engine: Engine, web: str) -> None:
    assert content(engine, web, "/scratch/fleeting") == "fleeting\n"
    assert "Name:" in content(engine, web, "/proc/1/status")
    assert [entry.name for entry in list_directory(engine, web, "/scratch")] == ["fleeting"]
    assert "null" in [entry.name for entry in list_directory(engine, web, "/dev")]


def test_an_unknown_container_is_not_found(engine: Engine, unique: str) -> None:
    for call in (list_directory, open_file, delete):
        with pytest.raises(NotFound, match="No such container"):
            call(engine, f"{unique}-none", "/x")


@pytest.mark.engines
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_write_keeps_owner_and_mode_and_leaves_links_what_they_are(
    engine: Engine, daemon: Daemon, request: pytest.FixtureRequest, state: str
) -> None:
    container = request.getfixturevalue("web" if state == "running" else "stopped")

    assert put(engine, container, "/d/link", b"new") == "/d/file"

    if state == "stopped":
        daemon.call("POST", f"/containers/{container}/start")
    assert daemon.exec(container, "stat", "-c", "%a %u %g %s", "/d/file") == b"4750 7 8 3\n"
    assert daemon.exec(container, "readlink", "/d/link") == b"file\n"


def test_a_new_file_belongs_to_root_and_a_broken_link_gets_its_target(engine: Engine, daemon: Daemon, web: str) -> None:
    put(engine, web, "/d/broken", b"new")

    assert daemon.exec(web, "stat", "-c", "%a %u %g", "/d/nowhere") == b"644 0 0\n"


def test_an_upload_to_a_directory_gets_the_files_own_name(engine: Engine, web: str) -> None:
    written = [put(engine, web, path, b"x", name="dir/ü p.txt") for path in ("/d", "/d/sub/", "/d/away", "/d/plain")]

    assert written == ["/d/ü p.txt", "/d/sub/ü p.txt", "/real/ü p.txt", "/d/plain"]


@pytest.mark.engines
@pytest.mark.parametrize(
    ("path", "name", "kind", "reason"),
    [
        ("/d", None, WrongKind, "/d is a directory"),
        ("/d", "sub", WrongKind, "/d/sub is a directory"),
        ("/d/fifo", None, WrongKind, "not a regular file"),
        ("/d/file/", "x", WrongKind, "/d/file is not a directory"),
        ("/d/none/", "x", PathNotFound, "/d/none"),
        ("/d/none/deeper/x", None, PathNotFound, "no such directory .*: /d/none$"),
        ("/proc/sys/x", None, OutOfReach, "/proc"),
        ("/scratch/none/x", None, PathNotFound, "/scratch/none/x"),
        ("/scratch", None, WrongKind, "/scratch is a directory"),
        ("/scratch/fleeting/", "x", WrongKind, "/scratch/fleeting is not a directory"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(
    engine: Engine, web: str, path: str, name: str | None, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        put(engine, web, path, b"x", name)


def test_files_on_a_tmpfs_and_files_that_are_mounts_are_written_in_place(
    engine: Engine, daemon: Daemon, web: str
) -> None:
    daemon.exec(web, "sh", "-c", "chown 7:8 /scratch/fleeting; chmod 640 /scratch/fleeting; ls -i /etc/hosts > /inode")

    written = [
        put(engine, web, "/scratch/fleeting", b"new\n"),
        put(engine, web, "/scratch", b"up\n", name="uploaded"),
        put(engine, web, "/scratch/", b"up\n", name="-o p"),
        put(engine, web, "/etc/hosts", b"127.0.0.1 here\n"),
    ]

    assert written == ["/scratch/fleeting", "/scratch/uploaded", "/scratch/-o p", "/etc/hosts"]
    shown = daemon.exec(web, "sh", "-c", "cd /scratch; stat -c '%a %u %g' fleeting; cat fleeting uploaded './-o p'")
    assert shown == b"640 7 8\nnew\nup\nup\n"
    assert daemon.exec(web, "cat", "/etc/hosts") == b"127.0.0.1 here\n"
    assert daemon.exec(web, "sh", "-c", "ls -i /etc/hosts | cmp - /inode") == b""
    assert daemon.exec(web, "sh", "-c", "ls -a / | grep dockpal") == b""


def test_a_mounted_file_that_cannot_take_the_new_content_keeps_the_old(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    host = {"Tmpfs": {"/small": "size=64k"}, "Binds": [f"{unique}-v:/v"]}
    container = daemon.run(busybox, "sleep", "100000", name=f"{unique}-small", labels=labels, HostConfig=host)
    daemon.exec(container, "sh", "-c", "echo old > /small/file")

    with pytest.raises(OutOfReach, match=r"/small/file was not written: .*No space left.*; the old file is as it was"):
        put(engine, container, "/small/file", b"x" * 100_000)

    assert daemon.exec(container, "cat", "/small/file") == b"old\n"
    assert daemon.exec(container, "sh", "-c", "ls -a / | grep dockpal") == b""


def test_a_mounted_file_of_a_stopped_or_bare_container_is_refused_with_the_reason(
    engine: Engine, stopped: str, daemon: Daemon, scratch_image: str, unique: str, labels: dict[str, str]
) -> None:
    bare = daemon.run(scratch_image, name=f"{unique}-bare", labels=labels, HostConfig={"Tmpfs": {"/scratch": ""}})

    with pytest.raises(OutOfReach, match="/etc/hosts is itself a mount: Docker cannot replace it"):
        put(engine, stopped, "/etc/hosts", b"x")
    with pytest.raises(OutOfReach, match=r"/scratch.*only a running container itself sees.*no program stat"):
        put(engine, bare, "/scratch/x", b"x")


def test_nothing_is_written_under_a_tmpfs_of_a_stopped_container(engine: Engine, stopped: str) -> None:
    with pytest.raises(OutOfReach, match="/scratch"):
        put(engine, stopped, "/scratch/x", b"x")


def test_a_read_only_container_and_volume_say_so(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    host = {"ReadonlyRootfs": True, "Binds": [f"{unique}-ro:/ro:ro", f"{unique}-rw:/rw"]}
    container = daemon.run(busybox, "sleep", "1000", name=f"{unique}-fixed", labels=labels, HostConfig=host)

    for path in ("/etc/x", "/ro/x"):
        with pytest.raises(Exception, match="read-only"):
            put(engine, container, path, b"x")
    put(engine, container, "/rw/x", b"in the volume")

    assert content(engine, container, "/rw/x") == "in the volume"
    with pytest.raises(OutOfReach, match="Read-only file system"):
        delete(engine, container, "/etc/passwd")


def test_a_volume_is_written_in_a_stopped_container_too(engine: Engine, daemon: Daemon, stopped: str) -> None:
    put(engine, stopped, "/data/new", b"x")

    assert [entry.name for entry in list_directory(engine, stopped, "/data")] == ["kept", "new"]


def test_files_links_and_directories_are_deleted_and_nothing_else(engine: Engine, daemon: Daemon, web: str) -> None:
    put(engine, web, "/real/x", b"1")

    for path in ("/d/away", "/d/sub", "/d/q'uo\"te", "/d/-dash", "/scratch/fleeting", "/data/kept"):
        delete(engine, web, path)

    left = {entry.name for entry in list_directory(engine, web, "/d")}
    assert not {"away", "sub", "q'uo\"te", "-dash"} & left and "file" in left
    assert daemon.exec(web, "ls", "/real", "/data", "/scratch") == b"/data:\n\n/real:\nx\n\n/scratch:\n"
    with pytest.raises(PathNotFound, match="/d/sub"):
        delete(engine, web, "/d/sub")


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/etc/", "//etc", "/./etc/.", "/tmp", "/way/etc", "/usr/bin", "/way/usr/", "/proc/1", "/sys/x"],
)
def test_what_a_container_lives_by_is_never_deleted_however_it_is_named(
    engine: Engine, daemon: Daemon, web: str, path: str
) -> None:
    daemon.exec(web, "sh", "-c", "ln -s / /way; mkdir -p /usr; mv /bin /usr/bin; /usr/bin/ln -s usr/bin /bin")

    with pytest.raises(ProtectedPath, match="protected"):
        delete(engine, web, path)

    assert b"busybox" in daemon.exec(web, "ls", "/bin/")


@pytest.mark.parametrize(
    ("path", "reason"), [("/data", "is a mount"), ("/way/data", "is a mount"), ("/scratch", "is a mount")]
)
def test_a_mount_is_not_emptied_by_deleting_it(
    engine: Engine, daemon: Daemon, web: str, path: str, reason: str
) -> None:
    daemon.exec(web, "ln", "-s", "/", "/way")

    with pytest.raises(OutOfReach, match=reason):
        delete(engine, web, path)

    assert daemon.exec(web, "cat", "/data/kept") == b"kept\n"


def test_a_directory_that_holds_a_volume_is_not_deleted(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    host = {"Binds": [f"{unique}-v:/app/data"]}
    container = daemon.run(busybox, "sleep", "1000", name=f"{unique}-app", labels=labels, HostConfig=host)
    daemon.exec(container, "sh", "-c", "echo kept > /app/data/kept")

    with pytest.raises(OutOfReach, match="holds the mount /app/data"):
        delete(engine, container, "/app")

    assert daemon.exec(container, "cat", "/app/data/kept") == b"kept\n"


@pytest.mark.engines
def test_deleting_in_a_stopped_paused_or_bare_container_says_what_is_missing(
    engine: Engine, daemon: Daemon, stopped: str, scratch_image: str, unique: str, labels: dict[str, str]
) -> None:
    bare = daemon.run(scratch_image, name=f"{unique}-bare", labels=labels)
    put(engine, bare, "/x", b"1")

    with pytest.raises(OutOfReach, match="is exited: Docker can delete files only in a running container"):
        delete(engine, stopped, "/d/file")
    with pytest.raises(NoProgram, match="no program rm"):
        delete(engine, bare, "/x")
    daemon.call("POST", f"/containers/{bare}/pause")
    try:
        with pytest.raises(OutOfReach, match="is paused"):
            delete(engine, bare, "/x")
        assert content(engine, bare, "/x") == "1"
        assert "x" in [entry.name for entry in list_directory(engine, bare, "/")]
    finally:
        daemon.call("POST", f"/containers/{bare}/unpause")


def test_a_large_file_is_streamed_both_ways(engine: Engine, web: str, tmp_path: Path) -> None:
    before = _resident()
    with Spool(str(tmp_path)) as spool:
        for number in range(200):
            spool.write(bytes([number]) * (1 << 20))
        write(engine, web, "/d/large", spool)
    file = open_file(engine, web, "/d/large")
    count = 0
    for part in file.chunks:
        assert part[0] == part[-1] or count % (1 << 20) + len(part) > 1 << 20
        count += len(part)
    file.close()

    assert count == 200 << 20
    assert _resident() - before < 16 << 20


def _resident() -> int:
    """The most this process ever had in memory, bytes."""
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmHWM"].split()[0]) << 10
