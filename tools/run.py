"""`make run` and `make stop`: everything made ready, the agent built and started in direct mode, in the background.

    python3 -m tools.run          (as root where packages or an engine are missing)
    python3 -m tools.run stop

Data, token, log and pid lie in ./.run. DOCKPAL_* variables of the environment are passed on; the address is
DOCKPAL_DIRECT_LISTEN, else 127.0.0.1:9273.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tools import engines, venv
from tools.engines import EngineProblem

__all__ = ["main", "runs", "start", "stop"]

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".run"
PID: Final = FOLDER / "agent.pid"
LOG: Final = FOLDER / "agent.log"
FILE: Final = FOLDER / "agent.pyz"  # a copy: a build must not change the file under a running agent
LISTEN: Final = "127.0.0.1:9273"
START_LIMIT: Final = 20.0  # seconds until the agent must answer
STOP_LIMIT: Final = 30.0  # seconds for an orderly end


def start() -> None:
    """Build and start the agent, and say how to reach it. Raises EngineProblem, CalledProcessError."""
    environment = _environment()
    if not PID.exists():  # else our own agent may be what listens there
        _refuse_busy(environment["DOCKPAL_DIRECT_LISTEN"])
    engines.install(engines.wanting(engines.PROGRAMS))
    engines.start_engine()
    python = venv.ensure(ROOT / ".cache" / "venv-build")  # pip is all that build.py needs
    subprocess.run([str(python), "build.py"], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=900)
    stop()
    _refuse_busy(environment["DOCKPAL_DIRECT_LISTEN"])
    shutil.copyfile(ROOT / "dist" / "agent.pyz", FILE)
    command = [sys.executable, str(FILE)]
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    PID.write_text(str(process.pid))
    _wait_until_it_answers(process, command, environment)
    _say(command, environment)


def _environment() -> dict[str, str]:
    token = FOLDER / "token"
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32) + "\n")
    ours = {"DOCKPAL_MODE": "direct", "DOCKPAL_DATA_DIR": str(FOLDER / "data"), "DOCKPAL_DIRECT_LISTEN": LISTEN}
    environment = {**os.environ}
    for variable, value in ours.items():
        environment[variable] = environment.get(variable) or value
    if not environment.get("DOCKPAL_TOKEN"):
        environment["DOCKPAL_TOKEN_FILE"] = environment.get("DOCKPAL_TOKEN_FILE") or str(token)
    return environment


def _address(listen: str) -> tuple[str, int]:
    """Where to call what listens at `listen` (`:9273`, `[::1]:9273`)."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("", "0.0.0.0", "::") else host), int(port)


def _refuse_busy(listen: str) -> None:
    host, port = _address(listen)
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return
    another = f"DOCKPAL_DIRECT_LISTEN={host}:{port + 1} make run"
    raise EngineProblem(f"{host}:{port} is in use by another program; try {another}")


def _wait_until_it_answers(process: subprocess.Popen[bytes], command: list[str], environment: dict[str, str]) -> None:
    end = time.monotonic() + START_LIMIT
    while subprocess.run([*command, "healthcheck"], env=environment, capture_output=True, timeout=30).returncode:
        if process.poll() is not None or time.monotonic() > end:
            PID.unlink()
            process.terminate()
            words = "\n".join(LOG.read_text("utf-8", "replace").splitlines()[-10:])
            raise EngineProblem(f"the agent does not answer; {LOG} ends with:\n{words}")
        time.sleep(0.1)


def _say(command: list[str], environment: dict[str, str]) -> None:
    host, port = _address(environment["DOCKPAL_DIRECT_LISTEN"])
    plain = environment.get("DOCKPAL_DIRECT_TLS", "true").lower() in ("false", "0", "f", "no", "off")
    url = f"{'http' if plain else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"
    token = environment.get("DOCKPAL_TOKEN") or Path(environment["DOCKPAL_TOKEN_FILE"]).read_text().strip()
    print(f"\nThe agent runs in the background (pid {PID.read_text()}, log {LOG}); `make stop` ends it.\n")
    print(f"address      {url}")
    print(f"token        {token}")
    if not plain:
        ended = subprocess.run([*command, "fingerprint"], env=environment, capture_output=True, text=True, timeout=30)
        print(f"fingerprint  {ended.stdout.strip() or ended.stderr.strip()}")
    certificate = Path(
        environment.get("DOCKPAL_TLS_CERT_DIR") or f"{environment['DOCKPAL_DATA_DIR']}/certs", "agent.crt"
    )
    trust = "" if plain else f"--cacert {certificate} "
    print(f"\ncurl {trust}-H 'Authorization: Bearer {token}' {url}/agent/docker/containers")


def stop() -> bool:
    """End the agent that `start` left running; False when there is none."""
    try:
        pid = int(PID.read_text())
        PID.unlink()
        if str(FILE).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return False  # its number belongs to another program by now
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return False
    end = time.monotonic() + STOP_LIMIT
    while runs(pid):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return True


def runs(pid: int) -> bool:
    """Whether the process is alive; one that has ended and waits for its parent is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main(arguments: list[str]) -> int:
    if arguments == ["stop"]:
        print("the agent has ended" if stop() else "no agent runs from here")
        return 0
    try:
        start()
    except EngineProblem as problem:
        print(f"make run: {problem}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
