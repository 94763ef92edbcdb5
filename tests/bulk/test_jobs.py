import asyncio

import pytest
from sqlalchemy import func, select, text

from app.bulk import service
from app.bulk.service import run_next_job
from app.catalog.models import Offer
from app.kit.db import SYSTEM
from tests.bulk.conftest import OFFER, market

pytestmark = pytest.mark.anyio


async def queue(actor, files, **fields):
    parts = [("files", (name, content)) for name, content in files.items()]
    return await actor.client.post("/v1/imports", files=parts, data=fields)


async def offers(context) -> int:
    async with context.database.read(SYSTEM) as session:
        return await session.scalar(select(func.count()).select_from(Offer)) or 0


async def test_a_job_waits_runs_and_ends(desk, worker_database, clock) -> None:
    assert not await run_next_job(worker_database, clock)
    sent = await queue(desk, market())
    assert sent.headers["retry-after"] == "1"
    waiting = await desk.client.get(sent.headers["location"])
    assert waiting.headers["retry-after"] == "1"
    assert (waiting.json()["state"], waiting.json()["result"], waiting.json()["error"]) == ("queued", None, None)
    assert await run_next_job(worker_database, clock)
    done = await desk.client.get(sent.headers["location"])
    assert "retry-after" not in done.headers
    assert done.json()["progress"] == {"phase": "writing", "done": 5, "total": 5}
    assert done.json()["finished_at"] == "2026-12-01T00:30:00Z"
    listed = (await desk.client.get("/v1/imports")).json()["data"]
    assert [(one["id"], one["state"], one["files"]) for one in listed] == [
        (done.json()["id"], "succeeded", sorted(market()))
    ]


async def test_a_cancelled_job_never_runs(desk, worker_database, clock, context) -> None:
    url = (await queue(desk, market())).headers["location"]
    for _ in range(2):
        cancelled = await desk.client.post(f"{url}/cancel")
        assert cancelled.json()["state"] == "cancelled"
        assert cancelled.json()["error"]["code"] == "cancelled"
    assert not await run_next_job(worker_database, clock)
    assert await offers(context) == 0


async def test_an_ended_job_can_t_be_cancelled(desk, send_import) -> None:
    made = await send_import(desk, market())
    answer = await desk.client.post(f"/v1/imports/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")


async def test_a_running_job_stops_when_it_is_cancelled(desk, worker_database, clock, context, monkeypatch) -> None:
    """Cancelled between the comparison and the write: the last statement finds that the job is no longer its own."""
    url = (await queue(desk, market())).headers["location"]
    compare = service.run_import.__globals__["make_plan"]

    def cancel_then_compare(*arguments, **options):
        asyncio.run_coroutine_threadsafe(desk.client.post(f"{url}/cancel"), loop).result(10)
        return compare(*arguments, **options)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("app.bulk.importing.make_plan", cancel_then_compare)
    assert await run_next_job(worker_database, clock)
    assert (await desk.client.get(url)).json()["state"] == "cancelled"
    assert await offers(context) == 0


async def test_a_lapsed_lease_is_taken_again_and_the_late_runner_writes_nothing(
    desk, worker_database, clock, context, monkeypatch
) -> None:
    url = (await queue(desk, market())).headers["location"]
    compare = service.run_import.__globals__["make_plan"]
    taken: list[bool] = []

    async def other_runner() -> None:
        clock.advance(seconds=31)
        async with worker_database.write(SYSTEM) as session:
            job = await service.repository.claim_job(session, clock(), service.LEASE)
            taken.append(job is not None and job.attempt == 2)

    def lapse_then_compare(*arguments, **options):
        asyncio.run_coroutine_threadsafe(other_runner(), loop).result(10)
        return compare(*arguments, **options)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(service, "BEAT_SECONDS", 60)
    monkeypatch.setattr("app.bulk.importing.make_plan", lapse_then_compare)
    assert await run_next_job(worker_database, clock)
    assert taken == [True]
    assert (await desk.client.get(url)).json()["state"] == "running"
    assert await offers(context) == 0
    monkeypatch.setattr("app.bulk.importing.make_plan", compare)
    clock.advance(seconds=31)
    assert await run_next_job(worker_database, clock)
    assert (await desk.client.get(url)).json()["state"] == "succeeded"
    assert await offers(context) == 1


async def test_after_three_attempts_it_gives_up(desk, worker_database, clock, context) -> None:
    url = (await queue(desk, market())).headers["location"]
    for _ in range(3):
        async with worker_database.write(SYSTEM) as session:
            assert await service.repository.claim_job(session, clock(), service.LEASE)
        clock.advance(seconds=31)
    assert await run_next_job(worker_database, clock)
    failed = (await desk.client.get(url)).json()
    assert (failed["state"], failed["error"]["code"]) == ("failed", "gave_up")
    assert await offers(context) == 0


async def test_the_lease_is_renewed_and_progress_shown_while_it_runs(desk, worker_database, clock, monkeypatch) -> None:
    url = (await queue(desk, market())).headers["location"]
    compare = service.run_import.__globals__["make_plan"]
    seen: list[dict[str, object]] = []

    def wait_then_compare(*arguments, **options):
        async def look() -> None:
            await asyncio.sleep(0.3)
            seen.append((await desk.client.get(url)).json()["progress"])

        asyncio.run_coroutine_threadsafe(look(), loop).result(10)
        return compare(*arguments, **options)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(service, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr("app.bulk.importing.make_plan", wait_then_compare)
    assert await run_next_job(worker_database, clock)
    assert seen == [{"phase": "checking", "done": 0, "total": 5}]


async def test_a_failure_of_ours_ends_the_job(desk, worker_database, clock, context, monkeypatch) -> None:
    url = (await queue(desk, market())).headers["location"]

    def fail(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("app.bulk.importing.make_plan", fail)
    assert await run_next_job(worker_database, clock)
    assert (await desk.client.get(url)).json()["error"]["code"] == "internal_error"
    assert await offers(context) == 0


async def test_a_reference_taken_meanwhile_is_compared_again(
    desk, worker_database, clock, context, monkeypatch
) -> None:
    url = (await queue(desk, market())).headers["location"]
    compare = service.run_import.__globals__["make_plan"]
    calls: list[int] = []

    def race(*arguments, **options):
        plan = compare(*arguments, **options)
        calls.append(1)
        if len(calls) == 1:
            asyncio.run_coroutine_threadsafe(taken(), loop).result(10)
        return plan

    async def taken() -> None:
        answer = await desk.client.post("/v1/organisations", json={"name": "b1", "roles": ["buyer"], "ref": "b1"})
        assert answer.status_code == 201

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("app.bulk.importing.make_plan", race)
    assert await run_next_job(worker_database, clock)
    failed = (await desk.client.get(url)).json()
    assert len(calls) == 2
    assert {bad["code"] for bad in failed["error"]["bad_rows"]} == {"organisation_not_approved"}
    assert await offers(context) == 0


async def test_a_suspended_sender_s_job_is_refused(make_actor, desk, send_import, worker_database, clock) -> None:
    await send_import(desk, market())
    mine = await make_actor("supplier", ref="s2")
    content = market(offers=[OFFER.replace("o1,s1", "o2,s2")])["offers.csv"]
    url = (await queue(mine, {"offers.csv": content})).headers["location"]
    async with worker_database.write(SYSTEM) as session:
        await session.execute(text("UPDATE organisation SET state = 'suspended' WHERE id = :id"), {"id": mine.org_id})
    assert await run_next_job(worker_database, clock)
    assert (await desk.client.get(url)).json()["error"]["code"] == "caller_not_approved"


async def test_a_repeated_key_makes_one_job(desk) -> None:
    parts = [("files", (name, content)) for name, content in market().items()]
    headers = {"Idempotency-Key": "once"}
    first = await desk.client.post("/v1/imports", files=parts, headers=headers)
    again = await desk.client.post("/v1/imports", files=parts, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    other = await desk.client.post("/v1/imports", files=parts[:1], headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_jobs_are_seen_by_their_owner_and_the_desk_only(desk, supplier, buyer, auditor, send_export) -> None:
    export = await send_export(supplier, format="csv", what=["offers"])
    url, file = f"/v1/exports/{export['id']}", export["result"]["files"][0]["url"]
    for actor, status in ((supplier, 200), (desk, 200), (auditor, 200), (buyer, 404)):
        assert (await actor.client.get(url)).status_code == status
        assert (await actor.client.get(file)).status_code == status
    assert (await buyer.client.post(f"{url}/cancel")).status_code == 404
    assert (await buyer.client.get("/v1/exports")).json()["data"] == []
    assert len((await auditor.client.get("/v1/exports")).json()["data"]) == 1
    assert (await auditor.client.post("/v1/imports", files=[("files", ("offers.csv", b""))])).status_code == 403
    assert (await send_export(auditor, format="jsonl", what=["buyers", "requests"]))["state"] == "succeeded"
