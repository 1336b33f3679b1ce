"""What the fixtures promise to other tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.engines.daemon import Daemon
from tests.engines.fixtures import SESSION
from tests.engines.registry import Registry
from tools.engines import NewEngine


@pytest.mark.engines
def test_what_a_test_made_is_gone_after_cleaning_and_what_others_made_stays(
    daemon: Daemon, busybox: str, unique: str
) -> None:
    daemon.run(busybox, "sleep", "1000", name=f"{unique}-mine")
    daemon.call("POST", "/networks/create", body={"Name": f"{unique}_net"})
    daemon.call("POST", "/volumes/create", body={"Name": f"{unique}-kept"})

    daemon.clean(f"{unique}-m", "dockpal.test=nobody")
    assert not daemon.exists(f"{unique}-mine")
    assert daemon.answer("GET", f"/volumes/{unique}-kept").status == 200

    daemon.clean(unique, f"dockpal.test={SESSION}")
    assert daemon.answer("GET", f"/volumes/{unique}-kept").status == 404
    assert daemon.answer("GET", f"/networks/{unique}_net").status == 404


def test_busybox_runs_a_shell_and_scratch_has_none(
    daemon: Daemon, busybox: str, scratch_image: str, unique: str
) -> None:
    shell = daemon.run(busybox, "sleep", "1000", name=f"{unique}-a")
    bare = daemon.run(scratch_image, name=f"{unique}-b")

    assert daemon.exec(shell, "sh", "-c", "echo here") == b"here\n"
    assert b"not found" in daemon.exec(bare, "sh", "-c", "echo here")
    assert daemon.inspect(bare)["State"]["Running"]


def test_the_newer_engine_can_refuse_old_versions(new_socket: str, new_engine_from_1_44: NewEngine) -> None:
    version = Daemon(new_socket, "").call("GET", "/version")
    assert int(version["Version"].split(".")[0]) >= 28
    assert Daemon(new_socket, "1.41").answer("GET", "/info").status == 200
    refused = Daemon(new_engine_from_1_44.socket, "1.41").answer("GET", "/info")
    assert refused.status == 400
    assert b"1.44" in refused.body


def test_docker_compose_is_at_hand(docker_compose: Path) -> None:
    ended = subprocess.run([str(docker_compose), "version", "--short"], capture_output=True, text=True, timeout=30)
    assert ended.stdout.startswith("2.")


@pytest.mark.parametrize(("auth", "status"), [("user", 200), ("", 500)])
def test_a_pull_needs_the_password(auth: str, status: int, daemon: Daemon, busybox: str, registry: Registry) -> None:
    reference = registry.push(daemon, busybox, "team/app:1")

    pulled = daemon.answer(
        "POST", "/images/create", {"fromImage": reference}, headers={"X-Registry-Auth": registry.auth} if auth else {}
    )

    assert pulled.status == status or (not auth and b"no basic auth" in pulled.body)
    daemon.answer("DELETE", f"/images/{reference}")
