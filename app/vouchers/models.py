"""Tables of programmes as they were stored, the years they are open for, and vouchers."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class VersionState(StrEnum):
    """A draft can be simulated; a published version is in force and never changes."""

    DRAFT = "draft"
    PUBLISHED = "published"


class VoucherState(StrEnum):
    """`earmarked` with the hold, `voided` when its reservation ends before it runs."""

    EARMARKED = "earmarked"
    VOIDED = "voided"


class ProgrammeVersion(Base):
    """A programme's TOML, as it was stored; immutable by a trigger once published."""

    __tablename__ = "programme_version"
    __table_args__ = (
        CheckConstraint("length(programme_id) BETWEEN 1 AND 60", name="id_length"),
        CheckConstraint("version >= 1", name="version_range"),
        CheckConstraint("sha256 = encode(sha256(convert_to(toml, 'UTF8')), 'hex')", name="sha256_of_toml"),
        CheckConstraint("state IN ('draft', 'published')", name="state_known"),
    )

    programme_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    toml: Mapped[str]
    sha256: Mapped[str]
    state: Mapped[str]
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime]


class ProgrammeYear(Base):
    """A programme opened for a calendar year: its pool and each buyer's cap in fen; None where there is none."""

    __tablename__ = "programme_year"
    __table_args__ = (
        CheckConstraint("year BETWEEN 2000 AND 2200", name="year_range"),
        CheckConstraint("pool_fen >= 0", name="pool_range"),
        CheckConstraint("buyer_year_fen >= 0", name="buyer_year_range"),
        ForeignKeyConstraint(
            ["programme_id", "programme_version"], ["programme_version.programme_id", "programme_version.version"]
        ),
    )

    programme_id: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    programme_version: Mapped[int]
    pool_fen: Mapped[int | None]
    buyer_year_fen: Mapped[int | None]
    opened_at: Mapped[datetime]


class Voucher(Base):
    """An amount set aside for a buyer under one tier for one contract; `subject_id` is the reservation's id.

    It keeps the programme version and year that it was earmarked under.
    """

    __tablename__ = "voucher"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_range"),
        CheckConstraint("state IN ('earmarked', 'voided')", name="state_known"),
        ForeignKeyConstraint(["programme_id", "year"], ["programme_year.programme_id", "programme_year.year"]),
        Index(
            "voucher_one_live_per_programme",
            "subject_id",
            "programme_id",
            unique=True,
            postgresql_where=text("state <> 'voided'"),
        ),
        Index("voucher_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("voucher_subject_id_idx", "subject_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    subject_id: Mapped[UUID]
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    programme_id: Mapped[str]
    programme_version: Mapped[int]
    tier: Mapped[str]
    year: Mapped[int]
    amount_fen: Mapped[int]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_account.id"), unique=True)
    state: Mapped[str] = mapped_column(default=VoucherState.EARMARKED.value)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
