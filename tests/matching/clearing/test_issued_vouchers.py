"""A clearing's budgets come from the ledger at that instant: what was issued counts as what is set aside does."""

import pytest

from app.kit.db import Database
from app.matching import clearing_run
from app.matching.core.config import SolverConfig
from app.matching.core.solve import solve
from tests.bazaar import Bazaar
from tests.conftest import Clock
from tests.matching.clearing.conftest import Run, ask, claimed, make_eligible, open_example, rows, snapshot_of

pytestmark = pytest.mark.anyio
POOL, COST = 20_000, 34_000  # a booking of 4 cards × 10 hours × 850 takes half of it


async def issue(bazaar: Bazaar) -> int:
    """Book and confirm: the rules issue the voucher at once. Return what it is over."""
    [held] = await bazaar.book(max_net_price_fen=500)
    done = await bazaar.confirm(held)
    assert [each["state"] for each in done["subsidies"]] == ["issued"]
    return done["subsidy_fen"]


async def market(bazaar: Bazaar, worker: Database, clock: Clock) -> None:
    await open_example(worker, clock, pool_fen=POOL)
    await make_eligible(bazaar)
    await bazaar.offer(16)


async def test_a_clearing_sees_what_issued_vouchers_leave(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run
) -> None:
    await market(bazaar, worker_database, clock)
    issued = await issue(bazaar)
    await bazaar.request(max_net_price_fen=850)
    done = await clear(mode="dry_run")
    [pool] = [row for row in await rows(bazaar, done, "budgets") if "/pool/" in row["budget"]]
    assert pool["limit_fen"] == POOL - issued > 0
    assert pool["used_fen"] == sum(row["subsidy_fen"] for row in await rows(bazaar, done)) <= POOL - issued
    assert pool["shadow_price_micro"] >= 0


async def test_apply_refuses_what_issued_vouchers_leave_no_budget_for(
    bazaar: Bazaar, worker_database: Database, clock: Clock
) -> None:
    await market(bazaar, worker_database, clock)
    await bazaar.request(max_net_price_fen=500)
    asked = await ask(bazaar)
    run = await claimed(worker_database, clock)
    snapshot = await snapshot_of(worker_database, clock)
    outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
    assert [match.subsidy_fen > POOL - COST // 2 for match in outcome.matches] == [True]
    await issue(bazaar)
    assert await clearing_run.finish(worker_database, run, snapshot, outcome, (b"", b""), clock())
    done = (await bazaar.desk.client.get(f"/v1/clearings/{asked['id']}")).json()
    assert [loser["code"] for loser in done["result"]["losers"]] == ["budget_exhausted"]
    assert done["result"]["reserved"] == 0
