"""What a prune really removes, over the line in both forms of path: on an engine that is nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.daemon import Daemon
from tests.engines.images import BUSYBOX, archive_of, ensure_busybox, import_image
from tests.integration.test_edge_calls import TOKEN, good, line_to
from tests.server_standin import shapes
from tests.server_standin.server import Line, StandIn
from tools import engines

BIG = 1 << 20  # bytes of each image's one file


@pytest.fixture(scope="module")
def own_daemon() -> Iterator[Daemon]:
    with engines.new_engine() as started:
        yield Daemon.at(started.socket)


@pytest.fixture(scope="module")
def line(own_daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with StandIn(TOKEN) as server:
        with line_to(server, own_daemon.socket, tmp_path_factory.mktemp("agent")):
            yield server.line()
        assert server.violations == []


def images_of(daemon: Daemon) -> set[str]:
    """The tags on the engine."""
    return {tag for image in daemon.call("GET", "/images/json") for tag in image["RepoTags"] or ["<none>:<none>"]}


@pytest.mark.parametrize("prefix", ["", "/agent"])
def test_a_prune_removes_what_no_container_uses_and_counts_it(line: Line, own_daemon: Daemon, prefix: str) -> None:
    ensure_busybox(own_daemon)
    container = own_daemon.create(BUSYBOX, name=f"stopped{len(prefix)}")
    for content in (b"1", b"2"):  # the second takes the name away from the first
        import_image(own_daemon, "unused:1", archive_of([("file", content * BIG)]))
    assert images_of(own_daemon) == {BUSYBOX, "unused:1", "<none>:<none>"}

    pruned = good(line.call("POST", f"{prefix}/docker/images/prune", {"dangling_only": "true"}), shapes.PRUNED)
    assert images_of(own_daemon) == {BUSYBOX, "unused:1"}
    assert pruned["images_deleted"] >= 1 and pruned["space_reclaimed"] >= BIG

    pruned = good(line.call("POST", f"{prefix}/docker/images/prune", {"dangling_only": "false"}), shapes.PRUNED)
    assert images_of(own_daemon) == {BUSYBOX}
    assert pruned["images_deleted"] >= 2 and pruned["space_reclaimed"] >= BIG
    own_daemon.remove(container)
