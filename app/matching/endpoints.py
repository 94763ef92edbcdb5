"""Endpoints of matching: search by shape, quotes, booking."""

from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from app.accounts.acting import ORGANISATION_REQUIRED, WRONG_ROLE
from app.accounts.dependencies import Anyone, BuyerOrDesk, Context, KeyedWriting, Reading, Writing
from app.accounts.errors import NOT_APPROVED
from app.accounts.schemas import Ref
from app.catalog.errors import UNKNOWN_CHIP, WINDOW_ORDER
from app.catalog.models import OfferState
from app.catalog.repository import OfferFilter
from app.demand.errors import BAD_SELECTOR, SUPPLIER_BOTH_WAYS, UNKNOWN_SUPPLIER
from app.kit.db import WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    UNAUTHENTICATED,
    FieldError,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import language_of, problems
from app.kit.schemas import Moment, Text, json_number
from app.kit.time import format_rfc3339
from app.kit.writes import Answer
from app.ledger.errors import FUNDS_EXHAUSTED
from app.matching import search, service
from app.matching.errors import (
    BLOCKS_OF_REQUEST,
    NO_SUCH_OPTION,
    ONE_NEED,
    QUOTE_BOOKED,
    QUOTE_EXPIRED,
    QUOTE_STALE,
    REQUEST_CHANGED,
    SHAPE_INCOMPLETE,
    SORT_NEEDS_SHAPE,
    SUBSIDY_CHANGED,
)
from app.matching.schemas import BookingIn, FoundOfferOut, QuoteId, QuoteIn, QuoteOut
from app.matching.search import OfferSort, Shape
from app.reservations.errors import BLOCK_TAKEN, CAPACITY_TAKEN, REQUEST_NOT_OPEN, START_PASSED, TOO_FEW_BLOCKS
from app.reservations.schemas import ReservationList, reservation_out

router = APIRouter(tags=["matching"])

_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)


def offer_filter(
    chip_model: Annotated[list[Text] | None, Query(max_length=50, description="one of these models")] = None,
    chip_class: Annotated[Text | None, Query(description="only of this class")] = None,
    vendor: Annotated[Text | None, Query(description="only chips of this vendor")] = None,
    domestic: Annotated[bool | None, Query(description="only domestic chips, or only others")] = None,
    region: Annotated[list[Text] | None, Query(max_length=50, description="in one of these regions")] = None,
    supplier: Annotated[
        list[Ref] | None, Query(max_length=50, description="of one of these suppliers (references)")
    ] = None,
    price_fen_gte: Annotated[
        int | None, Query(alias="price_fen[gte]", ge=0, le=100_000_000, description="fen per card-hour at least")
    ] = None,
    price_fen_lte: Annotated[
        int | None, Query(alias="price_fen[lte]", ge=0, le=100_000_000, description="fen per card-hour at most")
    ] = None,
    interconnect_gbps_gte: Annotated[
        int | None, Query(alias="interconnect_gbps[gte]", ge=0, le=1_000_000, description="Gbit/s at least")
    ] = None,
    memory_gb_gte: Annotated[
        Decimal | None, Query(alias="memory_gb[gte]", ge=0, le=1_000_000, description="GB of a card at least")
    ] = None,
    fp16_tflops_gte: Annotated[
        Decimal | None, Query(alias="fp16_tflops[gte]", ge=0, le=1_000_000, description="dense FP16 TFLOPS at least")
    ] = None,
    cards_per_node: Annotated[int | None, Query(ge=1, le=100_000, description="cards of a node, exactly")] = None,
    state: Annotated[OfferState, Query(description="withdrawn: one's own; any for the desk")] = OfferState.OPEN,
) -> OfferFilter:
    """Return which offers are wanted (a FastAPI dependency)."""
    return OfferFilter(
        chip_models=tuple(chip_model or ()),
        chip_class=chip_class,
        vendor=vendor,
        domestic=domestic,
        regions=tuple(region or ()),
        suppliers=tuple(supplier or ()),
        price_fen_gte=price_fen_gte,
        price_fen_lte=price_fen_lte,
        interconnect_gbps_gte=interconnect_gbps_gte,
        memory_gb_gte=memory_gb_gte,
        fp16_tflops_gte=fp16_tflops_gte,
        cards_per_node=cards_per_node,
        state=state,
    )


def shape_wanted(
    cards: Annotated[int | None, Query(ge=1, le=100_000, description="shape: cards at once on one offer")] = None,
    hours: Annotated[int | None, Query(ge=1, le=20_000, description="shape: whole hours in a row")] = None,
    low: Annotated[
        Moment | None,
        Query(alias="from", description="shape: starts here at the earliest", examples=["2026-12-01T00:00:00Z"]),
    ] = None,
    high: Annotated[
        Moment | None, Query(alias="to", description="shape: has ended by here", examples=["2027-02-01T00:00:00Z"])
    ] = None,
) -> Shape | None:
    """Return the shape wanted, or None (a FastAPI dependency).

    Raises:
        Problem: `shape_incomplete`, `window_order`.
    """
    given = {"cards": cards, "hours": hours, "from": low, "to": high}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if cards is None or hours is None or low is None or high is None:
        raise SHAPE_INCOMPLETE.problem(
            errors=[FieldError(name, SHAPE_INCOMPLETE.code, SHAPE_INCOMPLETE.en) for name in missing]
        )
    if high <= low:
        raise WINDOW_ORDER.field("to")
    return Shape(cards, hours, low, high)


def _echo(wanted: OfferFilter, shape: Shape | None, sort: OfferSort) -> dict[str, Any]:
    return {
        "chip_model": list(wanted.chip_models),
        "chip_class": wanted.chip_class,
        "vendor": wanted.vendor,
        "domestic": wanted.domestic,
        "region": list(wanted.regions),
        "supplier": list(wanted.suppliers),
        "price_fen[gte]": wanted.price_fen_gte,
        "price_fen[lte]": wanted.price_fen_lte,
        "interconnect_gbps[gte]": wanted.interconnect_gbps_gte,
        "memory_gb[gte]": None if wanted.memory_gb_gte is None else json_number(wanted.memory_gb_gte),
        "fp16_tflops[gte]": None if wanted.fp16_tflops_gte is None else json_number(wanted.fp16_tflops_gte),
        "cards_per_node": wanted.cards_per_node,
        "state": wanted.state,
        "cards": shape.cards if shape else None,
        "hours": shape.hours if shape else None,
        "from": format_rfc3339(shape.low) if shape else None,
        "to": format_rfc3339(shape.high) if shape else None,
        "sort": sort,
    }


@router.get(
    "/offers",
    summary="Search offers",
    description=(
        "By price (the default), the dearest first (`-price`) or, for a shape, by `earliest_start`; ties by price, "
        "then earliest start, then id. With a shape (`cards`, `hours`, `from`, `to`) the list holds exactly the offers "
        "that have so many cards free for so many hours in a row inside the window, rounded inward to whole hours and "
        "not before the next whole hour, each with the earliest start and the total price."
    ),
    responses=problems(
        UNAUTHENTICATED, NOT_APPROVED, SHAPE_INCOMPLETE, SORT_NEEDS_SHAPE, WINDOW_ORDER, BAD_CURSOR, ONE_CURSOR
    ),
)
async def search_offers(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    wanted: Annotated[OfferFilter, Depends(offer_filter)],
    shape: Annotated[Shape | None, Depends(shape_wanted)],
    sort: Annotated[OfferSort, Query(description="the order; earliest_start needs a shape")] = OfferSort.PRICE,
) -> Page[FoundOfferOut]:
    """Return a page of offers."""
    query = _echo(wanted, shape, sort)
    items, has_more, cursors = await search.search_offers(
        session,
        caller,
        wanted,
        shape,
        sort,
        page,
        signer=context.signer,
        listing=listing_name("offers", query),
        now=context.clock(),
    )
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.post(
    "/quotes",
    summary="Ask for a quote",
    description=(
        "For blocks of a posted request, or for a need: the best options now, each bookable for ten minutes as long "
        "as it is free. Prices are net of the voucher programmes that the buyer's verified facts give it, with what is "
        "left of their budgets now; `subsidies` names each programme, tier and amount. Options are ordered by net "
        "cost, then earliest start, then lowest offer id. None found is an answer too: `reason` says why."
    ),
    status_code=201,
    response_model=QuoteOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        ORGANISATION_REQUIRED,
        WRONG_ROLE,
        ONE_NEED,
        BLOCKS_OF_REQUEST,
        REQUEST_NOT_OPEN,
        WINDOW_ORDER,
        BAD_SELECTOR,
        UNKNOWN_CHIP,
        UNKNOWN_SUPPLIER,
        SUPPLIER_BOTH_WAYS,
    ),
)
async def create_quote(
    body: QuoteIn, request: Request, caller: BuyerOrDesk, write: Writing, context: Context
) -> Response:
    """Quote for a request or a need (the buyer, the desk)."""

    async def work(session: WriteSession) -> Answer:
        quote = await service.create_quote(session, caller, body, context.clock())
        headers = {"Location": f"/v1/quotes/{encode_id('quote', quote.id)}"}
        return Answer(service.quote_out(quote, _language(request)), 201, headers)

    return await write.run(work)


@router.get(
    "/quotes/{quote_id}",
    summary="Read a quote",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_quote(quote_id: QuoteId, request: Request, caller: Anyone, session: Reading) -> QuoteOut:
    """Return one quote; a lapsed one is soon deleted."""
    return service.quote_out(await service.get_quote(session, caller, quote_id), _language(request))


@router.post(
    "/reservations",
    summary="Book an option of a quote",
    description=(
        "All blocks of the option or none. They are held for 24 hours, or until the start if that is earlier; both "
        "sides accept within that time. A need becomes a request of its own. The subsidies quoted are earmarked with "
        "the hold, exactly as quoted; where they are not to be had any more, the booking is refused with "
        "`subsidy_changed` or `funds_exhausted`: ask for a new quote. Answers with the reservations by block; "
        "`Location` is the first one's."
    ),
    status_code=201,
    response_model=ReservationList,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        NO_SUCH_OPTION,
        QUOTE_EXPIRED,
        QUOTE_STALE,
        QUOTE_BOOKED,
        REQUEST_CHANGED,
        REQUEST_NOT_OPEN,
        START_PASSED,
        TOO_FEW_BLOCKS,
        CAPACITY_TAKEN,
        BLOCK_TAKEN,
        SUBSIDY_CHANGED,
        FUNDS_EXHAUSTED,
        *_KEYED,
    ),
)
async def book(body: BookingIn, caller: BuyerOrDesk, write: KeyedWriting, context: Context) -> Response:
    """Reserve what was quoted (the buyer, the desk)."""

    async def work(session: WriteSession) -> Answer:
        rows = await service.book(session, caller, body, context.clock())
        headers = {"Location": f"/v1/reservations/{encode_id('rsv', rows[0].id)}"}
        return Answer(ReservationList(data=[reservation_out(row) for row in rows]), 201, headers)

    return await write.run(work)


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))
