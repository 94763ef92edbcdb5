"""A market written straight into the tables, and connections that sign in as the application does."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.kit.ids import new_id

START = datetime(2026, 12, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROUNDS = int(os.environ.get("CARDHOUR_ROUNDS", "12"))
INSERT = """INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at,
    ends_at, state, hold_ends_at, price_fen, cost_fen, subsidy_fen, net_fen, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $8, 100, 100, 0, 100, 1)"""


@dataclass
class Market:
    """Organisations, offers and requests of a test, and the connections to fight over them."""

    url: URL
    admin: asyncpg.Connection
    supplier: UUID = field(default_factory=new_id)
    opened: list[asyncpg.Connection] = field(default_factory=list)

    async def organisation(self, role: str, org_id: UUID | None = None) -> UUID:
        org_id = org_id or new_id()
        await self.admin.execute(
            "INSERT INTO organisation (id, name, state, version) VALUES ($1, 'x', 'approved', 1)", org_id
        )
        await self.admin.execute("INSERT INTO organisation_role VALUES ($1, $2, $3)", org_id, role, str(org_id))
        return org_id

    async def offer(self, *steps: tuple[int, int]) -> UUID:
        """An offer with capacity steps `(hours after START, cards)`."""
        offer_id = new_id()
        await self.admin.execute(
            "INSERT INTO offer (id, supplier_org_id, ref, region, chip_model, cards_per_node, price_fen,"
            " list_price_fen, price_unit, auto_accept, state, version)"
            " VALUES ($1, $2, $3, 'r', 'X1', 8, 100, 100, 'card_hour', false, 'open', 1)",
            offer_id,
            self.supplier,
            str(offer_id),
        )
        await self.admin.execute(
            "INSERT INTO capacity_step SELECT $1, * FROM unnest($2::timestamptz[], $3::bigint[])",
            offer_id,
            [START + hour * HOUR for hour, _ in steps],
            [cards for _, cards in steps],
        )
        return offer_id

    async def request(self, buyer: UUID, blocks: int = 1) -> UUID:
        request_id = new_id()
        await self.admin.execute(
            "INSERT INTO request (id, buyer_org_id, ref, submitted_at, earliest_start, deadline, blocks, min_blocks,"
            " priority, regions, suppliers_allowed, suppliers_refused, state, version)"
            " VALUES ($1, $2, $3, $4, $4, $5, $6, 1, 1, '{}', '{}', '{}', 'open', 1)",
            request_id,
            buyer,
            str(request_id),
            START,
            START + 8760 * HOUR,
            blocks,
        )
        return request_id

    async def connect(self, role: str = "cardhour_app") -> asyncpg.Connection:
        """A connection signed in as `role`, which must be bound by row-level security."""
        connection = await asyncpg.connect(_dsn(self.url.set(username=role)), server_settings={"TimeZone": "UTC"})
        self.opened.append(connection)
        who = await connection.fetchrow(
            "SELECT current_user AS name, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert who is not None
        assert (who["name"], who["rolsuper"], who["rolbypassrls"]) == (role, False, False)
        return connection

    def row(
        self, offer: UUID, request: UUID, buyer: UUID, block: int = 0, *, cards: int = 1, start: int = 0, end: int = 10
    ) -> tuple[Any, ...]:
        """The parameters of INSERT for a hold."""
        at, until = START + start * HOUR, START + end * HOUR
        return (new_id(), offer, request, block, buyer, self.supplier, cards, at, until, "held")

    async def sold(self, offer: UUID, hour: int = 0) -> int:
        """Cards of live reservations at an hour."""
        sold: int | None = await self.admin.fetchval(
            "SELECT coalesce(sum(cards), 0)::bigint FROM reservation WHERE offer_id = $1 AND starts_at <= $2"
            " AND ends_at > $2 AND state IN ('held', 'confirmed', 'active', 'completed')",
            offer,
            START + hour * HOUR,
        )
        assert sold is not None
        return sold

    async def assert_sound(self) -> None:
        """Nothing is oversold at any hour, and the journal, folded in the order of the books, is the table."""
        assert await self.admin.fetchval(OVERSOLD) == 0
        assert await self.admin.fetchval(UNLIKE_JOURNAL) == 0


OVERSOLD = """
WITH change AS (
    SELECT offer_id, starts_at AS at, cards FROM reservation WHERE state IN ('held','confirmed','active','completed')
    UNION ALL
    SELECT offer_id, ends_at, -cards FROM reservation WHERE state IN ('held','confirmed','active','completed')
    UNION ALL
    SELECT offer_id, starts_at, lag(cards, 1, 0::bigint) OVER (PARTITION BY offer_id ORDER BY starts_at) - cards
    FROM capacity_step
), net AS (SELECT offer_id, at, sum(cards) AS cards FROM change GROUP BY 1, 2),
used AS (SELECT sum(cards) OVER (PARTITION BY offer_id ORDER BY at) AS over_by FROM net)
SELECT count(*) FROM used WHERE over_by > 0"""
UNLIKE_JOURNAL = """
WITH folded AS (
    SELECT DISTINCT ON (reservation_id) reservation_id AS id, offer_id, cards, starts_at, ends_at, state
    FROM reservation_journal ORDER BY reservation_id, seq DESC
), present AS (SELECT id, offer_id, cards, starts_at, ends_at, state FROM reservation)
SELECT count(*) FROM ((TABLE folded EXCEPT TABLE present) UNION ALL (TABLE present EXCEPT TABLE folded)) AS unlike"""


def _dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(False)


async def act_as(connection: asyncpg.Connection, org_id: UUID | None, role: str = "member") -> None:
    """Say, for this transaction, whose eyes it sees with."""
    await connection.execute(
        "SELECT set_config('cardhour.role', $1, true), set_config('cardhour.org_id', $2, true)",
        role,
        str(org_id) if org_id else "",
    )


@pytest.fixture
async def market(app_database: Database, database_url: URL) -> AsyncIterator[Market]:
    """An empty market with one supplier and one chip model. (`app_database` empties the tables afterwards.)"""
    assert app_database.engine.url.username == "cardhour_app"
    admin = await asyncpg.connect(_dsn(database_url))
    made = Market(database_url, admin)
    await admin.execute("INSERT INTO chip_model (name, version) VALUES ('X1', 1)")
    await made.organisation("supplier", made.supplier)
    yield made
    for connection in (*made.opened, admin):
        await connection.close()


def constraint_of(error: asyncpg.PostgresError) -> str | None:
    """The name of the constraint that refused."""
    name: str | None = error.as_dict().get("constraint_name")
    return name
