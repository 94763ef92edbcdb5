"""Endpoints of requests."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app.accounts.acting import ORGANISATION_REQUIRED, WRONG_ROLE
from app.accounts.callers import Caller
from app.accounts.dependencies import BuyerOrDesk, Context, Reading, Writing, allow
from app.accounts.errors import NOT_APPROVED
from app.accounts.models import Role
from app.accounts.schemas import Ref
from app.catalog.errors import UNKNOWN_CHIP, WINDOW_ORDER
from app.demand import repository, service
from app.demand.errors import (
    BAD_SELECTOR,
    PRIORITY_BY_DESK,
    REQUEST_REF_TAKEN,
    REQUEST_RESERVED,
    REQUEST_STATE,
    SUPPLIER_BOTH_WAYS,
    TOO_MANY_MIN_BLOCKS,
    UNKNOWN_SUPPLIER,
)
from app.demand.models import RequestState
from app.demand.repository import RequestFilter
from app.demand.schemas import RequestDetail, RequestId, RequestIn, RequestOut, RequestPatch
from app.kit.db import WriteSession
from app.kit.errors import FORBIDDEN, NOT_FOUND, PRECONDITION_REQUIRED, STALE, UNAUTHENTICATED
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import language_of, problems
from app.kit.schemas import Moment
from app.kit.time import format_rfc3339
from app.kit.writes import Answer, check_if_match, etag

router = APIRouter(tags=["requests"])

BuyerOrReader = Annotated[Caller, Depends(allow(Role.BUYER, Role.DESK, Role.AUDITOR))]
_CONTENT: Final = (
    PRIORITY_BY_DESK,
    WINDOW_ORDER,
    TOO_MANY_MIN_BLOCKS,
    BAD_SELECTOR,
    UNKNOWN_CHIP,
    UNKNOWN_SUPPLIER,
    SUPPLIER_BOTH_WAYS,
)


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))


@router.post(
    "/requests",
    summary="Post a request",
    description="By the buyer, or by the desk for one. What can't be met as things are is accepted; see `notices`.",
    status_code=201,
    response_model=RequestDetail,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        ORGANISATION_REQUIRED,
        WRONG_ROLE,
        *_CONTENT,
        REQUEST_REF_TAKEN,
    ),
)
async def create_request(
    body: RequestIn, request: Request, caller: BuyerOrDesk, write: Writing, context: Context
) -> Response:
    """Post a request."""

    async def work(session: WriteSession) -> Answer:
        made = await service.create_request(session, caller, body, context.clock())
        shown = await service.request_detail(session, made, _language(request))
        headers = {"Location": f"/v1/requests/{encode_id('req', made.id)}", "ETag": etag(made.version)}
        return Answer(shown, 201, headers)

    return await write.run(work)


@router.get(
    "/requests",
    summary="List requests",
    description="By submission, then id. A buyer sees its own, the desk and auditors all.",
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_requests(
    caller: BuyerOrReader,
    session: Reading,
    context: Context,
    page: Paging,
    state: Annotated[RequestState | None, Query(description="only in this state")] = None,
    buyer: Annotated[Ref | None, Query(description="only of the buyer with this reference")] = None,
    submitted_at_gte: Annotated[
        Moment | None, Query(alias="submitted_at[gte]", description="submitted at or after")
    ] = None,
    submitted_at_lt: Annotated[Moment | None, Query(alias="submitted_at[lt]", description="submitted before")] = None,
) -> Page[RequestOut]:
    """Return a page of requests."""
    query = {
        "state": state,
        "buyer": buyer,
        "submitted_at[gte]": format_rfc3339(submitted_at_gte) if submitted_at_gte else None,
        "submitted_at[lt]": format_rfc3339(submitted_at_lt) if submitted_at_lt else None,
    }
    rows, has_more, cursors = await repository.list_requests(
        session,
        caller,
        page,
        RequestFilter(state, buyer, submitted_at_gte, submitted_at_lt),
        signer=context.signer,
        listing=listing_name("requests", query),
    )
    items = await service.requests_out(session, rows)
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/requests/{request_id}",
    summary="Read a request",
    description="With what stands in its way as things are, in `notices`.",
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, NOT_FOUND),
)
async def read_request(
    request_id: RequestId, request: Request, caller: BuyerOrReader, session: Reading, response: Response
) -> RequestDetail:
    """Return one request: a buyer's own; any for the desk and auditors."""
    found = await service.get_request(session, caller, request_id)
    response.headers["ETag"] = etag(found.version)
    return await service.request_detail(session, found, _language(request))


_EDIT: Final = (
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_APPROVED,
    NOT_FOUND,
    PRECONDITION_REQUIRED,
    STALE,
    REQUEST_STATE,
    REQUEST_RESERVED,
)


@router.patch(
    "/requests/{request_id}",
    summary="Change a request",
    description=(
        "Alternatives, window, blocks and site rules while it is open, so while nothing is reserved for it; the "
        "priority by the desk. Its submission time stays."
    ),
    response_model=RequestDetail,
    responses=problems(*_EDIT, *_CONTENT),
)
async def edit_request(
    request_id: RequestId, body: RequestPatch, request: Request, caller: BuyerOrDesk, write: Writing
) -> Response:
    """Change a request."""

    async def work(session: WriteSession) -> Answer:
        changed = await service.edit_request(session, caller, request_id, body, partial(check_if_match, request))
        shown = await service.request_detail(session, changed, _language(request))
        return Answer(shown, headers={"ETag": etag(changed.version)})

    return await write.run(work)


@router.post(
    "/requests/{request_id}/withdraw",
    summary="Withdraw a request",
    description="Refused while it has live reservations.",
    response_model=RequestDetail,
    responses=problems(*_EDIT),
)
async def withdraw_request(request_id: RequestId, request: Request, caller: BuyerOrDesk, write: Writing) -> Response:
    """Withdraw a request."""

    async def work(session: WriteSession) -> Answer:
        withdrawn = await service.withdraw_request(session, caller, request_id, partial(check_if_match, request))
        shown = await service.request_detail(session, withdrawn, _language(request))
        return Answer(shown, headers={"ETag": etag(withdrawn.version)})

    return await write.run(work)
