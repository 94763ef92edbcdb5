"""Tables of organisations, their dated facts, affiliations, partner lists and API keys."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.kit.db import Base
from app.kit.ids import new_id


class Role(StrEnum):
    """What an organisation, and a key of it, may act as."""

    BUYER = "buyer"
    SUPPLIER = "supplier"
    DESK = "desk"
    AUDITOR = "auditor"


class OrganisationKind(StrEnum):
    """What an organisation is, as voucher programmes distinguish it."""

    STARTUP = "startup"
    SME = "sme"
    ENTERPRISE = "enterprise"
    INSTITUTE = "institute"
    UNIVERSITY = "university"
    BUREAU = "bureau"


class OrganisationState(StrEnum):
    """Registered, and what the desk made of it."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUSPENDED = "suspended"


class FactKey(StrEnum):
    """The kinds of dated facts that rules read."""

    KIND = "kind"
    CREDIT_CODE = "unified_social_credit_code"
    REVENUE = "prior_year_revenue_fen"
    CITY = "registered_city"
    INTEGRITY = "integrity"
    PROJECT_LEAD = "project_lead"
    PARTNER = "partner"
    CENTRE_PFLOPS = "centre_pflops"
    CENTRE_RACKS = "centre_racks"
    SUPERCOMPUTING = "supercomputing"


class Organisation(Base):
    """A unit that takes part. Works once the desk has approved it."""

    __tablename__ = "organisation"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'approved', 'rejected', 'suspended')", name="state_known"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="name_length"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    contact: Mapped[str | None]
    state: Mapped[str] = mapped_column(default=OrganisationState.PENDING.value)
    state_reason: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    decided_at: Mapped[datetime | None]
    roles: Mapped[list["OrganisationRole"]] = relationship(
        back_populates="organisation", lazy="raise", order_by="OrganisationRole.role"
    )


class OrganisationRole(Base):
    """A role that an organisation takes part in, and its reference in market files under that role."""

    __tablename__ = "organisation_role"
    __table_args__ = (
        CheckConstraint("role IN ('buyer', 'supplier', 'desk', 'auditor')", name="role_known"),
        UniqueConstraint("role", "ref"),
    )

    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str]
    organisation: Mapped[Organisation] = relationship(back_populates="roles", lazy="raise")


class OrganisationFact(Base):
    """A statement about an organisation from a date on, with its evidence; counts once verified."""

    __tablename__ = "organisation_fact"
    __table_args__ = (
        UniqueConstraint("org_id", "key", "valid_from"),
        CheckConstraint("(verified_at IS NULL) = (verified_by IS NULL)", name="verified_whole"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    key: Mapped[str]
    value: Mapped[dict[str, Any]]
    valid_from: Mapped[date]
    evidence: Mapped[str | None]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    verified_by: Mapped[UUID | None] = mapped_column(ForeignKey("organisation.id"))
    verified_at: Mapped[datetime | None]


class Affiliation(Base):
    """Two organisations under one control, from a date on; `low_id` < `high_id`, since it has no direction."""

    __tablename__ = "affiliation"
    __table_args__ = (CheckConstraint("low_id < high_id", name="ordered"),)

    low_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    high_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    valid_from: Mapped[date] = mapped_column(primary_key=True)
    valid_to: Mapped[date | None]
    evidence: Mapped[str]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class PartnerListEntry(Base):
    """A supplier's place on a named partner list (a programme's), in a batch, from a date on."""

    __tablename__ = "partner_list_entry"

    list_name: Mapped[str] = mapped_column(String, primary_key=True)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"), primary_key=True)
    batch: Mapped[str]
    valid_from: Mapped[date]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ApiKey(Base):
    """A key of an organisation: its keyed hash, roles and end. The secret itself is nowhere."""

    __tablename__ = "api_key"
    __table_args__ = (Index("api_key_org_id_id_idx", "org_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    org_id: Mapped[UUID] = mapped_column(ForeignKey("organisation.id"))
    label: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    roles: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
