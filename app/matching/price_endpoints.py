"""Endpoints of a clearing's prices: what one more card-hour of a chip class, or fen of a budget, would add."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.accounts.dependencies import Anyone, Context, Reading
from app.accounts.errors import NOT_APPROVED
from app.kit.errors import NOT_FOUND, UNAUTHENTICATED
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of, slice_page
from app.kit.problems import problems
from app.kit.schemas import HourMoment, Moment, Output, Text
from app.kit.time import format_rfc3339, from_hour_index, hour_index
from app.matching import pricing
from app.matching.clearing_errors import NO_OUTCOME, TO_BEFORE_FROM, UNKNOWN_CHIP
from app.matching.clearing_options import ClearingId
from app.matching.core.congestion import DayPrices
from app.matching.core.outcome import BudgetUse

router = APIRouter(tags=["clearings"])
Unit = Annotated[
    str,
    Field(
        description="weighted_fen: fen of surplus times the request's priority; or weighted_card_hours",
        examples=["weighted_fen"],
    ),
]


class PriceRunOut(Output):
    """A stretch of hours at one price."""

    starts_at: Moment
    hours: int
    price_micro: int = Field(description="millionths of the unit per card-hour; 0 where cards are plentiful")


class ClassPricesOut(Output):
    """Congestion prices of a chip class within one UTC day, in the hours in which it has cards on offer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "chip_class": "A100-class",
                    "starts_at": "2026-12-03T00:00:00Z",
                    "unit": "weighted_fen",
                    "runs": [{"starts_at": "2026-12-03T00:00:00Z", "hours": 24, "price_micro": 206080000}],
                }
            ]
        }
    )
    chip_class: str
    starts_at: Moment = Field(description="the first of its hours")
    unit: Unit
    runs: list[PriceRunOut]


class BudgetPriceOut(Output):
    """What a clearing took of a budget, and what one more fen of it would add."""

    budget: str = Field(examples=["open-example/pool/2026"])
    limit_fen: int = Field(description="what was left of it before")
    used_fen: int
    unit: Unit
    shadow_price_micro: int = Field(description="millionths of the unit per fen; 0 where the budget does not bind")


@router.get(
    "/clearings/{clearing_id}/prices",
    summary="List a clearing's congestion prices",
    description=(
        "By chip class and UTC day, each day as stretches of equal price: the mean over the class's offers, weighted by"
        " their cards, of what one more card would add in the hour. The desk and auditors see every class; others those"
        " in which at least three buyers were matched, so that no price can be read as one buyer's limit."
    ),
    responses=problems(
        UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, NO_OUTCOME, UNKNOWN_CHIP, TO_BEFORE_FROM, BAD_CURSOR, ONE_CURSOR
    ),
)
async def list_prices(
    clearing_id: ClearingId,
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    chip: Annotated[
        list[Text] | None, Query(max_length=100, description="a chip class, or a model of one; repeatable")
    ] = None,
    low: Annotated[HourMoment | None, Query(alias="from", description="from this hour on")] = None,
    high: Annotated[HourMoment | None, Query(alias="to", description="up to this hour, not included")] = None,
) -> Page[ClassPricesOut]:
    """Return a page of congestion prices."""
    if low is not None and high is not None and high <= low:
        raise TO_BEFORE_FROM.field("to")
    book = await pricing.get_book(session, context.database, caller, clearing_id)
    query = {"chip": chip, "from": _told(low), "to": _told(high)}
    found, has_more, cursors = slice_page(
        pricing.days(book, chip or [], _hour(low), _hour(high)),
        lambda row: (row.name, row.hour),
        page,
        signer=context.signer,
        listing=listing_name(f"clearings/{clearing_id}/prices", query),
    )
    items = [_prices_out(row, book.unit) for row in found]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/clearings/{clearing_id}/budgets",
    summary="List a clearing's budgets",
    description="With their shadow prices. The desk and auditors see all, others the programmes' pools.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, NO_OUTCOME, BAD_CURSOR, ONE_CURSOR),
)
async def list_budgets(
    clearing_id: ClearingId, caller: Anyone, session: Reading, context: Context, page: Paging
) -> Page[BudgetPriceOut]:
    """Return a page of budgets."""
    book = await pricing.get_book(session, context.database, caller, clearing_id)
    found, has_more, cursors = slice_page(
        book.budgets,
        lambda use: (use.name,),
        page,
        signer=context.signer,
        listing=listing_name(f"clearings/{clearing_id}/budgets", {}),
    )
    items = [_budget_out(use, book.unit) for use in found]
    return page_of(items, has_more=has_more, cursors=cursors, query={"limit": page.limit})


def _hour(moment: datetime | None) -> int | None:
    return None if moment is None else hour_index(moment)


def _told(moment: datetime | None) -> str | None:
    return None if moment is None else format_rfc3339(moment)


def _prices_out(row: DayPrices, unit: str) -> ClassPricesOut:
    return ClassPricesOut(
        chip_class=row.name,
        starts_at=from_hour_index(row.hour),
        unit=unit,
        runs=[
            PriceRunOut(starts_at=from_hour_index(run.hour), hours=run.hours, price_micro=run.price_micro)
            for run in row.runs
        ],
    )


def _budget_out(use: BudgetUse, unit: str) -> BudgetPriceOut:
    return BudgetPriceOut(
        budget=use.name,
        limit_fen=use.limit_fen,
        used_fen=use.used_fen,
        unit=unit,
        shadow_price_micro=use.shadow_price_micro,
    )
