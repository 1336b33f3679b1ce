"""Containers, their logs, figures, files and commands, against a real Engine."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockpal_agent.engine import (
    BadParameter,
    Cancel,
    Conflict,
    Engine,
    EngineCancelled,
    EngineError,
    EngineRefused,
    EngineTimeout,
    NotFound,
    archive,
    containers,
    events,
    execs,
)
from dockpal_agent.engine.frames import STDERR, STDOUT, demultiplex
from tests.engines.daemon import Daemon, wait_for

pytestmark = pytest.mark.engines


@pytest.fixture
def sleeper(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """The id of a running container that does nothing."""
    return daemon.run(busybox, "sleep", "1000", name=unique, labels=labels)


def test_a_container_lives_from_create_to_remove(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    created = containers.create(engine, unique, {"Image": busybox, "Cmd": ["sleep", "1000"], "Labels": labels})
    assert containers.inspect(engine, unique)["Id"] == created

    assert containers.start(engine, created)
    assert not containers.start(engine, created)
    assert daemon.running(id=[created]) == {unique: "running"}
    (entry,) = containers.list_containers(engine, filters={"name": unique}, size=True)
    assert (entry["Id"], entry["SizeRootFs"] > 0) == (created, True)

    containers.pause(engine, created)
    assert daemon.running(id=[created]) == {unique: "paused"}
    containers.unpause(engine, created)
    containers.update(engine, created, {"RestartPolicy": {"Name": "unless-stopped"}})
    assert daemon.inspect(created)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    before = daemon.inspect(created)["State"]["Pid"]
    containers.restart(engine, created, 0)
    assert daemon.inspect(created)["State"]["Pid"] not in (0, before)

    containers.kill(engine, created, "SIGKILL")
    assert containers.wait(engine, created, within=10) == 137
    assert not containers.stop(engine, created, 1)
    containers.rename(engine, created, unique + "-b")
    assert daemon.running(id=[created]) == {unique + "-b": "exited"}
    assert containers.list_containers(engine, filters={"id": created}) == []
    assert len(containers.list_containers(engine, all=True, filters={"id": [created]})) == 1

    containers.remove(engine, created)
    assert not daemon.exists(created)


def test_a_running_container_is_stopped_and_removed_with_its_anonymous_volumes(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    container = daemon.run(busybox, "sleep", "1000", name=unique, labels=labels, Volumes={"/data": {}})
    volume = daemon.inspect(container)["Mounts"][0]["Name"]
    assert containers.stop(engine, container, 0.1)
    containers.start(engine, container)
    with pytest.raises(Conflict):
        containers.remove(engine, container)
    containers.remove(engine, container, force=True, volumes=True)
    assert daemon.answer("GET", f"/volumes/{volume}").status == 404


def test_dockers_own_words_come_with_each_kind_of_refusal(engine: Engine, busybox: str, sleeper: str) -> None:
    name = containers.inspect(engine, sleeper)["Name"].lstrip("/")
    with pytest.raises(NotFound, match="No such container: nobody-there"):
        containers.start(engine, "nobody-there")
    with pytest.raises(NotFound, match="No such image: nothing"):
        containers.create(engine, None, {"Image": "nothing:at-all"})
    with pytest.raises(Conflict, match="is already in use"):
        containers.create(engine, name, {"Image": busybox})
    with pytest.raises(BadParameter, match="Invalid container name"):
        containers.create(engine, "bad name", {"Image": busybox})


@pytest.mark.parametrize("name", ["../images", "a/b", "a?force=1", "x" * 5000, "ä", "a%2fb", "%00"])
def test_no_name_leads_anywhere_else(engine: Engine, name: str) -> None:
    with pytest.raises(EngineError) as caught:
        containers.inspect(engine, name)
    assert isinstance(caught.value, (NotFound, BadParameter)) or "301" in str(caught.value)


def test_a_log_comes_apart_into_its_channels_and_ends(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    daemon.run(busybox, "sh", "-c", "echo out; echo err >&2; echo last", name=unique, labels=labels)
    with containers.logs(engine, unique, follow=True) as log:
        parts = list(demultiplex(log.chunks()))
    assert b"".join(text for channel, text in parts if channel == STDOUT) == b"out\nlast\n"
    assert b"".join(text for channel, text in parts if channel == STDERR) == b"err\n"
    with containers.logs(engine, unique, stderr=False, timestamps=True, since="1", until="9999999999") as log:
        lines = [line for _, line in demultiplex(log.chunks())]
    assert [line.partition(b"Z ")[2] for line in lines] == [b"out\n", b"last\n"]
    with containers.logs(engine, unique, tail=1) as log:
        assert len(list(demultiplex(log.chunks()))) == 1


def test_a_silent_log_is_cancelled_at_once_and_its_daemon_answers_on(engine: Engine, sleeper: str) -> None:
    token = Cancel()
    ended = threading.Event()
    with containers.logs(engine, sleeper, follow=True, cancel=token) as log:

        def read() -> None:
            try:
                log.read_some()
            except EngineCancelled:
                ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        token.cancel()
        assert ended.wait(5)
        thread.join(5)
    assert containers.inspect(engine, sleeper)["State"]["Running"]


def test_figures_come_once_and_as_a_stream(engine: Engine, sleeper: str) -> None:
    sample = containers.stats_once(engine, sleeper)
    assert sample["pids_stats"]["current"] == 1
    assert "system_cpu_usage" not in sample["precpu_stats"]
    with containers.stats_stream(engine, sleeper, idle=10) as stream:
        samples = stream.json_lines()
        assert next(samples)["read"] < next(samples)["read"]


def test_events_come_from_the_moment_of_the_subscription(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    with events.subscribe(engine, filters={"type": "container", "container": unique}, idle=20) as stream:
        daemon.run(busybox, "true", name=unique, labels=labels)
        seen = stream.json_lines()
        assert [next(seen)["Action"] for _ in range(3)] == ["create", "start", "die"]
    with events.subscribe(engine, since="1", until="2") as stream:
        assert list(stream.json_lines()) == []


# --- commands


def test_a_command_gives_its_output_and_its_exit_code(engine: Engine, sleeper: str) -> None:
    script = 'echo "$WORD $(pwd) $(id -u)"; echo bad >&2; exit 3'
    done = execs.run(engine, sleeper, ["sh", "-c", script], user="7", working_dir="/tmp", env=["WORD=hello"])
    assert (done.exit_code, done.stdout, done.stderr, done.truncated) == (3, b"hello /tmp 7\n", b"bad\n", False)


def test_a_command_that_writes_without_end_is_left_when_there_is_enough(engine: Engine, sleeper: str) -> None:
    done = execs.run(engine, sleeper, ["yes"], most=10_000)
    assert (done.stdout, done.truncated, done.exit_code) == (b"y\n" * 5_000, True, None)


def test_a_command_that_does_not_end_is_late_and_can_be_cancelled(engine: Engine, sleeper: str) -> None:
    with pytest.raises(EngineTimeout, match=r"did not end within 0\.5 seconds"):
        execs.run(engine, sleeper, ["sleep", "20"], within=0.5)
    token = Cancel()
    with execs.start(engine, sleeper, ["sh", "-c", "echo begun; exec sleep 20"], cancel=token) as execution:
        output = execution.output()
        assert next(output) == (STDOUT, b"begun\n")
        token.cancel()
        with pytest.raises(EngineCancelled):
            next(output)


def test_a_command_that_is_not_there_says_so(engine: Engine, sleeper: str, daemon: Daemon) -> None:
    words = ""
    try:
        done = execs.run(engine, sleeper, ["no-such-program"])
        words = (done.stdout + done.stderr).decode() if done.exit_code in (126, 127) else ""
    except BadParameter as refusal:  # newer daemons
        words = str(refusal)
    assert "no-such-program" in words
    daemon.call("POST", f"/containers/{sleeper}/kill")
    wait_for(lambda: not daemon.inspect(sleeper)["State"]["Running"], "the container to stop")
    with pytest.raises(Conflict, match="is not running"):
        execs.run(engine, sleeper, ["true"])


# --- files


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def in_pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


@pytest.mark.parametrize("kind", ["bytes", "file", "pieces"])
def test_a_file_goes_in_and_comes_out_again(engine: Engine, sleeper: str, kind: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    packed = tar_of("fïle name", content)
    if kind == "file":
        (tmp_path / "packed").write_bytes(packed)
        with (tmp_path / "packed").open("rb") as source:
            archive.put(engine, sleeper, "/tmp", source)
    else:
        archive.put(engine, sleeper, "/tmp", packed if kind == "bytes" else in_pieces(packed))

    found = archive.stat(engine, sleeper, "/tmp/fïle name")
    assert (found.name, found.size, found.is_file) == ("fïle name", len(content), True)
    with archive.get(engine, sleeper, "/tmp/fïle name") as stream:
        data = b"".join(stream.chunks())
    with tarfile.open(fileobj=io.BytesIO(data)) as unpacked:
        member = unpacked.extractfile("fïle name")
        assert member is not None and member.read() == content


def test_paths_that_are_not_there_or_of_another_kind_are_refused_in_dockers_words(engine: Engine, sleeper: str) -> None:
    for call in (archive.stat, archive.get):
        with pytest.raises(NotFound, match="/nowhere"):
            call(engine, sleeper, "/nowhere")
    with pytest.raises(NotFound):
        archive.put(engine, sleeper, "/nowhere", tar_of("x", b""))
    with pytest.raises(EngineRefused, match="not a directory"):  # 500 from older daemons, 400 from newer ones
        archive.put(engine, sleeper, "/bin/busybox", tar_of("x", b""))
    link = archive.stat(engine, sleeper, "/bin/sh")
    assert (link.is_symlink, link.link_target) == (True, "/bin/busybox")
    assert archive.stat(engine, sleeper, "/tmp").is_directory
