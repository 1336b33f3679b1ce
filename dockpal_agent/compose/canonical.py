"""Short forms made long, one rule for each attribute, and the defaults that Compose writes down.

Compose Specification, each attribute's short and long syntax; compose-go's transform package.
"""

from __future__ import annotations

from typing import Callable, Final

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.golang import sprint
from dockpal_agent.compose.mounts import parse_mount
from dockpal_agent.compose.ports import parse_port
from dockpal_agent.compose.tree import Path, Rules, Value, go_type, path_text, rewrite

__all__ = ["add_defaults", "lengthen"]

Rule = Callable[[Value, Path], Value]


def _depends_on(value: Value, path: Path) -> Value:
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in value}
    return {name: {"condition": "service_started", "required": True, **item} for name, item in value.items()}


def _env_file(value: Value, path: Path) -> Value:
    files = value if isinstance(value, list) else [value]
    return [{"path": item, "required": True} if isinstance(item, str) else {"required": True, **item} for item in files]


def _names(value: Value, path: Path) -> Value:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _listed(value: Value, path: Path) -> Value:
    return [value] if isinstance(value, str) else value


def _ports(value: Value, path: Path) -> Value:
    made: list[Value] = []
    for item in value:
        if isinstance(item, (float, bool)):
            raise ValueError(f"{path_text(path)}: invalid type {go_type(item)} for port")
        made.extend([item] if isinstance(item, dict) else parse_port(str(item)))
    return made


def _mount(value: Value, path: Path) -> Value:
    return parse_mount(value) if isinstance(value, str) else value


def _device(value: Value, path: Path) -> Value:
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) > 3:
        raise ValueError(f"confusing device mapping, please use long syntax: {value}")
    source, target, permissions = [*parts, *["", "rwm"][len(parts) - 1 :]] if len(parts) < 3 else parts
    return {"source": source, "target": target or source, "permissions": permissions}


def _file_reference(value: Value, path: Path) -> Value:
    return {"source": value} if isinstance(value, str) else value


def _build(value: Value, path: Path) -> Value:
    return {"context": value} if isinstance(value, str) else value


def _pairs(value: Value, path: Path) -> Value:
    if not isinstance(value, list):
        return value
    for item in value:
        if "=" not in item:
            raise ValueError(f"{path_text(path)}: invalid value {item}, expected key=value")
    return dict(item.split("=", 1) for item in value)


def _ssh(value: Value, path: Path) -> Value:
    if not isinstance(value, list):
        return value
    made: Value = {}
    for item in value:
        key, equals, socket = item.partition("=")
        if not equals and key != "default":
            raise ValueError(f'invalid ssh key "{item}"')
        made[key] = socket if equals else None
    return made


def _text(value: Value, path: Path) -> Value:
    return value if isinstance(value, str) else sprint(value)


def _gpus(value: Value, path: Path) -> Value:
    return [{"count": "all"}] if isinstance(value, str) else value


def _ulimit(value: Value, path: Path) -> Value:
    if not isinstance(value, (int, dict)) or isinstance(value, bool):
        raise ValueError(f"{path_text(path)}: invalid type {go_type(value)} for ulimit")
    return value


_SERVICE_RULES: Final[dict[str, Rule]] = {
    "build": _build,
    "build.additional_contexts": _pairs,
    "build.provenance": _text,
    "build.sbom": _text,
    "build.secrets.*": _file_reference,
    "build.ssh": _ssh,
    "build.ulimits.*": _ulimit,
    "configs.*": _file_reference,
    "depends_on": _depends_on,
    "develop.watch.*.ignore": _listed,
    "develop.watch.*.include": _listed,
    "devices.*": _device,
    "dns": _listed,
    "env_file": _env_file,
    "gpus": _gpus,
    "label_file": _listed,
    "models": _names,
    "networks": _names,
    "ports": _ports,
    "secrets.*": _file_reference,
    "ulimits.*": _ulimit,
    "volumes.*": _mount,
}


def lengthen(tree: Value, findings: Findings) -> Value:
    """The tree in long forms, empty entries of `dns` left out; what cannot be read goes to the findings."""

    def external(value: Value, path: Path) -> Value:
        return _external(value, path, findings)

    rules: dict[str, Rule] = {
        **{f"services.*.{attribute}": rule for attribute, rule in _SERVICE_RULES.items()},
        **{f"{kind}.*": external for kind in ("volumes", "networks", "secrets", "configs")},
    }
    guarded = {pattern: _guard(rule, findings) for pattern, rule in rules.items()}
    return _without_empty_dns(rewrite(tree, Rules(guarded)))


def _guard(rule: Rule, findings: Findings) -> Rule:
    """The rule, its refusal noted with the place, and the value left as it was."""

    def guarded(value: Value, path: Path) -> Value:
        try:
            return rule(value, path)
        except ValueError as error:
            findings.problem(str(error), path)
            return value

    return guarded


def _without_empty_dns(tree: Value) -> Value:
    def dns(value: Value, path: Path) -> Value:
        return [item for item in value if item] if isinstance(value, list) else value

    return rewrite(tree, Rules({"services.*.dns": dns}))


def _external(value: Value, path: Path, findings: Findings) -> Value:
    """`external: {name: x}`, the old form, as `external: true` and `name: x`."""
    if not isinstance(value, dict) or not isinstance(value.get("external"), dict):
        return value
    old = value["external"]
    made = {**value, "external": True}
    if "name" in old:
        place = path_text(path)
        findings.warn(f"{place}: external.name is deprecated. Please set name and external: true")
        if "name" in value and value["name"] != old["name"]:
            raise ValueError(f"{place}: name and external.name conflict; only use name")
        made["name"] = old["name"]
    return made


def _build_default(value: Value, path: Path) -> Value:
    return {"context": ".", **value} if isinstance(value, dict) else value


def _secret_default(value: Value, path: Path) -> Value:
    return value if "target" in value else {**value, "target": f"/run/secrets/{value.get('source')}"}


def _port_default(value: Value, path: Path) -> Value:
    return {"protocol": "tcp", "mode": "ingress", **value} if isinstance(value, dict) else value


def _device_default(value: Value, path: Path) -> Value:
    return value if "count" in value or "device_ids" in value else {**value, "count": "all"}


_DEFAULTS: Final[Rules[Rule]] = Rules(
    {
        "services.*.build": _build_default,
        "services.*.secrets.*": _secret_default,
        "services.*.ports.*": _port_default,
        "services.*.deploy.resources.reservations.devices.*": _device_default,
        "services.*.gpus.*": _device_default,
    }
)


def add_defaults(tree: Value) -> Value:
    """The tree with the values that Compose writes down for attributes left out."""
    return rewrite(tree, _DEFAULTS)
