"""What a registry's refusal means, by the words that registries and engines use."""

from __future__ import annotations

import pytest

from dockpal_agent.engine import Denied, EngineError, EngineTimeout, EngineUnavailable
from dockpal_agent.engine.errors import refusal
from dockpal_agent.images.errors import ImageNotFound, RegistryDenied, RegistryFailed, RegistryLimited
from dockpal_agent.images.failures import meaning
from dockpal_agent.images.references import parse

APP = parse("ghcr.io/team/app:1")
HUB_DENIAL = (
    "pull access denied for team/app, repository does not exist or may require 'docker login': "
    "denied: requested access to the resource is denied"
)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "manifest for ghcr.io/team/app:1 not found: manifest unknown: manifest unknown", ImageNotFound),
        (500, "manifest unknown", ImageNotFound),
        (500, "no matching manifest for linux/arm64/v8 in the manifest list entries", ImageNotFound),
        (404, HUB_DENIAL, RegistryDenied),
        (500, 'Head "http://x/v2/app/manifests/1": no basic auth credentials', RegistryDenied),
        (500, "unauthorized: authentication required", RegistryDenied),
        (
            500,
            "error parsing HTTP 403 response body: EOF: status 403 Forbidden",
            RegistryDenied,
        ),
        (401, "anything", RegistryDenied),
        (500, "toomanyrequests: You have reached your unauthenticated pull rate limit.", RegistryLimited),
        (429, "slow down", RegistryLimited),
        (500, "received unexpected HTTP status: 429 Too Many Requests", RegistryLimited),
        (500, "dial tcp: lookup ghcr.io: no such host", RegistryFailed),
        (500, "write /var/lib/docker/tmp/x: no space left on device", RegistryFailed),
    ],
)
def test_a_refusal_gets_the_class_that_its_words_mean(status: int, words: str, kind: type[Exception]) -> None:
    error = meaning(refusal(status, words), APP, None)

    assert type(error) is kind
    assert words in str(error)


def test_a_denial_with_credentials_says_that_they_may_have_expired_and_for_which_registry() -> None:
    text = str(meaning(Denied("unauthorized", 401), APP, "eyJ9"))

    assert "may have expired" in text and "ghcr.io" in text


def test_a_denial_without_credentials_says_that_some_are_needed() -> None:
    text = str(meaning(Denied("unauthorized", 401), APP, None))

    assert "needs credentials for registry ghcr.io" in text and "expired" not in text


@pytest.mark.parametrize("error", [EngineUnavailable("no daemon"), EngineError("odd")])
def test_what_is_not_the_registrys_doing_stays_what_it_is(error: EngineError) -> None:
    assert meaning(error, APP, None) is error


def test_a_registry_that_does_not_answer_is_named() -> None:
    assert "ghcr.io did not answer" in str(meaning(EngineTimeout("late"), APP, None))
