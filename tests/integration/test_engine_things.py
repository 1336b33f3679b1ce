"""Images, networks, volumes and the daemon itself, against a real Engine; and many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dockpal_agent.engine import (
    BadParameter,
    Cancel,
    Conflict,
    Denied,
    Engine,
    EngineCancelled,
    EngineRefused,
    EngineUnavailable,
    NotFound,
    containers,
    images,
    networks,
    system,
    volumes,
)
from tests.engines.daemon import Daemon
from tests.engines.registry import Registry
from tests.faults.proxy import FaultProxy


@pytest.fixture
def pushed(daemon: Daemon, registry: Registry, busybox: str, unique: str) -> Iterator[str]:
    """The reference of an image that is in the registry only."""
    reference = registry.push(daemon, busybox, f"{unique}/app:1")
    yield reference
    daemon.answer("DELETE", f"/images/{reference}")


@pytest.mark.engines
def test_the_daemon_tells_about_itself(engine: Engine, daemon: Daemon) -> None:
    system.ping(engine)
    assert system.version(engine)["ApiVersion"] == daemon.call("GET", "/version")["ApiVersion"]
    assert system.info(engine)["ID"] == daemon.call("GET", "/info")["ID"]
    assert (1, 41) <= engine.api_version <= (1, 51)


def test_an_image_is_pulled_with_credentials_listed_tagged_and_removed(
    engine: Engine, registry: Registry, pushed: str
) -> None:
    steps = list(images.pull(engine, pushed, auth=registry.auth))
    assert any("Digest: sha256:" in str(step.get("status")) for step in steps)
    image = images.inspect(engine, pushed)
    assert pushed in image["RepoTags"]
    assert [entry["Id"] for entry in images.list_images(engine, filters={"reference": [pushed]})] == [image["Id"]]

    remote = images.distribution_inspect(engine, pushed, registry.auth)
    digest = f"{pushed.rpartition(':')[0]}@{remote['Descriptor']['digest']}"
    assert digest in image["RepoDigests"]
    assert list(images.pull(engine, digest, auth=registry.auth))

    repository = pushed.rpartition(":")[0]
    images.tag(engine, pushed, repository, "kept")
    removed = images.remove(engine, f"{repository}:kept")
    assert removed[0] == {"Untagged": f"{repository}:kept"}
    with pytest.raises(NotFound):
        images.inspect(engine, f"{repository}:kept")


def test_a_pull_without_credentials_raises_the_registrys_words(engine: Engine, pushed: str) -> None:
    with pytest.raises(EngineRefused, match=r"no basic auth credentials|unauthorized"):
        list(images.pull(engine, pushed))
    with pytest.raises((Denied, EngineRefused), match=r"no basic auth credentials|unauthorized"):
        images.distribution_inspect(engine, pushed)


def test_a_pull_of_what_the_registry_does_not_have_raises_its_words(
    engine: Engine, registry: Registry, pushed: str
) -> None:
    with pytest.raises(EngineRefused, match="manifest"):
        list(images.pull(engine, pushed.rpartition(":")[0] + ":none", auth=registry.auth))


@pytest.mark.engines
def test_an_image_in_use_is_kept(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    source = daemon.create(busybox, "sleep", "1000", name=f"{unique}-source", labels=labels)
    image = daemon.call("POST", "/commit", {"container": source, "repo": unique})["Id"]
    user = daemon.run(unique, name=unique, labels=labels)
    with pytest.raises(Conflict, match="container"):
        images.remove(engine, unique)
    daemon.remove(user)
    assert {"Deleted": image} in images.remove(engine, unique)
    assert images.prune(engine, {"dangling": "true", "label": f"no-such-label={unique}"})["SpaceReclaimed"] == 0


@pytest.mark.engines
def test_a_network_connects_and_disconnects_a_container(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    container = daemon.run(busybox, "sleep", "1000", name=unique, labels=labels)
    network = networks.create(engine, {"Name": unique, "Labels": labels})
    with pytest.raises(Conflict):
        networks.create(engine, {"Name": unique, "Labels": labels})

    networks.connect(engine, unique, container, {"Aliases": ["web"]})
    assert "web" in daemon.inspect(container)["NetworkSettings"]["Networks"][unique]["Aliases"]
    assert list(networks.inspect(engine, network)["Containers"]) == [container]
    with pytest.raises(EngineRefused, match="active endpoints"):
        networks.remove(engine, network)

    networks.disconnect(engine, network, container, force=True)
    networks.remove(engine, network)
    assert networks.list_networks(engine, filters={"name": [unique]}) == []


@pytest.mark.engines
def test_a_volume_is_made_found_and_removed_but_not_while_it_is_used(
    engine: Engine, daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]
) -> None:
    assert volumes.create(engine, {"Name": unique, "Labels": labels})["Name"] == unique
    assert volumes.inspect(engine, unique)["Labels"] == labels
    assert [volume["Name"] for volume in volumes.list_volumes(engine, filters={"name": [unique]})] == [unique]

    container = daemon.create(busybox, "true", name=unique, labels=labels, HostConfig={"Binds": [f"{unique}:/data"]})
    with pytest.raises(Conflict, match="in use"):
        volumes.remove(engine, unique)
    containers.remove(engine, container, volumes=True)
    volumes.remove(engine, unique)
    with pytest.raises(NotFound):
        volumes.inspect(engine, unique)
    assert volumes.list_volumes(engine, filters={"name": [unique]}) == []
    with pytest.raises(BadParameter):
        volumes.create(engine, {"Name": "bad name"})


@pytest.mark.engines
def test_forty_threads_share_one_client(engine: Engine, daemon: Daemon) -> None:
    wanted = daemon.call("GET", "/version")["Version"]
    wrong: list[object] = []

    def work(number: int) -> None:
        for step in range(10):
            if system.version(engine)["Version"] != wanted:
                wrong.append((number, step))
            name = f"nobody-{number}-{step}"
            try:
                containers.inspect(engine, name)
            except NotFound as refusal:
                if name not in str(refusal):  # another call's answer
                    wrong.append(str(refusal))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_pull_that_hangs_is_cancelled_at_once(docker_socket: str) -> None:
    with FaultProxy(docker_socket) as proxy:
        fault = proxy.hang("POST", "/images/create")
        token = Cancel()
        ended = threading.Event()

        def pull() -> None:
            try:
                list(images.pull(Engine(proxy.socket_path), "127.0.0.1:1/x:1", cancel=token))
            except EngineCancelled:
                ended.set()

        thread = threading.Thread(target=pull)
        thread.start()
        fault.wait_reached()
        token.cancel()
        assert ended.wait(5)
        thread.join(5)


def test_a_daemon_that_restarts_is_used_again_at_the_first_call_after_it_is_back(docker_socket: str) -> None:
    with FaultProxy(docker_socket) as proxy:
        client = Engine(proxy.socket_path)
        with client.stream("GET", "/events") as stream:
            system.ping(client)
            proxy.stop()
            with pytest.raises(Exception, match="broke the stream off"):
                stream.read_some()
        with pytest.raises(EngineUnavailable):
            system.ping(client)
        proxy.start()
        system.ping(client)
        client.close()
