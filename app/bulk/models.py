"""Tables of import and export jobs and their files."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class JobKind(StrEnum):
    """Which way the data goes."""

    IMPORT = "import"
    EXPORT = "export"


class JobState(StrEnum):
    """`queued → running → succeeded | failed`, or `cancelled`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BulkJob(Base):
    """An import or export, run by the worker under a lease; `attempt` guards against a lapsed runner."""

    __tablename__ = "bulk_job"
    __table_args__ = (
        CheckConstraint("kind IN ('import', 'export')", name="kind_known"),
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state_known"),
        CheckConstraint("NOT (result IS NOT NULL AND error IS NOT NULL)", name="result_or_error"),
        Index("bulk_job_waiting_idx", "created_at", postgresql_where=text("state IN ('queued', 'running')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(default=JobState.QUEUED.value)
    role: Mapped[str]
    options: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(default=0)
    lease_ends_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]


class BulkFile(Base):
    """A file that was uploaded for, or written by, a job."""

    __tablename__ = "bulk_file"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("bulk_job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    content: Mapped[bytes] = mapped_column(LargeBinary)
