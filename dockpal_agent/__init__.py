"""dockpal-agent: lets a DockPal Server manage one host's Docker, over HTTPS or a WebSocket that calls out."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
