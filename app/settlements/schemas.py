"""What goes in and out of the endpoints of deliveries and settlements."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.schemas import OrgId
from app.contracts.schemas import ContractId
from app.kit.ids import TypeId
from app.kit.schemas import Fen, Input, LongText, Moment, Output, Text
from app.reservations.schemas import ReservationId
from app.settlements.models import DeliveryReport, PaymentState, Redemption, RedemptionKind, Settlement, SettlementKind
from app.vouchers.schemas import TitleOut, VoucherId

DeliveryId = Annotated[UUID, TypeId("dlv")]
SettlementId = Annotated[UUID, TypeId("stl")]
RedemptionId = Annotated[UUID, TypeId("rdm")]
MOST_REPORTS = 500
CardSeconds = Annotated[int, Field(strict=True, ge=0, le=10**15, examples=[691_200])]


class DeliveryIn(Input):
    """What was metered in a period of a reservation, `[period_start, period_end)` on whole seconds."""

    period_start: Moment
    period_end: Moment
    card_seconds: CardSeconds = Field(description="delivered in the period, over all cards; at most cards × seconds")
    corrects_id: DeliveryId | None = Field(
        default=None, description="the report of the same period that this one takes the place of"
    )


class DeliveriesIn(Input):
    """Reports of one reservation, taken together or not at all."""

    reports: list[DeliveryIn] = Field(min_length=1, max_length=MOST_REPORTS)


class DeliveryOut(Output):
    """What a supplier reported as delivered in a period; never changed, but corrected by a later report."""

    id: DeliveryId
    reservation_id: ReservationId
    buyer_org_id: OrgId
    supplier_org_id: OrgId
    period_start: Moment
    period_end: Moment
    card_seconds: int = Field(examples=[691_200])
    corrects_id: DeliveryId | None = Field(description="the report that this one takes the place of")
    corrected_by: DeliveryId | None = Field(description="the report that took the place of this one; null: in force")
    disputed_at: Moment | None = Field(description="since when the buyer disputes it, else null")
    dispute_reason: str | None
    created_at: Moment


class DisputeIn(Input):
    """Why a report is not what was delivered."""

    reason: LongText = Field(description="both sides and the desk see it", examples=["Two cards were down all day."])


class WithdrawIn(Input):
    """Withdraw a dispute. Takes no fields."""


class RedemptionOut(Output):
    """Voucher money taken off a settlement, or given back to the voucher."""

    id: RedemptionId
    voucher_id: VoucherId
    programme: str = Field(examples=["chengdu-2023"])
    kind: RedemptionKind
    of_id: RedemptionId | None = Field(description="the redemption that is given back, else null")
    amount_fen: int = Field(description="positive, whichever way it goes", examples=[37_500_000])
    claimant_org_id: OrgId = Field(description="who claims it from the programme: the supplier or the buyer")


class SettlementOut(Output):
    """A line of a contract's bill: the rounded total so far less what was billed before."""

    id: SettlementId
    number: int = Field(description="counted by supplier from 1, without gaps", examples=[1])
    kind: SettlementKind
    contract_id: ContractId
    reservation_id: ReservationId
    report_id: DeliveryId | None = Field(description="the delivery report that made it, if one did")
    buyer_org_id: OrgId
    supplier_org_id: OrgId
    period_start: Moment
    period_end: Moment
    price_fen: int = Field(description="fen per card-hour", examples=[1_000])
    card_seconds_total: int = Field(description="owed for in all up to this line", examples=[270_000_000])
    amount_fen: int = Field(description="of this line; below 0 in a refund", examples=[75_000_000])
    redemptions: list[RedemptionOut]
    redeemed_fen: int = Field(description="of vouchers by this line, give-backs taken off", examples=[37_500_000])
    payable_fen: int = Field(
        description="what the buyer pays the supplier; below 0 what the supplier pays back", examples=[37_500_000]
    )
    currency: Literal["CNY"] = "CNY"
    payment_state: PaymentState
    paid_at: Moment | None
    payment_reference: str | None
    version: int = Field(description="what the ETag is made of", examples=[1])
    created_at: Moment


class PartyOut(Output):
    """A side of an invoice."""

    id: OrgId
    name: str
    contact: str | None


class InvoiceVoucherOut(Output):
    """A voucher's part in an invoice."""

    voucher_id: VoucherId
    programme: str = Field(examples=["chengdu-2023"])
    title: TitleOut
    kind: RedemptionKind
    amount_fen: int = Field(examples=[37_500_000])
    deducted: bool = Field(description="whether it is taken off what the buyer pays: the supplier claims it")


class InvoiceOut(Output):
    """A settlement as an invoice: what the buyer pays the supplier, and how it came about."""

    number: int = Field(description="the settlement's, by supplier, without gaps", examples=[1])
    settlement_id: SettlementId
    contract_id: ContractId
    kind: SettlementKind
    issued_at: Moment
    supplier: PartyOut
    buyer: PartyOut
    chip_model: str = Field(examples=["Ascend 910B"])
    region: str
    period_start: Moment
    period_end: Moment
    price_fen: int = Field(description="fen per card-hour", examples=[1_000])
    card_seconds: int = Field(description="of this line", examples=[270_000_000])
    card_seconds_total: int = Field(description="in all, this line included", examples=[270_000_000])
    billed_before_fen: int = Field(examples=[0])
    amount_fen: int = Field(examples=[75_000_000])
    vouchers: list[InvoiceVoucherOut]
    payable_fen: int = Field(description="below 0 what the supplier pays back", examples=[37_500_000])
    payable_in_words: str = Field(description="in Chinese capital characters", examples=["叁拾柒万伍仟元整"])
    currency: Literal["CNY"] = "CNY"
    arithmetic: list[str] = Field(description="how the amount came about, in Chinese and English")
    payment_state: PaymentState
    paid_at: Moment | None


class DeliveriesOut(Output):
    """The reports that were taken, and the settlements that they made."""

    reports: list[DeliveryOut]
    settlements: list[SettlementOut]


class PayIn(Input):
    """That a settlement was paid."""

    amount_fen: Fen = Field(description="what was paid, in integer fen: exactly what was to be paid")
    paid_at: Moment | None = Field(default=None, description="when; by default now")
    reference: Text | None = Field(default=None, description="of the transfer", examples=["ICBC 2026-12-31 0042"])


def delivery_out(row: DeliveryReport, corrected_by: UUID | None = None) -> DeliveryOut:
    """Return a report as shown."""
    return DeliveryOut(
        id=row.id,
        reservation_id=row.reservation_id,
        buyer_org_id=row.buyer_org_id,
        supplier_org_id=row.supplier_org_id,
        period_start=row.period_start,
        period_end=row.period_end,
        card_seconds=row.card_seconds,
        corrects_id=row.corrects_id,
        corrected_by=corrected_by,
        disputed_at=row.disputed_at,
        dispute_reason=row.dispute_reason,
        created_at=row.created_at,
    )


def _redemption_out(row: Redemption) -> RedemptionOut:
    return RedemptionOut(
        id=row.id,
        voucher_id=row.voucher_id,
        programme=row.programme_id,
        kind=RedemptionKind(row.kind),
        of_id=row.of_id,
        amount_fen=row.amount_fen,
        claimant_org_id=row.claimant_org_id,
    )


def signed_fen(row: Redemption) -> int:
    """Return a redemption's amount, below 0 where it was given back."""
    return row.amount_fen if row.kind == RedemptionKind.REDEEMED else -row.amount_fen


def settlement_out(row: Settlement) -> SettlementOut:
    """Return a settlement, loaded with its redemptions, as shown."""
    return SettlementOut(
        id=row.id,
        number=row.number,
        kind=SettlementKind(row.kind),
        contract_id=row.contract_id,
        reservation_id=row.reservation_id,
        report_id=row.report_id,
        buyer_org_id=row.buyer_org_id,
        supplier_org_id=row.supplier_org_id,
        period_start=row.period_start,
        period_end=row.period_end,
        price_fen=row.price_fen,
        card_seconds_total=row.card_seconds_total,
        amount_fen=row.amount_fen,
        redemptions=[_redemption_out(each) for each in row.redemptions],
        redeemed_fen=sum(signed_fen(each) for each in row.redemptions),
        payable_fen=row.payable_fen,
        payment_state=PaymentState(row.payment_state),
        paid_at=row.paid_at,
        payment_reference=row.payment_reference,
        version=row.version,
        created_at=row.created_at,
    )
