"""What was confirmed before there were contracts has one after the upgrade."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command
from sqlalchemy.engine import URL

from app import schema
from app.kit.db import Database, async_url
from app.kit.embedded import EmbeddedPostgres
from app.verification.service import verify
from tests.conftest import admin_dsn

pytestmark = pytest.mark.anyio
BEFORE = """
SET session_replication_role = replica;
INSERT INTO organisation (id, name, state, version) VALUES
    ('00000000-0000-7000-8000-00000000000b', 'b', 'approved', 1),
    ('00000000-0000-7000-8000-00000000000a', 's', 'approved', 1);
INSERT INTO chip_model (name, domestic, version) VALUES ('X910', true, 1);
INSERT INTO offer (id, supplier_org_id, ref, region, chip_model, cards_per_node, price_fen, list_price_fen, price_unit,
        state, auto_accept, version)
    VALUES ('00000000-0000-7000-8000-00000000000f', '00000000-0000-7000-8000-00000000000a', 'o', '北京', 'X910', 8, 850,
        900, 'card_hour', 'open', false, 1);
INSERT INTO offer_book (offer_id) VALUES ('00000000-0000-7000-8000-00000000000f');
INSERT INTO capacity_step (offer_id, starts_at, cards) VALUES
    ('00000000-0000-7000-8000-00000000000f', '2026-01-01Z', 100),
    ('00000000-0000-7000-8000-00000000000f', '2027-01-01Z', 0);
INSERT INTO reservation (id, offer_id, request_id, block, buyer_org_id, supplier_org_id, cards, starts_at, ends_at,
        state, hold_ends_at, reason_code, buyer_accepted_at, supplier_accepted_at, price_fen, cost_fen,
        subsidy_fen, net_fen, version, created_at)
    SELECT gen_random_uuid(), '00000000-0000-7000-8000-00000000000f', gen_random_uuid(), 0,
        '00000000-0000-7000-8000-00000000000b', '00000000-0000-7000-8000-00000000000a', 4, '2026-06-01Z', '2026-06-02Z',
        state, CASE WHEN state = 'held' THEN timestamptz '2026-06-01Z' END,
        CASE WHEN state = 'cancelled' THEN 'refused' END, '2026-05-01Z', '2026-05-02Z', 850, 81600, 0, 81600, 1,
        '2026-04-30Z'
    FROM unnest(ARRAY['held', 'confirmed', 'active', 'completed', 'cancelled']) AS s (state);
"""
MADE = """
SELECT r.state, c.amount_fen, c.chip_model, c.domestic, c.payment, c.signed_at = '2026-05-02Z' AS signed,
    i.kind, i.amount_fen AS item_fen
FROM contract c JOIN reservation r ON r.id = c.reservation_id JOIN contract_item i ON i.contract_id = c.id
ORDER BY r.state
"""


@pytest.fixture
async def old_database(server: EmbeddedPostgres) -> AsyncIterator[URL]:
    """A database of the release before contracts, with a reservation in each state."""
    name = f"before_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(admin_dsn(server))
    await admin.execute(f"CREATE DATABASE {name}")
    url = async_url(server.url("postgres")).set(database=name)
    await schema.run_alembic(url, "0007", action=command.upgrade)
    yield url
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


# Beside the tests' own database, which the other tests of this folder verify.
async def test_confirmed_reservations_on_record_have_contracts(old_database: URL) -> None:
    dsn = old_database.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(BEFORE)
        await schema.upgrade(old_database)
        rows = await connection.fetch(MADE)
    finally:
        await connection.close()
    made = (81_600, "X910", True, "arrears", True, "compute", 81_600)
    assert [tuple(row) for row in rows] == [(state, *made) for state in ("active", "completed", "confirmed")]
    auditor = Database(old_database.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    findings = {finding.name: finding for finding in await verify(auditor)}
    await auditor.dispose()
    assert (findings["contracts"].counted, findings["contracts"].told) == (3, ())
    assert findings["voucher_guard"].holds
