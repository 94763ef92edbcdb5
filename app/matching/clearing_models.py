"""Tables of clearings: the runs themselves, their input and result, and what came of each request."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class ClearingState(StrEnum):
    """`queued → running → succeeded | failed`, or `cancelled`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self not in (ClearingState.QUEUED, ClearingState.RUNNING)


class ClearingMode(StrEnum):
    """`dry_run` decides and reserves nothing; `apply` holds what was matched."""

    DRY_RUN = "dry_run"
    APPLY = "apply"


class RowKind(StrEnum):
    """What a row of a clearing tells."""

    MATCH = "match"
    UNMATCHED = "unmatched"


class Clearing(Base):
    """A run over the open market; the worker holds it under a lease, `attempt` guards against a lapsed runner.

    `status` is the engine's word for the outcome, null while there is none. `losers` are matches that the present had
    overtaken when they were applied, each with its reason.
    """

    __tablename__ = "clearing"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state_known"),
        CheckConstraint("mode IN ('dry_run', 'apply')", name="mode_known"),
        CheckConstraint("(state IN ('failed', 'cancelled')) = (error IS NOT NULL)", name="error_where_ended_so"),
        CheckConstraint(
            "state <> 'succeeded' OR (status IN ('optimal', 'feasible') AND objective_fen IS NOT NULL)",
            name="success_has_an_outcome",
        ),
        Index("clearing_waiting_idx", "id", postgresql_where=text("state IN ('queued', 'running')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    requested_by: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    state: Mapped[str] = mapped_column(default=ClearingState.QUEUED.value)
    mode: Mapped[str]
    options: Mapped[dict[str, Any]]
    attempt: Mapped[int] = mapped_column(default=0)
    lease_ends_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str | None]
    objective_fen: Mapped[int | None]
    bound_fen: Mapped[int | None]
    matches: Mapped[int | None]
    losers: Mapped[list[Any]] = mapped_column(default=list)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def gap(self) -> float | None:
        """(bound − objective) / bound, 0 where the bound is 0."""
        if self.bound_fen is None or self.objective_fen is None:
            return None
        return 0.0 if self.bound_fen == 0 else (self.bound_fen - self.objective_fen) / self.bound_fen


class ClearingFile(Base):
    """What a run cleared and what came out, compressed: the instance's canonical JSON and the result's."""

    __tablename__ = "clearing_file"

    clearing_id: Mapped[UUID] = mapped_column(ForeignKey("clearing.id"), primary_key=True)
    instance: Mapped[bytes] = mapped_column(LargeBinary)
    outcome: Mapped[bytes] = mapped_column(LargeBinary)


class ClearingRow(Base):
    """A match or an unmatched request of a clearing; the parties see their own. `reservation_id` is what holds it."""

    __tablename__ = "clearing_row"
    __table_args__ = (
        CheckConstraint("kind IN ('match', 'unmatched')", name="kind_known"),
        CheckConstraint(
            "(kind = 'match') = (offer_id IS NOT NULL AND supplier_org_id IS NOT NULL)", name="match_has_an_offer"
        ),
        Index("clearing_row_buyer_org_id_idx", "buyer_org_id", "clearing_id"),
        Index("clearing_row_supplier_org_id_idx", "supplier_org_id", "clearing_id"),
    )

    clearing_id: Mapped[UUID] = mapped_column(ForeignKey("clearing.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    request_id: Mapped[UUID] = mapped_column(ForeignKey("request.id"))
    offer_id: Mapped[UUID | None] = mapped_column(ForeignKey("offer.id"))
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    reservation_id: Mapped[UUID | None] = mapped_column(ForeignKey("reservation.id"))
    body: Mapped[dict[str, Any]]
