"""The ledger's posting trigger, measured; prints JSON.

On an embedded server in a temporary folder: pairs of a pending transfer and its post per second by 8 clients, all on
one shared pool, through the trigger and, as the unsafe rival in the same run, the same statements without it; 20 000
transfers by one statement and how the time grows from 5 000. Under 40 seconds.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.engine import URL

from app import schema
from app.kit.db import APP_ROLE, async_url
from app.kit.embedded import EmbeddedPostgres
from app.kit.ids import new_id

_asyncpg: Any = asyncpg  # comes without types
CLIENTS: Final = 8
SECONDS: Final = 4.0
FUNDS: Final = 10**14
# One message, which PostgreSQL runs as one transaction, so that the pool's lock never waits for the client.
PAIR: Final = """
INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
VALUES ('{held}', '{pool}', '{target}', 10, 'pending');
INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id)
VALUES ('{post}', '{pool}', '{target}', 10, 'post', '{held}')"""
MANY: Final = """
INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
SELECT gen_random_uuid(), $1, ($2::uuid[])[1 + n % cardinality($2::uuid[])], 1, 'pending'
FROM generate_series(1, $3::int) AS n"""


async def _connect(url: URL) -> Any:
    connection = await _asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    await connection.execute("SELECT set_config('cardhour.role', 'system', false)")
    return connection


async def open_accounts(connection: Any, count: int, guard: str) -> list[UUID]:
    """Open accounts and return their ids."""
    ids = [new_id() for _ in range(count)]
    await connection.execute(
        "INSERT INTO ledger_account (id, name, kind, guard) SELECT i, i::text, 'bench', $2 FROM unnest($1::uuid[]) i",
        ids,
        guard,
    )
    return ids


async def fund(connection: Any, treasury: UUID, account: UUID) -> None:
    """Give an account more than a measurement can spend."""
    await connection.execute(
        "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind) VALUES ($1, $2, $3, $4, 'single')",
        new_id(),
        treasury,
        account,
        FUNDS,
    )


async def pairs_per_second(url: URL, pool: UUID, targets: list[UUID]) -> float:
    """Let 8 clients hold and post, a transaction for each pair, all from one pool."""
    done = [0] * CLIENTS
    ends_at = time.perf_counter() + SECONDS

    async def client(number: int) -> None:
        connection = await _connect(url.set(username=APP_ROLE))
        while time.perf_counter() < ends_at:
            pair = PAIR.format(held=new_id(), post=new_id(), pool=pool, target=targets[number])
            await connection.execute(pair)
            done[number] += 1
        await connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return sum(done) / (time.perf_counter() - begun)


async def one_statement_seconds(connection: Any, pool: UUID, targets: list[UUID], rows: int) -> float:
    """Return the median seconds of three statements of so many rows, each rolled back."""
    taken: list[float] = []
    for _ in range(3):
        transaction = connection.transaction()
        await transaction.start()
        begun = time.perf_counter()
        await connection.execute(MANY, pool, targets, rows)
        taken.append(time.perf_counter() - begun)
        await transaction.rollback()
    return statistics.median(taken)


async def measure(url: URL) -> dict[str, Any]:
    """Run every measurement on an empty database."""
    await schema.upgrade(url)
    admin, app = await _connect(url), await _connect(url.set(username=APP_ROLE))
    treasury, *targets = await open_accounts(app, 1 + 200, "none")
    [pool] = await open_accounts(app, 1, "debits_le_credits")
    await fund(app, treasury, pool)
    large = await one_statement_seconds(app, pool, targets, 20_000)
    small = await one_statement_seconds(app, pool, targets, 5_000)
    posted = await pairs_per_second(url, pool, targets)
    left = await app.fetchrow("SELECT debits_pending, debits_posted FROM ledger_account WHERE id = $1", pool)
    count = await app.fetchval("SELECT count(*) FROM ledger_transfer WHERE kind = 'post'")
    await admin.execute("ALTER TABLE ledger_transfer DISABLE TRIGGER post")
    raw = await pairs_per_second(url, pool, targets)
    await admin.execute("ALTER TABLE ledger_transfer ENABLE TRIGGER post")
    await admin.close()
    await app.close()
    return {
        "hold_and_post_pairs_per_second": {
            "clients": CLIENTS,
            "through_one_pool": round(posted),
            "without_trigger_unsafe": round(raw),
            "ratio": round(posted / raw, 3),
            "balances_right": tuple(left) == (0, 10 * count),
        },
        "one_statement": {
            "rows": 20_000,
            "seconds": round(large, 3),
            "seconds_5000": round(small, 3),
            "growth_for_4_times_the_rows": round(large / small, 2),
        },
    }


def main() -> None:
    """Start a server in a temporary folder, measure, print."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory(prefix="cardhour-bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        begun = time.perf_counter()
        try:
            result = asyncio.run(measure(async_url(server.url("postgres"))))
        finally:
            server.release()
    print(json.dumps(result | {"seconds": round(time.perf_counter() - begun, 1)}, indent=2))


if __name__ == "__main__":
    main()
