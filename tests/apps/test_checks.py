"""Whether a container's image is outdated, by what registries said and what this host has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dockpal_agent.apps.checks import FIRST_WAIT, LONGEST_WAIT, Check, Checks
from dockpal_agent.images.check import ImageUpdateResult

OLD, NEW, OTHER = ("sha256:" + letter * 64 for letter in "abc")
RUNS, PULLED, BUILT = ("sha256:" + letter * 64 for letter in "123")


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "image-checks.json"


@pytest.fixture
def checks(path: Path, clock: Clock) -> Checks:
    """A host with an nginx of the registry, and an image that was built on it."""
    checks = Checks(path, now=clock)
    checks.note_images([image(RUNS, f"nginx@{OLD}"), image(BUILT)])
    return checks


def image(image_id: str, *repo_digests: str) -> dict[str, Any]:
    return {"Id": image_id, "RepoTags": None, "RepoDigests": list(repo_digests) or None}


def says(digest: str, at: int = 0) -> ImageUpdateResult:
    return ImageUpdateResult(False, remote_digest=digest, checked_at=at)


def test_nothing_is_known_before_a_registry_was_asked(checks: Checks) -> None:
    assert checks.of("nginx", RUNS) == Check(False, local_digest=OLD)


@pytest.mark.parametrize("asked", ["nginx", "nginx:latest", "docker.io/nginx", "docker.io/library/nginx:latest"])
@pytest.mark.parametrize("noted", ["nginx", "docker.io/library/nginx:latest"])
def test_an_image_is_outdated_when_its_registry_has_another_one_under_its_name(
    checks: Checks, noted: str, asked: str
) -> None:
    checks.note(noted, says(NEW, 5))

    assert checks.of(asked, RUNS) == Check(True, OLD, NEW, first_seen=5, checked_at=5)


def test_it_is_up_to_date_when_any_of_its_digests_is_the_registrys(checks: Checks) -> None:
    checks.note_images([image(RUNS, f"nginx@{OLD}", f"nginx@{NEW}")])  # two indexes, one image of this platform
    checks.note("nginx", says(NEW, 5))

    assert checks.of("nginx", RUNS) == Check(False, NEW, NEW, first_seen=5, checked_at=5)


def test_the_container_is_asked_about_and_not_the_tag(checks: Checks) -> None:
    """Somebody has pulled the newer image, and the container still runs the old one."""
    checks.note_images([image(RUNS, f"nginx@{OLD}"), image(PULLED, f"nginx@{NEW}")])
    checks.note("nginx", says(NEW))

    assert checks.of("nginx", RUNS).has_update
    assert not checks.of("nginx", PULLED).has_update


@pytest.mark.parametrize(
    ("reference", "image_id"),
    [
        ("nginx", BUILT),
        ("nginx", "sha256:unknown"),
        ("mynginx", RUNS),  # a local tag of another repository's image
        (f"nginx@{OLD}", RUNS),
        (f"nginx:latest@{OLD}", RUNS),
        (RUNS, RUNS),
        ("1" * 64, RUNS),
        ("No Reference", RUNS),
        ("", RUNS),
    ],
)
def test_some_images_never_have_an_update(checks: Checks, reference: str, image_id: str) -> None:
    checks.note("nginx", says(NEW))
    checks.note("mynginx", says(NEW))

    assert not checks.of(reference, image_id).has_update


def test_tags_of_a_repository_are_apart(checks: Checks) -> None:
    checks.note("nginx:1", says(NEW))

    assert not checks.of("nginx:2", RUNS).has_update
    assert checks.of("nginx:1", RUNS).has_update


def test_a_failure_leaves_the_last_good_answer(checks: Checks) -> None:
    checks.note("nginx", says(NEW, 5))
    checks.note("nginx", ImageUpdateResult(False, OLD, error="registry query failed: no route", checked_at=9))

    assert checks.of("nginx", RUNS) == Check(True, OLD, NEW, 5, 5, "registry query failed: no route")
    assert checks.said("nginx").asked_at == 9
    checks.note("nginx", says(NEW, 12))
    assert checks.of("nginx", RUNS) == Check(True, OLD, NEW, 5, 12)


def test_a_digest_is_as_old_as_its_first_sight(checks: Checks) -> None:
    for digest, at in ((NEW, 5), (NEW, 9), (OTHER, 12), (OTHER, 15)):
        checks.note("nginx", says(digest, at))

    assert checks.of("nginx", RUNS) == Check(True, OLD, OTHER, first_seen=12, checked_at=15)


def test_a_check_without_a_time_was_made_now(checks: Checks, clock: Clock) -> None:
    checks.note("nginx", says(NEW))

    assert checks.of("nginx", RUNS).checked_at == clock.at


def test_an_image_keeps_its_digests_when_the_engine_takes_them_away_with_the_tag(checks: Checks) -> None:
    checks.note_images([image(RUNS), image(PULLED, f"nginx@{NEW}")])
    checks.note("nginx", says(NEW))

    assert checks.of("nginx", RUNS).has_update


def test_an_image_that_is_gone_is_forgotten(checks: Checks) -> None:
    checks.note_images([])

    assert checks.of("nginx", RUNS) == Check(False)


def test_an_image_that_was_just_pulled_is_known(checks: Checks) -> None:
    checks.note("nginx", says(NEW))
    checks.note_image(image(PULLED, f"nginx@{NEW}"))

    assert checks.of("nginx", PULLED) == Check(False, NEW, NEW, checks.said("nginx").checked_at, 1_700_000_000)
    assert checks.of("nginx", RUNS).has_update


def test_all_is_known_after_a_restart(path: Path, checks: Checks, clock: Clock) -> None:
    checks.note("nginx", says(NEW, 5))
    checks.note("redis:7", ImageUpdateResult(False, error="denied", checked_at=6))
    checks.limited("docker.io", answered=False)
    checks.save()

    again = Checks(path, now=clock)

    assert again.of("nginx", RUNS) == checks.of("nginx", RUNS)
    assert again.said("redis:7") == checks.said("redis:7")
    assert again.wait_of("docker.io") == FIRST_WAIT
    assert again.limited("docker.io", answered=False) == 2 * FIRST_WAIT


def test_a_round_without_news_writes_nothing(path: Path, checks: Checks) -> None:
    checks.save()
    path.unlink()
    checks.note_images([image(RUNS, f"nginx@{OLD}"), image(BUILT)])
    checks.forget_others(["nginx:latest"])
    checks.unlimited("docker.io")

    checks.save()

    assert not path.exists()


def test_what_cannot_be_written_is_written_the_next_time(
    path: Path, checks: Checks, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("no directory")
    checks.save()
    assert "cannot be written" in caplog.text

    path.parent.unlink()
    checks.save()

    assert Checks(path).of("nginx", RUNS).local_digest == OLD


@pytest.mark.parametrize(
    "damage",
    ["{", '{"version": 1, "references": [], "images": 5, "registries": "x"}',
     '{"version": 1, "references": {"nginx:latest": {"asked_at": "x", "first_seen_at": 1e999}},'
     ' "images": {"a": 5}, "registries": {"docker.io": {"until": -1}, "ghcr.io": 5}}'],
)  # fmt: skip
def test_a_damaged_file_costs_what_it_held(path: Path, damage: str) -> None:
    path.parent.mkdir()
    path.write_text(damage)

    checks = Checks(path)

    assert checks.of("nginx", RUNS) == Check(False)
    assert checks.wait_of("docker.io") == 0.0


def test_a_registry_that_has_enough_is_left_alone_twice_as_long_each_time(checks: Checks, clock: Clock) -> None:
    assert checks.wait_of("docker.io") == 0.0
    waits = []
    for _ in range(8):
        waits.append(checks.limited("docker.io", answered=False))
        assert checks.wait_of("docker.io") == waits[-1]
        clock.at += waits[-1] + 1
        assert checks.wait_of("docker.io") == 0.0

    assert waits == [min(FIRST_WAIT * 2**number, LONGEST_WAIT) for number in range(8)]
    assert checks.wait_of("ghcr.io") == 0.0


def test_a_registry_that_answers_some_questions_is_left_alone_as_long_as_before(checks: Checks) -> None:
    checks.limited("docker.io", answered=False)
    assert checks.limited("docker.io", answered=False) == 2 * FIRST_WAIT
    assert checks.limited("docker.io", answered=True) == 2 * FIRST_WAIT

    checks.unlimited("docker.io")

    assert checks.wait_of("docker.io") == 0.0
    assert checks.limited("docker.io", answered=False) == FIRST_WAIT


def test_a_clock_that_was_set_back_does_not_silence_a_registry(checks: Checks, clock: Clock) -> None:
    checks.limited("docker.io", answered=False)
    clock.at -= 365 * 86400.0

    assert checks.wait_of("docker.io") == 0.0
