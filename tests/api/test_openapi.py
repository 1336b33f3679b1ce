"""docs/openapi.json: it has every route and no other, is valid, and says what real answers say."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from dockpal_agent.api.agent import Agent
from dockpal_agent.api.messages import Body, ByteStream, Json, Messages, Query, Request
from dockpal_agent.api.router import Route, Router
from dockpal_agent.api.routes import ROUTES
from dockpal_agent.api.service import Service
from dockpal_agent.apps.feed import UpdateFeed
from dockpal_agent.apps.records import Records
from dockpal_agent.apps.stages import ErrorCode, Stage
from dockpal_agent.compose.deployevents import DeployRecord
from dockpal_agent.compose.deployrequest import InvalidDeploy, read_deploy
from dockpal_agent.config import Config
from dockpal_agent.containers import edit
from dockpal_agent.house import house
from tests.engines.daemon import Daemon
from tests.server_standin import shapes

DOCUMENT: Any = json.loads((Path(__file__).parent.parent.parent / "docs/openapi.json").read_text(encoding="utf-8"))
SCHEMAS: Any = DOCUMENT["components"]["schemas"]
METHODS = ("get", "put", "post", "patch", "delete")
OPERATIONS: Mapping[tuple[str, str], Any] = {
    (method.upper(), path): item[method]
    for path, item in DOCUMENT["paths"].items()
    for method in METHODS
    if method in item
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "AppSummary": shapes.APP_SUMMARY,
    "AppUpdateRecord": shapes.APP_RECORD,
    "ContainerDetail": shapes.DETAIL,
    "ContainerInfo": shapes.CONTAINER,
    "HostInfo": shapes.HOST_INFO,
    "HostStats": shapes.HOST_STATS,
    "ImageInfo": shapes.IMAGE,
    "ImageUpdateResult": shapes.CHECK_RESULT,
    "LineInfo": shapes.LINE_INFO,
    "Mount": shapes.MOUNT,
    "Port": shapes.PORT,
    "PruneResult": shapes.PRUNED,
    "Stats": shapes.STATS,
}
# What the Server knows and the agent never fills (protocol 2 and 5.1).
NEVER_FILLED = {("AppSummary", "instance_id"), ("ImageInfo", "has_update"), ("ImageInfo", "remote_digest")}


def path_of(route: Route[Agent]) -> str:
    return "/agent" + re.sub(r":(\w+)\*?", r"{\1}", route.pattern)


def operation(route: Route[Agent]) -> Any:
    return OPERATIONS[route.method, path_of(route)]


def references(node: Any) -> Iterator[str]:
    """Every $ref below, those of our own fields too."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def resolved(node: Any) -> Any:
    """What a $ref stands for; anything else as it is. Raises KeyError."""
    while isinstance(node, dict) and "$ref" in node:
        found: Any = DOCUMENT
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def fields(schema: Any) -> dict[str, Any]:
    """The described fields of an object, by name."""
    schema = resolved(schema)
    found: dict[str, Any] = {}
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ())):
        found.update(fields(part))
    return {**found, **schema.get("properties", {})}


def required(schema: Any) -> set[str]:
    schema = resolved(schema)
    return set(schema.get("required", ())).union(*(required(part) for part in schema.get("allOf", ())))


def problems(schema: Any, value: Any) -> list[str]:
    """Where a value is not as its schema says, and which of its fields the document does not know."""
    whole = {**schema, "components": DOCUMENT["components"]}
    wrong = [f"{error.json_path}: {error.message}" for error in OAS31Validator(whole).iter_errors(value)]
    return wrong + undescribed(schema, value)


def undescribed(schema: Any, value: Any, place: str = "$") -> list[str]:
    schema = resolved(schema)
    if isinstance(value, list):
        return [
            found
            for index, entry in enumerate(value)
            for found in undescribed(schema["items"], entry, f"{place}[{index}]")
        ]
    if not isinstance(value, dict):
        return []
    known, free = fields(schema), schema.get("additionalProperties")
    found = []
    for name, entry in value.items():
        inner = known.get(name, free)
        found += [f"{place}.{name} is not described"] if inner is None else undescribed(inner, entry, f"{place}.{name}")
    return found


def test_every_route_stands_in_the_document_and_nothing_else_does() -> None:
    assert sorted(OPERATIONS) == sorted((route.method, path_of(route)) for route in ROUTES)


def test_it_is_a_valid_openapi_document() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = set(references(DOCUMENT))
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("parameters", "responses", "schemas")
        for name in DOCUMENT["components"][kind]
    }

    assert used == there


def test_it_is_sorted() -> None:
    parts: list[dict[str, Any]] = [DOCUMENT["paths"], *DOCUMENT["components"].values()]

    assert [list(part) for part in parts] == [sorted(part) for part in parts]
    for called in OPERATIONS.values():
        assert list(called["responses"]) == sorted(called["responses"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_a_call_takes_what_its_route_says(route: Route[Agent]) -> None:
    called = operation(route)
    beside = DOCUMENT["paths"][path_of(route)].get("parameters", [])
    parameters = [resolved(parameter) for parameter in [*beside, *called.get("parameters", [])]]
    bodies = called.get("requestBody", {}).get("content", {})
    security = called.get("security", DOCUMENT["security"])

    assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r":(\w+)", route.pattern))
    assert set(bodies) <= set(route.content)
    assert security == ([] if route.public else [{"bearer": []}, {"token": []}] if route.stream else [{"bearer": []}])
    assert ("401" in called["responses"]) is not route.public
    assert ("101" in called["responses"]) is route.stream
    assert called["responses"]["default"] == {"$ref": "#/components/responses/Error"}


@pytest.mark.parametrize("name", SHAPES)
def test_what_the_server_decodes_is_described_and_promised_as_it_needs_it(name: str) -> None:
    shape = {field.rstrip("?"): not field.endswith("?") for field in SHAPES[name]}
    never = {field for schema, field in NEVER_FILLED if schema == name}

    assert set(shape) - set(fields(SCHEMAS[name])) == never
    assert {field for field, needed in shape.items() if needed} <= required(SCHEMAS[name])


WITH_EXAMPLES = [name for name, schema in SCHEMAS.items() if "examples" in schema]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_is_as_its_schema_says(name: str) -> None:
    for example in SCHEMAS[name]["examples"]:
        assert problems({"$ref": f"#/components/schemas/{name}"}, example) == []


def test_the_examples_are_read_with_all_their_fields() -> None:
    (edited,), (deployed,) = SCHEMAS["EditRequest"]["examples"], SCHEMAS["Deploy"]["examples"]

    assert set(edited) == set(fields(SCHEMAS["EditRequest"]))
    assert None not in vars(edit.read(edited)).values()
    assert set(deployed) == set(fields(SCHEMAS["Deploy"])) - {"compose_yaml"}
    assert read_deploy(deployed).as_json().items() <= deployed.items()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "-web"},
        {"name": "x" * 129},
        {"restart_policy": "sometimes"},
        {"memory_limit": -1},
        {"memory_limit": "64m"},
        {"cpu_limit": -0.5},
        {"cpu_limit": (1 << 20) + 1},
        {"env": "A=b"},
        {"env": ["=b"]},
        {"env": [""]},
        {"ports": [{"host_port": 0, "container_port": 80}]},
        {"ports": [{"host_port": 80}]},
        {"ports": [{"host_port": 80, "container_port": 80, "protocol": "icmp"}]},
        {"volumes": [{"host_path": "/a"}]},
        {"volumes": [{"host_path": "/a", "container_path": "/b", "read_only": "yes"}]},
    ],
    ids=json.dumps,
)
def test_an_edit_that_the_document_excludes_is_refused(body: dict[str, Any]) -> None:
    assert problems(SCHEMAS["EditRequest"], body) != []
    with pytest.raises(edit.InvalidEdit):
        edit.read(body)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": "-x"},
        {"compose": None},
        {"force_pull": "yes"},
        {"registry_auths": []},
        {"registry_auths": {"docker.io": 1}},
        {"env": {"A": []}},
        {"env_file": 1},
        {"files": {"a": 1}},
        {"profiles": "debug"},
    ],
    ids=json.dumps,
)
def test_a_deploy_that_the_document_excludes_is_refused(change: dict[str, Any]) -> None:
    body = {"name": "shop", "compose": "services: {}", **change}
    body = {name: value for name, value in body.items() if value is not None}

    assert problems(SCHEMAS["Deploy"], body) != []
    with pytest.raises(InvalidDeploy):
        read_deploy(body)


def test_records_and_events_of_updates_and_deploys_are_as_the_document_says(tmp_path: Path) -> None:
    feed = UpdateFeed()
    view = feed.open()
    records = Records(tmp_path / "updates.jsonl", tell=feed.tell)
    attempt_id = records.begin("shop", "auto", {"web": {"image": "a:1", "previous_digest": "sha256:a"}}).attempt_id
    records.move(attempt_id, Stage.FAILED, "denied", ErrorCode.AUTH_MISSING)
    feed.skipped("shop", ErrorCode.SKIPPED_WINDOW, "not now")
    deploy = DeployRecord("deploy-0", "shop", "shop", tmp_path / "deploy", [])
    deploy.say("complete", "all runs", "done")
    said, _ = deploy.after(0, 1, threading.Event())

    assert problems({"$ref": "#/components/schemas/AppUpdateRecord"}, records.get(attempt_id).as_json()) == []
    for _ in range(3):
        assert problems({"$ref": "#/components/schemas/AppUpdateEvent"}, view.next(5)) == []
    assert problems({"$ref": "#/components/schemas/DeployEvent"}, said) == []


def test_the_stages_and_error_codes_are_those_of_updates() -> None:
    stages = {stage.value for stage in Stage}

    assert set(SCHEMAS["ErrorCode"]["enum"]) == {code.value for code in ErrorCode}
    assert set(SCHEMAS["AppUpdateEvent"]["properties"]["stage"]["enum"]) == stages
    assert set(SCHEMAS["AppUpdateRecord"]["properties"]["stage"]["enum"]) == stages - {"pending"}


class Caller:
    """Calls an agent that has no transport, and holds each answer against the document."""

    def __init__(self, service: Service[Agent]) -> None:
        self._service = service

    def __call__(
        self,
        method: str,
        path: str,
        body: Optional[Any] = None,
        *,
        query: Optional[dict[str, str]] = None,
        **place: str,
    ) -> tuple[int, Any]:
        """(status, value) of a call; `place` fills the path, a body is as the document says."""
        called = OPERATIONS[method, f"/agent{path}"]
        if body is not None:
            assert problems(called["requestBody"]["content"]["application/json"]["schema"], body) == []
        data = Body.of(b"" if body is None else json.dumps(body).encode())
        target = f"/agent{path}".format(**place)
        answer = self._service.answer(Request(method, target, Query(query), {}, data), trusted=True)
        assert isinstance(answer, Json), answer
        value = json.loads(answer.encode())
        assert problems(_answer(called, answer.status), value) == [], (method, target, answer.status)
        return answer.status, value

    def stream(self, path: str, **place: str) -> Any:
        """The first message of a stream."""
        called = OPERATIONS["GET", f"/agent{path}"]
        request = Request("GET", f"/agent{path}".format(**place), upgrade=True)
        answer = self._service.answer(request, trusted=True)
        assert isinstance(answer, Messages), answer
        stream = answer.open()
        try:
            message = stream.next(20)
        finally:
            stream.close()
        assert problems(called["responses"]["101"]["x-message"], message) == []
        return message


def _answer(called: Any, status: int) -> Any:
    """The schema of an answer; failures that are not particular to the call stand under `default`."""
    responses = called["responses"]
    described = responses[str(status)] if status < 400 else responses.get(str(status), responses["default"])
    return resolved(described)["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def service(docker_socket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service[Agent]]:
    """A whole agent but for its transport."""
    config = Config(mode="direct", tokens=("t",), data_dir=tmp_path_factory.mktemp("data"), docker_socket=docker_socket)
    with house(config) as service:
        yield service


@pytest.fixture
def ask(service: Service[Agent]) -> Caller:
    return Caller(service)


@pytest.fixture
def web(daemon: Daemon, busybox: str, unique: str, labels: dict[str, str]) -> str:
    """The name of a running container with ports, a volume, a tmpfs, limits and an app's labels."""
    daemon.run(
        busybox,
        *("sh", "-c", "trap 'exit 0' TERM; ln -s /data /link; while :; do sleep 0.05; done"),
        name=unique,
        labels={**labels, "com.docker.compose.project": unique, "com.docker.compose.service": "web"},
        Env=["A=b"],
        ExposedPorts={"80/tcp": {}, "81/udp": {}},
        HostConfig={
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
            "RestartPolicy": {"Name": "unless-stopped"},
            "Binds": [f"{unique}-data:/data", "/etc/hostname:/host:ro"],
            "Tmpfs": {"/scratch": ""},
            "Memory": 64 << 20,
        },
    )
    return unique


CONTAINERS = "/docker/containers"


def test_what_is_said_of_the_host_is_as_the_document_says(ask: Caller) -> None:
    for method, path in (("GET", "/ping"), ("POST", "/enroll"), ("GET", "/host/info"), ("GET", "/host/stats")):
        assert ask(method, path)[0] == 200
    assert ask("GET", "/host-info")[0] == 200


@pytest.mark.engines
def test_what_is_said_of_containers_is_as_the_document_says(ask: Caller, web: str) -> None:
    _, listed = ask("GET", CONTAINERS, query={"all": "true"})
    _, detail = ask("GET", f"{CONTAINERS}/{{id}}", id=web)
    _, figures = ask("GET", f"{CONTAINERS}/{{id}}/stats", id=web)
    streamed = ask.stream(f"{CONTAINERS}/{{id}}/stats/ws", id=web)

    assert web in [container["name"] for container in listed]
    assert detail["ports"] and detail["mounts"] and detail["networks"] and detail["labels"] and detail["env"]
    assert figures["memory_usage"] > 0
    assert set(streamed) == set(figures)


@pytest.mark.engines
def test_what_changes_a_container_answers_as_the_document_says(ask: Caller, web: str) -> None:
    one = f"{CONTAINERS}/{{id}}"

    assert ask("PUT", one, {"memory_limit": 32 << 20, "restart_policy": "no"}, id=web)[1]["container"]["name"] == web
    for change in ("stop", "start", "restart"):
        assert ask("POST", f"{one}/{change}", query={"timeout": "5"}, id=web)[0] == 200
    assert ask("DELETE", one, query={"force": "true"}, id=web)[0] == 200


@pytest.mark.engines
def test_what_is_said_of_images_is_as_the_document_says(ask: Caller, busybox: str) -> None:
    _, listed = ask("GET", "/docker/images")
    _, known = ask("GET", "/docker/images/check", query={"image": busybox})
    _, unknown = ask("GET", "/docker/images/check", query={"image": "localhost:1/nobody/has:this"})

    assert busybox in [tag for image in listed for tag in image["tags"]]
    assert not known["has_update"]
    assert "local image not found" in unknown["error"]


def test_what_is_said_of_files_is_as_the_document_says(ask: Caller, service: Service[Agent], web: str) -> None:
    where = {"container": web, "path": "/data/note"}
    note = {**where, "content": "aGVsbG8=", "encoding": "base64"}

    assert ask("POST", "/docker/files/write", note)[0] == 200
    assert ask("POST", f"{CONTAINERS}/{{id}}/files/write", {"path": "/data/two", "content": ""}, id=web)[0] == 200
    assert ask("GET", "/docker/files/read", query=where)[1]["content"] == "hello"
    assert {"link", "directory"} <= {file["type"] for file in ask("GET", "/docker/files", query={"container": web})[1]}
    assert ask("DELETE", "/docker/files", query=where)[0] == 200
    download = service.answer(
        Request("GET", "/agent/docker/files/download", Query({**where, "path": "/data/two"})), trusted=True
    )
    assert isinstance(download, ByteStream)
    download.close()
    content = OPERATIONS["GET", "/agent/docker/files/download"]["responses"][str(download.status)]["content"]
    assert list(content) == [download.content_type]


def test_what_is_said_of_apps_is_as_the_document_says(ask: Caller, web: str) -> None:
    (app,) = [app for app in ask("GET", "/docker/apps")[1] if app["name"] == web]

    assert [service["name"] for service in app["services"]] == ["web"]
    assert ask("PATCH", "/docker/apps/{name}/auto-update", {"enabled": False}, name=web)[0] == 200
    assert ask("GET", "/docker/apps/{name}/updates", name=web) == (200, [])


def test_deploys_answer_as_the_document_says(ask: Caller, unique: str, busybox: str) -> None:
    web = f"{{image: '{busybox}', command: [sleep, '1000'], stop_grace_period: 0s, volumes: ['data:/data']}}"
    shop = {"name": unique, "compose": f"services: {{web: {web}}}\nvolumes: {{data: {{}}}}\n"}

    _, plan = ask("POST", "/docker/deploy/plan", shop)
    assert {"service", "network", "volume"} <= {action["kind"] for action in plan["actions"]}
    _, deployed = ask("POST", "/docker/deploy/compose", shop)
    assert ask.stream("/docker/deploy/stream/{deploy_id}", deploy_id=deployed["deploy_id"])["step"] == "parse"
    _, started = ask("POST", "/docker/deploy/stream", shop)
    assert ask.stream("/docker/deploy/stream/{deploy_id}", deploy_id=started["deploy_id"])["step"] == "parse"
    assert ask("POST", "/docker/compose/stop", {"name": unique})[0] == 200
    assert ask("POST", "/docker/compose/remove", {"name": unique})[1]["containers"] != []


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/docker/containers/nobody-is-called-so", {}, 404),
        ("GET", "/docker/containers/-x", {}, 400),
        ("GET", "/docker/containers", {"all": "perhaps"}, 400),
        ("GET", "/docker/images/check", {}, 400),
        ("GET", "/docker/files/read", {"container": "nobody-is-called-so", "path": "/a"}, 404),
        ("GET", "/docker/apps/updates/1-none", {}, 404),
        ("DELETE", "/docker/images/nobody-has-this", {}, 404),
        ("DELETE", "/docker/files", {"container": "x", "path": "/etc"}, 403),
        ("POST", "/docker/apps/nobody-is-called-so/update", {}, 404),
        ("POST", "/docker/deploy/compose", {}, 400),
        ("POST", "/docker/compose/stop", {}, 400),
    ],
)
def test_a_refusal_stands_in_the_document_with_its_status(
    method: str, path: str, query: dict[str, str], status: int, service: Service[Agent]
) -> None:
    request = Request(method, f"/agent{path}", Query(query))
    called = operation(Router(ROUTES).match(request).route)

    answer = service.answer(request, trusted=True)

    assert isinstance(answer, Json) and answer.status == status
    assert str(status) in called["responses"]
    assert problems(_answer(called, status), answer.value) == []


def test_without_docker_ping_says_so_as_the_document_does(tmp_path: Path) -> None:
    config = Config(mode="direct", tokens=("t",), data_dir=tmp_path / "data", docker_socket=str(tmp_path / "no.sock"))
    with house(config) as service:
        assert Caller(service)("GET", "/ping")[0] == 503
