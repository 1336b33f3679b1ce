"""What stands in agent.pyz for a larger module does what our libraries ask of that one, and nothing else asks it."""

from __future__ import annotations

import ast
import dataclasses
import email.parser
import html
import http.client
import importlib.util
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from build import ROOT
from tools.pyz import contents

FOLDER = ROOT / "tools" / "pyz" / "standins"
COMPLETE = {"dataclasses", "secrets"}  # these do all that the agent itself asks of them
HEADS = st.lists(
    st.tuples(
        st.sampled_from(
            ["A: 1", "b:2 ", "A:\t3", "C", ":", " 4", "\t5", "From x", "From: y", "D-e: \xe9:", "", "F g: h"]
        ),
        st.sampled_from(["\r\n", "\n", "\r"]),
    ).map("".join)
).map("".join)


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


def test_a_head_is_read_as_by_the_standard_library() -> None:
    parser, message = _standin("email.parser").Parser, _standin("email.message").Message

    @given(HEADS)
    @example("From me\r\nA: 1\r\n\r\n")
    @example("A: 1\r\n 2\r\nFrom me\r\n 3\r\n: 4\r\n 5\r\nB:\r\nno field\r\nC: 6\r\n\r\n")
    def compare(text: str) -> None:
        real = email.parser.Parser(_class=http.client.HTTPMessage).parsestr(text)
        ours = parser(_class=message).parsestr(text)
        assert ours.items() == real.items()
        assert (ours.keys(), ours.values(), list(ours), len(ours)) == (
            real.keys(),
            real.values(),
            list(real),
            len(real),
        )
        for name in (*real.keys(), "a", "X-none"):
            assert (ours.get(name), ours[name], name in ours) == (real.get(name), real[name], name in real)
            assert (ours.get_all(name), ours.get(name, 1)) == (real.get_all(name), real.get(name, 1))

    compare()


def test_what_is_drawn_at_random_has_the_length_that_was_asked_for() -> None:
    ours = _standin("secrets")
    assert len(bytes.fromhex(ours.token_hex(9))) == 9
    assert ours.token_hex() != ours.token_hex()
    assert len(ours.token_bytes(7)) == 7
    assert ours.compare_digest("a", "a") and not ours.compare_digest(b"a", b"b")


def _samples(module: Any) -> dict[str, Any]:
    """Classes made by the real dataclasses or by the stand-in: everything that the agent's classes ask for."""

    @module.dataclass(frozen=True)
    class Point:
        x: int
        y: int = 0
        secret: str = module.field(default="s", repr=False)
        unseen: int = module.field(default=1, compare=False)
        names: list[str] = module.field(default_factory=list)
        KIND: ClassVar[str] = "point"

        @property
        def both(self) -> int:
            return self.x + self.y

    @module.dataclass(frozen=True)
    class Deeper(Point):
        """With a docstring of its own."""

        y: int = 5
        z: Any = None

    @module.dataclass
    class Open:
        a: int
        made: list[int] = module.field(default_factory=list, init=False)

        def __post_init__(self) -> None:
            self.made.append(self.a)

    @module.dataclass(eq=False)
    class Apart:
        a: int = 1

    @module.dataclass(frozen=True)
    class Own:
        a: Any

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "own"

    class Plain(Point):
        pass

    return {each.__name__: each for each in (Point, Deeper, Open, Apart, Own, Plain)}


def _seen(module: Any) -> list[object]:
    """What such classes do, told in values that can be compared."""
    kinds = _samples(module)
    point, deeper, opened = kinds["Point"], kinds["Deeper"], kinds["Open"]
    first, nested = point(1), deeper(1, z=point(2, names=["n"]))

    def raised(call: Callable[[], object]) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011  which one is what is asked
            call()
        return f"{type(caught.value).__name__}: {caught.value}"

    loose = kinds["Plain"](1)
    loose.other = 2
    return [
        repr(first), repr(nested), repr(opened(3)), repr(kinds["Own"](1)), repr(loose),
        first == point(1), first == point(1, unseen=9), first == point(2), first == deeper(1), first == 1,
        kinds["Apart"]() == kinds["Apart"](), opened(1) == opened(1), opened.__hash__,
        hash(point(1, names=())) == hash(point(1, unseen=2, names=())), hash(kinds["Own"]([])),
        {kinds["Apart"]()} != set(), first.names is not point(1).names, point.y, deeper.y, first.both, point.KIND,
        module.asdict(nested), repr(module.replace(nested, y=3)), module.replace(first, x=2) == point(2),
        [each.name for each in module.fields(deeper)], module.is_dataclass(point), module.is_dataclass(Path()),
        list(inspect.signature(point).parameters),
        (point.__match_args__, point.__init__.__qualname__) if sys.version_info >= (3, 10) else "otherwise before",
        raised(lambda: setattr(first, "x", 2)), raised(lambda: setattr(first, "new", 2)),
        raised(lambda: delattr(first, "x")), raised(lambda: setattr(loose, "x", 2)), loose.other,
        issubclass(module.FrozenInstanceError, AttributeError),
        raised(lambda: point()), raised(lambda: point(1, q=2)),
        raised(lambda: module.replace(opened(1), made=[])).partition(": ")[2][:10],
    ]  # fmt: skip


def test_a_dataclass_behaves_as_the_standard_librarys() -> None:
    assert _seen(_standin("dataclasses")) == _seen(dataclasses)


def test_a_dataclass_with_an_option_that_has_no_counterpart_is_refused() -> None:
    ours = _standin("dataclasses")
    with pytest.raises(TypeError, match="order"):
        ours.dataclass(order=True)
    with pytest.raises(TypeError, match="kw_only"):
        ours.field(kw_only=True)


def test_every_module_of_the_agent_can_be_imported_with_them() -> None:
    instead = {_module(path): source for path, source in contents.INSTEAD.items()}
    code = f"""
import importlib, importlib.util, pkgutil, sys, types
for name, source in {instead!r}.items():
    sys.modules[name] = types.ModuleType(name)
    exec(source, vars(sys.modules[name]))
for name in {sorted(COMPLETE)!r}:
    spec = importlib.util.spec_from_file_location(name, {str(FOLDER)!r} + "/" + name + ".py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
import dockpal_agent
for found in pkgutil.walk_packages(dockpal_agent.__path__, "dockpal_agent."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print(sys.modules["dataclasses"].__file__)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == str(FOLDER / "dataclasses.py")


def _module(path: str) -> str:
    """`h11/__init__.py` -> h11."""
    return path[: -len(".py")].replace("/", ".").replace(".__init__", "")


def test_the_agent_itself_imports_none_of_them() -> None:
    names = {standin.stem for standin in FOLDER.glob("*.py")} - COMPLETE
    found = [
        f"{path}: {name}" for path in (ROOT / "dockpal_agent").rglob("*.py") for name in _imports(path) if name in names
    ]
    assert found == []


def _imports(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
