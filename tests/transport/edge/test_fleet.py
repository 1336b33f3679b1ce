"""The simulation of a fleet: what the agent's own backoff does, and that the page shows it."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from bench.edge_reconnect import DOWN, MINUTE, main, simulate
from dockpal_agent.transport.edge.backoff import Backoff

PAGE = Path(__file__).parents[3] / "docs" / "edge.md"


def ours(source: random.Random) -> Backoff:
    return Backoff(5.0, source)


def test_a_fleet_behind_one_address_uses_every_upgrade_that_the_server_allows() -> None:
    outcome = simulate(100, ours, seed=7)
    assert len(outcome.back) == 100
    assert outcome.back[-1] - DOWN < (100 / 5 + 2) * MINUTE
    assert max(outcome.tries.values()) <= 5 * 100


def test_agents_with_addresses_of_their_own_are_all_back_within_two_minutes() -> None:
    outcome = simulate(1000, ours, seed=7, addresses=1000)
    assert len(outcome.back) == 1000 and outcome.back[-1] - DOWN < 2 * MINUTE


def test_the_page_shows_what_the_simulation_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge_reconnect"])
    main()
    page = PAGE.read_text(encoding="utf-8")
    shown = page.partition("<!-- python -m bench.edge_reconnect -->\n")[2].partition("\n<!-- end -->")[0]
    assert shown == capsys.readouterr().out.strip()
