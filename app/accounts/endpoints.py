"""Endpoints of accounts: registration, who I am, organisations, facts, affiliations, partner lists, keys."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from app.accounts import repository, service
from app.accounts.callers import Caller
from app.accounts.dependencies import (
    Anyone,
    Context,
    CurrentCaller,
    Desk,
    DeskOrAuditor,
    Party,
    Reading,
    SecretWriting,
    Writing,
)
from app.accounts.errors import (
    AFFILIATION_EXISTS,
    ALREADY_EXPIRED,
    DECIDED,
    FACT_EXISTS,
    FACT_VALUE,
    NOT_A_SUPPLIER,
    NOT_APPROVED,
    PARTNER_EXISTS,
    REF_TAKEN,
    ROLE_NOT_HELD,
    SELF_AFFILIATION,
)
from app.accounts.models import Affiliation, ApiKey, OrganisationFact, OrganisationState, Role
from app.accounts.schemas import (
    AffiliationIn,
    AffiliationList,
    AffiliationOut,
    DecisionIn,
    FactId,
    FactIn,
    FactList,
    FactOut,
    KeyId,
    KeyIn,
    KeyList,
    KeyOut,
    MeOut,
    NewKeyOut,
    OrganisationOut,
    OrgId,
    PartnerIn,
    PartnerList,
    PartnerOut,
    RegisteredOut,
    Registration,
)
from app.kit.db import Scope, WriteSession
from app.kit.errors import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED
from app.kit.ids import encode_id, new_id
from app.kit.pages import BAD_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import problems
from app.kit.writes import Answer, Writer

router = APIRouter(tags=["accounts"])


def _fact(fact: OrganisationFact) -> FactOut:
    return FactOut.model_validate(
        {name: getattr(fact, name) for name in FactOut.model_fields if name != "value"} | {"value": fact.value["value"]}
    )


def _affiliation(row: Affiliation) -> AffiliationOut:
    return AffiliationOut(
        org_id=row.low_id,
        other_org_id=row.high_id,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        evidence=row.evidence,
        recorded_at=row.recorded_at,
    )


def _new_key(key: ApiKey, secret: str) -> NewKeyOut:
    return NewKeyOut(**KeyOut.model_validate(key).model_dump(), secret=secret)


@router.post(
    "/organisations",
    summary="Register an organisation",
    description="Open to all. The organisation waits for the desk; the key returned is shown this once.",
    status_code=201,
    response_model=RegisteredOut,
    responses=problems(REF_TAKEN),
)
async def register(body: Registration, request: Request, context: Context) -> Response:
    """Register an organisation with its first key."""
    org_id = new_id()
    writer = Writer(
        request,
        context.database,
        Scope("member", org_id),
        org_id=org_id,
        key_required=False,
        keep_secret=True,
    )

    async def work(session: WriteSession) -> Answer:
        organisation, key, secret = await service.register(session, org_id, body, secret=context.secret)
        answer = RegisteredOut(organisation=OrganisationOut.model_validate(organisation), key=_new_key(key, secret))
        return Answer(answer, 201, {"Location": f"/v1/organisations/{encode_id('org', org_id)}"})

    return await writer.run(work)


@router.get("/me", summary="Who am I", responses=problems(UNAUTHENTICATED))
async def me(caller: CurrentCaller, session: Reading) -> MeOut:
    """Tell whose key this is; also before approval."""
    organisation = await service.get_organisation(session, caller, caller.org_id)
    return MeOut(organisation=OrganisationOut.model_validate(organisation), roles=sorted(caller.roles))


@router.get(
    "/organisations",
    summary="List organisations",
    description="In the order of registration. For the desk and auditors.",
    responses=problems(UNAUTHENTICATED, FORBIDDEN, BAD_CURSOR),
)
async def list_organisations(
    _: DeskOrAuditor,
    session: Reading,
    context: Context,
    page: Paging,
    state: Annotated[OrganisationState | None, Query(description="only in this state")] = None,
    role: Annotated[Role | None, Query(description="only with this role")] = None,
) -> Page[OrganisationOut]:
    """Return a page of organisations."""
    query = {"state": state, "role": role}
    rows, has_more, cursors = await repository.list_organisations(
        session,
        page,
        signer=context.signer,
        listing=listing_name("organisations", query),
        state=state,
        role=role,
    )
    items = [OrganisationOut.model_validate(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/organisations/{org_id}",
    summary="Read an organisation",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_organisation(org_id: OrgId, caller: Anyone, session: Reading) -> OrganisationOut:
    """Return one organisation: one's own; any for the desk and auditors."""
    return OrganisationOut.model_validate(await service.get_organisation(session, caller, org_id))


async def _decide(
    org_id: UUID, body: DecisionIn, wanted: OrganisationState, caller: Caller, write: Writer, now: datetime
) -> Response:
    async def work(session: WriteSession) -> Answer:
        organisation = await service.decide(session, caller, org_id, wanted, reason=body.reason, now=now)
        return Answer(OrganisationOut.model_validate(organisation))

    return await write.run(work)


_DECISION: Final = problems(UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, DECIDED)


@router.post(
    "/organisations/{org_id}/approve",
    summary="Approve an organisation",
    response_model=OrganisationOut,
    responses=_DECISION,
)
async def approve(org_id: OrgId, body: DecisionIn, caller: Desk, write: Writing, context: Context) -> Response:
    """Let an organisation work (the desk)."""
    return await _decide(org_id, body, OrganisationState.APPROVED, caller, write, context.clock())


@router.post(
    "/organisations/{org_id}/reject",
    summary="Reject an organisation",
    response_model=OrganisationOut,
    responses=_DECISION,
)
async def reject(org_id: OrgId, body: DecisionIn, caller: Desk, write: Writing, context: Context) -> Response:
    """Turn a registration down (the desk)."""
    return await _decide(org_id, body, OrganisationState.REJECTED, caller, write, context.clock())


@router.post(
    "/organisations/{org_id}/suspend",
    summary="Suspend an organisation",
    response_model=OrganisationOut,
    responses=_DECISION,
)
async def suspend(org_id: OrgId, body: DecisionIn, caller: Desk, write: Writing, context: Context) -> Response:
    """Stop an organisation from acting (the desk); what is reserved stays."""
    return await _decide(org_id, body, OrganisationState.SUSPENDED, caller, write, context.clock())


@router.get(
    "/organisations/{org_id}/facts",
    summary="List an organisation's facts",
    responses=problems(UNAUTHENTICATED, NOT_FOUND),
)
async def list_facts(org_id: OrgId, caller: Anyone, session: Reading) -> FactList:
    """Return the dated facts on record, newest first by key."""
    await service.get_organisation(session, caller, org_id)
    return FactList(data=[_fact(fact) for fact in await repository.list_facts(session, caller, org_id)])


@router.post(
    "/organisations/{org_id}/facts",
    summary="Record a fact",
    description="One's own waits for the desk's verification; the desk's own entry counts at once.",
    status_code=201,
    response_model=FactOut,
    responses=problems(UNAUTHENTICATED, NOT_FOUND, FACT_EXISTS, FACT_VALUE),
)
async def record_fact(org_id: OrgId, body: FactIn, caller: Party, write: Writing, context: Context) -> Response:
    """Record a dated fact with its evidence."""

    async def work(session: WriteSession) -> Answer:
        return Answer(_fact(await service.record_fact(session, caller, org_id, body, context.clock())), 201)

    return await write.run(work)


@router.post(
    "/organisations/{org_id}/facts/{fact_id}/verify",
    summary="Verify a fact",
    response_model=FactOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_FOUND),
)
async def verify_fact(org_id: OrgId, fact_id: FactId, caller: Desk, write: Writing, context: Context) -> Response:
    """Mark a fact as checked against its evidence (the desk)."""

    async def work(session: WriteSession) -> Answer:
        return Answer(_fact(await service.verify_fact(session, caller, org_id, fact_id, context.clock())))

    return await write.run(work)


@router.get(
    "/organisations/{org_id}/affiliations",
    summary="List an organisation's affiliations",
    responses=problems(UNAUTHENTICATED, NOT_FOUND),
)
async def list_affiliations(org_id: OrgId, caller: Anyone, session: Reading) -> AffiliationList:
    """Return who is under one control with it."""
    await service.get_organisation(session, caller, org_id)
    rows = await repository.list_affiliations(session, caller, org_id)
    return AffiliationList(data=[_affiliation(row) for row in rows])


@router.post(
    "/affiliations",
    summary="Record an affiliation",
    status_code=201,
    response_model=AffiliationOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, SELF_AFFILIATION, AFFILIATION_EXISTS),
)
async def record_affiliation(body: AffiliationIn, caller: Desk, write: Writing) -> Response:
    """Record that two organisations are under one control (the desk)."""

    async def work(session: WriteSession) -> Answer:
        return Answer(_affiliation(await service.record_affiliation(session, caller, body)), 201)

    return await write.run(work)


@router.get(
    "/partner-lists",
    summary="List partners",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED),
)
async def list_partners(
    _: Anyone,
    session: Reading,
    list_name: Annotated[str | None, Query(max_length=200, description="only this list")] = None,
) -> PartnerList:
    """Return which suppliers are on which programme's partner list."""
    rows = await repository.list_partners(session, list_name)
    return PartnerList(data=[PartnerOut.model_validate(row) for row in rows])


@router.post(
    "/partner-lists",
    summary="Put a supplier on a partner list",
    status_code=201,
    response_model=PartnerOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, NOT_A_SUPPLIER, PARTNER_EXISTS),
)
async def add_partner(body: PartnerIn, caller: Desk, write: Writing) -> Response:
    """Put a supplier on a programme's partner list (the desk)."""

    async def work(session: WriteSession) -> Answer:
        return Answer(PartnerOut.model_validate(await service.add_partner(session, caller, body)), 201)

    return await write.run(work)


@router.get(
    "/keys",
    summary="List my organisation's keys",
    responses=problems(UNAUTHENTICATED),
)
async def list_keys(caller: CurrentCaller, session: Reading) -> KeyList:
    """Return the keys of one's organisation, without their secrets, newest first."""
    rows = await repository.list_keys(session, caller.org_id)
    return KeyList(data=[KeyOut.model_validate(row) for row in rows])


@router.post(
    "/keys",
    summary="Make a key",
    description="The secret is in this answer and nowhere else, so no idempotency key is kept for it.",
    status_code=201,
    response_model=NewKeyOut,
    responses=problems(UNAUTHENTICATED, NOT_FOUND, ROLE_NOT_HELD, ALREADY_EXPIRED),
)
async def create_key(body: KeyIn, caller: Anyone, write: SecretWriting, context: Context) -> Response:
    """Make a key for one's organisation, or for any by the desk."""

    async def work(session: WriteSession) -> Answer:
        key, secret = await service.create_key(session, caller, body, secret=context.secret, now=context.clock())
        return Answer(_new_key(key, secret), 201)

    return await write.run(work)


@router.post(
    "/keys/{key_id}/revoke",
    summary="Revoke a key",
    response_model=KeyOut,
    responses=problems(UNAUTHENTICATED, NOT_FOUND),
)
async def revoke_key(key_id: KeyId, caller: CurrentCaller, write: Writing, context: Context) -> Response:
    """End a key at once."""

    async def work(session: WriteSession) -> Answer:
        return Answer(KeyOut.model_validate(await service.revoke_key(session, caller, key_id, context.clock())))

    return await write.run(work)
