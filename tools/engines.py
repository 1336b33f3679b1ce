"""The engines that tests and `make run` need: Docker's own from the distribution, and a newer one beside it.

    python3 -m tools.engines ready    packages, an engine at /var/run/docker.sock, the newer one unpacked; nothing twice
    python3 -m tools.engines stop     end the engine that `ready` started (never another)

An engine at /var/run/docker.sock that was started here is left running for the next run; its pid and log lie in
.cache/engine. The newer one is unpacked into .cache/engine-new, never installed; tests start and end it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional

__all__ = [
    "PROGRAMS",
    "SOCKET",
    "STOP_LIMIT",
    "EngineProblem",
    "NewEngine",
    "docker_compose",
    "install",
    "main",
    "mirror",
    "new_engine",
    "new_packages",
    "ready",
    "search_path",
    "start_engine",
    "unpack_new",
    "wait_until_it_answers",
    "wanting",
]

ROOT: Final = Path(__file__).resolve().parent.parent
SOCKET: Final = Path("/var/run/docker.sock")
OLD: Final = ROOT / ".cache" / "engine"
NEW: Final = ROOT / ".cache" / "engine-new"
# program → Debian package that brings it
PROGRAMS: Final[Mapping[str, str]] = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "openssl": "openssl",
}
TEST_PROGRAMS: Final[Mapping[str, str]] = {
    "/bin/busybox": "busybox-static",
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "systemd-analyze": "systemd",
    "debootstrap": "debootstrap",
    "curl": "curl",
}
NEW_PACKAGES: Final = ("docker.io", "containerd", "docker-compose")
START_LIMIT: Final = 60.0  # seconds for a daemon to answer
STOP_LIMIT: Final = 30.0  # seconds for a daemon to end its containers and itself


class EngineProblem(Exception):
    """What is missing, and what the user can do about it."""


@dataclass(frozen=True)
class NewEngine:
    """A newer engine that runs in a network namespace of its own: `nsenter -t <pid> -n` reaches its ports."""

    socket: str
    pid: int


def wanting(programs: Mapping[str, str]) -> list[str]:
    """The packages whose program is not there."""
    return sorted({package for program, package in programs.items() if _which(program) is None})


def _which(program: str) -> Optional[str]:
    found = shutil.which(program, path=search_path())
    if found == "/bin/busybox" and b"ld-linux" in Path(found).read_bytes():
        return None  # the package busybox: not static, so of no use as an image
    return found


def install(packages: list[str]) -> None:
    """Install Debian packages. Raises EngineProblem where that takes root or another distribution's tool."""
    if not packages:
        return
    line = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise EngineProblem(f"missing: {', '.join(packages)}. As root on Debian or Ubuntu: {line}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        ended = subprocess.run(
            ["apt-get", "-q", *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if ended.returncode:
            raise EngineProblem(f"`{line}` failed: {ended.stderr.strip()[-1000:]}")


def answers(socket: Path) -> bool:
    """Whether an engine answers at the socket."""
    # A tool of its own rather than the agent's client: what starts engines must not depend on what is tested on them.
    from tests.engines.daemon import Daemon

    return Daemon(str(socket)).answers()


def start_engine() -> None:
    """Make sure an engine answers at Docker's own socket. Raises EngineProblem with the end of its log."""
    if answers(SOCKET):
        return
    if os.geteuid() != 0:
        raise EngineProblem(
            f"no Docker Engine answers at {SOCKET} (or you may not ask it: group docker); start it as root"
        )
    OLD.mkdir(parents=True, exist_ok=True)
    log = OLD / "dockerd.log"
    _forget_ended(Path("/var/run/docker.pid"), "dockerd")
    _forget_ended(Path("/var/run/docker/containerd/containerd.pid"), "containerd")
    command = [str(_which("dockerd")), "-H", f"unix://{SOCKET}"]
    environment = {**os.environ, "PATH": search_path()}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env=environment,
        )
    (OLD / "dockerd.pid").write_text(str(process.pid))
    wait_until_it_answers(SOCKET, process, log)


def _forget_ended(record: Path, name: str) -> None:
    """Remove a daemon's pid file whose number is free, or another program's by now: it would not start beside it."""
    try:
        if Path(f"/proc/{int(record.read_text())}/comm").read_text().strip() == name:
            return
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pass  # no file, no such process, or not a number
    record.unlink(missing_ok=True)


def search_path() -> str:
    """PATH with the folders where Debian keeps daemons, which a plain user's lacks."""
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def wait_until_it_answers(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a daemon that was just started. Raises EngineProblem with the end of its log."""
    end = time.monotonic() + START_LIMIT
    while not answers(socket):
        if process.poll() is not None or time.monotonic() > end:
            words = "\n".join(log.read_text("utf-8", "replace").splitlines()[-5:])
            raise EngineProblem(f"the Docker Engine for {socket} did not start; {log} ends with:\n{words}")
        time.sleep(0.1)


def stop_engine() -> bool:
    """End the engine at Docker's own socket if it was started here; False if it was not."""
    record = OLD / "dockerd.pid"
    if not record.exists():
        return False
    pid = int(record.read_text())
    record.unlink()
    try:
        if "dockerd" not in Path(f"/proc/{pid}/comm").read_text():
            return False
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def unpack_new() -> None:
    """Unpack Debian sid's engine, containerd and docker compose into .cache/engine-new. Raises EngineProblem."""
    if (NEW / "complete").exists():
        return
    shutil.rmtree(NEW, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial", "unpacked", "programs"):
        (NEW / folder).mkdir(parents=True)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (NEW / "sid.list").write_text(f"deb [signed-by={keyring}] {mirror()} sid main\n")
    options = [f"Dir::Etc::sourcelist={NEW}/sid.list", "Dir::Etc::sourceparts=/dev/null"]
    options += [f"Dir::State::lists={NEW}/lists", f"Dir::Cache::archives={NEW}/archives", f"Dir::Cache={NEW}"]
    options += ["APT::Sandbox::User=root", "Acquire::Retries=3"]
    apt = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
    try:
        _quietly([*apt, "update"])
        _quietly([*apt, "download", *NEW_PACKAGES])
        for package in sorted(NEW.glob("*.deb")):
            _quietly(["dpkg-deb", "-x", str(package), str(NEW / "unpacked")])
    except (OSError, subprocess.CalledProcessError) as error:
        words = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise EngineProblem(f"Debian sid's engine could not be had for the tests: {words}") from error
    for program in ("bin/containerd", "bin/containerd-shim-runc-v2", "sbin/dockerd", "sbin/docker-proxy"):
        (NEW / "programs" / Path(program).name).symlink_to(NEW / "unpacked" / "usr" / program)
    packages = sorted(NEW.glob("*.deb"))
    versions = ", ".join(" ".join(package.name.split("_")[:2]) for package in packages)
    for package in packages:
        package.unlink()
    shutil.rmtree(NEW / "lists")
    (NEW / "complete").write_text(versions)


def new_packages() -> str:
    """What was unpacked, for people: `containerd 2.1.9, docker-compose 2.40.3, docker.io 28.5.2`."""
    mark = NEW / "complete"
    return mark.read_text() if mark.exists() else "the newer engine is not unpacked yet"


def _quietly(command: list[str]) -> None:
    subprocess.run(command, cwd=NEW, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)


def mirror() -> str:
    """The first archive that this machine's apt uses."""
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("URIs:") and "debian" in line:
                return line.split()[1]
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))):
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            words = [word for word in line.split() if not word.startswith("[") and not word.endswith("]")]
            if words[:1] == ["deb"] and "debian" in words[1]:
                return words[1]
    raise EngineProblem("no Debian archive is named in /etc/apt; the newer engine comes from one")


def docker_compose() -> Path:
    """Docker Compose as Debian sid packs it: the judge of Compose questions. `unpack_new` comes first."""
    return NEW / "unpacked" / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-compose"


@contextlib.contextmanager
def new_engine(environment: Optional[Mapping[str, str]] = None) -> Iterator[NewEngine]:
    """Run the newer engine, with nothing kept of it at the end. Raises EngineProblem.

    It has a network namespace of its own, as two engines in one break each other's docker0; it ends with this process.
    """
    unpack_new()
    folder = Path(tempfile.mkdtemp(prefix="dockpal-engine-"))  # short: a socket's path has 107 characters at the most
    log = folder / "dockerd.log"
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "sh", "-c", 'ip link set lo up; exec dockerd "$@"']
    command += ["sh", "-H", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data"]
    command += ["--exec-root", f"{folder}/exec", "-p", f"{folder}/dockerd.pid"]
    path = f"{NEW}/programs:{search_path()}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **(environment or {}), "PATH": path},
        )
    try:
        wait_until_it_answers(folder / "docker.sock", process, log)
        yield NewEngine(f"{folder}/docker.sock", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_LIMIT)
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove an ended engine's folder, what it left mounted first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


def ready() -> None:
    """Everything that `make test` needs beside Python. Raises EngineProblem."""
    install(wanting({**PROGRAMS, **TEST_PROGRAMS}))
    start_engine()
    unpack_new()


def main(arguments: list[str]) -> int:
    if arguments == ["stop"]:
        print("the engine that was started here ends" if stop_engine() else "no engine was started here")
        return 0
    if arguments != ["ready"]:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        ready()
    except EngineProblem as problem:
        print(f"engines: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
