"""The ledger's tables, reached as the application does and as nobody of ours could."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.kit.ids import new_id

ROUNDS = int(os.environ.get("CARDHOUR_ROUNDS", "25"))
TRANSFER = """INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id, subject)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""


def dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(False)


async def as_system(connection: asyncpg.Connection) -> None:
    """See with the system's eyes on this connection, whatever transaction."""
    await connection.execute("SELECT set_config('cardhour.role', 'system', false)")


def constraint_of(error: asyncpg.PostgresError) -> str | None:
    name: str | None = error.as_dict().get("constraint_name")
    return name


@dataclass
class Books:
    """Accounts and transfers of a test, written as `cardhour_app`."""

    url: URL
    app: asyncpg.Connection
    admin: asyncpg.Connection
    opened: list[asyncpg.Connection] = field(default_factory=list)

    async def connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(dsn(self.url.set(username="cardhour_app")))
        await as_system(connection)
        self.opened.append(connection)
        return connection

    async def account(self, guard: str = "none", funded: int = 0) -> UUID:
        account_id = new_id()
        await self.app.execute(
            "INSERT INTO ledger_account (id, name, kind, guard) VALUES ($1, $2, 'test', $3)",
            account_id,
            str(account_id),
            guard,
        )
        if funded:
            await self.transfer(await self.account(), account_id, funded)
        return account_id

    async def transfer(
        self,
        debit: UUID,
        credit: UUID,
        amount: int,
        kind: str = "single",
        pending: UUID | None = None,
        *,
        over: asyncpg.Connection | None = None,
        transfer_id: UUID | None = None,
        subject: UUID | None = None,
    ) -> UUID:
        transfer_id = transfer_id or new_id()
        await (over or self.app).execute(TRANSFER, transfer_id, debit, credit, amount, kind, pending, subject)
        return transfer_id

    async def balances(self, account: UUID) -> tuple[int, ...]:
        """Pending and posted debits, then credits."""
        row = await self.app.fetchrow(
            "SELECT debits_pending, debits_posted, credits_pending, credits_posted FROM ledger_account WHERE id = $1",
            account,
        )
        assert row is not None
        return tuple(row)

    async def assert_sound(self) -> None:
        """Σ debits = Σ credits, and every balance is the fold of the transfers."""
        assert await self.admin.fetchval(UNSOUND) == 0


UNSOUND = """
WITH c AS (
    SELECT t.*, t.kind IN ('single', 'post') AS posted,
        t.kind = 'pending' AND NOT EXISTS (SELECT FROM ledger_transfer r WHERE r.pending_id = t.id) AS open
    FROM ledger_transfer t
), f AS (
    SELECT a.id, coalesce(sum(c.amount_fen) FILTER (WHERE c.open AND c.debit_id = a.id), 0) AS dp,
        coalesce(sum(c.amount_fen) FILTER (WHERE c.posted AND c.debit_id = a.id), 0) AS d,
        coalesce(sum(c.amount_fen) FILTER (WHERE c.open AND c.credit_id = a.id), 0) AS cp,
        coalesce(sum(c.amount_fen) FILTER (WHERE c.posted AND c.credit_id = a.id), 0) AS c
    FROM ledger_account a LEFT JOIN c ON a.id IN (c.debit_id, c.credit_id) GROUP BY a.id
)
SELECT (SELECT count(*) FROM ledger_account a JOIN f USING (id)
        WHERE (f.dp, f.d, f.cp, f.c) <> (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted))
    + (SELECT abs(sum(debits_posted - credits_posted)) + abs(sum(debits_pending - credits_pending))
       FROM ledger_account)"""


@pytest.fixture
async def books(app_database: Database, database_url: URL) -> AsyncIterator[Books]:
    admin = await asyncpg.connect(dsn(database_url))
    app = await asyncpg.connect(dsn(database_url.set(username="cardhour_app")))
    assert await app.fetchval("SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user")
    await as_system(app)
    made = Books(database_url, app, admin)
    yield made
    for connection in (*made.opened, app, admin):
        await connection.close()
