"""`agent.pyz compose …` in a shell: what it prints, how it exits, and what the Engine then holds."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.compose.locks import ProjectLocks
from dockpal_agent.containers.aside import is_aside
from dockpal_agent.containers.journal import Journal
from dockpal_agent.containers.settle import settle
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import FaultProxy
from tests.integration.deploying import file_of, ids

ROOT = Path(__file__).resolve().parents[2]


class Shell:
    """A shell in a project's folder."""

    def __init__(self, folder: Path, project: str, docker_socket: str) -> None:
        self.folder = folder
        self.project = project
        self.data = folder / "agent"
        self.data.mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DOCKPAL_DOCKER_SOCKET": docker_socket,
            "DOCKPAL_DATA_DIR": str(self.data),
        }

    def command(self, *arguments: str) -> list[str]:
        name, *rest = arguments
        return [sys.executable, "-m", "dockpal_agent", "compose", "-p", self.project, name, *rest]

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def write(self, text: str, name: str = "compose.yaml") -> None:
        (self.folder / name).write_text(text)


@pytest.fixture
def shell(tmp_path: Path, unique: str, docker_socket: str) -> Shell:
    return Shell(tmp_path, unique, docker_socket)


def test_up_ps_stop_and_down(shell: Shell, daemon: Daemon, busybox: str, unique: str) -> None:
    shell.write(file_of(busybox, web="volumes: ['kept:/kept', './data:/data']", db="") + "volumes: {kept: {}}\n")
    up = shell.run("up", "-d")
    assert "is up: 2 containers" in up.stderr and "\x1b" not in up.stderr
    before = ids(daemon, unique)
    assert {state for _, state in before.values()} == {"running"}
    folder = daemon.inspect(f"{unique}-web-1")["Config"]["Labels"]["com.docker.compose.project.working_dir"]
    assert folder == str(shell.folder)

    shell.run("up")
    assert ids(daemon, unique) == before
    listed = json.loads(shell.run("ps", "--format", "json").stdout)
    assert [(entry["Name"], entry["Service"], entry["State"]) for entry in listed] == [
        (f"{unique}-db-1", "db", "running"),
        (f"{unique}-web-1", "web", "running"),
    ]
    daemon.call("POST", f"/containers/{unique}-web-1/pause")
    assert f"{unique}-web-1" in shell.run("ps").stdout
    daemon.call("POST", f"/containers/{unique}-web-1/unpause")

    shell.run("stop", "-t", "5")
    assert {state for _, state in ids(daemon, unique).values()} == {"exited"}
    assert shell.run("ps").stdout.count("\n") == 1 and shell.run("ps", "-a").stdout.count("\n") == 3
    shell.run("down")
    assert ids(daemon, unique) == {} and daemon.answer("GET", f"/networks/{unique}_default").status == 404
    assert daemon.answer("GET", f"/volumes/{unique}_kept").status == 200
    shell.run("up", "--no-start")
    assert {state for _, state in ids(daemon, unique).values()} == {"created"}
    shell.run("down", "--volumes")
    assert daemon.answer("GET", f"/volumes/{unique}_kept").status == 404
    assert "warning" in shell.run("down").stderr


def test_plan_says_what_up_would_do_and_does_nothing(shell: Shell, daemon: Daemon, busybox: str, unique: str) -> None:
    shell.write(file_of(busybox, web=""))
    assert "web" in shell.run("plan").stdout
    made = json.loads(shell.run("plan", "--format", "json").stdout)
    assert made["project"] == unique and any(action["action"] == "create" for action in made["actions"])
    assert ids(daemon, unique) == {} and daemon.answer("GET", f"/networks/{unique}_default").status == 404


def test_plan_says_what_stands_in_the_way_as_up_does(shell: Shell, daemon: Daemon, busybox: str, unique: str) -> None:
    daemon.run(busybox, name=f"{unique}-taken")
    shell.write(file_of(busybox, web=f"container_name: {unique}-taken"))
    refused = shell.run("up", code=1).stderr.strip()
    assert f'The container name "/{unique}-taken" is already in use' in refused

    assert f"refuse   {refused}" in shell.run("plan").stdout.splitlines()
    assert json.loads(shell.run("plan", "--format", "json").stdout)["warnings"] == [refused]


@pytest.mark.parametrize("command", ["config", "plan", "up"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: [", "yaml"),
        ("services: {web: {image: x, depends_on: [db]}}", "db"),
        ("services: {web: {build: .}}", "build"),
    ],
)
def test_a_file_that_is_wrong_exits_with_2(
    shell: Shell, daemon: Daemon, unique: str, command: str, text: str, words: str
) -> None:
    shell.write(text)
    if (command, words) == ("config", "build"):  # modelled and printed, and refused only where it would be brought up
        shell.run(command)
        return
    assert words in shell.run(command, code=2).stderr
    assert ids(daemon, unique) == {}


@pytest.mark.parametrize("command", ["up --wat", "nothing", "stop -t x", "plan --format xml"])
def test_a_command_line_that_is_wrong_exits_with_2(shell: Shell, command: str) -> None:
    assert "_seconds" not in shell.run(*command.split(), code=2).stderr


def test_where_no_daemon_answers_the_command_fails_with_1(shell: Shell, busybox: str) -> None:
    shell.write(file_of(busybox, web=""))
    for command in ("plan", "up", "ps", "stop", "down"):
        done = shell.run(command, code=1, DOCKPAL_DOCKER_SOCKET="/nonexistent/docker.sock")
        assert "/nonexistent/docker.sock" in done.stderr


def test_an_up_that_fails_exits_with_1_and_says_dockers_words(
    shell: Shell, daemon: Daemon, busybox: str, unique: str
) -> None:
    shell.write("services: {web: {image: '127.0.0.1:1/none:1', pull_policy: never}}")
    assert "127.0.0.1:1/none:1" in shell.run("up", code=1).stderr
    assert ids(daemon, unique) == {}


def test_a_failure_is_said_as_it_happens_and_at_the_end_and_is_no_line_of_a_log(shell: Shell, busybox: str) -> None:
    shell.write(f"services: {{web: {{image: '{busybox}', command: [sh, -c, 'echo no config; exit 3']}}}}")
    said = shell.run("up", code=1).stderr.splitlines()
    assert [line.partition(":")[0] for line in said[-3:-1]] == ["create", "cleanup"]
    assert said[-1].endswith("stays there") and sum("no config" in line for line in said) == 2


def test_a_project_is_named_by_the_shell_where_there_is_no_file(shell: Shell, unique: str, tmp_path: Path) -> None:
    command = [word for word in shell.command("ps") if word not in ("-p", unique)]
    environment = {**shell.environment, "COMPOSE_PROJECT_NAME": unique}
    done = subprocess.run(command, cwd=shell.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("NAME")


def test_variables_come_from_the_shell_and_its_env_file(
    shell: Shell, daemon: Daemon, busybox: str, unique: str
) -> None:
    shell.write(file_of(busybox, web="environment: {A: '$A', B: '$B'}"))
    shell.write("A=file\nB=file\n", "given.env")
    shell.run("up", "--env-file", "given.env", A="shell")
    found = daemon.inspect(f"{unique}-web-1")["Config"]
    assert {"A=shell", "B=file"} <= set(found["Env"])
    assert found["Labels"]["com.docker.compose.project.environment_file"] == str(shell.folder / "given.env")


def test_an_up_waits_for_the_lock_that_the_agent_holds(shell: Shell, daemon: Daemon, busybox: str, unique: str) -> None:
    shell.write(file_of(busybox, web=""))
    locks = shell.data / "state" / "locks"
    assert ProjectLocks(locks).writable
    with open(locks / f"{unique}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        up = subprocess.Popen(shell.command("up"), cwd=shell.folder, env=shell.environment, stderr=subprocess.PIPE)
        wait_for(lambda: _opened(up.pid, lock.name), "the shell waits for the lock")
        assert ids(daemon, unique) == {}
    _, said = up.communicate(timeout=120)
    assert up.returncode == 0, said
    assert list(ids(daemon, unique)) == [f"{unique}-web-1"]


def test_an_agent_that_starts_leaves_alone_what_an_up_is_replacing(
    shell: Shell, daemon: Daemon, engine: Engine, busybox: str, unique: str, docker_socket: str
) -> None:
    shell.write(file_of(busybox, web="stop_signal: SIGKILL", db="stop_signal: SIGKILL"))
    shell.run("up")
    shell.write(file_of(busybox, web="stop_signal: SIGKILL\ntty: true", db="stop_signal: SIGKILL\ntty: true"))
    seen = []

    def agent_starts(call: object) -> None:
        """Both old containers are stopped and set aside, the first new one is about to be started."""
        state = shell.data / "state"
        before = ids(daemon, unique)
        settled = settle(engine, Journal(state / "replacements", others=state / "shell"), rest=0.0)
        seen.append((settled, ids(daemon, unique) == before, any(is_aside(name) for name in before)))

    with FaultProxy(docker_socket) as proxy:
        proxy.before("POST", "/containers/.*/start", agent_starts, times=1)
        shell.run("up", DOCKPAL_DOCKER_SOCKET=proxy.socket_path)

    assert seen == [([], True, True)]
    assert {name: state for name, (_, state) in ids(daemon, unique).items()} == {
        f"{unique}-web-1": "running",
        f"{unique}-db-1": "running",
    }
    assert daemon.inspect(f"{unique}-web-1")["Config"]["Tty"]


def _opened(pid: int, path: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    return any(os.path.realpath(each) == os.path.realpath(path) for each in folder.iterdir() if os.path.lexists(each))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_up_that_is_interrupted_puts_everything_back(
    number: signal.Signals, shell: Shell, daemon: Daemon, busybox: str, unique: str
) -> None:
    shell.write(file_of(busybox, web="", db=""))
    shell.run("up")
    before = ids(daemon, unique)
    check = "healthcheck: {test: [CMD, 'false'], interval: 1s, start_period: 600s}"
    shell.write(file_of(busybox, web="depends_on: {db: {condition: service_healthy}}\nhostname: new", db=check))
    process = subprocess.Popen(
        shell.command("up"),
        cwd=shell.folder,
        env=shell.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    db = f"{unique}-db-1"

    def new_one_runs() -> bool:
        found = ids(daemon, unique).get(db)
        return found is not None and found[0] != before[db][0] and found[1] == "running"

    wait_for(new_one_runs, "the new database to run")

    process.send_signal(number)

    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted: undoing" in said
    assert ids(daemon, unique) == before


def test_on_a_terminal_progress_replaces_itself(shell: Shell, busybox: str) -> None:
    shell.write(file_of(busybox, web=""))
    ours, theirs = pty.openpty()
    up = subprocess.Popen(shell.command("up"), cwd=shell.folder, env=shell.environment, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            part: Any = os.read(ours, 65536)
        except OSError:  # the terminal's end, as Linux tells it
            break
        if not part:
            break
        said += part
    os.close(ours)
    assert up.wait(60) == 0
    assert "✔ project" in said.decode() and b"\r\x1b[K" in said
