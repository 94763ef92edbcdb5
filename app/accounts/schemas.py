"""What goes in and out of the accounts' endpoints."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.accounts.models import FactKey, OrganisationKind, OrganisationState, Role
from app.kit.ids import TypeId
from app.kit.schemas import Input, LongText, Moment, Output, Text

OrgId = Annotated[UUID, TypeId("org")]
KeyId = Annotated[UUID, TypeId("key")]
FactId = Annotated[UUID, TypeId("fact")]
# Dates and enumerations come as JSON text; strict mode would refuse them.
Day = Annotated[date, Field(strict=False, examples=["2026-01-01"])]
Ref = Annotated[Text, Field(max_length=120, pattern=r"^\S(.*\S)?$", examples=["startup-01"])]
MarketRole = Annotated[Literal["buyer", "supplier"], Field(examples=["buyer"])]


class Registration(Input):
    """An organisation registers itself."""

    name: Text = Field(examples=["示例初创公司一"])
    roles: list[MarketRole] = Field(min_length=1, max_length=2, description="what it wants to act as")
    ref: Ref | None = Field(default=None, description="its reference in market files; by default made from its id")
    contact: Text | None = Field(default=None, description="shown to the other side once a reservation is confirmed")


class RoleOut(Output):
    """A role and the reference under it."""

    role: Role
    ref: str


class OrganisationOut(Output):
    """An organisation."""

    id: OrgId
    name: str
    contact: str | None
    state: OrganisationState
    state_reason: str | None
    roles: list[RoleOut]
    created_at: Moment
    decided_at: Moment | None


class KeyOut(Output):
    """A key, without its secret."""

    id: KeyId
    org_id: OrgId
    label: str
    prefix: str = Field(description="to recognise it by")
    roles: list[Role]
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None


class NewKeyOut(KeyOut):
    """A key just made; `secret` is shown this once."""

    secret: str = Field(examples=["chk_…"])


class RegisteredOut(Output):
    """A fresh registration: the organisation waits for the desk, its first key works at once for reading."""

    organisation: OrganisationOut
    key: NewKeyOut


class MeOut(Output):
    """Who the key belongs to."""

    organisation: OrganisationOut
    roles: list[Role] = Field(description="what this key may act as")


class KeyIn(Input):
    """A key to make."""

    label: Text = Field(examples=["ci"])
    roles: list[Annotated[Role, Field(strict=False)]] = Field(
        min_length=1, max_length=4, description="a part of the organisation's roles"
    )
    expires_at: Moment | None = Field(default=None, description="when it ends by itself; null for never")
    org_id: OrgId | None = Field(default=None, description="another organisation's, by the desk only")


class DecisionIn(Input):
    """Why the desk decides so."""

    reason: LongText | None = None


class FactIn(Input):
    """A dated statement about an organisation."""

    key: Annotated[FactKey, Field(strict=False)]
    value: str | int | bool = Field(
        description=(
            "by key: kind (startup, sme, enterprise, institute, university, bureau), "
            "unified_social_credit_code (18 characters), prior_year_revenue_fen (integer fen), registered_city, "
            "integrity (clean, flagged), project_lead (none, provincial, national), partner (true, false), "
            "and of a supplier's largest centre centre_pflops, centre_racks (whole), supercomputing (true, false)"
        ),
        examples=["startup"],
    )
    valid_from: Day
    evidence: LongText | None = Field(default=None, examples=["营业执照副本 2026-01"])


class FactOut(Output):
    """A dated statement; it counts once verified."""

    id: FactId
    org_id: OrgId
    key: FactKey
    value: str | int | bool
    valid_from: date
    evidence: str | None
    recorded_at: Moment
    verified_by: OrgId | None
    verified_at: Moment | None


class AffiliationIn(Input):
    """Two organisations under one control."""

    org_id: OrgId
    other_org_id: OrgId
    valid_from: Day
    valid_to: Day | None = None
    evidence: LongText


class AffiliationOut(Output):
    """Two organisations under one control."""

    org_id: OrgId
    other_org_id: OrgId
    valid_from: date
    valid_to: date | None
    evidence: str
    recorded_at: Moment


class PartnerIn(Input):
    """A supplier's place on a programme's partner list."""

    list_name: Text = Field(examples=["beijing-2023"])
    org_id: OrgId
    batch: Text = Field(examples=["batch 1"])
    valid_from: Day


class PartnerOut(Output):
    """A supplier's place on a partner list."""

    list_name: str
    org_id: OrgId
    batch: str
    valid_from: date
    recorded_at: Moment


class FactList(Output):
    """An organisation's facts, newest first by key."""

    data: list[FactOut]


class AffiliationList(Output):
    """An organisation's affiliations."""

    data: list[AffiliationOut]


class PartnerList(Output):
    """The entries of partner lists."""

    data: list[PartnerOut]


class KeyList(Output):
    """An organisation's keys, newest first."""

    data: list[KeyOut]


_KINDS = tuple(kind.value for kind in OrganisationKind)
FACT_CHOICES: dict[FactKey, tuple[str, ...]] = {
    FactKey.KIND: _KINDS,
    FactKey.INTEGRITY: ("clean", "flagged"),
    FactKey.PROJECT_LEAD: ("none", "provincial", "national"),
}
