"""The table of routes as a whole."""

from __future__ import annotations

import re
from pathlib import Path

from dockpal_agent.api.errors import STATUS, ApiError
from dockpal_agent.api.routes import ROUTES

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = set(re.findall(r"^\| ([A-Z]+) \| /agent(/\S*) \|", README, re.MULTILINE))


def test_every_route_stands_in_the_readme_and_nothing_else_does() -> None:
    assert {(route.method, route.pattern.replace("*", "")) for route in ROUTES} == ROWS


def test_the_readme_leads_to_every_page_there_is() -> None:
    pages = {f"docs/{path.name}" for path in DOCS.glob("*.md")}

    assert pages <= set(re.findall(r"\]\((docs/[a-z]+\.md)\)", README))


def test_every_status_of_an_error_stands_in_the_readme() -> None:
    told = {int(number) for number in re.findall(r"\b\d{3}\b", README.partition("with a fitting status")[2][:200])}
    own = {kind.status for kind in ApiError.__subclasses__() if kind.__module__ == ApiError.__module__}

    assert {status for _, status in STATUS} | own == told


def test_no_two_rows_answer_the_same_call() -> None:
    rows = [(route.method, re.sub(r":\w+\*?", ":", route.pattern)) for route in ROUTES]

    assert len(rows) == len(set(rows))


def test_only_ping_is_open_to_everybody() -> None:
    assert [route.pattern for route in ROUTES if route.public] == ["/ping"]


def test_where_the_server_ignores_the_status_over_the_line_the_table_says_so() -> None:
    """protocol 7.2; a 504 for unfinished work would be taken for success there."""
    ignored = {(route.method, route.pattern) for route in ROUTES if route.status_ignored}

    assert ignored >= {
        ("GET", "/ping"),
        ("POST", "/docker/containers/:id/start"),
        ("POST", "/docker/containers/:id/stop"),
        ("POST", "/docker/containers/:id/restart"),
        ("DELETE", "/docker/containers/:id"),
        ("POST", "/docker/images/pull"),
        ("POST", "/docker/images/pull-force"),
        ("POST", "/docker/images/prune"),
        ("DELETE", "/docker/images/:id*"),
        ("PATCH", "/docker/apps/:name/auto-update"),
    }
