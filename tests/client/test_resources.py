"""Every resource of the API through the client, against the service on a real port."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.client import ApiError, AsyncClient, Client
from app.client.types import OfferIn, OfferOut, RequestIn
from tests.client.conftest import Live

pytestmark = pytest.mark.anyio

OFFER: OfferIn = {
    "ref": "o-1",
    "chip_model": "Ascend 910B",
    "region": "成都",
    "price_fen": 850,
    "list_price_fen": 1580,
    "interconnect_gbps": 200,
    "capacity": [
        {"starts_at": "2026-12-01T00:00:00Z", "cards": 32},
        {"starts_at": "2027-01-01T00:00:00Z", "cards": 0},
    ],
}
REQUEST: RequestIn = {
    "ref": "r-1",
    "alternatives": [{"chips": "class:A100-class", "cards": 8, "hours": 47.5, "max_net_price_fen": 900}],
    "earliest_start": "2026-12-01T06:00:00Z",
    "deadline": "2026-12-20T00:00:00Z",
    "blocks": 2,
}


@pytest.fixture
def desk(live: Live) -> Iterator[Client]:
    with Client(live.url, live.desk) as client:
        yield client


@pytest.fixture
def buyer(live: Live) -> Iterator[Client]:
    with Client(live.url, live.buyer) as client:
        yield client


@pytest.fixture
def supplier(live: Live) -> Iterator[Client]:
    with Client(live.url, live.supplier) as client:
        yield client


@pytest.fixture
def offer(supplier: Client) -> OfferOut:
    return supplier.offers.create(OFFER)


def test_organisations_from_registration_to_a_verified_fact(live: Live, desk: Client) -> None:
    with Client(live.url) as stranger:
        made = stranger.organisations.register({"name": "示例初创一", "roles": ["buyer"], "ref": "startup-01"})
    org_id, secret = made["organisation"]["id"], made["key"]["secret"]
    assert [row["id"] for row in desk.organisations.each(state="pending")] == [org_id]
    assert desk.organisations.page(role="buyer", limit=1)["has_more"] is True
    assert desk.organisations.approve(org_id, reason="checked")["state"] == "approved"
    with Client(live.url, secret) as own:
        assert own.keys.me()["organisation"]["id"] == org_id
        fact = own.organisations.record_fact(org_id, {"key": "kind", "value": "startup", "valid_from": "2026-01-01"})
        assert fact["verified_at"] is None
        assert desk.organisations.verify_fact(org_id, fact["id"])["verified_by"] == live.org_ids["desk"]
        assert [known["value"] for known in own.organisations.facts(org_id)["data"]] == ["startup"]
        key = own.keys.create({"label": "ci", "roles": ["buyer"], "expires_at": "2027-01-01T00:00:00Z"})
        assert {known["label"] for known in own.keys.list()["data"]} == {"first", "ci"}
        assert own.keys.revoke(key["id"])["revoked_at"] is not None
    with Client(live.url, key["secret"]) as revoked, pytest.raises(ApiError) as told:
        revoked.keys.me()
    assert (told.value.status, told.value.code) == (401, "unauthenticated")
    desk.organisations.record_affiliation(
        {
            "org_id": org_id,
            "other_org_id": live.org_ids["buyer"],
            "valid_from": "2026-01-01",
            "evidence": "示例股权证明",
        }
    )
    assert len(desk.organisations.affiliations(org_id)["data"]) == 1
    desk.organisations.add_partner(
        {"list_name": "示例名单", "org_id": live.org_ids["supplier"], "batch": "1", "valid_from": "2026-01-01"}
    )
    assert len(desk.organisations.partners(list_name="示例名单")["data"]) == 1
    assert desk.organisations.suspend(org_id, reason="示例")["state"] == "suspended"


def test_chips(desk: Client) -> None:
    assert desk.chips.read("A100 80G")["chip_class"] == "A100-class"
    every = {chip["name"] for chip in desk.chips.each(limit=20)}
    assert len(every) > 60
    strong = {chip["name"] for chip in desk.chips.each(domestic=True, min_memory_gb=64, min_fp16_tflops=300.5)}
    assert strong < every
    assert "Ascend 910C" in strong
    made = desk.chips.create({"name": "示例/芯片 一", "memory_gb": 48, "chip_class": "A100-class"})
    assert desk.chips.edit(made, {"fp16_tflops": 320})["fp16_tflops"] == 320
    assert desk.chips.convert("示例/芯片 一", petaflops="1")["cards"] == 4
    with pytest.raises(ApiError) as told:
        desk.chips.edit(made, {"vendor": "示例"})
    assert told.value.code == "stale"


def test_an_offer_from_listing_to_withdrawal(supplier: Client, offer: OfferOut) -> None:
    assert supplier.offers.read(offer["id"])["version"] == offer["version"]
    cheaper = supplier.offers.edit(offer, {"price_fen": 820})
    assert cheaper["price_fen"] == 820
    with pytest.raises(ApiError) as told:
        supplier.offers.edit(offer, {"price_fen": 810})
    assert (told.value.status, told.value.code) == (412, "stale")
    with pytest.raises(ValueError, match="as it was read"):
        supplier.offers.edit(offer["id"], {"price_fen": 810})
    capacity = supplier.offers.replace_capacity(
        cheaper,
        {
            "steps": [
                {"starts_at": "2026-12-01T00:00:00Z", "cards": 64},
                {"starts_at": "2026-12-02T00:00:00Z", "cards": 0},
            ]
        },
    )
    assert [step["cards"] for step in capacity["steps"]] == [64, 0]
    told_capacity = supplier.offers.capacity(offer["id"], from_="2026-12-01T12:00:00Z", to="2026-12-03T00:00:00Z")
    first = told_capacity["segments"][0]
    assert (first["from"], first["free"]) == ("2026-12-01T12:00:00Z", 64)
    newest = supplier.offers.read(offer["id"])
    withdrawn = supplier.offers.withdraw(newest)
    assert withdrawn["state"] == "withdrawn"
    assert supplier.offers.reopen(offer["id"], etag="*")["state"] == "open"


def test_search_by_shape(buyer: Client, offer: OfferOut) -> None:
    window: dict[str, Any] = {"from_": "2026-12-01T00:00:00Z", "to": "2026-12-10T00:00:00Z"}
    [found] = buyer.offers.each(cards=32, hours=24, **window)
    assert (found["id"], found["total_fen"]) == (offer["id"], 850 * 32 * 24)
    assert list(buyer.offers.each(cards=33, hours=24, **window)) == []
    matching: dict[str, Any] = {
        "chip_model": ["A100 80G", "Ascend 910B"],
        "region": ["成都"],
        "supplier": ["supplier"],
        "domestic": True,
    }
    assert len(list(buyer.offers.each(**matching, max_price_fen=850, min_interconnect_gbps=200, sort="-price"))) == 1
    assert list(buyer.offers.each(**matching, max_price_fen=849)) == []
    with pytest.raises(ApiError) as told:
        buyer.offers.page(cards=8)
    assert told.value.code == "shape_incomplete"


def test_from_a_request_to_a_running_reservation(
    live: Live, buyer: Client, supplier: Client, desk: Client, offer: OfferOut
) -> None:
    request = buyer.requests.create(REQUEST)
    assert [row["id"] for row in desk.requests.each(state="open", buyer="buyer")] == [request["id"]]
    edited = buyer.requests.edit(request, {"min_blocks": 2})
    assert edited["min_blocks"] == 2
    quote = buyer.quotes.ask({"request_id": request["id"]})
    assert (quote["blocks"], quote["reason"]) == (2, None)
    assert buyer.quotes.read(quote["id"])["options"] == quote["options"]
    held = buyer.reservations.book(quote["id"], quote["options"][0]["option"])["data"]
    assert [row["state"] for row in held] == ["held", "held"]
    assert [row["net_fen"] for row in held] == [850 * 8 * 48] * 2
    confirmed = []
    for row in held:
        accepted = buyer.reservations.accept(row)
        confirmed.append(supplier.reservations.accept(accepted))
    assert {row["state"] for row in confirmed} == {"confirmed"}
    assert buyer.requests.read(request["id"])["state"] == "matched"
    access = supplier.reservations.set_access(confirmed[0], instructions="ssh user@gpu.example.test")
    assert buyer.reservations.access(confirmed[0]["id"]) == access
    longer = buyer.reservations.extend(buyer.reservations.read(confirmed[1]["id"]), 3)
    assert longer["hours"] == 51
    cancelled = desk.reservations.cancel(longer, "desk_decision", detail="示例")
    assert cancelled["reason_code"] == "desk_decision"
    assert len(list(buyer.reservations.each(state="cancelled", offer_id=offer["id"], request_id=request["id"]))) == 2
    with pytest.raises(ApiError) as told:
        buyer.reservations.end(cancelled)
    assert told.value.code == "reservation_state"


def test_a_need_that_cannot_be_met_says_why(buyer: Client, offer: OfferOut) -> None:
    need: RequestIn = {**REQUEST, "alternatives": [{**REQUEST["alternatives"][0], "cards": 64}]}
    request = buyer.requests.create(need)
    assert [notice["code"] for notice in request["notices"]] == ["larger_than_any_offer"]
    quote = buyer.quotes.ask({"request_id": request["id"]})
    assert quote["options"] == []
    assert quote["reason"] is not None
    assert quote["reason"]["code"] == "too_large_for_any_offer"
    assert buyer.requests.withdraw(request)["state"] == "withdrawn"


async def test_the_async_client_books_too(live: Live, offer: OfferOut) -> None:
    async with AsyncClient(live.url, live.buyer, language="zh-CN") as client:
        quote = await client.quotes.ask(
            {
                "need": {
                    "alternatives": [{"cards": 1, "hours": 1}],
                    "earliest_start": REQUEST["earliest_start"],
                    "deadline": REQUEST["deadline"],
                }
            }
        )
        [held] = (await client.reservations.book(quote["id"], 1))["data"]
        assert [row["id"] async for row in client.reservations.each(state="held")] == [held["id"]]
        with pytest.raises(ApiError) as told:
            await client.offers.read("offer_1")
    assert told.value.errors[0].detail == "不是有效的标识符"


async def test_a_file_goes_without_a_form_too(live: Live) -> None:
    with Client(live.url, live.supplier) as client:
        document = client.claims.upload_proof("record.pdf", b"%PDF-1.4\n")
    assert (document["name"], document["size_bytes"]) == ("record.pdf", 9)
