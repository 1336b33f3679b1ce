"""Learning ahead: a thread that is there only while there is something to learn."""

from __future__ import annotations

import pytest

from dockpal_agent.containers.ahead import Ahead, side_by_side
from dockpal_agent.engine import Engine, EngineBroken, NotFound
from tests.engines.daemon import Daemon, wait_for


def test_what_is_added_is_learned_once_and_the_thread_ends(engine: Engine) -> None:
    learned: list[str] = []
    ahead = Ahead("test-ahead", engine, learned.extend, all=True, delay=0.05)

    for container_id in ("a", "b", "a"):
        ahead.add(container_id)
    wait_for(lambda: not ahead.busy, "all to be learned")

    assert sorted(learned) == ["a", "b"]


def test_what_is_added_while_it_learns_is_learned_too(engine: Engine) -> None:
    learned: list[str] = []

    def learn(ids: list[str]) -> None:
        learned.extend(ids)
        if "later" not in learned:
            ahead.add("later")

    ahead = Ahead("test-ahead", engine, learn, all=True)
    ahead.add("first")
    wait_for(lambda: not ahead.busy, "all to be learned")

    assert learned == ["first", "later"]


@pytest.mark.parametrize("every", [True, False])
def test_everything_means_stopped_containers_only_where_they_are_wanted(
    every: bool, engine: Engine, daemon: Daemon, busybox: str, unique: str
) -> None:
    container = daemon.create(busybox, name=unique)
    learned: list[str] = []
    ahead = Ahead("test-ahead", engine, learned.extend, all=every)

    ahead.everything()
    wait_for(lambda: not ahead.busy, "all to be learned")

    assert (container in learned) is every


def test_a_failure_ends_nothing_and_the_next_is_learned(engine: Engine) -> None:
    learned: list[str] = []

    def learn(ids: list[str]) -> None:
        if ids == ["bad"]:
            raise EngineBroken("nonsense")
        learned.extend(ids)

    ahead = Ahead("test-ahead", engine, learn, all=True)
    ahead.add("bad")
    wait_for(lambda: not ahead.busy, "the failure")
    ahead.add("good")
    wait_for(lambda: not ahead.busy, "the rest")

    assert learned == ["good"]


def test_after_stop_nothing_is_learned(engine: Engine) -> None:
    learned: list[str] = []
    ahead = Ahead("test-ahead", engine, learned.extend, all=True, delay=60)
    ahead.add("a")

    ahead.stop()
    wait_for(lambda: not ahead.busy, "the thread to end", within=2)
    ahead.add("b")

    assert learned == [] and not ahead.busy


def test_side_by_side_asks_all_passes_over_what_vanished_and_raises_what_fails() -> None:
    asked: list[str] = []

    def ask(container_id: str) -> None:
        asked.append(container_id)
        if container_id == "gone":
            raise NotFound("No such container", 404)
        if container_id == "broken":
            raise EngineBroken("nonsense")

    side_by_side(["a", "gone", "b"], 4, ask)
    assert sorted(asked) == ["a", "b", "gone"]
    with pytest.raises(EngineBroken):
        side_by_side(["broken", "c"], 1, ask)
    assert "c" not in asked
    side_by_side([], 4, ask)
