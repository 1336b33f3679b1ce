"""The __main__ of agent.pyz: imports from the bytecode of this Python, loads psutil's extension, calls the agent.

Must be readable to any Python 3, so that an old one gets a sentence instead of a syntax error. It is compiled at every
start, so it is short.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit("dockpal-agent needs Python 3.9 or newer, this is %d.%d" % sys.version_info[:2])  # noqa: UP031

import marshal
import os
import zlib
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

ARCHIVE = sys.path[0]
# Magic number of a Python, b"" for the sources → (where the unit lies in this file, bytes of its table of contents,
# bytes of the table unpacked).
UNITS: "dict[bytes, tuple[int, int, int]]" = {}  # build.py fills it in


class Bytecode:
    """Finds and loads modules in one unit: a table of contents, then each module packed with a common dictionary.

    The file stays open, so that what is imported late comes from the file that was started, whatever was put in its
    place since.
    """

    def __init__(self, start: int, packed: int, size: int) -> None:
        self.file = os.open(ARCHIVE, os.O_RDONLY | os.O_CLOEXEC)
        table = zlib.decompress(os.pread(self.file, packed, start), -15, size)
        self.modules, self.dictionary = marshal.loads(table)  # name → (offset, bytes, is a package)
        self.start = start + packed

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name not in self.modules:
            return None
        package = self.modules[name][2]
        place = ARCHIVE + "/" + name.replace(".", "/")
        spec = ModuleSpec(name, self, origin=place + ("/__init__.py" if package else ".py"), is_package=package)  # type: ignore
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [place]
        return spec

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(self.get_code(module.__name__), module.__dict__)  # type: ignore

    def get_code(self, name: str) -> object:
        return marshal.loads(self.content(name))

    def content(self, name: str) -> bytes:
        offset, length = self.modules[name][:2]
        unpacking = zlib.decompressobj(-15, self.dictionary)
        return unpacking.decompress(os.pread(self.file, length, self.start + offset))


class Source(Bytecode):
    """The same of the sources, for a Python that is not among those that the builder had."""

    def get_code(self, name: str) -> object:
        return compile(self.content(name), name.replace(".", "/") + ".py", "exec", dont_inherit=True)


class Extension:
    """Imports psutil's C extension from inside the archive: through a file in memory, nothing is written."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> object:
        if name != "psutil._psutil_linux":
            return None
        from native import spec  # type: ignore[import-not-found]

        return spec(name, ARCHIVE)


sys.meta_path.insert(0, Extension)  # type: ignore[arg-type]
sys.meta_path.insert(0, Bytecode(*UNITS[MAGIC_NUMBER]) if MAGIC_NUMBER in UNITS else Source(*UNITS[b""]))  # type: ignore

from dockpal_agent.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
