"""Quotes and bookings net of vouchers: what is quoted is what is earmarked, to the fen, or nothing is booked."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from app.kit.db import SYSTEM, Database
from app.matching.clearing_run import run_next_clearing
from app.verification.service import verify
from app.vouchers import service as vouchers
from app.vouchers.models import Voucher
from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import Actor, Clock, MakeActor
from tests.grants import PROGRAMME, Grants

pytestmark = pytest.mark.anyio
COST = 34_000  # 4 cards × 10 hours × 850


@dataclass
class Fair:
    """A bazaar with a programme that is open: half of a contract, 300 CNY a buyer and 1 000 CNY in all."""

    bazaar: Bazaar
    grants: Grants

    async def state(self, actor: Actor, key: str, value: Any, valid_from: str = "2026-01-01") -> None:
        """Put a fact on record, verified by the desk."""
        org = (await actor.client.get("/v1/me")).json()["organisation"]["id"]
        body = {"key": key, "value": value, "valid_from": valid_from}
        made = await self.bazaar.desk.client.post(f"/v1/organisations/{org}/facts", json=body)
        assert made.status_code == 201, made.text

    async def left(self, buyer: Actor | None = None) -> tuple[int | None, int | None]:
        """What is left of the pool and of the buyer's cap."""
        org_id = (buyer or self.bazaar.buyer).org_id
        budgets = await self.grants.left(org_id)
        return (budgets.pool_fen, budgets.buyer_fen[org_id])

    async def subsidies(self, by: Actor | None = None, **need: Any) -> list[list[int]]:
        """What each option of a quote takes off each block."""
        quote = await self.bazaar.quote(by, need=self.bazaar.need(**need))
        return [[place["subsidy_fen"] for place in option["placements"]] for option in quote["options"]]

    async def clean(self, actor: Actor) -> Actor:
        await self.state(actor, "integrity", "clean")
        return actor


@pytest.fixture
async def fair(bazaar: Bazaar, app_database: Database) -> Fair:
    fair = Fair(bazaar, await Grants(app_database).open())
    await fair.clean(bazaar.buyer)
    return fair


@pytest.fixture(autouse=True)
async def everything_holds_afterwards(database_url: URL, app_database: Database):
    yield
    database = Database(database_url.set(username="cardhour_auditor"), role="cardhour_auditor", pool_size=1)
    findings = await verify(database)
    await database.dispose()
    assert [finding.told for finding in findings if not finding.holds] == []


async def test_a_quote_is_net_and_its_booking_earmarks_what_it_said(fair: Fair) -> None:
    bazaar = fair.bazaar
    await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    place = quote["options"][0]["placements"][0]
    assert (place["cost_fen"], place["subsidy_fen"], place["net_fen"]) == (COST, 17_000, 17_000)
    assert place["subsidies"] == [
        {"programme": PROGRAMME, "programme_version": 1, "tier": "general", "year": 2026, "amount_fen": 17_000}
    ]
    assert quote["options"][0]["net_fen"] == 17_000
    assert await fair.left() == (100_000, 30_000)
    [held] = await bazaar.book(quote)
    assert [held[name] for name in ("cost_fen", "subsidy_fen", "net_fen")] == [COST, 17_000, 17_000]
    assert await fair.left() == (83_000, 13_000)
    [voucher] = (await bazaar.buyer.client.get("/v1/vouchers", params={"reservation_id": held["id"]})).json()["data"]
    assert (voucher["state"], voucher["amount_fen"], voucher["tier"]) == ("earmarked", 17_000, "general")
    # The next has what is left of the buyer's cap, and the one after that nothing.
    assert await fair.subsidies() == [[13_000]]
    assert (await bazaar.book())[0]["subsidy_fen"] == 13_000
    again = (await bazaar.quote(need=bazaar.need()))["options"][0]["placements"][0]
    assert (again["subsidies"], again["subsidy_fen"], again["net_fen"]) == ([], 0, COST)
    assert await fair.left() == (70_000, 0)


async def test_options_are_ordered_by_what_the_buyer_pays(fair: Fair, make_actor: MakeActor, clock: Clock) -> None:
    bazaar = fair.bazaar
    async with fair.grants.database.write(SYSTEM) as session:
        await vouchers.store_shipped_programmes(session, clock())
        await vouchers.open_programme(session, "open-example", 2026, pool_fen=None, buyer_year_fen=None, now=clock())
    await fair.state(bazaar.buyer, "integrity", "flagged", "2026-02-01")
    outsider = await make_actor("supplier")
    dear = await bazaar.offer(price_fen=1000)
    cheap = await bazaar.offer(price_fen=800, by=outsider)

    async def offers() -> list[tuple[str, int]]:
        options = (await bazaar.quote(need=bazaar.need()))["options"]
        return [(option["placements"][0]["offer_id"], option["net_fen"]) for option in options]

    assert await offers() == [(cheap["id"], 32_000), (dear["id"], 40_000)]
    await fair.state(bazaar.supplier, "partner", True)
    await fair.state(bazaar.buyer, "integrity", "clean", "2026-03-01")
    # open-example gives half, but to partners alone; made-up asks for none, has less, and they don't stack.
    assert await offers() == [(cheap["id"], 16_000), (dear["id"], 20_000)]
    await bazaar.book()
    await bazaar.book()
    assert await fair.left() == (70_000, 0)
    assert await offers() == [(dear["id"], 20_000), (cheap["id"], 32_000)]


async def test_blocks_of_an_option_share_the_budgets(fair: Fair) -> None:
    bazaar = fair.bazaar
    await bazaar.offer(16)
    assert await fair.subsidies(blocks=3) == [[17_000, 13_000, 0]]
    quote = await bazaar.quote(need=bazaar.need(blocks=3))
    assert quote["options"][0]["net_fen"] == 3 * COST - 30_000
    held = await bazaar.book(quote)
    assert [row["subsidy_fen"] for row in held] == [17_000, 13_000, 0]
    assert await fair.left() == (70_000, 0)


async def test_a_most_is_met_after_subsidy_or_the_quote_says_why_not(fair: Fair) -> None:
    bazaar = fair.bazaar
    await bazaar.offer(16)

    async def reason(**need: Any) -> str | None:
        quote = await bazaar.quote(need=bazaar.need(**need))
        assert (quote["options"] == []) == (quote["reason"] is not None)
        return quote["reason"]["code"] if quote["reason"] else None

    assert await reason(max_net_price_fen=425) is None
    assert await reason(max_net_price_fen=424) == "over_budget"
    assert await reason(max_net_price_fen=425, blocks=2) == "subsidy_exhausted"
    assert await reason(max_net_price_fen=525, blocks=2) is None
    assert await reason(max_net_price_fen=425, blocks=9, cards=16) == "over_budget"
    await bazaar.book(max_net_price_fen=425)
    assert await reason(max_net_price_fen=425) == "subsidy_exhausted"
    assert await reason(max_net_price_fen=525) is None
    request = await bazaar.request(max_net_price_fen=425)
    quote = await bazaar.quote(request_id=request["id"])
    assert (quote["options"], quote["reason"]["code"]) == ([], "subsidy_exhausted")


async def test_only_verified_facts_count_and_the_buyers_own(fair: Fair, make_actor: MakeActor) -> None:
    bazaar = fair.bazaar
    await bazaar.offer()
    other = await make_actor("buyer")
    org = (await other.client.get("/v1/me")).json()["organisation"]["id"]
    stated = await other.client.post(
        f"/v1/organisations/{org}/facts", json={"key": "integrity", "value": "clean", "valid_from": "2026-01-01"}
    )
    assert stated.status_code == 201, stated.text
    assert await fair.subsidies(other) == [[0]]
    quote = await bazaar.quote(bazaar.desk, need=bazaar.need(), buyer_org_id=org)
    assert quote["options"][0]["placements"][0]["subsidies"] == []
    verified = await bazaar.desk.client.post(f"/v1/organisations/{org}/facts/{stated.json()['id']}/verify")
    assert verified.status_code == 200, verified.text
    assert await fair.subsidies(other) == [[17_000]]
    quote = await bazaar.quote(bazaar.desk, need=bazaar.need(), buyer_org_id=org)
    [held] = (await bazaar.try_book(quote, by=bazaar.desk)).json()["data"]
    assert held["subsidy_fen"] == 17_000
    assert (await fair.left(other))[1] == 13_000


async def test_a_budget_spent_since_the_quote_refuses_the_booking(fair: Fair) -> None:
    bazaar = fair.bazaar
    offer = await bazaar.offer()
    request = await bazaar.request()
    first = await bazaar.quote(request_id=request["id"])
    second = await bazaar.quote(need=bazaar.need())
    await bazaar.book(second)
    refused = await bazaar.try_book(first)
    assert refusal(refused) == (409, "funds_exhausted")
    assert await fair.left() == (83_000, 13_000)
    assert await bazaar.free(offer, 2) == 4
    assert (await bazaar.read_request(request["id"]))["state"] == "open"
    again = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    assert again[0]["subsidy_fen"] == 13_000


async def test_a_booking_never_takes_more_than_was_quoted(fair: Fair) -> None:
    bazaar = fair.bazaar
    await bazaar.offer()
    [held] = await bazaar.book()
    quote = await bazaar.quote(need=bazaar.need())
    assert quote["options"][0]["placements"][0]["subsidy_fen"] == 13_000
    await bazaar.turn(bazaar.buyer, held, "cancel", {"reason": "buyer_changed_plans"})
    assert await fair.left() == (100_000, 30_000)
    [held] = await bazaar.book(quote)
    assert (held["subsidy_fen"], held["net_fen"]) == (13_000, COST - 13_000)
    assert await fair.left() == (87_000, 17_000)


async def test_a_fact_that_changed_since_the_quote_refuses_the_booking(fair: Fair) -> None:
    bazaar = fair.bazaar
    await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    await fair.state(bazaar.buyer, "integrity", "flagged", "2026-11-30")
    refused = await bazaar.try_book(quote)
    assert refusal(refused) == (409, "subsidy_changed")
    assert PROGRAMME in refused.json()["detail"]
    assert await fair.left() == (100_000, 30_000)
    assert (await bazaar.book())[0]["subsidy_fen"] == 0


async def test_a_quote_of_one_year_is_not_booked_in_the_next(fair: Fair) -> None:
    bazaar = fair.bazaar
    await fair.grants.open(year=2027)
    await bazaar.offer(end=2000)
    bazaar.clock.now = datetime(2026, 12, 31, 15, 55, tzinfo=UTC)  # 23:55 in Shanghai
    late = bazaar.need(earliest_start=bazaar.at(800), deadline=bazaar.at(1000))
    quote = await bazaar.quote(need=late)
    assert quote["options"][0]["placements"][0]["subsidies"][0]["year"] == 2026
    bazaar.clock.advance(minutes=5)
    assert refusal(await bazaar.try_book(quote)) == (409, "subsidy_changed")
    [held] = await bazaar.book(await bazaar.quote(need=late))
    assert held["subsidy_fen"] == 17_000
    assert await fair.left() == (100_000, 30_000)
    assert (await fair.grants.left(bazaar.buyer.org_id, year=2027)).pool_fen == 83_000


@pytest.mark.parametrize(("side", "reason"), [("buyer", "buyer_changed_plans"), ("supplier", "refused")])
async def test_what_is_cancelled_or_refused_gives_its_earmark_back(fair: Fair, side: str, reason: str) -> None:
    await fair.bazaar.offer()
    [held] = await fair.bazaar.book()
    assert await fair.left() == (83_000, 13_000)
    done = await fair.bazaar.turn(getattr(fair.bazaar, side), held, "cancel", {"reason": reason})
    assert done.status_code == 200, done.text
    assert await fair.left() == (100_000, 30_000)


async def test_what_lapses_gives_its_earmark_back(fair: Fair) -> None:
    await fair.bazaar.offer()
    await fair.bazaar.book()
    fair.bazaar.clock.advance(hours=25)
    assert (await fair.bazaar.sweep()).expired == 1
    assert await fair.left() == (100_000, 30_000)


async def test_both_sides_see_the_vouchers_of_a_reservation_and_nobody_else(fair: Fair, make_actor: MakeActor) -> None:
    bazaar = fair.bazaar
    await bazaar.offer()
    [held] = await bazaar.book()
    [shown] = held["subsidies"]
    wanted = {"programme": PROGRAMME, "tier": "general", "amount_fen": 17_000, "state": "earmarked"}
    assert {name: shown[name] for name in wanted} == wanted
    path = f"/v1/reservations/{held['id']}"
    for actor in (bazaar.buyer, bazaar.supplier, bazaar.desk):
        assert (await actor.client.get(path)).json()["subsidies"] == [shown]
    listed = (await bazaar.supplier.client.get("/v1/reservations")).json()["data"]
    assert [row["subsidies"] for row in listed] == [[shown]]
    for role in ("buyer", "supplier"):
        stranger = await make_actor(role)
        assert (await stranger.client.get(path)).status_code == 404
        async with bazaar.database.read(stranger.caller.scope) as session:
            assert await session.scalar(select(func.count()).select_from(Voucher)) == 0
    async with bazaar.database.read(bazaar.supplier.caller.scope) as session:
        assert await session.scalar(select(func.count()).select_from(Voucher)) == 1
    # A list of one's vouchers is still the buyer's.
    assert (await bazaar.supplier.client.get("/v1/vouchers")).json()["data"] == []
    done = await bazaar.turn(bazaar.supplier, held, "cancel", {"reason": "refused"})
    assert done.json()["subsidies"] == [shown | {"state": "voided"}]


async def test_a_quote_gives_what_a_clearing_by_order_of_arrival_would(
    fair: Fair, worker_database: Database, clock: Clock
) -> None:
    """Method `fcfs` takes each block at the least net cost: the same option, by the engine's own code."""
    bazaar = fair.bazaar
    for price, cards in ((900, 4), (850, 3), (700, 16), (650, 2)):
        await bazaar.offer(cards, price_fen=price, end=60, chip_model="X910" if cards == 16 else "A100 80G")
    asks: list[dict[str, Any]] = [
        {"chips": "A100 80G"},
        {"cards": 2, "hours": 10},
        {"cards": 3, "max_net_price_fen": 820},
    ]
    for alternative in asks:
        request = await bazaar.request(**alternative)
        quote = await bazaar.quote(request_id=request["id"])
        asked = await bazaar.desk.client.post(
            "/v1/clearings", json={"mode": "dry_run", "method": "fcfs", "work_limit": 1}, headers=keyed()
        )
        assert await run_next_clearing(worker_database, clock)
        found = (await bazaar.desk.client.get(f"/v1/clearings/{asked.json()['id']}/matches")).json()["data"]
        [match] = [row for row in found if row["request_id"] == request["id"]]
        place = quote["options"][0]["placements"][0]
        for name in ("offer_id", "starts_at", "hours", "cards", "cost_fen", "subsidy_fen", "net_fen"):
            assert place[name] == match[name], (name, alternative)
        told = [{key: each[key] for key in ("programme", "tier", "amount_fen")} for each in place["subsidies"]]
        assert told == match["subsidies"]
        await bazaar.book(quote)


async def test_a_fixed_tier_gives_its_rate_or_what_a_budget_has_left(
    bazaar: Bazaar, app_database: Database, clock: Clock, make_actor: MakeActor
) -> None:
    """chengdu-2023: half of the contract, at least 10 000 CNY, here with a pool of 25 000 CNY."""
    fair = Fair(bazaar, Grants(app_database))
    async with app_database.write(SYSTEM) as session:
        await vouchers.store_shipped_programmes(session, clock())
        await vouchers.open_programme(
            session, "chengdu-2023", 2026, pool_fen=2_500_000, buyer_year_fen=None, now=clock()
        )
    rich = await make_actor("buyer")
    await fair.state(bazaar.supplier, "partner", True)
    for key, value in (("kind", "startup"), ("integrity", "clean"), ("prior_year_revenue_fen", 1_000_000_000)):
        await fair.state(rich, key, value)
    await bazaar.offer(8, price_fen=10_000, end=700)
    need: dict[str, Any] = {"cards": 8, "max_net_price_fen": None, "deadline": bazaar.at(700)}
    # A contract of 19 999.20 CNY earns 9 999.60, below the minimum.
    assert await fair.subsidies(rich, **need, hours=24) == [[0]]
    assert await fair.subsidies(rich, **need, hours=25) == [[1_000_000]]
    quote = await bazaar.quote(rich, need=bazaar.need(**need, hours=30))
    assert quote["options"][0]["placements"][0]["subsidies"][0]["amount_fen"] == 1_200_000
    assert (await bazaar.try_book(quote, by=rich)).status_code == 201
    # 13 000 CNY are left of the pool: less than half of the contract, and no less than the minimum.
    assert await fair.subsidies(rich, **need, hours=100) == [[1_300_000]]
    poor = await make_actor("buyer")
    for key, value in (("kind", "startup"), ("integrity", "clean"), ("prior_year_revenue_fen", 999_999_999)):
        await fair.state(poor, key, value)
    assert await fair.subsidies(poor, **need, hours=100) == [[0]]
