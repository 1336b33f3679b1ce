"""The corpus of real files and what docker compose made of them: data of others, kept beside the repository."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.compose.project import ReadRequest, TextFile

__all__ = ["CORPUS", "FOLDER", "Golden", "absence", "goldens", "request_for"]

FOLDER: Final = "/srv/app"  # --project-directory when the golden files were made; HOME was /nonexistent
CORPUS: Final = Path(os.environ.get("DOCKPAL_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")


@dataclass(frozen=True)
class Golden:
    """One real file: docker compose's JSON and hashes, or its refusal."""

    name: str
    path: Path
    model: Optional[Any]
    hashes: tuple[str, ...]
    refusal: str


def absence() -> str:
    """Why the tests over the corpus cannot run; empty when they can."""
    if (CORPUS / "compose").is_dir() and (CORPUS / "golden").is_dir():
        return ""
    return f"no corpus of Compose files at {CORPUS}; DOCKPAL_CORPUS names another place"


def goldens() -> list[Golden]:
    """Every file of the corpus, by name."""
    return [_golden(path) for path in sorted((CORPUS / "compose").glob("*.y*ml"))]


def _golden(path: Path) -> Golden:
    def text(kind: str) -> str:
        file = CORPUS / "golden" / f"{path.name}.{kind}"
        return file.read_text("utf-8") if file.is_file() else ""

    model = text("json")
    return Golden(path.name, path, json.loads(model) if model else None, tuple(text("hash").splitlines()), text("err"))


def request_for(golden: Golden) -> ReadRequest:
    """The reading of one file as docker compose was asked for it."""
    file = TextFile(f"{FOLDER}/{golden.name}", golden.path.read_text("utf-8"))
    return ReadRequest((file,), FOLDER, "app", strict_name=True, variables={"HOME": "/nonexistent"}, from_disk=True)
