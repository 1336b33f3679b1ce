"""The environment becomes a Config, and what is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockpal_agent.config import SETTINGS, Config, Listen, read

DIRECT = {"DOCKPAL_MODE": "direct", "DOCKPAL_TOKEN": "agt-0123456789"}
EDGE = {"DOCKPAL_MODE": "edge", "DOCKPAL_TOKEN": "agt-0123456789", "DOCKPAL_EDGE_SERVER": "wss://dockpal.example.com"}


def config(**variables: str) -> Config:
    """A direct-mode configuration with these variables, which must have no problem."""
    reading = read({**DIRECT, **variables})
    assert reading.problems == []
    return reading.config


def problems(variables: dict[str, str]) -> set[str]:
    return {problem.variable for problem in read(variables).problems}


def test_the_seeds_defaults_hold_when_nothing_else_is_set() -> None:
    found = config()

    assert found.direct_listen == Listen("", 9273)
    assert found.direct_tls is True
    assert found.tls_cert_dir == Path("/opt/dockpal-agent/certs")
    assert (found.edge_reconnect, found.edge_heartbeat) == (5.0, 30.0)
    assert found.docker_socket == "/var/run/docker.sock"
    assert found.upload_limit == 50 * 1024 * 1024


def test_every_problem_is_reported_at_once_with_the_variables_name_and_what_is_accepted() -> None:
    reading = read({"DOCKPAL_MODE": "both", "DOCKPAL_EDGE_RECONNECT": "soon", "DOCKPAL_DIRECT_TLS": "maybe"})

    assert [problem.variable for problem in reading.problems] == [
        "DOCKPAL_MODE",
        "DOCKPAL_DIRECT_TLS",
        "DOCKPAL_EDGE_RECONNECT",
        "DOCKPAL_TOKEN",
    ]
    assert "direct or edge" in reading.problems[0].text
    assert "true or false" in reading.problems[1].text
    assert "1m30s" in reading.problems[2].text


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("1", True), ("t", True), ("TRUE", True), ("0", False), ("f", False), ("False", False)],
)
def test_booleans_read_as_the_seeds_defaults_imply(text: str, value: bool) -> None:
    assert config(DOCKPAL_DIRECT_TLS=text).direct_tls is value


@pytest.mark.parametrize(("text", "seconds"), [("5s", 5.0), ("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0)])
def test_durations_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert config(DOCKPAL_EDGE_HEARTBEAT=text).edge_heartbeat == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "s", "-5s", "5 s", "0s", "25h", "1s2"])
def test_a_duration_without_unit_or_out_of_range_is_refused(text: str) -> None:
    assert problems({**DIRECT, "DOCKPAL_EDGE_HEARTBEAT": text}) == {"DOCKPAL_EDGE_HEARTBEAT"}


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        (":9273", Listen("", 9273)),
        ("127.0.0.1:9000", Listen("127.0.0.1", 9000)),
        ("[::1]:9273", Listen("::1", 9273)),
        ("localhost:9273", Listen("localhost", 9273)),
    ],
)
def test_listen_addresses_of_each_form_are_read(text: str, listen: Listen) -> None:
    assert config(DOCKPAL_DIRECT_LISTEN=text).direct_listen == listen


@pytest.mark.parametrize(
    "text", ["9273", "::1:9273", ":0", ":65536", "host.example:1", "1.2.3:9", "[127.0.0.1]:9", ":x"]
)
def test_listen_addresses_that_cannot_be_are_refused(text: str) -> None:
    assert problems({**DIRECT, "DOCKPAL_DIRECT_LISTEN": text}) == {"DOCKPAL_DIRECT_LISTEN"}


def test_the_data_directory_moves_the_certificates_unless_they_are_named() -> None:
    assert config(DOCKPAL_DATA_DIR="/srv/agent").tls_cert_dir == Path("/srv/agent/certs")
    assert config(DOCKPAL_DATA_DIR="/srv/agent", DOCKPAL_TLS_CERT_DIR="/c").tls_cert_dir == Path("/c")


def test_an_empty_variable_counts_as_absent() -> None:
    assert config(DOCKPAL_DIRECT_LISTEN="", DOCKPAL_LOG_LEVEL=" ").log_level == "info"


def test_edge_mode_needs_an_address_and_takes_either_name() -> None:
    without = {key: value for key, value in EDGE.items() if key != "DOCKPAL_EDGE_SERVER"}

    assert problems(without) == {"DOCKPAL_EDGE_SERVER"}
    assert read({**without, "DOCKPAL_SERVER": "ws://h:3012/api/agent/connect"}).config.edge_server.startswith("ws://h")
    assert read({**EDGE, "DOCKPAL_SERVER": "ws://other"}).config.edge_server == EDGE["DOCKPAL_EDGE_SERVER"]


@pytest.mark.parametrize("text", ["dockpal.example.com", "ftp://h", "wss://", "wss://u:p@h", "wss://h:x"])
def test_server_addresses_that_cannot_be_are_refused_once(text: str) -> None:
    assert problems({**EDGE, "DOCKPAL_EDGE_SERVER": text}) == {"DOCKPAL_EDGE_SERVER"}


def test_the_token_comes_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("agt-from-a-file\n")

    found = read({"DOCKPAL_MODE": "direct", "DOCKPAL_TOKEN_FILE": str(path)})

    assert found.problems == []
    assert found.config.tokens == ("agt-from-a-file",)


def test_a_token_file_that_is_missing_or_beside_a_token_is_a_problem(tmp_path: Path) -> None:
    missing = {"DOCKPAL_MODE": "direct", "DOCKPAL_TOKEN_FILE": str(tmp_path / "none")}

    assert problems(missing) == {"DOCKPAL_TOKEN_FILE"}
    assert problems({**DIRECT, "DOCKPAL_TOKEN_FILE": "/x"}) == {"DOCKPAL_TOKEN_FILE"}


def test_the_ssh_installers_doubled_token_is_taken_as_the_one_it_encodes() -> None:
    real = "0123456789abcdef" * 4

    assert config(DOCKPAL_TOKEN=real.encode().hex()).tokens == (real, real.encode().hex())
    assert config(DOCKPAL_TOKEN=real).tokens == (real,)
    assert config(DOCKPAL_TOKEN="f" * 128).tokens == ("f" * 128,)


def test_no_text_of_a_configuration_shows_the_token() -> None:
    reading = read({**DIRECT, "DOCKPAL_TOKEN": "with a blank in it", "DOCKPAL_LOG_LEVEL": "loud"})

    assert "with a blank" not in repr(reading)
    assert "agt-0123456789" not in repr(config())


def test_a_bad_value_of_an_update_variable_means_its_default_and_a_warning() -> None:
    reading = read({**DIRECT, "DOCKPAL_AUTO_UPDATE_CONCURRENCY": "9", "DOCKPAL_IMAGE_CHECK_INTERVAL": "0"})

    assert reading.problems == []
    assert (reading.config.auto_update_concurrency, reading.config.image_check_interval) == (2, 1800.0)
    assert len(reading.warnings) == 2


@pytest.mark.parametrize(("text", "size"), [("50MB", 50 << 20), ("1g", 1 << 30), ("512 KiB", 512 << 10), ("9", 9)])
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert config(DOCKPAL_UPLOAD_LIMIT=text).upload_limit == size


def test_every_variable_stands_in_the_readme() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

    assert [setting.variable for setting in SETTINGS if f"`{setting.variable}`" not in readme] == []


@pytest.mark.parametrize("text", ["wss://user:secret@example.com", "example.com/api/agent/connect?token=secret"])
def test_an_address_that_cannot_be_used_is_not_repeated_where_it_may_hold_a_secret(text: str) -> None:
    (problem,) = read({**EDGE, "DOCKPAL_EDGE_SERVER": text}).problems
    assert problem.variable == "DOCKPAL_EDGE_SERVER" and "a URL like" in problem.text and "secret" not in problem.text
