"""httpx: the one module of the client that knows it.

`send` never raises for the network: it returns a `NoReply`, so that the core can decide about another try.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx

SyncHttp = httpx.BaseTransport
AsyncHttp = httpx.AsyncBaseTransport
Upload = tuple[str, bytes]
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP request, ready to send, any number of times."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    json: Any = None
    form: Mapping[str, str] | None = None
    files: tuple[Upload, ...] = ()
    files_field: str = "files"


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer, read whole; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoReply:
    """The network failed; `sent` tells whether the service may have seen the request."""

    url: str
    reason: str
    sent: bool


Received = Reply | NoReply


class Settings(Protocol):
    """What a transport needs to know."""

    @property
    def base_url(self) -> str:
        """Where the service is."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every request."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long an answer may take."""
        ...


class SyncTransport:
    """A pool of connections for threads."""

    def __init__(self, settings: Settings, http: SyncHttp | None = None) -> None:
        """Prepare the pool; nothing connects yet."""
        self._client = httpx.Client(
            base_url=settings.base_url,
            headers=dict(settings.headers),
            timeout=httpx.Timeout(settings.timeout_seconds, connect=min(10.0, settings.timeout_seconds)),
            transport=http,
            follow_redirects=False,
        )

    def send(self, message: Message) -> Received:
        """Send a request and read its answer."""
        try:
            return _reply(self._client.request(**_arguments(message)))
        except httpx.TransportError as error:
            return _no_reply(self._client.base_url, message, error)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class AsyncTransport:
    """A pool of connections for an event loop."""

    def __init__(self, settings: Settings, http: AsyncHttp | None = None) -> None:
        """Prepare the pool; nothing connects yet."""
        self._client = httpx.AsyncClient(
            base_url=settings.base_url,
            headers=dict(settings.headers),
            timeout=httpx.Timeout(settings.timeout_seconds, connect=min(10.0, settings.timeout_seconds)),
            transport=http,
            follow_redirects=False,
        )

    async def send(self, message: Message) -> Received:
        """Send a request and read its answer."""
        try:
            return _reply(await self._client.request(**_arguments(message)))
        except httpx.TransportError as error:
            return _no_reply(self._client.base_url, message, error)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _arguments(message: Message) -> dict[str, Any]:
    arguments: dict[str, Any] = {"method": message.method, "url": message.path, "headers": dict(message.headers)}
    if message.query:
        arguments["params"] = list(message.query)
    if message.json is not None:
        arguments["json"] = message.json
    if message.form is not None or message.files:
        arguments["data"] = dict(message.form or {})
        arguments["files"] = [(message.files_field, (name, content)) for name, content in message.files]
    return arguments


def _reply(response: httpx.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def _no_reply(base: httpx.URL, message: Message, error: httpx.TransportError) -> NoReply:
    reason = f"{type(error).__name__}: {error}".removesuffix(": ")
    return NoReply(str(base.join(message.path)), reason, not isinstance(error, _NOT_SENT))
