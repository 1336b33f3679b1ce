"""`compose config` in the shell."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dockpal_agent.compose.command import main

SERVICE = "services:\n  web:\n    image: app:${TAG:-1}\n    volumes: [./data:/data]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "My Stack"
    home.mkdir()
    (home / "compose.yml").write_text(SERVICE)
    monkeypatch.chdir(home)
    for name in ("TAG", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"):
        monkeypatch.delenv(name, raising=False)
    return home


def config(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["config", "--format", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_config_finds_the_file_and_names_the_project_after_the_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = config(capsys)

    assert model["name"] == "mystack"
    assert model["services"]["web"]["volumes"][0]["source"] == f"{folder}/data"


def test_the_file_is_found_from_a_folder_below(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")

    assert config(capsys)["name"] == "mystack"


def test_an_override_beside_the_file_is_merged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "compose.override.yml").write_text("services: {web: {hostname: here}}\n")

    assert config(capsys)["services"]["web"]["hostname"] == "here"


def test_variables_come_from_the_shell_then_from_the_env_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("TAG=dotenv\n")
    (folder / "other.env").write_text("TAG=other\n")

    images = [config(capsys), config(capsys, "--env-file", "other.env")]
    monkeypatch.setenv("COMPOSE_ENV_FILES", "other.env,last.env")
    (folder / "last.env").write_text("TAG=last\n")
    images.append(config(capsys))
    monkeypatch.setenv("TAG", "shell")
    images.append(config(capsys))

    found = [model["services"]["web"]["image"] for model in images]
    assert found == ["app:dotenv", "app:other", "app:last", "app:shell"]


def test_the_dot_env_where_one_works_names_the_files_and_wins_over_the_one_beside_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "stack").mkdir()
    (folder / "stack" / "base.yml").write_text("services: {web: {image: 'app:${TAG}', hostname: '${NAME}'}}\n")
    (folder / "stack" / "more.yml").write_text("services: {db: {image: db, profiles: [extra]}}\n")
    (folder / "stack" / ".env").write_text("TAG=stack\nNAME=${SAID}\n")
    lines = ("TAG=here", "SAID=said", "COMPOSE_FILE=stack/base.yml:stack/more.yml", "COMPOSE_PROFILES=extra")
    (folder / ".env").write_text("\n".join(lines))

    model = config(capsys)

    assert model["name"] == "stack"
    assert set(model["services"]) == {"web", "db"}
    assert (model["services"]["web"]["image"], model["services"]["web"]["hostname"]) == ("app:here", "said")
    assert config(capsys, "-f", "stack/base.yml")["services"]["web"]["image"] == "app:stack"


def test_a_file_is_looked_for_in_the_project_directory(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_text("TAG=there\n")
    monkeypatch.chdir(folder.parent)

    model = config(capsys, "--project-directory", folder.name)

    assert (model["name"], model["services"]["web"]["image"]) == ("mystack", "app:there")


def test_a_folder_come_to_by_a_link_has_the_links_name_and_path(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    linked = config(capsys)
    monkeypatch.setenv("PWD", str(folder.parent))
    elsewhere = config(capsys)

    found = [(model["name"], model["services"]["web"]["volumes"][0]["source"]) for model in (linked, elsewhere)]
    assert found == [("link", f"{link}/data"), ("mystack", f"{folder}/data")]


def test_options_stand_before_or_after_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.yml").write_text("services: {db: {image: db, profiles: [extra]}}\n")
    options = [
        "-f",
        "compose.yml",
        "-f",
        "more.yml",
        "-p",
        "mine",
        "--project-directory",
        "/srv/x",
        "--profile",
        "extra",
    ]

    before = main([*options, "config", "--format", "json"]), capsys.readouterr().out
    after = main(["config", "--format", "json", *options]), capsys.readouterr().out

    assert before == after
    model = json.loads(before[1])
    assert (before[0], model["name"], sorted(model["services"])) == (0, "mine", ["db", "web"])
    assert model["services"]["web"]["volumes"][0]["source"] == "/srv/x/data"


def test_hashes_are_printed_by_service_all_or_some(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.yml").write_text("services: {db: {image: db}}\n")
    files = ["-f", "compose.yml", "-f", "more.yml", "--project-directory", "/srv/x"]

    assert main([*files, "config", "--hash", "*"]) == 0
    everything = capsys.readouterr().out
    assert main([*files, "config", "--hash", "db"]) == 0
    one = capsys.readouterr().out

    assert [line.split()[0] for line in everything.splitlines()] == ["db", "web"]
    assert one == everything.splitlines(keepends=True)[0]


def test_services_are_named_in_the_order_of_their_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "compose.yml").write_text("services: {a: {image: x, depends_on: [z]}, z: {image: x}}\n")

    assert main(["config", "--services"]) == 0
    assert capsys.readouterr().out == "z\na\n"


def test_a_file_on_stdin_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"services: {s: {image: stdin}}")))

    assert config(capsys, "-f", "-")["services"]["s"]["image"] == "stdin"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"services: {a: {image: 5}}", "services.a.image must be a string (line 1)"),
        (b"services: {a: {image: \xff}}", "the file is not UTF-8"),
        (b"x" * 600_000, "bytes are too many"),
    ],
)
def test_a_wrong_file_ends_with_2_and_says_why(
    folder: Path, capsys: pytest.CaptureFixture[str], text: bytes, words: str
) -> None:
    (folder / "compose.yml").write_bytes(text)

    assert main(["config"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-f", "none.yml", "config"], ["config", "--hash", "none"], ["nothing"]])
def test_a_wrong_command_line_ends_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_warnings_go_to_stderr(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "compose.yml").write_text("version: '3'\nservices: {a: {image: 'x${NOT_SET_AT_ALL}'}}")

    assert main(["config", "-q"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert 'warning: The "NOT_SET_AT_ALL" variable is not set' in printed.err
