"""The shapes of what goes in and out of the API. Written by tools/client_types.py; don't edit."""

# ruff: noqa: D101, E501

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class AffiliationIn(TypedDict):
    """Two organisations under one control."""

    org_id: str
    other_org_id: str
    valid_from: str
    valid_to: NotRequired[str | None]
    evidence: str


class AffiliationOut(TypedDict):
    """Two organisations under one control."""

    org_id: str
    other_org_id: str
    valid_from: str
    valid_to: str | None
    evidence: str
    recorded_at: str


class DecisionIn(TypedDict):
    """Why the desk decides so."""

    reason: NotRequired[str | None]


FactKey: TypeAlias = Literal[
    "kind",
    "unified_social_credit_code",
    "prior_year_revenue_fen",
    "registered_city",
    "integrity",
    "project_lead",
    "partner",
]
"""The kinds of dated facts that rules read."""


class FactOut(TypedDict):
    """A dated statement; it counts once verified."""

    id: str
    org_id: str
    key: FactKey
    value: str | int | bool
    valid_from: str
    evidence: str | None
    recorded_at: str
    verified_by: str | None
    verified_at: str | None


class Health(TypedDict):
    """The service is well."""

    status: NotRequired[Literal["ok"]]


OrganisationState: TypeAlias = Literal["pending", "approved", "rejected", "suspended"]
"""Registered, and what the desk made of it."""


class PartnerIn(TypedDict):
    """A supplier's place on a programme's partner list."""

    list_name: str
    org_id: str
    batch: str
    valid_from: str


class PartnerOut(TypedDict):
    """A supplier's place on a partner list."""

    list_name: str
    org_id: str
    batch: str
    valid_from: str
    recorded_at: str


class Registration(TypedDict):
    """An organisation registers itself."""

    name: str
    roles: list[Literal["buyer", "supplier"]]
    """what it wants to act as"""
    ref: NotRequired[str | None]
    """its reference in market files; by default made from its id"""
    contact: NotRequired[str | None]
    """shown to the other side once a reservation is confirmed"""


Role: TypeAlias = Literal["buyer", "supplier", "desk", "auditor"]
"""What an organisation, and a key of it, may act as."""


class RoleOut(TypedDict):
    """A role and the reference under it."""

    role: Role
    ref: str


class ProblemField(TypedDict):
    """One thing wrong with the input."""

    pointer: str
    """JSON pointer into the body, or the parameter's name"""
    code: str
    detail: str


class ProblemBody(TypedDict):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """stable; never translated"""
    request_id: str
    errors: list[ProblemField]
    """every field that is wrong; empty where none is"""


class AffiliationList(TypedDict):
    """An organisation's affiliations."""

    data: list[AffiliationOut]


class FactIn(TypedDict):
    """A dated statement about an organisation."""

    key: FactKey
    value: str | int | bool
    """by key: kind (startup, sme, enterprise, institute, university, bureau), unified_social_credit_code (18 characters), prior_year_revenue_fen (integer fen), registered_city, integrity (clean, flagged), project_lead (none, provincial, national), partner (true, false)"""
    valid_from: str
    evidence: NotRequired[str | None]


class FactList(TypedDict):
    """An organisation's facts, newest first by key."""

    data: list[FactOut]


class KeyIn(TypedDict):
    """A key to make."""

    label: str
    roles: list[Role]
    """a part of the organisation's roles"""
    expires_at: NotRequired[str | None]
    """when it ends by itself; null for never"""
    org_id: NotRequired[str | None]
    """another organisation's, by the desk only"""


class KeyOut(TypedDict):
    """A key, without its secret."""

    id: str
    org_id: str
    label: str
    prefix: str
    """to recognise it by"""
    roles: list[Role]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewKeyOut(TypedDict):
    """A key just made; `secret` is shown this once."""

    id: str
    org_id: str
    label: str
    prefix: str
    """to recognise it by"""
    roles: list[Role]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    secret: str


class OrganisationOut(TypedDict):
    """An organisation."""

    id: str
    name: str
    contact: str | None
    state: OrganisationState
    state_reason: str | None
    roles: list[RoleOut]
    created_at: str
    decided_at: str | None


class PageOrganisationOut(TypedDict):
    data: list[OrganisationOut]
    has_more: bool
    """whether more lies in the direction asked for"""
    next_cursor: str | None
    """give as `after` for the next page; null on an empty page"""
    previous_cursor: str | None
    """give as `before` for the page before; null on an empty page"""
    query: dict[str, Any]
    """the query as understood, so that nothing was dropped silently"""


class PartnerList(TypedDict):
    """The entries of partner lists."""

    data: list[PartnerOut]


class RegisteredOut(TypedDict):
    """A fresh registration: the organisation waits for the desk, its first key works at once for reading."""

    organisation: OrganisationOut
    key: NewKeyOut


class KeyList(TypedDict):
    """An organisation's keys, newest first."""

    data: list[KeyOut]


class MeOut(TypedDict):
    """Who the key belongs to."""

    organisation: OrganisationOut
    roles: list[Role]
    """what this key may act as"""
