"""Which images of an app an update concerns, told by what Docker lists."""

from __future__ import annotations

from typing import Any, Final, cast

import pytest

from dockpal_agent.apps.app import Member
from dockpal_agent.apps.recreation import Need, needs_of, wishes_for
from dockpal_agent.apps.selection import Held, chosen, digest_of, updatable
from dockpal_agent.compose.labels import DEPENDS_ON, SERVICE
from dockpal_agent.engine import Engine, NotFound

ENGINE: Final = cast(Engine, None)
PULLED, BUILT, KEPT = (f"sha256:{letter * 64}" for letter in "abc")  # KEPT: an engine that keeps images in containerd
OTHER: Final = f"sha256:{'9' * 64}"
DIGEST: Final = f"sha256:{'d' * 64}"


def held(
    service: str, reference: str = "nginx:1", image_id: str = PULLED, state: str = "running", **labels: str
) -> Held:
    running = state == "running"
    named = {key.replace("__", "."): value for key, value in labels.items()}
    member = Member(
        f"id-{service}", f"app-{service}-1", service, 1, reference, image_id, state, {SERVICE: service, **named}
    )
    found: dict[str, Any] = {"Id": member.id, "Name": f"/{member.name}", "Image": image_id}
    return Held(member, {**found, "Config": {"Image": reference}, "State": {"Running": running}})


@pytest.fixture(autouse=True)
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        {"Id": PULLED, "RepoDigests": [f"nginx@{DIGEST}"]},
        {"Id": OTHER, "RepoDigests": [f"postgres@{DIGEST}"]},
        {"Id": BUILT, "RepoDigests": ["<none>@<none>"]},
        {"Id": KEPT, "RepoDigests": [f"shop@{KEPT}"]},
    ]
    monkeypatch.setattr("dockpal_agent.engine.images.list_images", lambda engine: listed)

    def inspect(engine: Engine, image: str) -> dict[str, Any]:
        raise NotFound("no such image", 404)

    monkeypatch.setattr("dockpal_agent.engine.images.inspect", inspect)


def test_images_of_a_registry_can_be_updated_each_once() -> None:
    found = updatable(ENGINE, [held("web"), held("worker"), held("db", "postgres:16", OTHER)])
    assert (found.references, found.left, found.doubtful) == (["nginx:1", "postgres:16"], [], set())


@pytest.mark.parametrize(
    ("reference", "image_id", "why"),
    [
        ("shop:1", BUILT, "shop:1 was built, loaded or tagged on this host"),
        ("shop:prod", PULLED, "shop:prod was built, loaded or tagged on this host"),
        ("registry.example.com/nginx:1", PULLED, "was built, loaded or tagged on this host"),
        (PULLED, PULLED, "was created from an image id"),
        ("a" * 64, PULLED, "was created from an image id"),
        (f"nginx:1@{DIGEST}", PULLED, "is pinned to a digest"),
    ],
)
def test_what_no_newer_image_can_come_under_is_left_with_the_reason(reference: str, image_id: str, why: str) -> None:
    found = updatable(ENGINE, [held("web", reference, image_id)])
    assert found.references == [] and why in found.left[0]


def test_an_image_that_is_gone_is_tried() -> None:
    assert updatable(ENGINE, [held("web", image_id=f"sha256:{'e' * 64}")]).references == ["nginx:1"]


def test_where_every_image_has_its_id_for_a_digest_it_may_have_been_built_here() -> None:
    found = updatable(ENGINE, [held("web", "shop:1", KEPT), held("db")])
    assert found.references == ["shop:1", "nginx:1"] and found.doubtful == {"shop:1"}


def test_services_that_are_due_are_chosen_but_for_images_that_one_shares_who_opted_out() -> None:
    out = held("cron", "shared:1", com__centurylinklabs__watchtower__enable="False")
    app = [held("web"), held("worker", "shared:1"), out, held("db", "postgres:16")]
    references = ["nginx:1", "shared:1", "postgres:16"]
    assert chosen(app, references, ["web", "worker"]) == ["nginx:1"]
    assert chosen(app, references, ["db"]) == ["postgres:16"]


def test_an_image_is_shown_by_the_digest_that_its_registry_has_now() -> None:
    other = f"sha256:{'f' * 64}"
    image = {"Id": PULLED, "RepoDigests": [f"nginx@{DIGEST}", f"nginx@{other}"]}
    assert digest_of(image, "nginx:1") == DIGEST
    assert digest_of(image, "nginx:1", other) == other
    assert digest_of({"Id": BUILT, "RepoDigests": []}, "nginx:1") == BUILT


def test_depends_on_is_read_as_compose_writes_it() -> None:
    text = "db:service_healthy:true,cache:service_started:false,old"
    assert needs_of({DEPENDS_ON: text}) == [
        Need("db", "service_healthy", True),
        Need("cache", "service_started", False),
        Need("old", "service_started", False),
    ]
    assert needs_of({DEPENDS_ON: ""}) == needs_of({}) == []


def test_jobs_run_where_others_wait_for_them_and_dependents_restart_where_they_say_so() -> None:
    depends = DEPENDS_ON.replace(".", "__")
    job = held("migrate", state="exited")
    unasked = held("seed", state="exited")
    web = held("web", **{depends: "migrate:service_completed_successfully:false"})
    side = held("side", "other:1", **{depends: "web:service_started:true"})
    idle = held("idle", "other:1", state="exited", **{depends: "web:service_started:true"})
    new = {one.member.id: BUILT for one in (job, unasked, web)}
    wishes = wishes_for([job, unasked, web, side, idle], new)
    assert wishes.images == new
    assert wishes.jobs == ["id-migrate"] and wishes.restarts == ["id-side"]
    assert wishes.needs["id-web"] == ["id-migrate"] and wishes.needs["id-side"] == ["id-web"]
