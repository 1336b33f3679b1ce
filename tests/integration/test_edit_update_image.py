"""POST /docker/containers/:id/update-image, and a new image by PUT, against a registry with a password."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.daemon import Daemon
from tests.engines.images import archive_of
from tests.engines.registry import Registry
from tests.integration.edits import Caller, house, small_config, variant


@pytest.fixture
def caller(tmp_path: Path, docker_socket: str) -> Iterator[Caller]:
    with house(small_config(tmp_path / "data", docker_socket)) as service:
        yield Caller(service)


class Shop:
    """An image `shop` in the registry, in versions that can be pushed under one tag."""

    def __init__(self, daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> None:
        self.daemon, self.registry, self.busybox, self.unique, self.labels = daemon, registry, busybox, unique, labels
        self.name = f"{unique}/shop:1"
        self.reference = f"{registry.address}/{self.name}"

    def push(self, version: str, *changes: str) -> None:
        made = variant(
            self.daemon, self.busybox, f"dockpal-test/{self.unique}:{version}", f"ENV VERSION={version}", *changes
        )
        was = self.daemon.answer("GET", f"/images/{self.reference}/json")
        self.registry.push(self.daemon, made, self.name)
        if was.status == 200:  # as it was on this host: the push gave and took the tag
            self.daemon.call("POST", f"/images/{was.json['Id']}/tag", {"repo": self.reference[:-2], "tag": "1"})
        self.daemon.answer("DELETE", f"/images/{made}", {"noprune": 1})

    def pull(self) -> None:
        headers = {"X-Registry-Auth": self.registry.auth}
        self.daemon.call("POST", "/images/create", {"fromImage": self.reference}, headers=headers)

    def run(self) -> str:
        self.pull()
        name = f"{self.unique}-web"
        self.daemon.run(
            self.reference, "sleep", "1000", name=name, labels=self.labels, Env=["OWN=1"], StopSignal="SIGKILL"
        )
        return name


@pytest.fixture
def shop(daemon: Daemon, registry: Registry, busybox: str, unique: str, labels: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(daemon, registry, busybox, unique, labels)
    yield shop
    for entry in daemon.containers(label=[f"dockpal.test={labels['dockpal.test']}"], name=[unique]):
        daemon.remove(entry["Id"])
    for entry in daemon.call("GET", "/images/json", {"all": 0}):
        if any(unique in tag for tag in (*(entry["RepoTags"] or ()), *(entry["RepoDigests"] or ()))):
            daemon.answer("DELETE", f"/images/{entry['Id']}", {"force": 1})


def load_foreign(daemon: Daemon, reference: str, architecture: str) -> None:
    """An empty image that says it is for another processor (Docker's archive format, POST /images/load)."""
    layer = b"\0" * 10240
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    files = [("config.json", config), ("manifest.json", manifest)]
    archive = archive_of([*((name, json.dumps(value).encode()) for name, value in files), ("layer.tar", layer)])
    daemon.call("POST", "/images/load", body=archive)


def test_a_newer_image_replaces_the_container_and_keeps_what_is_the_users(caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = shop.run()
    before = shop.daemon.inspect(web)
    shop.push("2")

    status, answer = caller.call("POST", f"{web}/update-image", auth=shop.registry.auth)

    assert status == 200, answer
    found = shop.daemon.inspect(web)
    assert found["Image"] != before["Image"]
    assert found["Config"]["Image"] == shop.reference
    assert sorted(found["Config"]["Env"]) == ["OWN=1", "PATH=/bin", "VERSION=2"]
    assert found["State"]["Running"]
    assert answer["id"] == found["Id"][:12]
    assert "container" not in answer
    assert shop.daemon.answer("GET", f"/images/{before['Image']}/json").status == 200, "the old image stays"


def test_the_same_image_leaves_the_container_alone(caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = shop.run()
    before = shop.daemon.inspect(web)

    status, answer = caller.call("POST", f"{web}/update-image", auth=shop.registry.auth)

    assert (status, answer["id"]) == (200, before["Id"][:12])
    assert shop.daemon.inspect(web)["State"]["StartedAt"] == before["State"]["StartedAt"]


@pytest.mark.parametrize("auth", ["", "d3Jvbmc="], ids=["none", "nonsense"])
def test_a_pull_that_is_refused_touches_nothing(auth: str, caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = shop.run()
    before = shop.daemon.inspect(web)
    shop.push("2")

    status, answer = caller.call("POST", f"{web}/update-image", auth=auth)

    assert 400 <= status < 500, answer
    assert shop.registry.password not in answer["error"]
    assert shop.daemon.inspect(web)["State"] == before["State"]
    assert len(shop.daemon.containers(name=[shop.unique])) == 1


def test_a_newer_image_that_does_not_run_brings_the_old_container_back(caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = shop.run()
    shop.daemon.exec(web, "sh", "-c", "echo mine > /tmp/file")
    before = shop.daemon.inspect(web)
    shop.push("2", 'ENTRYPOINT ["/bin/false"]')

    status, answer = caller.call("POST", f"{web}/update-image", auth=shop.registry.auth)

    assert status == 409
    assert "ended (exit code 1)" in answer["error"]
    found = shop.daemon.inspect(web)
    assert (found["Id"], found["Image"], found["State"]["Running"]) == (before["Id"], before["Image"], True)
    assert shop.daemon.exec(web, "cat", "/tmp/file") == b"mine\n"


def test_a_new_image_of_an_edit_is_pulled_with_the_credentials_of_the_call(caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = f"{shop.unique}-web"
    shop.daemon.run(shop.busybox, "sleep", "1000", name=web, labels=shop.labels, StopSignal="SIGKILL")

    status, answer = caller.call("PUT", web, {"image": shop.reference})
    assert status == 403, answer
    assert shop.daemon.inspect(web)["Config"]["Image"] == shop.busybox

    status, answer = caller.call("PUT", web, {"image": shop.reference}, auth=shop.registry.auth)
    assert (status, answer["image"]) == (200, shop.reference), answer
    assert "VERSION=1" in shop.daemon.inspect(web)["Config"]["Env"]


def test_an_image_that_is_nowhere_is_a_404_and_touches_nothing(caller: Caller, shop: Shop) -> None:
    web = f"{shop.unique}-web"
    shop.daemon.run(shop.busybox, "sleep", "1000", name=web, labels=shop.labels, StopSignal="SIGKILL")
    before = shop.daemon.inspect(web)

    status, answer = caller.call(
        "PUT", web, {"image": f"{shop.registry.address}/{shop.unique}/nowhere:9"}, auth=shop.registry.auth
    )

    assert status == 404, answer
    assert shop.daemon.inspect(web)["State"] == before["State"]


@pytest.mark.parametrize("form", ["full id", "short id", "digest"])
def test_an_id_or_a_digest_cannot_be_updated_and_the_reason_is_said(form: str, caller: Caller, shop: Shop) -> None:
    shop.push("1")
    shop.pull()
    image = shop.daemon.call("GET", f"/images/{shop.reference}/json")
    reference = {"full id": image["Id"], "short id": image["Id"][7:19], "digest": image["RepoDigests"][0]}[form]
    web = f"{shop.unique}-web"
    shop.daemon.run(reference, "sleep", "1000", name=web, labels=shop.labels, StopSignal="SIGKILL")

    status, answer = caller.call("POST", f"{web}/update-image", auth=shop.registry.auth)

    assert status == 409
    assert "no newer image can come under it" in answer["error"]


def test_an_image_for_another_processor_is_refused_before_anything_is_touched(caller: Caller, shop: Shop) -> None:
    shop.push("1")
    web = shop.run()
    before = shop.daemon.inspect(web)
    tag_before = shop.daemon.call("GET", f"/images/{shop.reference}/json")["Id"]
    foreign = f"dockpal-test/{shop.unique}:foreign"
    load_foreign(shop.daemon, foreign, "s390x")
    shop.registry.push(shop.daemon, foreign, shop.name)
    shop.daemon.call("POST", f"/images/{tag_before}/tag", {"repo": shop.reference[:-2], "tag": "1"})

    status, answer = caller.call("POST", f"{web}/update-image", auth=shop.registry.auth)

    assert status == 409, answer
    assert "s390x" in answer["error"]
    assert shop.daemon.inspect(web)["State"] == before["State"]
    assert shop.daemon.call("GET", f"/images/{shop.reference}/json")["Id"] == tag_before
