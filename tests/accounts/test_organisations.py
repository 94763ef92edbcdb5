from uuid import uuid4

import pytest

from app.kit.ids import encode_id, new_id
from tests.conftest import Actor, Clock, MakeActor

pytestmark = pytest.mark.anyio


def path(actor: Actor, rest: str = "") -> str:
    return f"/v1/organisations/{encode_id('org', actor.org_id)}{rest}"


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"name": "", "roles": ["buyer"]}, "/name", "string_too_short"),
        ({"name": "x" * 201, "roles": ["buyer"]}, "/name", "string_too_long"),
        ({"name": "a\u0000b", "roles": ["buyer"]}, "/name", "nul_character"),
        ({"name": "x", "roles": []}, "/roles", "too_short"),
        ({"name": "x", "roles": ["desk"]}, "/roles/0", "literal_error"),
        ({"name": "x", "roles": ["buyer"], "state": "approved"}, "/state", "extra_forbidden"),
        ({"name": "x", "roles": ["buyer"], "org_id": "org_1"}, "/org_id", "extra_forbidden"),
        ({"roles": ["buyer"]}, "/name", "missing"),
        ({"name": 7, "roles": ["buyer"]}, "/name", "string_type"),
        ({"name": "x", "roles": ["buyer"], "ref": " "}, "/ref", "string_too_short"),
    ],
)
async def test_bad_registrations(http, desk: Actor, body: dict[str, object], pointer: str, code: str) -> None:
    answer = await http.post("/v1/organisations", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (pointer, code) in {(e["pointer"], e["code"]) for e in answer.json()["errors"]}
    assert len((await desk.client.get("/v1/organisations")).json()["data"]) == 1  # the desk alone


async def test_a_reference_is_taken_once_per_role(http) -> None:
    first = await http.post("/v1/organisations", json={"name": "a", "roles": ["buyer"], "ref": "x"})
    other_role = await http.post("/v1/organisations", json={"name": "b", "roles": ["supplier"], "ref": "x"})
    again = await http.post("/v1/organisations", json={"name": "c", "roles": ["buyer"], "ref": "x"})
    assert (first.status_code, other_role.status_code) == (201, 201)
    assert (again.status_code, again.json()["code"]) == (409, "reference_taken")


async def test_the_desk_s_decisions(desk: Actor, make_actor: MakeActor) -> None:
    org = await make_actor("supplier", approved=False)
    assert (await desk.client.post(path(org, "/suspend"), json={})).json()["code"] == "already_decided"
    rejected = await desk.client.post(path(org, "/reject"), json={"reason": "no licence"})
    assert (rejected.json()["state"], rejected.json()["state_reason"]) == ("rejected", "no licence")
    assert (await desk.client.post(path(org, "/approve"), json={})).json()["state"] == "approved"
    assert (await org.client.get("/v1/me")).json()["organisation"]["state"] == "approved"
    assert (await desk.client.post(path(org, "/suspend"), json={})).json()["state"] == "suspended"
    stopped = await org.client.get("/v1/partner-lists")
    assert (stopped.status_code, stopped.json()["code"]) == (403, "organisation_not_approved")
    unknown = await desk.client.post(f"/v1/organisations/{encode_id('org', new_id())}/approve", json={})
    assert unknown.status_code == 404


async def test_only_the_desk_decides(buyer: Actor, auditor: Actor, make_actor: MakeActor) -> None:
    org = await make_actor("buyer", approved=False)
    for stranger in (buyer, auditor, org):
        answer = await stranger.client.post(path(org, "/approve"), json={})
        assert answer.status_code == 403
    assert (await org.client.get("/v1/me")).json()["organisation"]["state"] == "pending"


async def test_another_organisation_is_not_there(buyer: Actor, supplier: Actor, auditor: Actor) -> None:
    for rest in ("", "/facts", "/affiliations"):
        assert (await supplier.client.get(path(buyer, rest))).status_code == 404
        assert (await auditor.client.get(path(buyer, rest))).status_code == 200
    fact = {"key": "kind", "value": "sme", "valid_from": "2026-01-01"}
    assert (await supplier.client.post(path(buyer, "/facts"), json=fact)).status_code == 404
    assert (await auditor.client.post(path(buyer, "/facts"), json=fact)).status_code == 403
    assert (await buyer.client.get(path(buyer, "/facts"))).json()["data"] == []


async def test_the_list_pages_forwards_and_backwards(desk: Actor, make_actor: MakeActor) -> None:
    refs = ["desk"] + [(await make_actor("buyer", ref=f"b{i}")).ref for i in range(4)]
    seen, cursor, previous = [], None, None
    while True:
        page = (
            await desk.client.get("/v1/organisations", params={"limit": 2} | ({"after": cursor} if cursor else {}))
        ).json()
        seen += [item["roles"][0]["ref"] for item in page["data"]]
        if not page["has_more"]:
            break
        cursor, previous = page["next_cursor"], page["next_cursor"]
    assert seen == refs
    assert page["query"] == {"state": None, "role": None, "limit": 2}
    back = (await desk.client.get("/v1/organisations", params={"limit": 2, "before": page["previous_cursor"]})).json()
    assert [item["roles"][0]["ref"] for item in back["data"]] == refs[2:4]
    assert back["has_more"]
    # A cursor is bound to its list and query.
    for params in ({"after": previous, "role": "buyer"}, {"after": "AAAA"}, {"before": "%"}):
        answer = await desk.client.get("/v1/organisations", params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor")
    both = await desk.client.get("/v1/organisations", params={"after": previous, "before": previous})
    assert (both.status_code, both.json()["code"]) == (422, "one_cursor_only")


async def test_filters_of_the_list(desk: Actor, buyer: Actor, make_actor: MakeActor) -> None:
    waiting = await make_actor("supplier", approved=False)
    pending = (await desk.client.get("/v1/organisations", params={"state": "pending"})).json()
    assert [item["id"] for item in pending["data"]] == [encode_id("org", waiting.org_id)]
    buyers = (await desk.client.get("/v1/organisations", params={"role": "buyer"})).json()
    assert [item["id"] for item in buyers["data"]] == [encode_id("org", buyer.org_id)]
    for params in ({"state": "odd"}, {"limit": 0}, {"limit": 101}, {"color": "red"}, {"limit": "1.5"}):
        assert (await desk.client.get("/v1/organisations", params=params)).status_code == 422


async def test_facts_are_dated_verified_and_never_overwritten(desk: Actor, buyer: Actor, clock: Clock) -> None:
    body = {"key": "prior_year_revenue_fen", "value": 1_000_000_000, "valid_from": "2026-01-01", "evidence": "审计报告"}
    made = await buyer.client.post(path(buyer, "/facts"), json=body)
    assert made.status_code == 201
    assert (made.json()["verified_at"], made.json()["value"]) == (None, 1_000_000_000)
    again = await buyer.client.post(path(buyer, "/facts"), json=body | {"value": 1})
    assert (again.status_code, again.json()["code"]) == (409, "fact_exists")
    verify = path(buyer, f"/facts/{made.json()['id']}/verify")
    assert (await buyer.client.post(verify)).status_code == 403
    verified = (await desk.client.post(verify)).json()
    assert verified["verified_by"] == encode_id("org", desk.org_id)
    clock.advance(hours=1)
    assert (await desk.client.post(verify)).json() == verified
    by_desk = await desk.client.post(
        path(buyer, "/facts"), json={"key": "integrity", "value": "clean", "valid_from": "2026-01-01"}
    )
    assert by_desk.json()["verified_at"] is not None
    listed = (await buyer.client.get(path(buyer, "/facts"))).json()["data"]
    assert [fact["key"] for fact in listed] == ["integrity", "prior_year_revenue_fen"]


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("kind", "startup", 201),
        ("kind", "cooperative", 422),
        ("integrity", "flagged", 201),
        ("integrity", True, 422),
        ("project_lead", "national", 201),
        ("prior_year_revenue_fen", 0, 201),
        ("prior_year_revenue_fen", -1, 422),
        ("prior_year_revenue_fen", 2**63, 422),
        ("prior_year_revenue_fen", True, 422),
        ("prior_year_revenue_fen", "5", 422),
        ("prior_year_revenue_fen", 1.5, 422),
        ("unified_social_credit_code", "91110000MA00000000", 201),
        ("unified_social_credit_code", "9111", 422),
        ("registered_city", "成都", 201),
        ("registered_city", "", 422),
        ("partner", True, 201),
        ("partner", "yes", 422),
        ("colour", "red", 422),
    ],
)
async def test_values_of_facts(buyer: Actor, key: str, value: object, status: int) -> None:
    body = {"key": key, "value": value, "valid_from": "2026-01-01"}
    answer = await buyer.client.post(path(buyer, "/facts"), json=body)
    assert answer.status_code == status, answer.text


async def test_affiliations(desk: Actor, buyer: Actor, supplier: Actor) -> None:
    body = {
        "org_id": encode_id("org", supplier.org_id),
        "other_org_id": encode_id("org", buyer.org_id),
        "valid_from": "2026-01-01",
        "evidence": "工商登记",
    }
    assert (await buyer.client.post("/v1/affiliations", json=body)).status_code == 403
    assert (await desk.client.post("/v1/affiliations", json=body)).status_code == 201
    assert (await desk.client.post("/v1/affiliations", json=body)).json()["code"] == "affiliation_exists"
    itself = await desk.client.post("/v1/affiliations", json=body | {"other_org_id": body["org_id"]})
    assert itself.json()["code"] == "self_affiliation"
    nobody = await desk.client.post("/v1/affiliations", json=body | {"org_id": encode_id("org", uuid4())})
    assert nobody.status_code == 404
    for side in (buyer, supplier):
        assert len((await side.client.get(path(side, "/affiliations"))).json()["data"]) == 1


async def test_partner_lists(desk: Actor, buyer: Actor, supplier: Actor) -> None:
    body = {
        "list_name": "beijing-2023",
        "org_id": encode_id("org", supplier.org_id),
        "batch": "batch 1",
        "valid_from": "2023-09-01",
    }
    assert (await supplier.client.post("/v1/partner-lists", json=body)).status_code == 403
    assert (await desk.client.post("/v1/partner-lists", json=body)).status_code == 201
    assert (await desk.client.post("/v1/partner-lists", json=body)).json()["code"] == "partner_exists"
    wrong = await desk.client.post("/v1/partner-lists", json=body | {"org_id": encode_id("org", buyer.org_id)})
    assert wrong.json()["code"] == "not_a_supplier"
    listed = await buyer.client.get("/v1/partner-lists", params={"list_name": "beijing-2023"})
    assert [entry["org_id"] for entry in listed.json()["data"]] == [body["org_id"]]
    assert (await buyer.client.get("/v1/partner-lists", params={"list_name": "other"})).json()["data"] == []


async def test_a_nul_character_is_refused_wherever_it_comes(desk: Actor) -> None:
    for path_ in ("/v1/partner-lists?list_name=%00", "/v1/organisations?after=a%00b", "/v1/chips/a%00b"):
        answer = await desk.client.get(path_)
        assert answer.status_code == 422, path_
        assert answer.json()["errors"][0]["code"] == "nul_character"
