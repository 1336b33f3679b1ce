"""One line an event, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from dockpal_agent import log


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(form: str, level: str = "info") -> io.StringIO:
    out = io.StringIO()
    log.setup(level, form, out)
    return out


def test_an_event_is_one_line_with_time_level_and_room() -> None:
    out = lines("text")

    logging.getLogger("dockpal_agent.containers.replace").warning("container web: put back\nas it was")

    assert out.getvalue().count("\n") == 1
    assert "Z warning containers.replace: container web: put back\\nas it was" in out.getvalue()


def test_json_lines_parse_and_hold_the_trace() -> None:
    out = lines("json")

    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("dockpal_agent.agent").exception("it failed")

    entry = json.loads(out.getvalue())
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "agent", "it failed")
    assert "ValueError: no" in entry["trace"]


def test_lines_below_the_level_are_not_written() -> None:
    out = lines("text", "warning")

    logging.getLogger("dockpal_agent").info("quiet")

    assert out.getvalue() == ""


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", ["agt-very-secret", 'agt-"very"-secret', "agt-very\\secret"])
def test_a_hidden_text_never_appears_neither_in_the_message_nor_in_a_trace(form: str, secret: str) -> None:
    out = lines(form)
    log.hide([secret])

    try:
        raise RuntimeError(f"token {secret}")
    except RuntimeError:
        logging.getLogger("dockpal_agent").exception("with %s", secret)

    written = out.getvalue()
    assert "very" not in written
    assert "with ***" in written and "token ***" in written
