"""The commands, as a shell sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from dockpal_agent import __version__
from dockpal_agent.cli import COMMANDS

ROOT = Path(__file__).parent.parent


def agent(*arguments: str, env: Optional[dict[str, str]] = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the agent with nothing of our own environment but PATH."""
    return subprocess.run(
        [sys.executable, "-m", "dockpal_agent", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_names_the_agent_and_python() -> None:
    ran = agent("version")

    assert ran.returncode == 0
    assert ran.stdout.startswith(f"dockpal-agent {__version__} (Python 3.")


def test_help_names_every_command_and_variable() -> None:
    ran = agent("help")

    assert ran.returncode == 0
    for command in COMMANDS:
        assert (f"  {command.name} " in ran.stdout) is not command.hidden
    assert "DOCKPAL_EDGE_HEARTBEAT [30s] (edge mode)" in ran.stdout


def test_bad_configuration_lists_every_problem_and_exits_with_2() -> None:
    ran = agent(env={"DOCKPAL_MODE": "both", "DOCKPAL_DIRECT_LISTEN": "here"})

    assert ran.returncode == 2
    for variable in ("DOCKPAL_MODE", "DOCKPAL_DIRECT_LISTEN", "DOCKPAL_TOKEN"):
        assert f"  {variable}: " in ran.stderr


@pytest.mark.parametrize("arguments", [["dance"], ["version", "please"]])
def test_a_command_line_that_makes_no_sense_exits_with_2_and_says_why(arguments: list[str]) -> None:
    ran = agent(*arguments)

    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("agent.pyz: ")


def test_the_healthcheck_of_an_agent_that_is_not_there_fails_with_one_line() -> None:
    ran = agent("healthcheck", env={"DOCKPAL_MODE": "direct", "DOCKPAL_DIRECT_LISTEN": "127.0.0.1:1"})

    assert ran.returncode == 1
    assert ran.stderr.strip() == "https://127.0.0.1:1/agent/ping: refused: no agent listens there"


def test_fingerprint_without_a_certificate_says_when_it_is_made(tmp_path: Path) -> None:
    ran = agent("fingerprint", env={"DOCKPAL_DATA_DIR": str(tmp_path)})

    assert ran.returncode == 1
    assert "made at the first start" in ran.stderr


def test_the_fingerprint_is_the_one_that_openssl_prints(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    crt = str(directory / "agent.crt")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(tmp_path / "key")]
    subprocess.run(["openssl", "req", "-x509", *key, "-subj", "/CN=t", "-out", crt], check=True, capture_output=True)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", crt], check=True, capture_output=True, text=True
    ).stdout

    ran = agent("fingerprint", env={"DOCKPAL_DATA_DIR": str(tmp_path)})

    assert ran.stdout.split()[1] == said.strip().partition("=")[2]


def test_healthcheck_loads_neither_the_engine_client_nor_yaml() -> None:
    code = (
        "import sys; from dockpal_agent.cli import main; main(['healthcheck']);"
        "print([m for m in ('requests', 'ruamel', 'psutil', 'websocket', 'wsproto') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)

    assert ran.stdout.strip().endswith("[]")
