"""Endpoints of reservations: read, accept, cancel, extend, end, access. Booking is in `app.matching`."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from app.accounts.dependencies import (
    Anyone,
    BuyerOrDesk,
    Context,
    KeyedWriting,
    Party,
    Reading,
    SupplierOrDesk,
    Writing,
)
from app.accounts.errors import NOT_APPROVED
from app.catalog.schemas import OfferId
from app.demand.schemas import RequestId
from app.kit.db import WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    PRECONDITION_REQUIRED,
    STALE,
    UNAUTHENTICATED,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import problems
from app.kit.writes import Answer, Writer, check_if_match, etag
from app.reservations import repository, service
from app.reservations.errors import (
    ALREADY_ENDED,
    CAPACITY_TAKEN,
    EXTENSION_TOO_FAR,
    NOT_CONFIRMED,
    REASON_NOT_YOURS,
    SIDE_NEEDED,
    WRONG_STATE,
)
from app.reservations.models import Reservation, ReservationState
from app.reservations.repository import ReservationFilter
from app.reservations.schemas import (
    AcceptIn,
    AccessIn,
    AccessOut,
    CancelIn,
    EndIn,
    ExtendIn,
    ReservationId,
    ReservationOut,
    reservation_out,
)

router = APIRouter(tags=["reservations"])

_CHANGE: Final = (
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_APPROVED,
    NOT_FOUND,
    PRECONDITION_REQUIRED,
    STALE,
    WRONG_STATE,
)
_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)


@router.get(
    "/reservations",
    summary="List reservations",
    description="In the order they were made: one's own, as buyer or supplier; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_reservations(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    state: Annotated[ReservationState | None, Query(description="only in this state")] = None,
    offer_id: Annotated[OfferId | None, Query(description="only on this offer")] = None,
    request_id: Annotated[RequestId | None, Query(description="only of this request")] = None,
) -> Page[ReservationOut]:
    """Return a page of reservations."""
    query = {
        "state": state,
        "offer_id": None if offer_id is None else encode_id("offer", offer_id),
        "request_id": None if request_id is None else encode_id("req", request_id),
    }
    rows, has_more, cursors = await repository.list_reservations(
        session,
        caller,
        page,
        ReservationFilter(state, offer_id, request_id),
        signer=context.signer,
        listing=listing_name("reservations", query),
    )
    items = [reservation_out(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/reservations/{reservation_id}",
    summary="Read a reservation",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_reservation(
    reservation_id: ReservationId, caller: Anyone, session: Reading, response: Response
) -> ReservationOut:
    """Return one reservation."""
    row = await service.get_reservation(session, caller, reservation_id)
    response.headers["ETag"] = etag(row.version)
    return reservation_out(row)


async def _change(write: Writer, change: Callable[[WriteSession], Awaitable[Reservation]]) -> Response:
    async def work(session: WriteSession) -> Answer:
        row = await change(session)
        return Answer(reservation_out(row), headers={"ETag": etag(row.version)})

    return await write.run(work)


@router.post(
    "/reservations/{reservation_id}/accept",
    summary="Accept a reservation",
    description="Once both sides have accepted it is confirmed. Accepting again changes nothing.",
    response_model=ReservationOut,
    responses=problems(*_CHANGE, *_KEYED, SIDE_NEEDED),
)
async def accept(
    reservation_id: ReservationId,
    body: AcceptIn,
    request: Request,
    caller: Party,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Accept a hold, as the buyer or the supplier; the desk for either."""
    check = partial(check_if_match, request)
    return await _change(
        write, lambda session: service.accept(session, caller, reservation_id, body, check, context.clock())
    )


@router.post(
    "/reservations/{reservation_id}/cancel",
    summary="Cancel a reservation",
    description="Held or confirmed ones; the request opens again at its original place. Each side has reasons of its "
    "own: buyer_changed_plans and buyer_found_elsewhere; refused, supplier_unavailable and hardware_failure; the desk "
    "may give any, and desk_decision. If the request keeps fewer blocks than its min_blocks, its other held and "
    "confirmed ones are released.",
    response_model=ReservationOut,
    responses=problems(*_CHANGE, *_KEYED, REASON_NOT_YOURS),
)
async def cancel(
    reservation_id: ReservationId,
    body: CancelIn,
    request: Request,
    caller: Party,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Give a reservation up, as the buyer, the supplier or the desk."""
    check = partial(check_if_match, request)
    return await _change(
        write, lambda session: service.cancel(session, caller, reservation_id, body, check, context.clock())
    )


@router.post(
    "/reservations/{reservation_id}/extend",
    summary="Extend a reservation",
    description="Confirmed or active ones, at their price, where the offer has the cards free.",
    response_model=ReservationOut,
    responses=problems(*_CHANGE, *_KEYED, CAPACITY_TAKEN, ALREADY_ENDED, EXTENSION_TOO_FAR),
)
async def extend(
    reservation_id: ReservationId,
    body: ExtendIn,
    request: Request,
    caller: BuyerOrDesk,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Keep the cards longer (the buyer, the desk)."""
    check = partial(check_if_match, request)
    return await _change(
        write, lambda session: service.extend(session, caller, reservation_id, body.hours, check, context.clock())
    )


@router.post(
    "/reservations/{reservation_id}/end",
    summary="End a reservation early",
    description="An active one ends at the next whole hour, after its first hour at the earliest; the rest is free for "
    "others and is not paid for. It is completed at that hour.",
    response_model=ReservationOut,
    responses=problems(*_CHANGE, *_KEYED),
)
async def end(
    reservation_id: ReservationId,
    _: EndIn,
    request: Request,
    caller: Party,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """End a running reservation (the buyer, the supplier, the desk)."""
    check = partial(check_if_match, request)
    return await _change(write, lambda session: service.end(session, caller, reservation_id, check, context.clock()))


@router.get(
    "/reservations/{reservation_id}/access",
    summary="Read the access instructions",
    description="Shown to the buyer, the supplier and the desk once both sides have accepted.",
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, NOT_FOUND, NOT_CONFIRMED),
)
async def read_access(reservation_id: ReservationId, caller: Party, session: Reading, response: Response) -> AccessOut:
    """Return contact and access instructions."""
    access, version = await service.read_access(session, caller, reservation_id)
    response.headers["ETag"] = etag(version)
    return access


@router.put(
    "/reservations/{reservation_id}/access",
    summary="Set the access instructions",
    description="Of a confirmed or active reservation; what is left out is emptied.",
    response_model=AccessOut,
    responses=problems(*_CHANGE),
)
async def set_access(
    reservation_id: ReservationId,
    body: AccessIn,
    request: Request,
    caller: SupplierOrDesk,
    write: Writing,
    context: Context,
) -> Response:
    """Say how the buyer gets to the cards (the supplier, the desk)."""

    async def work(session: WriteSession) -> Answer:
        check = partial(check_if_match, request)
        await service.set_access(session, caller, reservation_id, body, check, context.clock())
        access, version = await service.read_access(session, caller, reservation_id)
        return Answer(access, headers={"ETag": etag(version)})

    return await write.run(work)
