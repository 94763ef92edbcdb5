"""Import and export jobs: made and watched by callers, run by the worker under a lease."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.accounts.callers import Caller
from app.accounts.models import OrganisationState, Role
from app.bulk import errors, repository
from app.bulk.errors import FILE_GONE, JOB_FINISHED
from app.bulk.exporting import run_export
from app.bulk.importing import run_import
from app.bulk.market import kind_and_format
from app.bulk.models import BulkJob, JobKind, JobState
from app.bulk.options import ExportOptions, ImportOptions
from app.bulk.progress import Progress, Stopped
from app.bulk.reports import Refused, error_json
from app.bulk.rows import Kind
from app.kit.db import SYSTEM, Database, ReadSession, WriteSession
from app.kit.errors import FORBIDDEN, NOT_FOUND
from app.kit.ids import new_id
from app.kit.problems import is_unavailable

LEASE: Final = timedelta(seconds=30)
BEAT_SECONDS: Final = 0.5
MAX_ATTEMPTS: Final = 3
FILES_KEPT: Final = timedelta(hours=24)
_NEEDED: Final = {Kind.OFFERS: Role.SUPPLIER, Kind.REQUESTS: Role.BUYER}
_OWN_EXPORTS: Final = {
    Role.SUPPLIER: {Kind.OFFERS, Kind.SUPPLIERS, Kind.CHIPS},
    Role.BUYER: {Kind.REQUESTS, Kind.BUYERS, Kind.CHIPS},
}
_log: Final = structlog.get_logger("cardhour.bulk")


async def create_import(
    session: WriteSession, caller: Caller, files: dict[str, bytes], options: ImportOptions
) -> BulkJob:
    """Queue an import.

    Args:
        session: an open transaction.
        caller: who sends it.
        files: the content of each of the market's files.
        options: how it is to be done.

    Raises:
        Problem: `forbidden` for files that only the desk may import, or of a role that the key lacks.
    """
    for name in files:
        found = kind_and_format(name)
        needed = None if found is None else _NEEDED.get(found[0])
        if not caller.is_desk and (needed is None or needed not in caller.roles):
            roles = Role.DESK.value if needed is None else f"{Role.DESK.value}, {needed.value}"
            raise FORBIDDEN.problem(roles=f"{roles} ({name})")
    job = _job(caller, JobKind.IMPORT, options.stored(sorted(files)))
    await repository.be_patient(session, statement_seconds=120, lock_seconds=2)
    await repository.add_job(session, job, files)
    return job


async def create_export(session: WriteSession, caller: Caller, options: ExportOptions) -> BulkJob:
    """Queue an export.

    Raises:
        Problem: `forbidden` for what is not the caller's own.
    """
    allowed = set[Kind]().union(*(_OWN_EXPORTS.get(role, set[Kind]()) for role in caller.roles))
    if not caller.reads_all and not set(options.what) <= allowed:
        raise FORBIDDEN.problem(roles=f"{Role.DESK.value}, {Role.AUDITOR.value}")
    job = _job(caller, JobKind.EXPORT, options.stored())
    await repository.add_job(session, job, {})
    return job


def _job(caller: Caller, kind: JobKind, options: dict[str, object]) -> BulkJob:
    return BulkJob(
        id=new_id(),
        org_id=caller.org_id,
        kind=kind.value,
        role=caller.scope.role,
        options=options,
        progress=Progress().as_json(),
    )


async def get_job(session: ReadSession, caller: Caller, kind: JobKind, job_id: UUID) -> BulkJob:
    """Return a job that the caller may see.

    Raises:
        Problem: `not_found`.
    """
    job = await repository.get_job(session, caller, kind, job_id)
    if job is None:
        raise NOT_FOUND.problem(what=kind.value)
    return job


async def cancel_job(session: WriteSession, caller: Caller, kind: JobKind, job_id: UUID, now: datetime) -> BulkJob:
    """Cancel a job; what is running stops before it writes. Doing it again changes nothing.

    Raises:
        Problem: `not_found`, `job_finished`.
    """
    error = error_json(errors.CANCELLED)
    cancelled = await repository.cancel_job(session, caller, kind, job_id, error, now)
    job = await get_job(session, caller, kind, job_id)
    if not cancelled and job.state != JobState.CANCELLED.value:
        raise JOB_FINISHED.problem(state=job.state)
    return job


async def get_export_file(session: ReadSession, caller: Caller, job_id: UUID, name: str, now: datetime) -> bytes:
    """Return a file of an export.

    Raises:
        Problem: `not_found`, `file_gone`.
    """
    job = await get_job(session, caller, JobKind.EXPORT, job_id)
    written = [] if job.result is None else [file["name"] for file in job.result["files"]]
    if name not in written:
        raise NOT_FOUND.problem(what="file")
    content = await repository.get_file(session, job_id, name)
    if content is None or (job.finished_at is not None and job.finished_at + FILES_KEPT <= now):
        raise FILE_GONE.problem()
    return content


async def delete_old_files(database: Database, now: datetime) -> int:
    """Delete the files of jobs that ended 24 hours ago or earlier; return how many there were."""
    async with database.write(SYSTEM) as session:
        return await repository.delete_files(session, now - FILES_KEPT)


async def run_next_job(database: Database, clock: Callable[[], datetime]) -> bool:
    """Run the oldest job that waits, or whose runner has died, to its end.

    Args:
        database: as the worker's role.
        clock: tells the time for leases and for what is written.

    Returns:
        Whether there was a job.
    """
    async with database.write(SYSTEM) as session:
        job = await repository.claim_job(session, clock(), LEASE)
    if job is None:
        return False
    if job.attempt > MAX_ATTEMPTS:
        await _fail(database, job, Progress(), error_json(errors.GAVE_UP, attempts=MAX_ATTEMPTS), clock())
        return True
    progress = Progress()
    work = asyncio.create_task(_run(database, job, progress, clock))
    try:
        while not (await asyncio.wait({work}, timeout=BEAT_SECONDS))[0]:
            await _beat(database, job, progress, clock)
        await work
    finally:
        # The worker itself is being stopped: the lease lapses and another takes the job again.
        progress.stop()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    return True


async def _beat(database: Database, job: BulkJob, progress: Progress, clock: Callable[[], datetime]) -> None:
    """Renew the lease and show the progress; ask the work to end if the job is no longer ours."""
    try:
        async with database.write(SYSTEM) as session:
            lease_ends_at = clock() + LEASE
            kept = await repository.renew_lease(session, job.id, job.attempt, lease_ends_at, progress.as_json())
    except (DBAPIError, OSError, TimeoutError) as error:
        _log.warning("lease_not_renewed", job=str(job.id), error=str(error))
        return
    if not kept:
        progress.stop()


async def _run(database: Database, job: BulkJob, progress: Progress, clock: Callable[[], datetime]) -> None:
    try:
        await _check_sender(database, job)
        run = run_import if job.kind == JobKind.IMPORT.value else run_export
        await run(database, job, progress, clock)
    except Refused as refused:
        await _fail(database, job, progress, refused.error, clock())
    except Stopped:
        _log.info("job_stopped", job=str(job.id), attempt=job.attempt)
    except Exception as error:  # noqa: BLE001  whatever it was, the job must end and say so
        _log.exception("job_failed", job=str(job.id), attempt=job.attempt)
        # Where the database is away, the job is taken again once its lease lapses.
        if not is_unavailable(error):
            await _fail(database, job, progress, error_json(errors.FAILED), clock())


async def _check_sender(database: Database, job: BulkJob) -> None:
    async with database.read(SYSTEM) as session:
        state = await repository.organisation_state(session, job.org_id)
    if state != OrganisationState.APPROVED.value:
        raise Refused(error_json(errors.CALLER_GONE, state=str(state)))


async def _fail(database: Database, job: BulkJob, progress: Progress, error: dict[str, object], now: datetime) -> None:
    async with database.write(SYSTEM) as session:
        await repository.finish_job(session, job.id, job.attempt, now=now, progress=progress.as_json(), error=error)
