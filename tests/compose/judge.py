"""Small files with docker compose's judgement on each, one JSON object a line in tests/compose/judged.

    {"name", "files": [text, …], "variables": {…}, "others": {path: text}, and one of
     "model": what `config --format json` prints, with "hashes": `config --hash '*'`; or "refused": its words}

`python -m tests.compose.judge <docker-compose>` asks docker compose again and writes the answers anew. Files stand in
FOLDER as far as the answers go; where a hash is made of the folder's name (binds, env files) it is not kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Optional

from dockpal_agent.compose.project import ReadRequest, TextFile

__all__ = ["FOLDER", "GROUPS", "Case", "cases", "request_for"]

FOLDER: Final = "/srv/app"
GROUPS: Final = ("attributes", "projects", "yaml", "merges")
_PLACE: Final = Path(__file__).parent / "judged"


@dataclass(frozen=True)
class Case:
    """One small project and what docker compose 2.40.3 makes of it."""

    name: str
    files: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    model: Optional[Any] = None
    hashes: Optional[list[str]] = None
    refused: str = ""


def cases(group: str) -> list[Case]:
    """The cases of one file."""
    lines = (_PLACE / f"{group}.jsonl").read_text("utf-8").rstrip("\n").split("\n")
    return [Case(**json.loads(line)) for line in lines]


def file_name(number: int) -> str:
    return f"compose.{number}.yml" if number else "compose.yml"


def request_for(case: Case) -> ReadRequest:
    """The reading of a case, all in memory."""
    files = tuple(TextFile(f"{FOLDER}/{file_name(number)}", text) for number, text in enumerate(case.files))
    others = {f"{FOLDER}/{path}": text for path, text in case.others.items()}
    variables = {"HOME": "/nonexistent", **case.variables}
    return ReadRequest(files, FOLDER, "app", strict_name=True, variables=variables, texts=others)


def _judged(case: Case, program: str) -> dict[str, Any]:
    plain = {key: value for key, value in vars(case).items() if value and key not in ("model", "hashes", "refused")}
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**case.others, **{file_name(n): text for n, text in enumerate(case.files)}}.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(text.encode())
        command = [program, *_options(case, folder), "config"]
        environment = {"HOME": "/nonexistent", **case.variables}
        printed = subprocess.run([*command, "--format", "json"], capture_output=True, env=environment, check=False)
        hashed = subprocess.run([*command, "--hash", "*"], capture_output=True, env=environment, check=False)
    if printed.returncode:
        words = "\n".join(line for line in printed.stderr.decode().splitlines() if "level=warning" not in line)
        return {**plain, "refused": words.strip().replace(folder, FOLDER)}
    text = printed.stdout.decode()
    of_path = folder in text or "env_file" in "".join([*case.files, *case.others.values()])
    hashes = {} if of_path else {"hashes": hashed.stdout.decode().splitlines()}
    return {**plain, "model": json.loads(text.replace(folder, FOLDER)), **hashes}


def _options(case: Case, folder: str) -> Iterator[str]:
    for number in range(len(case.files)):
        yield from ("-f", f"{folder}/{file_name(number)}")
    yield from ("-p", "app", "--project-directory", folder)


def main() -> int:
    for group in GROUPS:
        lines = [json.dumps(_judged(case, sys.argv[1]), ensure_ascii=False) for case in cases(group)]
        (_PLACE / f"{group}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{group}: {len(lines)} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())
