"""One update attempt as it is kept and shown (protocol 5.2), and the line of JSON that says one of its stages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Optional

from dockpal_agent.apps.stages import ENDS, ErrorCode, Stage

__all__ = ["Line", "Record", "Services", "StageEvent", "folded", "line_of", "read_line"]

Services = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class StageEvent:
    """A stage, when it began (`at` µs since 1970), and what was said with it."""

    at: int
    stage: Stage
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        """An entry of `events`."""
        event: dict[str, Any] = {"at": self.at, "stage": self.stage.value}
        if self.message:
            event["message"] = self.message
        return event


@dataclass(frozen=True)
class Record:
    """An attempt. `app` is the app's name as the user writes it; `services` are {service: {"image",
    "previous_digest"?, "new_digest"?}}; times are µs since 1970; `message` and `error_code` are the last stage's.
    """

    attempt_id: str
    app: str
    stage: Stage
    triggered_by: str
    services: Services
    started_at: int
    updated_at: int
    error_code: Optional[ErrorCode] = None
    message: str = ""
    completed_at: Optional[int] = None
    events: tuple[StageEvent, ...] = field(default=())

    @property
    def ended(self) -> bool:
        """Whether the attempt came to an end, good or bad."""
        return self.stage in ENDS

    def as_json(self, events: bool = True) -> dict[str, Any]:
        """The wire's AppUpdateRecord; the Server fills in `instance_id`."""
        value: dict[str, Any] = {
            "attempt_id": self.attempt_id,
            "instance_id": "",
            "app": self.app,
            "stage": self.stage.value,
            "triggered_by": self.triggered_by,
            "services": {name: dict(service) for name, service in self.services.items()},
            "started_at": self.started_at,
            "updated_at": self.updated_at,
        }
        if self.error_code is not None:
            value["error_code"] = self.error_code.value
        if self.message:
            value["message"] = self.message
        if self.completed_at is not None:
            value["completed_at"] = self.completed_at
        if events:
            value["events"] = [event.as_json() for event in self.events]
        return value


@dataclass(frozen=True)
class Line:
    """What one line says of its attempt. `services` is None where they are as the line before said."""

    attempt_id: str
    app: str
    stage: Stage
    at: int
    started_at: int
    triggered_by: str
    message: str
    error_code: Optional[ErrorCode]
    services: Optional[Services]

    @property
    def ended(self) -> bool:
        """Whether it is its attempt's last."""
        return self.stage in ENDS


def line_of(record: Record, *, with_services: bool) -> bytes:
    """The line for the stage that `record` is in, its newline included."""
    value: dict[str, Any] = {
        "attempt_id": record.attempt_id,
        "app": record.app,
        "stage": record.stage.value,
        "at": record.updated_at,
        "started_at": record.started_at,
        "triggered_by": record.triggered_by,
    }
    if record.message:
        value["message"] = record.message
    if record.error_code is not None:
        value["error_code"] = record.error_code.value
    if with_services:
        value["services"] = {name: dict(service) for name, service in record.services.items()}
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def read_line(raw: bytes) -> Line:
    """Raises ValueError for what is no such line, be it torn, overwritten or another program's."""
    try:
        value = json.loads(raw)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        code = value.get("error_code")
        return Line(
            attempt_id=_text(value, "attempt_id"),
            app=_text(value, "app"),
            stage=Stage(value["stage"]),
            at=_number(value, "at"),
            started_at=_number(value, "started_at"),
            triggered_by=str(value.get("triggered_by") or ""),
            message=str(value.get("message") or ""),
            error_code=ErrorCode(code) if code is not None else None,
            services=_services(value["services"]) if "services" in value else None,
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a line of an update's record: {error!r}") from error


def folded(before: Optional[Record], line: Line) -> Record:
    """The record with what the next line says. `before` is None for the first line that could be read."""
    event = StageEvent(line.at, line.stage, line.message)
    if before is None:
        before = Record(
            attempt_id=line.attempt_id,
            app=line.app,
            stage=line.stage,
            triggered_by=line.triggered_by,
            services={},
            started_at=line.started_at,
            updated_at=line.at,
        )
    elif before.events[-1] == event:  # written twice: the first time, the disk could not say that it has it
        return before
    return replace(
        before,
        stage=line.stage,
        updated_at=line.at,
        message=line.message,
        error_code=line.error_code,
        services=before.services if line.services is None else line.services,
        completed_at=line.at if line.stage in ENDS else None,
        events=(*before.events, event),
    )


_SERVICE_KEYS: Final = ("image", "previous_digest", "new_digest")


def _services(value: Mapping[str, Mapping[str, Any]]) -> Services:
    return {
        str(name): {key: str(service[key]) for key in _SERVICE_KEYS if key in service}
        for name, service in value.items()
    }


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text:
        raise ValueError(f"{key} is no text")
    return text


def _number(value: Mapping[str, Any], key: str) -> int:
    number = value[key]
    if type(number) is not int or number < 0:
        raise ValueError(f"{key} is no time")
    return number
