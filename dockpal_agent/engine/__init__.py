"""The Docker Engine's REST API: calls, streams that can be cancelled, Docker's own errors as exceptions.

It knows the socket and Docker's words, nothing of the agent above it. Docker's JSON stays dictionaries.
"""

from __future__ import annotations

from dockpal_agent.engine.answers import Answer, Stream
from dockpal_agent.engine.cancel import Cancel
from dockpal_agent.engine.client import Engine, segment
from dockpal_agent.engine.errors import (
    BadParameter,
    Conflict,
    DaemonFailed,
    Denied,
    EngineBroken,
    EngineCancelled,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    NotFound,
)

__all__ = [
    "Answer",
    "BadParameter",
    "Cancel",
    "Conflict",
    "DaemonFailed",
    "Denied",
    "Engine",
    "EngineBroken",
    "EngineCancelled",
    "EngineError",
    "EngineRefused",
    "EngineTimeout",
    "EngineUnavailable",
    "NotFound",
    "Stream",
    "segment",
]
