"""Whether a container is what is asked for, whatever its hash says: it may have been made by another docker compose.

What is asked for is compared with what Docker shows; what Docker filled in by itself counts as not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dockpal_agent.containers.create import CreateRequest
from dockpal_agent.containers.defaults import without_defaults
from dockpal_agent.containers.mounts import clean

__all__ = ["same_settings"]

_OF_COMPOSE: Final = ("com.docker.compose.", "dockpal.", "desktop.docker.io/")
# ContainerConfig's fields that a Compose file decides, beside Env, Labels and ExposedPorts.
_CONFIG: Final = (
    *("Cmd", "Domainname", "Entrypoint", "Healthcheck", "OpenStdin", "StopSignal", "StopTimeout", "Tty", "User"),
    "WorkingDir",
)
# HostConfig's fields that Docker fills in where nobody asked: they count only where they are asked for.
_FILLED_IN: Final = frozenset(
    {
        *("CgroupnsMode", "ConsoleSize", "IpcMode", "Isolation", "LogConfig", "MaskedPaths", "MemorySwap"),
        *("NetworkMode", "OomKillDisable", "ReadonlyPaths", "Runtime", "ShmSize", "VolumeDriver"),
    }
)
_ELSEWHERE: Final = frozenset({"Binds", "Mounts", "Tmpfs", "Links", "VolumesFrom", "ContainerIDFile", "AutoRemove"})

Found = Mapping[str, Any]


def same_settings(request: CreateRequest, found: Found, image: Found) -> bool:
    """Compare what would be sent with an inspect. `image` is the inspect of the container's image."""
    wanted_host = request.body.get("HostConfig") or {}
    host = found.get("HostConfig") or {}
    given = without_defaults(found.get("Config") or {}, image.get("Config") or {}, "")
    return (
        _same_config(request.body, given, found)
        and _same_host(wanted_host, host)
        and _same_mounts(wanted_host, found)
        and _same_endpoints(request, found)
    )


def _same_config(wanted: Found, given: Found, found: Found) -> bool:
    if any(_plain(wanted.get(name)) != _plain(given.get(name)) for name in _CONFIG):
        return False
    hostname = given.get("Hostname") or ""
    if (wanted.get("Hostname") or "") != ("" if str(found["Id"]).startswith(hostname) and hostname else hostname):
        return False
    env = {text for text in wanted.get("Env") or () if "=" in text}
    return (
        env >= set(given.get("Env") or ())
        and env <= set((found.get("Config") or {}).get("Env") or ())
        and set(wanted.get("ExposedPorts") or {}) <= set((found.get("Config") or {}).get("ExposedPorts") or {})
        and set(wanted.get("ExposedPorts") or {}) >= set(given.get("ExposedPorts") or {})
        and _own(wanted.get("Labels")) == _own((found.get("Config") or {}).get("Labels"), wanted.get("Labels"), given)
    )


def _own(labels: Any, wanted: Any = None, given: Any = None) -> dict[str, str]:
    """The user's labels; one that the image has as well counts where it is asked for."""
    kept = {name: text for name, text in (labels or {}).items() if not name.startswith(_OF_COMPOSE)}
    if given is None:
        return kept
    of_user = given.get("Labels") or {}
    return {name: text for name, text in kept.items() if name in of_user or name in (wanted or {})}


def _same_host(wanted: Found, host: Found) -> bool:
    for name in {*wanted, *host} - _ELSEWHERE:
        one, other = _plain(wanted.get(name)), _plain(host.get(name))
        if name in _FILLED_IN and not one:
            continue
        if name == "RestartPolicy":
            one, other = _policy(one), _policy(other)
        if name == "LogConfig" and one and other:
            other = {**other, "Type": other.get("Type") if one.get("Type") else None}
            one, other = _plain(one), _plain(other)
        if _sorted(one) != _sorted(other):
            return False
    return True


def _policy(value: Any) -> Any:
    return None if not value or value.get("Name") in (None, "", "no") else value


def _same_mounts(wanted: Found, found: Found) -> bool:
    """Every mount that is asked for is there, and none besides but anonymous volumes."""
    asked = {}
    for text in wanted.get("Binds") or ():
        source, target, words = text.split(":", 2)
        asked[clean(target)] = (clean(source) if source.startswith("/") else source, "ro" not in words.split(","))
    for spec in wanted.get("Mounts") or ():
        source = str(spec.get("Source") or "")
        asked[clean(spec["Target"])] = (clean(source) if source.startswith("/") else source, not spec.get("ReadOnly"))
    tmpfs = set(map(clean, wanted.get("Tmpfs") or {}))
    for point in found.get("Mounts") or ():
        target = clean(str(point.get("Destination")))
        source = str(point.get("Name") if point.get("Type") == "volume" else point.get("Source") or "")
        expected = asked.pop(target, None)
        if expected is None:
            if point.get("Type") == "volume" and len(source) == 64:
                continue  # the image's, or of volumes_from
            if target in tmpfs or (found.get("HostConfig") or {}).get("VolumesFrom"):
                continue
            return False
        if expected[0] not in ("", source) or expected[1] != bool(point.get("RW", True)):
            return False
    return not asked and tmpfs == set(map(clean, (found.get("HostConfig") or {}).get("Tmpfs") or {}))


def _same_endpoints(request: CreateRequest, found: Found) -> bool:
    attached = (found.get("NetworkSettings") or {}).get("Networks") or {}
    if request.endpoints is None:
        return str((request.body.get("HostConfig") or {}).get("NetworkMode")) == str(
            (found.get("HostConfig") or {}).get("NetworkMode")
        )
    if set(request.endpoints) != set(attached):
        return False
    for name, endpoint in request.endpoints.items():
        given = attached[name] or {}
        if not set(endpoint.get("Aliases") or ()) - {request.endpoints[name]["Aliases"][0]} <= set(
            given.get("Aliases") or ()
        ):
            return False
        if _plain(endpoint.get("IPAMConfig")) != _plain(given.get("IPAMConfig")):
            return False
    return True


def _plain(value: Any) -> Any:
    """Empty values of any kind are one: Docker shows null, "", 0, [] and {} for what was not asked for."""
    if isinstance(value, dict):
        made = {name: _plain(item) for name, item in value.items()}
        return {name: item for name, item in made.items() if item is not None} or None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value] or None
    return value or None


def _sorted(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, list) else value
