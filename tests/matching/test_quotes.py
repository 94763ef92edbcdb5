"""Quotes: the best options now, or a plain reason why there is none."""

from typing import Any

import pytest

from tests.bazaar import Bazaar, refusal
from tests.conftest import MakeActor

pytestmark = pytest.mark.anyio


async def test_options_come_by_net_cost_then_start_then_offer(bazaar: Bazaar) -> None:
    later = await bazaar.offer(price_fen=800, start=5)
    dear = await bazaar.offer(price_fen=900)
    first = await bazaar.offer(price_fen=800)
    twin = await bazaar.offer(price_fen=800)
    await bazaar.offer(price_fen=2001)
    quote = await bazaar.quote(need=bazaar.need(cards=4, hours=10))
    found = [
        (option["option"], place["offer_id"], place["starts_at"], place["cost_fen"], option["net_fen"])
        for option in quote["options"]
        for place in option["placements"]
    ]
    assert found == [
        (1, first["id"], bazaar.at(1), 32_000, 32_000),
        (2, twin["id"], bazaar.at(1), 32_000, 32_000),
        (3, later["id"], bazaar.at(5), 32_000, 32_000),
        (4, dear["id"], bazaar.at(1), 36_000, 36_000),
    ]
    place = quote["options"][0]["placements"][0]
    assert (place["block"], place["cards"], place["hours"], place["ends_at"]) == (0, 4, 10, bazaar.at(11))
    assert (place["subsidy_fen"], place["net_fen"], quote["reason"], quote["request_id"]) == (0, 32_000, None, None)
    assert quote["expires_at"] == bazaar.at(0.5 + 1 / 6)
    assert (await bazaar.buyer.client.get(f"/v1/quotes/{quote['id']}")).json() == quote
    assert len((await bazaar.quote(need=bazaar.need(), limit=2))["options"]) == 2


async def test_a_start_lies_at_the_next_whole_hour_at_the_earliest_and_the_window_rounds_inward(bazaar: Bazaar) -> None:
    await bazaar.offer()

    async def start(**window: Any) -> str | None:
        options = (await bazaar.quote(need=bazaar.need(hours=2, **window)))["options"]
        return options[0]["placements"][0]["starts_at"] if options else None

    assert await start() == bazaar.at(1)
    assert await start(earliest_start=bazaar.at(3.2)) == bazaar.at(4)
    assert await start(earliest_start=bazaar.at(3), deadline=bazaar.at(5)) == bazaar.at(3)
    assert await start(earliest_start=bazaar.at(3), deadline=bazaar.at(4.9)) is None
    bazaar.clock.advance(minutes=30)
    assert await start() == bazaar.at(2)


async def test_fractional_hours_round_up(bazaar: Bazaar) -> None:
    await bazaar.offer()
    place = (await bazaar.quote(need=bazaar.need(cards=1, hours=2.1)))["options"][0]["placements"][0]
    assert (place["hours"], place["cost_fen"]) == (3, 3 * 850)


async def test_alternatives_compete_and_say_which_they_are(bazaar: Bazaar) -> None:
    await bazaar.offer(price_fen=1000)
    cheap = await bazaar.offer(price_fen=500, chip_model="X910")
    need = bazaar.need() | {
        "alternatives": [
            bazaar.alternative(chips="A100 80G", cards=2, hours=4),
            bazaar.alternative(chips="domestic", cards=8, hours=4),
            bazaar.alternative(chips="any", cards=1, hours=4, min_memory_gb=70),
        ]
    }
    options = (await bazaar.quote(need=need))["options"]
    assert [(o["net_fen"], o["placements"][0]["alternative"]) for o in options] == [(4_000, 2), (8_000, 0), (16_000, 1)]
    assert options[2]["placements"][0]["offer_id"] == cheap["id"]


async def test_blocks_are_bundled_side_by_side(bazaar: Bazaar) -> None:
    small = await bazaar.offer(4, price_fen=800, end=21)
    large = await bazaar.offer(8, price_fen=900, end=11)
    quote = await bazaar.quote(need=bazaar.need(cards=4, hours=10, blocks=4))
    [option] = quote["options"]
    assert [(p["block"], p["offer_id"], p["starts_at"]) for p in option["placements"]] == [
        (0, small["id"], bazaar.at(1)),
        (1, small["id"], bazaar.at(11)),
        (2, large["id"], bazaar.at(1)),
        (3, large["id"], bazaar.at(1)),
    ]
    assert option["net_fen"] == 2 * 32_000 + 2 * 36_000
    too_many = await bazaar.quote(need=bazaar.need(cards=4, hours=10, blocks=5))
    assert (too_many["options"], too_many["reason"]["code"]) == ([], "min_blocks")


REASONS = [
    ("no_chip", {"chips": "X910"}, {}),
    ("no_chip", {"chips": "any", "min_memory_gb": 81}, {}),
    ("no_site", {}, {"regions": ["上海"]}),
    ("no_site", {}, {"suppliers_refused": ["supplier"]}),
    ("no_site", {}, {"min_interconnect_gbps": 201}),
    ("no_site", {}, {"min_cards_per_node": 9}),
    ("no_site", {}, {"domestic": True}),
    ("too_large_for_any_offer", {"cards": 9}, {}),
    ("no_window", {"hours": 100}, {}),
    ("over_budget", {"max_net_price_fen": 849}, {}),
    ("fragmented", {"cards": 8, "hours": 60}, {}),
    ("sold_out", {"cards": 8, "earliest_start": "2026-12-02T10:00:00Z", "deadline": "2026-12-02T22:00:00Z"}, {}),
]


@pytest.mark.parametrize(("code", "alternative", "site"), REASONS)
async def test_an_empty_quote_says_why(
    bazaar: Bazaar, code: str, alternative: dict[str, Any], site: dict[str, Any]
) -> None:
    await bazaar.offer(8)
    await bazaar.book(cards=8, hours=20, earliest_start=bazaar.at(30), max_net_price_fen=None)
    quote = await bazaar.quote(need=bazaar.need(site=site, **alternative))
    assert (quote["options"], quote["reason"]["code"]) == ([], code)
    chinese = await bazaar.buyer.client.get(f"/v1/quotes/{quote['id']}", headers={"Accept-Language": "zh-CN"})
    assert chinese.json()["reason"]["detail"] != quote["reason"]["detail"]


async def test_a_withdrawn_offer_is_not_quoted(bazaar: Bazaar) -> None:
    offer = await bazaar.offer()
    await bazaar.supplier.client.post(f"/v1/offers/{offer['id']}/withdraw", headers={"If-Match": "*"})
    assert (await bazaar.quote(need=bazaar.need()))["reason"]["code"] == "no_chip"


async def test_a_request_is_quoted_for_the_blocks_it_lacks(bazaar: Bazaar) -> None:
    await bazaar.offer(16)
    request = await bazaar.request(blocks=5, min_blocks=3, cards=2)
    quote = await bazaar.quote(request_id=request["id"])
    assert (quote["blocks"], [p["block"] for p in quote["options"][0]["placements"]]) == (3, [0, 1, 2])
    await bazaar.book(quote)
    more = await bazaar.quote(request_id=request["id"])
    assert [p["block"] for p in more["options"][0]["placements"]] == [3]
    both = await bazaar.quote(request_id=request["id"], blocks=2)
    assert [p["block"] for p in both["options"][0]["placements"]] == [3, 4]
    beyond = await bazaar.buyer.client.post("/v1/quotes", json={"request_id": request["id"], "blocks": 3})
    assert refusal(beyond) == (422, "blocks_out_of_range")
    await bazaar.book(both)
    done = await bazaar.buyer.client.post("/v1/quotes", json={"request_id": request["id"]})
    assert refusal(done) == (409, "request_not_open")


async def test_bad_input_is_named(bazaar: Bazaar) -> None:
    request = await bazaar.request()
    need = bazaar.need()

    async def refused(body: dict[str, Any]) -> tuple[int, str, list[str]]:
        answer = await bazaar.buyer.client.post("/v1/quotes", json=body)
        return (*refusal(answer), [error["pointer"] for error in answer.json()["errors"]])

    assert await refused({}) == (422, "one_need_only", ["/request_id"])
    assert await refused({"request_id": request["id"], "need": need}) == (422, "one_need_only", ["/request_id"])
    assert await refused({"need": need, "blocks": 2}) == (422, "blocks_out_of_range", ["/blocks"])
    assert await refused({"need": need, "limit": 21}) == (422, "invalid", ["/limit"])
    assert await refused({"need": need, "state": "x"}) == (422, "invalid", ["/state"])
    assert await refused({"need": need | {"alternatives": []}}) == (422, "invalid", ["/need/alternatives"])
    assert await refused({"need": bazaar.need(cards=0)}) == (422, "invalid", ["/need/alternatives/0/cards"])
    assert await refused({"need": bazaar.need(cards=1.5)}) == (422, "invalid", ["/need/alternatives/0/cards"])
    assert await refused({"need": bazaar.need(hours=-1)}) == (422, "invalid", ["/need/alternatives/0/hours"])
    assert await refused({"need": bazaar.need(chips="Z9")}) == (422, "unknown_chip", ["/need/alternatives/0/chips"])
    assert await refused({"need": bazaar.need(site={"suppliers_allowed": ["nobody"]})}) == (
        422,
        "unknown_supplier",
        ["/need/site/suppliers_allowed/0"],
    )
    backwards = bazaar.need(earliest_start=bazaar.at(9), deadline=bazaar.at(9))
    assert await refused({"need": backwards}) == (422, "window_order", ["/need/deadline"])
    naive = bazaar.need(earliest_start="2026-12-01T00:00:00")
    assert await refused({"need": naive}) == (422, "invalid", ["/need/earliest_start"])


async def test_quotes_are_private_and_lapse(bazaar: Bazaar, make_actor: MakeActor) -> None:
    await bazaar.offer()
    other = await make_actor("buyer", ref="other")
    quote = await bazaar.quote(need=bazaar.need())
    path = f"/v1/quotes/{quote['id']}"
    assert refusal(await other.client.get(path)) == (404, "not_found")
    assert refusal(await bazaar.supplier.client.get(path)) == (404, "not_found")
    assert refusal(await bazaar.try_book(quote, by=other)) == (404, "not_found")
    assert (await bazaar.desk.client.get(path)).status_code == 200
    request = await bazaar.request()
    stolen = await other.client.post("/v1/quotes", json={"request_id": request["id"]})
    assert refusal(stolen) == (404, "not_found")
    refused = await bazaar.supplier.client.post("/v1/quotes", json={"need": bazaar.need()})
    assert refusal(refused) == (403, "forbidden")
    assert await bazaar.sweep_quotes() == 0
    bazaar.clock.advance(minutes=10)
    assert await bazaar.sweep_quotes() == 1
    assert refusal(await bazaar.buyer.client.get(path)) == (404, "not_found")


async def test_the_desk_quotes_and_books_for_a_buyer(bazaar: Bazaar) -> None:
    await bazaar.offer()
    buyer_id = (await bazaar.buyer.client.get("/v1/me")).json()["organisation"]["id"]
    alone = await bazaar.desk.client.post("/v1/quotes", json={"need": bazaar.need()})
    assert refusal(alone) == (422, "organisation_required")
    quote = await bazaar.quote(bazaar.desk, need=bazaar.need(), buyer_org_id=buyer_id)
    booked = await bazaar.try_book(quote, by=bazaar.desk)
    assert booked.json()["data"][0]["buyer_org_id"] == buyer_id
    request = await bazaar.request()
    by_request = await bazaar.quote(bazaar.desk, request_id=request["id"])
    assert by_request["buyer_org_id"] == buyer_id
    org_id = (await bazaar.desk.client.get("/v1/me")).json()["organisation"]["id"]
    wrong = await bazaar.desk.client.post("/v1/quotes", json={"request_id": request["id"], "buyer_org_id": org_id})
    assert refusal(wrong) == (404, "not_found")
