"""What Docker knows of why a container ended or is unwell, as words for a message.

After an undo the container is gone, and its output with it: what speaks against it goes into the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dockpal_agent.engine import Engine, EngineError, containers
from dockpal_agent.engine.frames import demultiplex

__all__ = ["exit_of", "last_check", "last_output"]

CHECK_SHOWN: Final = 300  # characters of a health check's output
LINES_SHOWN: Final = 5  # of a container's output
OUTPUT_SHOWN: Final = 600  # characters of them
OUTPUT_WITHIN: Final = 5.0  # seconds


def exit_of(state: Mapping[str, Any]) -> str:
    """`(exit code 137, out of memory)`; Docker's own error where it has one."""
    facts = [f"exit code {state.get('ExitCode')}"]
    if state.get("OOMKilled"):
        facts.append("out of memory")
    if state.get("Error"):
        facts.append(str(state["Error"]))
    return f"({', '.join(facts)})"


def last_check(state: Mapping[str, Any]) -> str:
    """`: its health check ended with 1, connection refused`; "" where none has been made."""
    checks = (state.get("Health") or {}).get("Log") or []
    if not checks:
        return ""
    output = str(checks[-1].get("Output") or "").strip()[:CHECK_SHOWN]
    return f": its health check ended with {checks[-1].get('ExitCode')}" + (f", {output}" if output else "")


def last_output(engine: Engine, container_id: str) -> str:
    """`; its last output: …`; "" where it wrote nothing, or its log driver cannot be read."""
    try:
        with containers.logs(engine, container_id, tail=LINES_SHOWN, idle=OUTPUT_WITHIN) as stream:
            text = b"".join(part for _, part in demultiplex(stream.chunks())).decode("utf-8", "replace").strip()
    except EngineError:  # a log driver that cannot be read, a TTY's raw text: then without
        return ""
    return f"; its last output: {text[-OUTPUT_SHOWN:]}" if text else ""
