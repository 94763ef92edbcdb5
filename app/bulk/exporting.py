"""One export: rows out of the database → files stored with the job."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.accounts.models import Role
from app.bulk import errors, reading_repository, repository
from app.bulk.csv_writing import cannot_carry, write_csv
from app.bulk.jsonl_writing import write_jsonl
from app.bulk.market import SEPARATOR, without_prefix
from app.bulk.models import BulkJob
from app.bulk.options import ExportOptions, scope_of
from app.bulk.progress import Progress, Stopped
from app.bulk.reports import Refused, error_json
from app.bulk.rows import AnyRow, ChipRow, Finding, Format, Kind
from app.kit.db import SYSTEM, Database, ReadSession

# What refers to others is read first, so that what it refers to is found afterwards.
_ORDER = (Kind.REQUESTS, Kind.OFFERS, Kind.BUYERS, Kind.SUPPLIERS, Kind.CHIPS)


async def run_export(database: Database, job: BulkJob, progress: Progress, clock: Callable[[], datetime]) -> None:
    """Do an export and end its job as succeeded.

    Raises:
        Refused: if CSV can't carry what is to be exported; no file is stored.
        Stopped: if it is no longer this attempt's.
    """
    options = ExportOptions.of(job.options)
    tables: dict[Kind, Sequence[AnyRow]] = {}
    progress.begin("reading", len(options.what))
    everyone = bool(options.roles & {Role.DESK.value, Role.AUDITOR.value})
    async with database.read(scope_of(job)) as session:
        await repository.be_patient(session, statement_seconds=600, lock_seconds=2)
        for kind in sorted(options.what, key=_ORDER.index):
            tables[kind] = await _read(session, kind, None if everyone else job.org_id)
            progress.advance(1)
    files, rows = await asyncio.to_thread(_write, tables, options, progress)
    result = {
        "files": [{"name": name, "rows": rows[name], "bytes": len(content)} for name, content in files.items()],
    }
    async with database.write(SYSTEM) as session:
        await repository.be_patient(session, statement_seconds=120, lock_seconds=2)
        await repository.replace_files(session, job, files)
        if not await repository.finish_job(
            session, job.id, job.attempt, now=clock(), progress=progress.as_json(), result=result
        ):
            raise Stopped


async def _read(session: ReadSession, kind: Kind, org_id: UUID | None) -> Sequence[AnyRow]:
    match kind:
        case Kind.REQUESTS:
            return await reading_repository.find_requests(session, org_id)
        case Kind.OFFERS:
            return await reading_repository.find_offers(session, org_id)
        case Kind.BUYERS:
            return [one.row for one in await _organisations(session, Role.BUYER, org_id)]
        case Kind.SUPPLIERS:
            return [one.row for one in await _organisations(session, Role.SUPPLIER, org_id)]
        case Kind.CHIPS:
            return await reading_repository.find_chips(session)


async def _organisations(session: ReadSession, role: Role, org_id: UUID | None) -> list[Any]:
    return list(await reading_repository.find_organisations(session, role, org_id=org_id))


def _write(
    tables: dict[Kind, Sequence[AnyRow]], options: ExportOptions, progress: Progress
) -> tuple[dict[str, bytes], dict[str, int]]:
    progress.begin("writing", len(tables))
    files: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    refused: list[Finding] = []
    for kind in options.what:
        rows = list(tables[kind])
        if options.namespace is not None and kind is not Kind.CHIPS:
            rows = _in_namespace(rows, options.namespace + SEPARATOR)
        name = f"{kind.value}.{options.format.value}"
        found = cannot_carry(kind, rows) if options.format is Format.CSV else []
        refused += found
        counts[name] = len(rows)
        if not refused:
            files[name] = write_csv(kind, rows) if options.format is Format.CSV else write_jsonl(kind, rows)
        progress.advance(1)
    if refused:
        raise Refused(error_json(errors.CANNOT_EXPORT, refused, count=len(refused)))
    return files, counts


def _in_namespace(rows: Sequence[AnyRow], prefix: str) -> list[AnyRow]:
    return [without_prefix(row, prefix) for row in rows if _has_prefix(row, prefix)]


def _has_prefix(row: AnyRow, prefix: str) -> bool:
    if isinstance(row, ChipRow):
        return True
    owner = getattr(row, "owner", row.ref)
    return row.ref.startswith(prefix) and str(owner).startswith(prefix)
