"""What happens in the daemon, as it happens (Engine API: GET /events)."""

from __future__ import annotations

from typing import Optional

from dockpal_agent.engine.answers import Stream
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Engine
from dockpal_agent.engine.shapes import Filters, filter_text

__all__ = ["subscribe"]


def subscribe(
    engine: Engine,
    *,
    since: Optional[str] = None,
    until: Optional[str] = None,
    filters: Optional[Filters] = None,
    idle: Optional[float] = None,
    cancel: Optional[Cancel] = None,
) -> Stream:
    """The events, one object each from json_lines(), from the moment this returns.

    With `since` (a Unix time, up to nine decimals) those the daemon still remembers come first, 256 at the most; with
    `until` the stream ends then. `filters` is for instance {"type": ["container"]}.
    """
    query = {}
    if since is not None:
        query["since"] = since
    if until is not None:
        query["until"] = until
    if filters:
        query["filters"] = filter_text(filters)
    return engine.stream("GET", "/events", query, ok=(200,), idle=idle, cancel=cancel)
