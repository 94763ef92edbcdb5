"""SQL of programme versions as the desk drafts them."""

from datetime import datetime

from sqlalchemy import insert, select

from app.kit.db import ReadSession, WriteSession
from app.vouchers.models import ProgrammeVersion, VersionState


async def all_versions(session: ReadSession, programme: str) -> list[ProgrammeVersion]:
    """Return every version of a programme, the newest first."""
    statement = select(ProgrammeVersion).where(ProgrammeVersion.programme_id == programme)
    return list(await session.scalars(statement.order_by(ProgrammeVersion.version.desc())))


async def lock_version(session: WriteSession, programme: str, version: int) -> ProgrammeVersion | None:
    """Return a version, locked."""
    statement = select(ProgrammeVersion).where(
        ProgrammeVersion.programme_id == programme, ProgrammeVersion.version == version
    )
    return await session.scalar(statement.with_for_update())


async def insert_draft(
    session: WriteSession, programme: str, version: int, toml: str, sha256: str, now: datetime
) -> ProgrammeVersion:
    """Add a draft.

    Raises:
        DBAPIError: `programme_version_pkey` (translated at the edge).
    """
    statement = insert(ProgrammeVersion).values(
        programme_id=programme,
        version=version,
        toml=toml,
        sha256=sha256,
        state=VersionState.DRAFT.value,
        created_at=now,
    )
    return (await session.scalars(statement.returning(ProgrammeVersion))).one()
