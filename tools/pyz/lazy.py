"""Stands in agent.pyz for a module of the standard library until something is asked of it; then that one is loaded.

`tools.pyz.contents.LAZY` names them, and who imports them for what an agent seldom or never needs.
"""

from __future__ import annotations

import sys
from types import ModuleType


def __getattr__(name: str) -> object:
    if name[:2] == "__":
        raise AttributeError(name)  # the import system's own questions, which must not load anything
    return getattr(_load(), name)


def _load() -> ModuleType:
    """The real module, which also takes this one's place and lends it its contents. Twice at once does no harm."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    parent = __name__.rpartition(".")[0]
    archive = __file__[: __file__.rindex("/")]
    path = sys.modules[parent].__path__ if parent else [path for path in sys.path if path != archive]
    spec = PathFinder.find_spec(__name__, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"this Python has no module {__name__}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[__name__] = module
    globals().update((key, value) for key, value in vars(module).items() if key[:2] != "__")
    return module
