"""A write that Docker fails at, at each of its steps: the old file is there again, or it is said that it is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dockpal_agent.engine import Engine
from dockpal_agent.files import writing
from dockpal_agent.files.errors import FilesError, OutOfReach, SpoolFull, TooLarge, WriteFailed
from dockpal_agent.files.spool import Spool
from dockpal_agent.files.writing import write
from tests.engines.daemon import Daemon
from tests.faults.proxy import Call, FaultProxy, When

ARCHIVE = "/containers/.*/archive"


@pytest.fixture
def proxy(docker_socket: str) -> Iterator[FaultProxy]:
    with FaultProxy(docker_socket) as proxy:
        yield proxy


@pytest.fixture
def broken(proxy: FaultProxy) -> Iterator[Engine]:
    engine = Engine(proxy.socket_path)
    yield engine
    engine.close()


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    container = daemon.run(busybox, "sleep", "100000", name=f"{unique}-web", labels=labels)
    daemon.exec(container, "sh", "-c", "mkdir /d; echo old > /d/file; chown 7:8 /d/file; chmod 600 /d/file")
    return container


def put(engine: Engine, container: str, path: str, data: bytes) -> None:
    with Spool() as spool:
        spool.write(data)
        write(engine, container, path, spool)


def state(daemon: Daemon, container: str, path: str = "/d/file") -> bytes:
    return daemon.exec(container, "sh", "-c", f"stat -c '%a %u %g' {path}; cat {path}")


OLD = b"600 7 8\nold\n"


def spoil(daemon: Daemon, container: str) -> None:
    """What a PUT that was cut off in the middle leaves behind."""
    daemon.exec(container, "sh", "-c", "rm -f /d/file; printf half > /d/file")


def test_a_put_that_never_arrives_leaves_the_old_file_and_says_so(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine
) -> None:
    proxy.refuse("PUT", ARCHIVE, message="no space left on device")

    with pytest.raises(
        WriteFailed, match=r"/d/file was not written: no space left on device; the old file is as it was"
    ):
        put(broken, web, "/d/file", b"new")

    assert state(daemon, web) == OLD


@pytest.mark.parametrize("how", ["error", "lost answer"])
def test_a_put_that_fails_in_the_middle_is_undone_with_owner_and_mode(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine, how: str
) -> None:
    def halfway(call: Call) -> None:
        spoil(daemon, web)

    if how == "error":
        proxy.before("PUT", ARCHIVE, halfway, times=1)
        proxy.refuse("PUT", ARCHIVE, message="unexpected EOF")
    else:
        proxy.after("PUT", ARCHIVE, halfway, times=1)
        proxy.cut("PUT", ARCHIVE, When.AFTER)

    with pytest.raises(WriteFailed, match="the old file was put back"):
        put(broken, web, "/d/file", b"new")

    assert state(daemon, web) == OLD


def test_what_cannot_be_put_back_is_said(daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine) -> None:
    proxy.before("PUT", ARCHIVE, lambda call: spoil(daemon, web), times=1)
    proxy.refuse("PUT", ARCHIVE, message="no space left on device", times=2)

    with pytest.raises(WriteFailed, match=r"the old file could not be put back \(no space left on device\)"):
        put(broken, web, "/d/file", b"new")


def test_a_new_file_that_fails_in_the_middle_is_taken_away(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine
) -> None:
    def halfway(call: Call) -> None:
        daemon.exec(web, "sh", "-c", "printf half > /d/new")

    proxy.before("PUT", ARCHIVE, halfway, times=1)
    proxy.refuse("PUT", ARCHIVE, message="unexpected EOF")

    with pytest.raises(WriteFailed, match="nothing was left there"):
        put(broken, web, "/d/new", b"new")

    assert daemon.exec(web, "ls", "/d") == b"file\n"


def test_a_new_file_that_cannot_be_taken_away_is_said(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine
) -> None:
    daemon.exec(web, "sh", "-c", "echo half > /d/half")
    daemon.call("POST", f"/containers/{web}/kill")
    daemon.call("POST", f"/containers/{web}/wait")
    proxy.refuse("PUT", ARCHIVE, message="unexpected EOF")
    for method, nth in (("HEAD", 2), ("GET", 1)):  # it was not there before
        proxy.refuse(method, ARCHIVE, status=404, message="Could not find the file", nth=nth)

    with pytest.raises(WriteFailed, match="an incomplete file may be left there"):
        put(broken, web, "/d/half", b"new")


def test_a_refusal_before_anything_was_done_is_passed_on_as_it_is(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine
) -> None:
    proxy.refuse("PUT", ARCHIVE, status=400, message="container rootfs is marked read-only")

    with pytest.raises(Exception, match=r"^container rootfs is marked read-only$"):
        put(broken, web, "/d/file", b"new")

    assert proxy.calls.count(("PUT", f"/containers/{web}/archive")) == 1


@pytest.mark.parametrize("when", [When.BEFORE, When.BODY])
def test_an_old_file_that_cannot_be_kept_aside_is_not_touched(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine, when: When
) -> None:
    daemon.exec(web, "sh", "-c", "head -c 300000 /dev/zero > /d/big")
    proxy.cut("GET", ARCHIVE, when, keep=1000, times=None)

    with pytest.raises(Exception, match=r"broke|went away|too early"):
        put(broken, web, "/d/big", b"new")

    assert "PUT" not in [method for method, _ in proxy.calls]
    assert daemon.exec(web, "stat", "-c", "%s", "/d/big") == b"300000\n"


@pytest.mark.parametrize(("limit", "kind"), [("KEPT_LIMIT", TooLarge), ("spool", SpoolFull)])
def test_an_old_file_too_large_to_keep_aside_is_not_touched(
    daemon: Daemon, web: str, broken: Engine, limit: str, kind: type[FilesError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Spool, parts: object) -> Spool:
        raise SpoolFull("no room")

    if limit == "spool":
        monkeypatch.setattr(Spool, "fill", full)
    else:
        monkeypatch.setattr(writing, limit, 3)

    with pytest.raises(kind):
        put(broken, web, "/d/file", b"new")

    assert state(daemon, web) == OLD


def test_a_second_writer_waits_for_the_first_and_not_for_ever(
    daemon: Daemon, web: str, proxy: FaultProxy, broken: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LOCK_LIMIT", 0.1)
    held = proxy.hang("PUT", ARCHIVE)
    first = threading.Thread(target=put, args=(broken, web, "/d/file", b"first\n"), daemon=True)
    first.start()
    held.wait_reached()

    with pytest.raises(OutOfReach, match="being written by another request"):
        put(broken, web, "/d/file", b"second")
    held.release()
    first.join(20)

    assert state(daemon, web) == b"600 7 8\nfirst\n"
