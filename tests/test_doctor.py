"""A line for each check, with what to do about what is wrong."""

from __future__ import annotations

import io
import os
import socket
import subprocess
from pathlib import Path

import pytest

from dockpal_agent import doctor
from dockpal_agent.config import read


@pytest.fixture
def environ(tmp_path: Path, docker_socket: str) -> dict[str, str]:
    return {
        "DOCKPAL_MODE": "direct",
        "DOCKPAL_TOKEN": "agt-0123456789",
        "DOCKPAL_DATA_DIR": str(tmp_path / "data"),
        "DOCKPAL_DOCKER_SOCKET": docker_socket,
    }


def lines(environ: dict[str, str]) -> tuple[int, dict[str, str]]:
    """The exit code, and each subject's line."""
    out = io.StringIO()
    code = doctor.examine(read(environ), out)
    return code, {line[5:].partition(":")[0]: line for line in out.getvalue().splitlines()}


def test_a_host_that_has_everything_passes_with_a_line_for_each_check(environ: dict[str, str]) -> None:
    code, found = lines(environ)

    assert [line for line in found.values() if line.startswith("FAIL")] == []
    assert code == 0
    assert list(found) == [
        "configuration",
        "python",
        "psutil",
        "docker socket",
        "docker daemon",
        "openssl",
        "data directory",
        "certificate",
    ]


def test_a_missing_socket_says_how_to_mount_it(environ: dict[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "none.sock")
    code, found = lines({**environ, "DOCKPAL_DOCKER_SOCKET": path})

    assert code == 1
    assert f"-v {path}:{path}" in found["docker socket"]
    assert found["docker daemon"].startswith("FAIL")


def test_a_directory_in_place_of_the_socket_is_told_apart(environ: dict[str, str], tmp_path: Path) -> None:
    _, found = lines({**environ, "DOCKPAL_DOCKER_SOCKET": str(tmp_path)})

    assert "is not a socket" in found["docker socket"]


def test_a_socket_that_nobody_serves_fails_at_the_daemon(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    code, found = lines({**environ, "DOCKPAL_DOCKER_SOCKET": str(path)})

    assert code == 1
    assert found["docker socket"].startswith("ok")
    assert found["docker daemon"].startswith("FAIL")


def test_every_bad_variable_is_a_line_of_its_own(environ: dict[str, str]) -> None:
    out = io.StringIO()
    code = doctor.examine(read({**environ, "DOCKPAL_MODE": "x", "DOCKPAL_DIRECT_TLS": "x"}), out)

    assert code == 1
    assert out.getvalue().count("FAIL configuration") == 2
    assert "agt-0123456789" not in out.getvalue()


def test_without_the_openssl_program_the_remedy_names_the_ways_out(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, found = lines(environ)

    assert code == 1
    assert "install openssl" in found["openssl"]


@pytest.mark.parametrize(("days", "verdict"), [(365, "ok"), (10, "warn"), (-1, "FAIL")])
def test_a_certificates_end_is_seen_ahead(environ: dict[str, str], tmp_path: Path, days: int, verdict: str) -> None:
    certificates = tmp_path / "data" / "certs"
    certificates.mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(tmp_path / "key")]
    made = ["openssl", "req", "-x509", *key, "-subj", "/CN=t", "-days", "1", "-out", str(certificates / "agent.crt")]
    if days > 0:
        made[made.index("1")] = str(days)
        subprocess.run(made, check=True, capture_output=True)
    else:
        _expired(certificates / "agent.crt", tmp_path)
    _, found = lines(environ)

    assert found["certificate"].split()[0] == verdict


def _expired(path: Path, work: Path) -> None:
    """A certificate whose time is over: `openssl ca` takes a start and an end."""
    configuration = work / "ca.cnf"
    configuration.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={work}/index\nserial={work}/serial\nnew_certs_dir={work}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    (work / "index").touch()
    (work / "serial").write_text("01\n")
    run = [
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{work}/k",
        "-subj",
        "/CN=t",
        "-out",
        f"{work}/r",
    ]
    subprocess.run(run, check=True, capture_output=True)
    span = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
    sign = ["openssl", "ca", "-batch", "-selfsign", "-config", str(configuration), "-keyfile", f"{work}/k"]
    subprocess.run([*sign, *span, "-in", f"{work}/r", "-out", str(path), "-notext"], check=True, capture_output=True)


def test_a_data_directory_that_cannot_be_written_fails(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, found = lines({**environ, "DOCKPAL_DATA_DIR": str(tmp_path / "file" / "data")})

    assert code == 1
    assert "cannot be written" in found["data directory"]


def test_in_a_container_a_data_directory_that_is_no_mount_is_warned_of(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_in_container", lambda: True)
    monkeypatch.setattr(doctor, "_is_mounted", lambda path: False)
    code, found = lines(environ)

    assert found["data directory"].startswith("warn")
    assert f"-v {environ['DOCKPAL_DATA_DIR']}:" in found["data directory"]
    assert code == 0


def test_a_mount_above_the_directory_counts_but_the_root_does_not(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /opt rw - ext4 b rw\n")

    assert doctor._is_mounted(Path("/opt/dockpal-agent"), str(table))
    assert not doctor._is_mounted(Path("/srv/agent"), str(table))


def test_nothing_is_made_by_looking(environ: dict[str, str], tmp_path: Path) -> None:
    lines(environ)

    assert not os.path.exists(environ["DOCKPAL_DATA_DIR"])
