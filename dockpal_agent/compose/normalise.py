"""What Compose makes implicit explicit with: the default network, names, dependencies that other attributes imply.

Compose Specification, networks, links, network_mode, volumes_from; compose-go's loader.Normalize.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, Final, Optional

from dockpal_agent.compose.mounts import clean
from dockpal_agent.compose.names import resource_name
from dockpal_agent.compose.tree import Value

__all__ = ["NAMESPACES", "SERVICE_PREFIX", "normalise"]

SERVICE_PREFIX: Final = "service:"
CONTAINER_PREFIX: Final = "container:"
NAMESPACES: Final = ("network_mode", "ipc", "pid", "uts", "cgroup")  # may be another service's

Lookup = Callable[[str], Optional[str]]


def normalise(tree: Value, project: str, variables: Mapping[str, str]) -> Value:
    """The merged tree of a project, complete."""
    services = {name: _service(service, variables.get) for name, service in (tree.get("services") or {}).items()}
    made = {**tree, "services": services} if "services" in tree else dict(tree)
    networks = dict(tree.get("networks") or {})
    if any("default" in (service.get("networks") or {}) for service in services.values()):
        networks.setdefault("default", None)
    if networks:
        made["networks"] = networks
    for kind in ("networks", "volumes", "configs", "secrets"):
        if kind in made:
            made[kind] = {key: _named(resource, key, project) for key, resource in made[kind].items()}
    return made


def _named(resource: Value, key: str, project: str) -> Value:
    definition = dict(resource or {})
    if definition.get("name") is None:
        definition["name"] = key if definition.get("external") is True else resource_name(project, key)
    return definition


def _service(service: Value, lookup: Lookup) -> Value:
    made = dict(service)
    if made.get("pull_policy") == "if_not_present":
        made["pull_policy"] = "missing"
    if not ("provider" in made or "network_mode" in made) and not made.get("networks"):
        made["networks"] = {"default": None}
    scale, deploy = made.get("scale"), made.get("deploy")
    if isinstance(scale, int) and scale >= 0 and isinstance(deploy, dict) and deploy.get("replicas") is None:
        made["deploy"] = {**deploy, "replicas": scale}
    if isinstance(made.get("build"), dict):
        made["build"] = _build(made["build"], lookup)
    if "environment" in made:
        made["environment"] = _resolved(made["environment"], lookup, keep_unset=True)
    if "volumes" in made:
        made["volumes"] = [{**mount, "target": clean(mount.get("target", ""))} for mount in made["volumes"]]
    depends_on = dict(made.get("depends_on") or {})
    for name, restart in _implied(made):
        depends_on.setdefault(name, {"condition": "service_started", "restart": restart, "required": True})
    if depends_on:
        made["depends_on"] = depends_on
    return made


def _implied(service: Value) -> Iterator[tuple[str, bool]]:
    """Services that must be there first, and whether their restart means a restart here."""
    for link in service.get("links") or ():
        name, colon, alias = link.partition(":")
        yield (name if colon and ":" not in alias else link), True
    for namespace in NAMESPACES:
        reference = service.get(namespace)
        if isinstance(reference, str) and reference.startswith(SERVICE_PREFIX):
            yield reference[len(SERVICE_PREFIX) :], True
    for source in service.get("volumes_from") or ():
        if not source.startswith(CONTAINER_PREFIX):
            yield source.split(":")[0], False


def _build(build: Value, lookup: Lookup) -> Value:
    made = dict(build)
    if made.get("context") is None:
        made["context"] = "."
    if made.get("dockerfile") is None and made.get("dockerfile_inline") is None:
        made["dockerfile"] = "Dockerfile"
    if "args" in made:
        made["args"] = _resolved(made["args"], lookup, keep_unset=False)
    return made


def _resolved(pairs: Value, lookup: Lookup, *, keep_unset: bool) -> Value:
    """Names without a value get it from the variables; the unset ones stay without, or go."""
    if isinstance(pairs, dict):
        found = {key: lookup(key) if value is None else value for key, value in pairs.items()}
        return {key: value for key, value in found.items() if keep_unset or value is not None}
    made = []
    for pair in pairs:
        value = None if "=" in pair else lookup(pair)
        if "=" in pair or (value is None and keep_unset):
            made.append(pair)
        elif value is not None:
            made.append(f"{pair}={value}")
    return made
