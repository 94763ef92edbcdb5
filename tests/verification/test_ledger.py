"""`cardhour verify` names each broken invariant of the ledger and of vouchers, broken past the guards."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import SYSTEM, Database
from app.ledger.models import TransferKind
from app.verification.service import verify
from app.vouchers import service
from app.vouchers.budgets import Earmark
from tests.grants import NOW, PROGRAMME, Grants
from tests.worlds import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def auditor_database(database_url: URL, app_database: Database) -> AsyncIterator[Database]:
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield database
    await database.dispose()


@pytest.fixture
async def superuser(database_url: URL, app_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


@pytest.fixture
async def granted(world: World, app_database: Database, superuser: asyncpg.Connection) -> World:
    """The world's reservation with a subsidy of 10 000 fen, and a voided and an expired voucher besides."""
    await Grants(app_database).open()
    for kind in (TransferKind.VOID, TransferKind.EXPIRE, None):
        async with app_database.write(SYSTEM) as session:
            earmark = Earmark(world.reservation, world.buyer.org_id, PROGRAMME, 1, "lead", 2026, 10_000)
            await service.take_earmarks(session, [earmark], now=NOW)
            if kind is not None:
                await service.release_earmarks(session, [world.reservation], kind)
    await superuser.execute("DELETE FROM voucher WHERE state = 'voided'")
    await superuser.execute("UPDATE reservation SET subsidy_fen = 10000, net_fen = cost_fen - 10000")
    return world


async def broken(database: Database) -> set[str]:
    return {finding.name for finding in await verify(database) if not finding.holds}


async def test_a_sound_ledger_passes(auditor_database: Database, granted: World) -> None:
    findings = await verify(auditor_database)
    assert [finding.told for finding in findings if not finding.holds] == []
    counted = {finding.name: finding.counted for finding in findings}
    assert (counted["earmarks"], counted["subsidies"], counted["budgets"]) == (1, 1, 1)
    # The pool, the cap and the total are filled; 3 earmarks have 3 legs each, 6 of them released.
    assert counted["ledger_fold"] == 18


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("UPDATE ledger_account SET debits_posted = debits_posted + 1 WHERE kind = 'treasury'",
         {"ledger_trial_balance", "ledger_fold"}),
        ("UPDATE ledger_account SET credits_pending = 0 WHERE kind = 'voucher'",
         {"ledger_pending_balance", "ledger_fold"}),
        ("UPDATE ledger_transfer SET amount_fen = amount_fen + 1 WHERE kind = 'single'", {"ledger_fold"}),
        ("DELETE FROM ledger_account WHERE kind = 'treasury'", {"ledger_trial_balance", "ledger_fold", "budgets"}),
        ("UPDATE ledger_account SET name = 'second/treasury' WHERE kind = 'treasury'", {"budgets"}),
        ("""WITH other AS (INSERT INTO ledger_account (id, name, kind, guard)
                VALUES (gen_random_uuid(), 'second/treasury', 'treasury', 'none') RETURNING id)
            UPDATE ledger_transfer t SET debit_id = other.id FROM other, ledger_account own
            WHERE own.name = 'made-up/treasury' AND t.debit_id = own.id""", {"budgets", "ledger_fold"}),
        ("""ALTER TABLE ledger_account DROP CONSTRAINT ledger_account_debits_within_credits;
            UPDATE ledger_transfer SET amount_fen = 9999 WHERE kind = 'single'""", {"ledger_fold"}),
        ("UPDATE ledger_transfer SET debit_id = credit_id, credit_id = debit_id WHERE kind = 'void'",
         {"ledger_resolutions"}),
        ("""DROP INDEX ledger_transfer_one_resolution; INSERT INTO ledger_transfer
            (id, debit_id, credit_id, amount_fen, kind, pending_id) SELECT gen_random_uuid(), debit_id, credit_id, 0,
            'expire', pending_id FROM ledger_transfer WHERE kind = 'void'""", {"ledger_resolutions"}),
        ("UPDATE programme_year SET pool_fen = 99999", {"budgets"}),
        ("UPDATE programme_year SET buyer_year_fen = 9999", {"budgets"}),
        ("UPDATE programme_year SET buyer_year_fen = 29999", {"quotas"}),
        ("UPDATE ledger_account SET name = replace(name, '/2026', '/2031') WHERE kind = 'buyer_quota'", {"quotas"}),
        ("UPDATE ledger_account SET guard = 'none' WHERE kind = 'buyer_quota'", {"quotas"}),
        ("UPDATE ledger_account SET credits_posted = credits_posted + 1 WHERE kind = 'buyer_quota'", {"quotas"}),
        ("DELETE FROM ledger_account WHERE kind = 'pool'", {"budgets"}),
        ("""INSERT INTO ledger_correction (transfer_id, corrects_id, reason, by_org_id, created_at)
            SELECT t.id, t.id, 'x', gen_random_uuid(), now() FROM ledger_transfer t WHERE kind = 'single' LIMIT 1""",
         {"ledger_corrections"}),
        ("""WITH back AS (INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
                SELECT gen_random_uuid(), credit_id, debit_id, amount_fen + 1, 'single' FROM ledger_transfer
                WHERE kind = 'single' ORDER BY seq LIMIT 1 RETURNING id)
            INSERT INTO ledger_correction (transfer_id, corrects_id, reason, by_org_id, created_at)
            SELECT back.id, (SELECT id FROM ledger_transfer WHERE kind = 'single' ORDER BY seq LIMIT 1), 'x',
                gen_random_uuid(), now() FROM back""", {"ledger_corrections"}),
        ("UPDATE voucher SET amount_fen = 100001", {"budgets", "earmarks", "subsidies"}),
        ("UPDATE voucher SET amount_fen = 9999", {"earmarks", "subsidies"}),
        ("UPDATE voucher SET state = 'voided'", {"earmarks", "subsidies"}),
        ("UPDATE voucher SET subject_id = gen_random_uuid()", {"earmarks", "subsidies"}),
        ("DELETE FROM voucher", {"earmarks", "subsidies"}),
        ("UPDATE reservation SET state = 'cancelled', reason_code = 'x'", {"earmarks"}),
        ("UPDATE reservation SET subsidy_fen = 9999, net_fen = cost_fen - 9999", {"subsidies"}),
        ("UPDATE reservation SET subsidy_fen = 0, net_fen = cost_fen", {"subsidies"}),
        ("DELETE FROM ledger_transfer WHERE kind = 'pending'", {"earmarks", "ledger_fold", "ledger_resolutions"}),
    ],
)  # fmt: skip
async def test_what_is_broken_is_named(
    auditor_database: Database, superuser: asyncpg.Connection, granted: World, statement: str, names: set[str]
) -> None:
    constraint = "CHECK (guard <> 'debits_le_credits' OR debits_pending + debits_posted <= credits_posted)"
    await superuser.execute(statement)
    try:
        assert names <= await broken(auditor_database)
    finally:
        if "DROP CONSTRAINT" in statement:
            await superuser.execute(
                f"ALTER TABLE ledger_account ADD CONSTRAINT ledger_account_debits_within_credits {constraint}"
            )
        if "DROP INDEX" in statement:
            await superuser.execute("DELETE FROM ledger_transfer")
            await superuser.execute(
                "CREATE UNIQUE INDEX ledger_transfer_one_resolution ON ledger_transfer (pending_id)"
                " WHERE pending_id IS NOT NULL"
            )


@pytest.mark.parametrize(
    ("breaking", "mending"),
    [
        ("ALTER TABLE ledger_transfer DISABLE TRIGGER post", "ALTER TABLE ledger_transfer ENABLE TRIGGER post"),
        (
            "ALTER TABLE ledger_account DISABLE TRIGGER only_transfers_write",
            "ALTER TABLE ledger_account ENABLE TRIGGER only_transfers_write",
        ),
        (
            "ALTER TABLE programme_version ENABLE REPLICA TRIGGER published_stays",
            "ALTER TABLE programme_version ENABLE TRIGGER published_stays",
        ),
        (
            "ALTER FUNCTION ledger_post() OWNER TO cardhour_owner",
            "ALTER FUNCTION ledger_post() OWNER TO cardhour_guard",
        ),
        ("ALTER FUNCTION ledger_post() SECURITY INVOKER", "ALTER FUNCTION ledger_post() SECURITY DEFINER"),
        (
            "ALTER TABLE ledger_correction DISABLE TRIGGER fits",
            "ALTER TABLE ledger_correction ENABLE TRIGGER fits",
        ),
        ("GRANT DELETE ON ledger_correction TO cardhour_app", "REVOKE DELETE ON ledger_correction FROM cardhour_app"),
        ("GRANT UPDATE ON ledger_transfer TO cardhour_app", "REVOKE UPDATE ON ledger_transfer FROM cardhour_app"),
        (
            "GRANT UPDATE (credits_posted) ON ledger_account TO cardhour_worker",
            "REVOKE UPDATE (credits_posted) ON ledger_account FROM cardhour_worker",
        ),
        (
            "GRANT INSERT (credits_posted) ON ledger_account TO cardhour_app",
            "REVOKE INSERT (credits_posted) ON ledger_account FROM cardhour_app",
        ),
    ],
)
async def test_a_weakened_guard_is_named(
    auditor_database: Database, superuser: asyncpg.Connection, granted: World, breaking: str, mending: str
) -> None:
    await superuser.execute(breaking)
    try:
        assert await broken(auditor_database) == {"ledger_guard"}
    finally:
        await superuser.execute(mending)
