"""Several definitions made into one: files on top of each other, a service on top of what it extends.

Compose Specification, Merge; compose-go's override package. Maps merge key by key, lists append, scalars replace; the
attributes in the tables below have rules of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Final, Optional

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.golang import sprint
from dockpal_agent.compose.mounts import parse_mount
from dockpal_agent.compose.tree import Path, Rules, Value, go_type, path_text, pattern_text

__all__ = ["Merge", "drop_repeats", "forget"]

Merger = Callable[["Merge", Value, Value, Path], Value]


class Merge:
    """Puts an upper tree on a lower one. What cannot be merged goes to the findings."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def tree(self, lower: Value, upper: Value, path: Path = ()) -> Value:
        """The merged tree of two files; `path` is where both stand."""
        return self._value(lower, upper, path, _MERGERS.below(path))

    def _value(self, lower: Value, upper: Value, path: Path, rules: Optional[Rules[Merger]]) -> Value:
        if rules is not None and rules.rule is not None:
            return rules.rule(self, lower, upper, path)
        if upper is None:
            return lower
        if isinstance(lower, dict) and isinstance(upper, dict):
            return self.maps(lower, upper, path, rules)
        if isinstance(lower, list) and isinstance(upper, list):
            return [*lower, *upper]
        if isinstance(lower, (dict, list)):
            self._findings.problem(f"cannot override {path_text(path)}", path)
        return upper

    def maps(self, lower: Value, upper: Value, path: Path, rules: Optional[Rules[Merger]] = None) -> Value:
        """Key by key; keys that only one of them has stay."""
        merged = dict(lower)
        for key, value in upper.items():
            if key in merged:
                below = rules.step(key) if rules else None
                merged[key] = self._value(merged[key], value, (*path, key), below)
            else:
                merged[key] = value
        return merged


def _upper(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    return upper


def _sequences(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    return [*_sequence(lower), *_sequence(upper)]


def _extra_hosts(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    below = _sequence(lower)
    return [*below, *(host for host in _sequence(upper) if host not in below)]


def _sequence(value: Value) -> list[Value]:
    """A map as a sorted list of `key=value`; other things as a list."""
    if isinstance(value, dict):
        return sorted(pair for key, item in value.items() for pair in _pairs(key, item))
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, str) else []


def _pairs(key: str, value: Value) -> list[str]:
    if value is None:
        return [key]
    return [f"{key}={sprint(item)}" for item in (value if isinstance(value, list) else [value])]


def _logging(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    """Options of another driver mean nothing to this one."""
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return upper
    drivers = {definition["driver"] for definition in (lower, upper) if isinstance(definition.get("driver"), str)}
    return upper if len(drivers) == 2 else merge.maps(lower, upper, path)


def _build(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    below, above = ({"context": form} if isinstance(form, str) else form for form in (lower, upper))
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above if isinstance(above, dict) else below
    return merge.maps(below, above, path, _MERGERS.below(path))


def _keyed(default: Optional[Value]) -> Merger:
    """Lists of names and maps by name, merged as maps; `default` is what a mere name stands for."""

    def merger(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
        below, above = _by_name(lower, default), _by_name(upper, default)
        if below is None or above is None:
            return upper if above is None else above
        return merge.maps(below, above, path)

    return merger


def _by_name(value: Value, default: Optional[Value]) -> Optional[Value]:
    if isinstance(value, list):
        return {str(name): None if default is None else dict(default) for name in value}
    return value if isinstance(value, dict) else None


def _ipam_config(merge: Merge, lower: Value, upper: Value, path: Path) -> Value:
    """Pools of the same subnet are one."""
    if not (isinstance(lower, list) and isinstance(upper, list)):
        return upper
    pools: dict[Value, Value] = {}
    for original in lower:
        for override in upper:
            below, above = _by_name(original, None) or {}, _by_name(override, None) or {}
            subnet = str(above.get("subnet"))
            if subnet != str(below.get("subnet")) and subnet not in pools:
                pools[subnet] = above
            else:
                merged = merge.maps(below, above, path)
                pools[str(merged.get("subnet"))] = merged
    return list(pools.values())


_STARTED: Final = {"condition": "service_started", "required": True}
_AS_SEQUENCE: Final = (
    "networks.*.labels",
    "volumes.*.labels",
    *(
        f"services.*.{attribute}"
        for attribute in (
            "annotations", "build.args", "build.additional_contexts", "build.labels", "deploy.labels", "dns", "dns_opt",
            "dns_search", "env_file", "label_file", "environment", "labels", "volumes.*.volume.labels", "sysctls",
            "tmpfs",
        )
    ),
)  # fmt: skip

_MERGERS: Final[Rules[Merger]] = Rules(
    {
        **dict.fromkeys(_AS_SEQUENCE, _sequences),
        **dict.fromkeys(("services.*.command", "services.*.entrypoint", "services.*.healthcheck.test"), _upper),
        "networks.*.ipam.config": _ipam_config,
        "services.*.build": _build,
        "services.*.build.extra_hosts": _extra_hosts,
        "services.*.depends_on": _keyed(_STARTED),
        "services.*.extra_hosts": _extra_hosts,
        "services.*.logging": _logging,
        "services.*.models": _keyed(None),
        "services.*.networks": _keyed(None),
        "services.*.ulimits.*": _upper,
    }
)


def forget(tree: Value, resets: Sequence[Path]) -> Value:
    """The tree without the places that an upper file marked with `!reset` or `!override`."""
    for reset in resets:
        tree = _without(tree, reset)
    return tree


def _without(tree: Value, path: Path) -> Value:
    if not path or not isinstance(tree, dict) or path[0] not in tree:
        return tree
    if len(path) == 1:
        return {key: value for key, value in tree.items() if key != path[0]}
    return {key: _without(value, path[1:]) if key == path[0] else value for key, value in tree.items()}


Indexer = Callable[[Value, Path], str]


def _key(item: Value, path: Path) -> str:
    if not isinstance(item, str):
        raise ValueError(f"{pattern_text(path[:-1])}.[{path[-1]}]: unexpected type {go_type(item)}")
    return item.partition("=")[0]


def _mount_target(item: Value, path: Path) -> str:
    if isinstance(item, dict):
        if not isinstance(item.get("target"), str):
            raise ValueError(f"service volume {path_text(path[:-1])}.[{path[-1]}] is missing a mount target")
        return str(item["target"])
    return str(parse_mount(item)["target"]) if isinstance(item, str) else ""


def _device_target(item: Value, path: Path) -> str:
    if isinstance(item, dict):
        if not isinstance(item.get("target"), str):
            raise ValueError(f"service device {path_text(path[:-1])}.[{path[-1]}] is missing a mount target")
        return str(item["target"])
    parts = item.split(":") if isinstance(item, str) else [""]
    return parts[1] if len(parts) > 1 else parts[0]


def _exposed(item: Value, path: Path) -> str:
    if isinstance(item, bool) or not isinstance(item, (str, int)):
        raise ValueError(f"{path_text(path[:-1])}.[{path[-1]}]: unsupported expose value {sprint(item)}")
    return str(item)


def _file_target(folder: str) -> Indexer:
    def indexer(item: Value, path: Path) -> str:
        if isinstance(item, dict):
            return str(item.get("target") or f"{folder}/{item.get('source')}")
        if not isinstance(item, str):
            raise ValueError(f"{path_text(path[:-1])}.[{path[-1]}]: unsupported expose value {sprint(item)}")
        return f"{folder}/{item}"

    return indexer


def _port(item: Value, path: Path) -> str:
    if isinstance(item, dict):
        if "target" not in item:
            raise ValueError(f"service ports {path_text(path[:-1])}.[{path[-1]}] is missing a target port")
        address, protocol = item.get("host_ip", "0.0.0.0"), item.get("protocol", "tcp")
        return f"{address}:{item.get('published')!r}:{item['target']}/{protocol}"
    return str(item)


def _env_file(item: Value, path: Path) -> str:
    if isinstance(item, dict):
        if "path" not in item:
            raise ValueError(f"environment path attribute {path_text(path[:-1])}.[{path[-1]}] is missing")
        return str(item["path"])
    return str(item)


_BY_KEY: Final = (
    "networks.*.labels",
    *(
        f"services.*.{attribute}"
        for attribute in (
            "annotations", "build.args", "build.additional_contexts", "build.tags", "build.labels", "cap_add",
            "cap_drop", "deploy.labels", "dns", "dns_opt", "dns_search", "environment", "labels", "links",
            "networks.*.aliases", "networks.*.link_local_ips", "profiles", "sysctls", "tmpfs",
        )
    ),
)  # fmt: skip

_UNIQUE: Final[Rules[Indexer]] = Rules(
    {
        **dict.fromkeys(_BY_KEY, _key),
        "services.*.configs": _file_target(""),
        "services.*.secrets": _file_target("/run/secrets"),
        "services.*.devices": _device_target,
        "services.*.env_file": _env_file,
        "services.*.expose": _exposed,
        "services.*.ports": _port,
        "services.*.volumes": _mount_target,
    }
)


def drop_repeats(tree: Value, findings: Findings) -> Value:
    """Of items that mean the same thing the last one stays, at the place of the first."""

    def unique(value: Value, path: Path, rules: Optional[Rules[Indexer]]) -> Value:
        if rules is None:
            return value
        if isinstance(value, dict):
            return {key: unique(item, (*path, key), rules.step(key)) for key, item in value.items()}
        if isinstance(value, list) and rules.rule is not None:
            return _last_of_each(value, path, rules.rule, findings)
        return value

    return unique(tree, (), _UNIQUE)


def _last_of_each(items: list[Value], path: Path, indexer: Indexer, findings: Findings) -> list[Value]:
    kept: dict[str, Value] = {}
    for index, item in enumerate(items):
        try:
            kept[indexer(item, (*path, index))] = item
        except ValueError as error:
            findings.problem(str(error), (*path, index))
    return list(kept.values())
