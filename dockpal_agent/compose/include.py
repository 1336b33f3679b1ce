"""`include`: other projects' files whose parts become parts of this one.

Compose Specification, Include. Each included project is read by itself, with its own folder and its own `.env`.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Final

from dockpal_agent.compose.environment import project_variables
from dockpal_agent.compose.errors import ComposeInvalid, Problem
from dockpal_agent.compose.paths import join
from dockpal_agent.compose.project import TextFile
from dockpal_agent.compose.tree import Value

if TYPE_CHECKING:
    from dockpal_agent.compose.load import Context

__all__ = ["apply_includes"]

_KINDS: Final = ("services", "volumes", "networks", "secrets", "configs", "models")
_MOST: Final = 100  # files that include each other

Merged = Callable[[Sequence[TextFile], "Context"], Value]


def apply_includes(tree: Value, file: str, context: Context, merged: Merged) -> Value:
    """The tree with what it includes, without `include`. Raises ComposeInvalid for a cycle, a clash, a missing file."""
    includes = tree.get("include")
    if "include" not in tree or not (includes is None or isinstance(includes, list)):
        return tree
    made = {key: value for key, value in tree.items() if key != "include"}
    for index, include in enumerate(includes or ()):
        entry = {"path": include} if isinstance(include, str) else include
        if isinstance(entry, dict):  # else the schema has a word on it
            made = _with_parts(made, _included(entry, file, context, merged), index)
    return made


def _listed(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else [item for item in value or () if isinstance(item, str)]


def _included(entry: Value, file: str, context: Context, merged: Merged) -> Value:
    paths = [join(context.folder, path) for path in _listed(entry.get("path"))]
    if not paths:
        return {}
    chain = (*context.including, file)
    if paths[0] in chain or len(chain) > _MOST:
        lines = "\n include ".join([*chain[1:], paths[0]])
        raise ComposeInvalid([Problem(f"include cycle detected:\n{chain[0]}\n include {lines}", ("include",))])
    files = tuple(TextFile(path, _text(path, context)) for path in paths)
    given = entry.get("project_directory")
    folder = join(context.folder, given) if isinstance(given, str) and given else posixpath.dirname(paths[0])
    env_paths = [join(context.folder, path) for path in _listed(entry.get("env_file"))]
    if not env_paths and context.files.has(join(folder, ".env")):
        env_paths = [join(folder, ".env")]
    env_files = tuple(TextFile(path, _text(path, context)) for path in env_paths)
    variables = project_variables(context.variables, env_files, context.findings)
    context.findings.raise_if_any()
    inner = dataclasses.replace(context, folder=folder, variables=variables, including=chain)
    return merged(files, inner)


def _text(path: str, context: Context) -> str:
    try:
        return context.files.read(path)
    except FileNotFoundError:
        words = f"open {path}: no such file or directory"
    except (OSError, UnicodeDecodeError) as error:
        words = f"open {path}: {error}"
    raise ComposeInvalid([Problem(words, ("include",))])


def _with_parts(tree: Value, included: Value, index: int) -> Value:
    made = dict(tree)
    for kind in _KINDS:
        parts = included.get(kind)
        if not isinstance(parts, dict):
            continue
        own: Value = made.get(kind) if isinstance(made.get(kind), dict) else {}
        for name, part in parts.items():
            if name in own and own[name] != part:
                raise ComposeInvalid([Problem(f"{kind}.{name} conflicts with imported resource", ("include", index))])
        made[kind] = {**own, **parts}
    return made
