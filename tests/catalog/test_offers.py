import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.catalog import repository
from app.catalog.models import OfferState
from app.catalog.repository import OfferFilter
from app.demand.models import Alternative, ComputeRequest
from app.kit.db import SYSTEM, Database
from app.kit.ids import decode_id, encode_id, new_id
from app.reservations.models import Reservation

pytestmark = pytest.mark.anyio
DAY = datetime(2026, 12, 2, tzinfo=UTC)
STEPS = [{"starts_at": "2026-12-02T08:00:00+08:00", "cards": 16}, {"starts_at": "2026-12-12T00:00:00Z", "cards": 0}]
OFFER: dict[str, Any] = {"chip_model": "A100 80G", "region": "北京", "price_fen": 850, "capacity": STEPS}
CHIP = {"name": "A100 80G", "vendor": "NVIDIA", "fp16_tflops": 312, "memory_gb": 80, "chip_class": "A100-class"}
ANY_VERSION = {"If-Match": "*"}


@pytest.fixture(autouse=True)
async def chips(desk) -> None:
    await desk.client.post("/v1/chips", json=CHIP)


async def post(actor, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    return await actor.client.post("/v1/offers", json=body, headers={"Idempotency-Key": key or new_id().hex})


async def listed(actor, **changes) -> dict[str, Any]:
    made = await post(actor, OFFER | changes)
    assert made.status_code == 201, made.text
    return made.json()


async def reserve(
    database: Database, offer: dict[str, Any], buyer_org_id: UUID, *, cards: int, start: int, end: int
) -> None:
    """Hold cards from one hour to another, counted from the first day's midnight."""
    request = ComputeRequest(
        id=new_id(),
        buyer_org_id=buyer_org_id,
        ref=new_id().hex,
        submitted_at=DAY,
        earliest_start=DAY,
        deadline=DAY + timedelta(days=9),
    )
    request.alternatives = [Alternative(position=0, chips="any", cards=cards, hours=1, max_net_price_fen=850)]
    async with database.write(SYSTEM) as session:
        session.add(request)
        await session.flush()
        session.add(
            Reservation(
                offer_id=decode_id("offer", offer["id"]),
                request_id=request.id,
                block=0,
                buyer_org_id=buyer_org_id,
                supplier_org_id=decode_id("org", offer["supplier"]["org_id"]),
                cards=cards,
                starts_at=DAY + timedelta(hours=start),
                ends_at=DAY + timedelta(hours=end),
                hold_ends_at=DAY,
                price_fen=850,
                cost_fen=850,
                net_fen=850,
            )
        )


async def test_an_offer_is_listed_and_read_by_all(supplier, buyer, auditor, clock) -> None:
    made = await post(supplier, OFFER | {"ref": "lot-1", "interconnect_gbps": 400, "list_price_fen": 1700})
    offer = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/offers/{offer['id']}"
    assert {name: value for name, value in offer.items() if name not in ("id", "created_at")} == {
        "ref": "lot-1",
        "supplier": {"org_id": encode_id("org", supplier.org_id), "ref": "supplier", "name": "supplier"},
        "chip_model": "A100 80G",
        "chip": {
            "vendor": "NVIDIA",
            "fp16_tflops": 312,
            "memory_gb": 80,
            "domestic": None,
            "chip_class": "A100-class",
        },
        "region": "北京",
        "cards_per_node": 8,
        "interconnect_gbps": 400,
        "price_fen": 850,
        "list_price_fen": 1700,
        "price_unit": "card_hour",
        "posted_fen_per_instance_month": None,
        "listed_fen_per_instance_month": None,
        "currency": "CNY",
        "auto_accept": False,
        "state": "open",
        "version": 1,
        "observed_at": clock.now.isoformat().replace("+00:00", "Z"),
    }
    for actor in (supplier, buyer, auditor):
        read = await actor.client.get(f"/v1/offers/{offer['id']}")
        assert (read.json(), read.headers["etag"]) == (offer, '"1"')


async def test_a_reference_is_made_from_the_id_and_taken_once(supplier, make_actor) -> None:
    offer = await listed(supplier)
    assert offer["ref"] == offer["id"]
    await listed(supplier, ref="lot")
    again = await post(supplier, OFFER | {"ref": "lot"})
    assert (again.status_code, again.json()["code"]) == (409, "reference_taken")
    await listed(await make_actor("supplier"), ref="lot")


async def test_posting_needs_a_key_and_has_one_effect(supplier, app_database) -> None:
    missing = await supplier.client.post("/v1/offers", json=OFFER)
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_required")
    first, second = await post(supplier, OFFER, "k"), await post(supplier, OFFER, "k")
    assert second.json() == first.json()
    assert second.headers["idempotent-replayed"] == "true"
    async with app_database.read(SYSTEM) as session:
        assert len(await repository.find_offers(session, OfferFilter())) == 1


async def test_the_desk_lists_for_a_supplier(desk, supplier, buyer, make_actor) -> None:
    offer = await listed(desk, supplier_org_id=encode_id("org", supplier.org_id))
    assert offer["supplier"]["ref"] == "supplier"
    pending = await make_actor("supplier", approved=False)
    for org_id, status, code in (
        (None, 422, "organisation_required"),
        (encode_id("org", desk.org_id), 422, "wrong_role"),
        (encode_id("org", buyer.org_id), 422, "wrong_role"),
        (encode_id("org", new_id()), 404, "not_found"),
        (encode_id("org", pending.org_id), 403, "organisation_not_approved"),
    ):
        refused = await post(desk, OFFER | {"supplier_org_id": org_id})
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_who_may_not_list(supplier, buyer, auditor, make_actor, http) -> None:
    other = await make_actor("supplier")
    for actor in (buyer, auditor):
        assert (await post(actor, OFFER)).status_code == 403
    foreign = await post(other, OFFER | {"supplier_org_id": encode_id("org", supplier.org_id)})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden")
    own = await post(supplier, OFFER | {"supplier_org_id": encode_id("org", supplier.org_id)})
    assert own.status_code == 201
    assert (await http.post("/v1/offers", json=OFFER)).status_code == 401


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"chip_model": "Z9"}, "/chip_model", "unknown_chip"),
        ({"chip_model": None}, "/chip_model", None),
        ({"region": ""}, "/region", None),
        ({"region": "a\x00"}, "/region", None),
        ({"cards_per_node": 0}, "/cards_per_node", None),
        ({"cards_per_node": 2.5}, "/cards_per_node", None),
        ({"interconnect_gbps": -1}, "/interconnect_gbps", None),
        ({"interconnect_gbps": 10**7}, "/interconnect_gbps", None),
        ({"price_fen": 8.5}, "/price_fen", None),
        ({"price_fen": "850"}, "/price_fen", None),
        ({"price_fen": -1}, "/price_fen", None),
        ({"price_fen": 2**63}, "/price_fen", None),
        ({"list_price_fen": 849}, "/price_fen", "price_above_list"),
        ({"price_fen": None, "list_price_fen": 900}, "/price_fen", "price_one_way"),
        ({"ref": " "}, "/ref", None),
        ({"state": "open"}, "/state", None),
        ({"capacity": []}, "/capacity", None),
        ({"capacity": [{"starts_at": "2026-12-02T00:30:00Z", "cards": 0}]}, "/capacity/0/starts_at", None),
        ({"capacity": [{"starts_at": "2026-12-02T00:00:00", "cards": 0}]}, "/capacity/0/starts_at", None),
        ({"capacity": [{"starts_at": 1796169600, "cards": 0}]}, "/capacity/0/starts_at", None),
        ({"capacity": [{"starts_at": "1996-12-02T00:00:00Z", "cards": 0}]}, "/capacity/0/starts_at", None),
        ({"capacity": [{"starts_at": "2026-12-02T00:00:00Z", "cards": -1}]}, "/capacity/0/cards", None),
        ({"capacity": [{"starts_at": "2026-12-02T00:00:00Z", "cards": 0.5}]}, "/capacity/0/cards", None),
        ({"capacity": [{"starts_at": "2026-12-02T00:00:00Z", "cards": 10**6}]}, "/capacity/0/cards", None),
        ({"capacity": STEPS[:1]}, "/capacity/0/cards", "capacity_ends_at_zero"),
        ({"capacity": STEPS[::-1]}, "/capacity/1/starts_at", "capacity_not_ascending"),
        ({"capacity": [STEPS[1], STEPS[1]]}, "/capacity/1/starts_at", "capacity_not_ascending"),
    ],
)
async def test_bad_offers_are_refused_at_the_field(supplier, app_database, change, pointer, code) -> None:
    refused = await post(supplier, OFFER | change)
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert refused.json()["code"] == (code or "invalid")
    async with app_database.read(SYSTEM) as session:
        assert await repository.find_offers(session, OfferFilter(state=None)) == []


async def test_a_price_per_instance_month_is_kept_and_converted(supplier) -> None:
    per_month = {"price_fen": None, "posted_fen_per_instance_month": 5_000_000}
    offer = await listed(supplier, **per_month, listed_fen_per_instance_month=9_000_000)
    # 5 000 000 fen / (730 h × 8 cards) = 856.16…, 9 000 000 / 5 840 = 1 541.09…
    assert (offer["price_fen"], offer["list_price_fen"]) == (856, 1541)
    assert (offer["posted_fen_per_instance_month"], offer["listed_fen_per_instance_month"]) == (5_000_000, 9_000_000)
    assert offer["price_unit"] == "instance_month"
    alone = await listed(supplier, **per_month)
    assert (alone["list_price_fen"], alone["listed_fen_per_instance_month"]) == (856, 5_000_000)

    both = await post(supplier, OFFER | {"posted_fen_per_instance_month": 5_000_000})
    assert (both.status_code, both.json()["code"]) == (422, "price_one_way")
    assert {e["pointer"] for e in both.json()["errors"]} == {"/price_fen", "/posted_fen_per_instance_month"}
    mixed = await post(supplier, OFFER | {"listed_fen_per_instance_month": 5_000_000})
    assert mixed.json()["code"] == "price_one_way"
    above = await post(supplier, OFFER | per_month | {"listed_fen_per_instance_month": 4_999_999})
    assert (above.json()["code"], above.json()["errors"][0]["pointer"]) == (
        "price_above_list",
        "/posted_fen_per_instance_month",
    )
    absurd = await post(supplier, OFFER | {"price_fen": None, "posted_fen_per_instance_month": 10**15})
    assert (absurd.status_code, absurd.json()["code"]) == (422, "price_too_high")


async def patch(actor, offer: dict[str, Any], body: dict[str, Any], version: int) -> httpx.Response:
    return await actor.client.patch(f"/v1/offers/{offer['id']}", json=body, headers={"If-Match": f'"{version}"'})


async def test_an_offer_is_changed_by_version(supplier, desk, clock) -> None:
    offer = await listed(supplier, list_price_fen=1000)
    clock.advance(hours=3)
    changed = await patch(supplier, offer, {"price_fen": 900, "interconnect_gbps": 200, "auto_accept": True}, 1)
    assert changed.status_code == 200
    expected = offer | {
        "price_fen": 900,
        "interconnect_gbps": 200,
        "auto_accept": True,
        "version": 2,
        "observed_at": clock.now.isoformat().replace("+00:00", "Z"),
    }
    assert (changed.json(), changed.headers["etag"]) == (expected, '"2"')
    assert (await patch(supplier, offer, {}, 1)).status_code == 412
    missing = await supplier.client.patch(f"/v1/offers/{offer['id']}", json={})
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
    by_desk = await patch(desk, offer, {"interconnect_gbps": None, "region": "上海"}, 2)
    assert (by_desk.json()["interconnect_gbps"], by_desk.json()["region"], by_desk.json()["version"]) == (
        None,
        "上海",
        3,
    )
    assert (await supplier.client.get(f"/v1/offers/{offer['id']}")).json() == by_desk.json()


async def test_changes_of_price(supplier) -> None:
    offer = await listed(supplier, list_price_fen=1000)

    async def change(body: dict[str, Any]) -> httpx.Response:
        response = await supplier.client.patch(f"/v1/offers/{offer['id']}", json=body, headers=ANY_VERSION)
        offer.update(response.json() if response.status_code == 200 else {})
        return response

    assert (await change({"price_fen": 1001})).json()["code"] == "price_above_list"
    assert (await change({"list_price_fen": 849})).json()["code"] == "price_above_list"
    assert (await change({"listed_fen_per_instance_month": 1})).json()["code"] == "price_one_way"
    assert (await change({"price_fen": 1, "posted_fen_per_instance_month": 1})).json()["code"] == "price_one_way"
    assert offer["version"] == 1
    await change({"price_fen": 1200, "list_price_fen": 1200})
    assert (offer["price_fen"], offer["list_price_fen"]) == (1200, 1200)
    await change({"list_price_fen": 1300})
    assert (offer["price_fen"], offer["list_price_fen"]) == (1200, 1300)
    await change({"posted_fen_per_instance_month": 5_840_000})
    assert (offer["price_fen"], offer["list_price_fen"], offer["price_unit"]) == (1000, 1300, "instance_month")
    assert (await change({"list_price_fen": 1400})).json()["code"] == "price_one_way"
    await change({"listed_fen_per_instance_month": 11_680_000})
    assert (offer["list_price_fen"], offer["posted_fen_per_instance_month"]) == (2000, 5_840_000)
    await change({"price_fen": 1100})
    assert (offer["price_fen"], offer["list_price_fen"], offer["price_unit"]) == (1100, 2000, "card_hour")
    assert (offer["posted_fen_per_instance_month"], offer["listed_fen_per_instance_month"]) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        {"price_fen": None},
        {"auto_accept": None},
        {"auto_accept": 1},
        {"region": None},
        {"price_fen": 1.5},
        {"chip_model": "A100 80G"},
        {"version": 2},
    ],
)
async def test_bad_changes_are_refused_at_the_field(supplier, body: dict[str, Any]) -> None:
    offer = await listed(supplier)
    refused = await patch(supplier, offer, body, 1)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/{next(iter(body))}"]


async def test_another_suppliers_offer_is_seen_but_not_changed(supplier, buyer, auditor, make_actor) -> None:
    offer = await listed(supplier)
    url = f"/v1/offers/{offer['id']}"
    other = await make_actor("supplier")
    for actor in (other, buyer, auditor):
        for response in (
            await actor.client.patch(url, json={}, headers=ANY_VERSION),
            await actor.client.put(f"{url}/capacity", json={"steps": STEPS}, headers=ANY_VERSION),
            await actor.client.post(f"{url}/withdraw", headers=ANY_VERSION),
            await actor.client.post(f"{url}/reopen", headers=ANY_VERSION),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await supplier.client.get(url)).json() == offer


async def test_a_withdrawn_offer_is_hidden_and_reopens(supplier, desk, buyer, auditor, make_actor) -> None:
    offer = await listed(supplier)
    url = f"/v1/offers/{offer['id']}"
    assert (await supplier.client.post(f"{url}/withdraw")).status_code == 428
    stale = await supplier.client.post(f"{url}/withdraw", headers={"If-Match": '"2"'})
    assert stale.status_code == 412
    withdrawn = await supplier.client.post(f"{url}/withdraw", headers={"If-Match": '"1"'})
    assert (withdrawn.json()["state"], withdrawn.headers["etag"]) == ("withdrawn", '"2"')
    again = await supplier.client.post(f"{url}/withdraw", headers=ANY_VERSION)
    assert (again.status_code, again.json()["code"]) == (409, "offer_state")
    other = await make_actor("supplier")
    for actor, status in ((supplier, 200), (desk, 200), (auditor, 200), (buyer, 404), (other, 404)):
        assert (await actor.client.get(url)).status_code == status
        assert (await actor.client.get(f"{url}/capacity")).status_code == status
    reopened = await desk.client.post(f"{url}/reopen", headers={"If-Match": '"2"'})
    assert (reopened.json()["state"], reopened.json()["version"]) == ("open", 3)
    assert (await buyer.client.get(url)).status_code == 200
    assert (await buyer.client.get(f"/v1/offers/{encode_id('offer', new_id())}")).status_code == 404
    assert (await buyer.client.get("/v1/offers/offer_x")).status_code == 422


async def capacity(actor, offer: dict[str, Any], **params: str) -> dict[str, Any]:
    return (await actor.client.get(f"/v1/offers/{offer['id']}/capacity", params=params)).json()


def segment(start: int, end: int, total: int, reserved: int) -> dict[str, Any]:
    moments = [(DAY + timedelta(hours=hours)).isoformat().replace("+00:00", "Z") for hours in (start, end)]
    return {"from": moments[0], "to": moments[1], "total": total, "reserved": reserved, "free": total - reserved}


async def test_capacity_shows_what_is_reserved_and_free(supplier, buyer, make_actor, app_database) -> None:
    offer = await listed(supplier)
    assert (await capacity(buyer, offer))["segments"] == [segment(0, 240, 16, 0)]
    await reserve(app_database, offer, buyer.org_id, cards=8, start=24, end=48)
    await reserve(app_database, offer, buyer.org_id, cards=4, start=36, end=60)
    stranger = await make_actor("buyer")
    shown = await capacity(stranger, offer)
    assert shown["steps"] == [
        {"starts_at": "2026-12-02T00:00:00Z", "cards": 16},
        {"starts_at": "2026-12-12T00:00:00Z", "cards": 0},
    ]
    assert shown["segments"] == [
        segment(0, 24, 16, 0),
        segment(24, 36, 16, 8),
        segment(36, 48, 16, 12),
        segment(48, 60, 16, 4),
        segment(60, 240, 16, 0),
    ]
    bounded = {"from": "2026-12-03T12:30:00Z", "to": "2026-12-04T02:00:00Z"}
    part = (await capacity(stranger, offer, **bounded))["segments"]
    assert [(s["from"], s["to"], s["reserved"]) for s in part] == [
        ("2026-12-03T12:30:00Z", "2026-12-04T00:00:00Z", 12),
        ("2026-12-04T00:00:00Z", "2026-12-04T02:00:00Z", 4),
    ]
    assert (await capacity(stranger, offer, to="2026-12-01T00:00:00Z"))["segments"] == []
    upside_down = await capacity(stranger, offer, **{"from": "2026-12-05T00:00:00Z", "to": "2026-12-05T00:00:00Z"})
    assert upside_down["code"] == "window_order"
    assert (await capacity(stranger, offer, **{"from": "2026-12-05T00:00:00"}))["code"] == "invalid"


async def put(actor, offer: dict[str, Any], steps: list[Any], version: int | str = "*") -> httpx.Response:
    match = version if version == "*" else f'"{version}"'
    return await actor.client.put(
        f"/v1/offers/{offer['id']}/capacity", json={"steps": steps}, headers={"If-Match": match}
    )


def step(hours: int, cards: int) -> dict[str, Any]:
    return {"starts_at": (DAY + timedelta(hours=hours)).isoformat(), "cards": cards}


async def test_capacity_is_replaced_whole(supplier, desk, clock) -> None:
    offer = await listed(supplier)
    clock.advance(hours=1)
    put_back = await put(supplier, offer, [step(0, 8), step(48, 32), step(96, 0)], 1)
    assert put_back.status_code == 200
    assert put_back.headers["etag"] == '"2"'
    assert put_back.json()["segments"] == [segment(0, 48, 8, 0), segment(48, 96, 32, 0)]
    assert put_back.json()["observed_at"] == clock.now.isoformat().replace("+00:00", "Z")
    assert await capacity(supplier, offer) == put_back.json()
    assert (await put(supplier, offer, STEPS, 1)).status_code == 412
    missing = await supplier.client.put(f"/v1/offers/{offer['id']}/capacity", json={"steps": STEPS})
    assert missing.status_code == 428
    none = await put(desk, offer, [step(0, 0)], 2)
    assert (none.json()["segments"], none.json()["steps"]) == ([], [{"starts_at": "2026-12-02T00:00:00Z", "cards": 0}])
    assert (await supplier.client.get(f"/v1/offers/{offer['id']}")).json()["version"] == 3


@pytest.mark.parametrize(
    ("steps", "pointer", "code"),
    [
        ([], "/steps", "invalid"),
        ([step(0, 8)], "/steps/0/cards", "capacity_ends_at_zero"),
        ([step(0, 8), step(0, 0)], "/steps/1/starts_at", "capacity_not_ascending"),
        ([step(0, 8), step(5, 2), step(4, 0)], "/steps/2/starts_at", "capacity_not_ascending"),
        ([{"starts_at": "2026-12-02T00:00:01Z", "cards": 0}], "/steps/0/starts_at", "invalid"),
        ([step(0, 1) | {"seq": 1}, step(5, 0)], "/steps/0/seq", "invalid"),
    ],
)
async def test_bad_capacity_is_refused_and_changes_nothing(supplier, steps, pointer, code) -> None:
    offer = await listed(supplier)
    before = await capacity(supplier, offer)
    refused = await put(supplier, offer, steps)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert await capacity(supplier, offer) == before


@pytest.mark.parametrize(
    "steps",
    [
        [step(0, 7), step(240, 0)],
        [step(0, 16), step(47, 0)],
        [step(25, 16), step(240, 0)],
        [step(0, 16), step(30, 7), step(31, 16), step(240, 0)],
        [step(0, 0)],
    ],
)
async def test_capacity_below_commitments_is_refused(supplier, buyer, app_database, steps) -> None:
    offer = await listed(supplier)
    await reserve(app_database, offer, buyer.org_id, cards=8, start=24, end=48)
    before = await capacity(supplier, offer)
    refused = await put(supplier, offer, steps)
    assert (refused.status_code, refused.json()["code"]) == (409, "capacity_below_commitments")
    assert await capacity(supplier, offer) == before


async def test_capacity_down_to_commitments_is_accepted(supplier, buyer, app_database) -> None:
    offer = await listed(supplier)
    await reserve(app_database, offer, buyer.org_id, cards=8, start=24, end=48)
    # Other moments, the same cover: neither half of this edit alone would do.
    lowered = await put(supplier, offer, [step(23, 8), step(49, 0)])
    assert lowered.json()["segments"] == [segment(23, 24, 8, 0), segment(24, 48, 8, 8), segment(48, 49, 8, 0)]


async def test_the_region_stays_while_something_is_reserved(supplier, buyer, app_database) -> None:
    offer = await listed(supplier)
    await reserve(app_database, offer, buyer.org_id, cards=1, start=0, end=1)
    refused = await patch(supplier, offer, {"region": "上海"}, 1)
    assert (refused.status_code, refused.json()["code"]) == (409, "offer_committed")
    assert (await patch(supplier, offer, {"region": "北京", "price_fen": 800}, 1)).status_code == 200


async def test_offers_are_found_by_any_attribute(supplier, desk, make_actor, app_database, buyer) -> None:
    await desk.client.post("/v1/chips", json={"name": "S60", "vendor": "Enflame", "domestic": True})
    other = await make_actor("supplier", ref="other")
    first = await listed(supplier, interconnect_gbps=400, cards_per_node=4)
    second = await listed(other, chip_model="S60", region="上海", price_fen=400)
    third = await listed(other, price_fen=2000)
    await other.client.post(f"/v1/offers/{third['id']}/withdraw", headers=ANY_VERSION)
    first_id, second_id, third_id = (decode_id("offer", o["id"]) for o in (first, second, third))

    async def found(caller=None, limit_ids=None, **wanted) -> set[UUID]:
        async with app_database.read(SYSTEM) as session:
            offers = await repository.find_offers(session, OfferFilter(**wanted), limit_ids, caller=caller)
            assert all(offer.chip.name == offer.chip_model for offer in offers)
            return {offer.id for offer in offers}

    assert await found() == {first_id, second_id}
    assert await found(state=None) == {first_id, second_id, third_id}
    assert await found(state=None, caller=buyer.caller) == {first_id, second_id}
    assert await found(state=None, caller=other.caller) == {first_id, second_id, third_id}
    assert await found(state=OfferState.WITHDRAWN, caller=desk.caller) == {third_id}
    assert await found(limit_ids=[second_id, third_id]) == {second_id}
    assert await found(limit_ids=[]) == set()
    assert await found(chip_models=("S60", "Z9")) == {second_id}
    assert await found(chip_class="A100-class") == {first_id}
    assert await found(vendor="Enflame") == {second_id}
    assert await found(domestic=True) == {second_id}
    assert await found(regions=("上海", "广州")) == {second_id}
    assert await found(suppliers=("supplier",)) == {first_id}
    assert await found(supplier_org_id=other.org_id) == {second_id}
    assert await found(price_fen_lte=400) == {second_id}
    assert await found(price_fen_gte=401) == {first_id}
    assert await found(interconnect_gbps_gte=400) == {first_id}
    assert await found(memory_gb_gte=80) == {first_id}
    assert await found(fp16_tflops_gte=313) == set()
    assert await found(cards_per_node=4) == {first_id}


async def test_steps_and_usage_load_for_many_offers(supplier, buyer, app_database) -> None:
    offers = [await listed(supplier) for _ in range(2)]
    await reserve(app_database, offers[0], buyer.org_id, cards=5, start=10, end=20)
    ids = [decode_id("offer", offer["id"]) for offer in offers]
    async with app_database.read(buyer.caller.scope) as session:
        steps = await repository.load_steps(session, ids)
        usage = await repository.load_usage(session, ids, DAY + timedelta(hours=12), DAY + timedelta(hours=30))
        assert await repository.load_usage(session, [], DAY, DAY) == {}
    assert steps[ids[1]] == [(DAY, 16), (DAY + timedelta(days=10), 0)]
    assert usage == {ids[0]: [(DAY + timedelta(hours=12), 5), (DAY + timedelta(hours=20), 0)], ids[1]: []}


async def test_of_two_changes_to_one_version_one_is_made(supplier) -> None:
    offer = await listed(supplier)
    answers = await asyncio.gather(
        *(patch(supplier, offer, {"price_fen": 800 + index}, 1) for index in range(4)),
        *(put(supplier, offer, [step(0, 8 + index), step(9, 0)], 1) for index in range(4)),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert (await supplier.client.get(f"/v1/offers/{offer['id']}")).json()["version"] == 2


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\u0000b"', "[" * 50 + "]" * 50])
async def test_texts_that_no_database_takes(supplier, text: str) -> None:
    body = json.dumps(OFFER | {"region": "REGION"}).replace('"REGION"', text)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    refused = await supplier.client.post("/v1/offers", content=body, headers=headers)
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/region"}
