"""Fixtures for all tests stand in tests/engines."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.engines.fixtures", "tests.engines.registry", "tests.engines.agent_file"]

# How long a draw takes says how busy the machine is: tests run in lanes side by side (tools/suite.py).
settings.register_profile("lanes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lanes")
