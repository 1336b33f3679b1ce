"""What a user can do about a deploy that failed: advice by Docker's words (the originals' table, protocol 4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["hints"]

_PORT: Final = re.compile(r"(?:Bind for )?([0-9.:\[\]a-f]*:[0-9]+)(?:: bind)? failed|listen (?:tcp|udp)\S* (\S+): bind")
_HUB: Final = "Docker Hub"

# A registry's host: of a URL, or of a reference: its first part has a dot, a port, or is localhost.
_DOMAIN: Final = re.compile(
    r"https?://([^/\s\"']+)/v[12]\b|registry ([\w.-]+\.[\w.-]+(?::[0-9]+)?|localhost(?::[0-9]+)?)\b"
    r"|(?<![\w/.-])((?:[\w-]+(?:\.[\w-]+)+(?::[0-9]+)?|[\w-]+:[0-9]+|localhost(?::[0-9]+)?))/[\w./-]+"
)


def _domain(words: str) -> str:
    found = _DOMAIN.search(words)
    host = next((group for group in found.groups() if group), "") if found else ""
    return _HUB if not host or host.endswith("docker.io") else host


def _port(words: str) -> str:
    found = _PORT.search(words)
    return next((group for group in found.groups() if group), "the port") if found else "the port"


Advice = Callable[[str], str]

_TABLE: Final[tuple[tuple[re.Pattern[str], Advice], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), advice)
    for pattern, advice in (
        (
            r"address already in use|port is already allocated|ports? .{0,80}(?:taken|in use)",
            lambda words: f"{_port(words)} is taken on this host: publish another port, or stop what uses it",
        ),
        (
            r"unauthorized|denied|no basic auth|authentication required|needs credentials|credentials .{0,80}refused",
            lambda words: f"check the Server's credentials for {_domain(words)}, and the image's name",
        ),
        (
            r"toomanyrequests|rate limit|limits how often",
            lambda words: f"{_domain(words)} limits pulls: wait, or log in to it in the Server's registries",
        ),
        (
            r"manifest unknown|manifest .{0,200}not found|manifest for .{0,200}not found|no matching manifest"
            r"|name unknown",
            lambda words: f"{_domain(words)} has no such image or tag for this host: check its name, tag and platform",
        ),
        (
            r"no such image",
            lambda words: "the image is not on this host: check its name, or let `pull_policy` pull it",
        ),
        (
            r"name .{0,200}is already in use",
            lambda words: "a container of another project has this name: remove it, or choose another `container_name`",
        ),
        (
            r"permission denied|operation not permitted",
            lambda words: "check the owner and mode of the host's paths that are mounted, and the container's `user`",
        ),
        (
            r"network .{0,200}not found|could not be found.{0,80}network|network .{0,200}declared as external",
            lambda words: "create the network first (`docker network create …`), or do not declare it external",
        ),
        (
            r"no space left",
            lambda words: "the host's disk is full: remove unused images and volumes, then deploy again",
        ),
        (
            r"x509|certificate|server gave HTTP response to HTTPS",
            lambda words: f"Docker on this host does not trust the TLS of {_domain(words)}: check its certificate",
        ),
        (
            r"no such host|connection refused|network is unreachable|lookup .{0,200}server misbehaving",
            lambda words: f"check that this host reaches {_domain(words)}: its name, DNS, and firewall",
        ),
        (
            r"time-?d? ?out|deadline exceeded|did not answer in time",
            lambda words: "what was waited for took too long: check the network, or the service's logs, and try again",
        ),
        (
            r"unhealthy|exited \(|ended \(exit code|didn't complete|dependency failed",
            lambda words: (
                "it was started and did not get ready: what it said last, if anything, is in the message; "
                "check its command, environment, volumes and health check"
            ),
        ),
    )
)


def hints(words: str) -> list[str]:
    """Advice about an error by its words; empty where nothing better is known than the words themselves."""
    return [advice(words) for pattern, advice in _TABLE if pattern.search(words)][:3]
