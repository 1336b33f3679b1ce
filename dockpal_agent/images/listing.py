"""The images of this host as the Server shows them: one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dockpal_agent.engine import Engine
from dockpal_agent.engine import images as engine_images

__all__ = ["NONE", "list_images", "row", "size_text"]

NONE: Final = "<none>"
ID_DIGITS: Final = 9  # hex digits of an id in a row, after "sha256:"
_UNITS: Final = ("KB", "MB", "GB", "TB", "PB")


def list_images(engine: Engine) -> list[dict[str, Any]]:
    """Rows of ImageInfo (protocol 2), dangling images too, in Docker's order: newest first."""
    images = engine_images.list_images(engine)
    digits = _digits_that_tell_apart([_hex(image) for image in images])
    return [row(image, digits) for image in images]


def row(image: Mapping[str, Any], digits: int = ID_DIGITS) -> dict[str, Any]:
    """One image. `repo` and `tag` are those of its first tag, `tags` all of them; `created` is a decimal string.

    An image that was pulled by digest has no tag; its repository still tells the user what it is.
    """
    tags = [tag for tag in image.get("RepoTags") or [] if not str(tag).endswith(f":{NONE}")]
    digests = [digest for digest in image.get("RepoDigests") or [] if not str(digest).startswith(f"{NONE}@")]
    repository, _, tag = tags[0].rpartition(":") if tags else (NONE, "", NONE)
    size = int(image.get("Size") or 0)
    info: dict[str, Any] = {
        "id": f"sha256:{_hex(image)[:digits]}",
        "repo": repository,
        "tag": tag,
        "size": size_text(size),
        "created": str(int(image.get("Created") or 0)),
        "tags": tags,
        "size_bytes": size,
        "dangling": not tags,
    }
    if digests:
        own = [digest for digest in digests if digest.partition("@")[0] == repository]
        info["repo_digest"] = (own or digests)[0]
    return info


def size_text(size: int) -> str:
    """`512 B`, `187.3 MB`, `1.2 GB`: powers of 1024, one decimal."""
    if size < 1024:
        return f"{size} B"
    power = 1
    while power < len(_UNITS) and round(size / 1024**power, 1) >= 1024:
        power += 1
    return f"{size / 1024**power:.1f} {_UNITS[power - 1]}"


def _hex(image: Mapping[str, Any]) -> str:
    return str(image.get("Id") or "").rpartition(":")[2]


def _digits_that_tell_apart(identities: Sequence[str]) -> int:
    """How many digits the rows' ids need to be unique: nine, but for a chance of one in billions."""
    digits = ID_DIGITS
    while digits < 64 and len({identity[:digits] for identity in identities}) < len(set(identities)):
        digits += 1
    return digits
