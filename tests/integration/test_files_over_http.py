"""Files through a running agent: what clients send and get, byte for byte, and what that costs the agent."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.engines.daemon import Daemon, wait_for
from tests.engines.registry import free_port

LIMIT = 210 << 20
TOKEN = {"Authorization": "Bearer files-test-token"}


@dataclass(frozen=True)
class Running:
    """An agent in a process of its own."""

    url: str
    pid: int

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/agent/docker{path}", headers=TOKEN, timeout=120, **options)

    def peak(self) -> int:
        """The most memory it ever had, bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(dict(line.split(":", 1) for line in status.splitlines())["VmHWM"].split()[0]) << 10


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, docker_socket: str) -> Iterator[Running]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DOCKPAL_MODE": "direct",
        "DOCKPAL_TOKEN": "files-test-token",
        "DOCKPAL_DIRECT_LISTEN": f"127.0.0.1:{port}",
        "DOCKPAL_DIRECT_TLS": "false",
        "DOCKPAL_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        "DOCKPAL_DOCKER_SOCKET": docker_socket,
        "DOCKPAL_UPLOAD_LIMIT": f"{LIMIT >> 20}MB",
    }
    process = subprocess.Popen([sys.executable, "-m", "dockpal_agent"], env=environment)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/agent/ping", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_for(answers, "the agent to answer")
        yield Running(url, process.pid)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    name = f"{unique}-web"
    daemon.run(busybox, "sleep", "100000", name=name, labels=labels)
    daemon.exec(name, "mkdir", "/d")
    return name


class Pattern:
    """A file of `size` bytes that nobody holds in memory."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.sum = hashlib.sha256()
        self._block = bytes(range(256)) * 256

    def read(self, most: int = -1) -> bytes:
        part = self._block[: min(self.left, 65536 if most < 0 else most)]
        self.left -= len(part)
        self.sum.update(part)
        return part


def multipart_of(
    container: str, path: str, content: Pattern, size: int, *, file_first: bool
) -> tuple[Iterator[bytes], str]:
    def field(name: str, value: str) -> bytes:
        return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()

    def file() -> Iterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
        while part := content.read(65536):
            yield part
        yield b"\r\n"

    def body() -> Iterator[bytes]:
        fields = field("container", container) + field("path", path)
        if not file_first:
            yield fields
        yield from file()
        if file_first:
            yield fields
        yield b"--B--\r\n"

    return body(), "multipart/form-data; boundary=B"


def test_200_mb_go_up_and_down_without_growing_the_agent_by_16(agent: Running, daemon: Daemon, web: str) -> None:
    before = agent.peak()
    content = Pattern(200 << 20)
    body, kind = multipart_of(web, "/d/large.bin", content, 200 << 20, file_first=True)

    sent = requests.post(
        f"{agent.url}/agent/docker/files/upload", data=body, headers={**TOKEN, "Content-Type": kind}, timeout=300
    )
    assert (sent.status_code, sent.json()) == (200, {"status": "uploaded"})
    came = hashlib.sha256()
    with agent.call("GET", "/files/download", params={"container": web, "path": "/d/large.bin"}, stream=True) as answer:
        assert answer.headers["Content-Length"] == str(200 << 20)
        for part in answer.iter_content(65536):
            came.update(part)

    assert came.digest() == content.sum.digest()
    assert daemon.exec(web, "sha256sum", "/d/large.bin").split()[0].decode() == content.sum.hexdigest()
    assert agent.peak() - before < 16 << 20, f"{(agent.peak() - before) >> 20} MB"


def test_a_file_past_the_limit_is_refused_and_nothing_is_written(agent: Running, daemon: Daemon, web: str) -> None:
    size = LIMIT + 1
    body, kind = multipart_of(web, "/d/large.bin", Pattern(size), size, file_first=False)
    headers = {**TOKEN, "Content-Type": kind}

    try:
        answer = requests.post(f"{agent.url}/agent/docker/files/upload", data=body, headers=headers, timeout=120)
    except requests.ConnectionError:  # it hung up while we were still sending, as it may
        pass
    else:
        assert (answer.status_code, answer.json()) == (413, {"error": "file too large (max 210MB)"})

    assert daemon.exec(web, "ls", "/d") == b""


def test_a_body_that_is_announced_as_too_long_is_refused_before_it_is_sent(agent: Running, web: str) -> None:
    connection = http.client.HTTPConnection(agent.url.partition("//")[2], timeout=20)
    connection.putrequest("POST", "/agent/docker/files/upload")
    for name, value in {**TOKEN, "Content-Type": "multipart/form-data; boundary=B"}.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(LIMIT + (1 << 20)))
    connection.endheaders()

    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())) == (413, {"error": "file too large (max 210MB)"})
    connection.close()


def test_write_read_list_download_and_delete_are_one_file(agent: Running, web: str) -> None:
    where = {"container": web, "path": '/d/ü "x".txt'}

    assert agent.call("POST", "/files/write", json={**where, "content": "Grüße\r\n"}).json() == {"status": "written"}
    assert agent.call("GET", "/files/read", params=where).json()["content"] == "Grüße\r\n"
    [entry] = agent.call("GET", "/files", params={"container": web, "path": "/d"}).json()
    assert (entry["name"], entry["size"], entry["is_dir"]) == ('ü "x".txt', "9", False)
    answer = agent.call("GET", "/files/download", params=where)
    assert answer.content == "Grüße\r\n".encode()
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"_ _x_.txt\"; filename*=UTF-8''%C3%BC%20%22x%22.txt"
    )
    assert agent.call("DELETE", "/files", params=where).json() == {"status": "deleted"}
    assert agent.call("GET", "/files/read", params=where).status_code == 404


def test_a_containers_file_is_written_by_its_path_too_and_binary_as_base64(
    agent: Running, daemon: Daemon, web: str
) -> None:
    body = {"path": "/d/b", "content": "AP8=", "encoding": "base64"}

    assert agent.call("POST", f"/containers/{web}/files/write", json=body).json() == {"status": "written"}
    assert agent.call("POST", f"/containers/{web}/files/write", json={"path": "/d/e", "content": ""}).ok

    assert daemon.exec(web, "sh", "-c", "od -An -tx1 /d/b; stat -c %s /d/e") == b" 00 ff\n0\n"


def test_an_upload_by_a_common_client_lands_in_the_directory_or_at_the_path(
    agent: Running, daemon: Daemon, web: str
) -> None:
    for path in ("/d/", "/d", "/d/named"):
        answer = agent.call(
            "POST",
            "/files/upload",
            data={"container": web, "path": path},
            files={"file": ("own ü.txt", b"\0\r\n--x")},
        )
        assert answer.json() == {"status": "uploaded"}

    assert sorted(daemon.exec(web, "find", "/d", "-type", "f").decode().splitlines()) == ["/d/named", "/d/own ü.txt"]
    assert daemon.exec(web, "cat", "/d/named") == b"\0\r\n--x"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "text"),
    [
        ("GET", "/files", {"params": {"path": "/"}}, 400, "container is required"),
        ("GET", "/files", {"params": {"container": "../x"}}, 400, "a container id or name"),
        ("GET", "/files", {"params": {"container": "no-such-one"}}, 404, "No such container"),
        ("GET", "/files", {"params": {"container": "WEB", "path": "d"}}, 400, "absolute"),
        ("GET", "/files/read", {"params": {"container": "WEB"}}, 400, "path is required"),
        ("GET", "/files/read", {"params": {"container": "WEB", "path": "/d"}}, 400, "/d is a directory"),
        ("GET", "/files/read", {"params": {"container": "WEB", "path": "/d/a\nb"}}, 400, "control character"),
        ("GET", "/files/download", {"params": {"container": "WEB", "path": "/d"}}, 400, "/d is a directory"),
        ("GET", "/files/download", {"params": {"container": "WEB", "path": "/d/../etc"}}, 400, ".."),
        ("DELETE", "/files", {"params": {"container": "WEB", "path": "/etc/"}}, 403, "/etc is protected"),
        ("POST", "/files/write", {"json": {"container": "WEB", "path": "/d/x"}}, 400, "content is required"),
        ("POST", "/files/write", {"json": {"container": "WEB", "path": "/n/x", "content": ""}}, 404, ": /n"),
        ("POST", "/files/write", {"json": {"container": 7, "path": "/x", "content": ""}}, 400, "container"),
        ("POST", "/files/write", {"json": {"container": "WEB", "path": "/d/\ud800", "content": ""}}, 400, "Unicode"),
        ("POST", "/files/upload", {"files": {"other": b"x"}}, 400, "file is required (max 210MB)"),
        ("POST", "/files/upload", {"files": {"file": b"x"}, "data": {"container": "WEB"}}, 400, "path is required"),
        ("POST", "/files/upload", {"json": {}}, 415, "multipart/form-data"),
    ],
)
def test_what_is_wrong_is_said_with_a_fitting_status(
    agent: Running, web: str, method: str, path: str, options: dict[str, Any], status: int, text: str
) -> None:
    filled = {
        kind: {key: web if value == "WEB" else value for key, value in values.items()}
        for kind, values in options.items()
    }

    answer = agent.call(method, path, **filled)

    assert answer.status_code == status
    assert text in answer.json()["error"]
