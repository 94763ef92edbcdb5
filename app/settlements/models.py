"""Tables of delivery reports, settlement lines and redemptions. The guards of deliveries are in the migrations."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.kit.db import Base
from app.kit.ids import new_id


class SettlementKind(StrEnum):
    """`prepaid` and `arrears` bill; `refund` gives back; `redemption` bills nothing and only redeems, or gives back."""

    PREPAID = "prepaid"
    ARREARS = "arrears"
    REFUND = "refund"
    REDEMPTION = "redemption"


class PaymentState(StrEnum):
    """`open → paid` or `void`; where nothing is to be paid, `paid` from the start."""

    OPEN = "open"
    PAID = "paid"
    VOID = "void"

    def may_become(self, other: "PaymentState") -> bool:
        """Whether the turn from this state to `other` exists."""
        return other in TURNS[self]


class RedemptionKind(StrEnum):
    """`redeemed` takes from a voucher; `given_back` returns to it what a redemption took too much."""

    REDEEMED = "redeemed"
    GIVEN_BACK = "given_back"


TURNS: Final = {
    PaymentState.OPEN: {PaymentState.PAID, PaymentState.VOID},
    PaymentState.PAID: set[PaymentState](),
    PaymentState.VOID: set[PaymentState](),
}
_WHOLE_SECONDS: Final = "date_trunc('second', {0}) = {0}"


class DeliveryReport(Base):
    """What a supplier metered in a period of a reservation. Never changed: a correction is a row that names it."""

    __tablename__ = "delivery_report"
    __table_args__ = (
        CheckConstraint("card_seconds >= 0", name="card_seconds_range"),
        CheckConstraint("period_start < period_end", name="period_ordered"),
        CheckConstraint(
            f"{_WHOLE_SECONDS.format('period_start')} AND {_WHOLE_SECONDS.format('period_end')}", name="whole_seconds"
        ),
        CheckConstraint("corrects_id <> id", name="corrects_another"),
        CheckConstraint("(disputed_at IS NULL) = (dispute_reason IS NULL)", name="dispute_has_reason"),
        Index(
            "delivery_report_one_correction",
            "corrects_id",
            unique=True,
            postgresql_where=text("corrects_id IS NOT NULL"),
        ),
        Index("delivery_report_reservation_id_idx", "reservation_id", "period_start"),
        Index("delivery_report_supplier_org_id_idx", "supplier_org_id", "id"),
        Index("delivery_report_buyer_org_id_idx", "buyer_org_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    reservation_id: Mapped[UUID] = mapped_column(ForeignKey("reservation.id"))
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    card_seconds: Mapped[int]
    corrects_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery_report.id"))
    disputed_at: Mapped[datetime | None]
    dispute_reason: Mapped[str | None]
    created_at: Mapped[datetime]


class DeliveryBook(Base):
    """The lock of a reservation's reports, counted up by the guard at each; nobody else writes it."""

    __tablename__ = "delivery_book"

    reservation_id: Mapped[UUID] = mapped_column(ForeignKey("reservation.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(server_default="0")


class SettlementDue(Base):
    """A reservation whose contract is to be settled, put here by triggers; the sweep takes it off."""

    __tablename__ = "settlement_due"

    reservation_id: Mapped[UUID] = mapped_column(ForeignKey("reservation.id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class SettlementCounter(Base):
    """The last number that a supplier's settlements took: a row's lock, so that a rollback leaves no gap."""

    __tablename__ = "settlement_counter"

    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    last_number: Mapped[int]


class Settlement(Base):
    """What is billed at a point of a contract's delivery, from its totals; only the payment changes afterwards.

    `amount_fen` is the difference to what was billed before, negative in a refund; `payable_fen` is what the buyer
    pays of it (the supplier, where negative): less redemptions that the supplier is paid by the programme.
    """

    __tablename__ = "settlement"
    __table_args__ = (
        CheckConstraint("kind IN ('prepaid', 'arrears', 'refund', 'redemption')", name="kind_known"),
        CheckConstraint("sign(amount_fen) = CASE kind WHEN 'refund' THEN -1 WHEN 'redemption' THEN 0 ELSE 1 END",
            name="amount_sign"),
        CheckConstraint("payment_state IN ('open', 'paid', 'void')", name="payment_state_known"),
        CheckConstraint("(payment_state = 'paid') = (paid_at IS NOT NULL)", name="paid_has_time"),
        CheckConstraint("payable_fen <> 0 OR payment_state <> 'open'", name="nothing_to_pay_is_paid"),
        CheckConstraint("number >= 1", name="number_range"),
        CheckConstraint("price_fen >= 0 AND card_seconds_total >= 0", name="metered_range"),
        CheckConstraint("period_start < period_end", name="period_ordered"),
        UniqueConstraint("supplier_org_id", "number", name="settlement_number_once"),
        Index("settlement_contract_id_idx", "contract_id", "id"),
        Index("settlement_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("settlement_supplier_org_id_idx", "supplier_org_id", "id"),
        Index("settlement_report_id_idx", "report_id", postgresql_where=text("report_id IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    contract_id: Mapped[UUID] = mapped_column(ForeignKey("contract.id"))
    reservation_id: Mapped[UUID] = mapped_column(ForeignKey("reservation.id"))
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    number: Mapped[int]
    kind: Mapped[str]
    report_id: Mapped[UUID | None] = mapped_column(ForeignKey("delivery_report.id"))
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    price_fen: Mapped[int]
    card_seconds_total: Mapped[int]
    amount_fen: Mapped[int]
    payable_fen: Mapped[int]
    payment_state: Mapped[str]
    paid_at: Mapped[datetime | None]
    payment_reference: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    redemptions: Mapped[list["Redemption"]] = relationship(lazy="raise", viewonly=True, order_by="Redemption.id")


class Redemption(Base):
    """Voucher money of a settlement, one transfer of the ledger. `claim_id` is that of the live claim it is in."""

    __tablename__ = "redemption"
    __table_args__ = (
        CheckConstraint("kind IN ('redeemed', 'given_back')", name="kind_known"),
        CheckConstraint("(kind = 'given_back') = (of_id IS NOT NULL)", name="given_back_names_redemption"),
        CheckConstraint("amount_fen > 0", name="amount_range"),
        CheckConstraint("kind = 'redeemed' OR claim_id IS NULL", name="redeemed_is_claimed"),
        Index("redemption_settlement_id_idx", "settlement_id"),
        Index("redemption_voucher_id_idx", "voucher_id", "id"),
        Index("redemption_of_id_idx", "of_id", postgresql_where=text("of_id IS NOT NULL")),
        Index("redemption_claimant_org_id_idx", "claimant_org_id", "programme_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    settlement_id: Mapped[UUID] = mapped_column(ForeignKey("settlement.id"))
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("voucher.id"))
    programme_id: Mapped[str]
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    claimant_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    kind: Mapped[str]
    of_id: Mapped[UUID | None] = mapped_column(ForeignKey("redemption.id"))
    amount_fen: Mapped[int]
    transfer_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transfer.id"), unique=True)
    claim_id: Mapped[UUID | None]
    created_at: Mapped[datetime]
