"""The Autobahn fuzzing client against a stream of ours that echoes (RFC 6455, case by case)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from dockpal_agent.transport.direct.limits import Limits
from tests.transport.direct.conftest import Start

ROOT: Final = Path(__file__).resolve().parents[3]
EXCLUDED: Final = (
    "9.*",  # speed with messages of up to 16 MB: ours end at 64 KiB
    "12.*",  # permessage-deflate is not taken up: the Server never offers it, and it costs 256 KiB a viewer
    "13.*",
)
PASSED: Final = frozenset({"OK", "INFORMATIONAL"})  # not NON-STRICT, not FAILED, not UNCLEAN


@pytest.fixture(scope="module")
def wstest() -> Path:
    """The program, installed where it is missing (Python 2.7, see tests/autobahn/install.sh)."""
    folder = ROOT / ".cache" / "autobahn"
    folder.parent.mkdir(exist_ok=True)
    install = ["sh", str(ROOT / "tests" / "autobahn" / "install.sh"), str(folder)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "wstest"


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_case_of_the_autobahn_suite_passes_strictly(
    tls: bool, start: Start, wstest: Path, tmp_path: Path
) -> None:
    running = start(tls=tls, limits=Limits())
    url = f"{'wss' if tls else 'ws'}://127.0.0.1:{running.server.port}/echo"
    specification = {
        "outdir": str(tmp_path / "reports"),
        "servers": [{"agent": "agent", "url": url}],
        "cases": ["*"],
        "exclude-cases": list(EXCLUDED),
        "exclude-agent-cases": {},
    }
    (tmp_path / "spec.json").write_text(json.dumps(specification))

    command = [str(wstest), "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=240, check=True)

    cases = json.loads((tmp_path / "reports" / "index.json").read_text())["agent"]
    behaviour = {case: {found["behavior"], found["behaviorClose"]} for case, found in cases.items()}
    assert {case: found for case, found in behaviour.items() if not found <= PASSED} == {}
    assert len(cases) == 247
