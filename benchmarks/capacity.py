"""The capacity guard and the search by shape, measured; prints JSON.

On an embedded server in a temporary folder: bookings per second by 8 clients through the guard and, as the unsafe
rival in the same run, without it; 20 000 reservations by one statement and how the time grows from 5 000; the median
of a search by shape among 500 offers with 2 000 bookings. Under a minute.
"""

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.engine import URL

from app import schema
from app.accounts.callers import Caller
from app.accounts.models import OrganisationState, Role
from app.catalog.repository import OfferFilter
from app.kit.db import APP_ROLE, Database, Scope, async_url
from app.kit.embedded import EmbeddedPostgres
from app.kit.ids import new_id
from app.matching.search import Shape, find_by_shape

_asyncpg: Any = asyncpg  # comes without types
CLIENTS: Final = 8
SECONDS: Final = 4.0
OFFERS: Final = 200
HORIZON: Final = 2_000
SEARCHED_BOOKINGS: Final = 2_000
START: Final = datetime(2030, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
INSERT: Final = """
INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at, ends_at,
    state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'held', $8, 1, 1, 0, 1, 1)"""
INSERT_MANY: Final = """
INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at, ends_at,
    state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)
SELECT gen_random_uuid(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], ($2::uuid[])[1 + n / 1000], n % 1000, $3, $4,
    1, s, s + make_interval(hours => 6 + n % 160), 'held', s, 1, 1, 0, 1, 1
FROM (SELECT n, $5::timestamptz + make_interval(hours => n * 37 % 500) AS s
      FROM generate_series(0, $6::int - 1) AS n) AS g"""


class Market:
    """One supplier, one buyer, and as many offers and requests as a measurement needs."""

    def __init__(self, url: URL, admin: Any) -> None:
        """Take the database's address and a superuser's connection to it."""
        self.url, self.admin = url, admin
        self.supplier, self.buyer = new_id(), new_id()

    async def prepare(self) -> None:
        """Write the organisations and a chip model."""
        for org_id, role in ((self.supplier, "supplier"), (self.buyer, "buyer")):
            await self.admin.execute(
                "INSERT INTO organisation (id, name, state, version) VALUES ($1, $2, 'approved', 1)", org_id, role
            )
            await self.admin.execute("INSERT INTO organisation_role VALUES ($1, $2, $2)", org_id, role)
        await self.admin.execute("INSERT INTO chip_model (name, version) VALUES ('X1', 1)")

    async def offers(self, count: int, cards: int, price: int) -> list[UUID]:
        """List offers of one size for the whole horizon."""
        ids = [new_id() for _ in range(count)]
        await self.admin.execute(
            "INSERT INTO offer (id, supplier_org_id, ref, region, chip_model, cards_per_node, price_fen,"
            " list_price_fen, price_unit, auto_accept, state, version)"
            " SELECT i, $2, i::text, 'r', 'X1', 8, $3 + n, $3 + n, 'card_hour', false, 'open', 1"
            " FROM unnest($1::uuid[]) WITH ORDINALITY AS o (i, n)",
            ids,
            self.supplier,
            price,
        )
        await self.admin.execute(
            "INSERT INTO capacity_step SELECT i, at, cards FROM unnest($1::uuid[]) AS i,"
            " unnest($2::timestamptz[], $3::bigint[]) AS s (at, cards)",
            ids,
            [START, START + HORIZON * HOUR],
            [cards, 0],
        )
        return ids

    async def requests(self, count: int) -> list[UUID]:
        """Post requests of 1 000 blocks."""
        ids = [new_id() for _ in range(count)]
        await self.admin.executemany(
            "INSERT INTO request (id, buyer_org_id, ref, submitted_at, earliest_start, deadline, blocks, min_blocks,"
            " priority, regions, suppliers_allowed, suppliers_refused, state, version)"
            " VALUES ($1, $2, $3, $4, $4, $5, 1000, 1, 1, '{}', '{}', '{}', 'open', 1)",
            [(i, self.buyer, str(i), START, START + HORIZON * HOUR) for i in ids],
        )
        return ids

    async def connect(self) -> Any:
        """Return a connection that signs in as the application."""
        return await _connect(self.url.set(username=APP_ROLE))


async def _connect(url: URL) -> Any:
    return await _asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))


async def _act(connection: Any, market: Market) -> None:
    await connection.execute(
        "SELECT set_config('cardhour.role', 'member', true), set_config('cardhour.org_id', $1, true)",
        str(market.buyer),
    )


async def bookings_per_second(market: Market, offers: list[UUID]) -> tuple[float, int]:
    """Let 8 clients book 6–168 hours at random for some seconds.

    Returns:
        Bookings made a second, and how many were refused.
    """
    done, refused = [0] * CLIENTS, [0] * CLIENTS
    posted = await market.requests(20 * CLIENTS)
    ends_at = time.perf_counter() + SECONDS

    async def client(number: int) -> None:
        rng = random.Random(number)
        connection = await market.connect()
        requests = posted[number * 20 :]
        block = 0
        while time.perf_counter() < ends_at:
            start, hours = rng.randrange(HORIZON - 168), rng.randint(6, 168)
            at = START + start * HOUR
            request = requests[block // 1000]
            row = (new_id(), rng.choice(offers), request, block % 1000, market.buyer, market.supplier, 1, at)
            block += 1
            try:
                async with connection.transaction():
                    await _act(connection, market)
                    await connection.execute(INSERT, *row, at + hours * HOUR)
            except asyncpg.CheckViolationError:
                refused[number] += 1
            else:
                done[number] += 1
        await connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return sum(done) / (time.perf_counter() - begun), sum(refused)


async def one_statement_seconds(market: Market, offers: list[UUID], rows: int) -> float:
    """Return the median seconds of three statements of so many rows, each rolled back."""
    connection = await market.connect()
    taken: list[float] = []
    for _ in range(3):
        requests = await market.requests(rows // 1000)
        transaction = connection.transaction()
        await transaction.start()
        await _act(connection, market)
        begun = time.perf_counter()
        await connection.execute(INSERT_MANY, offers, requests, market.buyer, market.supplier, START, rows)
        taken.append(time.perf_counter() - begun)
        await transaction.rollback()
    await connection.close()
    return statistics.median(taken)


async def search_milliseconds(market: Market, offers: list[UUID]) -> tuple[float, float]:
    """Return the median and the slowest milliseconds of 100 searches by shape among offers with 2 000 bookings."""
    rng = random.Random(7)
    await market.admin.execute(
        INSERT_MANY, offers, await market.requests(2), market.buyer, market.supplier, START, SEARCHED_BOOKINGS
    )
    database = Database(market.url.set(username=APP_ROLE), role=APP_ROLE, pool_size=2)
    caller = Caller(market.buyer, OrganisationState.APPROVED, frozenset({Role.BUYER}))
    taken: list[float] = []
    for _ in range(100):
        low = START + rng.randrange(HORIZON // 2) * HOUR
        shape = Shape(rng.randint(1, 64), rng.randint(1, 400), low, low + 500 * HOUR)
        begun = time.perf_counter()
        async with database.read(Scope("member", market.buyer)) as session:
            await find_by_shape(session, caller, OfferFilter(price_fen_gte=10_000), shape, START - HOUR)
        taken.append((time.perf_counter() - begun) * 1000)
    await database.dispose()
    return statistics.median(taken), max(taken)


async def measure(url: URL) -> dict[str, Any]:
    """Run every measurement on an empty database."""
    await schema.upgrade(url)
    admin = await _connect(url)
    market = Market(url, admin)
    await market.prepare()
    offers = await market.offers(OFFERS, 64, 100)
    guarded, refused = await bookings_per_second(market, offers)
    wide = await market.offers(OFFERS, 400, 1_000)
    large = await one_statement_seconds(market, wide, 20_000)
    small = await one_statement_seconds(market, wide, 5_000)
    median, slowest = await search_milliseconds(market, await market.offers(500, 64, 10_000))
    unguarded_offers = await market.offers(OFFERS, 64, 2_000)
    await admin.execute("ALTER TABLE reservation DISABLE TRIGGER guard_insert")
    unguarded, _ = await bookings_per_second(market, unguarded_offers)
    await admin.execute("ALTER TABLE reservation ENABLE TRIGGER guard_insert")
    await admin.close()
    return {
        "bookings_per_second": {
            "clients": CLIENTS,
            "guarded": round(guarded),
            "refused": refused,
            "without_guard_unsafe": round(unguarded),
            "ratio": round(guarded / unguarded, 3),
        },
        "one_statement": {
            "rows": 20_000,
            "seconds": round(large, 3),
            "seconds_5000": round(small, 3),
            "growth_for_4_times_the_rows": round(large / small, 2),
        },
        "search_by_shape": {
            "offers": 500,
            "bookings": SEARCHED_BOOKINGS,
            "median_ms": round(median, 1),
            "slowest_ms": round(slowest, 1),
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
