"""Reservations: accepted by both sides, cancelled with a reason, extended, ended, handed over."""

from typing import Any

import pytest

from tests.bazaar import Bazaar, keyed, refusal
from tests.conftest import Actor, MakeActor

pytestmark = pytest.mark.anyio


async def test_both_sides_accept_and_that_confirms(bazaar: Bazaar) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    read = await bazaar.buyer.client.get(f"/v1/reservations/{row['id']}")
    assert (read.json(), read.headers["etag"]) == (row, '"1"')
    first = await bazaar.turn(bazaar.buyer, row, "accept", version=1)
    assert (first.json()["state"], first.json()["buyer_accepted_at"]) == ("held", bazaar.at(0.5))
    assert first.headers["etag"] == '"2"'
    again = await bazaar.turn(bazaar.buyer, row, "accept", version=2)
    assert (again.status_code, again.json()) == (200, first.json())
    second = await bazaar.turn(bazaar.supplier, row, "accept", version=2)
    assert (second.json()["state"], second.json()["hold_ends_at"], second.headers["etag"]) == ("confirmed", None, '"3"')
    late = await bazaar.turn(bazaar.supplier, row, "accept", version=3)
    assert (late.status_code, late.json()) == (200, second.json())
    assert (await bazaar.read_request(row["request_id"]))["state"] == "matched"


async def test_the_desk_accepts_for_the_side_it_names(bazaar: Bazaar) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    unnamed = await bazaar.turn(bazaar.desk, row, "accept")
    assert refusal(unnamed) == (422, "side_needed")
    for side in ("supplier", "buyer"):
        done = await bazaar.turn(bazaar.desk, row, "accept", {"side": side})
        assert done.json()[f"{side}_accepted_at"] is not None
    assert done.json()["state"] == "confirmed"
    other = await bazaar.book()
    wrong = await bazaar.turn(bazaar.buyer, other[0], "accept", {"side": "supplier"})
    assert refusal(wrong) == (403, "forbidden")
    assert refusal(await bazaar.turn(bazaar.buyer, other[0], "accept", {"side": "desk"})) == (422, "invalid")


async def test_one_that_is_both_sides_says_for_which(bazaar: Bazaar, make_actor: MakeActor) -> None:
    both = await make_actor("buyer", "supplier", ref="both")
    await bazaar.offer(by=both)
    quote = await bazaar.quote(both, need=bazaar.need())
    [row] = (await bazaar.try_book(quote, by=both)).json()["data"]
    assert refusal(await bazaar.turn(both, row, "accept")) == (422, "side_needed")
    assert (await bazaar.turn(both, row, "accept", {"side": "buyer"})).json()["state"] == "held"
    assert (await bazaar.turn(both, row, "accept", {"side": "supplier"})).json()["state"] == "confirmed"


VERBS = [
    ("accept", {}),
    ("cancel", {"reason": "buyer_changed_plans"}),
    ("extend", {"hours": 1}),
    ("end", {}),
]


@pytest.mark.parametrize(("verb", "body"), VERBS)
async def test_state_changes_need_a_key_and_the_version(bazaar: Bazaar, verb: str, body: dict[str, Any]) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    path = f"/v1/reservations/{row['id']}/{verb}"
    client = bazaar.buyer.client
    assert refusal(await client.post(path, json=body, headers={"If-Match": '"1"'})) == (400, "idempotency_key_required")
    assert refusal(await client.post(path, json=body, headers=keyed())) == (428, "if_match_required")
    assert refusal(await client.post(path, json=body, headers=keyed(**{"If-Match": '"9"'}))) == (412, "stale")
    more = await client.post(path, json=body | {"state": "x"}, headers=keyed(**{"If-Match": '"1"'}))
    assert refusal(more) == (422, "invalid")
    assert await bazaar.read(row) == row


@pytest.mark.parametrize(("verb", "body"), VERBS)
async def test_strangers_find_nothing_and_auditors_change_nothing(
    bazaar: Bazaar, make_actor: MakeActor, auditor: Actor, verb: str, body: dict[str, Any]
) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    for stranger in (await make_actor("buyer"), await make_actor("buyer", "supplier")):
        assert refusal(await bazaar.turn(stranger, row, verb, body)) == (404, "not_found")
        assert refusal(await stranger.client.get(f"/v1/reservations/{row['id']}")) == (404, "not_found")
        assert (await stranger.client.get("/v1/reservations")).json()["data"] == []
    assert (await auditor.client.get(f"/v1/reservations/{row['id']}")).status_code == 200
    assert refusal(await bazaar.turn(auditor, row, verb, body)) == (403, "forbidden")
    assert await bazaar.read(row) == row


async def test_a_repeated_change_acts_once(bazaar: Bazaar) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    await bazaar.confirm(row)
    headers = keyed(**{"If-Match": '"3"'})
    path = f"/v1/reservations/{row['id']}/extend"
    first = await bazaar.buyer.client.post(path, json={"hours": 2}, headers=headers)
    again = await bazaar.buyer.client.post(path, json={"hours": 2}, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert first.json()["hours"] == 12


REASONS = [
    ("buyer", "buyer_changed_plans", 200),
    ("buyer", "buyer_found_elsewhere", 200),
    ("buyer", "refused", 422),
    ("buyer", "desk_decision", 422),
    ("supplier", "refused", 200),
    ("supplier", "supplier_unavailable", 200),
    ("supplier", "hardware_failure", 200),
    ("supplier", "buyer_changed_plans", 422),
    ("desk", "desk_decision", 200),
    ("desk", "hardware_failure", 200),
    ("buyer", "hold_lapsed", 422),
]


@pytest.mark.parametrize(("who", "reason", "status"), REASONS)
async def test_each_side_has_its_reasons(bazaar: Bazaar, who: str, reason: str, status: int) -> None:
    offer = await bazaar.offer(8)
    [row] = await bazaar.book()
    if reason != "refused":
        await bazaar.confirm(row)
    done = await bazaar.turn(getattr(bazaar, who), row, "cancel", {"reason": reason, "detail": "as agreed"})
    assert done.status_code == status
    if status == 200:
        body = done.json()
        assert (body["state"], body["reason_code"], body["reason_detail"]) == ("cancelled", reason, "as agreed")
        assert await bazaar.free(offer, 5) == 8
        after = await bazaar.turn(bazaar.desk, row, "cancel", {"reason": "desk_decision"})
        assert refusal(after) == (409, "reservation_state")
    else:
        assert done.json()["code"] in ("reason_not_yours", "invalid")
        assert await bazaar.free(offer, 5) == 4


async def test_a_suppliers_cancellation_reopens_the_request_at_its_place(bazaar: Bazaar) -> None:
    await bazaar.offer(16)
    request = await bazaar.request(blocks=2, cards=2)
    bazaar.clock.advance(minutes=5)
    rows = await bazaar.book(await bazaar.quote(request_id=request["id"], blocks=2))
    assert (await bazaar.read_request(request["id"]))["state"] == "matched"
    done = await bazaar.turn(bazaar.supplier, rows[0], "cancel", {"reason": "hardware_failure"})
    assert done.status_code == 200, done.text
    now = await bazaar.read_request(request["id"])
    assert (now["state"], now["submitted_at"]) == ("partly_matched", request["submitted_at"])
    await bazaar.turn(bazaar.supplier, rows[1], "cancel", {"reason": "hardware_failure"})
    assert (await bazaar.read_request(request["id"]))["state"] == "open"
    again = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    assert again[0]["block"] == 0


async def test_a_loss_below_min_blocks_releases_the_others(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(16)
    request = await bazaar.request(blocks=4, min_blocks=3, cards=4)
    rows = await bazaar.book(await bazaar.quote(request_id=request["id"], blocks=4))
    await bazaar.confirm(rows[1])
    first = await bazaar.turn(bazaar.buyer, rows[0], "cancel", {"reason": "buyer_changed_plans"})
    assert first.json()["state"] == "cancelled"
    assert [(await bazaar.read(row))["state"] for row in rows[1:]] == ["confirmed", "held", "held"]
    assert (await bazaar.read_request(request["id"]))["state"] == "partly_matched"
    await bazaar.turn(bazaar.supplier, rows[3], "cancel", {"reason": "refused"})
    left = [await bazaar.read(row) for row in rows[1:3]]
    assert [(row["state"], row["reason_code"]) for row in left] == [("cancelled", "below_min_blocks")] * 2
    assert (await bazaar.read_request(request["id"]))["state"] == "open"
    assert await bazaar.free(offer, 5) == 16


async def test_what_runs_stays_when_blocks_fall_below_min(bazaar: Bazaar) -> None:
    await bazaar.offer(8, price_fen=100, end=11)
    await bazaar.offer(8, price_fen=200, start=20)
    request = await bazaar.request(blocks=2, min_blocks=2, cards=8, hours=10)
    running, waiting = await bazaar.book(await bazaar.quote(request_id=request["id"]))
    await bazaar.confirm(waiting)
    await bazaar.active(running)
    await bazaar.turn(bazaar.buyer, waiting, "cancel", {"reason": "buyer_changed_plans"})
    assert (await bazaar.read(running))["state"] == "active"
    assert (await bazaar.read_request(request["id"]))["state"] == "partly_matched"


async def test_extend_takes_free_capacity_at_its_price(bazaar: Bazaar) -> None:
    offer = await bazaar.offer(8, end=30)
    [row] = await bazaar.book(cards=4, hours=10)
    assert refusal(await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 5})) == (409, "reservation_state")
    await bazaar.confirm(row)
    path = f"/v1/offers/{offer['id']}"
    await bazaar.supplier.client.patch(path, json={"price_fen": 999, "list_price_fen": 999}, headers={"If-Match": "*"})
    done = await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 5})
    body = done.json()
    assert (body["ends_at"], body["hours"], body["cost_fen"], body["net_fen"]) == (bazaar.at(16), 15, 51_000, 51_000)
    assert await bazaar.free(offer, 15) == 4
    beyond = await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 15})
    assert refusal(beyond) == (409, "capacity_taken")
    assert (await bazaar.read(row)) == body
    await bazaar.book(cards=8, hours=4, earliest_start=bazaar.at(18))
    assert refusal(await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 3})) == (409, "capacity_taken")
    assert (await bazaar.turn(bazaar.desk, row, "extend", {"hours": 2})).json()["ends_at"] == bazaar.at(18)
    assert refusal(await bazaar.turn(bazaar.supplier, row, "extend", {"hours": 1})) == (403, "forbidden")
    for hours in (0, -1, 20_001, 1.5, "3"):
        assert refusal(await bazaar.turn(bazaar.buyer, row, "extend", {"hours": hours})) == (422, "invalid")
    assert refusal(await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 19_990})) == (422, "extension_too_far")


async def test_a_running_reservation_is_extended_but_not_one_that_is_over(bazaar: Bazaar) -> None:
    await bazaar.offer(8, end=90)
    [row] = await bazaar.book(hours=10)
    await bazaar.active(row)
    assert (await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 2})).json()["state"] == "active"
    bazaar.clock.advance(hours=12)
    assert refusal(await bazaar.turn(bazaar.buyer, row, "extend", {"hours": 1})) == (409, "already_ended")


@pytest.mark.parametrize("who", ["buyer", "supplier", "desk"])
async def test_an_early_end_frees_the_rest_from_the_next_hour(bazaar: Bazaar, who: str) -> None:
    offer = await bazaar.offer(8)
    [row] = await bazaar.book(cards=4, hours=10)
    actor = getattr(bazaar, who)
    assert refusal(await bazaar.turn(actor, row, "end")) == (409, "reservation_state")
    await bazaar.active(row)
    bazaar.clock.advance(hours=2, minutes=20)
    body = (await bazaar.turn(actor, row, "end")).json()
    assert (body["state"], body["ends_at"], body["hours"]) == ("active", bazaar.at(4), 3)
    assert (body["cost_fen"], body["net_fen"], body["reason_code"]) == (10_200, 10_200, None)
    assert (await bazaar.free(offer, 3), await bazaar.free(offer, 4)) == (4, 8)
    bazaar.clock.advance(minutes=40)
    assert (await bazaar.sweep()).completed == 1
    assert (await bazaar.read(row))["state"] == "completed"
    assert (await bazaar.read_request(row["request_id"]))["state"] == "closed"


async def test_an_end_on_the_hour_completes_at_once_and_never_before_the_first_hour(bazaar: Bazaar) -> None:
    await bazaar.offer(8)
    [row] = await bazaar.book(hours=10)
    await bazaar.active(row)
    body = (await bazaar.turn(bazaar.buyer, row, "end")).json()
    assert (body["state"], body["hours"]) == ("active", 1)
    bazaar.clock.advance(hours=1)
    body = (await bazaar.turn(bazaar.buyer, row, "end")).json()
    assert (body["state"], body["hours"]) == ("completed", 1)
    assert (await bazaar.read_request(row["request_id"]))["state"] == "closed"
    assert refusal(await bazaar.turn(bazaar.buyer, row, "end")) == (409, "reservation_state")


async def test_access_is_shown_after_confirmation_only(bazaar: Bazaar, make_actor: MakeActor, auditor: Actor) -> None:
    await bazaar.offer()
    [row] = await bazaar.book()
    path = f"/v1/reservations/{row['id']}/access"
    body = {"contact": "ops@example.test", "instructions": "ssh user@gpu.example.test"}

    async def put(actor: Actor, body: dict[str, Any], version: int) -> tuple[int, str]:
        answer = await actor.client.put(path, json=body, headers={"If-Match": f'"{version}"'})
        return (answer.status_code, answer.json().get("code"))

    assert refusal(await bazaar.buyer.client.get(path)) == (409, "not_confirmed")
    assert await put(bazaar.supplier, body, 1) == (409, "reservation_state")
    await bazaar.confirm(row)
    default = await bazaar.buyer.client.get(path)
    assert default.json() == {"reservation_id": row["id"], "contact": "supplier@example.test", "instructions": None}
    assert default.headers["etag"] == '"3"'
    assert refusal(await bazaar.supplier.client.put(path, json=body)) == (428, "if_match_required")
    assert await put(bazaar.supplier, body, 2) == (412, "stale")
    assert await put(bazaar.supplier, body | {"contact": "x" * 201}, 3) == (422, "invalid")
    assert await put(bazaar.supplier, body | {"instructions": "x" * 4001}, 3) == (422, "invalid")
    assert await put(bazaar.buyer, body, 3) == (403, "forbidden")
    assert await put(bazaar.supplier, body, 3) == (200, None)
    for actor in (bazaar.buyer, bazaar.supplier, bazaar.desk):
        shown = await actor.client.get(path)
        assert shown.json() == {"reservation_id": row["id"]} | body
        assert shown.headers["etag"] == '"4"'
    stranger = await make_actor("buyer", "supplier")
    assert refusal(await stranger.client.get(path)) == (404, "not_found")
    assert await put(stranger, body, 4) == (404, "not_found")
    assert refusal(await auditor.client.get(path)) == (403, "forbidden")
    await bazaar.turn(bazaar.buyer, row, "cancel", {"reason": "buyer_changed_plans"})
    assert refusal(await bazaar.buyer.client.get(path)) == (409, "not_confirmed")


async def test_lists_hold_ones_own_and_filter(bazaar: Bazaar, make_actor: MakeActor, auditor: Actor) -> None:
    offer = await bazaar.offer(64)
    other_supplier = await make_actor("supplier", ref="s2")
    other = await bazaar.offer(64, by=other_supplier, price_fen=10)
    rows = [(await bazaar.book())[0] for _ in range(3)]
    [mine] = await bazaar.book(site={"suppliers_refused": ["s2"]})
    await bazaar.turn(bazaar.buyer, mine, "cancel", {"reason": "buyer_changed_plans"})

    async def ids(actor: Actor, **query: str) -> list[str]:
        answer = await actor.client.get("/v1/reservations", params=query)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    everything = [*(row["id"] for row in rows), mine["id"]]
    for actor in (bazaar.buyer, bazaar.desk, auditor):
        assert await ids(actor) == everything
    assert await ids(bazaar.supplier) == [mine["id"]]
    assert await ids(other_supplier) == everything[:3]
    assert await ids(bazaar.buyer, state="cancelled") == [mine["id"]]
    assert await ids(bazaar.buyer, offer_id=other["id"]) == everything[:3]
    assert await ids(bazaar.buyer, offer_id=offer["id"], state="held") == []
    assert await ids(bazaar.buyer, request_id=rows[1]["request_id"]) == [rows[1]["id"]]
    page = (await bazaar.buyer.client.get("/v1/reservations", params={"limit": 2})).json()
    assert (page["has_more"], page["query"]["limit"]) == (True, 2)
    assert await ids(bazaar.buyer, after=page["next_cursor"], limit="2") == everything[2:]
    for query in ({"state": "gone"}, {"offer_id": mine["id"]}, {"buyer": "x"}):
        assert refusal(await bazaar.buyer.client.get("/v1/reservations", params=query)) == (422, "invalid")
