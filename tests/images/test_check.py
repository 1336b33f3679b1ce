"""Which of an image's digests a check compares."""

from __future__ import annotations

import pytest

from dockpal_agent.images.check import ImageUpdateResult, local_digests
from dockpal_agent.images.references import parse


@pytest.mark.parametrize(
    ("digests", "image", "expected"),
    [
        (["nginx@sha256:a"], "nginx:1", ["sha256:a"]),
        (["docker.io/library/nginx@sha256:a"], "nginx", ["sha256:a"]),
        (["ghcr.io/x/nginx@sha256:b", "nginx@sha256:a"], "nginx:1", ["sha256:a"]),
        (["nginx@sha256:a", "nginx@sha256:b"], "nginx:1", ["sha256:a", "sha256:b"]),
        (["localhost:5000/app@sha256:a", "app@sha256:b"], "localhost:5000/app:1", ["sha256:a"]),
        (["ghcr.io/x/nginx@sha256:b"], "nginx:1", ["sha256:b"]),
        (["<none>@<none>"], "nginx", []),
        (None, "nginx", []),
    ],
)
def test_the_digests_of_the_same_repository_come_before_all_others(
    digests: list[str] | None, image: str, expected: list[str]
) -> None:
    assert list(local_digests({"RepoDigests": digests}, parse(image))) == expected


def test_what_is_unknown_is_left_out_on_the_wire() -> None:
    assert ImageUpdateResult(False, checked_at=5).as_json() == {"has_update": False, "checked_at": 5}
    assert ImageUpdateResult(True, "sha256:a", "sha256:b", "", 5).as_json() == {
        "has_update": True,
        "checked_at": 5,
        "local_digest": "sha256:a",
        "remote_digest": "sha256:b",
    }
