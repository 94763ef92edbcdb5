"""Search: filters, orders, pages; and by shape against a scan hour by hour."""

import csv
import os
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.catalog.models import CapacityStep, ChipModel, Offer
from app.demand.models import ComputeRequest
from app.kit.db import SYSTEM, Database
from app.kit.ids import encode_id, new_id
from app.kit.time import format_rfc3339
from app.reservations.models import Reservation
from tests.bazaar import Bazaar, refusal
from tests.conftest import SHARED, Actor

pytestmark = pytest.mark.anyio
START = datetime(2026, 12, 1, 1, tzinfo=UTC)  # the first whole hour after the tests' clock
HOUR = timedelta(hours=1)


async def found(bazaar: Bazaar, actor: Actor | None = None, /, **query: Any) -> list[dict[str, Any]]:
    answer = await (actor or bazaar.buyer).client.get("/v1/offers", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_filters_select_and_are_echoed(bazaar: Bazaar) -> None:
    plain = await bazaar.offer(price_fen=850)
    domestic = await bazaar.offer(price_fen=500, chip_model="X910", region="上海", cards_per_node=16)
    unknown = await bazaar.offer(price_fen=300, chip_model="Mystery", interconnect_gbps=None)
    both, every = [domestic, plain], [unknown, domestic, plain]
    cases: list[tuple[dict[str, Any], list[Any]]] = [
        ({}, every),
        ({"chip_model": ["X910", "A100 80G"]}, both),
        ({"chip_class": "A100-class"}, both),
        ({"vendor": "NVIDIA"}, [plain]),
        ({"domestic": "true"}, [domestic]),
        ({"domestic": "false"}, [plain]),
        ({"region": ["上海", "广州"]}, [domestic]),
        ({"supplier": ["supplier", "nobody"]}, every),
        ({"supplier": ["nobody"]}, []),
        ({"price_fen[gte]": 500}, both),
        ({"price_fen[lte]": 500}, [unknown, domestic]),
        ({"interconnect_gbps[gte]": 200}, both),
        ({"memory_gb[gte]": 64.5}, [plain]),
        ({"fp16_tflops[gte]": 320}, [domestic]),
        ({"cards_per_node": 16}, [domestic]),
        ({"sort": "-price"}, every[::-1]),
        ({"state": "withdrawn"}, []),
    ]
    for query, expected in cases:
        assert [row["id"] for row in await found(bazaar, **query)] == [row["id"] for row in expected], query
    answer = await bazaar.buyer.client.get("/v1/offers", params={"region": ["上海"], "price_fen[lte]": 600})
    echoed = answer.json()["query"]
    assert (echoed["region"], echoed["price_fen[lte]"], echoed["sort"], echoed["limit"]) == (["上海"], 600, "price", 20)
    assert answer.json()["data"][0]["earliest_start"] is None


async def test_withdrawn_offers_are_their_suppliers_and_the_desks(bazaar: Bazaar) -> None:
    offer = await bazaar.offer()
    await bazaar.supplier.client.post(f"/v1/offers/{offer['id']}/withdraw", headers={"If-Match": "*"})
    assert await found(bazaar) == []
    assert await found(bazaar, state="withdrawn") == []
    for actor in (bazaar.supplier, bazaar.desk):
        assert [row["id"] for row in await found(bazaar, actor, state="withdrawn")] == [offer["id"]]


async def test_a_shape_is_one_free_window_on_one_offer(bazaar: Bazaar) -> None:
    early = await bazaar.offer(8, price_fen=900, start=0, end=40)
    late = await bazaar.offer(8, price_fen=800, start=20, end=60)
    await bazaar.offer(3, price_fen=100)
    shape = {"cards": 4, "hours": 10, "from": bazaar.at(0), "to": bazaar.at(100)}
    rows = await found(bazaar, **shape)
    assert [(row["id"], row["earliest_start"], row["total_fen"]) for row in rows] == [
        (late["id"], bazaar.at(20), 32_000),
        (early["id"], bazaar.at(1), 36_000),
    ]
    assert [row["id"] for row in await found(bazaar, sort="earliest_start", **shape)] == [early["id"], late["id"]]
    await bazaar.book(cards=8, hours=25, deadline=bazaar.at(26))
    rows = await found(bazaar, **shape, sort="earliest_start")
    assert [(row["id"], row["earliest_start"]) for row in rows] == [
        (late["id"], bazaar.at(20)),
        (early["id"], bazaar.at(26)),
    ]
    assert [row["id"] for row in await found(bazaar, **shape | {"to": bazaar.at(35.9)})] == [late["id"]]
    assert await found(bazaar, **shape | {"hours": 41}) == []
    assert await found(bazaar, **shape | {"from": bazaar.at(0), "to": bazaar.at(10)}) == []


async def test_bad_shapes_and_unknown_parameters_are_named(bazaar: Bazaar) -> None:
    async def refused(**query: Any) -> tuple[int, str, list[str]]:
        answer = await bazaar.buyer.client.get("/v1/offers", params=query)
        return (*refusal(answer), [error["pointer"] for error in answer.json()["errors"]])

    window = {"from": bazaar.at(0), "to": bazaar.at(9)}
    assert await refused(cards=4) == (422, "shape_incomplete", ["hours", "from", "to"])
    assert await refused(cards=4, hours=2, **window | {"to": bazaar.at(0)}) == (422, "window_order", ["to"])
    assert await refused(cards=0, hours=2, **window) == (422, "invalid", ["cards"])
    assert await refused(cards=1, hours=1.5, **window) == (422, "invalid", ["hours"])
    assert await refused(cards=1, hours=1, **window | {"from": "2026-12-01T00:00:00"}) == (422, "invalid", ["from"])
    assert await refused(sort="earliest_start") == (422, "sort_needs_shape", ["sort"])
    assert await refused(chip="A100") == (422, "invalid", ["chip"])
    assert await refused(after="x") == (422, "bad_cursor", [])


@pytest.mark.parametrize(
    ("sort", "with_shape"),
    [("price", False), ("-price", False), ("price", True), ("-price", True), ("earliest_start", True)],
)
async def test_pages_walk_the_list_both_ways(bazaar: Bazaar, sort: str, with_shape: bool) -> None:
    for number in range(7):
        await bazaar.offer(8, price_fen=100 + number // 3, start=10 - number)
    query: dict[str, Any] = {"sort": sort, "limit": 3}
    if with_shape:
        query |= {"cards": 2, "hours": 2, "from": bazaar.at(0), "to": bazaar.at(50)}
    whole = [row["id"] for row in await found(bazaar, **query | {"limit": 100})]
    assert len(set(whole)) == 7
    pages, after = [], None
    while True:
        page = (await bazaar.buyer.client.get("/v1/offers", params=query | ({"after": after} if after else {}))).json()
        pages.append(page)
        if not page["has_more"]:
            break
        after = page["next_cursor"]
    assert [row["id"] for page in pages for row in page["data"]] == whole
    back = (await bazaar.buyer.client.get("/v1/offers", params=query | {"before": pages[-1]["previous_cursor"]})).json()
    assert [row["id"] for row in back["data"]] == whole[3:6]
    assert back["has_more"]
    other = await bazaar.buyer.client.get("/v1/offers", params=query | {"after": after, "domestic": "true"})
    assert refusal(other) == (422, "bad_cursor")
    end = await bazaar.buyer.client.get("/v1/offers", params=query | {"after": pages[-1]["next_cursor"]})
    assert end.json()["data"] == []


@dataclass
class Crowd:
    """Offers written straight into the tables, and their free cards hour by hour."""

    database: Database
    supplier: Actor
    buyer: Actor
    horizon: int

    async def write(self, offers: list[tuple[str, int, list[tuple[int, int]]]]) -> None:
        """Write offers given as chip, price and capacity steps `(hours after START, cards)`."""
        async with self.database.write(SYSTEM) as session:
            session.add_all(ChipModel(name=name) for name in sorted({chip for chip, _, _ in offers}))
            await session.flush()
            rows = [
                Offer(
                    id=new_id(),
                    supplier_org_id=self.supplier.org_id,
                    ref=f"o{number}",
                    region="r",
                    chip_model=chip,
                    cards_per_node=8,
                    price_fen=price,
                    list_price_fen=price,
                )
                for number, (chip, price, _) in enumerate(offers)
            ]
            session.add_all(rows)
            await session.flush()
            session.add_all(
                CapacityStep(offer_id=row.id, starts_at=START + hour * HOUR, cards=cards)
                for row, (_, _, steps) in zip(rows, offers, strict=True)
                for hour, cards in steps
            )

    async def book(self, count: int, rng: random.Random) -> None:
        """Book at random what is free, in one request of many blocks per thousand."""
        free, _ = await self.scan()
        async with self.database.write(SYSTEM) as session:
            request = None
            made = 0
            while made < count:
                offer_id = rng.choice(list(free))
                hours, cards = rng.randint(1, 48), rng.randint(1, 4)
                start = rng.randrange(self.horizon - hours)
                window = free[offer_id][start : start + hours]
                if min(window) < cards:
                    continue
                free[offer_id][start : start + hours] = [level - cards for level in window]
                if made % 1000 == 0:
                    request = ComputeRequest(
                        id=new_id(),
                        buyer_org_id=self.buyer.org_id,
                        ref=new_id().hex,
                        submitted_at=START,
                        earliest_start=START,
                        deadline=START + self.horizon * HOUR,
                        blocks=1000,
                    )
                    session.add(request)
                    await session.flush()
                assert request is not None
                session.add(
                    Reservation(
                        offer_id=offer_id,
                        request_id=request.id,
                        block=made % 1000,
                        buyer_org_id=self.buyer.org_id,
                        supplier_org_id=self.supplier.org_id,
                        cards=cards,
                        starts_at=START + start * HOUR,
                        ends_at=START + (start + hours) * HOUR,
                        hold_ends_at=START,
                        price_fen=1,
                        cost_fen=1,
                        net_fen=1,
                    )
                )
                made += 1

    async def scan(self) -> tuple[dict[UUID, list[int]], dict[UUID, int]]:
        """Return free cards of every hour, and prices, by offer, counted from the tables without the service."""
        async with self.database.read(SYSTEM) as session:
            offers = {row.id: row.price_fen for row in await session.scalars(select(Offer))}
            steps = defaultdict(list)
            for step in await session.scalars(select(CapacityStep).order_by(CapacityStep.starts_at)):
                steps[step.offer_id].append(((step.starts_at - START) // HOUR, step.cards))
            bookings = list(await session.scalars(select(Reservation)))
        free = {}
        for offer_id in offers:
            levels = [0] * self.horizon
            ends = [*(hour for hour, _ in steps[offer_id][1:]), self.horizon]
            for (hour, cards), end in zip(steps[offer_id], ends, strict=True):
                for at in range(max(hour, 0), min(end, self.horizon)):
                    levels[at] = cards
            free[offer_id] = levels
        for row in bookings:
            for at in range((row.starts_at - START) // HOUR, (row.ends_at - START) // HOUR):
                free[row.offer_id][at] -= row.cards
        return free, offers

    async def compare(self, by: Actor, shapes: int, rng: random.Random) -> float:
        """Compare the search with the scan for random shapes; return the median seconds of a search."""
        free, prices = await self.scan()
        seconds, hits = [], 0
        for _ in range(shapes):
            cards, hours = rng.choice([1, 2, 4, 8, 12, 16, 32]), rng.choice([1, 3, 12, 24, 60, 200])
            low = rng.randrange(-5, self.horizon - 1)
            high = rng.randrange(low + 1, self.horizon + 5)
            expected = []
            for offer_id, levels in free.items():
                start = first_window(levels, cards, hours, max(low, 0), min(high, self.horizon))
                if start is not None:
                    total = prices[offer_id] * cards * hours
                    expected.append((prices[offer_id], start, encode_id("offer", offer_id), total))
            expected.sort()
            query = {
                "cards": cards,
                "hours": hours,
                "from": format_rfc3339(START + low * HOUR - timedelta(minutes=10)),
                "to": format_rfc3339(START + high * HOUR + timedelta(minutes=50)),
                "limit": 100,
            }
            listed: list[tuple[Any, ...]] = []
            after = None
            while True:
                begun = time.perf_counter()
                page = (await by.client.get("/v1/offers", params=query | ({"after": after} if after else {}))).json()
                seconds.append(time.perf_counter() - begun)
                listed += [
                    (row["price_fen"], (datetime.fromisoformat(row["earliest_start"]) - START) // HOUR, row["id"],
                     row["total_fen"])
                    for row in page["data"]
                ]  # fmt: skip
                after = page["next_cursor"]
                if not page["has_more"]:
                    break
            assert listed == expected
            hits += len(expected)
        assert hits > shapes / 2, "the shapes must find something"
        return statistics.median(seconds)


def first_window(levels: list[int], cards: int, hours: int, low: int, high: int) -> int | None:
    """The earliest start by looking at every hour."""
    run = 0
    for at in range(low, high):
        run = run + 1 if levels[at] >= cards else 0
        if run == hours:
            return at - hours + 1
    return None


def synthetic(count: int, rng: random.Random, horizon: int) -> list[tuple[str, int, list[tuple[int, int]]]]:
    offers = []
    for number in range(count):
        marks = sorted(rng.sample(range(-20, horizon), rng.randint(2, 5)))
        steps = [(mark, rng.choice([0, 4, 8, 16, 64])) for mark in marks[:-1]] + [(marks[-1], 0)]
        offers.append((f"chip {number % 5}", rng.randint(100, 110), steps))
    return offers


async def test_search_by_shape_is_a_scan_before_and_after_bookings(
    app_database: Database, supplier: Actor, buyer: Actor, make_actor
) -> None:
    rng = random.Random(20261201)
    crowd = Crowd(app_database, supplier, buyer, horizon=300)
    await crowd.write(synthetic(60, rng, 300))
    stranger = await make_actor("buyer")
    await crowd.compare(stranger, 60, rng)
    await crowd.book(200, rng)
    await crowd.compare(stranger, 60, rng)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.environ.get("CARDHOUR_LONG") != "1", reason="long: run with CARDHOUR_LONG=1")
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared markets beside the project")
async def test_search_by_shape_on_the_mixed_world(
    app_database: Database, supplier: Actor, buyer: Actor, make_actor
) -> None:
    rng = random.Random(500)
    offers = mixed_world()
    crowd = Crowd(app_database, supplier, buyer, horizon=120 * 24)
    await crowd.write(offers)
    assert len(offers) == 522
    stranger = await make_actor("buyer")
    before = await crowd.compare(stranger, 500, rng)
    await crowd.book(2000, rng)
    after = await crowd.compare(stranger, 500, rng)
    print(f"median seconds of a page: {before:.4f} before, {after:.4f} after 2 000 bookings")
    assert max(before, after) < 0.1


def mixed_world() -> list[tuple[str, int, list[tuple[int, int]]]]:
    """The shared market's offers, shifted so that the first begins at START."""
    with (SHARED / "data" / "markets" / "mixed-world" / "offers.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    begin = min(datetime.fromisoformat(row["available_from"]) for row in rows)

    def hour(text: str) -> int:
        return (datetime.fromisoformat(text) - begin) // HOUR

    return [
        (
            row["chip_model"],
            int(Decimal(row["price_cny"]) * 100),
            [(hour(row["available_from"]), int(row["cards"])), (hour(row["available_to"]), 0)],
        )
        for row in rows
    ]
