"""A live service with a desk, a buyer and a supplier, each with a key."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy.engine import URL

from app.accounts import service as accounts
from app.accounts.models import Role
from app.catalog.service import ensure_catalogue
from app.kit.db import APP_ROLE, SYSTEM, WORKER_ROLE, Database
from app.kit.ids import encode_id, new_id
from app.kit.pages import CursorSigner
from app.kit.web import AppContext
from tests.conftest import SECRET, Clock
from tests.live import serving, working


@dataclass(frozen=True)
class Live:
    """Where the service is, the keys, and the organisations' ids."""

    url: str
    desk: str
    buyer: str
    supplier: str
    org_ids: dict[str, str]
    clock: Clock


@pytest.fixture
async def live(app_database: Database, database_url: URL, clock: Clock) -> AsyncIterator[Live]:
    keys: dict[str, str] = {}
    org_ids: dict[str, str] = {}
    async with app_database.write(SYSTEM) as session:
        await ensure_catalogue(session)
        for role in (Role.DESK, Role.BUYER, Role.SUPPLIER):
            org_id = new_id()
            await accounts.create_organisation(
                session,
                org_id=org_id,
                name=f"示例{role.value}",
                roles=[role],
                ref=role.value,
                contact=f"{role.value}@example.test",
                approved_at=clock(),
            )
            org_ids[role.value] = encode_id("org", org_id)
            _, keys[role.value] = await accounts.add_key(
                session, org_id=org_id, label="test", roles=[role], expires_at=None, secret=SECRET
            )
    own = Database(database_url.set(username=APP_ROLE), role=APP_ROLE, pool_size=5)
    context = AppContext(database=own, signer=CursorSigner(SECRET), secret=SECRET, clock=clock)
    with serving(context) as url:
        yield Live(url, **keys, org_ids=org_ids, clock=clock)


@pytest.fixture
def worker(live: Live, database_url: URL) -> Iterator[None]:
    """A worker that runs imports and exports."""
    url = database_url.set(username=WORKER_ROLE)
    with working(lambda: Database(url, role=WORKER_ROLE, pool_size=2), live.clock):
        yield
