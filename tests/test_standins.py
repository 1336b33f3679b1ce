"""What stands in agent.pyz for a larger module does what our libraries ask of that one, and nothing else asks it."""

from __future__ import annotations

import ast
import html
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from build import ROOT

FOLDER = ROOT / "tools" / "pyz" / "standins"


def _standin(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"standin_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_error_page_is_escaped_as_by_the_standard_library() -> None:
    text = """<a href="x" title='y'>&amp;</a>"""
    ours = _standin("html")
    assert ours.escape(text) == html.escape(text)
    assert ours.escape(text, quote=False) == html.escape(text, quote=False)


def test_a_host_name_that_is_not_ascii_is_refused_as_a_unicode_error() -> None:
    ours = _standin("idna")
    assert ours.encode("docker.example", uts46=True) == b"docker.example"
    with pytest.raises(ours.IDNAError, match="ASCII"):
        ours.encode("bücher.example")
    assert issubclass(ours.IDNAError, UnicodeError)


def test_the_certificates_are_the_systems_and_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _standin("certifi")
    assert ours.where().startswith("/etc/")
    monkeypatch.setattr("os.path.isfile", lambda path: False)
    assert ours.where().startswith("/etc/")


def test_a_module_that_waits_is_loaded_by_its_first_use_and_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "shutil.py").write_bytes((FOLDER.parent / "lazy.py").read_bytes())
    source = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.modules.pop("shutil", None)
import shutil
before = sys.modules["shutil"].__file__
assert not hasattr(shutil, "__path__") and sys.modules["shutil"].__file__ == before, "a question loaded it"
assert shutil.which("sh")
assert "rmtree" in vars(shutil)
print(before, sys.modules["shutil"].__file__)
"""
    ended = subprocess.run([sys.executable, "-S", "-c", source], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    before, after = ended.stdout.split()
    assert Path(before).parent == tmp_path
    assert Path(after) == Path(shutil.__file__)


def test_the_agent_itself_imports_none_of_them() -> None:
    names = {standin.stem for standin in FOLDER.glob("*.py")}
    found = [
        f"{path}: {name}"
        for path in (ROOT / "dockpal_agent").rglob("*.py")
        for name in _imports(path)
        if name.partition(".")[0] in names
    ]
    assert found == []


def _imports(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
