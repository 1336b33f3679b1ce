"""Whether the parts of a project fit together: what is used is declared, what excludes each other is not both there.

compose-go's validation and loader.checkConsistency, with its words. Every problem is noted, not only the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, Final

from dockpal_agent.compose.errors import Findings
from dockpal_agent.compose.golang import quoted
from dockpal_agent.compose.normalise import SERVICE_PREFIX
from dockpal_agent.compose.ports import is_address
from dockpal_agent.compose.project import Entry, dependency_cycle
from dockpal_agent.compose.tree import Path, Rules, Value, path_text, pattern_text

__all__ = ["check_references", "check_values"]

_INVALID: Final = "invalid compose project"
_RESTARTS: Final = ("", "no", "always", "unless-stopped", "on-failure")
Kinds = Mapping[str, Mapping[str, Entry]]
Said = Iterator[tuple[str, Path]]  # messages with the attribute below the service


def _volume(value: Value, path: Path) -> Iterator[str]:
    """An external volume is described elsewhere."""
    if not isinstance(value, dict) or value.get("external") is not True:
        return
    for key in sorted(value):
        if key not in ("name", "external") and not key.startswith("x-"):
            yield f'{path_text(path)}: conflicting parameters "external" and "{key}" specified'


def _file_object(*keys: str) -> Callable[[Value, Path], Iterator[str]]:
    def check(value: Value, path: Path) -> Iterator[str]:
        given = [key for key in keys if key in (value or {})]
        if len(given) > 1:
            yield f"{path_text(path)}: {'|'.join(keys)} attributes are mutually exclusive"
        if not given and "driver" not in (value or {}) and "external" not in (value or {}):
            yield f"{path_text(path)}: one of {'|'.join(keys)} must be set"

    return check


def _port(value: Value, path: Path) -> Iterator[str]:
    address = value.get("host_ip") if isinstance(value, dict) else None
    if address is not None and not is_address(address):
        yield f"{pattern_text(path)}: invalid ip address: {address}"


def _watched(value: Value, path: Path) -> Iterator[str]:
    if value == "":
        yield f"{pattern_text(path)}: value can't be blank"


def _device_request(value: Value, path: Path) -> Iterator[str]:
    if "count" in value and "device_ids" in value:
        yield f'{pattern_text(path)}: "count" and "device_ids" attributes are exclusive'


_VALUES: Final[Rules[Callable[[Value, Path], Iterator[str]]]] = Rules(
    {
        "volumes.*": _volume,
        "configs.*": _file_object("file", "environment", "content"),
        "secrets.*": _file_object("file", "environment"),
        "services.*.ports.*": _port,
        "services.*.develop.watch.*.path": _watched,
        "services.*.deploy.resources.reservations.devices.*": _device_request,
        "services.*.gpus.*": _device_request,
    }
)


def check_values(tree: Value, findings: Findings) -> None:
    """Note values of the merged tree that exclude each other."""
    for check, value, path in _VALUES.find(tree):
        for message in check(value, path):
            findings.problem(message, path)


def check_references(kinds: Kinds, active: Mapping[str, Entry], disabled: Mapping[str, Entry], f: Findings) -> None:
    """Note what is wrong between the parts of a model; only active services count."""
    for name, service in active.items():
        for check in _CHECKS:
            for message, below in check(name, service, kinds, disabled):
                f.problem(message, ("services", name, *below))
    for name, secret in kinds["secrets"].items():
        if not (secret.get("external") or secret.get("file") or secret.get("environment")):
            f.problem(
                f"secret {quoted(name)} must declare either `file` or `environment`: {_INVALID}", ("secrets", name)
            )
    for message in _shared_names(active):
        f.problem(message, ("services",))
    needs = {name: [need for need in entry.get("depends_on", {}) if need in active] for name, entry in active.items()}
    cycle = dependency_cycle(needs)
    if cycle:
        f.problem(f"dependency cycle detected: {' -> '.join(cycle)}", ("services", cycle[0], "depends_on"))


def _shared_names(active: Mapping[str, Entry]) -> Iterator[str]:
    taken: dict[str, str] = {}
    for name, service in active.items():
        own = service.get("container_name")
        if own is not None and own in taken:
            yield f'services.{name}: container name "{own}" is already in use by service {taken[own]}'
        elif own is not None:
            taken[own] = name


def _image(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    if not ("build" in service or service.get("image") or "provider" in service):
        yield f"service {quoted(name)} has neither an image nor a build context specified: {_INVALID}", ()


def _build(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    build = service.get("build", {})
    if build.get("dockerfile_inline") and build.get("dockerfile"):
        yield (
            f"service {quoted(name)} declares mutualy exclusive dockerfile and dockerfile_inline: {_INVALID}",
            ("build",),
        )
    for context, value in build.get("additional_contexts", {}).items():
        target = value[len(SERVICE_PREFIX) :] if value.startswith(SERVICE_PREFIX) else None
        if target is not None and "build" not in kinds["services"].get(target, {}):
            kind = "non-buildable" if target in kinds["services"] else "unknown"
            yield (
                f"service {quoted(name)} declares {kind} service {quoted(target)} as additional contexts {context}",
                ("build",),
            )
    platforms = build.get("platforms", [])
    if platforms and service.get("platform") and service["platform"] not in platforms:
        yield (
            f"service.build.platforms MUST include service.platform {quoted(service['platform'])}: {_INVALID}",
            ("build",),
        )


def _networks(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    networks = service.get("networks", {})
    if service.get("network_mode") and networks:
        yield (
            f"service {name} declares mutually exclusive `network_mode` and `networks`: {_INVALID}",
            ("network_mode",),
        )
    for network in networks:
        if network not in kinds["networks"]:
            yield f"service {quoted(name)} refers to undefined network {network}: {_INVALID}", ("networks", network)
    mode = service.get("network_mode", "")
    target = mode[len(SERVICE_PREFIX) :]
    if mode.startswith(SERVICE_PREFIX) and target not in kinds["services"]:
        yield f"service {quoted(target)} not found for network_mode 'service:{target}'", ("network_mode",)


def _health(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    test = service.get("healthcheck", {}).get("test", [])
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        yield 'healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"', ("healthcheck", "test")


def _depends_on(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    for other, dependency in service.get("depends_on", {}).items():
        known = other in kinds["services"] and other not in disabled
        if not known and (other not in disabled or dependency.get("required", True)):
            yield (
                f"service {quoted(name)} depends on undefined service {quoted(other)}: {_INVALID}",
                ("depends_on", other),
            )


def _sources(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    for index, mount in enumerate(service.get("volumes", ())):
        source = mount.get("source")
        if mount.get("type") == "volume" and source and source not in kinds["volumes"]:
            yield f"service {quoted(name)} refers to undefined volume {source}: {_INVALID}", ("volumes", index)
    for secret in service.get("build", {}).get("secrets", ()):
        if secret.get("source") not in kinds["secrets"]:
            yield (
                f"service {quoted(name)} refers to undefined build secret {secret.get('source')}: {_INVALID}",
                ("build",),
            )
    for kind, noun in (("configs", "config"), ("secrets", "secret")):
        for index, reference in enumerate(service.get(kind, ())):
            source = reference.get("source", "")
            if source not in kinds[kind]:
                yield f"service {quoted(name)} refers to undefined {noun} {source}: {_INVALID}", (kind, index)
    for model in service.get("models", {}):
        if model not in kinds["models"]:
            yield f"service {quoted(name)} refers to undefined model {model}: {_INVALID}", ("models", model)


def _limits(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    """The same limit in two places must be the same."""
    deploy = service.get("deploy", {})
    resources = deploy.get("resources", {})
    for own, part, key in (
        ("cpus", "limits", "cpus"),
        ("mem_limit", "limits", "memory"),
        ("mem_reservation", "reservations", "memory"),
        ("pids_limit", "limits", "pids"),
    ):
        if own in service and part in resources and resources[part].get(key) != service[own]:
            place = f"deploy.resources.{part}.{key}"
            yield f"services.{name}: can't set distinct values on '{own}' and '{place}': {_INVALID}", (own,)


def _scale(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    scale, replicas = service.get("scale"), service.get("deploy", {}).get("replicas")
    if scale is not None and replicas is not None and scale != replicas:
        yield f"services.{name}: can't set distinct values on 'scale' and 'deploy.replicas': {_INVALID}", ("scale",)
    for attribute, count in (("scale", scale), ("deploy.replicas", replicas)):
        if count is not None and count < 0:
            yield f"services.{name}.{attribute}: must be greater than or equal to 0", tuple(attribute.split("."))
    count = replicas if scale is None else scale
    if count is not None and count > 1 and service.get("container_name"):
        attribute = "deploy.replicas" if scale is None else "scale"
        yield (
            f"services.{name}: can't set container_name and {attribute} as container name must be unique: {_INVALID}",
            ("container_name",),
        )


def _watch(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    for watch in service.get("develop", {}).get("watch", ()):
        if not watch.get("target") and watch.get("action") not in ("rebuild", "restart"):
            yield f"services.{name}.develop.watch: target is required for non-rebuild actions: {_INVALID}", ("develop",)


def _targets(name: str, service: Entry, kinds: Kinds, disabled: Mapping[str, Entry]) -> Said:
    """One thing is mounted at one place."""
    mounted: dict[str, str] = {}
    targets = [("tmpfs", index, text.partition(":")[0]) for index, text in enumerate(service.get("tmpfs", ()))]
    targets += [("volumes", index, mount.get("target", "")) for index, mount in enumerate(service.get("volumes", ()))]
    for kind, index, target in targets:
        place = f"services.{name}.{kind}[{index}]"
        if target in mounted:
            yield f"{place}: target {target} already mounted as {mounted[target]}", (kind, index)
        mounted[target] = place


_CHECKS: Final = (
    _image, _build, _networks, _health, _depends_on, _sources, _limits, _scale, _watch, _targets,
)  # fmt: skip
