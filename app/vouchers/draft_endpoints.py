"""Endpoints of programme versions: drafts, publishing, and what a programme gives an organisation."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from app.accounts.dependencies import Anyone, Context, Desk, KeyedWriting, Reading, Writing
from app.accounts.errors import NOT_APPROVED
from app.kit.db import SYSTEM, WriteSession
from app.kit.errors import (
    CHINESE,
    ENGLISH,
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    PRECONDITION_REQUIRED,
    STALE,
    UNAUTHENTICATED,
)
from app.kit.problems import language_of, problems
from app.kit.writes import Answer, check_if_match, etag
from app.vouchers import drafts
from app.vouchers.draft_errors import OLD_VERSION, OTHER_PROGRAMME, PROGRAMME_FILE, PUBLISHED, VERSION_EXISTS
from app.vouchers.draft_schemas import (
    DraftIn,
    ExplainIn,
    PublishIn,
    VersionDetail,
    VersionList,
    contract_of,
    version_detail,
    version_out,
)
from app.vouchers.explaining import ExplanationOut, explanation

router = APIRouter(tags=["vouchers"])
ProgrammeId = Annotated[str, Path(max_length=60, description="the programme's id", examples=["open-example"])]
Version = Annotated[int, Path(ge=1, le=1_000_000, description="the version", examples=[2])]
_WRITES: Final = (UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED)
_CHANGES: Final = (*_WRITES, NOT_FOUND, PRECONDITION_REQUIRED, STALE, PUBLISHED)
_KEYED: Final = (IDEMPOTENCY_REQUIRED, IDEMPOTENCY_IN_FLIGHT, IDEMPOTENCY_MISMATCH)


@router.post(
    "/programmes",
    summary="Draft a voucher programme",
    description="A file of a programme, stored under its own id and version; `errors` tells faults by line and key.",
    status_code=201,
    response_model=VersionDetail,
    responses=problems(*_WRITES, PROGRAMME_FILE, VERSION_EXISTS, OLD_VERSION),
)
async def create_draft(body: DraftIn, _: Desk, write: Writing, context: Context) -> Response:
    """Store a draft (the desk)."""

    async def work(session: WriteSession) -> Answer:
        made = await drafts.create_draft(session, body.toml, context.clock())
        location = f"/v1/programmes/{made.programme_id}/versions/{made.version}"
        return Answer(version_detail(made), 201, {"Location": location, "ETag": etag(made.revision)})

    return await write.run(work)


@router.get(
    "/programmes/{programme_id}/versions",
    summary="List a programme's versions",
    description="The newest first; drafts for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def list_versions(programme_id: ProgrammeId, caller: Anyone, session: Reading) -> VersionList:
    """Return every version."""
    return VersionList(data=[version_out(row) for row in await drafts.list_versions(session, caller, programme_id)])


@router.get(
    "/programmes/{programme_id}/versions/{version}",
    summary="Read a programme's version",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_version(
    programme_id: ProgrammeId, version: Version, caller: Anyone, session: Reading, response: Response
) -> VersionDetail:
    """Return a version with its content."""
    row = await drafts.get_version(session, caller, programme_id, version)
    response.headers["ETag"] = etag(row.revision)
    return version_detail(row)


@router.put(
    "/programmes/{programme_id}/versions/{version}",
    summary="Change a draft",
    response_model=VersionDetail,
    responses=problems(*_CHANGES, PROGRAMME_FILE, OTHER_PROGRAMME),
)
async def change_draft(
    programme_id: ProgrammeId, version: Version, body: DraftIn, request: Request, _: Desk, write: Writing
) -> Response:
    """Put another file in a draft's place (the desk)."""

    async def work(session: WriteSession) -> Answer:
        check = partial(check_if_match, request)
        changed = await drafts.change_draft(session, programme_id, version, body.toml, check)
        return Answer(version_detail(changed), headers={"ETag": etag(changed.revision)})

    return await write.run(work)


@router.delete(
    "/programmes/{programme_id}/versions/{version}",
    summary="Delete a draft",
    status_code=204,
    response_class=Response,
    responses=problems(*_CHANGES),
)
async def delete_draft(
    programme_id: ProgrammeId, version: Version, request: Request, _: Desk, write: Writing
) -> Response:
    """Delete a draft (the desk)."""

    async def work(session: WriteSession) -> Answer:
        await drafts.delete_draft(session, programme_id, version, partial(check_if_match, request))
        return Answer(None, 204)

    return await write.run(work)


@router.post(
    "/programmes/{programme_id}/publish",
    summary="Publish a draft",
    description="From then on it never changes. Years that are open keep the version they were opened under.",
    response_model=VersionDetail,
    responses=problems(*_CHANGES, OLD_VERSION, *_KEYED),
)
async def publish(
    programme_id: ProgrammeId, body: PublishIn, request: Request, _: Desk, write: KeyedWriting
) -> Response:
    """Publish a draft (the desk)."""

    async def work(session: WriteSession) -> Answer:
        done = await drafts.publish(session, programme_id, body.version, partial(check_if_match, request))
        return Answer(version_detail(done), headers={"ETag": etag(done.revision)})

    return await write.run(work)


@router.post(
    "/programmes/{programme_id}/explain",
    summary="Explain what programmes give for a contract",
    description=(
        "Each clause, met or not, and the arithmetic, by the verified facts of the organisations and what is left of "
        "the budgets; the best choice first. A buyer asks for itself, the desk and auditors for any. Nothing is stored."
    ),
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def explain(
    programme_id: ProgrammeId, body: ExplainIn, request: Request, caller: Anyone, context: Context
) -> ExplanationOut:
    """Return the choices of a buyer for a contract."""
    if not caller.reads_all and body.buyer_org_id != caller.org_id:
        raise NOT_FOUND.problem(what="organisation")
    async with context.database.read(SYSTEM) as session:
        chosen = await drafts.newest(session, list(dict.fromkeys([programme_id, *body.with_programmes])))
        contract = contract_of(body.contract, context.clock())
        found = await drafts.explain(session, chosen, contract, body.buyer_org_id, body.supplier_org_id)
    return explanation(found, CHINESE if language_of(request.headers.get("Accept-Language")) == CHINESE else ENGLISH)
