"""Rows of images, as the Server's page reads them."""

from __future__ import annotations

import pytest

from dockpal_agent.images.listing import row, size_text
from dockpal_agent.images.references import parse

ID = "sha256:" + "740ba5d79c58" + "0" * 52


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (1536, "1.5 KB"),
        (196_398_285, "187.3 MB"),
        (1 << 20, "1.0 MB"),
        ((1 << 20) - 1, "1.0 MB"),
        (1_288_490_189, "1.2 GB"),
        (1 << 40, "1.0 TB"),
        (1 << 62, "4096.0 PB"),
    ],
)
def test_sizes_are_shown_by_powers_of_1024_with_one_decimal(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("tag", "repository", "version"),
    [
        ("nginx:latest", "nginx", "latest"),
        ("localhost:5000/app:1", "localhost:5000/app", "1"),
        ("registry.example.com:5000/team/app:1.2", "registry.example.com:5000/team/app", "1.2"),
    ],
)
def test_repo_and_tag_join_to_the_reference_they_came_from(tag: str, repository: str, version: str) -> None:
    info = row({"Id": ID, "RepoTags": [tag, "other:1"], "Size": 1024, "Created": 1700000000})

    assert (info["repo"], info["tag"], info["tags"]) == (repository, version, [tag, "other:1"])
    assert parse(f"{info['repo']}:{info['tag']}").familiar == tag
    assert (info["id"], info["size"], info["created"]) == ("sha256:740ba5d79", "1.0 KB", "1700000000")


@pytest.mark.parametrize("tags", [None, [], ["<none>:<none>"]])
def test_an_image_without_a_tag_is_shown_as_dangling(tags: list[str] | None) -> None:
    info = row({"Id": ID, "RepoTags": tags, "RepoDigests": ["<none>@<none>"]})

    assert (info["repo"], info["tag"], info["tags"], info["dangling"]) == ("<none>", "<none>", [], True)
    assert "repo_digest" not in info


def test_the_digest_shown_is_the_one_of_the_repository_shown() -> None:
    info = row({"Id": ID, "RepoTags": ["b:1"], "RepoDigests": ["a@sha256:aa", "b@sha256:bb"]})

    assert info["repo_digest"] == "b@sha256:bb"
