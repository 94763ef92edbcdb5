"""The client's core, without input or output: what to send, when to try again, how to read the answer.

Everything is a generator of steps (`Send`, `Sleep`); the sync and the async client differ only in the loop that
carries the steps out. A resource's method is written once and takes the form of its client: see `method`.
"""

import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from app.client.errors import ApiError, FieldProblem, ServiceUnreachable
from app.client.transport import AsyncTransport, Message, NoReply, Received, Reply, SyncTransport, Upload

T = TypeVar("T")
P = ParamSpec("P")
Query = Mapping[str, "str | int | bool | datetime | Sequence[str] | None"]

_RETRIED_STATUS: Final = frozenset({429, 502, 503, 504})
_IN_FLIGHT: Final = "idempotency_in_flight"
_FIRST_ERROR: Final = 400
_NO_CONTENT: Final = 204
_FIRST_WAIT_SECONDS: Final = 0.25
_LONGEST_WAIT_SECONDS: Final = 8.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where the service is and how to talk to it; both clients take these arguments."""

    base_url: str
    api_key: str | None
    timeout_seconds: float
    tries: int
    language: str | None
    user_agent: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        headers = {"User-Agent": self.user_agent, "Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        if self.language:
            headers["Accept-Language"] = self.language
        return headers


@dataclass(frozen=True, slots=True)
class Send:
    """A step: send this, hand back what came."""

    message: Message


@dataclass(frozen=True, slots=True)
class Sleep:
    """A step: wait."""

    seconds: float


Step = Send | Sleep
Flow = Generator[Step, Received | None, T]


class Read(dict[str, Any]):
    """A JSON object as the service sent it, with the `ETag` that came along (None where none did)."""

    etag: str | None = None


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API; `T` is what it returns."""

    method: str
    path: str
    query: Query = field(default_factory=dict[str, Any])
    json: Any = None
    form: Mapping[str, str] | None = None
    files: tuple[Upload, ...] = ()
    files_field: str = "files"
    keyed: bool = False
    etag: str | None = None
    raw: bool = False

    def message(self) -> Message:
        """Return it as a request; a keyed one gets its own new `Idempotency-Key`, which every try carries."""
        headers: dict[str, str] = {}
        if self.keyed:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        if self.etag is not None:
            headers["If-Match"] = self.etag
        if self.raw:
            headers["Accept"] = "*/*"
        query = query_pairs(self.query)
        return Message(self.method, self.path, query, headers, self.json, self.form, self.files, self.files_field)

    def flow(self, tries: int) -> "Flow[T]":
        """Return the steps that carry it out.

        Raises:
            ApiError: when the service refuses.
            ServiceUnreachable: when no answer came, however often it was tried.
        """
        message = self.message()
        repeatable = self.keyed or self.method in ("GET", "HEAD", "PUT", "DELETE")
        attempt = 0
        while True:
            attempt += 1
            received = yield Send(message)
            wait = _wait_before_retry(received, repeatable=repeatable, attempt=attempt)
            if wait is None or attempt >= tries:
                return self._read(received)
            yield Sleep(wait)

    def _read(self, received: Received | None) -> T:
        if isinstance(received, NoReply):
            raise ServiceUnreachable(received.url, received.reason)
        assert received is not None  # noqa: S101  the runner answers every Send
        if received.status >= _FIRST_ERROR:
            raise api_error(received)
        answer: Any = received.body
        if not self.raw:
            answer = None if received.status == _NO_CONTENT or not received.body else json.loads(received.body)
        if isinstance(answer, dict):
            answer = Read(answer)  # pyright: ignore[reportUnknownArgumentType]  JSON is what it is
            answer.etag = received.headers.get("etag")
        return answer


def query_pairs(query: Query) -> tuple[tuple[str, str], ...]:
    """Return query parameters as text, `None` left out, lists repeated.

    Raises:
        ValueError: for a time without an offset.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = [value] if isinstance(value, str | int | datetime) else value or ()
        pairs += [(name, _text(one)) for one in values]
    return tuple(pairs)


def _text(value: str | int | datetime) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; use an aware datetime")
        return value.isoformat()
    return str(value)


def _wait_before_retry(received: Received | None, *, repeatable: bool, attempt: int) -> float | None:
    """Return the seconds to wait before another try, or None where none may help or might act twice."""
    backoff = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    jittered = backoff * random.uniform(0.5, 1.0)  # noqa: S311  so that clients don't come back all at once
    if isinstance(received, NoReply):
        return jittered if repeatable or not received.sent else None
    if received is None or not repeatable:
        return None
    if received.status not in _RETRIED_STATUS and not _is_in_flight(received):
        return None
    told = retry_after(received)
    if told is not None and told > _LONGEST_RETRY_AFTER_SECONDS:
        return None
    return jittered if told is None else max(told, jittered)


def _is_in_flight(reply: Reply) -> bool:
    return reply.status == 409 and _IN_FLIGHT.encode() in reply.body  # noqa: PLR2004


def retry_after(reply: Reply) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or a date; None without it."""
    header = reply.headers.get("retry-after")
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def api_error(reply: Reply) -> ApiError:
    """Return the error that an answer tells; one that is not a problem document keeps the start of its text."""
    try:
        body: Any = json.loads(reply.body)
        return ApiError(
            status=reply.status,
            code=str(body["code"]),
            detail=str(body["detail"]),
            errors=[FieldProblem(**error) for error in body["errors"]],
            request_id=body.get("request_id"),
            retry_after=retry_after(reply),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        text = reply.body[:200].decode("utf-8", "replace").strip()
        return ApiError(
            status=reply.status,
            code=f"http_{reply.status}",
            detail=text or "an answer without a body",
            request_id=reply.headers.get("x-request-id"),
            retry_after=retry_after(reply),
        )


class SyncRunner:
    """Carries out flows in the calling thread."""

    def __init__(self, transport: SyncTransport, tries: int, sleep: Callable[[float], None]) -> None:
        self._transport = transport
        self._sleep = sleep
        self.tries = tries

    def run(self, flow: Flow[T]) -> T:
        """Carry out the steps and return the flow's result."""
        received: Received | None = None
        while True:
            try:
                step = flow.send(received)
            except StopIteration as end:
                return end.value
            if isinstance(step, Send):
                received = self._transport.send(step.message)
            else:
                self._sleep(step.seconds)
                received = None


class AsyncRunner:
    """Carries out flows on the event loop."""

    def __init__(self, transport: AsyncTransport, tries: int, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._transport = transport
        self._sleep = sleep
        self.tries = tries

    async def run(self, flow: Flow[T]) -> T:
        """Carry out the steps and return the flow's result."""
        received: Received | None = None
        while True:
            try:
                step = flow.send(received)
            except StopIteration as end:
                return end.value
            if isinstance(step, Send):
                received = await self._transport.send(step.message)
            else:
                await self._sleep(step.seconds)
                received = None


class Resource:
    """A part of the API. Its methods are written once; the two subclasses below say how they are carried out."""

    tries: int


class SyncResource(Resource):
    """A part of the API whose methods return what they read."""

    def __init__(self, runner: SyncRunner) -> None:
        """Take what carries the calls out."""
        self.runner = runner
        self.tries = runner.tries


class AsyncResource(Resource):
    """A part of the API whose methods are awaited."""

    def __init__(self, runner: AsyncRunner) -> None:
        """Take what carries the calls out."""
        self.runner = runner
        self.tries = runner.tries


class method(Generic[P, T]):  # noqa: N801  a decorator
    """Turns a function that describes a `Call` into a method of the sync or the async client."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, instance: SyncResource, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncResource, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> "method[P, T]": ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the method bound to a resource."""
        if instance is None:
            return self

        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            return instance.runner.run(self.build(instance, *args, **kwargs).flow(instance.tries))

        return _named(bound, self.build)


class steps(Generic[P, T]):  # noqa: N801  a decorator
    """Turns a function that is a flow of several calls into a method of the sync or the async client."""

    def __init__(self, build: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, instance: SyncResource, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncResource, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> "steps[P, T]": ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the method bound to a resource."""
        if instance is None:
            return self

        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            return instance.runner.run(self.build(instance, *args, **kwargs))

        return _named(bound, self.build)


class rows(Generic[P, T]):  # noqa: N801  a decorator
    """Turns a function that describes the call of a list into an iterator over all its rows, page by page."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[Any]], row: type[T]) -> None:  # noqa: ARG002
        self.build = build
        self.__doc__ = f"Iterate over every row, page by page. {build.__doc__}"

    @overload
    def __get__(self, instance: SyncResource, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: AsyncResource, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, instance: None, owner: type) -> "rows[P, T]": ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the method bound to a resource."""
        if instance is None:
            return self

        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            call = self.build(instance, *args, **kwargs)
            return _iterate(instance, call) if isinstance(instance, SyncResource) else _iterate_async(instance, call)

        return _named(bound, self.build)


def _iterate(resource: SyncResource, call: Call[Any]) -> Iterator[Any]:
    while True:
        page = resource.runner.run(call.flow(resource.tries))
        yield from page["data"]
        if not page["has_more"]:
            return
        call = replace(call, query={**call.query, "after": page["next_cursor"]})


async def _iterate_async(resource: AsyncResource, call: Call[Any]) -> AsyncIterator[Any]:
    while True:
        page = await resource.runner.run(call.flow(resource.tries))
        for row in page["data"]:
            yield row
        if not page["has_more"]:
            return
        call = replace(call, query={**call.query, "after": page["next_cursor"]})


def _named(bound: Callable[..., Any], build: Callable[..., Any]) -> Callable[..., Any]:
    bound.__name__ = build.__name__
    bound.__doc__ = build.__doc__
    return bound


def id_of(resource: "str | Mapping[str, object]") -> str:
    """Return the identifier of a resource that was read, or the identifier itself."""
    return resource if isinstance(resource, str) else str(resource["id"])


def etag_of(resource: "str | Mapping[str, object]", etag: str | None) -> str:
    """Return the `If-Match` for a change of a resource.

    Args:
        resource: what was read, which knows its ETag, or only its identifier.
        etag: the ETag, needed with an identifier; `*` changes whatever is there.

    Raises:
        ValueError: if neither tells it.
    """
    found = etag or (resource.etag if isinstance(resource, Read) else None)
    if found is None and not isinstance(resource, str) and "version" in resource:
        found = f'"{resource["version"]}"'
    if found is None:
        raise ValueError("give the resource as it was read, or its etag, so that nobody's change is overwritten unseen")
    return found
