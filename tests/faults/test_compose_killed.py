"""The agent is killed at each changing call of a deploy; its next start leaves the whole old project or the new one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from dockpal_agent.containers.aside import is_aside
from dockpal_agent.containers.settle import settle
from dockpal_agent.engine import Engine
from tests.engines.daemon import Daemon, wait_for
from tests.faults.proxy import Call, FaultProxy, When
from tests.integration.stacks import HEX, Stack

ROOT: Final = Path(__file__).resolve().parents[2]
CHANGING: Final = ("POST", "DELETE")

OLD: Final = """
x-one: &one {image: IMAGE, command: sleep 1000, stop_signal: SIGKILL, stop_grace_period: 1s}
services:
  db: {<<: *one, volumes: [data:/data, /anonymous]}
  web: {<<: *one, networks: [own], depends_on: {db: {condition: service_started, restart: true}}}
  gone: *one
networks: {own: }
volumes: {data: }
"""
# db is made anew, and its network; web restarts with it; more is new, with a network and a volume; gone goes.
NEW: Final = """
x-one: &one {image: IMAGE, command: sleep 1000, stop_signal: SIGKILL, stop_grace_period: 1s}
services:
  db: {<<: *one, volumes: [data:/data, /anonymous], environment: {NEW: "1"}}
  web: {<<: *one, networks: [own], depends_on: {db: {condition: service_started, restart: true}}}
  more: {<<: *one, networks: [fresh], volumes: [extra:/extra]}
networks: {own: , fresh: , default: {internal: true}}
volumes: {data: , extra: }
"""


@pytest.fixture
def stack(daemon: Daemon, engine: Engine, docker_compose: Path, busybox: str, unique: str, tmp_path: Path) -> Stack:
    made = Stack(tmp_path / "project", unique, daemon, engine, docker_compose)
    renew(made, busybox)
    return made


def renew(stack: Stack, image: str) -> None:
    """The old project, running, with its data."""
    if stack.rows():
        stack.down()
    stack.write(OLD.replace("IMAGE", image))
    stack.ours(proof=0.0)
    command = "echo named > /data/file; echo anonymous > /anonymous/file"
    stack.daemon.exec(f"{stack.project}-db-1", "sh", "-c", command)
    stack.write(NEW.replace("IMAGE", image))


def deploy(stack: Stack, socket: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.brought_up", socket, str(stack.folder), stack.project]
    return subprocess.Popen([*command, str(stack.folder / "journal")], cwd=ROOT, stderr=subprocess.PIPE)


def changing_calls(stack: Stack, docker_socket: str) -> list[tuple[str, str, int]]:
    """(method, path, which of this method) of every changing call of one whole deploy."""
    with FaultProxy(docker_socket) as watched:
        child = deploy(stack, watched.socket_path)
        _, said = child.communicate(timeout=60)
        assert child.returncode == 0, said
        counts = dict.fromkeys(CHANGING, 0)
        found = []
        for method, path in watched.calls:
            if method in CHANGING:
                counts[method] += 1
                found.append((method, path, counts[method]))
        return found


def killed_at(stack: Stack, docker_socket: str, method: str, nth: int, *, before: bool) -> bool:
    """Deploy, and be killed at the call: before the daemon hears of it, or after it did it; whether it came to that."""
    with FaultProxy(docker_socket) as proxy:
        child: list[subprocess.Popen[bytes]] = []

        def kill(seen: Call) -> None:
            child[0].send_signal(signal.SIGKILL)
            child[0].wait(10)

        if before:
            proxy.cut(method, ".*", When.BEFORE, nth=nth)
        (proxy.before if before else proxy.after)(method, ".*", kill, nth=nth, times=1)
        child.append(deploy(stack, proxy.socket_path))
        _, said = child[0].communicate(timeout=60)
        assert child[0].returncode in (-signal.SIGKILL, 0), said
        return child[0].returncode != 0


def what_stands(stack: Stack) -> str:
    """ "old" or "new", wholly, or what is neither."""
    found: dict[str, Any] = {name: stack.daemon.inspect(name) for name in stack.rows()}
    states = {name[len(stack.project) + 1 :]: seen["State"]["Status"] for name, seen in found.items()}
    network = stack.daemon.call("GET", f"/networks/{stack.project}_default")
    fresh = stack.daemon.answer("GET", f"/networks/{stack.project}_fresh").status == 200
    db = found.get(f"{stack.project}-db-1")
    is_new = db is not None and "NEW=1" in db["Config"]["Env"]
    facts = (states, network["Internal"], len(network["Containers"]), fresh, is_new)
    old = ({"db-1": "running", "web-1": "running", "gone-1": "running"}, False, 2, False, False)
    new = ({"db-1": "running", "web-1": "running", "more-1": "running"}, True, 1, True, True)
    return "old" if facts == old else "new" if facts == new else repr(facts)


def once_docker_is_still(engine: Engine, stack: Stack) -> str:
    """What stands, when the daemon has also done with a create that was under way beside the call of the kill: that
    container was never started, and is known by its name (decision 4, "before or in 1").
    """
    wait_for(
        lambda: not any(is_aside(name) for name in stack.states()) or settle(engine, stack.journal, rest=0.0),
        "leftovers to go",
    )
    settle(engine, stack.journal, rest=0.0)
    return what_stands(stack)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("docker_socket", "before"), [("old", True), ("old", False), ("new", False)], indirect=["docker_socket"]
)
def test_killed_at_any_changing_call_the_next_start_leaves_the_whole_old_project_or_the_whole_new_one(
    before: bool, engine: Engine, docker_socket: str, busybox: str, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = changing_calls(stack, docker_socket)
    assert what_stands(stack) == "new"
    whole = {stands: (stands, b"named\nanonymous\n", 0) for stands in ("old", "new")}
    now: Any = whole["new"]
    outcomes: dict[str, Any] = {}
    for method, path, nth in calls:
        if now == whole["old"]:  # it is there to go on with, and a volume that a new container was to be started on
            stack.daemon.answer("DELETE", f"/volumes/{stack.project}_extra")
        else:
            renew(stack, busybox)
        assert killed_at(stack, docker_socket, method, nth, before=before), f"{method} {path}: it never came to that"
        settle(engine, stack.journal)
        stands = once_docker_is_still(engine, stack)
        data = stack.daemon.exec(f"{stack.project}-db-1", "cat", "/data/file", "/anonymous/file")
        now = (stands, data, len(stack.journal.unfinished()))
        outcomes[f"{method} {path} ({nth})"] = now

    with capsys.disabled():
        print(f"\nkilled {'before' if before else 'after'} a call; the next start leaves, with its data:")
        for call, (stands, _, _) in outcomes.items():
            print(f"  {stands}  {HEX.sub('<id>', call).replace(stack.project, 'p')}")
    assert {call: outcome for call, outcome in outcomes.items() if outcome not in whole.values()} == {}
    assert len(outcomes) > 15
    assert {outcome[0] for outcome in outcomes.values()} == {"old", "new"}
