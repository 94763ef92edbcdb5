"""One PostgreSQL for the run, one database per worker process made from a template, emptied after each test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import URL

from app import schema
from app.accounts import service as accounts
from app.accounts.callers import Caller
from app.accounts.models import OrganisationState, Role
from app.kit.db import APP_ROLE, SYSTEM, WORKER_ROLE, Database, async_url
from app.kit.embedded import EmbeddedPostgres
from app.kit.ids import new_id
from app.kit.pages import CursorSigner
from app.kit.web import AppContext
from app.main import create_app

pytest_plugins = ("tests.worlds",)

SECRET = b"a secret of thirty-two bytes, or more"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedPostgres]:
    """The embedded server of this run, shared by the xdist workers."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    folder = Path(tempfile.gettempdir()) / f"cardhour-tests-{run[:12]}"
    postgres = EmbeddedPostgres(folder)
    postgres.start()
    yield postgres
    postgres.release()
    if not (folder / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(folder, ignore_errors=True)


def admin_dsn(server: EmbeddedPostgres, database: str = "postgres") -> str:
    return str(
        async_url(server.url("postgres")).set(drivername="postgresql", database=database).render_as_string(False)
    )


@pytest.fixture(scope="session")
async def database_url(server: EmbeddedPostgres, anyio_backend: str) -> AsyncIterator[URL]:
    """The address (as superuser) of this worker's database, migrated once in a template that all copy."""
    admin = await asyncpg.connect(admin_dsn(server))
    await admin.execute("SELECT pg_advisory_lock(7)")
    try:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = 'template_cardhour'"):
            await admin.execute("CREATE DATABASE making_cardhour")
            await schema.upgrade(async_url(server.url("postgres")).set(database="making_cardhour"))
            await admin.execute("ALTER DATABASE making_cardhour RENAME TO template_cardhour")
        name = f"test_{uuid.uuid4().hex[:12]}"
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE template_cardhour")
    finally:
        await admin.execute("SELECT pg_advisory_unlock(7)")
    yield async_url(server.url("postgres")).set(database=name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def empty(url: URL) -> None:
    """Remove every row, past the guards (replica mode turns triggers off)."""
    connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(False))
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND relname <> 'alembic_version'"
        )
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(";".join(f'DELETE FROM "{row["relname"]}"' for row in tables))
    finally:
        await connection.close()


@dataclass
class Clock:
    """A clock that tests set."""

    now: datetime = field(default_factory=lambda: datetime(2026, 12, 1, 0, 30, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def app_database(database_url: URL) -> AsyncIterator[Database]:
    """The database as the application sees it: signed in as `cardhour_app`."""
    database = Database(database_url.set(username=APP_ROLE), role=APP_ROLE, pool_size=10)
    yield database
    await database.dispose()
    await empty(database_url)


@pytest.fixture
async def worker_database(database_url: URL) -> AsyncIterator[Database]:
    """The database as the worker sees it."""
    database = Database(database_url.set(username=WORKER_ROLE), role=WORKER_ROLE, pool_size=5)
    yield database
    await database.dispose()


@pytest.fixture
def context(app_database: Database, clock: Clock) -> AppContext:
    return AppContext(database=app_database, signer=CursorSigner(SECRET), secret=SECRET, clock=clock)


@pytest.fixture
async def http(context: AppContext) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, straight into the application."""
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cardhour.test") as client:
        yield client


@dataclass
class Actor:
    """An organisation in a test: its caller and a client that signs in with its key."""

    caller: Caller
    client: httpx.AsyncClient
    ref: str

    @property
    def org_id(self) -> uuid.UUID:
        return self.caller.org_id


MakeActor = Callable[..., Awaitable[Actor]]


@pytest.fixture
async def make_actor(context: AppContext) -> AsyncIterator[MakeActor]:
    """`await make_actor("buyer", "supplier", ref="x")`: an approved organisation with a key of these roles."""
    clients: list[httpx.AsyncClient] = []
    transport = httpx.ASGITransport(create_app(context), raise_app_exceptions=False)

    async def make(*roles: str, ref: str | None = None, approved: bool = True) -> Actor:
        org_id = new_id()
        wanted = [Role(role) for role in roles]
        reference = ref or f"{roles[0]}-{org_id.hex[-6:]}"
        async with context.database.write(SYSTEM) as session:
            await accounts.create_organisation(
                session,
                org_id=org_id,
                name=reference,
                roles=wanted,
                ref=reference,
                contact=f"{reference}@example.test",
                approved_at=context.clock() if approved else None,
            )
            key, secret = await accounts.add_key(
                session, org_id=org_id, label="test", roles=wanted, expires_at=None, secret=SECRET
            )
        client = httpx.AsyncClient(
            transport=transport, base_url="http://cardhour.test", headers={"Authorization": f"Bearer {secret}"}
        )
        clients.append(client)
        state = OrganisationState.APPROVED if approved else OrganisationState.PENDING
        return Actor(Caller(org_id, state, frozenset(wanted), key.id), client, reference)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def desk(make_actor: MakeActor) -> Actor:
    return await make_actor("desk", ref="desk")


@pytest.fixture
async def buyer(make_actor: MakeActor) -> Actor:
    return await make_actor("buyer", ref="buyer")


@pytest.fixture
async def supplier(make_actor: MakeActor) -> Actor:
    return await make_actor("supplier", ref="supplier")


@pytest.fixture
async def auditor(make_actor: MakeActor) -> Actor:
    return await make_actor("auditor", ref="auditor")
