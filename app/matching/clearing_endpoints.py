"""Endpoints of clearings."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.accounts.callers import Caller
from app.accounts.dependencies import Anyone, Context, Desk, DeskOrAuditor, KeyedWriting, Reading, Writing
from app.accounts.errors import NOT_APPROVED
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    UNAUTHENTICATED,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, PageRequest, Paging, listing_name, page_of
from app.kit.problems import is_unavailable, language_of, problems
from app.kit.web import AppContext
from app.kit.writes import Answer
from app.matching import clearing_repository as repository
from app.matching import clearing_service as service
from app.matching.clearing_errors import (
    BASE_HAS_FILTERS,
    BASE_PROGRAMME,
    CLEARING_FINISHED,
    DRY_RUN_ONLY,
    NO_OUTCOME,
    OFFER_CHANGE_NUMBERS,
    OFFER_CHANGE_TARGET,
    OFFER_CHANGED_TWICE,
    ONE_LIMIT,
    PROGRAMME_SETTING,
    TOO_MANY_CLEARINGS,
    UNKNOWN_PROGRAMME,
    WHAT_IF_ONLY,
)
from app.matching.clearing_models import Clearing, ClearingRow, ClearingState, RowKind
from app.matching.clearing_options import ClearingIn
from app.matching.clearing_schemas import (
    ClearingId,
    ClearingOut,
    MatchOut,
    UnmatchedOut,
    clearing_out,
    match_out,
    unmatched_out,
)
from app.matching.comparing import LISTED
from app.matching.comparison_schemas import ComparisonOut

router = APIRouter(tags=["clearings"])

Item = TypeVar("Item")

_RETRY_AFTER: Final = {"Retry-After": "1"}
_POLL_SECONDS: Final = 0.5
# Proxies cut a connection that is silent for long, often after a minute.
_SILENT_SECONDS: Final = 15
_SEEN: Final = (UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND)
_EVENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "`event: progress` with the clearing as `data` whenever it changed; the last is `event: end`",
    }
}
_JSON: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}}
}


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))


@router.post(
    "/clearings",
    summary="Clear the open market",
    description=(
        "Matches open requests with open offers under the voucher programmes; the worker runs it. `dry_run` decides"
        " and reserves nothing, `apply` holds what was matched for 72 hours or until the start."
    ),
    status_code=202,
    response_model=ClearingOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        UNKNOWN_PROGRAMME,
        PROGRAMME_SETTING,
        WHAT_IF_ONLY,
        ONE_LIMIT,
        DRY_RUN_ONLY,
        OFFER_CHANGE_TARGET,
        OFFER_CHANGE_NUMBERS,
        OFFER_CHANGED_TWICE,
        NOT_FOUND,
        NO_OUTCOME,
        BASE_HAS_FILTERS,
        BASE_PROGRAMME,
        TOO_MANY_CLEARINGS,
        IDEMPOTENCY_REQUIRED,
        IDEMPOTENCY_IN_FLIGHT,
        IDEMPOTENCY_MISMATCH,
    ),
)
async def create_clearing(body: ClearingIn, request: Request, caller: Desk, write: KeyedWriting) -> Response:
    """Queue a clearing (the desk)."""

    async def work(session: WriteSession) -> Answer:
        clearing = await service.create_clearing(session, caller, body)
        headers = {"Location": f"/v1/clearings/{encode_id('clr', clearing.id)}"} | _RETRY_AFTER
        return Answer(clearing_out(clearing, caller, _language(request)), 202, headers)

    return await write.run(work)


@router.get(
    "/clearings",
    summary="List clearings",
    description="Newest first: all for the desk and auditors; for others those that matched or left out one's own.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_clearings(
    caller: Anyone,
    session: Reading,
    context: Context,
    request: Request,
    page: Paging,
    state: Annotated[ClearingState | None, Query(description="only in this state")] = None,
) -> Page[ClearingOut]:
    """Return a page of clearings."""
    query = {"state": state}
    rows, has_more, cursors = await repository.list_clearings(
        session, caller, page, state, signer=context.signer, listing=listing_name("clearings", query)
    )
    items = [clearing_out(row, caller, _language(request)) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get("/clearings/{clearing_id}", summary="Read a clearing", responses=problems(*_SEEN))
async def read_clearing(
    clearing_id: ClearingId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ClearingOut:
    """Return a clearing's state, progress, and its result or error."""
    clearing = await service.get_clearing(session, caller, clearing_id)
    if not ClearingState(clearing.state).is_over:
        response.headers.update(_RETRY_AFTER)
    return clearing_out(clearing, caller, _language(request))


@router.post(
    "/clearings/{clearing_id}/cancel",
    summary="Cancel a clearing",
    description="One that is running stops before it reserves anything. Cancelling again changes nothing.",
    response_model=ClearingOut,
    responses=problems(*_SEEN, FORBIDDEN, CLEARING_FINISHED),
)
async def cancel_clearing(
    clearing_id: ClearingId, caller: Desk, write: Writing, context: Context, request: Request
) -> Response:
    """Cancel a clearing that has not ended (the desk)."""

    async def work(session: WriteSession) -> Answer:
        clearing = await service.cancel_clearing(session, caller, clearing_id, context.clock())
        return Answer(clearing_out(clearing, caller, _language(request)))

    return await write.run(work)


async def _rows(
    session: ReadSession,
    caller: Caller,
    context: AppContext,
    clearing_id: UUID,
    kind: RowKind,
    page: PageRequest,
    shown: Callable[[ClearingRow], Item],
) -> Page[Item]:
    """Return a page of a clearing's rows as they are shown."""
    await service.get_clearing(session, caller, clearing_id)
    listing = listing_name(f"clearings/{clearing_id}/{kind.value}", {})
    rows, has_more, cursors = await repository.list_rows(
        session, caller, clearing_id, kind, page, signer=context.signer, listing=listing
    )
    return page_of([shown(row) for row in rows], has_more=has_more, cursors=cursors, query={"limit": page.limit})


@router.get(
    "/clearings/{clearing_id}/matches",
    summary="List a clearing's matches",
    description="One's own, as buyer or supplier; all for the desk and auditors.",
    responses=problems(*_SEEN, BAD_CURSOR, ONE_CURSOR),
)
async def list_matches(
    clearing_id: ClearingId, caller: Anyone, session: Reading, context: Context, page: Paging
) -> Page[MatchOut]:
    """Return a page of matches."""
    return await _rows(session, caller, context, clearing_id, RowKind.MATCH, page, lambda row: match_out(row, caller))


@router.get(
    "/clearings/{clearing_id}/unmatched",
    summary="List what a clearing left unmatched",
    description="Each with a reason and the smallest changes that would have done; one's own, all for the desk.",
    responses=problems(*_SEEN, BAD_CURSOR, ONE_CURSOR),
)
async def list_unmatched(
    clearing_id: ClearingId, caller: Anyone, session: Reading, context: Context, page: Paging
) -> Page[UnmatchedOut]:
    """Return a page of requests that were not matched in full."""
    return await _rows(session, caller, context, clearing_id, RowKind.UNMATCHED, page, unmatched_out)


@router.get(
    "/clearings/{clearing_id}/certificate",
    summary="Get a clearing's certificate",
    description=(
        "The whole result with its duals, in the format of `cardhour clear`: with the instance, anyone can recompute it"
        " with `cardhour verify-clearing`."
    ),
    response_class=Response,
    responses=_JSON | problems(*_SEEN, FORBIDDEN, NO_OUTCOME),
)
async def read_certificate(clearing_id: ClearingId, caller: DeskOrAuditor, session: Reading) -> Response:
    """Return the result (the desk, auditors)."""
    file = await service.get_file(session, caller, clearing_id)
    return await _unpacked(file.outcome)


@router.get(
    "/clearings/{clearing_id}/instance",
    summary="Get what a clearing cleared",
    description=(
        "The market as it was when the run read it, in canonical JSON: the SHA-256 of the body is the certificate's"
        " `instance_sha256`."
    ),
    response_class=Response,
    responses=_JSON | problems(*_SEEN, FORBIDDEN, NO_OUTCOME),
)
async def read_instance(clearing_id: ClearingId, caller: DeskOrAuditor, session: Reading) -> Response:
    """Return the instance (the desk, auditors)."""
    file = await service.get_file(session, caller, clearing_id)
    return await _unpacked(file.instance)


async def _unpacked(stored: bytes) -> Response:
    """Return stored JSON as it is; a large one takes a while to unpack."""
    return Response(await asyncio.to_thread(zlib.decompress, stored), media_type="application/json")


@router.get(
    "/clearings/{clearing_id}/compare/{other_id}",
    summary="Compare two clearings",
    description=(
        "Who gains and who loses by the first against the other, by how much, and why: totals, what was set otherwise,"
        " and the largest differences by request, buyer, supplier and budget."
    ),
    responses=problems(*_SEEN, FORBIDDEN, NO_OUTCOME),
)
async def compare_clearings(
    clearing_id: ClearingId,
    other_id: ClearingId,
    caller: DeskOrAuditor,
    session: Reading,
    most: Annotated[int, Query(ge=0, le=LISTED, description="rows of each list at most, the largest first")] = 100,
) -> ComparisonOut:
    """Return two clearings side by side (the desk, auditors)."""
    return await service.compare(session, caller, clearing_id, other_id, most)


@router.get(
    "/clearings/{clearing_id}/events",
    summary="Follow a clearing",
    description="Server-sent events until it has ended.",
    response_class=StreamingResponse,
    responses=_EVENTS | problems(*_SEEN, FORBIDDEN),
)
async def follow_clearing(
    clearing_id: ClearingId, caller: DeskOrAuditor, session: Reading, context: Context, request: Request
) -> StreamingResponse:
    """Stream a clearing's progress (the desk, auditors)."""
    await service.get_clearing(session, caller, clearing_id)
    stream = _events(context, caller, clearing_id, _language(request))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(context: AppContext, caller: Caller, clearing_id: UUID, language: str) -> AsyncGenerator[str]:
    """Yield an event whenever the clearing changed, to its end or the service's.

    Each look has a session of its own: none is held while waiting. While the database is away there is nothing to tell.
    """
    told, silent = "", 0
    while not context.stopping.is_set():
        clearing = await _look(context, caller, clearing_id)
        is_over = clearing is not None and ClearingState(clearing.state).is_over
        data = told if clearing is None else clearing_out(clearing, caller, language).model_dump_json(by_alias=True)
        silent += 1
        if data != told or is_over:
            yield f"event: {'end' if is_over else 'progress'}\ndata: {data}\n\n"
            told, silent = data, 0
        elif silent * _POLL_SECONDS >= _SILENT_SECONDS:
            yield ": nothing new\n\n"
            silent = 0
        if is_over:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await context.stopping.wait()


async def _look(context: AppContext, caller: Caller, clearing_id: UUID) -> Clearing | None:
    """Return the clearing as it is, or None while the database is away."""
    try:
        async with context.database.read(caller.scope) as session:
            return await service.get_clearing(session, caller, clearing_id)
    except Exception as error:
        if not is_unavailable(error):
            raise
        return None
