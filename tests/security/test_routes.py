"""Every route of the OpenAPI document × every kind of stranger: the right refusal, and nothing changed."""

import hashlib
import re

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import URL

from app.kit.ids import encode_id, new_id
from app.kit.web import AppContext
from app.main import create_app
from tests.conftest import Actor, MakeActor
from tests.worlds import World

pytestmark = pytest.mark.anyio

OPEN = {("post", "/v1/organisations")}
# A key of an organisation that waits for the desk may only look at itself and end its keys.
BEFORE_APPROVAL = {("get", "/v1/me"), ("get", "/v1/keys"), ("post", "/v1/keys/{key_id}/revoke")}
# What everybody who is signed in may read although it is another's: supply, and what names it.
PUBLIC = {
    ("get", "/v1/offers/{offer_id}"),
    ("get", "/v1/offers/{offer_id}/capacity"),
    ("get", "/v1/chips/{name}"),
    ("get", "/v1/chips/{name}/conversion"),
    ("get", "/v1/imports/templates/{name}.csv"),
}


async def operations(context: AppContext) -> list[tuple[str, str]]:
    paths = create_app(context).openapi()["paths"]
    return [(method, path) for path, item in paths.items() if path.startswith("/v1") for method in item]


def filled(path: str, world: World) -> str:
    values = {
        "org_id": encode_id("org", world.buyer.org_id),
        "key_id": encode_id("key", world.buyer.caller.key_id or new_id()),
        "fact_id": encode_id("fact", new_id()),
        "offer_id": encode_id("offer", world.offer),
        "request_id": encode_id("req", world.request),
        "reservation_id": encode_id("rsv", world.reservation),
        "quote_id": encode_id("quote", world.quote),
        "import_id": encode_id("imp", new_id()),
        "export_id": encode_id("exp", new_id()),
        "programme_id": "open-example",
        "version": "1",
        "delivery_id": encode_id("dlv", new_id()),
        "settlement_id": encode_id("stl", new_id()),
        "claim_id": encode_id("clm", new_id()),
        "clearing_id": encode_id("clr", new_id()),
        "other_id": encode_id("clr", new_id()),
        "account_id": encode_id("acct", new_id()),
        "contract_id": encode_id("ctr", new_id()),
        "document_id": encode_id("doc", new_id()),
        "application_id": encode_id("vap", new_id()),
        "voucher_id": encode_id("vch", new_id()),
    }
    if "/chips/" in path:
        values["name"] = "A100 80G"
    elif "/templates/" in path:
        values["name"] = "offers"
    else:
        values["name"] = "offers.csv"
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


async def fingerprint(url: URL) -> str:
    """A hash of every row, but for what a stranger's refusal is stored in."""
    connection = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(False))
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND relname <> 'idempotency_record' ORDER BY relname"
        )
        digest = hashlib.sha256()
        for table in tables:
            rows = await connection.fetch(f'SELECT t::text FROM "{table[0]}" t ORDER BY 1')
            digest.update(repr((table[0], [row[0] for row in rows])).encode())
    finally:
        await connection.close()
    return digest.hexdigest()


async def call(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    headers = {"Idempotency-Key": str(new_id()), "If-Match": "*"}
    body = {} if method in ("post", "put", "patch") else None
    return await client.request(method, path, json=body, headers=headers)


async def test_without_a_key(http: httpx.AsyncClient, context: AppContext, database_url: URL, world: World) -> None:
    before = await fingerprint(database_url)
    for method, path in await operations(context):
        if (method, path) not in OPEN:
            answer = await call(http, method, filled(path, world))
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)
    assert await fingerprint(database_url) == before


async def test_with_a_revoked_key(
    desk: Actor, make_actor: MakeActor, context: AppContext, database_url: URL, world: World
) -> None:
    stranger = await make_actor("buyer", "supplier")
    key_id = encode_id("key", stranger.caller.key_id or new_id())
    assert (await desk.client.post(f"/v1/keys/{key_id}/revoke")).status_code == 200
    before = await fingerprint(database_url)
    for method, path in await operations(context):
        if (method, path) not in OPEN:
            answer = await call(stranger.client, method, filled(path, world))
            assert answer.status_code == 401, (method, path, answer.text)
    assert await fingerprint(database_url) == before


async def test_before_approval(make_actor: MakeActor, context: AppContext, database_url: URL, world: World) -> None:
    stranger = await make_actor("buyer", "supplier", approved=False)
    before = await fingerprint(database_url)
    for method, path in await operations(context):
        if (method, path) not in OPEN | BEFORE_APPROVAL:
            answer = await call(stranger.client, method, filled(path, world))
            assert answer.status_code == 403, (method, path, answer.text)
    assert await fingerprint(database_url) == before


@pytest.mark.parametrize("role", ["buyer", "supplier", "auditor"])
async def test_another_organisation(
    make_actor: MakeActor, context: AppContext, database_url: URL, world: World, role: str
) -> None:
    stranger = await make_actor(role)
    before = await fingerprint(database_url)
    for method, path in await operations(context):
        if "{" not in path or (method, path) in PUBLIC or (role == "auditor" and method == "get"):
            continue
        answer = await call(stranger.client, method, filled(path, world))
        refusals = {403, 404} if method == "get" else {403, 404, 422}
        assert answer.status_code in refusals, (method, path, answer.text)
        assert str(world.buyer.org_id) not in answer.text
    assert await fingerprint(database_url) == before


async def test_the_auditor_writes_nothing(
    make_actor: MakeActor, context: AppContext, database_url: URL, world: World
) -> None:
    auditor = await make_actor("auditor")
    before = await fingerprint(database_url)
    for method, path in await operations(context):
        # An auditor looks after its own organisation's keys, exports what it reads, and may register like anyone.
        if method == "get" or (method, path) in OPEN or path.startswith(("/v1/keys", "/v1/exports")):
            continue
        # What is asked of programmes needs a body, and stores nothing.
        if path.endswith(("/explain", "/simulate")):
            continue
        answer = await call(auditor.client, method, filled(path, world))
        assert answer.status_code == 403, (method, path, answer.text)
    assert await fingerprint(database_url) == before


async def test_every_body_refuses_fields_it_does_not_know(
    make_actor: MakeActor, context: AppContext, database_url: URL, world: World
) -> None:
    mighty = await make_actor("buyer", "supplier", "desk")
    schema = create_app(context).openapi()
    before = await fingerprint(database_url)
    tried = 0
    for method, path in await operations(context):
        content = schema["paths"][path][method].get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        extra = {"state": "approved", "version": 9, "amount": 1, "owner_org_id": "org_1"}
        headers = {"Idempotency-Key": str(new_id()), "If-Match": "*"}
        answer = await mighty.client.request(method, filled(path, world), json=extra, headers=headers)
        refused = {error["pointer"] for error in answer.json()["errors"] if error["code"] == "extra_forbidden"}
        assert answer.status_code == 422, (method, path, answer.text)
        name = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        known = {f"/{field}" for field in schema["components"]["schemas"][name]["properties"]}
        assert {"/version", "/amount", "/owner_org_id"} - known <= refused, (method, path, answer.text)
        tried += 1
    assert tried >= 9
    assert await fingerprint(database_url) == before
