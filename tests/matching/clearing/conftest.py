"""Clearings as callers see them: asked for over HTTP, run by the worker's own function, read back over HTTP."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from app.kit.db import SYSTEM, Database
from app.matching import clearing_repository as repository
from app.matching.clearing_models import Clearing
from app.matching.clearing_options import ClearingIn
from app.matching.clearing_run import LEASE, run_next_clearing
from app.matching.snapshot import Snapshot, take_snapshot
from app.vouchers import service as vouchers
from tests.bazaar import Bazaar, keyed
from tests.conftest import Clock

Run = Callable[..., Awaitable[Any]]


async def ask(bazaar: Bazaar, **body: Any) -> Any:
    sent = await bazaar.desk.client.post(
        "/v1/clearings", json={"mode": "apply", "work_limit": 20} | body, headers=keyed()
    )
    assert sent.status_code == 202, sent.text
    assert sent.headers["retry-after"]
    return sent.json()


@pytest.fixture
def clear(bazaar: Bazaar, worker_database: Database, clock: Clock) -> Run:
    """`await clear(mode="dry_run")`: the finished clearing."""

    async def run(**body: Any) -> Any:
        asked = await ask(bazaar, **body)
        assert await run_next_clearing(worker_database, clock)
        return (await bazaar.desk.client.get(f"/v1/clearings/{asked['id']}")).json()

    return run


async def open_example(database: Database, clock: Clock, pool_fen: int | None = None) -> None:
    async with database.write(SYSTEM) as session:
        await vouchers.store_shipped_programmes(session, clock() - timedelta(days=1))
        await vouchers.open_programme(
            session, "open-example", 2026, pool_fen=pool_fen, buyer_year_fen=None, now=clock()
        )


async def snapshot_of(database: Database, clock: Clock, **body: Any) -> Snapshot:
    async with database.read(SYSTEM, isolation="REPEATABLE READ") as session:
        return await take_snapshot(session, ClearingIn.model_validate({"mode": "apply"} | body, strict=False), clock())


async def rows(bazaar: Bazaar, clearing: Any, kind: str = "matches", by: Any = None) -> list[Any]:
    answer = await (by or bazaar.desk).client.get(f"/v1/clearings/{clearing['id']}/{kind}", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def claimed(database: Database, clock: Clock) -> Clearing:

    async with database.write(SYSTEM) as session:
        found = await repository.claim(session, clock(), LEASE)
    assert found is not None
    return found


async def make_eligible(bazaar: Bazaar) -> None:
    """The buyer is clean and the supplier a partner, verified by the desk."""
    for actor, key, value in ((bazaar.buyer, "integrity", "clean"), (bazaar.supplier, "partner", True)):
        org = (await actor.client.get("/v1/me")).json()["organisation"]["id"]
        body = {"key": key, "value": value, "valid_from": "2026-01-01"}
        made = await bazaar.desk.client.post(f"/v1/organisations/{org}/facts", json=body)
        assert made.status_code == 201, made.text
