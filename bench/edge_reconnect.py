"""A fleet behind one address after a Server restart: `python -m bench.edge_reconnect`, the tables of docs/edge.md.

The delays are the agent's own (`transport.edge.backoff`), the limit is the Server's: 5 upgrades in any minute for one
address, those it refuses with 429 not counted, Retry-After telling when the oldest of the five leaves the minute. The
clock is simulated, the seed fixed: two runs print the same. Beside it, a fixed delay that obeys nothing.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable, Final, Optional, Protocol

from dockpal_agent.transport.edge.backoff import Backoff

__all__ = ["Outcome", "main", "simulate"]

DOWN: Final = 30.0  # seconds in which the Server is away: connections are refused
NOTICED: Final = 1.0  # seconds within which all agents notice
LIMIT: Final = 5  # upgrades
MINUTE: Final = 60.0  # seconds
SHOWN: Final = (1, 2, 3, 5, 10, 30, 60, 120, 180)  # minutes of the table
GIVE_UP: Final = 24 * 3600.0  # simulated seconds


class Delays(Protocol):
    """What decides when an agent dials next; Backoff is one."""

    def dialed(self, now: float) -> None: ...

    def delay(self, now: float, *, retry_after: Optional[float] = None, slow: bool = False) -> float: ...


class Fixed:
    """The same delay each time, whatever the Server says."""

    def __init__(self, seconds: float) -> None:
        self._seconds: Final = seconds

    def dialed(self, now: float) -> None:
        """Nothing is counted."""

    def delay(self, now: float, *, retry_after: Optional[float] = None, slow: bool = False) -> float:
        """Seconds until the next dial."""
        return self._seconds


class Limiter:
    """The Server's sliding minute for one address."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque()

    def admit(self, now: float) -> Optional[float]:
        """None when the upgrade is let through, else Retry-After in whole seconds."""
        while self._taken and self._taken[0] <= now - MINUTE:
            self._taken.popleft()
        if len(self._taken) < LIMIT:
            self._taken.append(now)
            return None
        return float(math.floor(self._taken[0] + MINUTE - now) + 1)


@dataclass
class Outcome:
    """What a fleet did: dials per minute that reached the Server while it was up, and when each agent was back."""

    tries: Counter[int] = field(default_factory=Counter)
    back: list[float] = field(default_factory=list)  # seconds after the restart began, in order


def simulate(agents: int, delays: Callable[[random.Random], Delays], *, seed: int, addresses: int = 1) -> Outcome:
    """The Server goes at 0 and comes back at DOWN; every agent dials until it is let through."""
    source = random.Random(seed)
    fleet = [delays(random.Random(source.random())) for _ in range(agents)]
    limiters = [Limiter() for _ in range(addresses)]
    due = []
    for number, agent in enumerate(fleet):
        lost = source.uniform(0.0, NOTICED)
        due.append((lost + agent.delay(lost), number))
    heapq.heapify(due)
    outcome = Outcome()
    while due and due[0][0] < GIVE_UP:
        now, number = heapq.heappop(due)
        fleet[number].dialed(now)
        retry_after = None
        if now >= DOWN:
            outcome.tries[int((now - DOWN) // MINUTE) + 1] += 1
            retry_after = limiters[number % addresses].admit(now)
            if retry_after is None:
                outcome.back.append(now)
                continue
        heapq.heappush(due, (now + fleet[number].delay(now, retry_after=retry_after), number))
    return outcome


def _ours(source: random.Random) -> Delays:
    return Backoff(5.0, source)


def _fixed(_: random.Random) -> Delays:
    return Fixed(5.0)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _per_minute(agents: int, seed: int) -> None:
    ours, fixed = simulate(agents, _ours, seed=seed), simulate(agents, _fixed, seed=seed)
    print(f"{agents} agents behind one address, the Server away for {DOWN:.0f} s:\n")
    print(_row(["minute after the Server is back", "tries, ours", "tries, fixed 5 s", "back, ours", "back, fixed 5 s"]))
    print(_row(["---"] * 5))
    for minute in SHOWN:
        end = DOWN + minute * MINUTE
        back = [sum(1 for when in outcome.back if when <= end) for outcome in (ours, fixed)]
        print(_row([minute, ours.tries[minute], fixed.tries[minute], *back]))
    total = [sum(outcome.tries.values()) for outcome in (ours, fixed)]
    print(_row(["all", *total, *(_time(outcome.back[-1] - DOWN) for outcome in (ours, fixed))]))


def _per_size(seed: int) -> None:
    print("\nTime until half and until all are back, and the tries it took, by size of the fleet:\n")
    print(_row(["agents", "addresses", "half, ours", "all, ours", "tries, ours", "all, fixed 5 s", "tries, fixed 5 s"]))
    print(_row(["---"] * 7))
    for agents, addresses in ((5, 1), (20, 1), (100, 1), (1000, 1), (1000, 10), (1000, 1000)):
        ours = simulate(agents, _ours, seed=seed, addresses=addresses)
        fixed = simulate(agents, _fixed, seed=seed, addresses=addresses)
        half, whole, other = ours.back[agents // 2 - 1], ours.back[-1], fixed.back[-1]
        figures = (_time(half - DOWN), _time(whole - DOWN), sum(ours.tries.values()), _time(other - DOWN))
        print(_row([agents, addresses, *figures, sum(fixed.tries.values())]))


def main() -> None:
    """Print both tables in Markdown."""
    parser = argparse.ArgumentParser(description="simulate a fleet that reconnects after a Server restart")
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    _per_minute(given.agents, given.seed)
    _per_size(given.seed)


if __name__ == "__main__":
    main()
