"""Which images have to be pulled, and why (coverage 8)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.compose.observe import Observed
from dockpal_agent.compose.options import Options
from dockpal_agent.compose.project import Project
from dockpal_agent.compose.units import nanoseconds

__all__ = ["Wanted", "wanted_images"]

_PERIODS: Final = {"daily": "1d", "weekly": "1w"}
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


@dataclass(frozen=True)
class Wanted:
    """An image to be pulled. `optional`: what is here may serve where the pull fails."""

    reference: str
    platform: str
    reason: str
    optional: bool
    services: tuple[str, ...] = ()


def wanted_images(project: Project, observed: Observed, options: Options) -> list[Wanted]:
    """Each image once for each platform, in the order of the services' names."""
    found: dict[tuple[str, str], Wanted] = {}
    for name, entry in sorted(project.services.items()):
        reference, platform = entry.get("image", ""), entry.get("platform", "")
        if not reference or project.replicas(name) == 0:
            continue
        image = observed.images.get(reference)
        policy = options.pull or entry.get("pull_policy") or "missing"
        reason = _why(policy, image, platform)
        if reason:
            known = found.get((reference, platform))
            services = (*(known.services if known else ()), name)
            optional = image is not None and options.pull != "always" and fits(image, platform)
            found[reference, platform] = Wanted(reference, platform, reason, optional, services)
    return list(found.values())


def fits(image: Optional[Mapping[str, Any]], platform: str) -> bool:
    """Whether an image is for the platform (`os[/arch[/variant]]`); a container's own default is not checked."""
    if image is None or not platform:
        return image is not None
    parts = platform.lower().split("/")
    given = [str(image.get(key) or "").lower() for key in ("Os", "Architecture", "Variant")]
    given[1] = _ARCHITECTURES.get(given[1], given[1])
    if len(parts) > 1:
        parts[1] = _ARCHITECTURES.get(parts[1], parts[1])
    return all(wanted == have or (index == 2 and not have) for index, (wanted, have) in enumerate(zip(parts, given)))


_ARCHITECTURES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}


def _why(policy: str, image: Optional[Mapping[str, Any]], platform: str) -> str:
    """The reason to pull, "" for none."""
    if policy in ("never", "build"):
        return ""
    if image is None:
        return "it is missing"
    if not fits(image, platform):
        return f"the one that is here is not for {platform}"
    if policy == "always":
        return "asked for"
    period = _PERIODS.get(policy) or (policy[len("every_") :] if policy.startswith("every_") else "")
    return f"pull_policy {policy}" if period and _age(image) * 1e9 > nanoseconds(period) else ""


def _age(image: Mapping[str, Any]) -> float:
    """Seconds since the image got its tag here."""
    found = _TIME.match(str((image.get("Metadata") or {}).get("LastTagTime") or ""))
    if found is None:
        return float("inf")
    at = datetime.datetime.fromisoformat(found.group(1)).replace(tzinfo=datetime.timezone.utc)
    return (datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()
