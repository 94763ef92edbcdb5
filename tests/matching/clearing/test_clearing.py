"""A clearing from the request to the reservations, and every way that it can end otherwise."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from app.kit.db import SYSTEM, Database, Scope
from app.matching import clearing_run
from app.matching.apply import apply_outcome
from app.matching.clearing_models import ClearingRow
from app.matching.clearing_run import RunEndedError, run_next_clearing, solve_in_process
from app.matching.core.config import Forbid, SolverConfig
from app.matching.core.solve import solve
from app.verification.service import verify
from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import Clock, MakeActor
from tests.matching.clearing.conftest import Run, ask, claimed, make_eligible, open_example, rows, snapshot_of

pytestmark = pytest.mark.anyio


async def reservations(bazaar: Bazaar) -> list[Any]:
    return (await bazaar.desk.client.get("/v1/reservations", params={"limit": 100})).json()["data"]


async def test_apply_reserves_what_was_matched(bazaar: Bazaar, clear: Run, app_database: Database) -> None:
    offer = await bazaar.offer(8)
    await bazaar.request(blocks=3, min_blocks=1)
    large = await bazaar.request(cards=16)
    done = await clear()
    assert (done["state"], done["result"]["status"]) == ("succeeded", "optimal")
    assert (done["result"]["matches"], done["result"]["reserved"], done["result"]["losers"]) == (3, 3, [])
    matches = await rows(bazaar, done)
    held = {row["id"]: row for row in await reservations(bazaar)}
    assert {match["reservation_id"] for match in matches} == set(held)
    for match in matches:
        row = held[match["reservation_id"]]
        for name in ("block", "cards", "hours", "cost_fen", "subsidy_fen", "net_fen", "starts_at"):
            assert row[name] == match[name], name
        assert row["offer_id"] == offer["id"]
    assert sorted(match["block"] for match in matches) == [0, 1, 2]
    [left] = await rows(bazaar, done, "unmatched")
    assert (left["request_id"], left["code"]) == (large["id"], "too_large_for_any_offer")
    certificate = (await bazaar.desk.client.get(f"/v1/clearings/{done['id']}/certificate")).json()
    assert certificate["objective_fen"] == done["result"]["objective_fen"] <= certificate["bound_fen"]
    assert all(finding.holds for finding in await verify(app_database))


async def test_subsidies_are_earmarked_to_the_fen(
    bazaar: Bazaar, clear: Run, worker_database: Database, clock: Clock
) -> None:
    await open_example(worker_database, clock)
    await make_eligible(bazaar)
    await bazaar.offer(8, price_fen=2000, list_price_fen=4000)
    await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    done = await clear()
    [match] = await rows(bazaar, done)
    assert match["subsidy_fen"] >= 500 * 8 * 48
    vouchers = (await bazaar.desk.client.get("/v1/vouchers")).json()["data"]
    assert sum(voucher["amount_fen"] for voucher in vouchers) == match["subsidy_fen"]
    assert match["net_fen"] <= 1500 * 8 * 48


async def test_a_dry_run_reserves_nothing_and_compares(bazaar: Bazaar, clear: Run) -> None:
    await bazaar.offer(4)
    await bazaar.request()
    await bazaar.request(max_net_price_fen=900)
    first = await clear(mode="dry_run")
    second = await clear(mode="dry_run", filters={"limit_requests": 1})
    assert (first["result"]["matches"], first["result"]["reserved"]) == (2, 0)
    assert await reservations(bazaar) == []
    answer = await bazaar.desk.client.get(f"/v1/clearings/{first['id']}/compare/{second['id']}")
    body = answer.json()
    assert (body["this"]["matches"], body["other"]["matches"], body["same_instance"]) == (2, 1, False)
    assert len(body["only_in_this"]) == 1
    events = await bazaar.desk.client.get(f"/v1/clearings/{first['id']}/events")
    assert events.text.startswith("event: end\ndata: ")


async def test_what_a_booking_took_meanwhile_is_lost_with_its_reason(
    bazaar: Bazaar, worker_database: Database, clock: Clock
) -> None:
    await bazaar.offer(4, end=11)
    pair = await bazaar.request(cards=2, blocks=2, min_blocks=2)
    snapshot = await snapshot_of(worker_database, clock)
    outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
    assert len(outcome.matches) == 2
    await bazaar.book(cards=2, deadline=bazaar.at(11))
    async with worker_database.write(SYSTEM) as session:
        applied = await apply_outcome(session, snapshot, outcome, clock())
    assert sorted(loss.value for loss in applied.losses.values()) == ["capacity_taken", "min_blocks"]
    assert applied.reservations == {}
    assert (await bazaar.read_request(pair["id"]))["state"] == "open"


async def test_what_changed_meanwhile_is_lost_with_its_reason(
    bazaar: Bazaar, worker_database: Database, clock: Clock
) -> None:
    offers = [await bazaar.offer(4, chip_model=chip) for chip in ("A100 80G", "X910")]
    kept = await bazaar.request(chips="A100 80G", blocks=2)
    await bazaar.request(chips="X910")
    snapshot = await snapshot_of(worker_database, clock)
    outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
    assert len(outcome.matches) == 3
    path = f"/v1/offers/{offers[1]['id']}"
    headers = {"If-Match": (await bazaar.supplier.client.get(path)).headers["etag"]}
    edited = await bazaar.supplier.client.patch(path, json={"price_fen": 800}, headers=headers)
    assert edited.status_code == 200, edited.text
    quote = await bazaar.quote(request_id=kept["id"], blocks=1)
    assert (await bazaar.try_book(quote)).status_code == 201
    async with worker_database.write(SYSTEM) as session:
        applied = await apply_outcome(session, snapshot, outcome, clock())
    assert sorted(loss.value for loss in applied.losses.values()) == ["block_taken", "offer_changed"]
    assert len(applied.reservations) == 1
    assert (await bazaar.read_request(kept["id"]))["state"] == "matched"


async def test_budget_used_meanwhile_is_a_loss(bazaar: Bazaar, worker_database: Database, clock: Clock) -> None:
    await open_example(worker_database, clock, pool_fen=300_000)
    await make_eligible(bazaar)
    await bazaar.offer(8, price_fen=2000, list_price_fen=4000)
    await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    snapshot = await snapshot_of(worker_database, clock)
    outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
    [match] = outcome.matches
    assert match.subsidy_fen >= 500 * 8 * 48
    # Another run takes the same budget for another request.
    await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    other = await snapshot_of(worker_database, clock)
    rival = solve(other.instance, SolverConfig(work_limit=5, forbids=(Forbid(match.request, match.offer),)))
    late = replace(rival, matches=tuple(replace(each, start_hour=each.start_hour + 48) for each in rival.matches))
    async with worker_database.write(SYSTEM) as session:
        assert len((await apply_outcome(session, other, late, clock())).reservations) == 1
    async with worker_database.write(SYSTEM) as session:
        applied = await apply_outcome(session, snapshot, outcome, clock())
    assert [loss.value for loss in applied.losses.values()] == ["budget_exhausted"]


async def test_bad_input_is_refused_by_name(
    bazaar: Bazaar, clear: Run, worker_database: Database, clock: Clock
) -> None:
    await open_example(worker_database, clock)

    async def send(**body: Any) -> tuple[int, str]:
        answer = await bazaar.desk.client.post("/v1/clearings", json={"mode": "dry_run"} | body, headers=keyed())
        return refusal(answer)

    assert await send(programmes=[{"id": "nowhere"}]) == (422, "unknown_programme")
    assert await send(programmes=[{"id": "open-example", "set": {"nonsense": "1"}}]) == (422, "programme_setting")
    wanted = {"id": "open-example", "set": {"pool_year_cny": "5"}}
    assert await send(mode="apply", programmes=[wanted]) == (422, "what_if_only")
    assert await send(time_limit_s=3601) == (422, "invalid")
    assert await send(kappa_ppm=2**63) == (422, "invalid")
    assert await send(time_limit_s=1, work_limit=1) == (422, "one_limit_only")
    assert refusal(await bazaar.buyer.client.post("/v1/clearings", json={"mode": "apply"}, headers=keyed()))[0] == 403
    assert (await bazaar.desk.client.post("/v1/clearings", json={"mode": "apply"})).status_code == 400
    assert not await run_next_clearing(worker_database, clock)


async def test_contradictory_pins_are_infeasible_by_name(bazaar: Bazaar, clear: Run) -> None:
    offer = await bazaar.offer(4, end=11)
    pins = []
    for _ in range(2):
        request = await bazaar.request()
        pins.append({"request_id": request["id"], "offer_id": offer["id"]})
    done = await clear(pins=pins)
    assert (done["state"], done["error"]["code"], done["error"]["status"]) == ("failed", "infeasible", "infeasible")
    assert pins[0]["request_id"] in done["error"]["detail"]
    assert await reservations(bazaar) == []
    gone = await clear(pins=[pins[0] | {"offer_id": "offer_01jd5qx2y0e4t9g5k8z7b3m6n1"}])
    assert (gone["state"], gone["error"]["code"]) == ("failed", "input_refused")


async def test_an_empty_market_clears_to_nothing(clear: Run) -> None:
    done = await clear()
    assert (done["state"], done["result"]["status"], done["result"]["matches"]) == ("succeeded", "optimal", 0)


async def test_cancelled_before_and_while_running(bazaar: Bazaar, worker_database: Database, clock: Clock) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    waiting = await ask(bazaar)
    path = f"/v1/clearings/{waiting['id']}"
    for _ in range(2):
        assert (await bazaar.desk.client.post(f"{path}/cancel")).json()["state"] == "cancelled"
    assert not await run_next_clearing(worker_database, clock)
    running = await ask(bazaar)
    work = asyncio.create_task(run_next_clearing(worker_database, clock))
    path = f"/v1/clearings/{running['id']}"
    for _ in range(200):
        if (await bazaar.desk.client.get(path)).json()["state"] == "running":
            break
        await asyncio.sleep(0.01)
    assert (await bazaar.desk.client.post(f"{path}/cancel")).json()["state"] == "cancelled"
    assert await work
    body = (await bazaar.desk.client.get(path)).json()
    assert (body["state"], body["error"]["code"], body["result"]) == ("cancelled", "cancelled", None)
    assert await reservations(bazaar) == []


async def test_a_lapsed_run_is_taken_again_and_given_up_in_the_end(
    bazaar: Bazaar, worker_database: Database, clock: Clock
) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    asked = await ask(bazaar)
    await claimed(worker_database, clock)
    assert not await run_next_clearing(worker_database, clock)
    clock.advance(seconds=31)
    assert await run_next_clearing(worker_database, clock)
    body = (await bazaar.desk.client.get(f"/v1/clearings/{asked['id']}")).json()
    assert (body["state"], body["attempt"]) == ("succeeded", 2)
    again = await ask(bazaar)
    for _ in range(3):
        await claimed(worker_database, clock)
        clock.advance(seconds=31)
    assert await run_next_clearing(worker_database, clock)
    body = (await bazaar.desk.client.get(f"/v1/clearings/{again['id']}")).json()
    assert (body["state"], body["error"]["code"]) == ("failed", "gave_up")


async def test_a_runner_that_lapsed_writes_nothing(bazaar: Bazaar, worker_database: Database, clock: Clock) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    await ask(bazaar)
    lapsed = await claimed(worker_database, clock)
    snapshot = await snapshot_of(worker_database, clock)
    outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
    clock.advance(seconds=31)
    await claimed(worker_database, clock)
    assert not await clearing_run.finish(worker_database, lapsed, snapshot, outcome, (b"", b""), clock())
    assert await reservations(bazaar) == []


async def test_a_killed_solver_fails_the_run_and_it_can_be_run_again(
    bazaar: Bazaar, clear: Run, worker_database: Database, clock: Clock
) -> None:
    await bazaar.offer(8)
    await bazaar.request()
    asked = await ask(bazaar)
    work = asyncio.create_task(run_next_clearing(worker_database, clock))
    killed = False
    while not killed and not work.done():
        for child in psutil.Process().children():
            if "app.matching.solver_process" in " ".join(child.cmdline()):
                child.kill()
                killed = True
        await asyncio.sleep(0.02)
    assert killed
    assert await work
    body = (await bazaar.desk.client.get(f"/v1/clearings/{asked['id']}")).json()
    assert (body["state"], body["error"]["code"]) == ("failed", "solver_died")
    assert await reservations(bazaar) == []
    assert (await clear())["result"]["reserved"] == 1


async def test_memory_and_wall_time_end_the_solver() -> None:
    job = json.dumps({"instance": {}, "config": {}}).encode()
    with pytest.raises(RunEndedError, match="memory_limit"):
        await solve_in_process(job, wall_seconds=60, memory_mib=1, progress=clearing_run.Progress())
    with pytest.raises(RunEndedError, match="time_limit"):
        await solve_in_process(job, wall_seconds=0.01, memory_mib=4096, progress=clearing_run.Progress())


async def test_parties_see_their_own_rows_only(
    bazaar: Bazaar, clear: Run, make_actor: MakeActor, app_database: Database
) -> None:
    rival, stranger = await make_actor("buyer"), await make_actor("buyer")
    await bazaar.offer(8)
    mine = await bazaar.request()
    theirs = await bazaar.request(by=rival)
    large = await bazaar.request(by=rival, cards=64)
    done = await clear()
    [own] = await rows(bazaar, done, by=bazaar.buyer)
    assert own["request_id"] == mine["id"]
    assert own["surplus_fen"] is not None
    sold = await rows(bazaar, done, by=bazaar.supplier)
    assert {row["request_id"] for row in sold} == {mine["id"], theirs["id"]}
    assert {row["surplus_fen"] for row in sold} == {None}
    assert await rows(bazaar, done, "unmatched", by=bazaar.supplier) == []
    assert [row["request_id"] for row in await rows(bazaar, done, "unmatched", by=rival)] == [large["id"]]
    seen = (await bazaar.buyer.client.get(f"/v1/clearings/{done['id']}")).json()
    assert [seen[name] for name in ("options", "result", "progress", "requested_by")] == [None] * 4
    for path in ("", "/matches", "/unmatched"):
        assert (await stranger.client.get(f"/v1/clearings/{done['id']}{path}")).status_code == 404
    assert (await stranger.client.get("/v1/clearings")).json()["data"] == []
    assert len((await bazaar.buyer.client.get("/v1/clearings")).json()["data"]) == 1
    for path in ("certificate", "events", f"compare/{done['id']}"):
        assert (await bazaar.buyer.client.get(f"/v1/clearings/{done['id']}/{path}")).status_code == 403
    # The second wall: what PostgreSQL itself shows, whatever the repository asks.
    async with app_database.read(Scope("member", rival.org_id)) as session:
        shown = list(await session.scalars(select(ClearingRow.request_id)))
    assert len(shown) == 2


async def test_a_live_block_is_not_cleared_again(bazaar: Bazaar, clear: Run, clock: Clock) -> None:
    await bazaar.offer(8)
    request = await bazaar.request(blocks=2, min_blocks=2)
    quote = await bazaar.quote(request_id=request["id"], blocks=2)
    booked = (await bazaar.try_book(quote)).json()["data"]
    again = await clear()
    assert again["result"]["matches"] == 0
    assert len(booked) == 2
    clock.now += timedelta(minutes=1)
    assert (await bazaar.read_request(request["id"]))["state"] == "matched"
