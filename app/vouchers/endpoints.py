"""Endpoints of voucher programmes and vouchers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.accounts.dependencies import Anyone, Context, Desk, KeyedWriting, Reading
from app.accounts.errors import NOT_APPROVED
from app.kit.db import WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    UNAUTHENTICATED,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import problems
from app.kit.writes import Answer
from app.vouchers import repository, service
from app.vouchers.errors import YEAR_OPEN
from app.vouchers.models import VoucherState
from app.vouchers.repository import VoucherFilter
from app.vouchers.schemas import (
    OpenIn,
    ProgrammeDetail,
    ProgrammeList,
    ReservationId,
    VoucherOut,
    YearOut,
    programme_detail,
    programme_out,
    voucher_out,
    year_out,
)

router = APIRouter(tags=["vouchers"])

ProgrammeId = Annotated[str, Path(max_length=60, description="the programme's id", examples=["open-example"])]


@router.get(
    "/programmes",
    summary="List voucher programmes",
    description="The newest published version of each, by id, with the years it is open for.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED),
)
async def list_programmes(_: Anyone, session: Reading) -> ProgrammeList:
    """Return every programme."""
    return ProgrammeList(data=[programme_out(row, years) for row, years in await service.list_programmes(session)])


@router.get(
    "/programmes/{programme_id}",
    summary="Read a voucher programme",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_programme(programme_id: ProgrammeId, _: Anyone, session: Reading) -> ProgrammeDetail:
    """Return a programme with its content."""
    row, years = await service.get_programme(session, programme_id)
    return programme_detail(row, years)


@router.post(
    "/programmes/{programme_id}/open",
    summary="Open a voucher programme for a year",
    description="Once for each year; the pool is put on the ledger. Amounts left out are the programme's own.",
    status_code=201,
    response_model=YearOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        YEAR_OPEN,
        IDEMPOTENCY_REQUIRED,
        IDEMPOTENCY_IN_FLIGHT,
        IDEMPOTENCY_MISMATCH,
    ),
)
async def open_programme(
    programme_id: ProgrammeId, body: OpenIn, _: Desk, write: KeyedWriting, context: Context
) -> Response:
    """Fill a programme's budgets of a year (the desk)."""

    async def work(session: WriteSession) -> Answer:
        opened = await service.open_programme(
            session,
            programme_id,
            body.year,
            pool_fen=body.pool_fen,
            buyer_year_fen=body.buyer_year_fen,
            now=context.clock(),
        )
        return Answer(year_out(opened), 201)

    return await write.run(work)


@router.get(
    "/vouchers",
    summary="List vouchers",
    description="In the order they were earmarked: a buyer's own; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_vouchers(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    state: Annotated[VoucherState | None, Query(description="only in this state")] = None,
    programme: Annotated[str | None, Query(max_length=60, description="only of this programme")] = None,
    reservation_id: Annotated[ReservationId | None, Query(description="only for this reservation")] = None,
) -> Page[VoucherOut]:
    """Return a page of vouchers."""
    query = {
        "state": state,
        "programme": programme,
        "reservation_id": None if reservation_id is None else encode_id("rsv", reservation_id),
    }
    rows, has_more, cursors = await repository.list_vouchers(
        session,
        caller,
        page,
        VoucherFilter(state, programme, reservation_id),
        signer=context.signer,
        listing=listing_name("vouchers", query),
    )
    items = [voucher_out(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})
