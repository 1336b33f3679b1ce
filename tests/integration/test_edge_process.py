"""The agent as a process in edge mode: installed as the Server's installers do it, asked by its commands, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dockpal_agent.agent as agent_module
from tests.engines.daemon import Daemon, wait_for
from tests.server_standin.server import BOUND, CONNECT_PATH, StandIn

TOKEN = "0123456789abcdef" * 4
DOUBLED = TOKEN.encode().hex()


def environment(server: StandIn, data_dir: Path, docker_socket: str, **more: str) -> dict[str, str]:
    """As the SSH installer sets it: both names with the whole URL, the token encoded twice."""
    url = f"ws://127.0.0.1:{server.port}{CONNECT_PATH}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKPAL_")}
    return {
        **kept, "DOCKPAL_MODE": "edge", "DOCKPAL_SERVER": url, "DOCKPAL_EDGE_SERVER": url, "DOCKPAL_TOKEN": DOUBLED,
        "DOCKPAL_DATA_DIR": str(data_dir), "DOCKPAL_DOCKER_SOCKET": docker_socket, "DOCKPAL_EDGE_RECONNECT": "100ms",
        "NO_PROXY": "127.0.0.1", **more,
    }  # fmt: skip


@contextlib.contextmanager
def agent(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "dockpal_agent"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def command(name: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dockpal_agent", name], env=environ, capture_output=True, text=True, timeout=60
    )


def test_the_line_of_the_ssh_installers_container_serves_and_ends_in_order(tmp_path: Path, docker_socket: str) -> None:
    with StandIn(TOKEN) as server:
        environ = environment(server, tmp_path, docker_socket)
        with agent(environ) as process:
            line = server.line()
            assert line.reply("req-1").body["agent_version"]
            assert line.call("GET", "/docker/containers", {"all": "true"}).status == 200
            assert server.targets == [CONNECT_PATH]

            process.send_signal(signal.SIGTERM)

            assert line.ended.wait(BOUND) and line.close_code == 1001
            assert process.wait(BOUND) == 0
            assert process.stderr is not None
            log = process.stderr.read()
        assert TOKEN not in log and DOUBLED not in log
        assert "Traceback" not in log
        assert log.count(f"ws://127.0.0.1:{server.port}: the token and everything else goes") == 1


def test_a_token_file_is_read_again_and_what_it_holds_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden: list[str] = []
    monkeypatch.setattr(agent_module, "hide", hidden.extend)
    monkeypatch.setenv("DOCKPAL_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.delenv("DOCKPAL_TOKEN", raising=False)
    for token in ("first-token", "second-token"):
        (tmp_path / "token").write_text(token + "\n")
        assert agent_module._tokens_now() == (token,)
    (tmp_path / "token").unlink()
    assert agent_module._tokens_now() == ()
    assert hidden == ["first-token", "second-token"]


LOADED = """
import sys
from dockpal_agent import agent, config
from dockpal_agent.house import house

folder = sys.argv[1]
environ = {
    "DOCKPAL_MODE": "edge", "DOCKPAL_TOKEN": "secret-token", "DOCKPAL_SERVER": "ws://127.0.0.1:1",
    "DOCKPAL_DATA_DIR": folder, "DOCKPAL_DOCKER_SOCKET": folder + "/none.sock",
}
settings = config.read(environ).config
with house(settings) as service:
    line = agent._transport(settings, service)
    line.start()
    print(sorted(name for name in sys.modules if name.startswith(("http.server", "wsproto", "ruamel"))
                 or ".direct" in name))
    line.stop(1.0)
"""


def test_edge_mode_loads_neither_the_http_server_nor_yaml(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOADED, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"


UNHEALTHY = """
services:
  db:
    image: {image}
    command: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]
    healthcheck: {{test: ["CMD", "false"], interval: 1s, retries: 200}}
  web:
    image: {image}
    command: ["true"]
    depends_on: {{db: {{condition: service_healthy}}}}
"""


@pytest.mark.parametrize("call", ["compose", "stream"])
def test_a_stop_while_a_deploy_waits_for_health_ends_the_agent_in_dockers_time(
    tmp_path: Path, docker_socket: str, daemon: Daemon, busybox: str, unique: str, call: str
) -> None:
    with StandIn(TOKEN) as server:
        with agent(environment(server, tmp_path, docker_socket)) as process:
            line = server.line()
            body = {"name": unique, "compose_yaml": UNHEALTHY.format(image=busybox)}
            asked = line.ask("POST", f"/docker/deploy/{call}", body=body)
            wait_for(lambda: f"{unique}-db-1" in daemon.running(), "the deploy waits for its database")

            process.send_signal(signal.SIGTERM)

            assert process.wait(10.0) == 0, "Docker would have killed it"
            assert process.stderr is not None and "Traceback" not in process.stderr.read()
        assert line.ended.wait(BOUND) and line.close_code == 1001
        assert line.answered(asked) == (call == "stream"), "an answer to a deploy would be taken for its success"


def test_healthcheck_follows_the_line(tmp_path: Path, docker_socket: str) -> None:
    with StandIn(TOKEN) as server:
        environ = environment(server, tmp_path, docker_socket)
        before = command("healthcheck", environ)
        assert before.returncode == 1 and "not been tried" in before.stderr
        with agent(environ):
            server.line().reply("req-1")
            healthy = f"connected to ws://127.0.0.1:{server.port} since "
            assert wait_for(lambda: command("healthcheck", environ).stdout.startswith(healthy), "a healthy line")
            assert command("healthcheck", environ).returncode == 0

            server.close()
            assert wait_for(lambda: command("healthcheck", environ).returncode == 1, "an ill line")
            assert "not connected" in command("healthcheck", environ).stderr


@pytest.mark.parametrize("there", [True, False])
def test_doctor_says_which_step_of_the_way_to_the_server_failed(
    tmp_path: Path, docker_socket: str, there: bool
) -> None:
    with StandIn(TOKEN) as server:
        environ = environment(server, tmp_path, docker_socket)
        if not there:
            server.close()
        said = command("doctor", environ).stdout
    assert ("edge upgrade: the Server takes the line" in said) == there
    assert ("edge tcp: 127.0.0.1" in said and "connection refused" in said) != there
    assert server.first_messages == []
