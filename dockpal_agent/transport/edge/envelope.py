"""The messages of the line (protocol 7.2), read strictly and written so that the Server never drops the line.

request   {"request_id", "method", "path", "query"?: {string: string}, "body"?: <JSON>}
response  {"request_id", "status": int, "body"?: <JSON>, "stream": bool, "chunk"?: int, "data"?: string}
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any, Final, Optional

from dockpal_agent.api.errors import BadRequest
from dockpal_agent.api.messages import Body, Query, Request, parse_json
from dockpal_agent.transport.edge.limits import MESSAGE_LIMIT

__all__ = ["Answer", "Incoming", "NotARequest", "error_answer", "read_request"]

log = logging.getLogger(__name__)

ID_LIMIT: Final = 256  # characters of a request id
ENVELOPE_ROOM: Final = 4096  # bytes that everything but body and data takes at most


class NotARequest(Exception):
    """A message that no request can be read from. `request_id` is there where it can at least be answered."""

    def __init__(self, message: str, request_id: Optional[str] = None) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True)
class Incoming:
    """A request of the line. `stream` asks for one event of a message stream. `raw` is the body in JSON, or b""."""

    request_id: str
    method: str
    target: str
    query: Query
    raw: bytes
    stream: bool

    def request(self, **query: str) -> Request:
        """The request for the api, with further query parameters. The line has authenticated it: `peer` is ""."""
        return Request(
            method=self.method, target=self.target, query=Query({**self.query, **query}), body=Body.of(self.raw)
        )

    @property
    def key(self) -> bytes:
        """The same for requests that ask for the same: method, path, query and body."""
        asked = json.dumps([self.method, self.target, sorted(self.query.items())])
        return hashlib.sha256(asked.encode("ascii") + b"\n" + self.raw).digest()


def read_request(text: str) -> Incoming:
    """Read one message. Raises NotARequest. The query may also stand in the path; a heartbeat is not a request."""
    try:
        message = parse_json(text.encode("utf-8"))
    except BadRequest as error:
        raise NotARequest(str(error)) from error
    if not isinstance(message, dict):
        raise NotARequest("a message must be a JSON object")
    request_id = message.get("request_id")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= ID_LIMIT:
        raise NotARequest("request_id must be a text that is not empty")
    method, path = message.get("method"), message.get("path")
    if not isinstance(method, str) or not method or not isinstance(path, str) or not path:
        raise NotARequest("method and path must be texts that are not empty", request_id)
    path, _, in_path = path.partition("?")
    try:
        path.encode("utf-8")
        query = {**Query.parse(in_path), **_query(message.get("query"))}
        stream = Query(query).flag("stream")
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can write
        raise NotARequest("the path is not UTF-8", request_id) from error
    except BadRequest as error:
        raise NotARequest(str(error), request_id) from error
    body = message.get("body")
    raw = b"" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")
    return Incoming(request_id, method.upper(), path, Query(query), raw, stream)


def _query(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise BadRequest("query must be an object of texts")
    return value


@dataclass(frozen=True)
class Answer:
    """What is said to a request: everything of a response but the id. `body` is JSON text, None for none."""

    status: int
    body: Optional[bytes] = None
    stream: bool = False
    chunk: Optional[int] = None
    data: Optional[str] = None

    @classmethod
    def of(cls, status: int, value: Any, data: Optional[str] = None) -> Answer:
        """An answer with `value` as its body; what cannot be JSON, or is too long for the line, becomes an error."""
        try:
            body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
        except (ValueError, TypeError, RecursionError):
            log.exception("edge line: an answer is not JSON")
            return error_answer(500, "the agent's answer could not be written as JSON; its log says more")
        size = len(body) + (0 if data is None else len(json.dumps(data)))
        if size > MESSAGE_LIMIT - ENVELOPE_ROOM:
            return error_answer(413, f"the answer is {size} bytes, more than the {MESSAGE_LIMIT} that the line carries")
        return cls(int(status), body, data=data)

    def to(self, request_id: str) -> bytes:
        """The message. Types are the Server's, whatever the fields hold: one wrong type and it drops the line."""
        parts = [f'{{"request_id":{json.dumps(request_id)},"status":{self.status:d},"stream":']
        parts.append("true" if self.stream else "false")
        if self.chunk is not None:
            parts.append(f',"chunk":{self.chunk:d}')
        if self.data is not None:
            parts.append(f',"data":{json.dumps(self.data)}')
        head = "".join(parts).encode("ascii")
        return head + (b"" if self.body is None else b',"body":' + self.body) + b"}"


def error_answer(status: int, text: str) -> Answer:
    """`{"error": text}`, as everywhere in the api."""
    return Answer(status, json.dumps({"error": text}, separators=(",", ":")).encode("ascii"))
