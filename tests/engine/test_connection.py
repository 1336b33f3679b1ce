"""What a socket that cannot be reached says, and what can be done about it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dockpal_agent.engine import Cancel, Engine, EngineUnavailable
from dockpal_agent.engine.connection import Connection, Pool, unavailable
from dockpal_agent.engine.deadline import Deadline


def words(path: object) -> str:
    with pytest.raises(EngineUnavailable) as caught:
        Engine(str(path)).get("/info")
    return str(caught.value)


def test_a_missing_socket_names_the_mount_that_is_missing(tmp_path: Path) -> None:
    text = words(tmp_path / "docker.sock")
    assert f"there is no Docker socket at {tmp_path}/docker.sock" in text
    assert f"-v /var/run/docker.sock:{tmp_path}/docker.sock" in text


def test_a_directory_in_the_place_of_the_socket_is_told_from_a_daemon_that_is_down(tmp_path: Path) -> None:
    assert "is a directory, not a socket" in words(tmp_path)


def test_a_socket_that_nobody_serves_is_a_daemon_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert words(path) == f"nothing listens at {path}: the Docker daemon is not running"


def test_a_path_that_no_socket_can_have_is_unavailable_too(tmp_path: Path) -> None:
    assert "cannot connect to Docker" in words(tmp_path / ("x" * 150))


def test_a_socket_that_may_not_be_opened_tells_whose_it_is_and_who_we_are(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o660)
        os.chown(path, 0, 4711)
        for directory in [tmp_path, *tmp_path.parents][:-1]:
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o011)
        code = (
            "import os, sys\n"
            "from dockpal_agent.engine import Engine, EngineUnavailable\n"
            "os.setgroups([4242]); os.setgid(4243); os.setuid(4244)\n"
            "try: Engine(sys.argv[1]).get('/info')\n"
            "except EngineUnavailable as error: print(error)\n"
        )
        command = [sys.executable, "-c", code, str(path)]
        text = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "belongs to user 0, group 4711 (mode 0660)" in text
    assert "this process runs as user 4244, groups 4242, 4243" in text
    assert "--group-add 4711" in text


def test_a_socket_out_of_sight_still_tells_who_we_are(tmp_path: Path) -> None:
    text = str(unavailable(str(tmp_path / "none"), PermissionError()))
    assert text.startswith("no permission to reach the Docker socket")
    assert f"user {os.geteuid()}" in text


def test_a_pool_gives_the_last_used_first_and_none_that_the_daemon_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    pool = Pool(2)
    made = [Connection(path) for _ in range(3)]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        ends = []
        for connection in made:
            connection.open(Deadline(5), Cancel())
            ends.append(listener.accept()[0])
            pool.give(connection)
        ends[0].close()
        assert not pool.drop_broken()
        assert made[2].sock is None  # the pool was full
        assert pool.take() is made[1]
        assert pool.take() is None
        for end in ends:
            end.close()
        pool.give(made[1])
        assert pool.drop_broken()
        assert not pool.drop_broken()


def test_what_the_connection_has_no_use_for_is_not_loaded_and_can_be_imported_later() -> None:
    code = """
import sys
from dockpal_agent.engine.connection import Connection
found = {"requests", "urllib3", "requests_unixsocket", "http.cookiejar", "urllib.request"} & sys.modules.keys()
assert not found, found
import requests, requests_unixsocket
from requests_unixsocket.adapters import UnixAdapter
assert issubclass(requests_unixsocket.Session, requests.Session)
assert issubclass(UnixAdapter, requests.adapters.HTTPAdapter)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
