"""Many buyers book quotes at once and fight over the last fen of a pool: exactly the pool is spent."""

import asyncio
from dataclasses import dataclass, field

import pytest
from sqlalchemy.engine import URL

from app.kit.db import Database
from app.verification.service import verify
from tests.bazaar import Bazaar, refusal
from tests.conftest import Actor, Clock, MakeActor
from tests.grants import Grants

from .conftest import ROUNDS

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]
BUYERS = 16
POOL = 100_001
COST = 8_500  # 1 card × 10 hours × 850: half of it is a voucher


@dataclass
class Fight:
    bazaar: Bazaar
    given: list[int] = field(default_factory=list[int])
    refused: int = 0

    async def book_while_there_is_some(self, buyer: Actor) -> None:
        """Quote and book until a quote has no subsidy; what a rival took meanwhile is quoted anew."""
        while True:
            quote = await self.bazaar.quote(buyer, need=self.bazaar.need(cards=1, hours=10))
            wanted = quote["options"][0]["placements"][0]["subsidy_fen"]
            if wanted == 0:
                return
            booked = await self.bazaar.try_book(quote, by=buyer)
            if booked.status_code == 201:
                assert [row["subsidy_fen"] for row in booked.json()["data"]] == [wanted]
                self.given.append(wanted)
            else:
                assert refusal(booked) == (409, "funds_exhausted")
                self.refused += 1


@pytest.mark.parametrize("turn", range(max(1, ROUNDS // 6)))
async def test_exactly_the_pool_is_spent(
    turn: int,
    desk: Actor,
    supplier: Actor,
    buyer: Actor,
    make_actor: MakeActor,
    clock: Clock,
    app_database: Database,
    worker_database: Database,
    database_url: URL,
) -> None:
    bazaar = await Bazaar(desk, supplier, buyer, clock, app_database, worker_database).open()
    grants = await Grants(app_database).open(pool_fen=POOL + turn, buyer_year_fen=None)
    await bazaar.offer(64)
    buyers = [buyer, *[await make_actor("buyer") for _ in range(BUYERS - 1)]]
    for each in buyers:
        org = (await each.client.get("/v1/me")).json()["organisation"]["id"]
        fact = {"key": "integrity", "value": "clean", "valid_from": "2026-01-01"}
        assert (await desk.client.post(f"/v1/organisations/{org}/facts", json=fact)).status_code == 201
    fight = Fight(bazaar)
    await asyncio.gather(*(fight.book_while_there_is_some(each) for each in buyers))
    assert sum(fight.given) == POOL + turn
    assert fight.refused > 0
    assert max(fight.given) == COST // 2
    left = await grants.left(*(each.org_id for each in buyers))
    assert left.pool_fen == 0
    auditor = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    assert [finding.told for finding in await verify(auditor) if not finding.holds] == []
    await auditor.dispose()
