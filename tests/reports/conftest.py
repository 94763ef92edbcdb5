import pytest

from app.kit.db import Database
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock


@pytest.fixture
async def bazaar(
    desk: Actor, supplier: Actor, buyer: Actor, clock: Clock, app_database: Database, worker_database: Database
) -> Bazaar:
    return await Bazaar(desk, supplier, buyer, clock, app_database, worker_database).open()
