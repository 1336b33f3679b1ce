"""What is wrong with a file: everything at once, with path and line, in Compose's words."""

from __future__ import annotations

import pytest

from dockpal_agent.compose.errors import ComposeInvalid
from dockpal_agent.compose.load import load
from dockpal_agent.compose.project import ReadRequest, TextFile
from tests.compose.reading import FOLDER, read


def problems(text: str) -> list[tuple[str, int | None]]:
    with pytest.raises(ComposeInvalid) as refusal:
        read(text)
    return [(problem.message, problem.line) for problem in refusal.value.problems]


def test_all_values_that_the_specification_does_not_allow_are_reported() -> None:
    found = problems(
        "services:\n"
        "  web:\n"
        "    image: x\n"
        "    network-mode: host\n"
        "    hostname: 5\n"
        "    volumes:\n"
        "      - a:/b\n"
        "      - {type: bind, target: /x, content: y}\n"
        "  db:\n"
        "    restart: false\n"
    )

    before = f"validating {FOLDER}/compose.yml: services"
    assert sorted(found, key=lambda one: one[1] or 0) == [
        (f"{before}.web additional properties 'network-mode' not allowed (did you mean 'network_mode'?)", 2),
        (f"{before}.web.hostname must be a string", 5),
        (f"{before}.web.volumes.1 additional properties 'content' not allowed", 8),
        (f"{before}.db.restart must be a string", 10),
    ]


def test_all_variables_that_are_missing_are_reported() -> None:
    found = problems("services:\n  a:\n    image: ${A:?set A}\n    hostname: ${B?}\n    user: ${\n")

    assert found == [
        ("error while interpolating services.a.image: required variable A is missing a value: set A", 3),
        ("error while interpolating services.a.hostname: required variable B is missing a value", 4),
        (
            "invalid interpolation format for services.a.user.\nYou may need to escape any $ with another $.\n${",
            5,
        ),
    ]


def test_all_values_that_cannot_be_read_are_reported_under_one_heading() -> None:
    with pytest.raises(ComposeInvalid) as refusal:
        read("services:\n  a:\n    image: x\n    mem_limit: 1x\n    stop_grace_period: '10'\n")

    assert str(refusal.value) == (
        "decoding failed due to the following error(s):\n\n"
        "'services[a].mem_limit' invalid suffix: 'x' (line 4)\n"
        "'services[a].stop_grace_period' time: missing unit in duration \"10\" (line 5)"
    )


def test_all_references_to_what_is_not_declared_are_reported() -> None:
    found = problems(
        "services:\n"
        "  a:\n"
        "    image: x\n"
        "    networks: [n]\n"
        "    volumes: ['data:/data']\n"
        "    secrets: [s]\n"
        "    configs: [c]\n"
        "    depends_on: [z]\n"
        "  b:\n"
        "    command: x\n"
    )

    end = ": invalid compose project"
    assert dict(found) == {
        f'service "a" refers to undefined network n{end}': 4,
        f'service "a" refers to undefined volume data{end}': 5,
        f'service "a" refers to undefined secret s{end}': 6,
        f'service "a" refers to undefined config c{end}': 7,
        f'service "a" depends on undefined service "z"{end}': 8,
        f'service "b" has neither an image nor a build context specified{end}': 9,
    }


def test_a_service_that_is_not_active_is_not_checked_for_references() -> None:
    project = read("services: {a: {image: x}, b: {image: y, profiles: [p], networks: [n]}}")

    assert (list(project.services), list(project.disabled)) == (["a"], ["b"])


def test_the_line_is_the_one_of_the_file_that_says_it() -> None:
    files = (
        TextFile(f"{FOLDER}/one.yml", "services:\n  a:\n    image: x\n"),
        TextFile(f"{FOLDER}/two.yml", "services:\n\n\n  a:\n    user: 5\n"),
    )

    with pytest.raises(ComposeInvalid) as refusal:
        load(ReadRequest(files, FOLDER, "app"))

    (problem,) = refusal.value.problems
    assert (problem.file, problem.line) == (f"{FOLDER}/two.yml", 5)


def test_two_services_with_one_container_name_are_reported_with_both_names() -> None:
    found = problems("services: {a: {image: x, container_name: web}, b: {image: x, container_name: web}}")

    assert found == [('services.b: container name "web" is already in use by service a', 1)]


def test_several_containers_cannot_have_one_name() -> None:
    found = problems("services: {a: {image: x, container_name: web, scale: 2}}")

    assert found[0][0].startswith("services.a: can't set container_name and scale as container name must be unique")


def test_a_file_that_a_deploy_names_is_never_looked_for_on_the_disk() -> None:
    found = problems("services: {a: {image: x, env_file: /etc/passwd}}")

    assert found == [("env file /etc/passwd not found: stat /etc/passwd: no such file or directory", 1)]


def test_warnings_tell_what_is_set_aside() -> None:
    project = read("version: '3'\nservices: {a: {image: 'x${NONE}', command: a && b, init: 'yes'}}")

    assert [warning.split(":")[0] for warning in project.warnings] == [
        'The "NONE" variable is not set. Defaulting to a blank string.',
        '"yes" for boolean is not supported by YAML 1.2, please use `true`',
        f"{FOLDER}/compose.yml",
        "services[a].command",
    ]


def test_however_much_is_wrong_and_however_long_it_is_the_message_is_short() -> None:
    volumes = ", ".join(f"v{number}:/{number}" for number in range(20_000))
    keys = ", ".join(f"key{number}: 1" for number in range(20_000))
    for text in (
        f"services: {{a: {{image: x, volumes: [{volumes}]}}}}",
        f"services: {{a: {{image: x, {keys}}}}}",
        f"services: {{a: {{image: x, mem_limit: '{'9' * 100_000}g'}}}}",
    ):
        with pytest.raises(ComposeInvalid) as refusal:
            read(text)
        assert len(str(refusal.value)) < 10_000
