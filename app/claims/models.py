"""Tables of claims, their lines and proofs, and of advances of reserve funds."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.contracts.models import Document
from app.kit.db import Base
from app.kit.ids import new_id


class ClaimState(StrEnum):
    """`submitted → approved | rejected`, `approved → paid`; the database refuses other turns."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    PAID = "paid"

    def may_become(self, other: "ClaimState") -> bool:
        """Whether the turn from this state to `other` exists."""
        return other in TURNS[self]


class LineState(StrEnum):
    """`submitted → approved | rejected`, by the desk; a rejected line's redemption may be claimed again."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"


TURNS: Final = {
    ClaimState.SUBMITTED: {ClaimState.APPROVED, ClaimState.REJECTED},
    ClaimState.APPROVED: {ClaimState.PAID},
    ClaimState.REJECTED: set[ClaimState](),
    ClaimState.PAID: set[ClaimState](),
}


class Claim(Base):
    """What a claimant asks of a programme for a period, as the version of the vouchers says.

    `approved_fen` is the sum of the approved lines. At payment `recovered_fen` is taken off for vouchers that were
    revoked after they were paid, and `netted_fen` for advances; `cash_fen` is the rest.
    """

    __tablename__ = "claim"
    __table_args__ = (
        CheckConstraint("state IN ('submitted', 'approved', 'rejected', 'paid')", name="state_known"),
        CheckConstraint("period_start < period_end", name="period_ordered"),
        CheckConstraint("amount_fen > 0", name="amount_range"),
        CheckConstraint(
            "(state = 'submitted') = (approved_fen IS NULL) AND (approved_fen IS NULL) = (decided_at IS NULL)",
            name="decided_whole",
        ),
        CheckConstraint(
            "approved_fen BETWEEN 0 AND amount_fen AND (approved_fen = 0) = (state = 'rejected')",
            name="approved_range",
        ),
        CheckConstraint(
            "(state = 'paid') = (paid_at IS NOT NULL) AND (paid_at IS NULL) = (cash_fen IS NULL)"
            " AND (cash_fen IS NULL) = (netted_fen IS NULL) AND (cash_fen IS NULL) = (recovered_fen IS NULL)",
            name="paid_whole",
        ),
        CheckConstraint(
            "netted_fen >= 0 AND recovered_fen >= 0 AND cash_fen >= 0"
            " AND cash_fen = approved_fen - netted_fen - recovered_fen",
            name="paid_amounts",
        ),
        ForeignKeyConstraint(
            ["programme_id", "programme_version"], ["programme_version.programme_id", "programme_version.version"]
        ),
        Index("claim_claimant_org_id_idx", "claimant_org_id", "id"),
        Index("claim_queue_idx", "id", postgresql_where=text("state IN ('submitted', 'approved')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    programme_id: Mapped[str]
    programme_version: Mapped[int]
    claimant_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    period: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    state: Mapped[str] = mapped_column(default=ClaimState.SUBMITTED.value)
    amount_fen: Mapped[int]
    approved_fen: Mapped[int | None]
    netted_fen: Mapped[int | None]
    recovered_fen: Mapped[int | None]
    cash_fen: Mapped[int | None]
    signals: Mapped[list[Any]]
    decided_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]
    payment_reference: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    lines: Mapped[list["ClaimLine"]] = relationship(lazy="raise", viewonly=True, order_by="ClaimLine.id")
    proofs: Mapped[list["ClaimProof"]] = relationship(
        lazy="raise", viewonly=True, order_by="ClaimProof.kind, ClaimProof.document_id"
    )


class ClaimLine(Base):
    """A redemption that is claimed: a pending transfer, posted when it is paid, voided when it is rejected."""

    __tablename__ = "claim_line"
    __table_args__ = (
        CheckConstraint("state IN ('submitted', 'approved', 'rejected')", name="state_known"),
        CheckConstraint("amount_fen > 0", name="amount_range"),
        CheckConstraint(
            "(state = 'rejected') = (reason_code IS NOT NULL) AND (reason_code IS NULL) = (reason_detail IS NULL)",
            name="reason_where_rejected",
        ),
        Index("claim_line_one_live_claim", "redemption_id", unique=True, postgresql_where=text("state <> 'rejected'")),
        Index("claim_line_claim_id_idx", "claim_id", "id"),
        Index("claim_line_redemption_id_idx", "redemption_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claim.id"))
    claimant_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    redemption_id: Mapped[UUID] = mapped_column(ForeignKey("redemption.id"))
    settlement_id: Mapped[UUID] = mapped_column(ForeignKey("settlement.id"))
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("voucher.id"))
    amount_fen: Mapped[int]
    state: Mapped[str] = mapped_column(default=LineState.SUBMITTED.value)
    reason_code: Mapped[str | None]
    reason_detail: Mapped[str | None]
    transfer_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transfer.id"), unique=True)


class ClaimProof(Base):
    """A document that proves a claim, under a kind that the programme names."""

    __tablename__ = "claim_proof"
    __table_args__ = (Index("claim_proof_document_id_idx", "document_id"),)

    claim_id: Mapped[UUID] = mapped_column(ForeignKey("claim.id"), primary_key=True)
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    claimant_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    document: Mapped[Document] = relationship(lazy="raise", viewonly=True)


class Advance(Base):
    """Money of a programme's reserve fund that a supplier was given ahead of its claims."""

    __tablename__ = "advance"
    __table_args__ = (
        CheckConstraint("amount_fen > 0", name="amount_range"),
        ForeignKeyConstraint(
            ["programme_id", "programme_version"], ["programme_version.programme_id", "programme_version.version"]
        ),
        Index("advance_supplier_org_id_idx", "supplier_org_id", "programme_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    programme_id: Mapped[str]
    programme_version: Mapped[int]
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    amount_fen: Mapped[int]
    reference: Mapped[str | None]
    transfer_id: Mapped[UUID] = mapped_column(ForeignKey("ledger_transfer.id"), unique=True)
    created_at: Mapped[datetime]
