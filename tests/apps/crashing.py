"""A program that, as far as Docker can tell, ends with 3 by itself when the test wants it to."""

from __future__ import annotations

from typing import Final

from tests.engines.daemon import Daemon, wait_for

__all__ = ["PROGRAM", "crash", "wait_until_ready"]

PROGRAM: Final = "trap 'exit 3' USR1; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
TRAPS: Final = 1 << (10 - 1) | 1 << (15 - 1)  # SIGUSR1 and SIGTERM in the mask of caught signals


def wait_until_ready(daemon: Daemon, container: str) -> None:
    """Until it has set its traps: before, the kernel drops what is sent to a first process."""

    def caught() -> bool:
        status = daemon.exec(container, "cat", "/proc/1/status").decode()
        masks = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(masks) and int(masks[0], 16) & TRAPS == TRAPS

    wait_for(caught, "the program's traps")


def crash(daemon: Daemon, container: str) -> None:
    """End it without a word to Docker."""
    wait_until_ready(daemon, container)
    daemon.exec(container, "kill", "-USR1", "1")
