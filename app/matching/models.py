"""The table of quotes: what was offered to a buyer, bookable as it stands until it lapses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class Quote(Base):
    """The best feasible options for one need at one moment.

    `need` is what was asked; a quote without `request_id` makes a request of it when it is booked.
    """

    __tablename__ = "quote"
    __table_args__ = (Index("quote_expires_at_idx", "expires_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    request_id: Mapped[UUID | None]
    need: Mapped[dict[str, Any]]
    options: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
