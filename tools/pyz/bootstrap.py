"""The __main__ of agent.pyz: picks the bytecode of this Python, offers psutil's extension, and calls the agent.

Must be readable to any Python 3, so that an old one gets a sentence instead of a syntax error.
"""

import sys

if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit("dockpal-agent needs Python 3.9 or newer, this is %d.%d" % sys.version_info[:2])  # noqa: UP031

import zipimport
from _frozen_importlib_external import MAGIC_NUMBER

ARCHIVE = sys.path[0]


def use_bytecode() -> None:
    """Put the folder that this very interpreter compiled before the sources, which serve where there is none."""
    folder = "bytecode/" + MAGIC_NUMBER.hex()
    # zipimport keeps a row for every file of the archive; the rows of other versions would be 1 MB for nothing.
    rows = getattr(zipimport, "_zip_directory_cache", {}).get(ARCHIVE, {})
    if folder + "/dockpal_agent/__init__.pyc" in rows:
        sys.path.insert(0, ARCHIVE + "/" + folder)
        for name in [name for name in rows if not name.startswith((folder, "native", "build.json"))]:
            del rows[name]


class NativeFinder:
    """Imports psutil's C extension from inside the archive: through a file in memory, nothing is written."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> object:
        if fullname != "psutil._psutil_linux":
            return None
        from native import spec  # type: ignore[import-not-found]

        return spec(fullname, ARCHIVE)


use_bytecode()
sys.meta_path.insert(0, NativeFinder)  # type: ignore[arg-type]

from dockpal_agent.cli import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
