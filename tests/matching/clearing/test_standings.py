"""What the rules tell apart, from the database to the reservations: origin, the year's contracts, affiliation, term."""

from datetime import timedelta
from typing import Any

import pytest

from app.kit.db import SYSTEM, Database
from app.vouchers import service as vouchers
from tests.bazaar import Bazaar
from tests.conftest import Actor, Clock
from tests.matching.clearing.conftest import Run, rows

pytestmark = pytest.mark.anyio
OPENED = ("hangzhou-2025", "national-smart")


async def organisation(actor: Actor) -> str:
    return (await actor.client.get("/v1/me")).json()["organisation"]["id"]


async def state(bazaar: Bazaar, actor: Actor, key: str, value: Any) -> None:
    body = {"key": key, "value": value, "valid_from": "2020-01-01"}
    made = await bazaar.desk.client.post(f"/v1/organisations/{await organisation(actor)}/facts", json=body)
    assert made.status_code == 201, made.text


async def opened(bazaar: Bazaar, database: Database, clock: Clock, *programmes: str) -> Bazaar:
    async with database.write(SYSTEM) as session:
        await vouchers.store_shipped_programmes(session, clock() - timedelta(days=1))
        for programme in programmes:
            await vouchers.open_programme(session, programme, 2026, pool_fen=None, buyer_year_fen=None, now=clock())
    await state(bazaar, bazaar.supplier, "partner", True)
    for key, value in (("kind", "sme"), ("integrity", "clean")):
        await state(bazaar, bazaar.buyer, key, value)
    return bazaar


async def amounts(bazaar: Bazaar, **need: Any) -> dict[str, int]:
    """The subsidies of the best option for a need, by programme."""
    quote = await bazaar.quote(need=bazaar.need(**need))
    return {each["programme"]: each["amount_fen"] for each in quote["options"][0]["placements"][0]["subsidies"]}


async def test_domestic_chips_and_the_years_contracts(bazaar: Bazaar, worker_database: Database, clock: Clock) -> None:
    """By hand: 4 cards x 10 h x 5 000 CNY = 200 000 CNY."""
    await opened(bazaar, worker_database, clock, *OPENED)
    await bazaar.offer(8, price_fen=500_000, list_price_fen=500_000, chip_model="X910")
    await bazaar.offer(8, price_fen=500_000, list_price_fen=500_000)
    dear = {"max_net_price_fen": 500_000}
    # An SME below 500 000 a year: 50 %; the national 15 points on domestic chips are held to 10 by the 60 % in all.
    both = {"hangzhou-2025": 10_000_000, "national-smart": 2_000_000}
    assert await amounts(bazaar, chips="X910", **dear) == both
    assert await amounts(bazaar, chips="A100 80G", **dear) == {"hangzhou-2025": 10_000_000}
    # Three blocks are 600 000, above the threshold: 30 + 15 %, and 20 + 10 %.
    large = {"hangzhou-2025": 6_000_000, "national-smart": 3_000_000}
    assert await amounts(bazaar, chips="X910", blocks=3, **dear) == large
    small = {"hangzhou-2025": 4_000_000, "national-smart": 2_000_000}
    assert await amounts(bazaar, chips="A100 80G", blocks=3, **dear) == small
    # Two booked are 400 000 on record; a third comes to 600 000.
    for _ in range(2):
        [reservation] = await bazaar.book(chips="X910", **dear)
        assert reservation["subsidy_fen"] == 12_000_000
    assert await amounts(bazaar, chips="X910", **dear) == large


async def test_a_clearing_takes_the_rates_of_origin_and_size(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run
) -> None:
    await opened(bazaar, worker_database, clock, *OPENED)
    await bazaar.offer(8, price_fen=500_000, list_price_fen=800_000, chip_model="X910")
    await bazaar.request(chips="X910", max_net_price_fen=500_000)
    await bazaar.request(chips="X910", max_net_price_fen=500_000, blocks=3)
    done = await clear(mode="apply")
    matches = await rows(bazaar, done, "matches")
    given = sorted(tuple((each["programme"], each["amount_fen"]) for each in match["subsidies"]) for match in matches)
    # One of 200 000 below the threshold, three of a request of 600 000 above it.
    assert given == [
        *[(("hangzhou-2025", 6_000_000), ("national-smart", 3_000_000))] * 3,
        (("hangzhou-2025", 10_000_000), ("national-smart", 2_000_000)),
    ]
    assert all(match["lost"] is None for match in matches)


async def test_affiliation_and_term_bar_what_they_bar_alone(
    bazaar: Bazaar, worker_database: Database, clock: Clock, make_actor: Any
) -> None:
    await opened(bazaar, worker_database, clock, "suzhou-example")
    await bazaar.offer(8, price_fen=850, end=9_000)
    other = await make_actor("supplier")
    await state(bazaar, other, "partner", True)
    wanted = {"max_net_price_fen": 2_000, "deadline": bazaar.at(9_000)}
    # 340.00 CNY: 50 % of a small contract would be 170.00, below the least voucher; 40 h cost 1 360.00 and earn 680.00.
    assert await amounts(bazaar, hours=10, **wanted) == {}
    assert await amounts(bazaar, hours=40, **wanted) == {"suzhou-example": 68_000}
    # 366 days are 8 784 h.
    assert await amounts(bazaar, cards=1, hours=8_784, **wanted) == {"suzhou-example": 3_733_200}
    assert await amounts(bazaar, cards=1, hours=8_785, **wanted) == {}
    body = {
        "org_id": await organisation(bazaar.buyer),
        "other_org_id": await organisation(bazaar.supplier),
        "valid_from": "2026-01-01",
        "evidence": "register",
    }
    assert (await bazaar.desk.client.post("/v1/affiliations", json=body)).status_code == 201
    assert await amounts(bazaar, hours=40, **wanted) == {}
