"""The database's schema: upgrade to the newest migration, tell whether it is there."""

import asyncio
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.kit.db import Database, ReadSession, Scope

_LOCK: Final = 4_205_320_119  # any fixed number: two upgrades at once wait for each other


def _config() -> Config:
    package = Path(__file__).parent
    shipped = package / "_migrations"
    config = Config()
    config.set_main_option("script_location", str(shipped if shipped.is_dir() else package.parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def head_revision() -> str:
    """Return the newest migration that this release has."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def run_alembic(url: URL, *arguments: Any, action: Any = command.upgrade) -> None:
    """Run an Alembic command over one connection, under a lock of its own.

    Args:
        url: an address whose user may create roles and tables (asyncpg's form).
        arguments: what the command takes after its configuration.
        action: the command, `alembic.command.upgrade` by default.
    """
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.commit()

            def run(sync_connection: Connection) -> None:
                config = _config()
                config.attributes["connection"] = sync_connection
                action(config, *arguments)

            try:
                await connection.run_sync(run)
            finally:
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
                await connection.commit()
    finally:
        await engine.dispose()


async def upgrade(url: URL) -> None:
    """Bring the database to the newest migration; a database that is there already is left alone."""
    await run_alembic(url, "head")


async def current_revision(session: ReadSession) -> str | None:
    """Return the migration that the database is at, or None before the first."""
    exists = await session.scalar(text("SELECT to_regclass('public.alembic_version') IS NOT NULL"))
    if not exists:
        return None
    return await session.scalar(text("SELECT version_num FROM alembic_version"))


async def is_current(database: Database) -> bool:
    """Tell whether the database is at this release's newest migration."""
    async with asyncio.timeout(5), database.read(Scope("system")) as session:
        return await current_revision(session) == head_revision()


async def is_migrated(url: URL) -> bool:
    """Tell the same over an address of any user: before the first migration our roles are not there to act as."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with ReadSession(engine) as session:
            return await current_revision(session) == head_revision()
    finally:
        await engine.dispose()
