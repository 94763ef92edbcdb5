"""Tables of requests and their alternatives."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, SmallInteger, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.kit.db import Base
from app.kit.ids import new_id


class RequestState(StrEnum):
    """How far a request has come. Derived from its live reservations while it is open."""

    OPEN = "open"
    PARTLY_MATCHED = "partly_matched"
    MATCHED = "matched"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class ComputeRequest(Base):
    """A buyer's need: `blocks` identical blocks, of which at least `min_blocks` or none are matched."""

    __tablename__ = "request"
    __table_args__ = (
        UniqueConstraint("buyer_org_id", "ref"),
        UniqueConstraint("buyer_org_id", "id"),
        CheckConstraint(
            "state IN ('open', 'partly_matched', 'matched', 'closed', 'withdrawn', 'expired')",
            name="state_known",
        ),
        CheckConstraint("earliest_start < deadline", name="window_ordered"),
        CheckConstraint("blocks BETWEEN 1 AND 1000", name="blocks_range"),
        CheckConstraint("min_blocks BETWEEN 1 AND blocks", name="min_blocks_range"),
        CheckConstraint("priority BETWEEN 1 AND 1000", name="priority_range"),
        Index("request_submitted_at_id_idx", "submitted_at", "id"),
        Index(
            "request_open_deadline_idx",
            "deadline",
            postgresql_where=text("state IN ('open', 'partly_matched')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    ref: Mapped[str]
    submitted_at: Mapped[datetime]
    earliest_start: Mapped[datetime]
    deadline: Mapped[datetime]
    blocks: Mapped[int] = mapped_column(default=1)
    min_blocks: Mapped[int] = mapped_column(default=1)
    priority: Mapped[int] = mapped_column(default=1)
    regions: Mapped[list[str]] = mapped_column(default=list)
    suppliers_allowed: Mapped[list[str]] = mapped_column(default=list)
    suppliers_refused: Mapped[list[str]] = mapped_column(default=list)
    min_interconnect_gbps: Mapped[int | None]
    min_cards_per_node: Mapped[int | None]
    domestic: Mapped[bool | None]
    state: Mapped[str] = mapped_column(default=RequestState.OPEN.value)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    alternatives: Mapped[list["Alternative"]] = relationship(
        back_populates="request", lazy="raise", order_by="Alternative.position", cascade="all, delete-orphan"
    )


class Alternative(Base):
    """One way to meet a block: chips by selector or by minimum memory and speed, a gang of cards, hours, a price.

    `hours` is as asked; a reservation takes it rounded up to whole hours.
    """

    __tablename__ = "request_alternative"
    __table_args__ = (
        CheckConstraint("cards BETWEEN 1 AND 100000", name="cards_range"),
        CheckConstraint("hours > 0 AND hours <= 20000", name="hours_range"),
        CheckConstraint("max_net_price_fen BETWEEN 0 AND 100000000", name="max_net_price_range"),
    )

    request_id: Mapped[UUID] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    chips: Mapped[str]
    min_memory_gb: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    min_fp16_tflops: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    cards: Mapped[int]
    hours: Mapped[Decimal] = mapped_column(Numeric)
    max_net_price_fen: Mapped[int]
    request: Mapped[ComputeRequest] = relationship(back_populates="alternatives", lazy="raise")
