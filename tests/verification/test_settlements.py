"""`cardhour verify` names each broken promise of deliveries and settlements, broken past the guards."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.verification.service import verify
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock
from tests.settlements.deals import Deal, Granted

pytestmark = pytest.mark.anyio


@pytest.fixture
async def settled(
    desk: Actor, supplier: Actor, buyer: Actor, clock: Clock, app_database: Database, worker_database: Database
) -> Deal:
    """Two reports, the first corrected: three settlements, two redemptions and a give-back."""
    bazaar = await Bazaar(desk, supplier, buyer, clock, app_database, worker_database).open()
    deal = await Deal(bazaar, grants=(Granted(17_000),)).over()
    first = (await deal.report(deal.period(0, 5), deal.period(5, 5)))["reports"][0]
    await deal.report(deal.period(0, 5, 36_000, corrects_id=first["id"]))
    return deal


@pytest.fixture
async def superuser(database_url: URL, app_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


async def broken(url: URL) -> set[str]:
    database = Database(url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    try:
        return {finding.name for finding in await verify(database) if not finding.holds}
    finally:
        await database.dispose()


BREAKINGS = (
    ("UPDATE delivery_report SET card_seconds = 75600 WHERE corrects_id IS NULL", {"deliveries", "billed"}),
    ("UPDATE delivery_report SET period_end = period_end + interval '6 hours'", {"deliveries"}),
    ("UPDATE delivery_report SET card_seconds = card_seconds - 3600", {"billed"}),
    ("DELETE FROM delivery_report WHERE corrects_id IS NOT NULL", {"billed"}),
    ("UPDATE settlement SET amount_fen = amount_fen + 1 WHERE number = 1", {"billed", "redemptions"}),
    ("UPDATE settlement SET payable_fen = payable_fen + 1 WHERE number = 1", {"redemptions"}),
    ("UPDATE settlement SET payment_state = 'void' WHERE number = 2", {"billed", "redemptions"}),
    ("UPDATE settlement SET number = 7 WHERE number = 2", {"settlement_numbers"}),
    ("DELETE FROM settlement_counter", {"settlement_numbers"}),
    ("UPDATE voucher SET rate_ppm = 400000", {"redemptions"}),
    ("UPDATE redemption SET amount_fen = amount_fen + 1 WHERE kind = 'redeemed'", {"redemption_transfers"}),
    ("UPDATE redemption SET amount_fen = 9000 WHERE kind = 'given_back'", {"redemptions", "redemption_transfers"}),
    ("DELETE FROM redemption WHERE kind = 'given_back'", {"redemptions", "redemption_transfers"}),
    ("UPDATE redemption SET claimant_org_id = buyer_org_id", {"redemptions", "redemption_transfers"}),
)


TABLES = ("delivery_report", "settlement", "settlement_counter", "redemption", "voucher")


async def test_what_is_broken_is_named(settled: Deal, superuser: asyncpg.Connection, database_url: URL) -> None:
    """One world, broken and mended again for each: to make it takes longer than to verify it."""
    assert await broken(database_url) == set()
    for table in TABLES:
        await superuser.execute(f"CREATE TEMP TABLE sound_{table} AS SELECT * FROM {table}")
    for statement, names in BREAKINGS:
        await superuser.execute(statement)
        assert names <= await broken(database_url), statement
        for table in TABLES:
            await superuser.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM sound_{table}")
    assert await broken(database_url) == set()


@pytest.mark.parametrize(
    ("breaking", "mending"),
    [
        (
            "ALTER TABLE delivery_report DISABLE TRIGGER guard_insert",
            "ALTER TABLE delivery_report ENABLE TRIGGER guard_insert",
        ),
        ("ALTER TABLE voucher DISABLE TRIGGER settlement_due", "ALTER TABLE voucher ENABLE TRIGGER settlement_due"),
        (
            "GRANT UPDATE (payable_fen) ON settlement TO cardhour_worker",
            "REVOKE UPDATE (payable_fen) ON settlement FROM cardhour_worker",
        ),
    ],
)
async def test_a_weakened_guard_is_named(
    superuser: asyncpg.Connection, database_url: URL, breaking: str, mending: str
) -> None:
    await superuser.execute(breaking)
    try:
        assert "settlement_guard" in await broken(database_url)
    finally:
        await superuser.execute(mending)
