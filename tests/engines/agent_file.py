"""The file itself, built once for the whole run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import build
from tools.pyz import archive, contents

__all__ = ["agent_pyz"]


@pytest.fixture(scope="session")
def agent_pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """agent.pyz as build.py packs it from the tree; DOCKPAL_TEST_PYZ is one that was (tools/suite.py)."""
    built = os.environ.get("DOCKPAL_TEST_PYZ")
    if built:
        return Path(built)
    target = tmp_path_factory.mktemp("dist") / "agent.pyz"
    packed = build.dependencies()
    archive.write(build.build(packed, contents.sources(packed)), target)
    return target
