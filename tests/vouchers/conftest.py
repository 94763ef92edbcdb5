import pytest

from app.kit.db import Database
from tests.grants import Grants


@pytest.fixture
async def grants(app_database: Database) -> Grants:
    return await Grants(app_database).open()
