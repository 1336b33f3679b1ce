"""Fixtures for all tests stand in tests/engines."""

from __future__ import annotations

pytest_plugins = ["tests.engines.fixtures", "tests.engines.registry", "tests.engines.agent_file"]
