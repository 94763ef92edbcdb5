"""Tables of programmes as they were stored, the years they are open for, and vouchers."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.db import Base
from app.kit.ids import new_id


class VersionState(StrEnum):
    """A draft can be simulated; a published version is in force and never changes."""

    DRAFT = "draft"
    PUBLISHED = "published"


class VoucherState(StrEnum):
    """A voucher's life; the database refuses other turns.

    `earmarked` with the hold; `voided` when its reservation ends before it was decided; `issued` or `rejected` by the
    decision; `exhausted` once all of it was redeemed; `expired` when its time was over, `revoked` for a reason.
    """

    EARMARKED = "earmarked"
    VOIDED = "voided"
    REJECTED = "rejected"
    ISSUED = "issued"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    REVOKED = "revoked"

    def may_become(self, other: "VoucherState") -> bool:
        """Whether the turn from this state to `other` exists."""
        return other in TURNS[self]


class VoucherKind(StrEnum):
    """`contract`: for the contract it was matched with; `bonus`: given for a good outcome, for a later contract."""

    CONTRACT = "contract"
    BONUS = "bonus"


# What was redeemed and then given back makes an exhausted voucher an issued one again.
TURNS: Final = {
    VoucherState.EARMARKED: {VoucherState.VOIDED, VoucherState.REJECTED, VoucherState.ISSUED},
    VoucherState.VOIDED: set[VoucherState](),
    VoucherState.REJECTED: set[VoucherState](),
    VoucherState.ISSUED: {VoucherState.EXHAUSTED, VoucherState.EXPIRED, VoucherState.REVOKED},
    VoucherState.EXHAUSTED: {VoucherState.ISSUED, VoucherState.REVOKED},
    VoucherState.EXPIRED: {VoucherState.REVOKED},
    VoucherState.REVOKED: set[VoucherState](),
}
WERE_ISSUED: Final = (VoucherState.ISSUED, VoucherState.EXHAUSTED, VoucherState.EXPIRED, VoucherState.REVOKED)
_WERE_ISSUED_SQL: Final = "state IN ('issued', 'exhausted', 'expired', 'revoked')"


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

    It keeps the programme version and year that it was earmarked under. `amount_fen` is what was earmarked,
    `issued_fen` what of it was issued and `rate_ppm` the rate that each redemption is of; what was redeemed is on its
    account. A bonus has no reservation until it is used, and is given for the voucher `bonus_of`.
    """

    __tablename__ = "voucher"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_range"),
        CheckConstraint(
            "state IN ('earmarked', 'voided', 'rejected', 'issued', 'exhausted', 'expired', 'revoked')",
            name="state_known",
        ),
        CheckConstraint("kind IN ('contract', 'bonus')", name="kind_known"),
        CheckConstraint("kind = 'bonus' OR subject_id IS NOT NULL", name="contract_has_subject"),
        CheckConstraint("(kind = 'bonus') = (bonus_of IS NOT NULL)", name="bonus_of_one"),
        CheckConstraint(
            f"({_WERE_ISSUED_SQL}) = (issued_fen IS NOT NULL) AND (issued_fen IS NULL) = (rate_ppm IS NULL)"
            " AND (issued_fen IS NULL) = (issued_at IS NULL) AND (expires_at IS NULL OR issued_fen IS NOT NULL)",
            name="issued_whole",
        ),
        CheckConstraint("rate_ppm BETWEEN 1 AND 1000000", name="rate_range"),
        CheckConstraint("issued_fen BETWEEN 1 AND amount_fen", name="issued_range"),
        CheckConstraint("(state IN ('expired', 'revoked')) = (reason_code IS NOT NULL)", name="reason_where_ended"),
        ForeignKeyConstraint(["programme_id", "year"], ["programme_year.programme_id", "programme_year.year"]),
        Index(
            "voucher_one_live_per_programme",
            "subject_id",
            "programme_id",
            "kind",
            unique=True,
            postgresql_where=text("state <> 'voided'"),
        ),
        Index("voucher_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("voucher_subject_id_idx", "subject_id"),
        Index("voucher_due_idx", "expires_at", postgresql_where=text("state = 'issued'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    subject_id: Mapped[UUID | None]
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    programme_id: Mapped[str]
    programme_version: Mapped[int]
    tier: Mapped[str]
    year: Mapped[int]
    amount_fen: Mapped[int]
    account_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_account.id"), unique=True)
    state: Mapped[str] = mapped_column(default=VoucherState.EARMARKED.value)
    kind: Mapped[str] = mapped_column(default=VoucherKind.CONTRACT.value, server_default=VoucherKind.CONTRACT.value)
    bonus_of: Mapped[UUID | None] = mapped_column(ForeignKey("voucher.id"), unique=True)
    issued_fen: Mapped[int | None]
    rate_ppm: Mapped[int | None]
    issued_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    reason_code: Mapped[str | None]
    reason_detail: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]


class VoucherJournalEntry(Base):
    """What a trigger wrote at each change of a voucher's state, in order; append-only."""

    __tablename__ = "voucher_journal"
    __table_args__ = (Index("voucher_journal_voucher_id_idx", "voucher_id", "seq"),)

    seq: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    voucher_id: Mapped[UUID]
    state: Mapped[str]
    amount_fen: Mapped[int]
    reason_code: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
