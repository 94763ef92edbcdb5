"""Endpoints of the catalogue: chip models, offers, capacity."""

from decimal import Decimal
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from app.accounts.acting import ORGANISATION_REQUIRED, WRONG_ROLE
from app.accounts.callers import Caller
from app.accounts.dependencies import Anyone, Context, Desk, KeyedWriting, Reading, SupplierOrDesk, Writing
from app.accounts.errors import NOT_APPROVED
from app.catalog import repository, service
from app.catalog.errors import (
    CAPACITY_BELOW_COMMITMENTS,
    CAPACITY_ENDS_AT_ZERO,
    CAPACITY_NOT_ASCENDING,
    CHIP_EXISTS,
    CHIP_NAME,
    OFFER_COMMITTED,
    OFFER_REF_TAKEN,
    OFFER_STATE,
    ONE_QUANTITY,
    PRICE_ABOVE_LIST,
    PRICE_ONE_WAY,
    PRICE_TOO_HIGH,
    SPEED_UNKNOWN,
    UNKNOWN_CHIP,
    WINDOW_ORDER,
)
from app.catalog.models import OfferState
from app.catalog.repository import ChipFilter
from app.catalog.schemas import (
    CapacityIn,
    CapacityOut,
    ChipIn,
    ChipOut,
    ChipPatch,
    ConversionOut,
    OfferId,
    OfferIn,
    OfferOut,
    OfferPatch,
)
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
from app.kit.schemas import Moment, Text, json_number
from app.kit.writes import Answer, Writer, check_if_match, etag

router = APIRouter(tags=["catalogue"])

ChipPath = Annotated[Text, Path(max_length=100, description="the model's name", examples=["A100 80G"])]
_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)
_VERSIONED: Final = (PRECONDITION_REQUIRED, STALE)
_PRICES: Final = (PRICE_ONE_WAY, PRICE_ABOVE_LIST, PRICE_TOO_HIGH)


@router.get(
    "/chips",
    summary="List chip models",
    description="By name. A model of which a fact is unknown never meets a minimum of it.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_chips(
    _: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    vendor: Annotated[Text | None, Query(description="only of this vendor")] = None,
    chip_class: Annotated[Text | None, Query(description="only of this class")] = None,
    domestic: Annotated[bool | None, Query(description="only domestic ones, or only others")] = None,
    memory_gb_gte: Annotated[
        Decimal | None, Query(alias="memory_gb[gte]", ge=0, le=1_000_000, description="GB at least")
    ] = None,
    fp16_tflops_gte: Annotated[
        Decimal | None, Query(alias="fp16_tflops[gte]", ge=0, le=1_000_000, description="dense FP16 TFLOPS at least")
    ] = None,
) -> Page[ChipOut]:
    """Return a page of chip models."""
    query = {
        "vendor": vendor,
        "chip_class": chip_class,
        "domestic": domestic,
        "memory_gb[gte]": None if memory_gb_gte is None else json_number(memory_gb_gte),
        "fp16_tflops[gte]": None if fp16_tflops_gte is None else json_number(fp16_tflops_gte),
    }
    rows, has_more, cursors = await repository.list_chips(
        session,
        page,
        ChipFilter(vendor, chip_class, domestic, memory_gb_gte, fp16_tflops_gte),
        signer=context.signer,
        listing=listing_name("chips", query),
    )
    items = [ChipOut.model_validate(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.post(
    "/chips",
    summary="Add a chip model",
    status_code=201,
    response_model=ChipOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, CHIP_EXISTS, CHIP_NAME),
)
async def create_chip(body: ChipIn, _: Desk, write: Writing) -> Response:
    """Add a chip model to the catalogue (the desk)."""

    async def work(session: WriteSession) -> Answer:
        chip = await service.create_chip(session, body)
        headers = {"Location": f"/v1/chips/{quote(chip.name)}", "ETag": etag(chip.version)}
        return Answer(ChipOut.model_validate(chip), 201, headers)

    return await write.run(work)


# Before the model itself: a name may hold a slash.
@router.get(
    "/chips/{name:path}/conversion",
    summary="Convert P to cards, or cards to P",
    description="1 P is 1 000 TFLOPS of dense FP16. Give exactly one of `petaflops` and `cards`; cards round up.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, ONE_QUANTITY, SPEED_UNKNOWN),
)
async def convert(
    name: ChipPath,
    _: Anyone,
    session: Reading,
    petaflops: Annotated[
        Decimal | None, Query(gt=0, le=1_000_000, decimal_places=6, description="P of dense FP16")
    ] = None,
    cards: Annotated[int | None, Query(ge=1, le=100_000_000, description="cards")] = None,
) -> ConversionOut:
    """Return P as cards of a chip, or cards as P."""
    return await service.convert(session, name, petaflops=petaflops, cards=cards)


@router.get(
    "/chips/{name:path}",
    summary="Read a chip model",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_chip(name: ChipPath, _: Anyone, session: Reading, response: Response) -> ChipOut:
    """Return one chip model."""
    chip = await service.get_chip(session, name)
    response.headers["ETag"] = etag(chip.version)
    return ChipOut.model_validate(chip)


@router.patch(
    "/chips/{name:path}",
    summary="Change a chip model's facts",
    response_model=ChipOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CHIP_NAME, *_VERSIONED),
)
async def edit_chip(name: ChipPath, body: ChipPatch, request: Request, _: Desk, write: Writing) -> Response:
    """Change facts of a chip model (the desk)."""

    async def work(session: WriteSession) -> Answer:
        chip = await service.edit_chip(session, name, body, partial(check_if_match, request))
        return Answer(ChipOut.model_validate(chip), headers={"ETag": etag(chip.version)})

    return await write.run(work)


@router.post(
    "/offers",
    summary="List capacity",
    description="By the supplier, or by the desk for one.",
    status_code=201,
    response_model=OfferOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        ORGANISATION_REQUIRED,
        WRONG_ROLE,
        UNKNOWN_CHIP,
        *_PRICES,
        CAPACITY_NOT_ASCENDING,
        CAPACITY_ENDS_AT_ZERO,
        OFFER_REF_TAKEN,
        *_KEYED,
    ),
)
async def create_offer(body: OfferIn, caller: SupplierOrDesk, write: KeyedWriting, context: Context) -> Response:
    """List an offer with its capacity."""

    async def work(session: WriteSession) -> Answer:
        offer = await service.create_offer(session, caller, body, context.clock())
        [shown] = await service.offers_out(session, [offer])
        headers = {"Location": f"/v1/offers/{encode_id('offer', offer.id)}", "ETag": etag(offer.version)}
        return Answer(shown, 201, headers)

    return await write.run(work)


@router.get(
    "/offers/{offer_id}",
    summary="Read an offer",
    description="Everyone reads open offers; a withdrawn one its supplier, the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_offer(offer_id: OfferId, caller: Anyone, session: Reading, response: Response) -> OfferOut:
    """Return one offer."""
    offer = await service.get_offer(session, caller, offer_id)
    response.headers["ETag"] = etag(offer.version)
    [shown] = await service.offers_out(session, [offer])
    return shown


_EDIT: Final = (UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, NOT_FOUND, *_VERSIONED)


@router.patch(
    "/offers/{offer_id}",
    summary="Change an offer",
    description="Price, region (while nothing is reserved), interconnect, acceptance; `observed_at` becomes now.",
    response_model=OfferOut,
    responses=problems(*_EDIT, *_PRICES, OFFER_COMMITTED),
)
async def edit_offer(
    offer_id: OfferId, body: OfferPatch, request: Request, caller: SupplierOrDesk, write: Writing, context: Context
) -> Response:
    """Change an offer (its supplier, the desk)."""

    async def work(session: WriteSession) -> Answer:
        offer = await service.edit_offer(
            session,
            caller,
            offer_id,
            body,
            check_version=partial(check_if_match, request),
            now=context.clock(),
        )
        [shown] = await service.offers_out(session, [offer])
        return Answer(shown, headers={"ETag": etag(offer.version)})

    return await write.run(work)


async def _turn(
    offer_id: UUID, wanted: OfferState, request: Request, caller: Caller, write: Writer, context: Context
) -> Response:
    async def work(session: WriteSession) -> Answer:
        offer = await service.change_offer_state(
            session,
            caller,
            offer_id,
            wanted,
            check_version=partial(check_if_match, request),
            now=context.clock(),
        )
        [shown] = await service.offers_out(session, [offer])
        return Answer(shown, headers={"ETag": etag(offer.version)})

    return await write.run(work)


@router.post(
    "/offers/{offer_id}/withdraw",
    summary="Withdraw an offer",
    description="Nothing more can be booked on it; what is reserved stays.",
    response_model=OfferOut,
    responses=problems(*_EDIT, OFFER_STATE),
)
async def withdraw_offer(
    offer_id: OfferId, request: Request, caller: SupplierOrDesk, write: Writing, context: Context
) -> Response:
    """Withdraw an offer (its supplier, the desk)."""
    return await _turn(offer_id, OfferState.WITHDRAWN, request, caller, write, context)


@router.post(
    "/offers/{offer_id}/reopen",
    summary="Open a withdrawn offer again",
    response_model=OfferOut,
    responses=problems(*_EDIT, OFFER_STATE),
)
async def reopen_offer(
    offer_id: OfferId, request: Request, caller: SupplierOrDesk, write: Writing, context: Context
) -> Response:
    """Open a withdrawn offer again (its supplier, the desk)."""
    return await _turn(offer_id, OfferState.OPEN, request, caller, write, context)


@router.get(
    "/offers/{offer_id}/capacity",
    summary="Read an offer's capacity",
    description="Its steps, and by intervals how many cards there are, are reserved and are free.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, WINDOW_ORDER),
)
async def read_capacity(
    offer_id: OfferId,
    caller: Anyone,
    session: Reading,
    response: Response,
    low: Annotated[Moment | None, Query(alias="from", description="segments from here on")] = None,
    high: Annotated[Moment | None, Query(alias="to", description="segments up to here")] = None,
) -> CapacityOut:
    """Return an offer's capacity."""
    offer = await service.get_offer(session, caller, offer_id)
    response.headers["ETag"] = etag(offer.version)
    return await service.capacity_of(session, offer, low, high)


@router.put(
    "/offers/{offer_id}/capacity",
    summary="Replace an offer's capacity",
    description="Refused where it would fall below what is reserved.",
    response_model=CapacityOut,
    responses=problems(*_EDIT, CAPACITY_NOT_ASCENDING, CAPACITY_ENDS_AT_ZERO, CAPACITY_BELOW_COMMITMENTS),
)
async def replace_capacity(
    offer_id: OfferId, body: CapacityIn, request: Request, caller: SupplierOrDesk, write: Writing, context: Context
) -> Response:
    """Replace an offer's capacity (its supplier, the desk)."""

    async def work(session: WriteSession) -> Answer:
        capacity = await service.replace_capacity(
            session,
            caller,
            offer_id,
            body.steps,
            check_version=partial(check_if_match, request),
            now=context.clock(),
        )
        return Answer(capacity, headers={"ETag": etag(capacity.version)})

    return await write.run(work)
