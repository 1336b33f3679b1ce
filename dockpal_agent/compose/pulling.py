"""Pulling the images of a project, each once, with the credentials that the deploy brought along."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Callable, Final

from dockpal_agent.compose.inorder import in_order
from dockpal_agent.compose.options import DONE, ERROR, Options, Progress, Report
from dockpal_agent.compose.pullpolicy import Wanted
from dockpal_agent.engine import Engine, EngineError
from dockpal_agent.engine import images as engine_images
from dockpal_agent.images.credentials import for_reference
from dockpal_agent.images.errors import ImageError
from dockpal_agent.images.failures import meaning
from dockpal_agent.images.pulls import Pulls
from dockpal_agent.images.references import Reference, parse

__all__ = ["PullFailed", "pull_images"]

AT_ONCE: Final = 3  # Docker transfers three layers at a time in all
LOOK_EVERY: Final = 5.0  # seconds


class PullFailed(Exception):
    """An image could not be pulled; the text names it, `__cause__` is the ImageError or EngineError."""


def pull_images(engine: Engine, wanted: tuple[Wanted, ...], options: Options, report: Report) -> list[str]:
    """Pull; warnings about those that failed and have an older one here. Raises ImageError, EngineError."""
    by_name = {f"{one.reference} {one.platform}": one for one in wanted}
    pulls = options.pulls or Pulls(engine)
    warnings: list[str] = []

    def one(name: str, failed: threading.Event) -> None:
        image = by_name[name]
        try:
            _pull(engine, pulls, image, options, report)
        except (ImageError, EngineError) as error:
            text = f"image {image.reference}: {error}"
            if not image.optional:
                report(Progress("pull", image.reference, text, ERROR))
                raise PullFailed(text) from error
            warnings.append(f"{text}; the one that is here is used")
        else:
            report(Progress("pull", image.reference, f"image {image.reference} is ready", DONE))

    try:
        in_order(list(by_name), {}, one, "pull", AT_ONCE)
    finally:
        if options.pulls is None:
            pulls.close()
    return warnings


def _pull(engine: Engine, pulls: Pulls, image: Wanted, options: Options, report: Report) -> None:
    reference = parse(image.reference)
    auth = for_reference(options.auths, reference, image.reference)
    report(Progress("pull", image.reference, f"image {image.reference}: {image.reason}, pulling"))
    say = _teller(image.reference, report)
    if image.platform:
        return _of_platform(engine, reference, auth, image.platform, say)
    view = pulls.watch(reference, auth)
    while True:
        try:
            message = view.next(LOOK_EVERY)
        except EOFError:
            return None
        if message is not None:
            say(message)


def _of_platform(
    engine: Engine, reference: Reference, auth: Any, platform: str, say: Callable[[Mapping[str, Any]], None]
) -> None:
    name = f"{reference.repository}@{reference.digest}" if reference.pinned else str(reference)
    try:
        for message in engine_images.pull(engine, name, auth=auth, platform=platform):
            say(message)
    except EngineError as error:
        raise meaning(error, reference, auth) from None


def _teller(name: str, report: Report) -> Callable[[Mapping[str, Any]], None]:
    """Tell how many layers are there, each time that changes."""
    layers: dict[str, bool] = {}
    told: list[str] = []

    def say(message: Mapping[str, Any]) -> None:
        layer, status = str(message.get("id") or ""), str(message.get("status") or "")
        if len(layer) != 12:
            return
        layers[layer] = layers.get(layer, False) or status in ("Pull complete", "Already exists")
        text = f"image {name}: {sum(layers.values())} of {len(layers)} layers"
        if told[-1:] != [text]:
            told[:] = [text]
            report(Progress("pull", name, text))

    return say
