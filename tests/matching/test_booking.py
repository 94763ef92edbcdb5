"""Booking a quote's option: all of it or nothing, and nothing twice."""

import asyncio
from typing import Any

import pytest

from app.kit.ids import encode_id
from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import MakeActor

pytestmark = pytest.mark.anyio


async def test_an_option_becomes_reservations_of_a_request(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(8)
    request = await bazaar.request(blocks=2, min_blocks=2, cards=4, hours=10)
    quote = await bazaar.quote(request_id=request["id"])
    made = await bazaar.try_book(quote)
    assert made.status_code == 201
    rows = made.json()["data"]
    assert made.headers["location"] == f"/v1/reservations/{rows[0]['id']}"
    assert [(row["block"], row["state"], row["request_id"]) for row in rows] == [
        (0, "held", request["id"]),
        (1, "held", request["id"]),
    ]
    first = rows[0]
    assert (first["offer_id"], first["cards"], first["starts_at"], first["ends_at"]) == (
        offer["id"],
        4,
        bazaar.at(1),
        bazaar.at(11),
    )
    assert (first["cost_fen"], first["subsidy_fen"], first["net_fen"], first["currency"]) == (34_000, 0, 34_000, "CNY")
    assert (first["buyer_accepted_at"], first["supplier_accepted_at"]) == (None, None)
    assert first["hold_ends_at"] == bazaar.at(1)
    assert (await bazaar.read_request(request["id"]))["state"] == "matched"
    assert await bazaar.free(offer, 5) == 0


async def test_a_hold_ends_after_a_day_or_at_the_start(bazaar: Bazaar) -> None:
    await bazaar.offer(start=60)
    [row] = await bazaar.book()
    assert (row["starts_at"], row["hold_ends_at"]) == (bazaar.at(60), bazaar.at(24.5))


async def test_an_offer_that_accepts_by_itself_has_accepted(bazaar: Bazaar) -> None:
    await bazaar.offer(auto_accept=True)
    [row] = await bazaar.book()
    assert (row["supplier_accepted_at"], row["state"]) == (bazaar.at(0.5), "held")
    done = await bazaar.turn(bazaar.buyer, row, "accept")
    assert done.json()["state"] == "confirmed"


async def test_a_need_becomes_a_request_and_is_booked_once(bazaar: Bazaar) -> None:
    await bazaar.offer(16)
    quote = await bazaar.quote(need=bazaar.need(blocks=2, cards=2, hours=3.5, max_net_price_fen=None))
    rows = await bazaar.book(quote)
    request = await bazaar.read_request(rows[0]["request_id"])
    assert (request["ref"], request["blocks"], request["min_blocks"], request["state"]) == (
        quote["id"],
        2,
        2,
        "matched",
    )
    [alternative] = request["alternatives"]
    assert (alternative["hours"], alternative["max_net_price_fen"]) == (3.5, 850)
    assert refusal(await bazaar.try_book(quote)) == (409, "quote_booked")


async def test_a_repeat_with_the_same_key_books_once(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(8)
    quote = await bazaar.quote(need=bazaar.need())
    body, headers = {"quote_id": quote["id"]}, keyed()
    first = await bazaar.buyer.client.post("/v1/reservations", json=body, headers=headers)
    again = await bazaar.buyer.client.post("/v1/reservations", json=body, headers=headers)
    assert (first.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert await bazaar.free(offer, 5) == 4
    missing = await bazaar.buyer.client.post("/v1/reservations", json=body)
    assert refusal(missing) == (400, "idempotency_key_required")


async def test_capacity_that_went_meanwhile_is_refused_and_nothing_half_written(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(8)
    request = await bazaar.request(blocks=2, min_blocks=2, cards=4, hours=10)
    quote = await bazaar.quote(request_id=request["id"])
    await bazaar.book(cards=1, hours=1)
    assert refusal(await bazaar.try_book(quote)) == (409, "capacity_taken")
    assert (await bazaar.read_request(request["id"]))["state"] == "open"
    assert await bazaar.free(offer, 5) == 8


async def test_a_need_whose_capacity_went_leaves_no_request(bazaar: Bazaar) -> None:
    await bazaar.offer(4)
    quote = await bazaar.quote(need=bazaar.need())
    await bazaar.book()
    assert refusal(await bazaar.try_book(quote)) == (409, "capacity_taken")
    listed = (await bazaar.buyer.client.get("/v1/requests")).json()["data"]
    assert len(listed) == 1


async def test_a_block_is_booked_once(bazaar: Bazaar) -> None:
    await bazaar.offer(64)
    request = await bazaar.request(blocks=2)
    quote = await bazaar.quote(request_id=request["id"])
    await bazaar.book(quote)
    assert refusal(await bazaar.try_book(quote)) == (409, "block_taken")
    await bazaar.book(await bazaar.quote(request_id=request["id"]))
    assert refusal(await bazaar.try_book(quote)) == (409, "request_not_open")


async def test_two_bookings_of_one_block_at_once_have_one_winner(bazaar: Bazaar) -> None:
    await bazaar.offer(64)
    for _ in range(4):
        request = await bazaar.request()
        quote = await bazaar.quote(request_id=request["id"])
        answers = await asyncio.gather(*(bazaar.try_book(quote) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"request_not_open"}


async def test_buyers_at_once_share_exactly_what_is_there(bazaar: Bazaar, make_actor: MakeActor) -> None:
    offer = await bazaar.offer(8)
    buyers = [await make_actor("buyer") for _ in range(5)]
    quotes = [await bazaar.quote(by, need=bazaar.need(cards=3)) for by in buyers]
    answers = await asyncio.gather(*(bazaar.try_book(q, by=b) for q, b in zip(quotes, buyers, strict=True)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "capacity_taken"}
    assert await bazaar.free(offer, 5) == 2


async def test_two_offers_in_opposite_order_do_not_deadlock(bazaar: Bazaar, make_actor: MakeActor) -> None:
    for _ in range(2):
        await bazaar.offer(40, price_fen=700)
    buyers = [await make_actor("buyer") for _ in range(8)]
    quotes = [await bazaar.quote(by, need=bazaar.need(cards=40, hours=2, blocks=2)) for by in buyers]
    answers = await asyncio.gather(*(bazaar.try_book(q, by=b) for q, b in zip(quotes, buyers, strict=True)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_quote_lapses(bazaar: Bazaar) -> None:
    await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    bazaar.clock.advance(minutes=10)
    assert refusal(await bazaar.try_book(quote)) == (409, "quote_expired")


async def test_a_start_that_came_meanwhile_is_refused(bazaar: Bazaar) -> None:
    await bazaar.offer()
    bazaar.clock.advance(minutes=25)
    quote = await bazaar.quote(need=bazaar.need())
    bazaar.clock.advance(minutes=5)
    assert refusal(await bazaar.try_book(quote)) == (409, "start_passed")


@pytest.mark.parametrize(
    "change", [{"price_fen": 851, "list_price_fen": 900}, {"region": "上海"}, {"interconnect_gbps": 100}]
)
async def test_an_offer_edited_since_is_refused(bazaar: Bazaar, change: dict[str, Any]) -> None:
    offer = await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    path = f"/v1/offers/{offer['id']}"
    assert (await bazaar.supplier.client.patch(path, json={}, headers={"If-Match": "*"})).status_code == 200
    edited = await bazaar.supplier.client.patch(path, json=change, headers={"If-Match": "*"})
    assert edited.status_code == 200, edited.text
    assert refusal(await bazaar.try_book(quote)) == (409, "quote_stale")


async def test_an_offer_withdrawn_since_is_refused_and_one_confirmed_is_not(bazaar: Bazaar) -> None:
    offer = await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    path = f"/v1/offers/{offer['id']}"
    await bazaar.supplier.client.post(f"{path}/withdraw", headers={"If-Match": "*"})
    assert refusal(await bazaar.try_book(quote)) == (409, "quote_stale")
    await bazaar.supplier.client.post(f"{path}/reopen", headers={"If-Match": "*"})
    await bazaar.supplier.client.patch(path, json={}, headers={"If-Match": "*"})
    assert (await bazaar.try_book(quote)).status_code == 201


async def test_a_request_edited_since_is_refused(bazaar: Bazaar) -> None:
    await bazaar.offer()
    request = await bazaar.request()
    quote = await bazaar.quote(request_id=request["id"])
    edited = await bazaar.buyer.client.patch(
        f"/v1/requests/{request['id']}", json={"deadline": bazaar.at(9)}, headers={"If-Match": "*"}
    )
    assert edited.status_code == 200
    assert refusal(await bazaar.try_book(quote)) == (409, "request_changed")


async def test_a_withdrawn_request_is_not_booked(bazaar: Bazaar) -> None:
    await bazaar.offer()
    request = await bazaar.request()
    quote = await bazaar.quote(request_id=request["id"])
    await bazaar.buyer.client.post(f"/v1/requests/{request['id']}/withdraw", headers={"If-Match": "*"})
    assert refusal(await bazaar.try_book(quote)) == (409, "request_not_open")


async def test_fewer_blocks_than_min_blocks_are_refused(bazaar: Bazaar) -> None:
    await bazaar.offer(64)
    request = await bazaar.request(blocks=3, min_blocks=2, cards=2)
    short = await bazaar.quote(request_id=request["id"], blocks=1)
    assert refusal(await bazaar.try_book(short)) == (409, "min_blocks")
    rows = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    assert [row["block"] for row in rows] == [0, 1]
    assert (await bazaar.read_request(request["id"]))["state"] == "partly_matched"


async def test_bad_bookings_are_named(bazaar: Bazaar) -> None:
    await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    assert refusal(await bazaar.try_book(quote, option=2)) == (422, "no_such_option")
    assert refusal(await bazaar.try_book(quote, option=0)) == (422, "invalid")
    for body in ({}, {"quote_id": "quote_x"}, {"quote_id": quote["id"], "state": "confirmed"}):
        answer = await bazaar.buyer.client.post("/v1/reservations", json=body, headers=keyed())
        assert refusal(answer) == (422, "invalid")
    forbidden = await bazaar.try_book(quote, by=bazaar.supplier)
    assert refusal(forbidden) == (403, "forbidden")
    empty = await bazaar.quote(need=bazaar.need(cards=9))
    assert refusal(await bazaar.try_book(empty)) == (422, "no_such_option")


async def test_what_a_suspended_supplier_lists_is_not_for_sale(bazaar: Bazaar) -> None:
    offer = await bazaar.offer()
    quote = await bazaar.quote(need=bazaar.need())
    org = encode_id("org", bazaar.supplier.org_id)
    assert (await bazaar.desk.client.post(f"/v1/organisations/{org}/suspend", json={})).status_code == 200
    assert refusal(await bazaar.try_book(quote)) == (409, "quote_stale")
    assert (await bazaar.buyer.client.get("/v1/offers")).json()["data"] == []
    again = await bazaar.quote(need=bazaar.need())
    assert (again["options"], again["reason"]["code"]) == ([], "no_chip")
    assert (await bazaar.desk.client.post(f"/v1/organisations/{org}/approve", json={})).status_code == 200
    assert [row["id"] for row in (await bazaar.buyer.client.get("/v1/offers")).json()["data"]] == [offer["id"]]
    assert (await bazaar.try_book(quote)).status_code == 201
