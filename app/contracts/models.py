"""Tables of contracts, documents, applications for vouchers and evaluations."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.kit.db import Base
from app.kit.ids import new_id

MAX_DOCUMENT_BYTES: Final = 10 * 1024 * 1024


class Payment(StrEnum):
    """When a contract is paid for: before each period, or after it."""

    PREPAID = "prepaid"
    ARREARS = "arrears"


class ItemKind(StrEnum):
    """What a part of a contract's amount is for; programmes say which of them count."""

    COMPUTE = "compute"
    STORAGE = "storage"
    NETWORK = "network"
    SECURITY = "security"


class ApplicationState(StrEnum):
    """`submitted → approved | rejected | withdrawn`; the database refuses other turns."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class DecidedBy(StrEnum):
    """Who decided an application."""

    RULES = "rules"
    DESK = "desk"


class Choice(StrEnum):
    """What came of a buyer's choice after a rejection: the full price accepted, or the time for it lapsed."""

    FULL_PRICE = "full_price"
    LAPSED = "lapsed"


class DocumentKind(StrEnum):
    """What an uploaded document is; `claim_proof` is attached to claims."""

    CONTRACT = "contract"
    INVOICE = "invoice"
    DELIVERY_RECORD = "delivery_record"
    CLAIM_PROOF = "claim_proof"
    OTHER = "other"


class Contract(Base):
    """What a confirmed reservation is under, as both sides accepted it. Only `payment` may change, before it begins.

    `amount_fen` is what it cost when it was signed: the sum of its items.
    """

    __tablename__ = "contract"
    __table_args__ = (
        CheckConstraint("payment IN ('prepaid', 'arrears')", name="payment_known"),
        CheckConstraint("amount_fen >= 0", name="amount_range"),
        CheckConstraint("starts_at < ends_at", name="interval_ordered"),
        Index("contract_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("contract_supplier_org_id_idx", "supplier_org_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    reservation_id: Mapped[UUID] = mapped_column(ForeignKey("reservation.id"), unique=True)
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    chip_model: Mapped[str]
    domestic: Mapped[bool | None]
    region: Mapped[str]
    cards: Mapped[int]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    price_fen: Mapped[int]
    amount_fen: Mapped[int]
    payment: Mapped[str] = mapped_column(default=Payment.ARREARS.value)
    signed_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    items: Mapped[list["ContractItem"]] = relationship(lazy="raise", order_by="ContractItem.position")


class ContractItem(Base):
    """A part of a contract's amount."""

    __tablename__ = "contract_item"
    __table_args__ = (
        CheckConstraint("kind IN ('compute', 'storage', 'network', 'security')", name="kind_known"),
        CheckConstraint("amount_fen >= 0", name="amount_range"),
    )

    contract_id: Mapped[UUID] = mapped_column(ForeignKey("contract.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    amount_fen: Mapped[int]


class Document(Base):
    """A file that one side uploaded, of a contract where `contract_id` is given; never changed, never removed."""

    __tablename__ = "document"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('contract', 'invoice', 'delivery_record', 'claim_proof', 'other')", name="kind_known"
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("media_type IN ('application/pdf', 'image/png', 'image/jpeg')", name="media_type_known"),
        CheckConstraint(
            f"size_bytes = octet_length(content) AND size_bytes BETWEEN 1 AND {MAX_DOCUMENT_BYTES}", name="size_range"
        ),
        CheckConstraint("sha256 = encode(sha256(content), 'hex')", name="sha256_of_content"),
        Index("document_contract_id_idx", "contract_id", postgresql_where=text("contract_id IS NOT NULL")),
        Index("document_sha256_idx", "sha256"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    contract_id: Mapped[UUID | None] = mapped_column(ForeignKey("contract.id"))
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    uploaded_by_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    kind: Mapped[str]
    name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
    created_at: Mapped[datetime]


class VoucherApplication(Base):
    """A contract's application for one voucher, with what the rules found when it was made."""

    __tablename__ = "voucher_application"
    __table_args__ = (
        UniqueConstraint("contract_id", "programme_id", name="voucher_application_one_per_contract"),
        CheckConstraint("state IN ('submitted', 'approved', 'rejected', 'withdrawn')", name="state_known"),
        CheckConstraint("decided_by IN ('rules', 'desk')", name="decided_by_known"),
        CheckConstraint("(state IN ('approved', 'rejected')) = (decided_by IS NOT NULL)", name="decided_by_whole"),
        CheckConstraint("(state = 'submitted') = (decided_at IS NULL)", name="decided_whole"),
        CheckConstraint("(state = 'rejected') <= (reason_code IS NOT NULL)", name="reason_where_rejected"),
        CheckConstraint("choice IN ('full_price', 'lapsed')", name="choice_known"),
        CheckConstraint(
            "(state = 'rejected') = (choice_ends_at IS NOT NULL) AND (choice IS NULL OR state = 'rejected')",
            name="choice_where_rejected",
        ),
        Index("voucher_application_queue_idx", "id", postgresql_where=text("state = 'submitted'")),
        Index(
            "voucher_application_choice_idx",
            "choice_ends_at",
            postgresql_where=text("state = 'rejected' AND choice IS NULL"),
        ),
        Index("voucher_application_buyer_org_id_idx", "buyer_org_id", "id"),
        Index("voucher_application_supplier_org_id_idx", "supplier_org_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    contract_id: Mapped[UUID] = mapped_column(ForeignKey("contract.id"))
    programme_id: Mapped[str]
    voucher_id: Mapped[UUID] = mapped_column(ForeignKey("voucher.id"), unique=True)
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    state: Mapped[str] = mapped_column(default=ApplicationState.SUBMITTED.value)
    decided_by: Mapped[str | None]
    reason_code: Mapped[str | None]
    reason_detail: Mapped[str | None]
    choice: Mapped[str | None]
    choice_ends_at: Mapped[datetime | None]
    clauses: Mapped[list[Any]]
    arithmetic: Mapped[list[Any]]
    desk_checks: Mapped[list[Any]]
    signals: Mapped[list[Any]] = mapped_column(server_default="[]")
    amount_fen: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]


class Evaluation(Base):
    """What the desk found that a completed contract achieved, as a score; a good one may earn bonus vouchers."""

    __tablename__ = "evaluation"
    __table_args__ = (CheckConstraint("score BETWEEN 0 AND 100", name="score_range"),)

    contract_id: Mapped[UUID] = mapped_column(ForeignKey("contract.id"), primary_key=True)
    buyer_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    supplier_org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    score: Mapped[int]
    remarks: Mapped[str]
    created_at: Mapped[datetime]
