import pytest

from app.kit.db import Database
from app.verification.service import verify
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock


@pytest.fixture
async def bazaar(
    desk: Actor, supplier: Actor, buyer: Actor, clock: Clock, app_database: Database, worker_database: Database
) -> Bazaar:
    return await Bazaar(desk, supplier, buyer, clock, app_database, worker_database).open()


@pytest.fixture(autouse=True)
async def everything_holds_afterwards(database_url, app_database: Database):
    """`cardhour verify` passes after every test here."""
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield
    assert [finding.told for finding in await verify(database) if not finding.holds] == []
    await database.dispose()
