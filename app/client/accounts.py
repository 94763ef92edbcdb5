"""Organisations, their facts and keys."""

from app.client.core import AsyncResource, Call, Resource, SyncResource, method, rows
from app.client.types import (
    AffiliationIn,
    AffiliationList,
    AffiliationOut,
    FactIn,
    FactList,
    FactOut,
    KeyIn,
    KeyList,
    KeyOut,
    MeOut,
    NewKeyOut,
    OrganisationOut,
    OrganisationState,
    PageOrganisationOut,
    PartnerIn,
    PartnerList,
    PartnerOut,
    RegisteredOut,
    Registration,
    Role,
)

_ORGANISATIONS = "/v1/organisations"


class OrganisationMethods(Resource):
    """Registration, the desk's decisions, facts, affiliations, partner lists."""

    def _list(
        self,
        *,
        state: OrganisationState | None = None,
        role: Role | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Call[PageOrganisationOut]:
        """One page of the organisations, in the order of registration (the desk, auditors)."""
        query = {"state": state, "role": role, "limit": limit, "after": after, "before": before}
        return Call("GET", _ORGANISATIONS, query)

    page = method(_list)
    each = rows(_list, OrganisationOut)

    @method
    def register(self, body: Registration) -> Call[RegisteredOut]:
        """Register an organisation; needs no key. The answer's key is shown this once."""
        return Call("POST", _ORGANISATIONS, json=body)

    @method
    def read(self, organisation_id: str) -> Call[OrganisationOut]:
        """One organisation."""
        return Call("GET", f"{_ORGANISATIONS}/{organisation_id}")

    @method
    def approve(self, organisation_id: str, *, reason: str | None = None) -> Call[OrganisationOut]:
        """Let an organisation work (the desk)."""
        return Call("POST", f"{_ORGANISATIONS}/{organisation_id}/approve", json={"reason": reason}, keyed=True)

    @method
    def reject(self, organisation_id: str, *, reason: str | None = None) -> Call[OrganisationOut]:
        """Turn a registration down (the desk)."""
        return Call("POST", f"{_ORGANISATIONS}/{organisation_id}/reject", json={"reason": reason}, keyed=True)

    @method
    def suspend(self, organisation_id: str, *, reason: str | None = None) -> Call[OrganisationOut]:
        """Stop an organisation from acting (the desk)."""
        return Call("POST", f"{_ORGANISATIONS}/{organisation_id}/suspend", json={"reason": reason}, keyed=True)

    @method
    def facts(self, organisation_id: str) -> Call[FactList]:
        """The dated facts on record."""
        return Call("GET", f"{_ORGANISATIONS}/{organisation_id}/facts")

    @method
    def record_fact(self, organisation_id: str, body: FactIn) -> Call[FactOut]:
        """Record a dated fact with its evidence."""
        return Call("POST", f"{_ORGANISATIONS}/{organisation_id}/facts", json=body, keyed=True)

    @method
    def verify_fact(self, organisation_id: str, fact_id: str) -> Call[FactOut]:
        """Mark a fact as checked against its evidence (the desk)."""
        return Call("POST", f"{_ORGANISATIONS}/{organisation_id}/facts/{fact_id}/verify", keyed=True)

    @method
    def affiliations(self, organisation_id: str) -> Call[AffiliationList]:
        """Who is under one control with it."""
        return Call("GET", f"{_ORGANISATIONS}/{organisation_id}/affiliations")

    @method
    def record_affiliation(self, body: AffiliationIn) -> Call[AffiliationOut]:
        """Record that two organisations are under one control (the desk)."""
        return Call("POST", "/v1/affiliations", json=body, keyed=True)

    @method
    def partners(self, *, list_name: str | None = None) -> Call[PartnerList]:
        """Which suppliers are on which programme's partner list."""
        return Call("GET", "/v1/partner-lists", {"list_name": list_name})

    @method
    def add_partner(self, body: PartnerIn) -> Call[PartnerOut]:
        """Put a supplier on a partner list (the desk)."""
        return Call("POST", "/v1/partner-lists", json=body, keyed=True)


class KeyMethods(Resource):
    """API keys of one's organisation; the desk makes them for any."""

    @method
    def me(self) -> Call[MeOut]:
        """Whose key this is, and what it may act as."""
        return Call("GET", "/v1/me")

    @method
    def list(self) -> Call[KeyList]:
        """The keys of one's organisation, without their secrets."""
        return Call("GET", "/v1/keys")

    @method
    def create(self, body: KeyIn) -> Call[NewKeyOut]:
        """Make a key; its secret is in this answer and nowhere else."""
        return Call("POST", "/v1/keys", json=body)

    @method
    def revoke(self, key_id: str) -> Call[KeyOut]:
        """End a key at once."""
        return Call("POST", f"/v1/keys/{key_id}/revoke", keyed=True)


class Organisations(OrganisationMethods, SyncResource):
    """Organisations."""


class AsyncOrganisations(OrganisationMethods, AsyncResource):
    """Organisations, awaited."""


class Keys(KeyMethods, SyncResource):
    """API keys."""


class AsyncKeys(KeyMethods, AsyncResource):
    """API keys, awaited."""
