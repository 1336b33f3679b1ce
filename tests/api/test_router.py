"""One table of routes, whichever transport asks."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockpal_agent.api.errors import BadRequest, MethodNotAllowed, NoSuchThing
from dockpal_agent.api.messages import Json, Request, Response
from dockpal_agent.api.router import Route, Router


def handler(agent: None, request: Request) -> Response:
    return Json(None)


ROUTER: Router[None] = Router(
    [
        Route("GET", "/docker/containers", handler),
        Route("GET", "/docker/containers/:id", handler),
        Route("DELETE", "/docker/containers/:id", handler),
        Route("GET", "/docker/apps/updates/stream", handler),
        Route("GET", "/docker/apps/updates/:attempt", handler),
        Route("GET", "/docker/apps/:name/updates", handler),
        Route("DELETE", "/docker/images/:id*", handler),
        Route("POST", "/docker/compose/stop", handler),
    ],
    {"/compose/stop": "/docker/compose/stop"},
)


def pattern(method: str, target: str) -> str:
    return ROUTER.match(Request(method, target)).route.pattern


@pytest.mark.parametrize("prefix", ["", "/agent"])
def test_paths_are_found_with_and_without_the_prefix(prefix: str) -> None:
    assert pattern("GET", f"{prefix}/docker/containers") == "/docker/containers"
    assert pattern("POST", f"{prefix}/compose/stop") == "/docker/compose/stop"


def test_a_literal_segment_wins_over_a_parameter() -> None:
    assert pattern("GET", "/docker/apps/updates/stream") == "/docker/apps/updates/stream"
    assert pattern("GET", "/docker/apps/updates/att-1") == "/docker/apps/updates/:attempt"
    assert pattern("GET", "/docker/apps/shop/updates") == "/docker/apps/:name/updates"


def test_head_is_served_by_get() -> None:
    assert pattern("HEAD", "/docker/containers") == "/docker/containers"


def test_a_rest_parameter_takes_the_slashes_of_a_reference() -> None:
    match = ROUTER.match(Request("DELETE", "/agent/docker/images/registry:5000/team/app:1"))

    assert match.request.path == {"id": "registry:5000/team/app:1"}


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=80))
def test_a_parameter_comes_decoded(name: str) -> None:
    match = ROUTER.match(Request("GET", "/docker/containers/" + quote(name, safe="")))

    assert match.request.path == {"id": name}


def test_an_unknown_path_is_not_found_and_says_nothing_that_the_server_takes_for_an_old_agent() -> None:
    with pytest.raises(NoSuchThing) as caught:
        pattern("GET", "/docker/nothing")
    assert "404 page not found" not in str(caught.value)


def test_a_wrong_method_names_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        pattern("POST", "/docker/containers/web")
    assert caught.value.headers == {"Allow": "GET, HEAD, DELETE"}


@pytest.mark.parametrize(
    "target",
    ["/docker/containers/%ff", "/docker/containers/a%00b", "/docker/containers/" + "a" * 600, "/" + "a/" * 3000],
)
def test_paths_that_cannot_be_are_refused(target: str) -> None:
    with pytest.raises(BadRequest):
        pattern("GET", target)


@pytest.mark.parametrize("target", ["/docker/containers/", "/docker/containers//start", "/", "", "//"])
def test_an_empty_segment_fits_no_parameter(target: str) -> None:
    if target == "/docker/containers/":
        assert pattern("GET", target) == "/docker/containers"
    else:
        with pytest.raises(NoSuchThing):
            pattern("GET", target)
