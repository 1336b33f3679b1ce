"""The reading in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockpal_agent.compose import child
from dockpal_agent.compose.child import read_project
from dockpal_agent.compose.errors import ComposeInvalid, ComposeTooLarge, ComposeUnread
from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import ReadRequest, TextFile
from tests.compose.judge import GROUPS, cases, request_for
from tests.compose.reading import FOLDER, request
from tests.compose.test_document import BOMB

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = {
    "an alias bomb": (BOMB, ComposeTooLarge, "excessive aliasing"),
    "10 MB": ("a: " + "x" * 10_000_000, ComposeTooLarge, "bytes are too many"),
    "10,000 services": (
        "services:\n" + "".join(f"  s{n}:\n    image: x\n" for n in range(10_000)),
        ComposeTooLarge,
        "more than 1000 services",
    ),
    "a cycle of services": (
        "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}",
        ComposeInvalid,
        "dependency cycle detected: a -> b -> a",
    ),
    "a cycle of extends": ("services: {a: {extends: b}, b: {extends: a}}", ComposeInvalid, "Circular reference"),
    "a cycle of aliases": ("a: &x [*x]", ComposeInvalid, "value contains itself"),
    "100,000 levels": ("[" * 100_000, ComposeTooLarge, "levels deep"),
    "a NUL": ('services: {a: {image: "\0"}}', ComposeInvalid, "control characters are not allowed"),
    "names that are paths": (
        'services: {"../../etc": {image: x}, "a/b": {image: x}}',
        ComposeInvalid,
        "additional properties '../../etc', 'a/b' not allowed",
    ),
    "a volume that is a path upwards": (
        "services: {a: {image: x, volumes: ['v/../../w:/x']}}",
        ComposeInvalid,
        "refers to undefined volume",
    ),
    "memory": (
        "services: {" + ", ".join(f"s{n}: {{image: x, ports: ['1-65535']}}" for n in range(200)) + "}",
        ComposeTooLarge,
        "of memory to read",
    ),
    "a model that grows": (
        "services: {a: {image: x, labels: [" + ", ".join(f"'{n}=${{BIG}}'" for n in range(300)) + "]}}",
        ComposeTooLarge,
        "larger than",
    ),
}


@pytest.mark.parametrize(("text", "kind", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_words(text: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        read_project(request(text, {"BIG": "x" * 100_000}))


def test_what_comes_back_is_what_the_stages_made() -> None:
    for case in (case for group in GROUPS for case in cases(group)[::40] if not case.refused):
        assert read_project(request_for(case)) == load(request_for(case))


def test_what_is_wrong_comes_back_with_path_file_and_line() -> None:
    with pytest.raises(ComposeInvalid) as refusal:
        read_project(request("services:\n  a:\n    image: 5\n"))

    (problem,) = refusal.value.problems
    assert (problem.path, problem.file, problem.line) == (("services", "a", "image"), f"{FOLDER}/compose.yml", 3)


def test_the_agents_own_environment_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKPAL_TOKEN", "agt-secret")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")

    project = read_project(request("services: {a: {image: 'x:${DOCKPAL_TOKEN:-none}', environment: [DOCKPAL_TOKEN]}}"))

    assert project.name == "app"
    assert project.services["a"]["image"] == "x:none"
    assert project.services["a"]["environment"] == {"DOCKPAL_TOKEN": None}


def test_the_agent_never_loads_yaml() -> None:
    program = (
        "import sys\n"
        "from dockpal_agent.compose.child import read_project\n"
        "from dockpal_agent.compose.project import ReadRequest, TextFile\n"
        "from dockpal_agent.compose.unsupported import unsupported\n"
        "import dockpal_agent.compose.printing, dockpal_agent.compose.command\n"
        "project = read_project(ReadRequest((TextFile('/d/c.yml', 'services: {a: {image: x}}'),), '/d', 'app'))\n"
        "unsupported(project)\n"
        "print([name for name in sys.modules if 'ruamel' in name])\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)

    assert done.stdout == "[]\n"


def test_the_child_is_found_where_python_does_not_know_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")

    command, _ = child.child_command()

    assert Path(command[0]).is_file()


def test_a_child_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WALL_SECONDS", 0.2)
    monkeypatch.setattr(child, "child_command", lambda: ([sys.executable, "-c", "import time; time.sleep(60)"], ROOT))

    with pytest.raises(ComposeUnread, match="took more than"):
        read_project(request("services: {a: {image: x}}"))


def test_a_child_that_uses_up_its_processor_time_means_that_the_file_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)"
    monkeypatch.setattr(child, "child_command", lambda: ([sys.executable, "-c", program], ROOT))

    with pytest.raises(ComposeTooLarge, match="of processor time"):
        read_project(request("services: {a: {image: x}}"))


@pytest.mark.parametrize("program", ["import os; os.abort()", "raise SystemExit(1)", "print('no answer')"])
def test_a_child_that_dies_or_says_nothing_is_told_as_such(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(child, "child_command", lambda: ([sys.executable, "-c", program], ROOT))

    with pytest.raises(ComposeUnread, match="could not be read"):
        read_project(request("services: {a: {image: x}}"))


def test_more_readings_than_places_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "WAIT_SECONDS", 0.1)
    taken = 0
    try:
        while child._ROOMS.acquire(blocking=False):
            taken += 1

        with pytest.raises(ComposeUnread) as refusal:
            read_project(request("services: {a: {image: x}}"))
    finally:
        for _ in range(taken):
            child._ROOMS.release()

    assert refusal.value.busy


def test_files_that_were_sent_along_are_read_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "on.env").write_text("A=disk\n")
    text = "services: {a: {image: x, env_file: [sent.env, {path: on.env, required: false}]}}"
    files = (TextFile(f"{tmp_path}/c.yml", text),)
    sent = {f"{tmp_path}/sent.env": "B=sent\n"}

    deployed = read_project(ReadRequest(files, str(tmp_path), "app", texts=sent))
    in_the_shell = read_project(ReadRequest(files, str(tmp_path), "app", texts=sent, from_disk=True))

    assert deployed.services["a"]["environment"] == {"B": "sent"}
    assert in_the_shell.services["a"]["environment"] == {"A": "disk", "B": "sent"}


def test_the_child_has_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKPAL_TOKEN", "agt-secret")
    program = "import os, json; print(json.dumps({'unread': ' '.join(os.environ)}))"
    monkeypatch.setattr(child, "child_command", lambda: ([sys.executable, "-c", program], ROOT))

    with pytest.raises(ComposeUnread) as answer:
        read_project(request("services: {a: {image: x}}"))

    assert set(str(answer.value).split()) <= {"LC_CTYPE"}  # Python sets that one itself


def test_nothing_of_the_parent_is_open_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    program = "import os, json; print(json.dumps({'unread': ' '.join(sorted(os.listdir('/proc/self/fd')))}))"
    monkeypatch.setattr(child, "child_command", lambda: ([sys.executable, "-c", program], ROOT))
    try:
        with pytest.raises(ComposeUnread) as answer:
            read_project(request("services: {a: {image: x}}"))
    finally:
        os.close(reading)
        os.close(writing)

    assert str(writing) not in str(answer.value).split()
