"""The environment becomes a `Config`: one table of variables, every problem reported at once.

The table is what `help`, the README and `doctor` are made from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Final, NamedTuple, Optional
from urllib.parse import urlsplit

from dockpal_agent.durations import parse_duration

__all__ = ["SETTINGS", "Config", "Listen", "Problem", "Reading", "Setting", "read"]


class Listen(NamedTuple):
    """A listen address. `host` is "" for every address of the machine, IPv4 and IPv6."""

    host: str
    port: int


class Problem(NamedTuple):
    """One variable that cannot be used: its name, and what is accepted."""

    variable: str
    text: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.text}"


@dataclass(frozen=True)
class Setting:
    """A variable. `parse` raises ValueError for what is not `accepts`; a `lenient` one then keeps its default."""

    variable: str
    attribute: str
    default: Optional[str]
    parse: Callable[[str], Any]
    accepts: str
    meaning: str
    modes: tuple[str, ...] = ("direct", "edge")
    lenient: bool = False


@dataclass(frozen=True)
class Config:
    """Everything the environment decides. Durations are seconds, sizes bytes."""

    mode: str = ""
    tokens: tuple[str, ...] = field(default=(), repr=False)  # the real one first; all are accepted in direct mode
    direct_listen: Listen = Listen("", 9273)
    direct_tls: bool = True
    data_dir: Path = Path("/opt/dockpal-agent")
    tls_cert_dir: Path = Path("/opt/dockpal-agent/certs")
    edge_server: str = ""
    edge_reconnect: float = 5.0
    edge_heartbeat: float = 30.0
    edge_ca_file: Optional[Path] = None
    edge_tls_verify: bool = True
    docker_socket: str = "/var/run/docker.sock"
    log_level: str = "info"
    log_format: str = "text"
    upload_limit: int = 50 << 20
    max_connections: int = 512
    registry_auth_file: Optional[Path] = None
    auto_update_enabled: bool = True
    auto_update_cooldown: float = 3600.0
    auto_update_concurrency: int = 2
    auto_update_health_grace: float = 60.0
    auto_update_cleanup: bool = False
    image_check_interval: float = 1800.0

    @property
    def state_dir(self) -> Path:
        """Records, journals, the line's state."""
        return self.data_dir / "state"

    @property
    def compose_dir(self) -> Path:
        """The files of deployed projects, one folder each."""
        return self.data_dir / "compose"


class Reading(NamedTuple):
    """What was read: a Config in which a bad variable has its default, what is wrong, what is odd."""

    config: Config
    problems: list[Problem]
    warnings: list[str]


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in ("1", "t", "true", "y", "yes", "on"):
        return True
    if word in ("0", "f", "false", "n", "no", "off"):
        return False
    raise ValueError(text)


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds is None or not 0.1 <= seconds <= 86400:
        raise ValueError(text)
    return seconds


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return parse


def _whole(least: int, most: int, unit: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text) * unit

    return parse


_SIZE: Final = re.compile(r"([0-9]{1,9})\s*([kmg]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    size = int(match.group(1)) << {"": 0, "k": 10, "m": 20, "g": 30}[match.group(2).lower()]
    if not 1 <= size <= 4 << 30:
        raise ValueError(text)
    return size


def _listen(text: str) -> Listen:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        return Listen(str(ipaddress.IPv6Address(host[1:-1])), int(port))
    if host and host != "localhost":
        host = str(ipaddress.IPv4Address(host))
    return Listen(host, int(port))


def _server(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError(text)
    _ = parts.port  # raises ValueError when it is no number
    return text


def _absolute(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(text)
    return Path(text)


def _socket(text: str) -> str:
    path = text[len("unix://") :] if text.startswith("unix://") else text
    return str(_absolute(path))


_BOOLEAN: Final = "true or false (1, t, yes, on; 0, f, no, off)"
_DURATION: Final = "a duration from 100ms to 24h, like 5s, 1m30s or 500ms"
_PATH: Final = "an absolute path"

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("DOCKPAL_MODE", "mode", None, _one_of("direct", "edge"), "direct or edge",
            "direct: the Server calls in over HTTPS; edge: the agent calls out over a WebSocket"),
    Setting("DOCKPAL_TOKEN", "token", None, str, "the token that the Server shows for this instance",
            "enrollment token from the Server"),
    Setting("DOCKPAL_TOKEN_FILE", "token_file", None, _absolute, _PATH,
            "file that holds the token, instead of DOCKPAL_TOKEN"),
    Setting("DOCKPAL_DIRECT_LISTEN", "direct_listen", ":9273", _listen,
            "host:port with an IP address or no host, like :9273, 127.0.0.1:9273 or [::1]:9273",
            "listen address", ("direct",)),
    Setting("DOCKPAL_DIRECT_TLS", "direct_tls", "true", _boolean, _BOOLEAN,
            "TLS on; false serves plain HTTP, with a warning", ("direct",)),
    Setting("DOCKPAL_DATA_DIR", "data_dir", "/opt/dockpal-agent", _absolute, _PATH,
            "everything that is kept: compose files, state, certificates"),
    Setting("DOCKPAL_TLS_CERT_DIR", "tls_cert_dir", "<data dir>/certs", _absolute, _PATH,
            "agent.crt and agent.key, made when missing", ("direct",)),
    Setting("DOCKPAL_EDGE_SERVER", "edge_server", None, _server, "a URL like wss://dockpal.example.com:3012",
            "the Server's address", ("edge",)),
    Setting("DOCKPAL_SERVER", "server", None, _server, "a URL like wss://dockpal.example.com:3012",
            "another name of DOCKPAL_EDGE_SERVER, which wins", ("edge",)),
    Setting("DOCKPAL_EDGE_RECONNECT", "edge_reconnect", "5s", _duration, _DURATION,
            "first delay before a reconnect; it grows up to 60s", ("edge",)),
    Setting("DOCKPAL_EDGE_HEARTBEAT", "edge_heartbeat", "30s", _duration, _DURATION,
            "time between heartbeats", ("edge",)),
    Setting("DOCKPAL_EDGE_CA_FILE", "edge_ca_file", None, _absolute, _PATH,
            "certificates (PEM) of a private authority that signed the Server's", ("edge",)),
    Setting("DOCKPAL_EDGE_TLS_VERIFY", "edge_tls_verify", "true", _boolean, _BOOLEAN,
            "verify the Server's certificate; false warns at every connect", ("edge",)),
    Setting("DOCKPAL_DOCKER_SOCKET", "docker_socket", "/var/run/docker.sock", _socket, _PATH,
            "Docker's socket"),
    Setting("DOCKPAL_LOG_LEVEL", "log_level", "info", _one_of("debug", "info", "warning", "error"),
            "debug, info, warning or error", "how much is logged to stderr"),
    Setting("DOCKPAL_LOG_FORMAT", "log_format", "text", _one_of("text", "json"), "text or json",
            "one line an event, in this form"),
    Setting("DOCKPAL_UPLOAD_LIMIT", "upload_limit", "50MB", _size, "a size up to 4GB, like 50MB (powers of 1024)",
            "largest upload or file write"),
    Setting("DOCKPAL_MAX_CONNECTIONS", "max_connections", "512", _whole(8, 16384), "a whole number from 8 to 16384",
            "connections at once; past it 503 with Retry-After", ("direct",)),
    Setting("DOCKPAL_REGISTRY_AUTH_FILE", "registry_auth_file", None, _absolute, _PATH,
            "Docker config.json with credentials for updates and for checks"),
    Setting("DOCKPAL_AUTO_UPDATE_ENABLED", "auto_update_enabled", "true", _boolean, _BOOLEAN,
            "apps that opted in update themselves; a trigger by hand works regardless", lenient=True),
    Setting("DOCKPAL_AUTO_UPDATE_COOLDOWN_MINUTES", "auto_update_cooldown", "60", _whole(1, 525600, 60),
            "whole minutes, at least 1", "time between two automatic attempts of one app", lenient=True),
    Setting("DOCKPAL_AUTO_UPDATE_CONCURRENCY", "auto_update_concurrency", "2", _whole(1, 8), "1 to 8",
            "apps that update at once", lenient=True),
    Setting("DOCKPAL_AUTO_UPDATE_HEALTH_GRACE_SECONDS", "auto_update_health_grace", "60", _whole(5, 86400),
            "whole seconds, at least 5", "time in which an updated app must prove itself", lenient=True),
    Setting("DOCKPAL_AUTO_UPDATE_CLEANUP", "auto_update_cleanup", "false", _boolean, _BOOLEAN,
            "remove the old image once the new one is proven"),
    Setting("DOCKPAL_IMAGE_CHECK_INTERVAL", "image_check_interval", "30", _whole(1, 525600, 60),
            "whole minutes, at least 1", "time between two rounds of looking for newer images", lenient=True),
)  # fmt: skip

_NOT_CONFIG: Final = frozenset({"token", "token_file", "server"})  # rows that end in another attribute
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_DOUBLED: Final = re.compile(r"[0-9a-fA-F]{128}")
_SINGLE: Final = re.compile(r"[0-9a-f]{64}")
_TOKEN_FILE_LIMIT: Final = 65536


def read(environ: Mapping[str, str]) -> Reading:
    """Read all variables. An empty one counts as absent, as `${X:-}` in a Compose file leaves it."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    warnings: list[str] = []
    for setting in SETTINGS:
        text = environ.get(setting.variable, "")
        if not text.strip():
            continue
        try:
            values[setting.attribute] = setting.parse(text if setting.attribute == "token" else text.strip())
        except ValueError:
            shown = "" if _may_hold_a_secret(setting, text) else f", not {text.strip()[:100]!r}"
            if setting.lenient:
                default = f"the default {setting.default} is used"
                warnings.append(f"{setting.variable}: must be {setting.accepts}{shown}; {default}")
            else:
                problems.append(Problem(setting.variable, f"must be {setting.accepts}{shown}"))
    _fill_in(values, problems)
    config = Config(tokens=_tokens(values, problems), **{k: v for k, v in values.items() if k not in _NOT_CONFIG})
    return Reading(config, problems, warnings)


def _may_hold_a_secret(setting: Setting, text: str) -> bool:
    """The token; an address with a password, or with a query, where other agents carry the token."""
    return setting.attribute == "token" or (setting.parse is _server and ("@" in text or "?" in text))


def _fill_in(values: dict[str, Any], problems: list[Problem]) -> None:
    named = {problem.variable for problem in problems}
    if "mode" not in values and "DOCKPAL_MODE" not in named:
        problems.append(Problem("DOCKPAL_MODE", "is required: direct or edge"))
    values.setdefault("tls_cert_dir", values.get("data_dir", Config.data_dir) / "certs")
    if "edge_server" not in values and "server" in values:
        values["edge_server"] = values["server"]
    address_is_bad = named & {"DOCKPAL_EDGE_SERVER", "DOCKPAL_SERVER"}
    if values.get("mode") == "edge" and "edge_server" not in values and not address_is_bad:
        problems.append(
            Problem("DOCKPAL_EDGE_SERVER", "is required in edge mode: a URL like wss://dockpal.example.com:3012")
        )


def _tokens(values: Mapping[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    token = values.get("token")
    path = values.get("token_file")
    if token is not None and path is not None:
        problems.append(Problem("DOCKPAL_TOKEN_FILE", "only one of DOCKPAL_TOKEN and DOCKPAL_TOKEN_FILE may be set"))
    elif path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read(_TOKEN_FILE_LIMIT)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            problems.append(Problem("DOCKPAL_TOKEN_FILE", f"{path} cannot be read: {reason}"))
            return ()
    elif token is None:
        if not any(problem.variable == "DOCKPAL_TOKEN_FILE" for problem in problems):
            problems.append(Problem("DOCKPAL_TOKEN", "is required: the token that the Server shows for this instance"))
        return ()
    variable = "DOCKPAL_TOKEN" if path is None else "DOCKPAL_TOKEN_FILE"
    token = (token or "").strip()
    if not _TOKEN.fullmatch(token):
        problems.append(Problem(variable, "must be a token: printable ASCII without blanks, and not empty"))
        return ()
    return token_forms(token)


def token_forms(token: str) -> tuple[str, ...]:
    """The token, and before it the one it encodes: the SSH installer hex-encodes the 64 hex digits a second time."""
    if _DOUBLED.fullmatch(token):
        inner = bytes.fromhex(token).decode("latin-1")
        if _SINGLE.fullmatch(inner):
            return (inner, token)
    return (token,)
