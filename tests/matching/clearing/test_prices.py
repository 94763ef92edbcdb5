"""A clearing's prices and budgets over the API: what they say, who sees which, and bad input named."""

from typing import Any

import pytest

from app.kit.db import Database
from app.matching.clearing_run import run_next_clearing
from tests.bazaar import Bazaar, refusal
from tests.conftest import Clock
from tests.matching.clearing.conftest import Run, ask, make_eligible, open_example, rows

pytestmark = pytest.mark.anyio
MICRO = 1_000_000


async def prices(bazaar: Bazaar, clearing: Any, by: Any = None, **query: Any) -> list[Any]:
    answer = await (by or bazaar.desk).client.get(
        f"/v1/clearings/{clearing['id']}/prices", params={"limit": 100} | query
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_scarce_hours_have_a_price_and_others_none(bazaar: Bazaar, clear: Run) -> None:
    offer = await bazaar.offer(4, end=30, list_price_fen=1600)
    for most in (1500, 1400, 1300):
        await bazaar.request(cards=4, hours=12, max_net_price_fen=most, deadline=bazaar.at(30))
    done = await clear(mode="dry_run")
    found = await prices(bazaar, done)
    certificate = (await bazaar.desk.client.get(f"/v1/clearings/{done['id']}/certificate")).json()
    duals = [run for row in certificate["duals"]["capacity"] for run in row["runs"]]
    # One offer, so the class's prices are its own.
    assert sum(hours * price for _, hours, price in duals) == sum(
        run["hours"] * run["price_micro"] for day in found for run in day["runs"]
    )
    assert any(run["price_micro"] for day in found for run in day["runs"])
    assert {day["unit"] for day in found} == {"weighted_fen"}
    assert [day["starts_at"] for day in found] == sorted(day["starts_at"] for day in found)
    name = found[0]["chip_class"]
    assert await prices(bazaar, done, chip=name) == found
    assert await prices(bazaar, done, chip=offer["chip_model"]) == found
    some = await prices(bazaar, done, **{"from": bazaar.at(2), "to": bazaar.at(5)})
    assert sum(run["hours"] for day in some for run in day["runs"]) == 3


async def test_pages(bazaar: Bazaar, clear: Run) -> None:
    await bazaar.offer(4, end=100)
    await bazaar.request()
    done = await clear(mode="dry_run")
    whole = await prices(bazaar, done)
    assert len(whole) > 3
    path = f"/v1/clearings/{done['id']}/prices"
    got: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await bazaar.desk.client.get(path, params=query)).json()
        got += page["data"]
        if not page["has_more"]:
            break
        query["after"] = page["next_cursor"]
    assert got == whole
    back = (await bazaar.desk.client.get(path, params={"limit": 2, "before": page["previous_cursor"]})).json()
    assert back["data"] == whole[: len(whole) - len(page["data"])][-2:]
    refused = await bazaar.desk.client.get(path, params={"after": "nonsense"})
    assert refusal(refused) == (422, "bad_cursor")


async def test_budgets_have_shadow_prices_and_parties_see_the_pool_alone(
    bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run
) -> None:
    await open_example(worker_database, clock, pool_fen=300_000)
    await make_eligible(bazaar)
    await bazaar.offer(16, price_fen=2000, list_price_fen=4000)
    for _ in range(2):
        await bazaar.request(cards=8, hours=48, max_net_price_fen=1500)
    done = await clear()
    found = await rows(bazaar, done, "budgets")
    assert {row["budget"].split("/")[1] for row in found} == {"pool", "buyer"}
    [pool] = [row for row in found if "/pool/" in row["budget"]]
    assert pool["limit_fen"] == 300_000
    assert pool["used_fen"] == sum(row["subsidy_fen"] for row in await rows(bazaar, done))
    assert max(row["shadow_price_micro"] for row in found) >= 0
    for party in (bazaar.buyer, bazaar.supplier):
        assert [row["budget"] for row in await rows(bazaar, done, "budgets", party)] == [pool["budget"]]


async def test_a_price_that_could_be_one_buyers_limit_is_the_desks_alone(bazaar: Bazaar, clear: Run) -> None:
    await bazaar.offer(4, end=30)
    for _ in range(3):
        await bazaar.request(cards=4, hours=12, deadline=bazaar.at(30))
    done = await clear()
    assert await prices(bazaar, done)
    assert await prices(bazaar, done, bazaar.buyer) == []
    assert await prices(bazaar, done, bazaar.supplier) == []


async def test_a_dry_runs_prices_are_not_for_the_parties(bazaar: Bazaar, clear: Run) -> None:
    await bazaar.offer(4)
    await bazaar.request()
    done = await clear(mode="dry_run")
    for part in ("prices", "budgets"):
        answer = await bazaar.buyer.client.get(f"/v1/clearings/{done['id']}/{part}")
        assert refusal(answer) == (404, "not_found")


async def test_bad_input_is_named(bazaar: Bazaar, worker_database: Database, clock: Clock, clear: Run) -> None:
    await bazaar.offer(4)
    await bazaar.request()
    done = await clear(mode="dry_run")
    for query, code in (
        ({"chip": "No Such"}, "unknown_chip_on_offer"),
        ({"from": bazaar.at(5), "to": bazaar.at(5)}, "to_before_from"),
        ({"from": "2026-12-01T00:30:00Z"}, "not_whole_hour"),
        ({"colour": "red"}, "colour"),
    ):
        answer = await bazaar.desk.client.get(f"/v1/clearings/{done['id']}/prices", params=query)
        assert answer.status_code == 422, answer.text
        assert code in answer.text, answer.text
    waiting = await ask(bazaar, mode="dry_run")
    answer = await bazaar.desk.client.get(f"/v1/clearings/{waiting['id']}/prices")
    assert refusal(answer) == (409, "no_outcome")
    assert await run_next_clearing(worker_database, clock)
