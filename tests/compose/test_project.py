"""Projects: names, order, replicas, what is active, what is not supported."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.compose.errors import ComposeInvalid
from dockpal_agent.compose.load import load
from dockpal_agent.compose.names import is_project_name, normalise_project_name
from dockpal_agent.compose.project import ReadRequest, TextFile, start_order
from dockpal_agent.compose.unsupported import REFUSED_ATTRIBUTES, ignored, unsupported
from tests.compose.reading import FOLDER, read

CHAIN = {f"s{n:04}": [f"s{n + 1:04}"] if n < 999 else [] for n in range(1000)}


@pytest.mark.parametrize(
    ("name", "normal"), [("Foo Bar", "foobar"), ("_-a_B-1", "a_b-1"), ("my.app", "myapp"), ("..", ""), ("ÄÖ1", "1")]
)
def test_a_name_is_normalised_as_compose_does(name: str, normal: str) -> None:
    assert normalise_project_name(name) == normal


@given(st.text())
def test_a_normalised_name_is_one_or_empty(name: str) -> None:
    normal = normalise_project_name(name)

    assert normal == "" or is_project_name(normal)


def named(text: str, **given_: object) -> str:
    request = {"files": (TextFile(f"{FOLDER}/c.yml", text),), "working_dir": "/srv/My App", **given_}
    return load(ReadRequest(**request)).name  # type: ignore[arg-type]


SERVICES = "services: {a: {image: '${COMPOSE_PROJECT_NAME}'}}\n"


def test_the_name_is_the_given_one_then_the_variable_then_the_files_then_the_folders() -> None:
    variables = {"COMPOSE_PROJECT_NAME": "fromvariable", "X": "Y"}

    assert named(f"name: file\n{SERVICES}", project_name="given", variables=variables) == "given"
    assert named(f"name: file\n{SERVICES}", variables=variables) == "fromvariable"
    assert named(f"name: File-${{X}}\n{SERVICES}", variables={"X": "Y"}) == "file-y"
    assert named(SERVICES) == "myapp"


def test_a_given_name_is_normalised_in_a_deploy_and_refused_in_the_shell() -> None:
    assert named(SERVICES, project_name="My.App") == "myapp"
    with pytest.raises(ComposeInvalid, match=r'invalid project name "My\.App"'):
        named(SERVICES, project_name="My.App", strict_name=True)


def test_the_name_is_a_variable_of_the_file() -> None:
    assert read(SERVICES).services["a"]["image"] == "app"


def test_services_start_after_those_they_wait_for() -> None:
    project = read(
        "services:\n"
        "  web: {image: x, depends_on: [api]}\n"
        "  api: {image: x, links: ['db:database'], volumes_from: [files]}\n"
        "  side: {image: x, network_mode: 'service:web'}\n"
        "  files: {image: x}\n"
        "  db: {image: x}\n"
    )

    assert project.order() == ("db", "files", "api", "web", "side")
    assert [(one.service, one.restart) for one in project.dependencies("api")] == [("db", True), ("files", False)]


def test_a_chain_of_a_thousand_services_is_ordered() -> None:
    assert start_order(CHAIN) == tuple(sorted(CHAIN, reverse=True))


def test_a_cycle_is_named() -> None:
    with pytest.raises(ComposeInvalid, match="dependency cycle detected: a -> b -> c -> a"):
        read("services: {a: {image: x, depends_on: [b]}, b: {image: x, links: [c]}, c: {image: x, volumes_from: [a]}}")


def test_replicas_are_one_unless_scale_or_deploy_say_otherwise() -> None:
    project = read("services: {a: {image: x}, b: {image: x, scale: 0}, c: {image: x, deploy: {replicas: 3}}}")

    assert [project.replicas(name) for name in "abc"] == [1, 0, 3]


def test_profiles_come_from_the_request_or_the_variable() -> None:
    text = "services: {a: {image: x}, b: {image: x, profiles: [p]}, c: {image: x, profiles: [q]}}"
    files = (TextFile(f"{FOLDER}/c.yml", text),)

    given_ = load(ReadRequest(files, FOLDER, "app", profiles=("p",), variables={"COMPOSE_PROFILES": "q"}))
    variable = load(ReadRequest(files, FOLDER, "app", variables={"COMPOSE_PROFILES": "p, q"}))
    everything = load(ReadRequest(files, FOLDER, "app", profiles=("*",)))

    assert [list(one.services) for one in (given_, variable, everything)] == [
        ["a", "b"],
        ["a", "b", "c"],
        ["a", "b", "c"],
    ]


def test_contents_of_configs_and_secrets_are_kept_beside_the_model() -> None:
    project = read(
        "services: {a: {image: x, configs: [c], secrets: [s]}}\n"
        "configs: {c: {content: 'hi $X'}, unused: {content: no}}\n"
        "secrets: {s: {environment: S}}\n",
        {"X": "there", "S": "hush"},
    )

    assert project.contents == {("configs", "c"): "hi there", ("secrets", "s"): "hush"}
    assert "content" not in project.secrets["s"]


REFUSED = {
    "credential_spec": "{file: x}",
    "isolation": "hyperv",
    "models": "[m]",
    "provider": "{type: x}",
    "use_api_socket": "true",
}


@pytest.mark.parametrize("attribute", REFUSED_ATTRIBUTES)
def test_what_is_not_supported_is_read_and_refused_by_name(attribute: str) -> None:
    project = read(f"services: {{a: {{image: x, {attribute}: {REFUSED[attribute]}}}}}\nmodels: {{m: {{model: x}}}}\n")

    (problem,) = unsupported(project)
    assert problem.path == ("services", "a", attribute)
    assert str(problem).startswith(f"services.a.{attribute} is not supported")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("services: {a: {build: .}}", "service a needs build; the agent only runs images"),
        (
            "services: {a: {image: x, volumes: [{type: npipe, source: x, target: /y}]}}",
            "services.a.volumes.0: type npipe is not supported",
        ),
        (
            "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {external: true}}",
            "unsupported external secret s",
        ),
        (
            "services: {a: {image: x, configs: [c]}}\nconfigs: {c: {content: x, template_driver: golang}}",
            "configs.c.template_driver is not supported: it is for swarms",
        ),
        (
            "services: {a: {image: x}, b: {image: x, scale: 1000}}",
            "services.b: 1000 replicas are too many: a project may have 1000 containers",
        ),
        (
            "services: {a: {image: x, deploy: {replicas: 1000000000000}}}",
            "services.a: 1000000000000 replicas are too many: a project may have 1000 containers",
        ),
    ],
)
def test_what_needs_sources_windows_or_a_swarm_is_refused(text: str, words: str) -> None:
    assert [str(problem) for problem in unsupported(read(text))] == [words]


def test_an_image_beside_a_build_is_enough() -> None:
    assert unsupported(read("services: {a: {build: ., image: x}}")) == []


def test_what_has_no_effect_is_told_once_for_each_service() -> None:
    project = read("services: {a: {image: x, attach: false, deploy: {labels: {a: 1}, placement: {constraints: [x]}}}}")

    assert ignored(project) == ["services.a: deploy.labels, deploy.placement, attach has no effect here and is ignored"]
