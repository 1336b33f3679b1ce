"""References are read as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.images.errors import InvalidReference
from dockpal_agent.images.references import Reference, is_image_id, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/team/app:1", "docker.io/team/app:1", "team/app:1"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
        ("127.0.0.1:5000/team/app:1", "127.0.0.1:5000/team/app:1", "127.0.0.1:5000/team/app:1"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("GHCR.io/team/app", "GHCR.io/team/app:latest", "GHCR.io/team/app:latest"),
        ("Registry/app:1", "Registry/app:1", "Registry/app:1"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
        ("a__b/c.d-e--f:V_1.x", "docker.io/a__b/c.d-e--f:V_1.x", "a__b/c.d-e--f:V_1.x"),
        ("  nginx \n", "docker.io/library/nginx:latest", "nginx:latest"),
    ],
)
def test_a_reference_is_read_and_shown_as_docker_does(text: str, canonical: str, familiar: str) -> None:
    reference = parse(text)

    assert (str(reference), reference.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is required"),
        ("Nginx", "lower case"),
        ("team/App", "lower case"),
        ("nginx:", "not a tag"),
        ("nginx:-1", "not a tag"),
        ("nginx:" + "a" * 129, "not a tag"),
        ("nginx@sha256:12", "not a digest"),
        (f"nginx@{DIGEST}0", "not a digest"),
        ("nginx@", "not a digest"),
        ("a//b", "not the name of a repository"),
        ("/nginx", "not the name"),
        ("ngi nx", "not the name"),
        ("nginx\nx", "not the name"),
        ("-a.de/b", "not the name of a registry"),
        ("host:port/b", "not the name of a registry"),
        ("ex.com/" + "a" * 250, "longer than 255"),
        ("0123456789abcdef" * 4, "image id"),
        ("sha256:0123456789ab", "image id"),
        ("a" * 1025, "too long"),
        ("nginx::1", "not a tag"),
        ("ex.com/", "not the name of a repository"),
    ],
)
def test_what_docker_refuses_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidReference, match=reason):
        parse(text)


@given(st.text(max_size=80))
def test_whatever_is_accepted_reads_the_same_again_from_both_of_its_forms(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidReference:
        return
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sha256:740ba5d79", True),
        (DIGEST, True),
        ("0123456789abcdef" * 4, True),
        ("nginx", False),
        ("sha256", False),
        (f"nginx@{DIGEST}", False),
    ],
)
def test_ids_are_told_from_names(text: str, expected: bool) -> None:
    assert is_image_id(text) is expected


def test_a_version_is_never_empty_so_that_no_pull_asks_for_all_tags() -> None:
    assert parse("nginx").version == "latest"
    assert parse(f"nginx:1@{DIGEST}").version == DIGEST
    assert Reference("docker.io", "library/nginx").version == "latest"
