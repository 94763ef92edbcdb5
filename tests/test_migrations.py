"""Upgrade, compare with the models, downgrade, upgrade again; on the embedded server and on PostgreSQL 15 if here."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from sqlalchemy.engine import URL

from app import schema
from app.kit.db import async_url
from app.kit.embedded import EmbeddedPostgres
from tests.conftest import admin_dsn

pytestmark = pytest.mark.anyio
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")


async def tables_of(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    finally:
        await connection.close()
    return {row["relname"] for row in rows}


async def round_trip(url: URL) -> None:
    dsn = url.set(drivername="postgresql").render_as_string(False)
    await schema.upgrade(url)
    made = await tables_of(dsn)
    assert {"organisation", "offer", "request", "reservation"} <= made
    await schema.run_alembic(url, action=command.check)  # raises where models and migrations differ
    await schema.upgrade(url)  # a second time changes nothing
    await schema.run_alembic(url, "base", action=command.downgrade)
    assert await tables_of(dsn) == {"alembic_version"}
    await schema.upgrade(url)
    assert await tables_of(dsn) == made


async def test_round_trip_on_the_embedded_server(server: EmbeddedPostgres) -> None:
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(admin_dsn(server))
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await round_trip(async_url(server.url("postgres")).set(database=name))
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


@pytest.fixture
def postgres_15(tmp_path: Path) -> Iterator[URL]:
    """A server of the oldest version that is supported, on a socket in a temporary folder."""
    if not (POSTGRES_15 / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    folder = Path(tempfile.gettempdir()) / f"cardhour-pg15-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    user = None
    if os.geteuid() == 0:
        user = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "pgserver")), None)
        if user is None:
            shutil.rmtree(folder)
            pytest.skip("PostgreSQL does not run as root, and there is no user for it here")
        shutil.chown(folder, user)

    def run(*command_line: str) -> None:
        subprocess.run(command_line, check=True, user=user, stdout=subprocess.DEVNULL, cwd="/")

    data = folder / "data"
    run(str(POSTGRES_15 / "initdb"), "--auth=trust", "--username=postgres", "-D", str(data))
    run(
        str(POSTGRES_15 / "pg_ctl"),
        "-w",
        "-D",
        str(data),
        "-l",
        str(folder / "log"),
        "-o",
        f"-h '' -k {folder}",
        "start",
    )
    yield async_url(f"postgresql://postgres@/postgres?host={folder}")
    run(str(POSTGRES_15 / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


async def test_round_trip_on_postgresql_15(postgres_15: URL) -> None:
    await round_trip(postgres_15)


async def test_another_database_system_is_refused() -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        async_url("sqlite:///x.db")
