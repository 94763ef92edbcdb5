"""SQL of accounts. Every query that may see others' rows takes the caller."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload

from app.accounts.callers import Caller
from app.accounts.models import (
    Affiliation,
    ApiKey,
    Organisation,
    OrganisationFact,
    OrganisationRole,
    PartnerListEntry,
)
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page


async def find_key(session: ReadSession, digest: bytes) -> tuple[ApiKey, Organisation] | None:
    """Return the key with this keyed hash and its organisation."""
    row = (
        await session.execute(
            select(ApiKey, Organisation)
            .join(Organisation, Organisation.id == ApiKey.org_id)
            .where(ApiKey.digest == digest)
        )
    ).first()
    return None if row is None else (row[0], row[1])


async def get_organisation(
    session: ReadSession, caller: Caller, org_id: UUID, *, lock: bool = False
) -> Organisation | None:
    """Return an organisation that the caller may see: its own, or any for the desk and auditors."""
    if not caller.reads_all and org_id != caller.org_id:
        return None
    statement = select(Organisation).where(Organisation.id == org_id).options(selectinload(Organisation.roles))
    if lock:
        statement = statement.with_for_update(key_share=True, of=Organisation)
    return await session.scalar(statement)


async def list_organisations(
    session: ReadSession,
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
    state: str | None,
    role: str | None,
) -> tuple[list[Organisation], bool, tuple[str, str] | None]:
    """Return a page of all organisations in the order of registration (for the desk and auditors)."""
    statement = select(Organisation).options(selectinload(Organisation.roles))
    if state is not None:
        statement = statement.where(Organisation.state == state)
    if role is not None:
        statement = statement.where(
            Organisation.id.in_(select(OrganisationRole.org_id).where(OrganisationRole.role == role))
        )
    sort = Sort[Organisation](
        columns=(Organisation.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def find_by_name(session: ReadSession, name: str) -> list[Organisation]:
    """Return the organisations of a name, oldest first (for commands on the database itself)."""
    statement = select(Organisation).where(Organisation.name == name).options(selectinload(Organisation.roles))
    return list(await session.scalars(statement.order_by(Organisation.id)))


async def list_facts(session: ReadSession, caller: Caller, org_id: UUID) -> list[OrganisationFact]:
    """Return the facts of an organisation that the caller may see, by key, newest first."""
    if not caller.reads_all and org_id != caller.org_id:
        return []
    rows = await session.scalars(
        select(OrganisationFact)
        .where(OrganisationFact.org_id == org_id)
        .order_by(OrganisationFact.key, OrganisationFact.valid_from.desc())
    )
    return list(rows)


async def get_fact(session: WriteSession, org_id: UUID, fact_id: UUID) -> OrganisationFact | None:
    """Return a fact for a decision on it, locked."""
    return await session.scalar(
        select(OrganisationFact)
        .where(OrganisationFact.org_id == org_id, OrganisationFact.id == fact_id)
        .with_for_update()
    )


async def list_affiliations(session: ReadSession, caller: Caller, org_id: UUID) -> list[Affiliation]:
    """Return an organisation's affiliations, if the caller may see them."""
    if not caller.reads_all and org_id != caller.org_id:
        return []
    rows = await session.scalars(
        select(Affiliation)
        .where(or_(Affiliation.low_id == org_id, Affiliation.high_id == org_id))
        .order_by(Affiliation.valid_from, Affiliation.low_id, Affiliation.high_id)
    )
    return list(rows)


async def list_partners(session: ReadSession, list_name: str | None) -> list[PartnerListEntry]:
    """Return the entries of partner lists; they are public to everyone who is signed in."""
    statement = select(PartnerListEntry).order_by(PartnerListEntry.list_name, PartnerListEntry.org_id)
    if list_name is not None:
        statement = statement.where(PartnerListEntry.list_name == list_name)
    return list(await session.scalars(statement))


async def verified_facts(session: ReadSession, org_ids: Collection[UUID]) -> list[tuple[UUID, str, Any, date]]:
    """Return the verified facts of organisations as (organisation, key, value, valid from), the earliest first.

    Runs as the system, or as one who reads all.
    """
    fact = OrganisationFact
    ids = bindparam("ids", list(org_ids), type_=ARRAY(Uuid()))
    statement = (
        select(fact.org_id, fact.key, fact.value, fact.valid_from)
        .where(fact.org_id == ids.any_(), fact.verified_at.is_not(None))
        .order_by(fact.valid_from)
    )
    return [(org_id, key, value["value"], since) for org_id, key, value, since in await session.execute(statement)]


async def listed_partners(session: ReadSession, names: Collection[str], day: date) -> list[tuple[UUID, str, str]]:
    """Return the suppliers that are on these partner lists on a day, each with the list and its batch."""
    entry = PartnerListEntry
    statement = select(entry.org_id, entry.list_name, entry.batch).where(
        entry.list_name.in_(names), entry.valid_from <= day
    )
    return [(org_id, name, batch) for org_id, name, batch in await session.execute(statement)]


async def live_affiliations(session: ReadSession, day: date) -> list[tuple[UUID, UUID]]:
    """Return the pairs of organisations that are affiliated on a day (as the system, or one who reads all)."""
    statement = select(Affiliation.low_id, Affiliation.high_id).where(
        Affiliation.valid_from <= day, or_(Affiliation.valid_to.is_(None), Affiliation.valid_to >= day)
    )
    return [(low, high) for low, high in await session.execute(statement)]


async def organisation_names(session: ReadSession, org_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of organisations (as the system, or one who reads all)."""
    ids = bindparam("ids", list(org_ids), type_=ARRAY(Uuid()))
    rows = await session.execute(select(Organisation.id, Organisation.name).where(Organisation.id == ids.any_()))
    return {row.id: row.name for row in rows}


async def list_keys(session: ReadSession, org_id: UUID) -> list[ApiKey]:
    """Return an organisation's keys, newest first."""
    return list(await session.scalars(select(ApiKey).where(ApiKey.org_id == org_id).order_by(ApiKey.id.desc())))


async def revoke_key(session: WriteSession, caller: Caller, key_id: UUID, now: datetime) -> ApiKey | None:
    """Revoke a key of the caller's organisation (any, for the desk); one revoked before keeps its time."""
    statement = select(ApiKey).where(ApiKey.id == key_id).with_for_update()
    if not caller.is_desk:
        statement = statement.where(ApiKey.org_id == caller.org_id)
    key = await session.scalar(statement)
    if key is not None and key.revoked_at is None:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=now))
        await session.refresh(key)
    return key
