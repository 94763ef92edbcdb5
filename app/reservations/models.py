"""Tables of reservations and their journal. The capacity guard itself is in the migrations."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, func, text
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from app.catalog.models import WHOLE_HOUR, Offer
from app.kit.db import Base
from app.kit.ids import new_id
from app.vouchers.models import Voucher


class ReservationState(StrEnum):
    """`held → confirmed → active → completed`, or `cancelled`, `expired`; the guard refuses other turns."""

    HELD = "held"
    CONFIRMED = "confirmed"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_live(self) -> bool:
        """Whether a reservation in this state takes capacity."""
        return self.value in LIVE

    def may_become(self, other: "ReservationState") -> bool:
        """Whether the turn from this state to `other` exists."""
        return other in TURNS[self]


LIVE: Final = ("held", "confirmed", "active", "completed")
TURNS: Final = {
    ReservationState.HELD: {
        ReservationState.CONFIRMED,
        ReservationState.CANCELLED,
        ReservationState.EXPIRED,
    },
    ReservationState.CONFIRMED: {ReservationState.ACTIVE, ReservationState.CANCELLED},
    ReservationState.ACTIVE: {ReservationState.COMPLETED},
    ReservationState.COMPLETED: set[ReservationState](),
    ReservationState.CANCELLED: set[ReservationState](),
    ReservationState.EXPIRED: set[ReservationState](),
}
_LIVE_SQL: Final = "state IN ('held', 'confirmed', 'active', 'completed')"


class Reservation(Base):
    """Capacity held for one block of a request on one offer, `[starts_at, ends_at)` on whole hours."""

    __tablename__ = "reservation"
    __table_args__ = (
        CheckConstraint(
            "state IN ('held', 'confirmed', 'active', 'completed', 'cancelled', 'expired')",
            name="state_known",
        ),
        CheckConstraint("cards BETWEEN 1 AND 100000", name="cards_range"),
        CheckConstraint("starts_at < ends_at", name="interval_ordered"),
        CheckConstraint(f"{WHOLE_HOUR.format('starts_at')} AND {WHOLE_HOUR.format('ends_at')}", name="whole_hours"),
        CheckConstraint("block >= 0", name="block_range"),
        CheckConstraint("price_fen >= 0", name="price_range"),
        CheckConstraint("subsidy_fen >= 0 AND subsidy_fen <= cost_fen", name="subsidy_range"),
        CheckConstraint("net_fen = cost_fen - subsidy_fen", name="net_is_cost_less_subsidy"),
        CheckConstraint("(state = 'held') <= (hold_ends_at IS NOT NULL)", name="hold_has_an_end"),
        CheckConstraint("(state IN ('cancelled', 'expired')) = (reason_code IS NOT NULL)", name="reason_where_ended"),
        ForeignKeyConstraint(["supplier_org_id", "offer_id"], ["offer.supplier_org_id", "offer.id"]),
        ForeignKeyConstraint(["buyer_org_id", "request_id"], ["request.buyer_org_id", "request.id"]),
        Index(
            "reservation_one_live_per_block",
            "request_id",
            "block",
            unique=True,
            postgresql_where=text(_LIVE_SQL),
        ),
        Index("reservation_live_idx", "offer_id", "ends_at", "starts_at", postgresql_where=text(_LIVE_SQL)),
        Index("reservation_held_idx", "hold_ends_at", postgresql_where=text("state = 'held'")),
        Index("reservation_due_start_idx", "starts_at", postgresql_where=text("state = 'confirmed'")),
        Index("reservation_due_end_idx", "ends_at", postgresql_where=text("state = 'active'")),
        Index("reservation_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("reservation_supplier_org_id_idx", "supplier_org_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    offer_id: Mapped[UUID]
    request_id: Mapped[UUID]
    block: Mapped[int]
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    cards: Mapped[int]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default=ReservationState.HELD.value)
    hold_ends_at: Mapped[datetime | None]
    buyer_accepted_at: Mapped[datetime | None]
    supplier_accepted_at: Mapped[datetime | None]
    reason_code: Mapped[str | None]
    reason_detail: Mapped[str | None]
    price_fen: Mapped[int]
    cost_fen: Mapped[int]
    subsidy_fen: Mapped[int] = mapped_column(default=0)
    net_fen: Mapped[int]
    access_contact: Mapped[str | None]
    access_instructions: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    offer: Mapped[Offer] = relationship(lazy="raise", viewonly=True)
    vouchers: Mapped[list[Voucher]] = relationship(
        lazy="raise",
        viewonly=True,
        primaryjoin=lambda: Reservation.id == foreign(Voucher.subject_id),
        order_by=(Voucher.programme_id, Voucher.id),
    )


class JournalEntry(Base):
    """What the guard wrote at each change of a reservation, in the order of its offer's book; append-only."""

    __tablename__ = "reservation_journal"
    __table_args__ = (Index("reservation_journal_reservation_id_idx", "reservation_id"),)

    offer_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    reservation_id: Mapped[UUID] = mapped_column(primary_key=True)
    cards: Mapped[int]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    state: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
