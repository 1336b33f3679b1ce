"""A project as `docker compose config` prints it, as JSON and as YAML."""

from __future__ import annotations

from typing import Callable, Final

from dockpal_agent.compose.golang import indented
from dockpal_agent.compose.hashes import service_hash
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.tree import Path, Rules, Value, rewrite
from dockpal_agent.compose.yamltext import as_yaml, natural

__all__ = ["as_hashes", "as_json", "as_tree", "as_yaml_text"]

_PRINTED: Final = ("services", "networks", "volumes", "secrets", "configs")


def as_tree(project: Project) -> Value:
    """What the JSON holds, in its order; a `$` stands twice, so that the text can be read again."""
    top: Value = {"name": project.name, "services": {}}
    for kind in _PRINTED:
        entries = getattr(project, kind)
        if entries:
            top[kind] = {key: _printed(kind, entry) for key, entry in entries.items()}
    top.update(project.extensions.get((), {}))
    return _escaped({key: top[key] for key in sorted(top)})


def _printed(kind: str, entry: Value) -> Value:
    """A config or secret without its content where that came from a variable, a service without the files it names."""
    if kind == "services":
        return {key: value for key, value in entry.items() if key != "label_file"}
    if (kind == "configs" and "environment" in entry) or kind == "secrets":
        return {key: value for key, value in entry.items() if key != "content"}
    return entry


def _escaped(value: Value) -> Value:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key.replace("$", "$$"): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def as_json(project: Project) -> str:
    """docker compose config --format json."""
    return indented(as_tree(project))


_BY_USER: Final = (
    "annotations", "build.additional_contexts", "build.args", "build.labels", "build.ulimits", "depends_on",
    "deploy.labels", "environment", "labels", "logging.options", "models", "networks", "networks.*.driver_opts",
    "provider.options", "storage_opt", "sysctls", "ulimits", "volumes.*.volume.labels",
)  # fmt: skip
_SMALL: Final = {"Path": "path", "Weight": "weight", "Rate": "rate"}


def _naturally(value: Value, path: Path) -> Value:
    return {key: value[key] for key in natural(value)} if isinstance(value, dict) else value


def _without(*keys: str) -> Callable[[Value, Path], Value]:
    """A map without keys whose value is empty: YAML leaves out what JSON shows as `{}` or `null`."""

    def rule(value: Value, path: Path) -> Value:
        return {key: item for key, item in value.items() if key not in keys or (item is not None and item != {})}

    return rule


def _without_empty_exec(value: Value, path: Path) -> Value:
    return {key: item for key, item in value.items() if not (key == "exec" and item == {"command": None})}


def _small_names(value: Value, path: Path) -> Value:
    return {_SMALL.get(key, key): item for key, item in value.items()}


def _both_limits(value: Value, path: Path) -> Value:
    return {key: value.get(key, 0) for key in ("soft", "hard")} if isinstance(value, dict) else value


_YAML_RULES: Final[Rules[Callable[[Value, Path], Value]]] = Rules(
    {
        **{f"services.*.{attribute}": _naturally for attribute in _BY_USER},
        **dict.fromkeys(("services", "networks", "volumes", "secrets", "configs", "models"), _naturally),
        **{f"{kind}.*.{key}": _naturally for kind in ("networks", "volumes") for key in ("labels", "driver_opts")},
        "services.*": _without("command", "entrypoint"),
        "services.*.post_start.*": _without("command"),
        "services.*.pre_stop.*": _without("command"),
        "services.*.develop.watch.*": _without_empty_exec,
        "services.*.deploy": _without("resources", "placement"),
        "networks.*": _without("ipam"),
        "services.*.blkio_config.*.*": _small_names,
        "services.*.ulimits.*": _both_limits,
        "services.*.build.ulimits.*": _both_limits,
    }
)


def as_yaml_text(project: Project) -> str:
    """docker compose config: YAML, with the `x-` fields where they stood, and without what is empty."""
    top: Value = {"name": project.name, "services": {}}
    for kind in (*_PRINTED, "models"):
        entries = getattr(project, kind)
        if entries:
            top[kind] = {key: _printed(kind, entry) for key, entry in entries.items()}
    for path, fields in project.extensions.items():
        top = _extended(top, path, _all_naturally(fields))
    return as_yaml(_escaped(rewrite(top, _YAML_RULES)))


def _all_naturally(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _all_naturally(value[key]) for key in natural(value)}
    return [_all_naturally(item) for item in value] if isinstance(value, list) else value


def _extended(value: Value, path: Path, fields: Value) -> Value:
    """The tree with fields added at a place; unchanged where the place is not printed."""
    if not path:
        return {**value, **fields} if isinstance(value, dict) else value
    key, *rest = path
    if isinstance(value, dict) and key in value:
        return {**value, key: _extended(value[key], tuple(rest), fields)}
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], _extended(value[key], tuple(rest), fields), *value[key + 1 :]]
    return value


def as_hashes(project: Project, services: tuple[str, ...] = ()) -> str:
    """docker compose config --hash: `<service> <hash>` lines, all services where none is named.

    Of services with an `env_file` that command prints another hash than the one on their containers: it does not read
    the files. So does this.
    """
    entries = {**project.services, **project.unresolved}
    return "".join(f"{name} {service_hash(entries[name])}\n" for name in sorted(services or project.services))
