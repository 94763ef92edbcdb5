from uuid import UUID

import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.verification.service import verify
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock
from tests.contracts.bureau import Bureau


@pytest.fixture
def by_hand() -> list[UUID]:
    """The transfers that a test redeems or gives back with, where no settlement stands behind them."""
    return []


@pytest.fixture
async def bureau(
    desk: Actor,
    supplier: Actor,
    buyer: Actor,
    clock: Clock,
    app_database: Database,
    worker_database: Database,
    by_hand: list[UUID],
) -> Bureau:
    bazaar = await Bazaar(desk, supplier, buyer, clock, app_database, worker_database).open()
    return await Bureau(bazaar, app_database, worker_database, by_hand).open()


@pytest.fixture(autouse=True)
async def everything_holds_afterwards(database_url: URL, app_database: Database, by_hand: list[UUID]):
    """`cardhour verify` passes after every test here, but for telling each transfer that a test made by hand."""
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    yield
    told = [line for finding in await verify(database) for line in finding.told]
    await database.dispose()
    assert sorted(told) == sorted(
        f"transfer {each} moves voucher money and no redemption tells of it" for each in by_hand
    )
