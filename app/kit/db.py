"""The database: engines per role, typed sessions, tenant scope, constraint and availability mapping.

Every transaction begins by telling PostgreSQL who asks (`set_config(…, true)`): row-level security reads it.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, String, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.kit.errors import CONFLICT, Problem, code_of_constraint

APP_ROLE: Final = "cardhour_app"
WORKER_ROLE: Final = "cardhour_worker"
AUDITOR_ROLE: Final = "cardhour_auditor"

_SERIALIZATION_FAILURE: Final = "40001"
_DEADLOCK: Final = "40P01"
_LOCK_NOT_AVAILABLE: Final = "55P03"
_RETRIED: Final = frozenset({_SERIALIZATION_FAILURE, _DEADLOCK, _LOCK_NOT_AVAILABLE})
_TRIES: Final = 5

Result = TypeVar("Result")


class Base(DeclarativeBase):
    """The declarative base of every table; times are `timestamptz`, texts and lists are PostgreSQL's own."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy's own form
        datetime: DateTime(timezone=True),
        int: BigInteger(),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: ARRAY(String()),
    }


class ReadSession(AsyncSession):
    """A session in a READ ONLY transaction."""


class WriteSession(ReadSession):
    """A session that may write; only the edge commits it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose eyes a transaction sees with: an organisation, and how far they reach.

    `member` sees its own rows, `desk` and `auditor` all (row-level security lets only `desk` and `system` write
    others' rows), `authenticator` only what identifies a key, `system` is the service acting for itself.
    """

    role: Literal["member", "desk", "auditor", "authenticator", "system"]
    org_id: UUID | None = None


SYSTEM: Final = Scope("system")


def async_url(url: str) -> URL:
    """Return a PostgreSQL URL for asyncpg, whichever of the usual spellings it came in.

    Raises:
        ValueError: if it names another database system.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError("DATABASE_URL must be a postgresql:// address")
    return parsed.set(drivername="postgresql+asyncpg")


class Database:
    """A pool of connections that act as one PostgreSQL role."""

    def __init__(
        self,
        url: str | URL,
        *,
        role: str,
        pool_size: int = 10,
        statement_timeout_ms: int = 5_000,
        lock_timeout_ms: int = 2_000,
        transaction_seconds: float | None = None,
    ) -> None:
        """Prepare the pool; nothing connects yet.

        Args:
            url: where the database is; its user must be `role` or a member of it.
            role: the role every connection takes (`cardhour_app`, `cardhour_worker`, `cardhour_auditor`).
            pool_size: connections kept; as many again are opened under load.
            statement_timeout_ms: after which PostgreSQL ends a statement; 0 for no limit.
            lock_timeout_ms: after which PostgreSQL ends a wait for a lock; 0 for no limit.
            transaction_seconds: after which we give a transaction up that is still without an end; None for no limit.
                PostgreSQL's own limits end nothing when it is halted, or when the network swallows what it says.
        """
        self._transaction_seconds = transaction_seconds
        self.engine: AsyncEngine = create_async_engine(
            async_url(url) if isinstance(url, str) else url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={
                "timeout": 10,
                "server_settings": {
                    "application_name": f"cardhour/{role}",
                    "role": role,
                    "search_path": "public",
                    "TimeZone": "UTC",
                    "statement_timeout": str(statement_timeout_ms),
                    "lock_timeout": str(lock_timeout_ms),
                    "default_transaction_isolation": "read committed",
                },
            },
        )

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def read(
        self, scope: Scope, *, isolation: Literal["READ COMMITTED", "REPEATABLE READ"] = "READ COMMITTED"
    ) -> AsyncGenerator[ReadSession]:
        """Open a read-only transaction with `scope`'s eyes; `REPEATABLE READ` sees one snapshot throughout.

        Raises:
            TimeoutError: where it is without an end after `transaction_seconds`.
        """
        async with (
            asyncio.timeout(self._transaction_seconds) as limit,
            ReadSession(self.engine, autoflush=False, expire_on_commit=False) as session,
            session.begin(),
            _given_up(session, limit),
        ):
            await session.connection(execution_options={"postgresql_readonly": True, "isolation_level": isolation})
            await set_scope(session, scope)
            yield session

    @asynccontextmanager
    async def write(self, scope: Scope) -> AsyncGenerator[WriteSession]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Raises:
            Problem: for a violated constraint that has a code.
            TimeoutError: where it is without an end after `transaction_seconds`; it may have been committed.
        """
        async with (
            asyncio.timeout(self._transaction_seconds) as limit,
            WriteSession(self.engine, expire_on_commit=False) as session,
        ):
            try:
                async with session.begin(), _given_up(session, limit):
                    await set_scope(session, scope)
                    yield session
            except DBAPIError as error:
                raise translate(error) from error

    async def retrying(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Run a whole transaction, again where PostgreSQL says that a rerun may succeed, at most 5 times.

        Raises:
            Problem: `concurrent_change` when it never went through.
        """
        for attempt in range(_TRIES):
            try:
                return await work()
            except DBAPIError as error:
                if sqlstate(error) not in _RETRIED:
                    raise
                await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311  jitter, not a secret
        raise CONFLICT.problem()


@asynccontextmanager
async def _given_up(session: ReadSession, limit: asyncio.Timeout) -> AsyncGenerator[None]:
    """Drop the connection of a transaction whose time is up: a rollback would wait for PostgreSQL as well."""
    try:
        yield
    except asyncio.CancelledError:
        if limit.expired():
            await session.invalidate()
        raise


async def set_scope(session: ReadSession, scope: Scope) -> None:
    """Tell PostgreSQL, until the transaction's end, whose eyes it sees with."""
    await session.execute(
        text("SELECT set_config('cardhour.role', :role, true), set_config('cardhour.org_id', :org, true)"),
        {"role": scope.role, "org": str(scope.org_id) if scope.org_id else ""},
    )


@asynccontextmanager
async def acting_as_system(session: WriteSession, scope: Scope) -> AsyncGenerator[None]:
    """Let the service keep its own books (a request's state, say) in rows that `scope` may not see."""
    await set_scope(session, SYSTEM)
    yield
    await set_scope(session, scope)


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's five-character code of an error."""
    cause = error.orig.__cause__ if error.orig else None
    return getattr(cause, "sqlstate", None) or getattr(error.orig, "sqlstate", None)


def constraint_name(error: DBAPIError) -> str | None:
    """Return the name of the violated constraint, if PostgreSQL named one."""
    cause = error.orig.__cause__ if error.orig else None
    return getattr(cause, "constraint_name", None)


def translate(error: DBAPIError) -> DBAPIError | Problem:
    """Return the problem that a database error means to the caller, or the error itself."""
    if isinstance(error, IntegrityError) or sqlstate(error) == "23514":
        code = code_of_constraint(constraint_name(error))
        if code is not None:
            return code.problem(constraint=constraint_name(error))
    return error
