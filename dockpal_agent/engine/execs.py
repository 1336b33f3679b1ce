"""Commands run in a container (Engine API, section Exec)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.engine.answers import Stream
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.deadline import Deadline
from dockpal_agent.engine.errors import EngineBroken, EngineTimeout
from dockpal_agent.engine.frames import STDOUT, demultiplex
from dockpal_agent.engine.shapes import object_of, text_of

__all__ = ["Execution", "Finished", "run", "start"]

OUTPUT_LIMIT: Final = 1 << 20  # bytes of stdout, and of stderr, where the caller does not say
EXIT_LIMIT: Final = 5.0  # seconds from the end of the output to the exit code
EXIT_PAUSE: Final = 0.02  # seconds between looks for the exit code


@dataclass(frozen=True)
class Finished:
    """A command's result. `exit_code` is None when it wrote more than was asked for, and was left to itself."""

    exit_code: Optional[int]
    stdout: bytes
    stderr: bytes

    @property
    def truncated(self) -> bool:
        """Whether there was more output than was asked for."""
        return self.exit_code is None


class Execution:
    """A command that runs. A context manager; leaving it does not end the command: the Engine has no call for that.

    A command that writes is ended by its broken pipe in time; one that is silent goes on.
    """

    def __init__(self, engine: Engine, exec_id: str, stream: Stream) -> None:
        self.exec_id: Final = exec_id
        self._engine = engine
        self._stream = stream

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def output(self) -> Iterator[tuple[int, bytes]]:
        """(frames.STDOUT or frames.STDERR, bytes) as it comes, to the end of the command. Raises as Stream."""
        return demultiplex(self._stream.chunks())

    def exit_code(self) -> int:
        """The exit code, once the output has ended. Engine API: GET /exec/{id}/json.

        The daemon ends the output a moment before it notes the code. Raises EngineBroken when it never does.
        """
        deadline = Deadline(EXIT_LIMIT)
        pause = Cancel()
        while True:
            state = object_of(self._engine.get(f"/exec/{segment(self.exec_id)}/json").json())
            code = state.get("ExitCode")
            if not state.get("Running") and isinstance(code, int):
                return code
            if deadline.rest() < EXIT_PAUSE:
                raise EngineBroken("the Docker daemon does not tell the command's exit code")
            pause.wait(EXIT_PAUSE)

    def cancel(self) -> None:
        """End the reading, from any thread."""
        self._stream.cancel()


def start(
    engine: Engine,
    container: str,
    command: Sequence[str],
    *,
    user: Optional[str] = None,
    working_dir: Optional[str] = None,
    env: Sequence[str] = (),
    deadline: Optional[Deadline] = None,
    cancel: Optional[Cancel] = None,
) -> Execution:
    """Start a command and read along. Engine API: POST /containers/{id}/exec, POST /exec/{id}/start.

    `env` is NAME=value each. `deadline` bounds all of it; without one the output may stay away for ever. Raises
    Conflict where the container does not run or is paused, BadParameter where a newer daemon cannot start the command.
    """
    bound = deadline or Deadline(30.0)
    body: dict[str, Any] = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}
    if user is not None:
        body["User"] = user
    if working_dir is not None:
        body["WorkingDir"] = working_dir
    if env:
        body["Env"] = list(env)
    path = f"/containers/{segment(container)}/exec"
    answer = engine.post(path, body=body, ok=(201,), within=bound.rest(), cancel=cancel)
    exec_id = text_of(object_of(answer.json()), "Id")
    stream = engine.stream(
        "POST",
        f"/exec/{segment(exec_id)}/start",
        body={"Detach": False, "Tty": False},
        ok=(200,),
        within=bound.rest(),
        cancel=cancel,
    )
    if deadline is not None:
        stream.bound(deadline)
    return Execution(engine, exec_id, stream)


def run(
    engine: Engine,
    container: str,
    command: Sequence[str],
    *,
    within: float = 30.0,
    most: int = OUTPUT_LIMIT,
    user: Optional[str] = None,
    working_dir: Optional[str] = None,
    env: Sequence[str] = (),
    cancel: Optional[Cancel] = None,
) -> Finished:
    """Run a command to its end and collect what it wrote, at most `most` bytes of stdout and of stderr each.

    A command that cannot be started ends with 126 or 127 and the daemon's words in its output, or raises BadParameter,
    depending on the daemon's version. Raises as start(), and EngineTimeout after `within` seconds; the command itself
    may then go on.
    """
    deadline = Deadline(within)
    kept = {True: bytearray(), False: bytearray()}
    with start(
        engine, container, command, user=user, working_dir=working_dir, env=env, deadline=deadline, cancel=cancel
    ) as execution:
        try:
            for channel, part in execution.output():
                collected = kept[channel == STDOUT]
                collected += part
                if len(collected) > most:
                    return Finished(None, bytes(kept[True][:most]), bytes(kept[False][:most]))
        except EngineTimeout as error:
            raise EngineTimeout(f"the command did not end within {within:g} seconds") from error
        return Finished(execution.exit_code(), bytes(kept[True]), bytes(kept[False]))
