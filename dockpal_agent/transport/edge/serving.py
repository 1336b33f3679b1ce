"""From a message of the line to its answer: who is waiting for what, until when, and what is said if it takes longer.

The reader hands messages in and never waits; the pool's threads do the work; the writer asks for what is due. Work
outlives its line: an answer whose line is gone is dropped, the work is finished, and a retry on the next line joins it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Callable, Final, Optional, Protocol

from dockpal_agent.api.messages import ByteStream, Json, Messages, Request, Response
from dockpal_agent.transport.edge.envelope import Answer, Incoming, NotARequest, error_answer, read_request
from dockpal_agent.transport.edge.limits import Limits
from dockpal_agent.transport.edge.outbox import Outbox
from dockpal_agent.transport.edge.pool import Lane, Pool
from dockpal_agent.transport.edge.streams import SIGN_OF_LIFE, DeployStreams, collect

__all__ = ["Client", "Service", "Serving"]

log = logging.getLogger(__name__)

MARGIN: Final = 2.0  # seconds between the end of waiting for an event and the moment its answer is owed
SENT_WITHIN: Final = 10.0  # seconds for an answer to be written before what comes after it is done anyway


class Service(Protocol):
    """What the line asks of the api; api.service.Service is one."""

    def answer(self, request: Request, *, trusted: bool = False) -> Response:
        """Serve one request; never raises."""

    def status_ignored(self, request: Request) -> bool:
        """Whether the Server takes any answer to this request for success."""

    def prompt(self, request: Request) -> bool:
        """Whether the answer comes within seconds, whatever Docker does."""

    def failure(self, error: Exception) -> Json:
        """The answer for what opening or reading a stream raised."""


class Client:
    """The Server at the other end of one line: where its answers go, and the deploys it follows."""

    def __init__(self, limits: Limits) -> None:
        self.outbox: Final = Outbox(limits)
        self.streams: Final = DeployStreams(limits)
        self._told = False

    def complain(self, reason: str) -> None:
        """Log the first message of this line that is no request; a Server that sends one may send thousands."""
        level = logging.DEBUG if self._told else logging.WARNING
        self._told = True
        log.log(level, "edge line: a message was dropped: %s", reason)


class _Wait(Enum):
    WAITING = "waiting"
    LATE = "late"  # past its time, and a status would be taken for success: answered when the work is done
    ANSWERED = "answered"


@dataclass(eq=False)
class _Call:
    """One request id that is owed one answer on one line."""

    client: Client
    request_id: str
    due: float  # monotonic
    ignored: bool  # the Server takes any answer for success
    stream: bool  # an error would end the deploy that it follows as failed
    wait: _Wait = _Wait.WAITING
    job: Optional[_Job] = None

    @property
    def wanted(self) -> bool:
        """Whether an answer would still reach someone."""
        return self.wait is _Wait.WAITING and self.client.outbox.open

    @property
    def readable(self) -> bool:
        """Whether an error is understood as what it is: that the work was not done."""
        return not self.ignored and not self.stream

    @property
    def late(self) -> Answer:
        """What is said when it is due."""
        if self.stream:
            return SIGN_OF_LIFE
        if self.job is None or not self.job.begun:
            return _NOT_BEGUN
        return _READING if self.job.key is None else _STILL_RUNNING


@dataclass(eq=False)
class _Job:
    """One piece of work and everyone who waits for it."""

    incoming: Incoming
    client: Client
    key: Optional[bytes]  # None: nobody joins (what is read must not be older than the question)
    ignored: bool  # as in _Call: the same request, the same answer
    calls: list[_Call] = field(default_factory=list)
    begun: bool = False


class Serving:
    """All requests of the line, and of the lines before it. `receive` is the reader's, `due` the writer's."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service: Final = service
        self._limits: Final = limits
        self._pool: Final = Pool(limits)
        self._prompt: Final = Pool(replace(limits, threads=limits.prompt), "edge-prompt")  # never waits behind _pool
        self._lock = threading.Lock()  # guards everything below, and the `wait` and `calls` of calls and jobs
        self._calls: dict[tuple[Client, str], _Call] = {}  # in the order in which they came
        self._jobs: dict[bytes, _Job] = {}
        self._stopping = False
        self._stopped = threading.Event()

    def receive(self, text: str, client: Client) -> bool:
        """Take one message of the line; whether it was a request. Never waits."""
        try:
            incoming = read_request(text)
        except NotARequest as error:
            if error.request_id is None:
                client.complain(str(error))
                return False
            client.outbox.put(error_answer(400, str(error)).to(error.request_id), 0.0)
            return True
        self._take(incoming, client)
        return True

    def due(self, now: float) -> float:
        """Answer what is owed by `now` (monotonic) and say when something is due next."""
        late: list[_Call] = []
        following = now + min(self._limits.answer, self._limits.sign_of_life)
        with self._lock:
            for place, call in list(self._calls.items()):
                if call.due > now:
                    following = min(following, call.due)
                    continue
                del self._calls[place]
                if call.wait is _Wait.WAITING:
                    call.wait = _Wait.LATE if call.ignored else _Wait.ANSWERED
                    if not call.ignored:
                        late.append(call)
        for call in late:
            self._say(call, call.late, 0.0)
        return following

    def stop(self, within: float) -> bool:
        """Take nothing new, drop what waits, give what runs so many seconds; whether all of it has ended.

        What was not begun is answered with 503 where a status is read, and else not at all.
        """
        with self._lock:
            self._stopping = True
        self._stopped.set()
        until = time.monotonic() + within
        ended = self._pool.drain(within)
        ended = self._prompt.drain(until - time.monotonic()) and ended
        with self._lock:
            left = [call for call in self._calls.values() if call.wait is _Wait.WAITING and call.readable]
            for call in left:
                call.wait = _Wait.ANSWERED
            self._calls.clear()
        for call in left:
            self._say(call, _STOPPING, 0.0)
        return ended

    def lost(self, client: Client) -> None:
        """The line is gone: nobody waits on it any more. What was not begun will not be."""
        with self._lock:
            for place in [place for place in self._calls if place[0] is client]:
                self._calls.pop(place).wait = _Wait.ANSWERED

    def _take(self, incoming: Incoming, client: Client) -> None:
        request = incoming.request()
        ignored = not incoming.stream and self._service.status_ignored(request)
        due = time.monotonic() + self._limits.answer
        call = _Call(client, incoming.request_id, due, ignored, incoming.stream)
        job = _Job(incoming, client, None if incoming.method in ("GET", "HEAD") else incoming.key, ignored)
        with self._lock:
            if (client, call.request_id) in self._calls:
                return  # one answer to one id; a second piece of work could only do harm
            stopping = self._stopping
            if not stopping:
                self._calls[client, call.request_id] = call
                if self._join(call, job) is not job:
                    return
        if stopping:
            if call.readable:
                self._say(call, _STOPPING, 0.0)
            return
        pool = self._prompt if self._service.prompt(request) else self._pool
        if not pool.submit(_lane(incoming), lambda: self._work(job)):
            with self._lock:
                self._forget(job)
            self._refuse(call)

    def _join(self, call: _Call, job: _Job) -> _Job:
        """Put `call` among those who wait for `job`, or for the same that is under way already. The lock is held."""
        if job.key is not None:
            job = self._jobs.setdefault(job.key, job)
        call.job = job
        job.calls.append(call)
        return job

    def _forget(self, job: _Job) -> None:
        """Nobody joins `job` any more. The lock is held."""
        if job.key is not None and self._jobs.get(job.key) is job:
            del self._jobs[job.key]

    def _refuse(self, call: _Call) -> None:
        """The queue is full, and nothing was done: where any answer is success, there is none."""
        if call.stream:
            call.due = time.monotonic() + self._limits.sign_of_life  # it asks again then
            return
        with self._lock:
            self._calls.pop((call.client, call.request_id), None)
            call.wait = _Wait.ANSWERED
        if call.ignored:
            call.client.complain("there are too many requests, and an answer would be taken for success")
        else:
            self._say(call, _BUSY, 0.0)

    def _work(self, job: _Job) -> None:
        """Do one piece of work on a thread of the pool, and answer all who wait for it."""
        with self._lock:
            job.calls = [call for call in job.calls if call.wanted]
            if not job.calls:
                self._forget(job)  # too late, or the line is gone: a stop that was asked for long ago must not happen
                return
            job.begun = True
        answer, then = self._serve(job)
        if answer.status >= 400 and job.ignored:
            _tell(job.incoming, answer)
        with self._lock:
            self._forget(job)
            calls = [call for call in job.calls if call.wait is not _Wait.ANSWERED]
            for call in calls:
                call.wait = _Wait.ANSWERED
                self._calls.pop((call.client, call.request_id), None)
        if answer.status == 504:  # the api gave up waiting, for the work or for Docker: that is not done either
            calls = [call for call in calls if not call.ignored]
        sent = threading.Event() if then is not None else None
        said = [self._say(call, answer, SENT_WITHIN, sent) for call in calls]
        if then is not None and sent is not None:
            if any(said):
                sent.wait(SENT_WITHIN)
            # Not in the pool, whose work is waited for at a stop: what comes after this answer may be that very stop.
            threading.Thread(target=then, name="edge-afterwards", daemon=True).start()

    def _serve(self, job: _Job) -> tuple[Answer, Optional[Callable[[], None]]]:
        if job.incoming.stream:
            return self._next_event(job), None
        response = self._service.answer(job.incoming.request(), trusted=True)
        if isinstance(response, Messages):  # asked for whole: without following it, and as text
            response = self._service.answer(job.incoming.request(follow="false", format="text"), trusted=True)
        if isinstance(response, Messages):
            return self._collect(response), None
        if isinstance(response, ByteStream):
            response.close()
            return error_answer(501, "bytes are not carried over the line: download over HTTPS, in direct mode"), None
        return Answer.of(response.status, response.value), response.then

    def _collect(self, response: Messages) -> Answer:
        try:
            return collect(response.open(), self._limits.collect, self._limits.log_bytes)
        except Exception as error:  # noqa: BLE001 - the boundary of a request, as in api.service
            return _of_json(self._service.failure(error))

    def _next_event(self, job: _Job) -> Answer:
        """The next event of a deploy; the first request opens its stream. Unknown ids end the stream."""
        target = job.incoming.target
        within = min(self._limits.sign_of_life, job.calls[0].due - MARGIN - time.monotonic())
        streams = job.client.streams
        try:
            answer = streams.next(target, max(within, 0.0))
            if answer is not None:
                return answer
            response = self._service.answer(job.incoming.request(), trusted=True)
            if isinstance(response, Messages):
                if not streams.follow(target, response.open):
                    self._stopped.wait(1.0)  # too many: an error would end the stream as failed, so ask again soon
                    return SIGN_OF_LIFE
                return streams.next(target, max(within, 0.0)) or SIGN_OF_LIFE
            if isinstance(response, ByteStream):
                response.close()
                return error_answer(501, "bytes are not carried over the line")
            return _of_json(response)
        except Exception as error:  # noqa: BLE001 - the boundary of a request, as in api.service
            return _of_json(self._service.failure(error))

    def _say(self, call: _Call, answer: Answer, within: float, sent: Optional[threading.Event] = None) -> bool:
        """Queue an answer; one that finds no room is dropped, as its line is about to end."""
        return call.client.outbox.put(answer.to(call.request_id), within, sent)


def _lane(incoming: Incoming) -> Lane:
    if incoming.stream:
        return Lane.STREAM
    return Lane.READ if incoming.method in ("GET", "HEAD") else Lane.CHANGE


def _tell(incoming: Incoming, answer: Answer) -> None:
    """Log what failed where the Server takes any answer for success: its user sees nothing of it anywhere else."""
    body = json.loads(answer.body or b"{}")
    reason = body.get("error") if isinstance(body, dict) else None
    text = "edge line: %s %s failed (%d): %s; the Server does not look at this answer"
    log.warning(text, incoming.method, incoming.target, answer.status, reason or "no reason was given")


def _of_json(response: Json) -> Answer:
    """An answer whose reason is in `data` too, where the Server's log looks at the end of a stream."""
    reason = response.value.get("error") if isinstance(response.value, dict) else None
    return Answer.of(response.status, response.value, data=reason if isinstance(reason, str) else None)


_BUSY: Final = error_answer(503, "the agent has too many requests waiting: try again in a moment")
_STOPPING: Final = error_answer(503, "the agent is stopping")
_STILL_RUNNING: Final = error_answer(
    504, "this takes longer than the Server waits; it goes on: ask again for its result"
)
_READING: Final = error_answer(504, "Docker has not answered in time")
_NOT_BEGUN: Final = error_answer(504, "the agent was too busy to begin with this: nothing was done, try again")
