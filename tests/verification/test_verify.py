"""`cardhour verify` finds each invariant broken: rows are broken past the guards, as nobody of ours could."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.verification.service import ALL_CHECKS, verify
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


async def broken_names(database: Database) -> set[str]:
    return {finding.name for finding in await verify(database) if not finding.holds}


async def test_a_sound_market_passes_and_says_what_was_read(auditor_database: Database, world: World) -> None:
    seen: list[str] = []
    findings = await verify(auditor_database, on_finding=lambda finding: seen.append(finding.name))
    assert [finding.told for finding in findings if not finding.holds] == []
    assert seen == ["schema", *(check.name for check in ALL_CHECKS), "clearings", "clearing_rows"]
    counted = {finding.name: finding.counted for finding in findings}
    assert counted["capacity"] == counted["journal"] == counted["amounts"] == 1


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE reservation SET cards = 9", "capacity"),
        ("UPDATE capacity_step SET cards = 3 WHERE cards = 8", "capacity"),
        ("UPDATE reservation SET ends_at = ends_at + interval '100 hours'", "capacity"),
        ("UPDATE capacity_step SET cards = 4 WHERE cards = 0", "capacity_ends"),
        ("UPDATE reservation SET block = 1", "one_live_per_block"),
        ("UPDATE request SET blocks = 3, min_blocks = 2, state = 'partly_matched'", "min_blocks"),
        ("UPDATE request SET state = 'open'", "request_state"),
        ("UPDATE request SET state = 'withdrawn'", "request_state"),
        ("UPDATE reservation SET price_fen = 1001", "amounts"),
        ("UPDATE reservation SET supplier_org_id = buyer_org_id", "parties"),
        ("UPDATE reservation SET state = 'confirmed'", "journal"),
        ("DELETE FROM reservation_journal", "journal"),
        ("DELETE FROM reservation", "journal"),
        ("UPDATE offer_book SET seq = 0", "journal"),
        ("DELETE FROM offer_book", "journal"),
    ],
)
async def test_what_is_broken_is_named(
    auditor_database: Database, superuser: asyncpg.Connection, world: World, statement: str, name: str
) -> None:
    await superuser.execute(statement)
    assert name in await broken_names(auditor_database)


@pytest.mark.parametrize(
    ("breaking", "mending", "name"),
    [
        (
            """DROP INDEX reservation_one_live_per_block; INSERT INTO reservation SELECT
               (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid()))).* FROM reservation r""",
            """DELETE FROM reservation; CREATE UNIQUE INDEX reservation_one_live_per_block
               ON reservation (request_id, block) WHERE state IN ('held', 'confirmed', 'active', 'completed')""",
            "one_live_per_block",
        ),
        (
            "ALTER TABLE reservation DISABLE TRIGGER guard_insert",
            "ALTER TABLE reservation ENABLE TRIGGER guard_insert",
            "guard",
        ),
        (
            "ALTER FUNCTION guard_lock(uuid[]) OWNER TO cardhour_owner",
            "ALTER FUNCTION guard_lock(uuid[]) OWNER TO cardhour_guard",
            "guard",
        ),
        (
            "ALTER TABLE request NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE request FORCE ROW LEVEL SECURITY",
            "row_level_security",
        ),
        ("CREATE TABLE stray (x int)", "DROP TABLE stray", "row_level_security"),
        (
            "ALTER TABLE quote ADD CONSTRAINT new CHECK (id IS NOT NULL) NOT VALID",
            "ALTER TABLE quote DROP CONSTRAINT new",
            "constraints",
        ),
        ("UPDATE alembic_version SET version_num = '0000'", "SELECT 1", "schema"),
    ],
)
async def test_a_weakened_schema_is_named(
    auditor_database: Database, superuser: asyncpg.Connection, world: World, breaking: str, mending: str, name: str
) -> None:
    before = await superuser.fetchval("SELECT version_num FROM alembic_version")
    await superuser.execute(breaking)
    try:
        assert name in await broken_names(auditor_database)
    finally:
        await superuser.execute(mending)
        await superuser.execute("UPDATE alembic_version SET version_num = $1", before)
