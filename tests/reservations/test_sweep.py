"""The sweep: what time alone does."""

import asyncio
from datetime import datetime, timedelta

import pytest

from app.demand.repository import lock_requests
from app.kit.db import SYSTEM
from app.kit.ids import decode_id
from app.reservations.service import SweepResult, sweep
from tests.bazaar import Bazaar, refusal

pytestmark = pytest.mark.anyio


async def test_a_lapsed_hold_expires_and_its_request_opens(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(8, start=40)
    [row] = await bazaar.book()
    bazaar.clock.advance(hours=24, seconds=-1)
    assert await bazaar.sweep() == SweepResult()
    assert (await bazaar.read(row))["state"] == "held"
    bazaar.clock.advance(seconds=1)
    assert await bazaar.sweep() == SweepResult(expired=1)
    now = await bazaar.read(row)
    assert (now["state"], now["reason_code"], now["version"]) == ("expired", "hold_lapsed", 2)
    assert (await bazaar.read_request(row["request_id"]))["state"] == "open"
    assert await bazaar.free(offer, 45) == 8
    assert await bazaar.sweep() == SweepResult()
    late = await bazaar.turn(bazaar.buyer, row, "accept")
    assert refusal(late) == (409, "reservation_state")


async def test_a_hold_ends_by_the_sweep_not_by_the_clock(bazaar: Bazaar) -> None:
    await bazaar.offer(8, start=40, auto_accept=True)
    [row] = await bazaar.book()
    bazaar.clock.advance(hours=30)
    assert (await bazaar.turn(bazaar.buyer, row, "accept")).json()["state"] == "confirmed"
    assert await bazaar.sweep() == SweepResult()


async def test_a_confirmed_one_runs_and_completes_and_its_request_is_closed(bazaar: Bazaar) -> None:
    await bazaar.offer(8)
    [row] = await bazaar.book(hours=10)
    await bazaar.confirm(row)
    bazaar.clock.now = datetime.fromisoformat(row["starts_at"]) - timedelta(seconds=1)
    assert await bazaar.sweep() == SweepResult()
    bazaar.clock.advance(seconds=1)
    assert await bazaar.sweep() == SweepResult(activated=1)
    assert (await bazaar.read_request(row["request_id"]))["state"] == "matched"
    bazaar.clock.advance(hours=10)
    assert await bazaar.sweep() == SweepResult(completed=1)
    assert (await bazaar.read_request(row["request_id"]))["state"] == "closed"
    late = await bazaar.turn(bazaar.buyer, row, "cancel", {"reason": "buyer_changed_plans"})
    assert refusal(late) == (409, "reservation_state")


async def test_after_a_long_stop_each_takes_one_turn_a_sweep(bazaar: Bazaar) -> None:
    await bazaar.offer(8)
    [row] = await bazaar.book(hours=10)
    await bazaar.confirm(row)
    bazaar.clock.advance(days=3)
    assert await bazaar.sweep() == SweepResult(activated=1)
    assert await bazaar.sweep() == SweepResult(completed=1)
    assert (await bazaar.sweep()).changed == 0
    assert (await bazaar.read(row))["state"] == "completed"


async def test_a_partly_matched_request_is_closed_when_its_time_is_over(bazaar: Bazaar) -> None:
    await bazaar.offer(8)
    request = await bazaar.request(blocks=2, hours=10, deadline=bazaar.at(30))
    [row] = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    await bazaar.active(row)
    bazaar.clock.advance(hours=10)
    assert (await bazaar.sweep()).completed == 1
    assert (await bazaar.read_request(request["id"]))["state"] == "partly_matched"
    bazaar.clock.advance(hours=19)
    assert await bazaar.sweep() == SweepResult()
    assert (await bazaar.read_request(request["id"]))["state"] == "closed"


async def test_a_lapse_below_min_blocks_releases_held_and_confirmed_but_not_what_runs(bazaar: Bazaar) -> None:
    await bazaar.offer(8, price_fen=100, end=11)
    await bazaar.offer(8, price_fen=200, start=30, end=40)
    await bazaar.offer(8, price_fen=300, start=40, end=50)
    request = await bazaar.request(blocks=3, min_blocks=3, cards=8, hours=10)
    soon, middle, last = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    await bazaar.confirm(soon)
    await bazaar.confirm(last)
    bazaar.clock.advance(hours=1)
    assert await bazaar.sweep() == SweepResult(activated=1)
    bazaar.clock.advance(hours=24)
    assert await bazaar.sweep() == SweepResult(expired=1, completed=1, released=1)
    states = [(row["state"], row["reason_code"]) for row in [await bazaar.read(r) for r in (soon, middle, last)]]
    assert states == [("completed", None), ("expired", "hold_lapsed"), ("cancelled", "below_min_blocks")]
    assert (await bazaar.read_request(request["id"]))["state"] == "partly_matched"


async def test_what_is_due_to_run_runs_although_another_block_lapses(bazaar: Bazaar) -> None:
    await bazaar.offer(8, price_fen=100, start=20, end=30)
    await bazaar.offer(8, price_fen=200, start=24, end=40)
    request = await bazaar.request(blocks=2, min_blocks=2, cards=8, hours=10)
    first, second = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    await bazaar.confirm(first)
    bazaar.clock.advance(hours=24)
    assert await bazaar.sweep() == SweepResult(expired=1, activated=1)
    assert [(await bazaar.read(row))["state"] for row in (first, second)] == ["active", "expired"]


async def test_batches_are_bounded(bazaar: Bazaar) -> None:
    await bazaar.offer(64)
    for _ in range(3):
        await bazaar.book()
    bazaar.clock.advance(hours=1)
    async with bazaar.worker.write(SYSTEM) as session:
        assert (await sweep(session, bazaar.clock(), limit=2)).expired == 2
    assert (await bazaar.sweep()).expired == 1


async def test_a_request_that_somebody_holds_is_left_to_the_next_sweep(bazaar: Bazaar) -> None:
    await bazaar.offer(64)
    [busy], [idle] = await bazaar.book(), await bazaar.book()
    bazaar.clock.advance(hours=1)
    async with bazaar.database.write(SYSTEM) as session:
        await lock_requests(session, [decode_id("req", busy["request_id"])])
        assert (await asyncio.wait_for(bazaar.sweep(), 2)).expired == 1
        assert (await bazaar.read(idle))["state"] == "expired"
    assert (await bazaar.sweep()).expired == 1


async def test_sweeps_and_changes_at_once_leave_one_outcome(bazaar: Bazaar) -> None:
    await bazaar.offer(64, start=40, auto_accept=True)
    for _ in range(6):
        [row] = await bazaar.book(cards=2)
        bazaar.clock.advance(hours=24)
        accepted, *_ = await asyncio.gather(
            bazaar.turn(bazaar.buyer, row, "accept", version=1), bazaar.sweep(), bazaar.sweep()
        )
        await bazaar.sweep()
        state = (await bazaar.read(row))["state"]
        assert state == ("confirmed" if accepted.status_code == 200 else "expired")
        bazaar.clock.advance(hours=-24)
