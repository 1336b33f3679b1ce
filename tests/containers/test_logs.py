"""A log for one viewer, of real containers."""

from __future__ import annotations

import re
import struct
import threading
from typing import Any, Optional

import pytest

from dockpal_agent.containers.feed import EventFeed
from dockpal_agent.containers.logframes import MESSAGE_LIMIT
from dockpal_agent.containers.logs import Log, LogOptions, Logs
from dockpal_agent.containers.streams import Ended
from dockpal_agent.engine import Engine, EngineError, NotFound
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy, When

pytestmark = pytest.mark.engines


@pytest.fixture
def logs(proxied: Engine, feed: EventFeed) -> Logs:
    feed.start()
    assert feed.wait_connected(10)
    return Logs(proxied, feed)


class Viewer:
    """Takes messages as the Server does: joins them and cuts the frames out."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.sizes: list[int] = []
        self.end: Optional[Ended] = None
        self._raw = b""

    def read(self) -> bool:
        """Take one message; False at the end."""
        try:
            message = self.log.next(20)
        except Ended as end:
            self.end = end
            return False
        assert message is not None, "nothing came for 20 s"
        data = message.encode() if isinstance(message, str) else message
        self.sizes.append(len(data))
        self._raw += data
        return True

    def frames(self) -> list[tuple[int, bytes]]:
        """(channel, payload) so far; each must be text by itself."""
        found, rest = [], self._raw
        while rest:
            channel, length = struct.unpack_from(">BxxxL", rest)
            payload, rest = rest[8 : 8 + length], rest[8 + length :]
            payload.decode("utf-8")
            found.append((channel, payload))
        return found

    def text(self, channel: Optional[int] = None) -> bytes:
        return b"".join(payload for on, payload in self.frames() if channel in (None, on))

    def until(self, end: bytes) -> bytes:
        """Read until the text ends so."""
        while not self.text().endswith(end):
            assert self.read(), f"the log ended before {end!r}: {self.end}"
        return self.text()

    def to_end(self) -> bytes:
        while self.read():
            pass
        return self.text()


def written(daemon: Daemon, image: str, name: str, script: str, **config: Any) -> str:
    """A container that has run the script to its end."""
    container = daemon.run(image, "sh", "-c", script, name=name, **config)
    wait_for(lambda: daemon.inspect(container)["State"]["Status"] == "exited", "the script to end")
    return container


PAST = LogOptions(tail=None, follow=False)


def test_both_streams_come_in_docker_s_frames(logs: Logs, daemon: Daemon, busybox: str, unique: str) -> None:
    container = written(daemon, busybox, unique, "echo out; echo err >&2")

    viewer = Viewer(logs.open(container, PAST))
    viewer.to_end()

    assert sorted(viewer.frames()) == [(1, b"out\n"), (2, b"err\n")]
    assert viewer.end is not None and viewer.end.code == 1000


def test_the_tail_is_a_hundred_lines_unless_said_otherwise(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = written(daemon, busybox, unique, "seq 1 150")

    assert Viewer(logs.open(container, LogOptions(follow=False))).to_end().split()[0] == b"51"
    assert Viewer(logs.open(container, LogOptions(tail=3, follow=False))).to_end() == b"148\n149\n150\n"
    assert Viewer(logs.open(container, LogOptions(tail=0, follow=False))).to_end() == b""
    assert len(Viewer(logs.open(container, PAST)).to_end().split()) == 150


def test_timestamps_are_shown_to_who_asks_and_to_nobody_else(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = written(daemon, busybox, unique, "echo out")
    stamped = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out\n"

    shown = Viewer(logs.open(container, LogOptions(timestamps=True, follow=False))).to_end()
    following = Viewer(logs.open(container, LogOptions(timestamps=True)))

    assert re.fullmatch(stamped, shown)
    assert following.until(b"out\n") == shown
    assert Viewer(logs.open(container, LogOptions())).until(b"out\n") == b"out\n"
    following.log.close()


def test_since_leaves_out_what_is_older(logs: Logs, daemon: Daemon, busybox: str, unique: str) -> None:
    container = written(daemon, busybox, unique, "echo old; sleep 0.3; echo new")
    shown = Viewer(logs.open(container, LogOptions(timestamps=True, follow=False))).to_end().decode().splitlines()
    from dockpal_agent.containers.moments import parse_moment

    moment = parse_moment(shown[1].split(" ")[0])

    assert Viewer(logs.open(container, LogOptions(since_ns=moment, follow=False))).to_end() == b"new\n"


def test_plain_text_comes_as_text(logs: Logs, daemon: Daemon, busybox: str, unique: str) -> None:
    container = written(daemon, busybox, unique, "echo naïve; printf '\\377\\n'")

    log = logs.open(container, LogOptions(follow=False, plain=True))
    text = ""
    while not text.endswith("\ufffd\n"):
        message = log.next(20)
        assert isinstance(message, str)
        text += message

    with pytest.raises(Ended):
        log.next(20)
    assert text == "naïve\n\ufffd\n"


def test_a_tty_s_log_is_wrapped_as_stdout(logs: Logs, daemon: Daemon, busybox: str, unique: str) -> None:
    container = written(daemon, busybox, unique, "echo out; echo err >&2", Tty=True)

    for options in (PAST, LogOptions(tail=None)):
        viewer = Viewer(logs.open(container, options))
        viewer.until(b"err\r\n")
        assert viewer.frames() == [(1, b"out\r\n"), (1, b"err\r\n")]
        viewer.log.close()


@pytest.mark.parametrize("tty", [False, True])
def test_a_line_of_a_megabyte_comes_whole_in_frames_that_are_text(
    tty: bool, logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    """Characters of three bytes, so that the daemon's pieces of 16 KiB cut some in two.

    The log driver is `local`, as json-file stores half a character as a replacement character.
    """
    script = (
        "i=0; while [ $i -lt 35 ]; do printf '%s' \"$(yes € | head -10000 | tr -d '\\n')\"; i=$((i+1)); done; echo end"
    )
    driver = {"LogConfig": {"Type": "local"}}
    container = written(daemon, busybox, unique, script, Tty=tty, HostConfig=driver)

    for options in (PAST, LogOptions(tail=None)):
        viewer = Viewer(logs.open(container, options))
        while b"end" not in viewer.text():  # what follows it depends on the driver
            assert viewer.read()
        text = viewer.text().decode()
        assert text.rstrip() == "€" * 350_000 + "end"
        assert max(viewer.sizes) <= MESSAGE_LIMIT
        viewer.log.close()


def test_a_megabyte_line_with_timestamps_has_one_at_its_beginning_only(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = written(daemon, busybox, unique, "head -c 100000 /dev/zero | tr '\\0' x; echo")

    text = Viewer(logs.open(container, LogOptions(timestamps=True, follow=False))).to_end()

    assert len(text.split(b" ", 1)[1]) == 100_001


def test_what_is_written_is_seen_while_it_follows(logs: Logs, daemon: Daemon, busybox: str, unique: str) -> None:
    container = daemon.run(busybox, "sh", "-c", "echo ready; read x; echo got $x", name=unique, OpenStdin=True)
    viewer = Viewer(logs.open(container, LogOptions()))
    viewer.until(b"ready\n")
    assert viewer.log.next(0.01) is None

    daemon.exec(container, "sh", "-c", "echo more >/proc/1/fd/1")

    assert viewer.until(b"more\n") == b"ready\nmore\n"
    viewer.log.close()


@pytest.mark.parametrize("tty", [False, True])
def test_it_goes_on_through_a_restart_with_every_line_once(
    tty: bool, logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    script = "echo run; echo err >&2; sleep 1000"
    container = daemon.run(busybox, "sh", "-c", script, name=unique, Tty=tty)
    viewer = Viewer(logs.open(container, LogOptions()))
    one = b"run\r\nerr\r\n" if tty else b"run\nerr\n"
    wait_for(lambda: viewer.read() and len(viewer.text()) == len(one), "both lines")

    for runs in (2, 3):
        daemon.call("POST", f"/containers/{container}/restart", {"t": 0})
        while len(viewer.text()) < len(one) * runs:
            assert viewer.read()

    daemon.remove(container)
    viewer.to_end()
    assert sorted(viewer.text().split()) == [b"err"] * 3 + [b"run"] * 3


def test_it_waits_for_a_stopped_container_to_start_and_ends_when_it_is_removed(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.create(busybox, "sh", "-c", "echo started; sleep 1000", name=unique)
    viewer = Viewer(logs.open(container, LogOptions()))
    assert viewer.log.next(0.3) is None

    daemon.call("POST", f"/containers/{container}/start")
    viewer.until(b"started\n")
    daemon.remove(container)

    assert viewer.to_end() == b"started\n"
    assert viewer.end is not None and (viewer.end.reason, viewer.end.code) == ("the container was removed", 1000)


def test_what_docker_held_back_when_the_container_stopped_is_shown_then(
    logs: Logs, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    """Engine 20.10 may end a followed log with the container, before it has passed on the last lines."""
    container = written(daemon, busybox, unique, "seq 1 5")
    proxy.shorten("GET", "/containers/.*/logs", chunks=2)

    viewer = Viewer(logs.open(container, LogOptions(tail=None)))

    assert viewer.until(b"5\n") == b"1\n2\n3\n4\n5\n"
    daemon.call("POST", f"/containers/{container}/start")
    assert viewer.until(b"5\n1\n2\n3\n4\n5\n") == 2 * b"1\n2\n3\n4\n5\n"
    viewer.log.close()


def test_without_events_it_still_ends_when_the_container_is_removed(
    proxied: Engine, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sh", "-c", "echo out; sleep 1000", name=unique)
    viewer = Viewer(Logs(proxied, EventFeed(proxied)).open(container, LogOptions()))
    viewer.until(b"out\n")

    daemon.call("POST", f"/containers/{container}/stop", {"t": 0})
    daemon.remove(container)

    assert viewer.to_end() == b"out\n"


def test_an_unknown_container_is_not_found_before_anything_is_shown(logs: Logs) -> None:
    with pytest.raises(NotFound):
        logs.open("there-is-no-such-container", LogOptions())


def test_a_log_that_cannot_be_read_is_said_with_docker_s_words(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.create(busybox, name=unique, HostConfig={"LogConfig": {"Type": "none"}})

    with pytest.raises(EngineError, match="does not support reading"):
        logs.open(container, LogOptions())


def test_a_viewer_that_leaves_a_silent_log_releases_the_engine_s_stream(
    logs: Logs, daemon: Daemon, proxy: FaultProxy, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sleep", "1000", name=unique)
    log = logs.open(container, LogOptions())
    assert log.next(0.05) is None

    log.close()
    log.close()

    wait_for(lambda: not reading(container), "the reader's thread to end", within=1)
    with pytest.raises(Ended):
        log.next(20)


def test_a_log_that_breaks_before_anything_was_shown_is_shown_from_its_beginning(
    logs: Logs, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sh", "-c", "echo one; echo two; sleep 1000", name=unique)
    proxy.cut("GET", f"/containers/{container}/logs", When.BODY)

    viewer = Viewer(logs.open(container, LogOptions()))

    assert viewer.until(b"two\n") == b"one\ntwo\n"
    viewer.log.close()


@pytest.mark.parametrize("moment", ["while stopped", "while the pipe is full"])
def test_a_viewer_that_leaves_at_any_moment_leaves_no_thread(
    moment: str, logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    script = "true" if moment == "while stopped" else "yes 0123456789012345678901234567890 | head -c 2000000"
    container = written(daemon, busybox, unique, script)
    log = logs.open(container, LogOptions(tail=None))
    if moment == "while the pipe is full":
        wait_for(lambda: log._pipe._size >= log._pipe._held, "the pipe to be full")

    log.close()

    wait_for(lambda: not reading(container), "the reader's thread to end", within=1)


def reading(container: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == f"log-{container[:12]}"]


def test_a_viewer_that_does_not_read_holds_no_more_than_the_bound(
    logs: Logs, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = written(daemon, busybox, unique, "yes 0123456789012345678901234567890 | head -c 3000000")
    log = logs.open(container, LogOptions(tail=None))

    wait_for(lambda: log._pipe._size >= log._pipe._held, "the pipe to be full")

    assert log._pipe._size <= log._pipe._held + MESSAGE_LIMIT
    assert len(Viewer(log).until(b"0\n")) > 0
    log.close()


def test_when_docker_goes_away_the_viewer_is_told_why_nothing_more_comes(
    logs: Logs, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sh", "-c", "echo out; sleep 1000", name=unique)
    viewer = Viewer(logs.open(container, LogOptions()))
    viewer.until(b"out\n")

    proxy.stop()
    viewer.to_end()

    assert viewer.frames()[-1][0] == 2
    assert b"Docker" in viewer.frames()[-1][1]
    assert viewer.end is not None and viewer.end.code == 1011


def test_a_stream_that_breaks_is_opened_again_and_no_line_is_lost_or_doubled(
    logs: Logs, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.run(busybox, "sh", "-c", "seq 1 2000; sleep 1000", name=unique)
    wait_for(
        lambda: b"2000\n" in daemon.answer("GET", f"/containers/{container}/logs", {"stdout": 1}).body, "all lines"
    )
    proxy.cut("GET", f"/containers/{container}/logs", When.BODY, keep=20_000)

    viewer = Viewer(logs.open(container, LogOptions(tail=None)))

    assert viewer.until(b"2000\n").split() == [b"%d" % number for number in range(1, 2001)]
    viewer.log.close()


def test_without_following_a_stream_that_breaks_is_not_taken_for_the_whole_log(
    logs: Logs, proxy: FaultProxy, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = written(daemon, busybox, unique, "seq 1 2000")
    proxy.cut("GET", f"/containers/{container}/logs", When.BODY, keep=20_000)

    viewer = Viewer(logs.open(container, PAST))
    viewer.to_end()

    assert viewer.end is not None and viewer.end.code == 1011
    assert b"broke" in viewer.frames()[-1][1]
