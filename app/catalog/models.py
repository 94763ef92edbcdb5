"""Tables of chip models, offers and their capacity."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.kit.db import Base
from app.kit.ids import new_id

WHOLE_HOUR = "mod(extract(epoch from {0}), 3600) = 0"


class OfferState(StrEnum):
    """Open for booking, or withdrawn (what is reserved on it stays)."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"


class PriceUnit(StrEnum):
    """What a supplier's posted price is for."""

    CARD_HOUR = "card_hour"
    INSTANCE_MONTH = "instance_month"


class ChipModel(Base):
    """One product in the catalogue; a chip class gathers models that a buyer may treat as equivalent."""

    __tablename__ = "chip_model"
    __table_args__ = (
        CheckConstraint("length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("fp16_tflops > 0", name="fp16_tflops_positive"),
        CheckConstraint("memory_gb > 0", name="memory_gb_positive"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    vendor: Mapped[str | None]
    fp16_tflops: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    memory_gb: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    domestic: Mapped[bool | None]
    chip_class: Mapped[str | None] = mapped_column(index=True)
    source: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Offer(Base):
    """A supplier's listing. Its capacity is in `capacity_step`."""

    __tablename__ = "offer"
    __table_args__ = (
        UniqueConstraint("supplier_org_id", "ref"),
        UniqueConstraint("supplier_org_id", "id"),
        CheckConstraint("state IN ('open', 'withdrawn')", name="state_known"),
        CheckConstraint("price_fen BETWEEN 0 AND 100000000", name="price_range"),
        CheckConstraint("list_price_fen BETWEEN 0 AND 100000000", name="list_price_range"),
        CheckConstraint("cards_per_node BETWEEN 1 AND 100000", name="cards_per_node_range"),
        CheckConstraint("interconnect_gbps BETWEEN 0 AND 1000000", name="interconnect_range"),
        CheckConstraint(
            "(price_unit = 'instance_month') = (posted_fen_per_instance_month IS NOT NULL)",
            name="posted_price_whole",
        ),
        Index("offer_price_fen_id_idx", "price_fen", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    ref: Mapped[str]
    region: Mapped[str]
    chip_model: Mapped[str] = mapped_column(ForeignKey("chip_model.name"), index=True)
    cards_per_node: Mapped[int]
    interconnect_gbps: Mapped[int | None]
    price_fen: Mapped[int]
    list_price_fen: Mapped[int]
    price_unit: Mapped[str] = mapped_column(default=PriceUnit.CARD_HOUR.value)
    posted_fen_per_instance_month: Mapped[int | None]
    listed_fen_per_instance_month: Mapped[int | None]
    auto_accept: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(default=OfferState.OPEN.value)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    observed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    chip: Mapped[ChipModel] = relationship(lazy="raise")


class CapacityStep(Base):
    """From `starts_at` until the next step the offer has `cards`; the last step is 0."""

    __tablename__ = "capacity_step"
    __table_args__ = (
        CheckConstraint("cards BETWEEN 0 AND 100000", name="cards_range"),
        CheckConstraint(WHOLE_HOUR.format("starts_at"), name="whole_hour"),
    )

    offer_id: Mapped[UUID] = mapped_column(ForeignKey("offer.id"), primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    cards: Mapped[int]


class OfferBook(Base):
    """The narrow row that every change of an offer's capacity or reservations locks and counts; the guard's own."""

    __tablename__ = "offer_book"

    offer_id: Mapped[UUID] = mapped_column(ForeignKey("offer.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(server_default="0")
