"""The unit and its installer."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Optional

import pytest

from build import ROOT

UNIT = ROOT / "systemd" / "dockpal-agent.service"
INSTALLER = ROOT / "systemd" / "install.sh"


def _install(destination: Path, pyz: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "DESTDIR": str(destination), **variables}
    command = ["sh", str(INSTALLER), str(pyz)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    """Something that python3 runs and that knows `version`."""
    file = tmp_path / "agent.pyz"
    file.write_text("import sys\nsys.exit(sys.argv[1:] != ['version'])\n")
    return file


def test_installing_twice_changes_the_file_and_keeps_the_settings(tmp_path: Path, pyz: Path) -> None:
    root = tmp_path / "root"
    first = _install(root, pyz, DOCKPAL_MODE="direct", DOCKPAL_TOKEN="secret")
    assert first.returncode == 0, first.stderr
    settings = root / "etc/dockpal-agent/agent.env"
    assert settings.read_text() == "DOCKPAL_MODE=direct\nDOCKPAL_TOKEN=secret\n"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "opt/dockpal-agent").stat().st_mode) == 0o700

    pyz.write_text(pyz.read_text() + "# newer\n")
    again = _install(root, pyz, DOCKPAL_MODE="edge", DOCKPAL_TOKEN="other")
    assert again.returncode == 0, again.stderr
    assert settings.read_text() == "DOCKPAL_MODE=direct\nDOCKPAL_TOKEN=secret\n"
    assert (root / "usr/local/lib/dockpal-agent/agent.pyz").read_text().endswith("# newer\n")
    assert (root / "etc/systemd/system/dockpal-agent.service").read_text() == UNIT.read_text()

    assert "agent.env stays as it is" in again.stdout


def test_every_setting_that_is_given_is_installed_as_systemd_reads_it(tmp_path: Path, pyz: Path) -> None:
    given = {
        "DOCKPAL_MODE": "edge",
        "DOCKPAL_SERVER": "wss://dockpal.example.com:3012/api/agent/connect",
        "DOCKPAL_TOKEN_FILE": "/etc/dockpal-agent/to ken",
        "DOCKPAL_TOKEN": "a\"b\\c$d`e#f'g",  # not both, in truth; any printable character may be in one
        "DOCKPAL_LOG_FORMAT": "",
    }
    done = _install(tmp_path / "root", pyz, **given)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "root/etc/dockpal-agent/agent.env").read_text().splitlines() == [
        "DOCKPAL_MODE=edge",
        "DOCKPAL_SERVER=wss://dockpal.example.com:3012/api/agent/connect",
        'DOCKPAL_TOKEN="a\\"b\\\\c\\$d\\`e#f\'g"',
        'DOCKPAL_TOKEN_FILE="/etc/dockpal-agent/to ken"',
    ]


def test_edge_mode_without_an_address_is_not_installed(tmp_path: Path, pyz: Path) -> None:
    refused = _install(tmp_path / "root", pyz, DOCKPAL_MODE="edge", DOCKPAL_TOKEN="secret")

    assert refused.returncode == 1
    assert "DOCKPAL_EDGE_SERVER" in refused.stderr


def test_a_first_installation_without_a_token_says_what_is_missing(tmp_path: Path, pyz: Path) -> None:
    refused = _install(tmp_path / "root", pyz, DOCKPAL_MODE="direct")
    assert refused.returncode == 1
    assert "DOCKPAL_TOKEN" in refused.stderr


def test_a_damaged_file_is_not_installed(tmp_path: Path, pyz: Path) -> None:
    pyz.with_name("agent.pyz.sha256").write_text(f"{'0' * 64}  agent.pyz\n")
    refused = _install(tmp_path / "root", pyz, DOCKPAL_MODE="direct", DOCKPAL_TOKEN="secret")
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert not (tmp_path / "root/usr/local/lib/dockpal-agent/agent.pyz").exists()


def test_the_unit_starts_what_the_installer_puts_there() -> None:
    unit, installer = UNIT.read_text(), INSTALLER.read_text()
    start = re.search(r"^ExecStart=/usr/bin/python3 -I -S (\S+)$", unit, re.MULTILINE)
    assert start is not None
    assert start.group(1) == "/usr/local/lib/dockpal-agent/agent.pyz"
    assert f"library=$DESTDIR{Path(start.group(1)).parent}" in installer
    assert "EnvironmentFile=/etc/dockpal-agent/agent.env" in unit
    assert "settings=$DESTDIR/etc/dockpal-agent/agent.env" in installer


def test_systemd_finds_little_to_criticise(tmp_path: Path) -> None:
    analyze: Optional[str] = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing; `make test` installs it (package systemd)"
    copy = shutil.copy(UNIT, tmp_path)
    command = [analyze, "security", "--offline=true", str(copy)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", ended.stdout)
    assert figure is not None, ended.stderr
    assert float(figure.group(1)) <= 1.5
