"""Endpoints of imports and exports."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.accounts.dependencies import Anyone, Context, Party, Reading, Writing
from app.accounts.errors import NOT_APPROVED
from app.bulk import repository, service
from app.bulk.csv_writing import template
from app.bulk.errors import FILE_GONE, JOB_FINISHED
from app.bulk.models import JobKind, JobState
from app.bulk.options import ExportOptions
from app.bulk.rows import Kind
from app.bulk.schemas import (
    ExportId,
    ExportIn,
    ExportOut,
    ExportSummaryOut,
    ImportId,
    ImportOut,
    ImportSummaryOut,
    export_out,
    export_summary,
    import_out,
    import_summary,
)
from app.bulk.upload import OPENAPI, read_upload
from app.kit.db import WriteSession
from app.kit.errors import FORBIDDEN, MALFORMED, NOT_FOUND, UNAUTHENTICATED
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import language_of, problems
from app.kit.uploads import NOT_MULTIPART, UPLOAD_TOO_LARGE
from app.kit.writes import Answer

router = APIRouter(tags=["bulk"])

_RETRY_AFTER: Final = {"Retry-After": "1"}
_FINISHED: Final = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
_TYPES: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
_TEMPLATE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "a header and an example row"}
}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/jsonl": {"schema": {"type": "string"}}},
        "description": "the file",
    }
}


def _language(request: Request) -> str:
    return language_of(request.headers.get("accept-language"))


def _import_url(job_id: UUID) -> str:
    return f"/v1/imports/{encode_id('imp', job_id)}"


def _export_url(job_id: UUID) -> str:
    return f"/v1/exports/{encode_id('exp', job_id)}"


def _wait(response: Response, state: JobState) -> None:
    if state not in _FINISHED:
        response.headers.update(_RETRY_AFTER)


@router.post(
    "/imports",
    summary="Import a market",
    description=(
        "All or nothing unless `skip_bad`: the job tells every bad row with file, line, column, code and sentence."
        " The desk imports everything, a supplier its own offers, a buyer its own requests. Importing the same again"
        " changes nothing. The formats are described in docs/market-format.md."
    ),
    status_code=202,
    response_model=ImportOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED, MALFORMED, NOT_MULTIPART, UPLOAD_TOO_LARGE),
    openapi_extra=OPENAPI,
)
async def create_import(request: Request, caller: Party, write: Writing) -> Response:
    """Queue an import of the files uploaded."""
    upload = await read_upload(request, frozenset(role.value for role in caller.roles))

    async def work(session: WriteSession) -> Answer:
        job = await service.create_import(session, caller, upload.files, upload.options)
        headers = {"Location": _import_url(job.id)} | _RETRY_AFTER
        return Answer(import_out(job, _language(request)), 202, headers)

    return await write.run(work, body=upload.digest)


@router.get(
    "/imports",
    summary="List imports",
    description="Newest first. One's own; all of them for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR),
)
async def list_imports(caller: Anyone, session: Reading, context: Context, page: Paging) -> Page[ImportSummaryOut]:
    """Return a page of imports, without their results."""
    rows, has_more, cursors = await repository.list_jobs(
        session, caller, JobKind.IMPORT, page, signer=context.signer, listing=listing_name("imports", {})
    )
    items = [import_summary(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query={"limit": page.limit})


@router.get(
    "/imports/templates/{name}.csv",
    summary="Get a template",
    response_class=Response,
    responses=_TEMPLATE | problems(UNAUTHENTICATED, NOT_APPROVED),
)
async def read_template(_: Anyone, name: Annotated[Kind, Path(description="which file")]) -> Response:
    """Return a CSV file with the header and an example row."""
    return _file(f"{name.value}.csv", template(name))


@router.get(
    "/imports/{import_id}",
    summary="Read an import",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_import(
    import_id: ImportId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ImportOut:
    """Return an import's state, progress, and its result or error."""
    job = await service.get_job(session, caller, JobKind.IMPORT, import_id)
    _wait(response, JobState(job.state))
    return import_out(job, _language(request))


@router.post(
    "/imports/{import_id}/cancel",
    summary="Cancel an import",
    description="One that is running stops before it writes. Cancelling again changes nothing.",
    response_model=ImportOut,
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, JOB_FINISHED),
)
async def cancel_import(
    import_id: ImportId, caller: Party, write: Writing, context: Context, request: Request
) -> Response:
    """Cancel an import that has not ended."""

    async def work(session: WriteSession) -> Answer:
        job = await service.cancel_job(session, caller, JobKind.IMPORT, import_id, context.clock())
        return Answer(import_out(job, _language(request)))

    return await write.run(work)


def _export_answer(job: Any, request: Request) -> ExportOut:
    return export_out(job, _language(request), _export_url(job.id))


@router.post(
    "/exports",
    summary="Export a market",
    description=(
        "The desk and auditors export everything, a supplier its own offers, a buyer its own requests; withdrawn ones"
        " are left out. What CSV can't carry makes a CSV export fail, naming each such row."
    ),
    status_code=202,
    response_model=ExportOut,
    responses=problems(UNAUTHENTICATED, FORBIDDEN, NOT_APPROVED),
)
async def create_export(body: ExportIn, caller: Anyone, write: Writing, request: Request) -> Response:
    """Queue an export."""
    options = ExportOptions(
        format=body.format,
        what=tuple(dict.fromkeys(body.what)),
        namespace=body.namespace,
        roles=frozenset(role.value for role in caller.roles),
    )

    async def work(session: WriteSession) -> Answer:
        job = await service.create_export(session, caller, options)
        return Answer(_export_answer(job, request), 202, {"Location": _export_url(job.id)} | _RETRY_AFTER)

    return await write.run(work)


@router.get(
    "/exports",
    summary="List exports",
    description="Newest first. One's own; all of them for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR),
)
async def list_exports(caller: Anyone, session: Reading, context: Context, page: Paging) -> Page[ExportSummaryOut]:
    """Return a page of exports, without their results."""
    rows, has_more, cursors = await repository.list_jobs(
        session, caller, JobKind.EXPORT, page, signer=context.signer, listing=listing_name("exports", {})
    )
    items = [export_summary(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query={"limit": page.limit})


@router.get(
    "/exports/{export_id}",
    summary="Read an export",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND),
)
async def read_export(
    export_id: ExportId, caller: Anyone, session: Reading, request: Request, response: Response
) -> ExportOut:
    """Return an export's state, progress, and its files or error."""
    job = await service.get_job(session, caller, JobKind.EXPORT, export_id)
    _wait(response, JobState(job.state))
    return _export_answer(job, request)


@router.post(
    "/exports/{export_id}/cancel",
    summary="Cancel an export",
    description="Cancelling again changes nothing.",
    response_model=ExportOut,
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, JOB_FINISHED),
)
async def cancel_export(
    export_id: ExportId, caller: Anyone, write: Writing, context: Context, request: Request
) -> Response:
    """Cancel an export that has not ended."""

    async def work(session: WriteSession) -> Answer:
        job = await service.cancel_job(session, caller, JobKind.EXPORT, export_id, context.clock())
        return Answer(_export_answer(job, request))

    return await write.run(work)


@router.get(
    "/exports/{export_id}/files/{name}",
    summary="Download a file of an export",
    response_class=Response,
    responses=_FILE | problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, FILE_GONE),
)
async def read_export_file(
    export_id: ExportId,
    name: Annotated[str, Path(max_length=40, examples=["offers.csv"])],
    caller: Anyone,
    session: Reading,
    context: Context,
) -> Response:
    """Return a file's content."""
    return _file(name, await service.get_export_file(session, caller, export_id, name, context.clock()))


def _file(name: str, content: bytes) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)
