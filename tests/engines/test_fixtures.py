"""What the fixtures promise to other tests."""

from __future__ import annotations

import pytest

from tests.engines.daemon import Daemon
from tests.engines.fixtures import SESSION
from tests.engines.registry import Registry


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


@pytest.mark.parametrize(("auth", "status"), [("user", 200), ("", 500)])
def test_a_pull_needs_the_password(auth: str, status: int, daemon: Daemon, busybox: str, registry: Registry) -> None:
    reference = registry.push(daemon, busybox, "team/app:1")

    pulled = daemon.answer(
        "POST", "/images/create", {"fromImage": reference}, headers={"X-Registry-Auth": registry.auth} if auth else {}
    )

    assert pulled.status == status or (not auth and b"no basic auth" in pulled.body)
    daemon.answer("DELETE", f"/images/{reference}")
