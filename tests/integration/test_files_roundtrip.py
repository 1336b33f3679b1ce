"""What is written into a container is what it then holds: any name, any bytes, running, stopped, or without a shell."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockpal_agent.engine import Engine
from dockpal_agent.files.listing import list_directory
from dockpal_agent.files.reading import open_file
from dockpal_agent.files.spool import Spool
from dockpal_agent.files.writing import write
from tests.engines.daemon import Daemon

BATCH = 20
TOTAL = int(os.environ.get("DOCKPAL_TEST_ROUND_TRIPS", "1000"))  # for each kind of container
# Docker 20.10 starts itself anew for every archive, 50 ms of processor time, ten times what a newer engine needs.
SHARE_OF_OLD = 0.1
KINDS = ("running", "stopped", "scratch")

NAMES = st.text(st.characters(blacklist_characters="/", blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=60)
FILES = st.dictionaries(
    NAMES.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255),
    st.one_of(st.binary(max_size=300), st.binary(min_size=1, max_size=8).map(lambda seed: seed * 9000)),
    min_size=BATCH,
    max_size=BATCH,
)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def container(request: pytest.FixtureRequest, daemon: Daemon, busybox: str, scratch_image: str, unique: str) -> str:
    kind = request.param
    if kind == "scratch":
        return daemon.run(scratch_image, name=f"{unique}-scratch")
    container_id = daemon.run(busybox, "sleep", "100000", name=f"{unique}-{kind}", StopSignal="SIGKILL")
    if kind == "stopped":
        daemon.call("POST", f"/containers/{container_id}/stop", {"t": 0})
    return container_id


def put(engine: Engine, container: str, path: str, data: bytes) -> None:
    with Spool() as spool:
        spool.write(data)
        write(engine, container, path, spool)


def get(engine: Engine, container: str, path: str) -> bytes:
    file = open_file(engine, container, path)
    try:
        return b"".join(file.chunks)
    finally:
        file.close()


def held(daemon: Daemon, container: str, path: str) -> dict[str, bytes]:
    """The files directly in a directory, as the engine has them, without the agent's code."""
    body = daemon.answer("GET", f"/containers/{container}/archive?path={quote(path)}").body
    with tarfile.open(fileobj=io.BytesIO(body), encoding="utf-8") as archive:
        files = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if content is not None:
                files[member.name.partition("/")[2]] = content.read()
        return files


def make_directory(daemon: Daemon, container: str, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    daemon.call("PUT", f"/containers/{container}/archive", {"path": "/"}, body=buffer.getvalue())


@pytest.mark.slow
@pytest.mark.engines("new")
@pytest.mark.parametrize("container", KINDS, indirect=True)
def test_a_thousand_names_and_bodies_come_back_as_they_were_written(
    engine: Engine, daemon: Daemon, container: str, workers: ThreadPoolExecutor
) -> None:
    check_round_trips(engine, daemon, container, workers, TOTAL)


@pytest.mark.slow
@pytest.mark.parametrize("container", KINDS, indirect=True)
def test_they_do_on_an_old_engine_too(
    engine: Engine, daemon: Daemon, container: str, workers: ThreadPoolExecutor
) -> None:
    check_round_trips(engine, daemon, container, workers, int(TOTAL * SHARE_OF_OLD))


def check_round_trips(engine: Engine, daemon: Daemon, container: str, workers: ThreadPoolExecutor, total: int) -> None:
    round_number = iter(range(10000))

    @settings(
        max_examples=max(1, total // BATCH),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        database=None,
    )
    @given(FILES)
    def round_trip(files: dict[str, bytes]) -> None:
        folder = f"/r{next(round_number)}"
        make_directory(daemon, container, folder[1:])
        list(workers.map(lambda item: put(engine, container, f"{folder}/{item[0]}", item[1]), files.items()))

        assert held(daemon, container, folder) == files
        listed = {entry.name: entry.size for entry in list_directory(engine, container, folder)}
        assert listed == {name: len(data) for name, data in files.items()}
        read = workers.map(lambda name: (name, get(engine, container, f"{folder}/{name}")), files)
        assert dict(read) == files

    round_trip()


@pytest.mark.parametrize("container", KINDS, indirect=True)
@pytest.mark.parametrize(
    "name", ["a b", 'it\'s "quoted"', "-rf", "--", "ümläut 🐋", "\\", "$(reboot)", "%2e%2e", "*", ".hidden", " "]
)
def test_an_awkward_name_is_written_listed_and_read(engine: Engine, daemon: Daemon, container: str, name: str) -> None:
    make_directory(daemon, container, "d")

    put(engine, container, f"/d/{name}", b"first, and longer")
    put(engine, container, f"/d/{name}", b"second\r\n\0")

    assert held(daemon, container, "/d") == {name: b"second\r\n\0"}
    assert [entry.name for entry in list_directory(engine, container, "/d")] == [name]
    assert get(engine, container, f"/d/{name}") == b"second\r\n\0"
