"""What a container has from its image and not from its user: that part follows the image when the image changes.

Docker merges an image's config into a container's at create (moby daemon/commit.go, `merge`) and then shows the result
only. So the old image's config is taken off again: what differs from it the user set, and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["environment", "without_defaults"]

# Whole values: what equals the image's is the image's.
WHOLE: Final = ("User", "Healthcheck", "StopSignal", "StopTimeout", "Shell", "OnBuild", "ArgsEscaped")
# Mappings: entry by entry. Docker adds the image's to the user's.
BY_ENTRY: Final = ("Labels", "ExposedPorts", "Volumes")
COMPOSE_IMAGE: Final = "com.docker.compose.image"  # Compose recreates what does not bear its image's id


def without_defaults(config: Mapping[str, Any], image: Mapping[str, Any], new_image_id: str) -> dict[str, Any]:
    """ContainerConfig without what the old image's config (`image`) gave it; Docker then merges the new image's in."""
    kept = dict(config)
    for key in WHOLE:
        if key in kept and kept[key] == image.get(key):
            del kept[key]
    for key in BY_ENTRY:
        if kept.get(key):
            given = image.get(key) or {}
            kept[key] = {name: value for name, value in kept[key].items() if name not in given or given[name] != value}
    if kept.get("WorkingDir", "").rstrip("/") == (image.get("WorkingDir") or "").rstrip("/"):
        kept.pop("WorkingDir", None)
    given = environment(image.get("Env"))
    kept["Env"] = [entry for entry in kept.get("Env") or () if not _is_given(entry, given)]
    if (kept.get("Labels") or {}).get(COMPOSE_IMAGE):
        kept["Labels"] = {**kept["Labels"], COMPOSE_IMAGE: new_image_id}
    return _without_command(kept, image)


def environment(entries: Any) -> dict[str, str]:
    """{name: value} of Docker's list; the last one of a name counts."""
    return dict(_pair(str(entry)) for entry in entries or ())


def _without_command(kept: dict[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """An entrypoint of the user's silences the image's command (Docker merges none then): both are the user's."""
    if list(kept.get("Entrypoint") or ()) != list(image.get("Entrypoint") or ()):
        return kept
    kept.pop("Entrypoint", None)
    if list(kept.get("Cmd") or ()) == list(image.get("Cmd") or ()):
        kept.pop("Cmd", None)
    return kept


def _is_given(entry: str, given: Mapping[str, str]) -> bool:
    name, value = _pair(entry)
    return name in given and given[name] == value


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value
