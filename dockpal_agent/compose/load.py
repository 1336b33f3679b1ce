"""The reading of a project: stages in order, each a pure function from tree to tree.

    text → documents → (each: variables → extends → include → merge → schema → long forms) → defaults → paths →
    implicit parts → model → profiles → references → env files → what is not used is dropped

All problems of a stage are reported at once; the next stage sees only trees that passed.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable, Final, Optional

from dockpal_agent.compose.canonical import add_defaults, lengthen
from dockpal_agent.compose.consistency import check_references, check_values
from dockpal_agent.compose.document import Document, read_documents
from dockpal_agent.compose.environment import complete_service, project_variables, unresolved_service
from dockpal_agent.compose.errors import ComposeInvalid, Findings, Problem
from dockpal_agent.compose.extends import Source, apply_extends
from dockpal_agent.compose.files import Files
from dockpal_agent.compose.golang import quoted
from dockpal_agent.compose.include import apply_includes
from dockpal_agent.compose.interpolate import interpolate
from dockpal_agent.compose.merge import Merge, drop_repeats, forget
from dockpal_agent.compose.model import SERVICE_ROWS, model
from dockpal_agent.compose.names import is_project_name, normalise_project_name
from dockpal_agent.compose.normalise import normalise
from dockpal_agent.compose.paths import absolute_paths, join
from dockpal_agent.compose.project import Entry, Project, ReadRequest, TextFile
from dockpal_agent.compose.schema import validate
from dockpal_agent.compose.tree import Path, Value

__all__ = ["FILE_STAGES", "PROJECT_STAGES", "load"]

_DECODING: Final = "decoding failed due to the following error(s):\n"
_ROW_ORDER: Final = tuple(SERVICE_ROWS)


@dataclass(frozen=True)
class Context:
    """What every stage may know. `lines` says where each place of the merged tree was written."""

    folder: str
    project: str
    variables: Mapping[str, str]
    files: Files
    findings: Findings
    lines: dict[Path, tuple[str, int]] = field(default_factory=dict)
    including: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One document on its way onto those before it."""

    document: Document
    below: Value
    context: Context


def _with_variables(tree: Value, layer: Layer) -> Value:
    return interpolate(tree, layer.context.variables, layer.context.findings)


def _with_extends(tree: Value, layer: Layer) -> Value:
    source = Source(layer.document.file, tree, tuple(layer.document.resets))
    return apply_extends(
        source, lambda path: _base(join(layer.context.folder, path), layer.context), layer.context.findings
    )


def _with_includes(tree: Value, layer: Layer) -> Value:
    return apply_includes(tree, layer.document.file, layer.context, merged)


def _onto_what_is_below(tree: Value, layer: Layer) -> Value:
    return Merge(layer.context.findings).tree(forget(layer.below, layer.document.resets), tree)


def _valid(tree: Value, layer: Layer) -> Value:
    """Repeats go first, as Compose lets them pass; what cannot be compared is told if the schema has no word on it."""
    repeats, findings = Findings(), layer.context.findings
    single = drop_repeats(tree, repeats)
    validate(single, layer.document.file, findings)
    if not findings.problems:
        findings.problems.extend(repeats.problems)
    if "version" in single:
        findings.warn(
            f"{layer.document.file}: the attribute `version` is obsolete, it will be ignored, "
            "please remove it to avoid potential confusion"
        )
    return {key: value for key, value in single.items() if key != "version"}


def _in_long_form(tree: Value, layer: Layer) -> Value:
    return lengthen(tree, layer.context.findings)


def _without_repeats(tree: Value, layer: Layer) -> Value:
    return drop_repeats(tree, layer.context.findings)


FILE_STAGES: Final[tuple[Callable[[Value, Layer], Value], ...]] = (
    _with_variables,
    _with_extends,
    _with_includes,
    _onto_what_is_below,
    _valid,
    _in_long_form,
    _without_repeats,
)
_BASE_STAGES: Final = (_with_variables, _onto_what_is_below, _in_long_form)  # a file that another one extends


def _with_defaults(tree: Value, context: Context) -> Value:
    return add_defaults(tree)


def _with_checked_values(tree: Value, context: Context) -> Value:
    check_values(tree, context.findings)
    return tree


def _with_absolute_paths(tree: Value, context: Context) -> Value:
    return absolute_paths(tree, context.folder, context.variables.get("HOME"), context.findings)


PROJECT_STAGES: Final[tuple[Callable[[Value, Context], Value], ...]] = (
    _with_defaults,
    _with_checked_values,
    _with_absolute_paths,
)


def merged(files: Sequence[TextFile], context: Context) -> Value:
    """The tree of several files on top of each other, through all stages that an included project goes through, too."""
    tree: Value = {}
    for file in files:
        for document in read_documents(file.text, file.path):
            tree = _layered(document, tree, context, FILE_STAGES)
    for stage in PROJECT_STAGES:
        tree = stage(tree, context)
        context.findings.raise_if_any()
    return tree


def _layered(
    document: Document, below: Value, context: Context, stages: Sequence[Callable[[Value, Layer], Value]]
) -> Value:
    context.lines.update({path: (document.file, line) for path, line in document.lines.items()})
    if not isinstance(document.tree, dict):
        raise ComposeInvalid([Problem("top-level object must be a mapping", file=document.file)])
    layer = Layer(document, below, context)
    tree = document.tree
    for stage in stages:
        tree = stage(tree, layer)
        context.findings.raise_if_any()
    return tree


def _base(path: str, context: Context) -> Source:
    """A file that a service extends: long forms, paths relative to its own folder."""
    text = _text(path, context)
    tree: Value = {}
    resets: list[Path] = []
    for document in read_documents(text, path):
        tree = _layered(document, tree, context, _BASE_STAGES)
        resets.extend(document.resets)
    tree = absolute_paths(tree, posixpath.dirname(path), context.variables.get("HOME"), context.findings)
    return Source(path, tree, tuple(resets))


def _text(path: str, context: Context) -> str:
    try:
        return context.files.read(path)
    except FileNotFoundError:
        raise ComposeInvalid([Problem(f"open {path}: no such file or directory", file=path)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeInvalid([Problem(f"open {path}: {error}", file=path)]) from None


def load(request: ReadRequest) -> Project:
    """Read a project. Raises ComposeTooLarge, ComposeInvalid; problems know their lines."""
    findings = Findings()
    variables = project_variables(request.variables, request.env_files, findings)
    findings.raise_if_any()
    name = _project_name(request, variables, findings)
    variables["COMPOSE_PROJECT_NAME"] = name
    files = Files({**{file.path: file.text for file in request.files}, **request.texts}, request.from_disk)
    context = Context(request.working_dir, name, variables, files, findings)
    try:
        return _project(merged(request.files, context), request, context)
    except ComposeInvalid as error:
        located = [_located(problem, context.lines) for problem in error.problems]
        raise ComposeInvalid(located, error.heading) from None


def _located(problem: Problem, lines: Mapping[Path, tuple[str, int]]) -> Problem:
    """The problem with the line of its place, or of the nearest place around it."""
    if problem.line is not None or not problem.path:
        return problem
    for length in range(len(problem.path), 0, -1):
        if problem.path[:length] in lines:
            file, line = lines[problem.path[:length]]
            return dataclasses.replace(problem, file=file, line=line)
    return problem


def _project_name(request: ReadRequest, variables: Mapping[str, str], findings: Findings) -> str:
    """The request's name, else COMPOSE_PROJECT_NAME, the last file's `name:`, the folder's name."""
    given = request.project_name or variables.get("COMPOSE_PROJECT_NAME", "")
    if given and request.strict_name and not is_project_name(given):
        raise ComposeInvalid(
            [
                Problem(
                    f"invalid project name {quoted(given)}: must consist only of lowercase alphanumeric characters, "
                    "hyphens, and underscores as well as start with a letter or number"
                )
            ]
        )
    name = normalise_project_name(
        given or _name_in_files(request, variables) or posixpath.basename(request.working_dir)
    )
    if not name:
        raise ComposeInvalid([Problem("project name must not be empty")])
    return name


def _name_in_files(request: ReadRequest, variables: Mapping[str, str]) -> str:
    name = ""
    for file in request.files:
        for document in read_documents(file.text, file.path):
            found = document.tree.get("name") if isinstance(document.tree, dict) else None
            name = found if isinstance(found, str) and found else name
    findings = Findings()
    made = interpolate({"name": name}, variables, findings)["name"]
    findings.raise_if_any()
    return normalise_project_name(made)


def _project(tree: Value, request: ReadRequest, context: Context) -> Project:
    findings = context.findings
    if not tree:
        raise ComposeInvalid([Problem("empty compose file")])
    complete = normalise(tree, context.project, context.variables)
    extensions: dict[Path, Value] = {}
    kinds = model(complete, findings, extensions)
    findings.raise_if_any(_DECODING)
    profiles = _profiles(request.profiles, context.variables)
    active = {name: entry for name, entry in kinds["services"].items() if _enabled(entry, profiles)}
    disabled = {name: entry for name, entry in kinds["services"].items() if name not in active}
    check_references(kinds, active, disabled, findings)
    findings.raise_if_any()
    contents = _contents(kinds, context.variables)
    services = {
        name: complete_service(name, entry, context.variables, context.files, _ROW_ORDER, findings)
        for name, entry in active.items()
    }
    findings.raise_if_any()
    used = _used(kinds, services)
    return Project(
        name=context.project,
        working_dir=context.folder,
        config_files=tuple(file.path for file in request.files),
        services=services,
        disabled=disabled,
        profiles=profiles,
        contents={key: text for key, text in contents.items() if key[1] in used[key[0]]},
        extensions=extensions,
        warnings=tuple(findings.warnings),
        unresolved=_unresolved(active, context),
        **used,
    )


def _unresolved(active: Mapping[str, Entry], context: Context) -> dict[str, Entry]:
    """Services whose hash `config --hash` makes without reading their files."""
    named = {name: entry for name, entry in active.items() if "env_file" in entry or "label_file" in entry}
    return {name: unresolved_service(name, entry, context.files, _ROW_ORDER) for name, entry in named.items()}


def _profiles(given: Optional[tuple[str, ...]], variables: Mapping[str, str]) -> tuple[str, ...]:
    if given:
        return given
    return tuple(name.strip() for name in variables.get("COMPOSE_PROFILES", "").split(",") if name.strip())


def _enabled(entry: Entry, profiles: tuple[str, ...]) -> bool:
    own = entry.get("profiles", ())
    return not own or "*" in profiles or any(profile in profiles for profile in own)


def _contents(kinds: Mapping[str, dict[str, Entry]], variables: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The texts of configs and secrets that are no files."""
    made: dict[tuple[str, str], str] = {}
    for kind in ("configs", "secrets"):
        for name, entry in kinds[kind].items():
            text = variables.get(entry["environment"]) if "environment" in entry else entry.get("content")
            if text is not None:
                made[(kind, name)] = text
    return made


def _used(kinds: Mapping[str, dict[str, Entry]], services: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
    """Networks, volumes, configs, secrets and models that an active service uses."""
    wanted: dict[str, set[str]] = {kind: set() for kind in ("networks", "volumes", "configs", "secrets", "models")}
    for service in services.values():
        wanted["networks"].update(service.get("networks", {}))
        wanted["models"].update(service.get("models", {}))
        wanted["volumes"].update(m.get("source", "") for m in service.get("volumes", ()) if m.get("type") == "volume")
        wanted["configs"].update(reference.get("source", "") for reference in service.get("configs", ()))
        references = [*service.get("secrets", ()), *service.get("build", {}).get("secrets", ())]
        wanted["secrets"].update(reference.get("source", "") for reference in references)
    return {kind: {key: kinds[kind][key] for key in kinds[kind] if key in names} for kind, names in wanted.items()}
