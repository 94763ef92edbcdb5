"""How a run ends whose outcome PostgreSQL refuses, or whose worker is told to stop."""

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.matching.clearing_run import run_next_clearing
from tests.bazaar import Bazaar
from tests.conftest import Clock
from tests.matching.clearing.conftest import Run, ask

pytestmark = pytest.mark.anyio

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'no room' USING ERRCODE = '23514', CONSTRAINT = 'reservation_within_capacity'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON reservation EXECUTE FUNCTION refuse()
"""


async def read(bazaar: Bazaar, clearing: Any) -> Any:
    return (await bazaar.desk.client.get(f"/v1/clearings/{clearing['id']}")).json()


async def test_what_the_database_refuses_is_told_as_it_is(bazaar: Bazaar, clear: Run, database_url: URL) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    superuser = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    await superuser.execute(REFUSE)
    try:
        done = await clear()
    finally:
        await superuser.execute("DROP FUNCTION refuse() CASCADE")
        await superuser.close()
    assert (done["state"], done["error"]["code"], done["result"]) == ("failed", "not_applied", None)
    assert done["error"]["detail"].endswith("Nothing was reserved. Run the clearing again.")
    assert "programme" not in done["error"]["detail"]
    assert (await bazaar.desk.client.get("/v1/reservations")).json()["data"] == []
    assert (await clear())["result"]["reserved"] == 1


async def test_a_worker_that_is_stopped_puts_its_run_back(
    bazaar: Bazaar, worker_database: Database, clock: Clock
) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    asked = await ask(bazaar)
    work = asyncio.create_task(run_next_clearing(worker_database, clock))
    while (await read(bazaar, asked))["progress"]["phase"] in {"waiting", "reading"}:
        assert not work.done()
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    body = await read(bazaar, asked)
    assert (body["state"], body["attempt"]) == ("queued", 1)
    # Time stands still here: no lease has lapsed.
    assert await run_next_clearing(worker_database, clock)
    body = await read(bazaar, asked)
    assert (body["state"], body["attempt"], body["result"]["reserved"]) == ("succeeded", 2, 1)
