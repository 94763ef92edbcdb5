"""What programmes would give: explained for an organisation's verified facts, simulated on what is on record."""

from typing import Any

import pytest

from app.vouchers.programmes import shipped_text
from tests.bazaar import Bazaar, refusal
from tests.conftest import Actor, MakeActor
from tests.grants import TOML
from tests.vouchers.test_drafts import draft, publish

pytestmark = pytest.mark.anyio


async def state(desk: Actor, org: Any, key: str, value: Any) -> None:
    body = {"key": key, "value": value, "valid_from": "2020-01-01"}
    made = await desk.client.post(f"/v1/organisations/{org}/facts", json=body)
    assert made.status_code == 201, made.text


async def organisation(actor: Actor) -> str:
    return (await actor.client.get("/v1/me")).json()["organisation"]["id"]


async def test_explained_by_verified_facts(bazaar: Bazaar, make_actor: MakeActor) -> None:
    desk = bazaar.desk
    assert (await draft(desk, shipped_text("beijing-2023"))).status_code == 201
    assert (await publish(desk, 1, programme="beijing-2023")).status_code == 200
    buyer, supplier = await organisation(bazaar.buyer), await organisation(bazaar.supplier)
    body: Any = {
        "buyer_org_id": buyer,
        "supplier_org_id": supplier,
        "contract": {"items": [{"kind": "compute", "amount_fen": 100_000_000}], "hours": 720},
    }
    path = "/v1/programmes/beijing-2023/explain"

    async def unmet(actor: Actor = bazaar.buyer) -> tuple[list[str], int]:
        answer = await actor.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        [choice] = answer.json()["choices"]
        return choice["decisions"][0]["tiers"][0]["unmet"], choice["amount_fen"]

    assert await unmet() == (["partner", "batch", "integrity", "clean_years"], 0)
    await state(desk, buyer, "integrity", "clean")
    await state(desk, supplier, "partner", True)
    assert await unmet() == ([], 20_000_000)
    # Over a third organisation both are under one control.
    third = await organisation(await make_actor("buyer"))
    for pair in ((buyer, third), (third, supplier)):
        made = await desk.client.post(
            "/v1/affiliations",
            json={"org_id": pair[0], "other_org_id": pair[1], "valid_from": "2024-01-01", "evidence": "register"},
        )
        assert made.status_code == 201, made.text
    assert await unmet() == (["affiliation"], 0)
    assert await unmet(desk) == (["affiliation"], 0)
    chinese = await bazaar.buyer.client.post(path, json=body, headers={"Accept-Language": "zh-CN"})
    assert "关联关系" in chinese.text
    stranger = await make_actor("buyer")
    assert refusal(await stranger.client.post(path, json=body)) == (404, "not_found")
    gone = await bazaar.buyer.client.post("/v1/programmes/nowhere/explain", json=body)
    assert refusal(gone) == (404, "not_found")
    body["contract"]["items"] = [{"kind": "compute", "amount_fen": 1.5}]
    assert refusal(await bazaar.buyer.client.post(path, json=body)) == (422, "invalid")


async def test_simulated_on_history(bazaar: Bazaar) -> None:
    """Two bookings of 340.00 and 680.00 CNY: half is 170.00 and 340.00, the second held by the pool of 400.00."""
    desk = bazaar.desk
    buyer = await organisation(bazaar.buyer)
    await bazaar.offer(8)
    for cards in (4, 8):
        await bazaar.book(cards=cards)
    await bazaar.request(cards=1, hours=2, max_net_price_fen=100)
    toml = TOML.replace('buyer_year_cny = "300"', "").replace('"1000"', '"400"')
    path = "/v1/programmes/made-up/simulate"

    async def tried(body: Any) -> Any:
        answer = await desk.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    [year] = (await tried({"toml": toml}))["years"]
    assert (year["contracts"], year["eligible"], year["amount_fen"], year["cost_fen"]) == (2, 0, 0, 102_000)
    assert year["missed"] == [{"clause": "integrity", "contracts": 2}]
    await state(desk, buyer, "integrity", "clean")
    found = await tried({"toml": toml})
    [year] = found["years"]
    assert (year["year"], year["contracts"], year["granted"]) == (2026, 2, 2)
    assert (year["amount_fen"], year["pool_left_fen"], year["subsidised_fen"]) == (17_000 + 23_000, 0, 0)
    assert (found["requests"]["contracts"], found["requests"]["amount_fen"]) == (1, 0)
    # A draft is tried as it is stored; nothing of it was given to anybody.
    assert (await draft(desk, TOML)).status_code == 201
    [year] = (await tried({}))["years"]
    assert year["amount_fen"] == 17_000 + 13_000
    assert (await desk.client.get("/v1/vouchers")).json()["data"] == []
    for body, status, code in (
        ({"toml": TOML.replace('"made-up"', '"other"')}, 422, "other_programme"),
        ({"toml": "x"}, 422, "programme_file"),
        ({"version": 7}, 404, "not_found"),
    ):
        assert refusal(await desk.client.post(path, json=body)) == (status, code)
    assert refusal(await bazaar.buyer.client.post(path, json={})) == (403, "forbidden")
