"""SQL of the jobs themselves: made, listed, claimed under a lease, finished, and their files."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, null, or_, select, text, update
from sqlalchemy.orm import defer

from app.accounts.callers import Caller
from app.accounts.models import Organisation, OrganisationRole
from app.bulk.models import BulkFile, BulkJob, JobKind, JobState
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page

_ONE_IMPORT_AT_A_TIME: Final = 4_205_320_120  # any fixed number of its own
_UNFINISHED: Final = (JobState.QUEUED.value, JobState.RUNNING.value)


async def be_patient(session: ReadSession, *, statement_seconds: int, lock_seconds: int) -> None:
    """Let this transaction's statements take longer than an API call's."""
    await session.execute(
        text("SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)"),
        {"statement": f"{statement_seconds}s", "lock": f"{lock_seconds}s"},
    )


async def enter_imports(session: WriteSession) -> None:
    """Wait until no other import writes; two at once would refuse each other's new references."""
    await session.execute(select(func.pg_advisory_xact_lock(_ONE_IMPORT_AT_A_TIME)))


async def add_job(session: WriteSession, job: BulkJob, files: dict[str, bytes]) -> None:
    """Add a job and what was uploaded for it."""
    session.add(job)
    await session.flush()
    session.add_all(
        BulkFile(job_id=job.id, name=name, org_id=job.org_id, content=content) for name, content in files.items()
    )
    await session.flush()
    await session.refresh(job)


async def get_job(session: ReadSession, caller: Caller, kind: JobKind, job_id: UUID) -> BulkJob | None:
    """Return a job that the caller may see: its organisation's, or any for the desk and auditors."""
    statement = select(BulkJob).where(BulkJob.id == job_id, BulkJob.kind == kind.value)
    if not caller.reads_all:
        statement = statement.where(BulkJob.org_id == caller.org_id)
    return await session.scalar(statement.execution_options(populate_existing=True))


async def list_jobs(
    session: ReadSession, caller: Caller, kind: JobKind, page: PageRequest, *, signer: CursorSigner, listing: str
) -> tuple[list[BulkJob], bool, tuple[str, str] | None]:
    """Return a page of jobs that the caller may see, newest first; their results and errors are not loaded."""
    statement = select(BulkJob).where(BulkJob.kind == kind.value)
    statement = statement.options(defer(BulkJob.result, raiseload=True), defer(BulkJob.error, raiseload=True))
    if not caller.reads_all:
        statement = statement.where(BulkJob.org_id == caller.org_id)
    sort = Sort[BulkJob](
        columns=(BulkJob.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
        descending=True,
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def cancel_job(
    session: WriteSession, caller: Caller, kind: JobKind, job_id: UUID, error: dict[str, Any], now: datetime
) -> bool:
    """Cancel a job that has not ended; tell whether it was cancelled."""
    statement = update(BulkJob).where(BulkJob.id == job_id, BulkJob.kind == kind.value, BulkJob.state.in_(_UNFINISHED))
    if not caller.is_desk:
        statement = statement.where(BulkJob.org_id == caller.org_id)
    cancelled = await session.scalars(
        statement.values(state=JobState.CANCELLED.value, error=error, finished_at=now, lease_ends_at=None).returning(
            BulkJob.id
        )
    )
    return cancelled.first() is not None


async def claim_job(session: WriteSession, now: datetime, lease: timedelta) -> BulkJob | None:
    """Take the oldest job that waits or whose runner's lease lapsed, and count the attempt."""
    lapsed = and_(BulkJob.state == JobState.RUNNING.value, BulkJob.lease_ends_at <= now)
    job = await session.scalar(
        select(BulkJob)
        .where(or_(BulkJob.state == JobState.QUEUED.value, lapsed))
        .order_by(BulkJob.created_at, BulkJob.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if job is None:
        return None
    job.state = JobState.RUNNING.value
    job.attempt += 1
    job.lease_ends_at = now + lease
    await session.flush()
    return job


async def renew_lease(
    session: WriteSession, job_id: UUID, attempt: int, lease_ends_at: datetime, progress: dict[str, Any]
) -> bool:
    """Keep a job and show how far it is; False if it is no longer this attempt's."""
    renewed = await session.scalars(
        update(BulkJob)
        .where(BulkJob.id == job_id, BulkJob.attempt == attempt, BulkJob.state == JobState.RUNNING.value)
        .values(lease_ends_at=lease_ends_at, progress=progress)
        .returning(BulkJob.id)
    )
    return renewed.first() is not None


async def finish_job(
    session: WriteSession,
    job_id: UUID,
    attempt: int,
    *,
    now: datetime,
    progress: dict[str, Any],
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> bool:
    """End a job with exactly one of a result and an error; False if it is no longer this attempt's."""
    ended = await session.scalars(
        update(BulkJob)
        .where(BulkJob.id == job_id, BulkJob.attempt == attempt, BulkJob.state == JobState.RUNNING.value)
        .values(
            state=(JobState.FAILED if result is None else JobState.SUCCEEDED).value,
            result=null() if result is None else result,
            error=null() if error is None else error,
            progress=progress,
            finished_at=now,
            lease_ends_at=None,
        )
        .returning(BulkJob.id)
    )
    return ended.first() is not None


async def load_files(session: ReadSession, job_id: UUID) -> dict[str, bytes]:
    """Return the files of a job, by name."""
    rows = await session.execute(select(BulkFile.name, BulkFile.content).where(BulkFile.job_id == job_id))
    return {name: value for name, value in rows}  # noqa: C416  a Row is a pair to no type checker


async def get_file(session: ReadSession, job_id: UUID, name: str) -> bytes | None:
    """Return one file of a job that the caller was found to see."""
    return await session.scalar(select(BulkFile.content).where(BulkFile.job_id == job_id, BulkFile.name == name))


async def replace_files(session: WriteSession, job: BulkJob, files: dict[str, bytes]) -> None:
    """Store what a job wrote; what an attempt before it left is gone."""
    await session.execute(delete(BulkFile).where(BulkFile.job_id == job.id))
    session.add_all(
        BulkFile(job_id=job.id, name=name, org_id=job.org_id, content=content) for name, content in files.items()
    )
    await session.flush()


async def delete_files(session: WriteSession, ended_before: datetime) -> int:
    """Delete the files of jobs that ended before a moment; return how many there were."""
    ended = exists().where(BulkJob.id == BulkFile.job_id, BulkJob.finished_at < ended_before)
    return len((await session.scalars(delete(BulkFile).where(ended).returning(BulkFile.name))).all())


async def organisation_state(session: ReadSession, org_id: UUID) -> str | None:
    """Return an organisation's state."""
    return await session.scalar(select(Organisation.state).where(Organisation.id == org_id))


async def own_refs(session: ReadSession, org_id: UUID) -> dict[str, str]:
    """Return an organisation's references by role."""
    rows = await session.execute(
        select(OrganisationRole.role, OrganisationRole.ref).where(OrganisationRole.org_id == org_id)
    )
    return {name: value for name, value in rows}  # noqa: C416  a Row is a pair to no type checker
