"""Work on the parts of a project at once, each after those that it needs."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Callable, Final

__all__ = ["Abandoned", "in_order"]

AT_ONCE: Final = 8


class Abandoned(Exception):
    """This part was not begun, or not ended, because another one failed."""


def in_order(
    names: Sequence[str],
    needs: Mapping[str, Collection[str]],
    deed: Callable[[str, threading.Event], None],
    title: str,
    at_once: int = AT_ONCE,
) -> None:
    """Do the deed for each name once it is done for what the name needs. Raises the first failure, when all have ended.

    `names` are in an order in which every need comes first, so that a waiting thread never waits for one that has not
    begun. The event that a deed gets is set when another one has failed: it should then end soon.
    """
    failed = threading.Event()
    failures: list[BaseException] = []
    ends: dict[str, Future[None]] = {}

    def work(name: str) -> None:
        for need in needs.get(name, ()):
            if need in ends:
                ends[need].exception()
        if failed.is_set():
            return
        try:
            deed(name, failed)
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001  the boundary of a thread: the caller gets it
            failures.append(error)
            failed.set()

    if len(names) == 1:  # nothing is to be done at once
        work(names[0])
    else:
        pool = ThreadPoolExecutor(max(1, min(at_once, len(names))), thread_name_prefix=title)
        try:
            for name in names:
                ends[name] = pool.submit(work, name)
            wait(ends.values())
        except BaseException:  # the one who waits was interrupted: nothing goes on behind its back
            failed.set()
            raise
        finally:
            pool.shutdown()
    if failures:
        raise failures[0]
