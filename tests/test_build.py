"""build.py's parts: the lock, the compiler, the archive; and the whole: the same bytes twice."""

from __future__ import annotations

import hashlib
import marshal
import sys
import zipfile
from pathlib import Path
from types import CodeType

import pytest

import build
from tools.pyz import archive, bytecode, contents, unit, wheels
from tools.pyz.compile import compiled

HASH = "a" * 64


def test_a_lock_without_a_hash_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"one==1 \\\n    --hash=sha256:{HASH}\ntwo==2\n")
    with pytest.raises(wheels.WheelMissing, match="hashes"):
        wheels.read_lock(lock)


def test_the_lock_is_read_with_every_hash() -> None:
    pins = {pin.name: pin for pin in wheels.read_lock(build.ROOT / "requirements.lock")}
    assert {"requests", "requests-unixsocket", "websocket-client", "psutil", "wsproto", "ruamel-yaml"} <= set(pins)
    assert not {"certifi", "charset-normalizer", "idna"} & set(pins)
    assert all(pin.hashes for pin in pins.values())


def test_a_wheel_that_is_not_the_pinned_one_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    content = b"not what was pinned"
    (tmp_path / "one-1").mkdir()
    (tmp_path / "one-1" / "one-1-py3-none-any.whl").write_bytes(content)
    good = wheels.Pin("one", "1", frozenset({hashlib.sha256(content).hexdigest()}))
    assert [wheel.path.name for wheel in wheels.fetch([good], tmp_path, frozenset())] == ["one-1-py3-none-any.whl"]

    other = wheels.Pin("one", "1", frozenset({HASH}))
    with pytest.raises(wheels.WheelMissing, match="one 1"):
        wheels.fetch([other], tmp_path, frozenset())


def _run(source: str) -> dict[str, object]:
    code = marshal.loads(compiled(source.encode(), "module.py")[16:])
    assert isinstance(code, CodeType)
    space: dict[str, object] = {"__name__": "module"}
    exec(code, space)
    return space


def test_docstrings_and_annotations_go_and_assertions_stay() -> None:
    space = _run('"""Module."""\ndef f(a: Unknown) -> Gone:\n    """Says."""\n    assert a, "kept"\n    return a\n')
    function = space["f"]
    assert callable(function)
    assert space.get("__doc__") is None
    assert function.__doc__ is None
    assert function.__annotations__ == {}
    with pytest.raises(AssertionError, match="kept"):
        function(0)


def test_what_only_had_a_docstring_still_compiles() -> None:
    space = _run('class Empty(Exception):\n    """Only words."""\n\ndef nothing() -> None:\n    """Only words."""\n')
    assert callable(space["nothing"])
    assert space["nothing"]() is None


@pytest.mark.parametrize("docstring", ["'Words.'", ""])
def test_a_dataclass_keeps_its_fields_and_makes_no_docstring_of_its_signature(docstring: str) -> None:
    source = f"import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass P:\n    {docstring}\n    x: int = 1\n"
    point = _run(source)["P"]
    assert isinstance(point, type)
    assert point(2).x == 2
    assert point.__doc__ == "."


def test_the_archive_does_not_depend_on_order_or_time() -> None:
    files = {"b.py": b"2", "a.py": b"1", "c/d.py": b"3"}
    units = {"": unit.Unit(b"all", 1, 1), "cafe": unit.Unit(b"one", 1, 1), "0bad": unit.Unit(b"two", 1, 1)}
    data = archive.packed(files, units, contents.bootstrap)
    again = archive.packed(dict(reversed(files.items())), dict(reversed(units.items())), contents.bootstrap)
    assert data == again
    assert data.startswith(b"#!/usr/bin/env python3\n")


def test_the_checksum_beside_the_file_is_its_own_and_the_old_file_is_not_written_into(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    archive.write(b"old", target)
    with target.open("rb") as running:
        digest = archive.write(b"new", target)
        assert running.read() == b"old"
    assert digest == hashlib.sha256(b"new").hexdigest()
    assert (tmp_path / "agent.pyz.sha256").read_text() == f"{digest}  agent.pyz\n"


def test_this_interpreter_is_found_and_an_unknown_one_is_not() -> None:
    assert bytecode.find_interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert bytecode.find_interpreter("3.99") is None


def test_a_release_insists_on_every_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "find_interpreter", lambda version: None)
    with pytest.raises(ValueError, match=r"Python 3\.9, 3\.10, 3\.11, 3\.12, 3\.13"):
        build.build([], {}, release=True)


@pytest.mark.slow
def test_two_builds_have_the_same_bytes_and_hold_licences_and_versions(agent_pyz: Path) -> None:
    packed = build.dependencies()
    modules = contents.sources(packed)
    first = agent_pyz.read_bytes()
    assert first == build.build(packed, dict(reversed(modules.items())))

    with zipfile.ZipFile(agent_pyz) as inside:
        names = inside.namelist()
        about = inside.read("build.json").decode()
    for pin in wheels.read_lock(build.ROOT / "requirements.lock"):
        assert f'"{pin.name}": "{pin.version}"' in about
        assert any(name.startswith(f"licenses/{pin.name}/") for name in names), pin.name
    assert len(first) < build.LIMIT
    assert not [name for name in names if name.startswith(("charset_normalizer", "tests/")) or "cacert" in name]
    natives = [name for name in names if name.startswith("native/")]
    assert len(natives) == len(wheels.NATIVE_PLATFORMS), natives
