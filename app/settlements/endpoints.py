"""Endpoints of deliveries and settlements."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final

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
from app.contracts.schemas import ContractId
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
from app.reservations.schemas import ReservationId
from app.reservations.service import get_reservation
from app.settlements import deliveries, repository, service
from app.settlements.errors import (
    ALREADY_CORRECTED,
    ALREADY_DISPUTED,
    ENDED_UNUSED,
    NO_CONTRACT,
    NOT_DISPUTED,
    NOT_IN_FORCE,
    NOT_STARTED,
    OTHER_AMOUNT,
    OVERLAPS,
    PAID_LATER,
    PAYMENT_STATE,
    PDF_UNAVAILABLE,
    REPORTS_REFUSED,
)
from app.settlements.invoices import render_html, render_pdf
from app.settlements.models import DeliveryReport, PaymentState, SettlementKind
from app.settlements.repository import SettlementFilter
from app.settlements.schemas import (
    DeliveriesIn,
    DeliveriesOut,
    DeliveryId,
    DeliveryOut,
    DisputeIn,
    InvoiceOut,
    PayIn,
    SettlementId,
    SettlementOut,
    WithdrawIn,
    delivery_out,
    settlement_out,
)

router = APIRouter(tags=["settlements"])

_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)
_READ: Final = (UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND)
_TEXT: Final = {"schema": {"type": "string"}}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_DOCUMENTS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/html": _TEXT, "application/pdf": _BYTES}, "description": "the invoice"}
}


class InvoiceFormat(StrEnum):
    """What an invoice is read as."""

    JSON = "json"
    HTML = "html"
    PDF = "pdf"


@router.post(
    "/reservations/{reservation_id}/deliveries",
    summary="Report deliveries",
    description="Metered card-seconds of periods of an active or completed reservation, taken together or not at all: "
    "never more than was reserved, no period twice. A correction names the report in force that it takes the place of "
    "and tells the whole figure. What is owed is settled at once, a line for each period.",
    status_code=201,
    response_model=DeliveriesOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        NOT_STARTED,
        ENDED_UNUSED,
        NO_CONTRACT,
        REPORTS_REFUSED,
        OVERLAPS,
        ALREADY_CORRECTED,
        *_KEYED,
    ),
)
async def report_deliveries(
    reservation_id: ReservationId, body: DeliveriesIn, caller: SupplierOrDesk, write: KeyedWriting, context: Context
) -> Response:
    """Take a supplier's metering (the supplier, the desk)."""

    async def work(session: WriteSession) -> Answer:
        rows, made = await deliveries.report(session, caller, reservation_id, body, context.clock())
        answer = DeliveriesOut(
            reports=[delivery_out(row) for row in rows], settlements=[settlement_out(row) for row in made]
        )
        return Answer(answer, 201)

    return await write.run(work)


@router.get(
    "/reservations/{reservation_id}/deliveries",
    summary="List a reservation's deliveries",
    description="In the order of record, corrections included.",
    responses=problems(*_READ, BAD_CURSOR, ONE_CURSOR),
)
async def list_deliveries(
    reservation_id: ReservationId,
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    in_force: Annotated[bool | None, Query(description="only those that no other corrects, or only the others")] = None,
    disputed: Annotated[bool | None, Query(description="only disputed ones, or only the others")] = None,
) -> Page[DeliveryOut]:
    """Return a page of a reservation's reports."""
    await get_reservation(session, caller, reservation_id)
    query = {
        "reservation_id": encode_id("rsv", reservation_id),
        "in_force": in_force,
        "disputed": disputed,
    }
    rows, has_more, cursors = await repository.list_reports(
        session,
        caller,
        reservation_id,
        page,
        in_force=in_force,
        disputed=disputed,
        signer=context.signer,
        listing=listing_name("deliveries", query),
    )
    corrections = await repository.corrections_of(session, [row.id for row in rows])
    items = [delivery_out(row, corrections.get(row.id)) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


async def _disputed(write: Writer, change: Callable[[WriteSession], Awaitable[DeliveryReport]]) -> Response:
    async def work(session: WriteSession) -> Answer:
        return Answer(delivery_out(await change(session)))

    return await write.run(work)


@router.post(
    "/deliveries/{delivery_id}/dispute",
    summary="Dispute a delivery",
    description="The buyer says that a report in force is not what was delivered. The bill stays as it is until the "
    "supplier corrects the report, which ends the dispute.",
    response_model=DeliveryOut,
    responses=problems(*_READ, FORBIDDEN, NOT_IN_FORCE, ALREADY_DISPUTED),
)
async def dispute(
    delivery_id: DeliveryId, body: DisputeIn, caller: BuyerOrDesk, write: Writing, context: Context
) -> Response:
    """Flag a report (the buyer, the desk)."""
    return await _disputed(
        write, lambda session: deliveries.dispute(session, caller, delivery_id, body.reason, context.clock())
    )


@router.post(
    "/deliveries/{delivery_id}/withdraw-dispute",
    summary="Withdraw a dispute",
    response_model=DeliveryOut,
    responses=problems(*_READ, FORBIDDEN, NOT_IN_FORCE, NOT_DISPUTED),
)
async def withdraw_dispute(delivery_id: DeliveryId, _: WithdrawIn, caller: BuyerOrDesk, write: Writing) -> Response:
    """Take a dispute back (the buyer, the desk)."""
    return await _disputed(write, lambda session: deliveries.withdraw_dispute(session, caller, delivery_id))


@router.get(
    "/settlements",
    summary="List settlements",
    description="In the order they were made: one's own, as buyer or supplier; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_settlements(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    kind: Annotated[SettlementKind | None, Query(description="only of this kind")] = None,
    payment_state: Annotated[PaymentState | None, Query(description="only in this state of payment")] = None,
    contract_id: Annotated[ContractId | None, Query(description="only of this contract")] = None,
    reservation_id: Annotated[ReservationId | None, Query(description="only of this reservation")] = None,
) -> Page[SettlementOut]:
    """Return a page of settlements."""
    query = {
        "kind": kind,
        "payment_state": payment_state,
        "contract_id": None if contract_id is None else encode_id("ctr", contract_id),
        "reservation_id": None if reservation_id is None else encode_id("rsv", reservation_id),
    }
    rows, has_more, cursors = await repository.list_settlements(
        session,
        caller,
        page,
        SettlementFilter(kind, payment_state, contract_id, reservation_id),
        signer=context.signer,
        listing=listing_name("settlements", query),
    )
    items = [settlement_out(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/settlements/{settlement_id}",
    summary="Read a settlement",
    responses=problems(*_READ),
)
async def read_settlement(
    settlement_id: SettlementId, caller: Anyone, session: Reading, response: Response
) -> SettlementOut:
    """Return one settlement."""
    row = await service.get_settlement(session, caller, settlement_id)
    response.headers["ETag"] = etag(row.version)
    return settlement_out(row)


@router.post(
    "/settlements/{settlement_id}/pay",
    summary="Record a payment",
    description="That an open settlement was paid, exactly as much as was to be paid, by the side that got the money: "
    "the supplier, for a refund the buyer; or the desk.",
    response_model=SettlementOut,
    responses=problems(
        *_READ, FORBIDDEN, PRECONDITION_REQUIRED, STALE, PAYMENT_STATE, OTHER_AMOUNT, PAID_LATER, *_KEYED
    ),
)
async def pay(
    settlement_id: SettlementId,
    body: PayIn,
    request: Request,
    caller: Party,
    write: KeyedWriting,
    context: Context,
) -> Response:
    """Record that a settlement was paid."""

    async def work(session: WriteSession) -> Answer:
        check = partial(check_if_match, request)
        row = await service.pay(session, caller, settlement_id, body, check, context.clock())
        return Answer(settlement_out(row), headers={"ETag": etag(row.version)})

    return await write.run(work)


@router.get(
    "/settlements/{settlement_id}/invoice",
    summary="Read an invoice",
    description="What the buyer is to pay and how it came about, as data (`format=json`) or as a document in Chinese "
    "and English (`html`, `pdf`). PDF needs the service's extra `pdf`.",
    response_model=InvoiceOut,
    responses=_DOCUMENTS | problems(*_READ, PDF_UNAVAILABLE),
)
async def read_invoice(
    settlement_id: SettlementId,
    caller: Anyone,
    session: Reading,
    format: Annotated[InvoiceFormat, Query(description="how to read it")] = InvoiceFormat.JSON,  # noqa: A002  the API's word
) -> Response:
    """Return a settlement's invoice."""
    invoice = await service.get_invoice(session, caller, settlement_id)
    if format is InvoiceFormat.JSON:
        return Response(invoice.model_dump_json(), media_type="application/json")
    name = f"{encode_id('stl', settlement_id)}.{format.value}"
    headers = {"Content-Disposition": f'inline; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    if format is InvoiceFormat.HTML:
        headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return Response(render_html(invoice), media_type="text/html; charset=utf-8", headers=headers)
    return Response(await asyncio.to_thread(render_pdf, invoice), media_type="application/pdf", headers=headers)
