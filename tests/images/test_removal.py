"""What a prune counts; removing is tested against the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from dockpal_agent.engine import Engine
from dockpal_agent.engine import images as engine_images
from dockpal_agent.images.removal import PruneResult, prune


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ImagesDeleted": None, "SpaceReclaimed": 0}, PruneResult(0, 0)),
        ({"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": "sha256:1"}], "SpaceReclaimed": 512}, PruneResult(2, 512)),
        ({}, PruneResult(0, 0)),
    ],
)
def test_a_prune_counts_the_entries_of_dockers_list(
    answer: dict[str, Any], expected: PruneResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_images, "prune", lambda engine, filters: answer)

    assert prune(Engine("/nowhere.sock"), dangling_only=False) == expected
