"""Accounts: registration, the desk's decisions, facts, affiliations, partner lists, keys."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.accounts import repository
from app.accounts.callers import Caller
from app.accounts.errors import (
    ALREADY_EXPIRED,
    DECIDED,
    FACT_VALUE,
    NOT_A_SUPPLIER,
    ROLE_NOT_HELD,
    SELF_AFFILIATION,
)
from app.accounts.keys import is_well_formed, key_digest, key_prefix, new_key
from app.accounts.models import (
    Affiliation,
    ApiKey,
    FactKey,
    Organisation,
    OrganisationFact,
    OrganisationRole,
    OrganisationState,
    PartnerListEntry,
    Role,
)
from app.accounts.schemas import FACT_CHOICES, AffiliationIn, FactIn, KeyIn, PartnerIn, Registration
from app.kit.db import Database, ReadSession, Scope, WriteSession
from app.kit.errors import NOT_FOUND
from app.kit.ids import encode_id, new_id
from app.kit.money import MAX_FEN

_MAY_BECOME: Final = {
    OrganisationState.APPROVED: (
        OrganisationState.PENDING,
        OrganisationState.SUSPENDED,
        OrganisationState.REJECTED,
    ),
    OrganisationState.REJECTED: (OrganisationState.PENDING,),
    OrganisationState.SUSPENDED: (OrganisationState.APPROVED,),
}
_CREDIT_CODE_LENGTH: Final = 18
_MOST_OF_A_CENTRE: Final = 1_000_000


async def find_caller(database: Database, key: str, *, secret: bytes, now: datetime) -> Caller | None:
    """Return the caller that a key stands for, or None if it is unknown, revoked, expired or malformed."""
    if not is_well_formed(key):
        return None
    async with database.read(Scope("authenticator")) as session:
        found = await repository.find_key(session, key_digest(key, secret))
    if found is None:
        return None
    api_key, organisation = found
    if api_key.revoked_at is not None or (api_key.expires_at is not None and api_key.expires_at <= now):
        return None
    return Caller(
        org_id=organisation.id,
        state=OrganisationState(organisation.state),
        roles=frozenset(Role(role) for role in api_key.roles),
        key_id=api_key.id,
    )


async def create_organisation(
    session: WriteSession,
    *,
    org_id: UUID,
    name: str,
    roles: Iterable[Role],
    ref: str | None = None,
    contact: str | None = None,
    approved_at: datetime | None = None,
) -> Organisation:
    """Add an organisation, pending unless `approved_at` is given; its reference is its id unless given.

    Raises:
        Problem: `reference_taken` when the transaction is flushed.
    """
    state = OrganisationState.PENDING if approved_at is None else OrganisationState.APPROVED
    reference = ref or encode_id("org", org_id)
    organisation = Organisation(
        id=org_id,
        name=name,
        contact=contact,
        state=state.value,
        decided_at=approved_at,
        roles=[OrganisationRole(role=role.value, ref=reference) for role in sorted(set(roles))],
    )
    session.add(organisation)
    await session.flush()
    return organisation


async def register(
    session: WriteSession, org_id: UUID, body: Registration, *, secret: bytes
) -> tuple[Organisation, ApiKey, str]:
    """Register an organisation under a new id (the transaction's scope must be its own) with a first key.

    Returns:
        The organisation, its first key and the key's secret.
    """
    roles = [Role(role) for role in body.roles]
    organisation = await create_organisation(
        session, org_id=org_id, name=body.name, roles=roles, ref=body.ref, contact=body.contact
    )
    key, text = await add_key(session, org_id=org_id, label="first", roles=roles, expires_at=None, secret=secret)
    await session.refresh(organisation, ["created_at"])
    return organisation, key, text


async def add_key(
    session: WriteSession,
    *,
    org_id: UUID,
    label: str,
    roles: Iterable[Role],
    expires_at: datetime | None,
    secret: bytes,
) -> tuple[ApiKey, str]:
    """Add a key; return it and its text, which exists nowhere else."""
    text = new_key()
    key = ApiKey(
        id=new_id(),
        org_id=org_id,
        label=label,
        prefix=key_prefix(text),
        digest=key_digest(text, secret),
        roles=sorted({role.value for role in roles}),
        expires_at=expires_at,
    )
    session.add(key)
    await session.flush()
    await session.refresh(key)
    return key, text


async def create_key(
    session: WriteSession, caller: Caller, body: KeyIn, *, secret: bytes, now: datetime
) -> tuple[ApiKey, str]:
    """Make a key for the caller's organisation, or for any by the desk.

    Raises:
        Problem: `role_not_held`, `already_expired`, `not_found`.
    """
    org_id = body.org_id or caller.org_id
    organisation = await get_organisation(session, caller, org_id)
    held = {Role(role.role) for role in organisation.roles}
    if org_id == caller.org_id:
        held &= caller.roles
    if not set(body.roles) <= held:
        raise ROLE_NOT_HELD.field("/roles", held=", ".join(sorted(held)))
    if body.expires_at is not None and body.expires_at <= now:
        raise ALREADY_EXPIRED.field("/expires_at")
    return await add_key(
        session, org_id=org_id, label=body.label, roles=body.roles, expires_at=body.expires_at, secret=secret
    )


async def revoke_key(session: WriteSession, caller: Caller, key_id: UUID, now: datetime) -> ApiKey:
    """Revoke a key at once; doing it again changes nothing.

    Raises:
        Problem: `not_found`.
    """
    key = await repository.revoke_key(session, caller, key_id, now)
    if key is None:
        raise NOT_FOUND.problem(what="key")
    return key


async def get_organisation(session: ReadSession, caller: Caller, org_id: UUID, *, lock: bool = False) -> Organisation:
    """Return an organisation with its roles.

    Raises:
        Problem: `not_found`, also for one that the caller may not see.
    """
    organisation = await repository.get_organisation(session, caller, org_id, lock=lock)
    if organisation is None:
        raise NOT_FOUND.problem(what="organisation")
    return organisation


async def decide(
    session: WriteSession,
    caller: Caller,
    org_id: UUID,
    wanted: OrganisationState,
    *,
    reason: str | None,
    now: datetime,
) -> Organisation:
    """Approve, reject or suspend an organisation (the desk).

    Raises:
        Problem: `not_found`, `already_decided`.
    """
    organisation = await get_organisation(session, caller, org_id, lock=True)
    state = OrganisationState(organisation.state)
    if state not in _MAY_BECOME[wanted]:
        raise DECIDED.problem(state=state.value, wanted=wanted.value)
    organisation.state = wanted.value
    organisation.state_reason = reason
    organisation.decided_at = now
    organisation.version += 1
    await session.flush()
    return organisation


def check_fact(key: FactKey, value: Any) -> None:
    """Refuse a value that a fact of this kind can't have.

    Raises:
        Problem: `fact_value`.
    """
    choices = FACT_CHOICES.get(key)
    if choices is not None:
        fits, wanted = value in choices, " | ".join(choices)
    elif key is FactKey.REVENUE:
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FEN
        wanted = "integer fen ≥ 0"
    elif key in (FactKey.CENTRE_PFLOPS, FactKey.CENTRE_RACKS):
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_OF_A_CENTRE
        wanted = f"a whole number from 0 to {_MOST_OF_A_CENTRE}"
    elif key in (FactKey.PARTNER, FactKey.SUPERCOMPUTING):
        fits, wanted = isinstance(value, bool), "true | false"
    elif key is FactKey.CREDIT_CODE:
        fits = isinstance(value, str) and len(value) == _CREDIT_CODE_LENGTH and value.isascii() and value.isalnum()
        wanted = "18 letters and digits"
    else:
        fits = isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable()  # noqa: PLR2004
        wanted = "a text of at most 100 characters"
    if not fits:
        raise FACT_VALUE.field("/value", key=key.value, wanted=wanted)


async def record_fact(
    session: WriteSession, caller: Caller, org_id: UUID, body: FactIn, now: datetime
) -> OrganisationFact:
    """Record a fact; the desk's own entry counts as verified, another's waits for the desk.

    Raises:
        Problem: `not_found`, `fact_value`, `fact_exists`.
    """
    await get_organisation(session, caller, org_id)
    check_fact(body.key, body.value)
    fact = OrganisationFact(
        id=new_id(),
        org_id=org_id,
        key=body.key.value,
        value={"value": body.value},
        valid_from=body.valid_from,
        evidence=body.evidence,
        verified_by=caller.org_id if caller.is_desk else None,
        verified_at=now if caller.is_desk else None,
    )
    session.add(fact)
    await session.flush()
    await session.refresh(fact)
    return fact


async def verify_fact(
    session: WriteSession, caller: Caller, org_id: UUID, fact_id: UUID, now: datetime
) -> OrganisationFact:
    """Mark a fact as verified by the desk; doing it again changes nothing.

    Raises:
        Problem: `not_found`.
    """
    fact = await repository.get_fact(session, org_id, fact_id)
    if fact is None:
        raise NOT_FOUND.problem(what="fact")
    if fact.verified_at is None:
        fact.verified_at = now
        fact.verified_by = caller.org_id
        await session.flush()
    return fact


async def record_affiliation(session: WriteSession, caller: Caller, body: AffiliationIn) -> Affiliation:
    """Record that two organisations are under one control (the desk).

    Raises:
        Problem: `self_affiliation`, `not_found`, `affiliation_exists`.
    """
    if body.org_id == body.other_org_id:
        raise SELF_AFFILIATION.field("/other_org_id")
    for org_id in (body.org_id, body.other_org_id):
        await get_organisation(session, caller, org_id)
    low, high = sorted((body.org_id, body.other_org_id))
    affiliation = Affiliation(
        low_id=low, high_id=high, valid_from=body.valid_from, valid_to=body.valid_to, evidence=body.evidence
    )
    session.add(affiliation)
    await session.flush()
    await session.refresh(affiliation)
    return affiliation


async def add_partner(session: WriteSession, caller: Caller, body: PartnerIn) -> PartnerListEntry:
    """Put a supplier on a partner list (the desk).

    Raises:
        Problem: `not_found`, `not_a_supplier`, `partner_exists`.
    """
    organisation = await get_organisation(session, caller, body.org_id)
    if Role.SUPPLIER not in {role.role for role in organisation.roles}:
        raise NOT_A_SUPPLIER.field("/org_id")
    entry = PartnerListEntry(list_name=body.list_name, org_id=body.org_id, batch=body.batch, valid_from=body.valid_from)
    session.add(entry)
    await session.flush()
    await session.refresh(entry)
    return entry
