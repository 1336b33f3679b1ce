"""`doctor`: everything the agent needs, looked at one by one; a line each, with what to do about what is wrong."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import Callable, Final, NamedTuple, TextIO

from dockpal_agent.config import Reading

__all__ = ["CHECKS", "Finding", "Verdict", "examine"]

NEWEST_TESTED: Final = (3, 13)
OLDEST: Final = (3, 9)
RENEWAL: Final = 30  # days before its end at which the agent renews its own certificate


class Verdict(Enum):
    """How a check came out. Only a failure makes `doctor` exit with 1."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and the remedy where it is not well."""

    verdict: Verdict
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict.value:<5}{self.subject}: {self.text}"
        return f"{line} -> {self.remedy}" if self.remedy else line


def examine(reading: Reading, out: TextIO) -> int:
    """Run every check that the mode needs and print its finding. Returns 1 if any failed, else 0."""
    failed = False
    for check in CHECKS:
        for finding in check(reading):
            failed = failed or finding.verdict is Verdict.FAIL
            print(finding, file=out, flush=True)
    return 1 if failed else 0


def _configuration(reading: Reading) -> Iterator[Finding]:
    for problem in reading.problems:
        yield Finding(Verdict.FAIL, "configuration", str(problem), f"set {problem.variable}")
    for warning in reading.warnings:
        yield Finding(Verdict.WARN, "configuration", warning)
    if not reading.problems:
        yield Finding(Verdict.OK, "configuration", f"{reading.config.mode} mode")


def _python(reading: Reading) -> Iterator[Finding]:
    version = sys.version.split()[0]
    if sys.version_info[:2] < OLDEST:
        yield Finding(Verdict.FAIL, "python", f"{version} is too old", "use CPython 3.9 to 3.13")
    elif sys.version_info[:2] > NEWEST_TESTED:
        yield Finding(Verdict.WARN, "python", f"{version} is newer than what was tested (3.9 to 3.13)")
    else:
        yield Finding(Verdict.OK, "python", version)


def _figures(reading: Reading) -> Iterator[Finding]:
    try:
        import psutil
    except ImportError as error:
        yield Finding(Verdict.WARN, "psutil", f"its extension does not load here ({error}); figures come from /proc")
    else:
        yield Finding(Verdict.OK, "psutil", str(psutil.__version__))


def _socket(reading: Reading) -> Iterator[Finding]:
    path = reading.config.docker_socket
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        remedy = f"start Docker, or mount the socket into the container: -v {path}:{path}"
        yield Finding(Verdict.FAIL, "docker socket", f"{path} does not exist", remedy)
        return
    except OSError as error:
        yield Finding(Verdict.FAIL, "docker socket", f"{path}: {error.strerror}", "make its folder readable")
        return
    if not stat.S_ISSOCK(mode):
        remedy = "remove it and mount the host's socket; a directory is what Docker makes where the host had no socket"
        yield Finding(Verdict.FAIL, "docker socket", f"{path} is not a socket", remedy)
    elif not os.access(path, os.R_OK | os.W_OK):
        group = os.stat(path).st_gid
        ids = f"uid {os.getuid()}, groups {sorted({os.getgid(), *os.getgroups()})}"
        remedy = f"run as root, or add group {group}: --group-add {group} (SupplementaryGroups= for systemd)"
        yield Finding(Verdict.FAIL, "docker socket", f"{path} belongs to group {group}; the agent is {ids}", remedy)
    else:
        yield Finding(Verdict.OK, "docker socket", path)


def _daemon(reading: Reading) -> Iterator[Finding]:
    from dockpal_agent.engine import Engine, EngineError, system

    engine = Engine(reading.config.docker_socket)
    try:
        version = system.version(engine)
        used = ".".join(map(str, engine.api_version))
        text = f"{version.get('Version')} answers; its API is {version.get('ApiVersion')}, {used} is spoken"
        yield Finding(Verdict.OK, "docker daemon", text)
    except EngineError as error:
        yield Finding(Verdict.FAIL, "docker daemon", str(error), "look at the daemon: systemctl status docker")
    finally:
        engine.close()


def _openssl(reading: Reading) -> Iterator[Finding]:
    if reading.config.mode == "edge" or not reading.config.direct_tls:
        return
    path = shutil.which("openssl")
    if path is None:
        remedy = "install openssl, or put agent.crt and agent.key into DOCKPAL_TLS_CERT_DIR"
        yield Finding(Verdict.FAIL, "openssl", "there is no such program", remedy)
        return
    ran = _openssl_says(["version"])
    verdict = Verdict.OK if ran else Verdict.FAIL
    yield Finding(verdict, "openssl", ran or f"{path} cannot be run", "" if ran else "reinstall openssl")


def _data_directory(reading: Reading) -> Iterator[Finding]:
    path = reading.config.data_dir
    nearest = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    if not os.access(nearest, os.W_OK | os.X_OK) or not nearest.is_dir():
        remedy = "make it writable for the agent's user, or name another with DOCKPAL_DATA_DIR"
        yield Finding(Verdict.FAIL, "data directory", f"{path} cannot be written", remedy)
        return
    if _in_container() and not _is_mounted(path):
        remedy = f"mount one: -v {path}:{path}"
        text = f"{path} is no mount: compose files, certificate and records die with this container"
        yield Finding(Verdict.WARN, "data directory", text, remedy)
        return
    free = shutil.disk_usage(nearest).free
    if free < 100 << 20:
        yield Finding(Verdict.WARN, "data directory", f"{path} has {free >> 20} MB left", "make room on that disk")
    else:
        yield Finding(Verdict.OK, "data directory", f"{path}, {free >> 20} MB free")


def _certificate(reading: Reading) -> Iterator[Finding]:
    if reading.config.mode == "edge" or not reading.config.direct_tls:
        return
    path = reading.config.tls_cert_dir / "agent.crt"
    if not path.exists():
        yield Finding(Verdict.OK, "certificate", f"none in {path.parent} yet; it is made at the first start")
        return
    said = _openssl_says(["x509", "-noout", "-enddate", "-in", str(path)])
    if not said.startswith("notAfter="):
        yield Finding(Verdict.FAIL, "certificate", f"{path} cannot be read", "remove it and agent.key, restart")
        return
    days = (parsedate_to_datetime(_mail_date(said)).timestamp() - time.time()) / 86400
    if days < 0:
        remedy = "restart the agent, which renews its own; replace it if it is yours"
        yield Finding(Verdict.FAIL, "certificate", f"{path} expired {-days:.0f} days ago", remedy)
    elif days < RENEWAL:
        yield Finding(Verdict.WARN, "certificate", f"{path} expires in {days:.0f} days; a running agent renews its own")
    else:
        yield Finding(Verdict.OK, "certificate", f"{path}, good for {days:.0f} days")


def _line(reading: Reading) -> Iterator[Finding]:
    config = reading.config
    if config.mode != "edge" or not config.edge_server:
        return
    from dockpal_agent.transport.edge.diagnose import diagnose

    for step in diagnose(config.edge_server, ca_file=config.edge_ca_file, verify=config.edge_tls_verify):
        yield Finding(Verdict.OK if step.ok else Verdict.FAIL, f"edge {step.name}", step.text, step.remedy)


def _openssl_says(arguments: list[str]) -> str:
    """First line that the openssl program prints, "" when it fails or is not there."""
    try:
        ran = subprocess.run(
            ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout.decode("utf-8", "replace").strip().partition("\n")[0]


def _mail_date(enddate: str) -> str:
    """`notAfter=Jan  2 03:04:05 2027 GMT` -> `2 Jan 2027 03:04:05 GMT` (RFC 5322), which needs no locale to be read."""
    month, day, clock, year = enddate.partition("=")[2].split()[:4]
    return f"{day} {month} {year} {clock} GMT"


def _in_container() -> bool:
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv")


def _is_mounted(path: Path, mountinfo: str = "/proc/self/mountinfo") -> bool:
    """Whether `path`, or a folder above it that is not the root, is a mount of its own (proc(5), mountinfo)."""
    points = {line.split()[4] for line in Path(mountinfo).read_text(encoding="utf-8", errors="replace").splitlines()}
    return any(str(each) in points for each in (path, *path.parents) if str(each) != "/")


Check = Callable[[Reading], Iterator[Finding]]

CHECKS: Final[tuple[Check, ...]] = (
    _configuration,
    _python,
    _figures,
    _socket,
    _daemon,
    _openssl,
    _data_directory,
    _certificate,
    _line,
)
