"""Images of a real engine and a real registry with a password."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dockpal_agent.engine import Engine
from dockpal_agent.images import check as checking
from dockpal_agent.images.check import check
from dockpal_agent.images.credentials import recode
from dockpal_agent.images.errors import ImageInUse, ImageNotFound, RegistryDenied, RegistryFailed
from dockpal_agent.images.listing import list_images
from dockpal_agent.images.pulls import Pulls, View
from dockpal_agent.images.references import parse
from dockpal_agent.images.removal import remove
from tests.engines.daemon import Daemon, wait_for
from tests.engines.images import import_image
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy


def make_image(daemon: Daemon, reference: str, content: str) -> str:
    """A small image of its own; its id."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content.encode()))
    import_image(daemon, reference, buffer.getvalue(), 'CMD ["/content"]')
    return str(daemon.call("GET", f"/images/{reference}/json")["Id"])


def exists(daemon: Daemon, image: str) -> bool:
    return daemon.answer("GET", f"/images/{image}/json").status == 200


def digest_of(daemon: Daemon, reference: str) -> str:
    [digest] = daemon.call("GET", f"/images/{reference}/json")["RepoDigests"]
    return str(digest).partition("@")[2]


@pytest.fixture
def tidy(daemon: Daemon, unique: str) -> Iterator[list[str]]:
    """Images to remove in the end."""
    images: list[str] = []
    yield images
    daemon.clean(unique, "dockpal.test=none")  # containers first
    for image in images:
        daemon.answer("DELETE", f"/images/{image}", {"force": 1})


@pytest.fixture
def published(daemon: Daemon, registry: Registry, unique: str, tidy: list[str]) -> str:
    """An image that the registry has and this host does not."""
    local = f"{unique}/source:1"
    make_image(daemon, local, unique)
    reference = registry.push(daemon, local, f"{unique}/app:1")
    daemon.call("DELETE", f"/images/{local}", {"force": 1})
    tidy.append(reference)
    assert not exists(daemon, reference)
    return reference


@pytest.fixture
def pulls(engine: Engine) -> Iterator[Pulls]:
    pulls = Pulls(engine)
    yield pulls
    pulls.close()


def republish(daemon: Daemon, registry: Registry, reference: str, content: str) -> None:
    """Give the registry something newer under the same tag, and leave the host as it is."""
    source = f"{reference.partition('/')[2].rpartition(':')[0]}-new:1"
    make_image(daemon, source, content)
    held = daemon.call("GET", f"/images/{reference}/json")["Id"]
    registry.push(daemon, source, reference.partition("/")[2])
    daemon.call("DELETE", f"/images/{source}", {"force": 1})
    repository, _, tag = reference.rpartition(":")
    daemon.call("POST", f"/images/{held}/tag", {"repo": repository, "tag": tag})


@pytest.mark.parametrize("dress", ["standard", "urlsafe"])
def test_a_private_image_is_pulled_with_its_password(
    pulls: Pulls, daemon: Daemon, registry: Registry, published: str, dress: str
) -> None:
    raw = base64.urlsafe_b64decode(registry.auth)
    auth = recode(base64.b64encode(raw).decode() if dress == "standard" else registry.auth)

    pulls.pull(parse(published), auth)

    assert exists(daemon, published)


def test_without_a_password_the_pull_is_denied_and_says_what_is_needed(
    pulls: Pulls, daemon: Daemon, registry: Registry, published: str
) -> None:
    with pytest.raises(RegistryDenied, match=f"needs credentials for registry {registry.address}.*no basic auth"):
        pulls.pull(parse(published), None)

    assert not exists(daemon, published)


def test_with_a_wrong_password_the_pull_says_that_it_may_have_expired_and_does_not_repeat_it(
    pulls: Pulls, registry: Registry, published: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = {"username": "user", "password": "wrong-and-secret", "serveraddress": registry.address}
    auth = recode(base64.b64encode(json.dumps(login).encode()).decode())

    with caplog.at_level("DEBUG"), pytest.raises(RegistryDenied, match="may have expired") as denied:
        pulls.pull(parse(published), auth)

    assert registry.address in str(denied.value)
    assert "wrong-and-secret" not in str(denied.value) + caplog.text


def test_an_image_that_the_registry_lacks_is_not_found(pulls: Pulls, registry: Registry, published: str) -> None:
    with pytest.raises(ImageNotFound, match="manifest unknown"):
        pulls.pull(parse(published.rpartition(":")[0] + ":absent"), registry.auth)


def test_a_registry_that_is_not_there_is_a_failure_with_dockers_words(pulls: Pulls) -> None:
    with pytest.raises(RegistryFailed, match="connection refused"):
        pulls.pull(parse("127.0.0.1:9/app:1"), None)


def test_progress_is_told_to_those_who_watch(pulls: Pulls, registry: Registry, published: str) -> None:
    view = pulls.watch(parse(published), registry.auth)
    statuses = [message["status"] for message in _to_the_end(view)]

    assert any("Pulling" in status for status in statuses)
    assert any("Downloaded newer image" in status for status in statuses)


def _to_the_end(view: View) -> Iterator[Mapping[str, Any]]:
    while True:
        try:
            message = view.next(10.0)
        except EOFError:
            return
        assert message is not None, "no progress came in time"
        yield message


def test_who_asks_again_joins_the_pull_that_runs(
    docker_socket: str, daemon: Daemon, registry: Registry, published: str
) -> None:
    with FaultProxy(docker_socket) as proxy:
        held = proxy.hang("POST", "/images/create")
        engine = Engine(proxy.socket_path)
        pulls = Pulls(engine)
        results: list[str] = []

        def ask() -> None:
            pulls.pull(parse(published), registry.auth, within=30.0)
            results.append("pulled")

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        held.wait_reached()
        other = pulls.start(parse(published), None)  # other credentials are another pull: they may not share a result
        with pytest.raises(RegistryDenied):
            other.wait(20.0)
        held.release()
        for thread in threads:
            thread.join(30.0)

        assert results == ["pulled"] * 3
        assert proxy.calls.count(("POST", "/images/create")) == 2
        pulls.close()
        engine.close()
    assert exists(daemon, published)


def test_a_pull_goes_on_when_the_caller_has_left(
    docker_socket: str, daemon: Daemon, registry: Registry, published: str
) -> None:
    with FaultProxy(docker_socket) as proxy:
        held = proxy.hang("POST", "/images/create")
        engine = Engine(proxy.socket_path)
        pulls = Pulls(engine)

        view = pulls.watch(parse(published), registry.auth)
        held.wait_reached()
        view.close()
        with pytest.raises(RegistryFailed, match="it goes on"):
            pulls.pull(parse(published), registry.auth, within=0.01)
        held.release()

        wait_for(lambda: exists(daemon, published), "the image to arrive")
        pulls.close()
        engine.close()


def test_closing_ends_a_pull_that_hangs(docker_socket: str, published: str) -> None:
    with FaultProxy(docker_socket) as proxy:
        held = proxy.hang("POST", "/images/create")
        pulls = Pulls(Engine(proxy.socket_path))
        pull = pulls.start(parse(published), None)
        held.wait_reached()

        pulls.close()

        with pytest.raises(RegistryFailed, match="ended before it was complete"):
            pull.wait(5.0)


def test_a_check_sees_no_update_then_one_then_none(
    engine: Engine, pulls: Pulls, daemon: Daemon, registry: Registry, published: str, tidy: list[str]
) -> None:
    pulls.pull(parse(published), registry.auth)
    tidy.append(daemon.call("GET", f"/images/{published}/json")["Id"])
    before = digest_of(daemon, published)

    same = check(engine, published, registry.auth)
    republish(daemon, registry, published, "newer")
    newer = check(engine, published, registry.auth)
    pulls.pull(parse(published), registry.auth)
    after = check(engine, published, registry.auth)

    assert (same.has_update, same.local_digest, same.remote_digest, same.error) == (False, before, before, "")
    assert newer.has_update and newer.local_digest == before != newer.remote_digest
    assert (after.has_update, after.local_digest) == (False, newer.remote_digest)


def test_a_check_of_an_index_of_many_platforms_compares_the_index(
    engine: Engine, pulls: Pulls, daemon: Daemon, registry: Registry, published: str
) -> None:
    pulls.pull(parse(published), registry.auth)
    index = _publish_index(registry, published, digest_of(daemon, published))
    many = published.rpartition(":")[0] + ":many"

    pulls.pull(parse(many), registry.auth)
    result = check(engine, many, registry.auth)

    assert result.remote_digest == index
    assert (result.has_update, result.local_digest) == (False, index)
    daemon.answer("DELETE", f"/images/{many}", {"force": 1})


def _publish_index(registry: Registry, reference: str, digest: str) -> str:
    """Push an image index with one platform under the tag `many`; its digest (PUT manifest)."""
    import urllib.request

    repository = reference.partition("/")[2].rpartition(":")[0]
    login = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    base = f"http://{registry.address}/v2/{repository}/manifests/"
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    head = urllib.request.Request(base + digest, headers={"Authorization": f"Basic {login}", "Accept": kind})
    with urllib.request.urlopen(head, timeout=10) as answer:
        size = len(answer.read())
    list_kind = "application/vnd.docker.distribution.manifest.list.v2+json"
    platform = {"architecture": "amd64", "os": "linux"}
    entry = {"mediaType": kind, "size": size, "digest": digest, "platform": platform}
    body = json.dumps({"schemaVersion": 2, "mediaType": list_kind, "manifests": [entry]}).encode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": list_kind}
    request = urllib.request.Request(base + "many", data=body, method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.headers["Docker-Content-Digest"])


def test_a_check_says_what_it_could_not_learn(
    engine: Engine, pulls: Pulls, daemon: Daemon, registry: Registry, published: str, unique: str, tidy: list[str]
) -> None:
    tidy.append(f"{unique}/local:1")
    make_image(daemon, f"{unique}/local:1", "local")
    pulls.pull(parse(published), registry.auth)

    absent = check(engine, f"{unique}/absent")
    denied = check(engine, published)
    local = check(engine, f"{unique}/local:1")
    pinned = check(engine, published.rpartition(":")[0] + "@" + digest_of(daemon, published))

    assert absent.error.startswith("local image not found: ")
    assert denied.error.startswith("registry query failed: ") and denied.denied and denied.local_digest
    assert "has no registry digest" in local.error
    assert not pinned.has_update and not pinned.error and pinned.local_digest == pinned.remote_digest
    assert not any(result.has_update for result in (absent, denied, local))


def test_a_check_gives_a_silent_registry_up_in_time(
    docker_socket: str, pulls: Pulls, registry: Registry, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls.pull(parse(published), registry.auth)
    monkeypatch.setattr(checking, "REGISTRY_LIMIT", 0.3)
    with FaultProxy(docker_socket) as proxy:
        proxy.hang("GET", "/distribution/.*")
        engine = Engine(proxy.socket_path)

        result = check(engine, published, registry.auth)

        engine.close()
    assert "did not answer in time" in result.error and result.local_digest
    assert checking.REGISTRY_LIMIT < 20


def test_a_rate_limit_is_reported_as_such(docker_socket: str, pulls: Pulls, registry: Registry, published: str) -> None:
    pulls.pull(parse(published), registry.auth)
    with FaultProxy(docker_socket) as proxy:
        proxy.refuse("GET", "/distribution/.*", message="toomanyrequests: You have reached your pull rate limit")
        engine = Engine(proxy.socket_path)

        result = check(engine, published, registry.auth)

        engine.close()
    assert result.limited and "limits how often it may be asked" in result.error


@pytest.mark.engines
def test_the_list_has_one_row_an_image_with_all_its_tags(
    engine: Engine, daemon: Daemon, unique: str, tidy: list[str]
) -> None:
    image_id = make_image(daemon, f"{unique}/app:1", "two tags")
    daemon.call("POST", f"/images/{image_id}/tag", {"repo": f"localhost:5000/{unique}", "tag": "2"})
    tidy.append(image_id)

    rows = [row for row in list_images(engine) if row["id"] == image_id[:16]]

    assert len(rows) == 1
    assert sorted(rows[0]["tags"]) == sorted([f"{unique}/app:1", f"localhost:5000/{unique}:2"])
    assert f"{rows[0]['repo']}:{rows[0]['tag']}" in rows[0]["tags"]
    assert len({row["id"] for row in list_images(engine)}) == len(list_images(engine))


def test_an_image_that_lost_its_tag_is_listed_as_dangling(
    engine: Engine, daemon: Daemon, unique: str, tidy: list[str]
) -> None:
    old = make_image(daemon, f"{unique}/app:1", "old")
    tidy += [old, f"{unique}/app:1"]
    make_image(daemon, f"{unique}/app:1", "new")

    [row] = [row for row in list_images(engine) if row["id"] == old[:16]]

    assert (row["repo"], row["tag"], row["dangling"]) == ("<none>", "<none>", True)


@pytest.mark.engines
@pytest.mark.parametrize("form", ["row id", "full id", "hex", "short hex"])
def test_an_image_goes_by_any_form_of_its_id_with_all_its_tags(
    engine: Engine, daemon: Daemon, unique: str, tidy: list[str], form: str
) -> None:
    image_id = make_image(daemon, f"{unique}/app:1", f"goes by {form}")
    daemon.call("POST", f"/images/{image_id}/tag", {"repo": f"{unique}/other", "tag": "2"})
    tidy.append(image_id)
    short = image_id[7:]

    remove(engine, {"row id": image_id[:16], "full id": image_id, "hex": short, "short hex": short[:12]}[form])

    assert not exists(daemon, image_id)


@pytest.mark.engines
def test_by_one_of_several_names_only_that_name_goes(
    engine: Engine, daemon: Daemon, unique: str, tidy: list[str]
) -> None:
    image_id = make_image(daemon, f"{unique}/app:1", "two names")
    daemon.call("POST", f"/images/{image_id}/tag", {"repo": f"{unique}/other", "tag": "2"})
    tidy.append(image_id)
    daemon.create(image_id, "/content", name=f"{unique}-user")

    remove(engine, f"docker.io/{unique}/app:1")

    assert daemon.call("GET", f"/images/{image_id}/json")["RepoTags"] == [f"{unique}/other:2"]
    with pytest.raises(ImageInUse, match=f"in use by container {unique}-user"):
        remove(engine, f"{unique}/other:2")


@pytest.mark.engines
@pytest.mark.parametrize("form", ["id", "name"])
def test_an_image_in_use_stays_even_by_a_stopped_container(
    engine: Engine, daemon: Daemon, unique: str, tidy: list[str], form: str
) -> None:
    image_id = make_image(daemon, f"{unique}/app:1", f"in use by {form}")
    tidy.append(image_id)
    daemon.create(image_id, "/content", name=f"{unique}-user")

    with pytest.raises(ImageInUse, match=rf"in use by container {unique}-user \(created\)"):
        remove(engine, image_id[:16] if form == "id" else f"{unique}/app:1")

    assert daemon.call("GET", f"/images/{image_id}/json")["RepoTags"] == [f"{unique}/app:1"]


@pytest.mark.engines
@pytest.mark.parametrize("image", ["sha256:0000000ff", "no-such/image", "0123456789ab", "sha256:" + "0" * 64])
def test_an_unknown_image_is_not_found(engine: Engine, image: str) -> None:
    with pytest.raises(ImageNotFound, match=f"no such image: {image}"):
        remove(engine, image)
