"""docs/operations.md: its limits are those of the code."""

from __future__ import annotations

from pathlib import Path

from dockpal_agent.api import files
from dockpal_agent.apps import feed, updates
from dockpal_agent.compose import child, deployevents, lanes
from dockpal_agent.config import Config
from dockpal_agent.containers import stats
from dockpal_agent.images import pulls
from dockpal_agent.transport.direct.limits import Limits

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
LIMITS = Limits()
CODE = {
    "open at once": f"`DOCKPAL_MAX_CONNECTIONS` ({Config().max_connections})",
    "a TLS handshake": f"{LIMITS.handshake:g} s",
    "a request's head": f"{LIMITS.head:g} s, {LIMITS.fields_size >> 10} KiB",
    "silence between two requests": f"{LIMITS.idle:g} s",
    "silence within a body": f"{LIMITS.stall:g} s",
    f"a body's pace, after its first {LIMITS.body_grace:g} s": f"{LIMITS.body_rate} bytes a second",
    "a client that takes nothing of its answer": f"{LIMITS.send:g} s",
    "a viewer that answers no ping": f"{LIMITS.ping + LIMITS.pong:g} s",
    "changes of projects (one of each), updates that watch among them": f"{lanes.AT_ONCE}",
    "Compose files being read": f"{child.AT_ONCE}, {child.WALL_SECONDS:g} s each",
    "pulls": f"{pulls.AT_ONCE}, two hours each",
    "updates by hand": f"{updates.BY_HAND}",
    "files being written": f"{files.AT_ONCE}",
    "samples of statistics": f"{stats.PLACES}",
    "viewers of deploys; of updates": f"{deployevents.MOST_VIEWERS}; {feed.MOST_VIEWERS}",
}


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line[:1] == "|"]
    told = {row[0]: row[1] for row in rows if len(row) == 3 and row[1] not in ("at most", "at once")}

    assert told == CODE
    assert pulls.PULL_LIMIT == 2 * 3600
    assert lanes.PER_PROJECT == 8 and child.WAIT_SECONDS == stats.PLACE_WITHIN == 20 and files.PLACE_LIMIT == 10
