"""Writes over HTTP: one transaction per request, committed before the answer is sent, retried whole, idempotent."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders

from app.kit.db import Database, Scope, WriteSession
from app.kit.errors import (
    CONFLICT,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    INVALID,
    PRECONDITION_REQUIRED,
    STALE,
    Problem,
)
from app.kit.idempotency import IdempotencyRecord, body_hash, claim_key, store_answer, stored_answer
from app.kit.problems import language_of, problem_response

_MAX_KEY: Final = 255
_NEVER_STORED: Final = frozenset(
    {
        CONFLICT.code,
        IDEMPOTENCY_IN_FLIGHT.code,
        IDEMPOTENCY_MISMATCH.code,
        INVALID.code,
        STALE.code,
        PRECONDITION_REQUIRED.code,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a write answers: a body, a status, headers."""

    body: BaseModel | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Work = Callable[[WriteSession], Awaitable[Answer]]


def etag(version: int) -> str:
    """Return the ETag of a row's version."""
    return f'"{version}"'


def check_if_match(request: Request, version: int) -> None:
    """Compare `If-Match` with the row that is about to change.

    Raises:
        Problem: 428 without the header, 412 if the row has another version.
    """
    header = request.headers.get("if-match")
    if header is None:
        raise PRECONDITION_REQUIRED.problem()
    if header.strip() not in (etag(version), "*"):
        raise STALE.problem(etag=etag(version))


class Writer:
    """Runs one request's write. Made per request from the caller and the route."""

    def __init__(
        self,
        request: Request,
        database: Database,
        scope: Scope,
        *,
        org_id: UUID,
        key_required: bool,
        keep_secret: bool = False,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            request: the request; its `Idempotency-Key` header is read here.
            database: where to write.
            scope: whose eyes the transaction sees with.
            org_id: the organisation that an idempotency key belongs to.
            key_required: whether the route moves money or capacity.
            keep_secret: the answer holds a secret, so it is never stored and a key has no effect.

        Raises:
            Problem: when a required key is missing or a given one is no use.
        """
        self._request = request
        self._database = database
        self._scope = scope
        self._org_id = org_id
        key = request.headers.get("idempotency-key")
        if key is None and key_required:
            raise IDEMPOTENCY_REQUIRED.problem()
        if key is not None and not (0 < len(key) <= _MAX_KEY and key.isprintable()):
            raise IDEMPOTENCY_REQUIRED.problem()
        self._key = None if keep_secret else key

    async def run(self, work: Work, *, body: bytes | None = None) -> Response:
        """Run `work` in one transaction and answer after its commit.

        Args:
            work: what to do.
            body: what makes one request the same as another, where its body was streamed; by default the body.

        Raises:
            Problem: what `work` refuses, `idempotency_in_flight`, `idempotency_key_reused`, `concurrent_change`.
        """
        if self._key is None:
            return await self._database.retrying(lambda: self._plain(work))
        route = f"{self._request.method} {route_template(self._request)}"
        url = self._request.url
        content = await self._request.body() if body is None else body
        wanted = body_hash(self._request.method, url.path, url.query, content)
        try:
            return await self._database.retrying(lambda: self._once(work, route, self._key or "", wanted))
        except Problem as problem:
            if problem.code.code not in _NEVER_STORED and problem.code.status < 500:  # noqa: PLR2004
                await self._store_refusal(problem, route, self._key, wanted)
            raise

    async def _plain(self, work: Work) -> Response:
        async with self._database.write(self._scope) as session:
            answer = await work(session)
        return _response(answer)

    async def _once(self, work: Work, route: str, key: str, wanted: bytes) -> Response:
        async with self._database.write(self._scope) as session:
            await claim_key(session, self._org_id, route, key)
            before = await stored_answer(session, self._org_id, route, key, wanted)
            if before is not None:
                return _replay(before)
            response = _response(await work(session))
            await store_answer(session, self._record(response, route, key, wanted))
        return response

    async def _store_refusal(self, problem: Problem, route: str, key: str, wanted: bytes) -> None:
        response = problem_response(
            problem,
            language=language_of(self._request.headers.get("accept-language")),
            request_id=str(self._request.scope.get("cardhour_request_id", "")),
        )
        async with self._database.write(self._scope) as session:
            await store_answer(session, self._record(response, route, key, wanted))

    def _record(self, response: Response, route: str, key: str, wanted: bytes) -> IdempotencyRecord:
        kept = {
            name: value for name, value in response.headers.items() if name not in ("content-length", "x-request-id")
        }
        return IdempotencyRecord(
            org_id=self._org_id,
            route=route,
            key=key,
            body_hash=wanted,
            status=response.status_code,
            headers=kept,
            body=bytes(response.body),
        )


def route_template(request: Request) -> str:
    """Return the path template of the request's route, prefix included (`/v1/offers/{offer_id}`)."""
    context = request.scope.get("fastapi", {}).get("effective_route_context")
    path = getattr(context, "path", None) or getattr(request.scope.get("route"), "path", None)
    return str(path or request.url.path)


def _response(answer: Answer) -> Response:
    body = b"" if answer.body is None else answer.body.model_dump_json().encode()
    media_type = "application/json" if body else None
    return Response(body, answer.status, dict(answer.headers), media_type)


def _replay(record: IdempotencyRecord) -> Response:
    response = Response(record.body, record.status)
    headers = MutableHeaders(raw=response.raw_headers)
    for name, value in record.headers.items():
        headers[name] = str(value)
    headers["Idempotent-Replayed"] = "true"
    return response
