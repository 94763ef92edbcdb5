"""The second wall: PostgreSQL itself hides and protects others' rows from the application's role."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.kit.db import Database, Scope, sqlstate
from tests.worlds import World

pytestmark = pytest.mark.anyio

# table → the column by which a row is somebody's
OWNED = {
    "organisation": "id",
    "organisation_role": "org_id",
    "organisation_fact": "org_id",
    "api_key": "org_id",
    "request": "buyer_org_id",
    "reservation": "buyer_org_id",
    "quote": "buyer_org_id",
}


async def test_the_application_signs_in_as_a_role_that_is_bound(app_database: Database) -> None:
    async with app_database.read(Scope("member")) as session:
        row = (
            await session.execute(
                text(
                    "SELECT session_user::text, current_user::text, rolsuper, rolbypassrls,"
                    " (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid) FROM pg_roles r"
                    " WHERE rolname = current_user"
                )
            )
        ).one()
    assert tuple(row) == ("cardhour_app", "cardhour_app", False, False, 0)


@pytest.mark.parametrize("table", OWNED)
async def test_a_stranger_sees_nothing(app_database: Database, world: World, table: str) -> None:
    count = text(f"SELECT count(*) FROM {table} WHERE {OWNED[table]} = :owner")
    async with app_database.read(Scope("member", world.buyer.org_id)) as session:
        owners = await session.scalar(count, {"owner": world.buyer.org_id})
    async with app_database.read(Scope("member", world.rival.org_id)) as session:
        strangers = await session.scalar(count, {"owner": world.buyer.org_id})
    async with app_database.read(Scope("member")) as session:
        nobodys = await session.scalar(text(f"SELECT count(*) FROM {table}"))
    # Facts were not recorded here; every other table has a row of the buyer's.
    assert owners == 0 if table == "organisation_fact" else owners
    assert strangers == 0
    assert nobodys == 0


async def test_supply_is_public_to_the_signed_in_and_books_are_not(app_database: Database, world: World) -> None:
    async with app_database.read(Scope("member", world.rival.org_id)) as session:
        for table, wanted in {
            "offer": 1,
            "capacity_step": 2,
            "chip_model": 1,
            "offer_book": 0,
            "reservation_journal": 0,
        }.items():
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == wanted, table
        usage = (
            await session.execute(
                text("SELECT cards FROM offer_usage(ARRAY[CAST(:o AS uuid)], '-infinity', 'infinity') ORDER BY at"),
                {"o": world.offer},
            )
        ).scalars()
        assert list(usage) == [4, -4]  # how much is taken, not by whom


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reservation SET state = 'cancelled', reason_code = 'x' WHERE true",
        "UPDATE request SET priority = 1000 WHERE true",
        "UPDATE offer SET price_fen = 1 WHERE true",
        "UPDATE organisation SET state = 'approved' WHERE id <> cardhour_org()",
        "UPDATE api_key SET revoked_at = now() WHERE org_id <> cardhour_org()",
        "UPDATE capacity_step SET cards = 0 WHERE true",
        "DELETE FROM capacity_step WHERE true",
    ],
)
async def test_a_stranger_changes_nothing(app_database: Database, world: World, statement: str) -> None:
    async with app_database.write(Scope("member", world.rival.org_id)) as session:
        assert await rows(session, statement) == 0


async def rows(session: AsyncSession, statement: str) -> int:
    returned = await session.execute(text(f"{statement} RETURNING 1"))
    return len(returned.all())


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("DELETE FROM reservation", "42501"),
        ("DELETE FROM request", "42501"),
        ("UPDATE offer_book SET seq = 0", "42501"),
        ("INSERT INTO offer_book (offer_id) SELECT id FROM offer", "42501"),
        ("UPDATE reservation_journal SET cards = 0", "42501"),
        ("INSERT INTO reservation_journal SELECT * FROM reservation_journal", "42501"),
        ("TRUNCATE reservation", "42501"),
        ("ALTER TABLE reservation DISABLE TRIGGER ALL", "42501"),
        ("ALTER TABLE reservation DISABLE ROW LEVEL SECURITY", "42501"),
        ("DROP TRIGGER guard_insert ON reservation", "42501"),
        ("SELECT guard_lock(ARRAY[]::uuid[])", "42501"),
        ("SET ROLE cardhour_guard", "42501"),
        ("SET ROLE cardhour_owner", "42501"),
        ("SET session_replication_role = replica", "42501"),
    ],
)
async def test_even_the_desk_s_eyes_have_no_right_to(
    app_database: Database, world: World, statement: str, state: str
) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with app_database.write(Scope("desk", world.buyer.org_id)) as session:
            await session.execute(text(statement))
    assert sqlstate(caught.value) == state


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO organisation_role (org_id, role, ref) VALUES (cardhour_org(), 'desk', 'me')",
        """INSERT INTO api_key (id, org_id, label, prefix, digest, roles)
           SELECT gen_random_uuid(), id, 'x', 'x', 'x', '{desk}' FROM organisation WHERE id <> cardhour_org()""",
        "INSERT INTO chip_model (name, version) VALUES ('mine', 1)",
        "INSERT INTO partner_list_entry (list_name, org_id, batch, valid_from) VALUES ('l', cardhour_org(), '', now())",
        "INSERT INTO organisation (id, name, state, version) VALUES (gen_random_uuid(), 'x', 'approved', 1)",
    ],
)
async def test_what_a_member_may_not_insert(app_database: Database, world: World, statement: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with app_database.write(Scope("member", world.supplier.org_id)) as session:
            await session.execute(text(statement))
    assert sqlstate(caught.value) == "42501"


@pytest.fixture
async def auditor_database(database_url, app_database: Database) -> AsyncIterator[Database]:
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield database
    await database.dispose()


async def test_the_auditor_sees_all_and_changes_nothing(auditor_database: Database, world: World) -> None:
    async with auditor_database.read(Scope("auditor")) as session:
        for table in ("organisation", "offer", "request", "reservation", "reservation_journal", "offer_book"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")), table
    for statement in ("UPDATE reservation SET cards = 1", "DELETE FROM request", "SELECT digest FROM api_key"):
        with pytest.raises(DBAPIError) as caught:
            async with auditor_database.write(Scope("auditor")) as session:
                await session.execute(text(statement))
        assert sqlstate(caught.value) == "42501", statement
