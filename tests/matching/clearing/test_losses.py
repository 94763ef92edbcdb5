"""What the present has overtaken between a clearing's snapshot and its application is a loser with its reason."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.matching import clearing_run
from app.matching.clearing_errors import Loss
from app.matching.clearing_run import run_next_clearing
from app.matching.core.config import SolverConfig
from app.matching.core.solve import solve
from app.verification.service import verify
from tests.bazaar import Bazaar, keyed
from tests.conftest import Actor, Clock, MakeActor
from tests.grants import PROGRAMME, Grants
from tests.matching.clearing.conftest import ask, claimed, rows, snapshot_of

pytestmark = pytest.mark.anyio
PLAIN: dict[str, Any] = {"chips": "A100 80G", "max_net_price_fen": 900}
HELPED: dict[str, Any] = {"chips": "X910", "max_net_price_fen": 500}


@dataclass
class Late:
    """A market with a match without a voucher and one with, cleared and not applied yet."""

    bazaar: Bazaar
    worker: Database
    clock: Clock
    other: Actor
    rival: Actor
    admin: str
    plain: Any
    helped: Any
    offers: list[Any]

    async def state(self, actor: Actor, key: str, value: Any, valid_from: str = "2026-01-01") -> None:
        org = (await actor.client.get("/v1/me")).json()["organisation"]["id"]
        body = {"key": key, "value": value, "valid_from": valid_from}
        made = await self.bazaar.desk.client.post(f"/v1/organisations/{org}/facts", json=body)
        assert made.status_code == 201, made.text

    async def sql(self, statement: str) -> None:
        """As the superuser and past the guards: what no caller can do, and an operator might."""
        connection = await asyncpg.connect(self.admin)
        try:
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(statement)
        finally:
            await connection.close()

    async def change(self, path: str, by: Actor, body: Any = None) -> None:
        """PATCH, or POST without a body, with the present ETag."""
        own = path.removesuffix("/withdraw")
        etag = (await by.client.get(own)).headers["etag"]
        method = "PATCH" if body else "POST"
        done = await by.client.request(method, path, json=body, headers=keyed(**{"If-Match": etag}))
        assert done.status_code == 200, done.text

    async def lost(self, happens: Callable[["Late"], Awaitable[None]]) -> dict[str, str]:
        """Clear, let something happen, apply; return the losers' codes by what they are."""
        asked = await ask(self.bazaar)
        run = await claimed(self.worker, self.clock)
        snapshot = await snapshot_of(self.worker, self.clock)
        outcome = solve(snapshot.instance, SolverConfig(work_limit=5))
        assert len(outcome.matches) == 2
        await happens(self)
        assert await clearing_run.finish(self.worker, run, snapshot, outcome, (b"", b""), self.clock())
        answer = await self.bazaar.desk.client.get(f"/v1/clearings/{asked['id']}", headers={"Accept-Language": "zh-CN"})
        done = answer.json()
        names = {self.plain["id"]: "plain", self.helped["id"]: "helped"}
        losers = done["result"]["losers"]
        assert done["state"] == "succeeded"
        assert done["result"]["reserved"] == 2 - len(losers)
        matches = {row["position"]: row for row in await rows(self.bazaar, done)}
        for loser in losers:
            assert matches[loser["position"]]["lost"] == loser["code"]
            assert matches[loser["position"]]["reservation_id"] is None
            assert loser["detail"]
            assert loser["detail"].isascii() is False
        return {names[loser["request_id"]]: loser["code"] for loser in losers}


@pytest.fixture
async def late(
    bazaar: Bazaar, worker_database: Database, clock: Clock, make_actor: MakeActor, database_url: URL
) -> Late:
    await Grants(worker_database).open(pool_fen=30_000, buyer_year_fen=None)
    other, rival = await make_actor("buyer"), await make_actor("buyer")
    offers = [await bazaar.offer(4, chip_model=chip, end=1000) for chip in ("A100 80G", "X910")]
    # Both start in the new year, so that the year can turn before they do.
    window: dict[str, Any] = {"earliest_start": bazaar.at(800), "deadline": bazaar.at(830)}
    plain = await bazaar.request(by=other, **PLAIN, **window)
    helped = await bazaar.request(**HELPED, **window)
    admin = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    late = Late(bazaar, worker_database, clock, other, rival, admin, plain, helped, offers)
    for buyer in (bazaar.buyer, rival):
        await late.state(buyer, "integrity", "clean")
    return late


async def nothing(late: Late) -> None:
    """Time passes."""


async def cards_booked(late: Late) -> None:
    need = late.bazaar.need(
        chips="A100 80G", earliest_start=late.bazaar.at(790), deadline=late.bazaar.at(840), hours=50
    )
    quote = await late.bazaar.quote(late.other, need=need)
    assert (await late.bazaar.try_book(quote, by=late.other)).status_code == 201


async def block_booked(late: Late) -> None:
    quote = await late.bazaar.quote(late.other, request_id=late.plain["id"])
    assert (await late.bazaar.try_book(quote, by=late.other)).status_code == 201


async def request_edited(late: Late) -> None:
    await late.change(f"/v1/requests/{late.plain['id']}", late.other, {"deadline": late.bazaar.at(829)})


async def request_withdrawn(late: Late) -> None:
    await late.change(f"/v1/requests/{late.plain['id']}/withdraw", late.other)


async def offer_edited(late: Late) -> None:
    await late.change(f"/v1/offers/{late.offers[0]['id']}", late.bazaar.supplier, {"price_fen": 849})


async def offer_withdrawn(late: Late) -> None:
    await late.change(f"/v1/offers/{late.offers[1]['id']}/withdraw", late.bazaar.supplier)


async def pool_spent(late: Late) -> None:
    """A rival's booking takes 17 000 of the 30 000 fen, elsewhere."""
    need = late.bazaar.need(chips="X910", earliest_start=late.bazaar.at(0), deadline=late.bazaar.at(700))
    quote = await late.bazaar.quote(late.rival, need=need)
    [held] = (await late.bazaar.try_book(quote, by=late.rival)).json()["data"]
    assert held["subsidy_fen"] == 17_000


async def record_flagged(late: Late) -> None:
    await late.state(late.bazaar.buyer, "integrity", "flagged", "2026-11-30")


async def programme_closed(late: Late) -> None:
    await late.sql(f"DELETE FROM programme_year WHERE programme_id = '{PROGRAMME}'")


async def programme_changed(late: Late) -> None:
    await late.sql(
        "INSERT INTO programme_version SELECT programme_id, 2, toml, sha256, state, created_at FROM programme_version;"
        f"UPDATE programme_year SET programme_version = 2 WHERE programme_id = '{PROGRAMME}'"
    )


async def year_turned(late: Late) -> None:
    late.clock.now = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)


async def starts_came(late: Late) -> None:
    late.clock.now = datetime.fromisoformat(late.bazaar.at(801))


BOTH = {"plain", "helped"}


@pytest.mark.parametrize(
    ("happens", "who", "code"),
    [
        (nothing, set[str](), None),
        (cards_booked, {"plain"}, Loss.CAPACITY_TAKEN),
        (block_booked, {"plain"}, Loss.BLOCK_TAKEN),
        (request_edited, {"plain"}, Loss.REQUEST_CHANGED),
        (request_withdrawn, {"plain"}, Loss.REQUEST_CHANGED),
        (offer_edited, {"plain"}, Loss.OFFER_CHANGED),
        (offer_withdrawn, {"helped"}, Loss.OFFER_CHANGED),
        (pool_spent, {"helped"}, Loss.BUDGET_EXHAUSTED),
        (record_flagged, {"helped"}, Loss.NOT_ELIGIBLE),
        (programme_closed, {"helped"}, Loss.PROGRAMME_CLOSED),
        (programme_changed, {"helped"}, Loss.PROGRAMME_CHANGED),
        (year_turned, {"helped"}, Loss.YEAR_OVER),
        (starts_came, BOTH, Loss.START_PASSED),
    ],
)
async def test_what_happened_meanwhile_is_told_by_name(
    late: Late,
    app_database: Database,
    happens: Callable[[Late], Awaitable[None]],
    who: set[str],
    code: Loss | None,
) -> None:
    assert await late.lost(happens) == dict.fromkeys(who, code.value if code else None)
    findings = await verify(app_database)
    # (The clearing's own file is not there to be verified.)
    assert [each.told for each in findings if not each.holds and each.name != "clearings"] == []


async def test_bookings_and_a_clearing_share_the_market(
    late: Late, clock: Clock, worker_database: Database, app_database: Database
) -> None:
    """Rivals book while the worker clears: nothing is sold or given twice, and whoever comes second is told why."""
    bazaar = late.bazaar
    for _ in range(6):
        await bazaar.request(by=late.rival, cards=2, hours=20, blocks=3)
    asked = await ask(bazaar, work_limit=1)
    work = asyncio.create_task(run_next_clearing(worker_database, clock))
    answers: list[tuple[int, str]] = []
    while not work.done():
        quote = await bazaar.quote(late.other, need=bazaar.need(cards=1, hours=5))
        if quote["options"]:
            booked = await bazaar.try_book(quote, by=late.other)
            answers.append((booked.status_code, booked.json().get("code", "")))
        await asyncio.sleep(0.2)
    assert await work
    done = (await bazaar.desk.client.get(f"/v1/clearings/{asked['id']}")).json()
    assert done["state"] == "succeeded", done["error"]
    assert (201, "") in answers
    assert {code for status, code in answers if status != 201} <= {"capacity_taken", "funds_exhausted"}
    losers = done["result"]["losers"]
    assert losers
    assert {loser["code"] for loser in losers} <= {"capacity_taken", "min_blocks", "budget_exhausted"}
    assert done["result"]["reserved"] == done["result"]["matches"] - len(losers)
    assert [finding.told for finding in await verify(app_database) if not finding.holds] == []
