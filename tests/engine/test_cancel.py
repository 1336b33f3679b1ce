"""The token."""

from __future__ import annotations

from dockpal_agent.engine import Cancel


def test_what_watches_is_called_once_what_came_too_late_at_once_and_what_was_forgotten_never() -> None:
    token = Cancel()
    calls: list[str] = []

    def first() -> None:
        calls.append("first")

    def forgotten() -> None:
        calls.append("forgotten")

    token.watch(first)
    token.watch(forgotten)
    token.forget(forgotten)
    assert not token.cancelled
    assert not token.wait(0)

    token.cancel()
    token.cancel()
    token.watch(lambda: calls.append("late"))

    assert calls == ["first", "late"]
    assert token.cancelled
    assert token.wait(60)
