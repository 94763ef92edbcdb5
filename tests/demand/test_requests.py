import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.demand import service
from app.demand.models import RequestState
from app.demand.repository import get_request, lock_requests
from app.kit.db import SYSTEM
from app.kit.ids import decode_id, encode_id, new_id

pytestmark = pytest.mark.anyio
ALTERNATIVE = {"cards": 8, "hours": 72, "max_net_price_fen": 900}
REQUEST: dict[str, Any] = {
    "alternatives": [ALTERNATIVE],
    "earliest_start": "2026-12-02T09:30:00+08:00",
    "deadline": "2026-12-12T00:00:00Z",
}
SITE: dict[str, Any] = {
    "regions": [],
    "suppliers_allowed": [],
    "suppliers_refused": [],
    "min_interconnect_gbps": None,
    "min_cards_per_node": None,
    "domestic": None,
}
ANY_VERSION = {"If-Match": "*"}


@pytest.fixture(autouse=True)
async def chips(desk) -> None:
    for body in (
        {"name": "A100 80G", "memory_gb": 80, "fp16_tflops": 312, "domestic": False, "chip_class": "A100-class"},
        {"name": "Ascend 910B", "memory_gb": 64, "domestic": True, "chip_class": "A100-class"},
    ):
        await desk.client.post("/v1/chips", json=body)


async def post(actor, **changes) -> httpx.Response:
    return await actor.client.post("/v1/requests", json=REQUEST | changes)


async def posted(actor, **changes) -> dict[str, Any]:
    made = await post(actor, **changes)
    assert made.status_code == 201, made.text
    return made.json()


async def read(actor, request: dict[str, Any]) -> httpx.Response:
    return await actor.client.get(f"/v1/requests/{request['id']}")


async def patch(actor, request: dict[str, Any], version: int | None, **body) -> httpx.Response:
    headers = {"If-Match": f'"{version}"'} if version else ANY_VERSION
    return await actor.client.patch(f"/v1/requests/{request['id']}", json=body, headers=headers)


async def withdraw(actor, request: dict[str, Any], version: int | None = None) -> httpx.Response:
    headers = {"If-Match": f'"{version}"'} if version else ANY_VERSION
    return await actor.client.post(f"/v1/requests/{request['id']}/withdraw", headers=headers)


async def set_live(database, request: dict[str, Any], live: int) -> dict[UUID, RequestState]:
    request_id = decode_id("req", request["id"])
    async with database.write(SYSTEM) as session:
        await lock_requests(session, [request_id])
        return await service.set_state_from_live(session, {request_id: live})


async def offer(supplier, *, cards: int, chip_model: str = "A100 80G") -> None:
    body = {
        "chip_model": chip_model,
        "region": "北京",
        "price_fen": 850,
        "capacity": [
            {"starts_at": "2026-12-01T00:00:00Z", "cards": cards},
            {"starts_at": "2027-01-01T00:00:00Z", "cards": 0},
        ],
    }
    made = await supplier.client.post("/v1/offers", json=body, headers={"Idempotency-Key": new_id().hex})
    assert made.status_code == 201


async def test_a_request_is_posted_and_read(buyer, supplier, desk, auditor, clock) -> None:
    await offer(supplier, cards=64)
    site = SITE | {
        "regions": ["北京"],
        "suppliers_allowed": ["supplier"],
        "min_interconnect_gbps": 200,
        "min_cards_per_node": 8,
        "domestic": False,
    }
    alternatives = [
        ALTERNATIVE | {"chips": "A100 80G | class:A100-class", "min_memory_gb": 40, "min_fp16_tflops": 300.5},
        ALTERNATIVE | {"cards": 4, "hours": 100.25},
    ]
    made = await post(buyer, ref="train-1", alternatives=alternatives, blocks=3, min_blocks=2, site=site)
    assert made.status_code == 201
    request = made.json()
    assert made.headers["location"] == f"/v1/requests/{request['id']}"
    assert {name: value for name, value in request.items() if name not in ("id", "created_at")} == {
        "ref": "train-1",
        "buyer": {"org_id": encode_id("org", buyer.org_id), "ref": "buyer", "name": "buyer"},
        "submitted_at": "2026-12-01T00:30:00Z",
        "earliest_start": "2026-12-02T01:30:00Z",
        "deadline": "2026-12-12T00:00:00Z",
        "blocks": 3,
        "min_blocks": 2,
        "priority": 1,
        "alternatives": [
            {
                "chips": "A100 80G | class:A100-class",
                "min_memory_gb": 40,
                "min_fp16_tflops": 300.5,
                "cards": 8,
                "hours": 72,
                "whole_hours": 72,
                "max_net_price_fen": 900,
            },
            {
                "chips": "any",
                "min_memory_gb": None,
                "min_fp16_tflops": None,
                "cards": 4,
                "hours": 100.25,
                "whole_hours": 101,
                "max_net_price_fen": 900,
            },
        ],
        "site": site,
        "currency": "CNY",
        "state": "open",
        "version": 1,
        "notices": [],
    }
    for actor in (buyer, desk, auditor):
        shown = await read(actor, request)
        assert (shown.json(), shown.headers["etag"]) == (request, '"1"')


async def test_what_is_left_out_has_defaults(buyer) -> None:
    request = await posted(buyer)
    assert request["ref"] == request["id"]
    assert (request["blocks"], request["min_blocks"], request["priority"]) == (1, 1, 1)
    assert request["site"] == SITE
    assert request["alternatives"][0]["chips"] == "any"


async def test_a_reference_is_taken_once(buyer, make_actor) -> None:
    await posted(buyer, ref="r")
    again = await post(buyer, ref="r")
    assert (again.status_code, again.json()["code"]) == (409, "reference_taken")
    await posted(await make_actor("buyer"), ref="r")


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"alternatives": []}, "/alternatives", "invalid"),
        ({"alternatives": [ALTERNATIVE] * 21}, "/alternatives", "invalid"),
        ({"earliest_start": "2026-12-02T09:30:00"}, "/earliest_start", "invalid"),
        ({"earliest_start": "tomorrow"}, "/earliest_start", "invalid"),
        ({"deadline": 1796169600}, "/deadline", "invalid"),
        ({"deadline": "2300-01-01T00:00:00Z"}, "/deadline", "invalid"),
        ({"deadline": "2026-12-02T01:30:00Z"}, "/deadline", "window_order"),
        ({"deadline": "2026-12-01T01:30:00Z"}, "/deadline", "window_order"),
        ({"blocks": 0}, "/blocks", "invalid"),
        ({"blocks": 1001}, "/blocks", "invalid"),
        ({"blocks": 1.5}, "/blocks", "invalid"),
        ({"blocks": 2, "min_blocks": 3}, "/min_blocks", "min_blocks_above_blocks"),
        ({"min_blocks": 0}, "/min_blocks", "invalid"),
        ({"ref": ""}, "/ref", "invalid"),
        ({"ref": "x" * 121}, "/ref", "invalid"),
        ({"state": "matched"}, "/state", "invalid"),
        ({"version": 7}, "/version", "invalid"),
        ({"submitted_at": "2026-12-02T01:30:00Z"}, "/submitted_at", "invalid"),
        ({"site": {"regions": ["x"] * 101}}, "/site/regions", "invalid"),
        ({"site": {"regions": [""]}}, "/site/regions/0", "invalid"),
        ({"site": {"suppliers_allowed": ["nobody"]}}, "/site/suppliers_allowed/0", "unknown_supplier"),
        ({"site": {"suppliers_refused": ["nobody"]}}, "/site/suppliers_refused/0", "unknown_supplier"),
        ({"site": {"min_interconnect_gbps": -1}}, "/site/min_interconnect_gbps", "invalid"),
        ({"site": {"min_cards_per_node": 0}}, "/site/min_cards_per_node", "invalid"),
        ({"site": {"domestic": "yes"}}, "/site/domestic", "invalid"),
        ({"site": {"city": "x"}}, "/site/city", "invalid"),
        ({"priority": 0}, "/priority", "invalid"),
        ({"priority": 1001}, "/priority", "invalid"),
    ],
)
async def test_bad_requests_are_refused_at_the_field(buyer, change, pointer, code) -> None:
    refused = await post(buyer, **change)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert (await buyer.client.get("/v1/requests")).json()["data"] == []


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"cards": 0}, "cards", "invalid"),
        ({"cards": -8}, "cards", "invalid"),
        ({"cards": 0.5}, "cards", "invalid"),
        ({"cards": 100_001}, "cards", "invalid"),
        ({"cards": None}, "cards", "invalid"),
        ({"hours": 0}, "hours", "invalid"),
        ({"hours": -0.5}, "hours", "invalid"),
        ({"hours": 20_000.5}, "hours", "invalid"),
        ({"hours": 1e308}, "hours", "invalid"),
        ({"hours": 0.0000001}, "hours", "invalid"),
        ({"hours": "72"}, "hours", "invalid"),
        ({"hours": True}, "hours", "invalid"),
        ({"max_net_price_fen": 8.555}, "max_net_price_fen", "invalid"),
        ({"max_net_price_fen": -1}, "max_net_price_fen", "invalid"),
        ({"max_net_price_fen": 2**63}, "max_net_price_fen", "invalid"),
        ({"min_memory_gb": 0}, "min_memory_gb", "invalid"),
        ({"min_fp16_tflops": 0.0001}, "min_fp16_tflops", "invalid"),
        ({"chips": ""}, "chips", "invalid"),
        ({"chips": "any\x00"}, "chips", "invalid"),
        ({"chips": "A100 80G||any"}, "chips", "chip_selector"),
        ({"chips": "class:"}, "chips", "chip_selector"),
        ({"chips": "Z9"}, "chips", "unknown_chip"),
        ({"chips": "any|class:Z9"}, "chips", "unknown_chip"),
        ({"chip": "any"}, "chip", "invalid"),
    ],
)
async def test_bad_alternatives_are_refused_at_the_field(buyer, change, field, code) -> None:
    refused = await post(buyer, alternatives=[ALTERNATIVE, ALTERNATIVE | change])
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert [error["pointer"] for error in refused.json()["errors"]] == [f"/alternatives/1/{field}"]
    assert (await buyer.client.get("/v1/requests")).json()["data"] == []


async def test_every_unknown_chip_is_named(buyer) -> None:
    refused = await post(
        buyer, alternatives=[ALTERNATIVE | {"chips": "Z9|any|class:Q"}, ALTERNATIVE | {"chips": "A100"}]
    )
    errors = refused.json()["errors"]
    assert [error["pointer"] for error in errors] == ["/alternatives/0/chips"] * 2 + ["/alternatives/1/chips"]
    for name, error in zip(("Z9", "class:Q", "A100"), errors, strict=True):
        assert f" {name};" in error["detail"]


async def test_a_supplier_is_not_both_allowed_and_refused(buyer, supplier) -> None:
    both = {"suppliers_allowed": ["supplier"], "suppliers_refused": ["supplier"]}
    refused = await post(buyer, site=both)
    assert (refused.status_code, refused.json()["code"]) == (422, "supplier_both_ways")
    assert (await posted(buyer, site={"suppliers_refused": ["supplier"]}))["site"]["suppliers_refused"] == ["supplier"]


@pytest.mark.parametrize("hours", [0.000001, 0.0506, 904.4569, 19_999.999999, 20_000])
async def test_hours_are_kept_as_asked(buyer, hours: float) -> None:
    request = await posted(buyer, alternatives=[ALTERNATIVE | {"hours": hours}])
    [alternative] = (await read(buyer, request)).json()["alternatives"]
    assert alternative["hours"] == hours
    assert alternative["whole_hours"] == math.ceil(hours)


async def notices(actor, **changes) -> list[tuple[str, str]]:
    request = await posted(actor, **changes)
    assert (await read(actor, request)).json()["notices"] == request["notices"]
    return [(notice["code"], notice["pointer"]) for notice in request["notices"]]


async def test_what_cannot_be_met_as_things_are_is_accepted_and_told(buyer, supplier) -> None:
    assert await notices(buyer) == [("no_such_chip_on_offer", "/alternatives/0")]
    await offer(supplier, cards=16)
    await offer(supplier, cards=4, chip_model="Ascend 910B")
    assert await notices(buyer) == []
    assert await notices(buyer, alternatives=[ALTERNATIVE | {"cards": 16}]) == []
    larger = await posted(buyer, alternatives=[ALTERNATIVE, ALTERNATIVE | {"cards": 17}])
    assert larger["notices"] == [
        {
            "code": "larger_than_any_offer",
            "pointer": "/alternatives/1",
            "detail": "17 cards in one offer are asked for; the largest open offer of such chips has 16.",
        }
    ]
    domestic = [ALTERNATIVE | {"chips": "domestic", "cards": 5}]
    assert await notices(buyer, alternatives=domestic) == [("larger_than_any_offer", "/alternatives/0")]
    speedy = [ALTERNATIVE | {"chips": "domestic", "min_fp16_tflops": 1}]
    assert await notices(buyer, alternatives=speedy) == [("no_such_chip_on_offer", "/alternatives/0")]


async def test_a_window_too_short_is_accepted_and_told(buyer, supplier) -> None:
    await offer(supplier, cards=64)
    # From 09:30 to 15:15 there are five whole hours on the hour, 10:00 to 15:00.
    window = {"earliest_start": "2026-12-02T09:30:00Z", "deadline": "2026-12-02T15:15:00Z"}
    assert await notices(buyer, **window, alternatives=[ALTERNATIVE | {"hours": 5}]) == []
    told = await posted(buyer, **window, alternatives=[ALTERNATIVE | {"hours": 5.1}])
    assert [notice["code"] for notice in told["notices"]] == ["window_too_short"]
    assert told["notices"][0]["detail"].startswith("6 whole hours")
    shown = await buyer.client.get(f"/v1/requests/{told['id']}", headers={"Accept-Language": "zh-CN"})
    assert shown.json()["notices"][0]["detail"].startswith("需要 6 个整小时")
    tiny = {"earliest_start": "2026-12-02T09:30:00Z", "deadline": "2026-12-02T09:31:00Z"}
    assert await notices(buyer, **tiny) == [("window_too_short", "/alternatives/0")]


async def test_the_desk_posts_for_a_buyer_and_sets_the_priority(desk, buyer, supplier) -> None:
    request = await posted(desk, buyer_org_id=encode_id("org", buyer.org_id), priority=5)
    assert (request["buyer"]["ref"], request["priority"]) == ("buyer", 5)
    assert (await read(buyer, request)).status_code == 200
    for org_id, status, code in (
        (None, 422, "organisation_required"),
        (encode_id("org", supplier.org_id), 422, "wrong_role"),
        (encode_id("org", new_id()), 404, "not_found"),
    ):
        refused = await post(desk, buyer_org_id=org_id)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_a_buyer_never_sets_the_priority(buyer, desk) -> None:
    refused = await post(buyer, priority=1)
    assert (refused.status_code, refused.json()["code"]) == (403, "priority_by_desk_only")
    request = await posted(buyer)
    refused = await patch(buyer, request, 1, priority=2)
    assert (refused.status_code, refused.json()["code"]) == (403, "priority_by_desk_only")
    changed = await patch(desk, request, 1, priority=2)
    assert (changed.json()["priority"], changed.json()["version"]) == (2, 2)


async def test_other_organisations_see_nothing(buyer, supplier, auditor, make_actor, http) -> None:
    request = await posted(buyer)
    other = await make_actor("buyer")
    for response in (
        await read(other, request),
        await patch(other, request, 1, blocks=2),
        await withdraw(other, request),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (await other.client.get("/v1/requests")).json()["data"] == []
    assert (await other.client.get("/v1/requests?buyer=buyer")).json()["data"] == []
    for response in (
        await read(supplier, request),
        await supplier.client.get("/v1/requests"),
        await post(supplier),
        await post(auditor),
        await patch(auditor, request, 1, blocks=2),
        await withdraw(auditor, request),
        await post(other, buyer_org_id=encode_id("org", buyer.org_id)),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await http.get("/v1/requests")).status_code == 401
    assert (await read(buyer, request)).json() == request


async def test_a_request_is_changed_by_version(buyer, desk, clock) -> None:
    request = await posted(buyer)
    clock.advance(hours=1)
    site = SITE | {"regions": ["上海"], "domestic": True}
    changes = {
        "alternatives": [ALTERNATIVE | {"chips": "domestic"}, ALTERNATIVE | {"cards": 16}],
        "earliest_start": "2026-12-03T00:00:00Z",
        "deadline": "2026-12-20T00:00:00Z",
        "blocks": 4,
        "min_blocks": 2,
        "site": site,
    }
    changed = await patch(buyer, request, 1, **changes)
    assert changed.status_code == 200
    shown = changed.json()
    assert changed.headers["etag"] == '"2"'
    assert [(a["chips"], a["cards"]) for a in shown["alternatives"]] == [("domestic", 8), ("any", 16)]
    assert {name: shown[name] for name in changes if name != "alternatives"} == {
        name: value for name, value in changes.items() if name != "alternatives"
    }
    assert shown["submitted_at"] == request["submitted_at"]
    assert (await read(buyer, request)).json() == shown
    assert (await patch(buyer, request, 1, blocks=5)).status_code == 412
    missing = await buyer.client.patch(f"/v1/requests/{request['id']}", json={})
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
    fewer = await patch(desk, request, 2, alternatives=[ALTERNATIVE])
    assert (len(fewer.json()["alternatives"]), fewer.json()["version"]) == (1, 3)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"deadline": "2026-12-02T01:30:00Z"}, "/deadline", "window_order"),
        ({"earliest_start": "2027-12-02T01:30:00Z"}, "/deadline", "window_order"),
        ({"min_blocks": 2}, "/min_blocks", "min_blocks_above_blocks"),
        ({"alternatives": [ALTERNATIVE | {"chips": "Z9"}]}, "/alternatives/0/chips", "unknown_chip"),
        ({"alternatives": []}, "/alternatives", "invalid"),
        ({"site": {"suppliers_allowed": ["nobody"]}}, "/site/suppliers_allowed/0", "unknown_supplier"),
        ({"site": None}, "/site", "invalid"),
        ({"blocks": None}, "/blocks", "invalid"),
        ({"priority": None}, "/priority", "invalid"),
        ({"ref": "x"}, "/ref", "invalid"),
        ({"state": "closed"}, "/state", "invalid"),
    ],
)
async def test_bad_changes_are_refused_and_change_nothing(buyer, body, pointer, code) -> None:
    request = await posted(buyer)
    refused = await patch(buyer, request, 1, **body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert (await read(buyer, request)).json() == request


async def test_a_request_with_reservations_stays_as_it_is(buyer, desk, app_database) -> None:
    request = await posted(buyer, blocks=2)
    for live, state in ((1, "partly_matched"), (2, "matched")):
        assert await set_live(app_database, request, live) == {decode_id("req", request["id"]): RequestState(state)}
        assert (await read(buyer, request)).json()["state"] == state
        for refused in (await patch(buyer, request, None, blocks=3), await withdraw(buyer, request)):
            assert (refused.status_code, refused.json()["code"]) == (409, "request_has_reservations")
    raised = await patch(desk, request, None, priority=9)
    assert (raised.json()["priority"], raised.json()["blocks"]) == (9, 2)
    assert (await patch(desk, request, None, priority=8, blocks=3)).status_code == 409


async def test_a_request_is_withdrawn_once(buyer, desk) -> None:
    request = await posted(buyer)
    missing = await buyer.client.post(f"/v1/requests/{request['id']}/withdraw")
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
    assert (await withdraw(buyer, request, 2)).status_code == 412
    withdrawn = await withdraw(buyer, request, 1)
    assert (withdrawn.json()["state"], withdrawn.headers["etag"]) == ("withdrawn", '"2"')
    for refused in (
        await withdraw(buyer, request),
        await patch(buyer, request, None, blocks=2),
        await patch(desk, request, None, priority=2),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "request_state")
    assert (await withdraw(desk, await posted(buyer))).status_code == 200


async def test_requests_are_listed_by_submission_filtered_and_paged(buyer, desk, auditor, clock, make_actor) -> None:
    other = await make_actor("buyer", ref="other")
    made = []
    for index in range(6):
        made.append(await posted(buyer if index % 2 else other))
        if index < 4:
            clock.advance(minutes=10)
    await withdraw(buyer, made[1])

    async def ids(actor, **query: str) -> list[str]:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            response = await actor.client.get("/v1/requests", params={"limit": 2} | query | cursor)
            page = response.json()
            found += [request["id"] for request in page["data"]]
            if not page["has_more"]:
                return found
            cursor = {"after": page["next_cursor"]}

    everything = [request["id"] for request in made]
    assert await ids(desk) == await ids(auditor) == everything
    assert await ids(buyer) == everything[1::2]
    assert await ids(desk, buyer="other") == everything[::2]
    assert await ids(desk, state="withdrawn") == [everything[1]]
    between = {"submitted_at[gte]": "2026-12-01T00:40:00Z", "submitted_at[lt]": "2026-12-01T09:00:00+08:00"}
    assert await ids(desk, **between) == everything[1:3]
    page = (await desk.client.get("/v1/requests", params=between)).json()
    assert page["query"] == {
        "state": None,
        "buyer": None,
        "submitted_at[gte]": "2026-12-01T00:40:00Z",
        "submitted_at[lt]": "2026-12-01T01:00:00Z",
        "limit": 20,
    }
    assert "notices" not in page["data"][0]
    back = await desk.client.get("/v1/requests", params={"limit": 2, "before": page["previous_cursor"]} | between)
    assert back.json()["data"] == []
    foreign = await desk.client.get("/v1/requests", params={"after": page["next_cursor"]})
    assert (foreign.status_code, foreign.json()["code"]) == (422, "bad_cursor")
    for bad in ({"submitted_at[gte]": "2026-12-01T00:40:00"}, {"state": "lost"}, {"buyer": "a\x00"}, {"chips": "any"}):
        refused = await desk.client.get("/v1/requests", params=bad)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, next(iter(bad)))


async def test_states_follow_live_reservations_until_the_end(buyer, app_database) -> None:
    request = await posted(buyer, blocks=2)
    request_id = decode_id("req", request["id"])
    for live, state, version in ((2, "matched", 2), (1, "partly_matched", 3), (1, "partly_matched", 3), (0, "open", 4)):
        await set_live(app_database, request, live)
        shown = (await read(buyer, request)).json()
        assert (shown["state"], shown["version"]) == (state, version)
    await set_live(app_database, request, 2)
    async with app_database.write(SYSTEM) as session:
        assert await service.close_requests(session, [request_id]) == [request_id]
        assert await service.close_requests(session, [request_id]) == []
    withdrawn = await posted(buyer)
    await withdraw(buyer, withdrawn)
    for ended, state in ((request, "closed"), (withdrawn, "withdrawn")):
        assert await set_live(app_database, ended, 0) == {}
        assert (await read(buyer, ended)).json()["state"] == state
    async with app_database.write(SYSTEM) as session:
        assert await service.set_state_from_live(session, {}) == {}


async def test_open_requests_expire_at_their_deadline(buyer, worker_database, app_database) -> None:
    deadline = datetime(2026, 12, 12, tzinfo=UTC)
    due, matched, later = [await posted(buyer) for _ in range(2)] + [
        await posted(buyer, deadline="2026-12-13T00:00:00Z")
    ]
    await set_live(app_database, matched, 1)

    async def sweep(now: datetime) -> int:
        async with worker_database.write(SYSTEM) as session:
            return await service.expire_due(session, now)

    assert await sweep(deadline - timedelta(seconds=1)) == 0
    assert await sweep(deadline) == 1
    assert await sweep(deadline) == 0
    states = [(await read(buyer, request)).json()["state"] for request in (due, matched, later)]
    assert states == ["expired", "matched", "open"]
    assert (await read(buyer, due)).headers["etag"] == '"2"'
    assert await set_live(app_database, due, 1) == {}


async def test_a_member_reads_no_other_request_even_past_the_repository(buyer, make_actor, app_database, desk) -> None:
    request_id = decode_id("req", (await posted(buyer))["id"])
    other = await make_actor("buyer")
    async with app_database.read(other.caller.scope) as session:
        assert await get_request(session, desk.caller, request_id) is None
    async with app_database.read(buyer.caller.scope) as session:
        assert await get_request(session, buyer.caller, request_id) is not None


async def test_of_two_changes_to_one_version_one_is_made(buyer) -> None:
    request = await posted(buyer)
    answers = await asyncio.gather(
        *(patch(buyer, request, 1, alternatives=[ALTERNATIVE] * count) for count in (1, 2, 3, 4)),
        *(withdraw(buyer, request, 1) for _ in range(4)),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert (await read(buyer, request)).json()["version"] == 2
