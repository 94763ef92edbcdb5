"""Tables of the ledger. The trigger that posts transfers to balances is in the migrations."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class Guard(StrEnum):
    """Which side of an account may never exceed the other; pending amounts count on the side that is bounded."""

    NONE = "none"
    DEBITS_LE_CREDITS = "debits_le_credits"
    CREDITS_LE_DEBITS = "credits_le_debits"


class TransferKind(StrEnum):
    """`single` posts at once; `pending` reserves until one `post` (of at most as much), `void` or `expire`."""

    SINGLE = "single"
    PENDING = "pending"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


RELEASES: Final = (TransferKind.VOID, TransferKind.EXPIRE)


class Account(Base):
    """A balance in fen on both sides. Balances are written by the posting trigger alone."""

    __tablename__ = "ledger_account"
    __table_args__ = (
        CheckConstraint("length(name) BETWEEN 1 AND 300", name="name_length"),
        CheckConstraint("length(kind) BETWEEN 1 AND 40", name="kind_length"),
        CheckConstraint("guard IN ('none', 'debits_le_credits', 'credits_le_debits')", name="guard_known"),
        CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0",
            name="balances_not_negative",
        ),
        CheckConstraint(
            "guard <> 'debits_le_credits' OR debits_pending + debits_posted <= credits_posted",
            name="debits_within_credits",
        ),
        CheckConstraint(
            "guard <> 'credits_le_debits' OR credits_pending + credits_posted <= debits_posted",
            name="credits_within_debits",
        ),
        Index("ledger_account_owner_idx", "owner_org_id", "id", postgresql_where=text("owner_org_id IS NOT NULL")),
        # Room on each page for the next version of a hot row, so that an update touches no index.
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    guard: Mapped[str]
    owner_org_id: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    debits_pending: Mapped[int] = mapped_column(server_default="0")
    debits_posted: Mapped[int] = mapped_column(server_default="0")
    credits_pending: Mapped[int] = mapped_column(server_default="0")
    credits_posted: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    @property
    def left_fen(self) -> int:
        """What can still be debited of what was credited, pending debits counted."""
        return self.credits_posted - self.debits_posted - self.debits_pending


class Transfer(Base):
    """An amount from one account to another; never changed, never removed. Corrections are new transfers."""

    __tablename__ = "ledger_transfer"
    __table_args__ = (
        CheckConstraint("kind IN ('single', 'pending', 'post', 'void', 'expire')", name="kind_known"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        CheckConstraint(
            "amount_fen BETWEEN 0 AND 1000000000000000 AND (amount_fen = 0) = (kind IN ('void', 'expire'))",
            name="amount_range",
        ),
        CheckConstraint(
            "(kind IN ('post', 'void', 'expire')) = (pending_id IS NOT NULL)", name="resolution_names_pending"
        ),
        Index(
            "ledger_transfer_one_resolution",
            "pending_id",
            unique=True,
            postgresql_where=text("pending_id IS NOT NULL"),
        ),
        Index("ledger_transfer_subject_idx", "subject", postgresql_where=text("subject IS NOT NULL")),
        Index("ledger_transfer_debit_idx", "debit_id", "seq"),
        Index("ledger_transfer_credit_idx", "credit_id", "seq"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(Identity(always=True), unique=True)
    # No foreign keys: the posting trigger locks both accounts and refuses a missing one under such a key's name, and
    # an account is never removed. The keys' own locks would make a pool's row the bottleneck of all.
    debit_id: Mapped[UUID]
    credit_id: Mapped[UUID]
    amount_fen: Mapped[int]
    kind: Mapped[str]
    pending_id: Mapped[UUID | None] = mapped_column(ForeignKey("ledger_transfer.id"))
    subject: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Correction(Base):
    """Why a transfer takes another one back, in whole or in part; the database refuses more than was posted."""

    __tablename__ = "ledger_correction"
    __table_args__ = (
        CheckConstraint("length(reason) BETWEEN 1 AND 500", name="reason_length"),
        Index("ledger_correction_corrects_id_idx", "corrects_id"),
    )

    transfer_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transfer.id"), primary_key=True)
    corrects_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transfer.id"))
    reason: Mapped[str]
    by_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    created_at: Mapped[datetime]


class View(DeclarativeBase):
    """What is read as a table and is none: kept out of what the migrations are compared with."""

    type_annotation_map = {datetime: DateTime(timezone=True), int: BigInteger()}  # noqa: RUF012  SQLAlchemy's own form


class Line(View):
    """A transfer as one of its accounts sees it, with that account's balances after it, in the order of record."""

    __tablename__ = "ledger_line"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    transfer_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int]
    created_at: Mapped[datetime]
    kind: Mapped[str]
    side: Mapped[str]
    other_id: Mapped[UUID]
    other_name: Mapped[str | None]
    pending_id: Mapped[UUID | None]
    subject: Mapped[UUID | None]
    pending_fen: Mapped[int]
    posted_fen: Mapped[int]
    debits_pending: Mapped[int]
    debits_posted: Mapped[int]
    credits_pending: Mapped[int]
    credits_posted: Mapped[int]
    corrects_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    account_name: Mapped[str]
    owner_org_id: Mapped[UUID | None]

    @property
    def left_fen(self) -> int:
        """What could still be debited after this line, pending debits counted."""
        return self.credits_posted - self.debits_posted - self.debits_pending
