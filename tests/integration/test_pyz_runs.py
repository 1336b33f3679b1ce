"""agent.pyz as a file: under every Python that is here, read-only, unprivileged, from source, with nothing written."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build
from tools.pyz import archive, bytecode, contents, unit

HERE = [version for version in bytecode.SUPPORTED if bytecode.find_interpreter(version)]

# Starts the archive as Python would, then says what came from where.
INSIDE = """
import json, runpy, sys
sys.argv = [{pyz!r}, "version"]
try:
    runpy.run_path({pyz!r}, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
sys.path.append({pyz!r})
import dockpal_agent.cli, ruamel.yaml, websocket, wsproto
from dockpal_agent.engine.connection import UnixHTTPConnection
assert UnixHTTPConnection.__module__ == "requests_unixsocket.adapters"
try:
    import psutil
    native, memory = sys.modules["psutil._psutil_linux"].__file__, psutil.virtual_memory().total
except ImportError as error:
    native, memory = str(error), 0
loaders = sorted({{type(module.__spec__.loader).__name__ for module in (dockpal_agent.cli, websocket, wsproto)}})
print(json.dumps(dict(loaders=loaders, cli=dockpal_agent.cli.__file__, native=native, memory=memory)))
"""


def _interpreter(version: str) -> str:
    found = bytecode.find_interpreter(version)
    assert found is not None
    return found


def _inside(python: str, pyz: Path, **options: object) -> dict[str, object]:
    ended = subprocess.run(
        [python, "-I", "-S", "-c", INSIDE.format(pyz=str(pyz))],
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def test_every_supported_python_was_tried_or_is_named_as_missing() -> None:
    this = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert this in HERE, f"agent.pyz is not tested under the Python that runs the tests, {this}"


@pytest.mark.parametrize("version", HERE)
def test_it_runs_from_bytecode_with_every_library_inside(version: str, agent_pyz: Path) -> None:
    answer = _inside(_interpreter(version), agent_pyz)

    assert answer["loaders"] == ["Bytecode"]
    assert answer["cli"] == f"{agent_pyz}/dockpal_agent/cli.py"
    assert str(answer["native"]).startswith("/proc/self/fd/")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert answer["memory"] == memory


@pytest.mark.parametrize("version", HERE)
def test_a_python_without_bytecode_of_its_own_runs_the_source(version: str, tmp_path: Path) -> None:
    bare = _from_source(tmp_path / "agent.pyz")

    answer = _inside(_interpreter(version), bare)

    assert answer["loaders"] == ["Source"]
    assert answer["cli"] == f"{bare}/dockpal_agent/cli.py"
    assert str(answer["native"]).startswith("/proc/self/fd/")


def test_without_a_build_for_this_machine_psutil_is_absent_and_the_rest_runs(tmp_path: Path) -> None:
    bare = _from_source(tmp_path / "agent.pyz", "native/")

    answer = _inside(sys.executable, bare)

    assert answer["memory"] == 0
    assert "_psutil_linux" in str(answer["native"])


def test_it_runs_unprivileged_from_a_read_only_folder_and_writes_nothing(agent_pyz: Path, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    copy = folder / "agent.pyz"
    copy.write_bytes(agent_pyz.read_bytes())
    copy.chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    options: dict[str, object] = {"cwd": "/", "env": {"TMPDIR": str(folder), "HOME": str(folder)}}
    if os.geteuid() == 0:
        options.update(user=65534, group=65534, extra_groups=[])

    answer = _inside(_unprivileged_python(), copy, **options)

    assert str(answer["native"]).startswith("/proc/self/fd/")
    assert [path.name for path in folder.iterdir()] == ["agent.pyz"]


def _unprivileged_python() -> str:
    """One that another user may run: the distribution's, where the tests' own lies in a home directory."""
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def test_an_older_python_gets_a_sentence(agent_pyz: Path) -> None:
    old = bytecode.find_interpreter("3.8") or bytecode.find_interpreter("3.7")
    if old is None:
        with zipfile.ZipFile(agent_pyz) as packed:
            assert b"needs Python 3.9 or newer" in packed.read("__main__.py")
        return
    ended = subprocess.run([old, str(agent_pyz)], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr.startswith("dockpal-agent needs Python 3.9 or newer")


def test_what_is_imported_late_comes_from_the_file_that_was_started(agent_pyz: Path, tmp_path: Path) -> None:
    running = tmp_path / "agent.pyz"
    running.write_bytes(agent_pyz.read_bytes())
    late = "import ruamel.yaml, wsproto; print(wsproto.__spec__.loader.__class__.__name__)"
    replaced = INSIDE.replace("sys.path.append", "import os; os.replace({pyz!r} + '.new', {pyz!r}); sys.path.append")
    (tmp_path / "agent.pyz.new").write_bytes(b"an upgrade with other offsets")

    ended = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            replaced.format(pyz=str(running)).split("import dockpal_agent.cli")[0] + late,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.stdout.splitlines()[-1:] == ["Bytecode"], ended.stderr


def _from_source(target: Path, *left_out: str) -> Path:
    """An archive as a builder without any interpreter would pack it, without what starts with `left_out`."""
    packed = build.dependencies()
    files = {name: data for name, data in contents.collect(packed, []).items() if not name.startswith(left_out)}
    target.write_bytes(archive.packed(files, {"": unit.packed(contents.sources(packed))}, contents.bootstrap))
    return target
