"""What goes in and out of the reservations' endpoints."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.catalog.schemas import OfferId
from app.demand.schemas import RequestId
from app.kit.ids import TypeId
from app.kit.schemas import Input, LongText, Moment, Output, Text
from app.reservations.models import Reservation, ReservationState
from app.vouchers.models import VoucherState
from app.vouchers.schemas import VoucherId

ReservationId = Annotated[UUID, TypeId("rsv")]
MAX_HOURS: Final = 20_000


class Side(StrEnum):
    """A party of a reservation."""

    BUYER = "buyer"
    SUPPLIER = "supplier"


class CancelReason(StrEnum):
    """Why a party gives a reservation up; each reason belongs to one side, or to the desk."""

    BUYER_CHANGED_PLANS = "buyer_changed_plans"
    BUYER_FOUND_ELSEWHERE = "buyer_found_elsewhere"
    REFUSED = "refused"
    SUPPLIER_UNAVAILABLE = "supplier_unavailable"
    HARDWARE_FAILURE = "hardware_failure"
    DESK_DECISION = "desk_decision"


class EndReason(StrEnum):
    """Why the service itself ended a reservation."""

    HOLD_LAPSED = "hold_lapsed"
    BELOW_MIN_BLOCKS = "below_min_blocks"
    VOUCHER_REJECTED = "voucher_rejected"


REASONS_OF: Final = {
    Side.BUYER: (CancelReason.BUYER_CHANGED_PLANS, CancelReason.BUYER_FOUND_ELSEWHERE),
    Side.SUPPLIER: (CancelReason.REFUSED, CancelReason.SUPPLIER_UNAVAILABLE, CancelReason.HARDWARE_FAILURE),
}


class ReservationSubsidyOut(Output):
    """A voucher that takes something off what a reservation costs."""

    voucher_id: VoucherId
    programme: str = Field(examples=["open-example"])
    tier: str = Field(examples=["general"])
    amount_fen: int = Field(description="earmarked for it", examples=[12_500])
    issued_fen: int | None = Field(description="what of it was issued", examples=[None])
    state: VoucherState


class ReservationOut(Output):
    """Capacity held for one block of a request on one offer, `[starts_at, ends_at)`."""

    id: ReservationId
    state: ReservationState
    request_id: RequestId
    block: int = Field(description="which of the request's blocks, from 0", examples=[0])
    offer_id: OfferId
    offer_ref: str
    chip_model: str = Field(examples=["Ascend 910B"])
    region: str
    buyer_org_id: OrgId
    supplier_org_id: OrgId
    cards: int = Field(examples=[8])
    starts_at: Moment
    ends_at: Moment
    hours: int = Field(description="whole hours from start to end", examples=[24])
    price_fen: int = Field(description="fen per card-hour", examples=[850])
    cost_fen: int = Field(description="price × cards × hours", examples=[163200])
    subsidies: list[ReservationSubsidyOut] = Field(description="its vouchers, by programme; both sides see them")
    subsidy_fen: int = Field(description="what vouchers take off; at most the cost", examples=[0])
    net_fen: int = Field(description="what the buyer pays", examples=[163200])
    currency: Literal["CNY"] = "CNY"
    hold_ends_at: Moment | None = Field(description="until when both sides must have accepted; null once confirmed")
    buyer_accepted_at: Moment | None
    supplier_accepted_at: Moment | None
    reason_code: str | None = Field(description="why it was cancelled or expired, else null", examples=[None])
    reason_detail: str | None
    version: int = Field(description="what the ETag is made of", examples=[1])
    created_at: Moment
    updated_at: Moment


class ReservationList(Output):
    """Reservations that were made together."""

    data: list[ReservationOut]


class AcceptIn(Input):
    """Accept a hold."""

    side: Annotated[Side, Field(strict=False)] | None = Field(
        default=None, description="for whom: needed by the desk and by who is both sides", examples=["buyer"]
    )


class CancelIn(Input):
    """Give a reservation up before it runs."""

    reason: Annotated[CancelReason, Field(strict=False)] = Field(examples=["buyer_changed_plans"])
    detail: LongText | None = Field(default=None, description="in one's own words; both sides see it")


class ExtendIn(Input):
    """Keep the cards longer."""

    hours: int = Field(ge=1, le=MAX_HOURS, description="whole hours more", examples=[24])


class EndIn(Input):
    """End a running reservation early. Takes no fields."""


class AccessIn(Input):
    """How the buyer gets to the cards; a field left out or null is emptied."""

    contact: Text | None = Field(
        default=None, description="whom to reach; by default the supplier's own contact", examples=["ops@example.test"]
    )
    instructions: LongText | None = Field(default=None, examples=["ssh user@gpu.example.test"])


class AccessOut(Output):
    """How the buyer gets to the cards."""

    reservation_id: ReservationId
    contact: str | None
    instructions: str | None


def hours_between(starts_at: datetime, ends_at: datetime) -> int:
    """Return the whole hours of an interval that begins and ends on whole hours."""
    return int((ends_at - starts_at).total_seconds()) // 3600


def reservation_out(row: Reservation) -> ReservationOut:
    """Return a reservation, loaded with its offer and vouchers, as it is shown."""
    return ReservationOut(
        id=row.id,
        state=ReservationState(row.state),
        request_id=row.request_id,
        block=row.block,
        offer_id=row.offer_id,
        offer_ref=row.offer.ref,
        chip_model=row.offer.chip_model,
        region=row.offer.region,
        buyer_org_id=row.buyer_org_id,
        supplier_org_id=row.supplier_org_id,
        cards=row.cards,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        hours=hours_between(row.starts_at, row.ends_at),
        price_fen=row.price_fen,
        cost_fen=row.cost_fen,
        subsidies=[
            ReservationSubsidyOut(
                voucher_id=each.id,
                programme=each.programme_id,
                tier=each.tier,
                amount_fen=each.amount_fen,
                issued_fen=each.issued_fen,
                state=VoucherState(each.state),
            )
            for each in row.vouchers
        ],
        subsidy_fen=row.subsidy_fen,
        net_fen=row.net_fen,
        hold_ends_at=row.hold_ends_at,
        buyer_accepted_at=row.buyer_accepted_at,
        supplier_accepted_at=row.supplier_accepted_at,
        reason_code=row.reason_code,
        reason_detail=row.reason_detail,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
