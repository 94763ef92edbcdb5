"""What goes in and out of search, quotes and booking."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.catalog.schemas import OfferId, OfferOut, SupplierOut
from app.demand.schemas import Blocks, RequestId, Selector, SiteIn
from app.kit.ids import TypeId
from app.kit.schemas import Cards, Hours, Input, Moment, Output, PriceFen, Quantity
from app.matching.errors import EmptyReason

QuoteId = Annotated[UUID, TypeId("quote")]


class FoundOfferOut(OfferOut):
    """A listing; for a shape, from when it can hold it and what that costs."""

    earliest_start: Moment | None = Field(description="the first whole hour at which the shape fits; null without one")
    total_fen: int | None = Field(description="price × cards × hours of the shape; null without one")


class NeedAlternativeIn(Input):
    """One way to meet a block: a gang of cards for hours in a row on one offer."""

    chips: Selector = "any"
    min_memory_gb: Quantity | None = Field(default=None, description="GB of one card at least")
    min_fp16_tflops: Quantity | None = Field(default=None, description="dense FP16 TFLOPS of one card at least")
    cards: Cards
    hours: Hours = Field(description="a reservation takes them rounded up to whole hours")
    max_net_price_fen: PriceFen | None = Field(
        default=None, description="the most per card-hour after subsidy, in fen; null for no limit"
    )


class NeedIn(Input):
    """A need that is not posted as a request; booking an option of its quote makes a request of it."""

    alternatives: list[NeedAlternativeIn] = Field(min_length=1, max_length=20, description="any one of these will do")
    earliest_start: Moment
    deadline: Moment = Field(description="all is done before this moment")
    blocks: Blocks = 1
    site: SiteIn = Field(default_factory=SiteIn)


class QuoteIn(Input):
    """What to quote for: a posted request, or a need."""

    request_id: RequestId | None = None
    need: NeedIn | None = None
    buyer_org_id: OrgId | None = Field(default=None, description="for whose need, by the desk only")
    blocks: Blocks | None = Field(
        default=None,
        description="of a request: how many blocks; by default what it lacks to its min_blocks, and at least 1",
    )
    limit: int = Field(default=5, ge=1, le=20, description="options at most")


class QuotedSubsidyOut(Output):
    """What one programme's tier takes off a block; earmarked when the option is booked."""

    programme: str = Field(examples=["open-example"])
    programme_version: int = Field(examples=[1])
    tier: str = Field(examples=["general"])
    year: int = Field(description="whose budgets it draws on", examples=[2026])
    amount_fen: int = Field(examples=[81600])


class PlacementOut(Output):
    """One block on one offer, `[starts_at, ends_at)`."""

    block: int = Field(description="which of the request's blocks, from 0")
    alternative: int = Field(description="by which of the need's alternatives, from 0")
    offer_id: OfferId
    offer_ref: str
    supplier: SupplierOut
    chip_model: str
    region: str
    interconnect_gbps: int | None
    auto_accept: bool = Field(description="the supplier accepts every booking at once")
    starts_at: Moment
    ends_at: Moment
    cards: int
    hours: int
    price_fen: int = Field(description="fen per card-hour")
    cost_fen: int = Field(description="price × cards × hours")
    subsidies: list[QuotedSubsidyOut] = Field(description="what vouchers take off, by programme and tier")
    subsidy_fen: int = Field(description="what vouchers take off in all")
    net_fen: int = Field(description="cost less subsidy: what the buyer pays")


class OptionOut(Output):
    """A way to place all blocks asked for; booked as a whole."""

    option: int = Field(description="its number, from 1", examples=[1])
    placements: list[PlacementOut]
    net_fen: int = Field(description="what the buyer pays for all of them")


class ReasonOut(Output):
    """Why nothing can be offered."""

    code: EmptyReason
    detail: str


class QuoteOut(Output):
    """The best options now: least net cost first, then earliest start, then lowest offer id."""

    id: QuoteId
    buyer_org_id: OrgId
    request_id: RequestId | None = Field(description="null for a need")
    blocks: int = Field(description="how many blocks each option places")
    options: list[OptionOut]
    reason: ReasonOut | None = Field(description="why there is no option; null where there is one")
    currency: Literal["CNY"] = "CNY"
    created_at: Moment
    expires_at: Moment = Field(description="until when an option can be booked, as long as it is free")


class BookingIn(Input):
    """Book an option of a quote."""

    quote_id: QuoteId
    option: int = Field(default=1, ge=1, le=20, description="its number, from 1")
