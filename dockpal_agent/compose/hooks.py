"""`post_start` and `pre_stop`: commands run in a service's container (Compose Specification, lifecycle hooks)."""

from __future__ import annotations

from typing import Final

from dockpal_agent.compose.project import Entry
from dockpal_agent.engine import Engine, execs

__all__ = ["HookFailed", "run_hooks"]

WITHIN: Final = 300.0  # seconds for one command
OUTPUT_SHOWN: Final = 300  # characters


class HookFailed(Exception):
    """A hook's command did not end with 0."""


def run_hooks(engine: Engine, container_id: str, entry: Entry, kind: str) -> None:
    """Run the hooks of one kind, one after the other. Raises HookFailed, EngineError."""
    for hook in entry.get(kind, ()):
        command = list(hook.get("command") or ())
        env = [name if value is None else f"{name}={value}" for name, value in hook.get("environment", {}).items()]
        done = execs.run(
            engine,
            container_id,
            command,
            within=WITHIN,
            user=hook.get("user"),
            working_dir=hook.get("working_dir"),
            env=env,
        )
        if done.exit_code != 0:
            output = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-OUTPUT_SHOWN:]
            words = f"{kind} hook exited with status {done.exit_code}: {' '.join(command)}"
            raise HookFailed(f"{words}: {output}" if output else words)
