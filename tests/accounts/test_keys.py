import httpx
import pytest
from sqlalchemy import text

from app.accounts.keys import is_well_formed, key_digest, key_prefix, new_key
from app.kit.db import SYSTEM, Database
from app.kit.ids import encode_id
from app.kit.time import format_rfc3339
from tests.conftest import SECRET, Actor, Clock, MakeActor

pytestmark = pytest.mark.anyio


def test_the_form_of_keys() -> None:
    key = new_key()
    assert is_well_formed(key)
    assert key.startswith(key_prefix(key))
    assert len(key_prefix(key)) == 12
    assert new_key() != key
    swapped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    for wrong in (swapped, key[:-1], key + "0", "chk_", "", "ключ", key.replace("chk", "sk_")):
        assert not is_well_formed(wrong)
    assert key_digest(key, b"one") != key_digest(key, b"two")


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer x", "Basic abc", "unknown", "Bearer \u00e9"])
async def test_without_a_known_key_nothing_opens(http: httpx.AsyncClient, header: str | None) -> None:
    # Made here: a parameter would differ between the processes that run the tests.
    header = f"Bearer {new_key()}" if header == "unknown" else header
    headers = [] if header is None else [(b"Authorization", header.encode("utf-8"))]
    answer = await http.get("/v1/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_only_a_keyed_hash_is_stored(buyer: Actor, app_database: Database) -> None:
    secret = buyer.client.headers["authorization"].removeprefix("Bearer ")
    async with app_database.read(SYSTEM) as session:
        stored = (await session.execute(text("SELECT k::text, digest FROM api_key k"))).one()
    assert secret not in stored[0]
    assert secret[12:44] not in stored[0]
    assert stored[1] == key_digest(secret, SECRET)


async def test_make_use_and_revoke(http: httpx.AsyncClient, buyer: Actor) -> None:
    made = (await buyer.client.post("/v1/keys", json={"label": "ci", "roles": ["buyer"]})).json()
    signed = {"Authorization": f"Bearer {made['secret']}"}
    assert (await http.get("/v1/me", headers=signed)).json()["roles"] == ["buyer"]
    listed = (await buyer.client.get("/v1/keys")).json()["data"]
    assert [key["label"] for key in listed] == ["ci", "test"]
    assert all("secret" not in key for key in listed)
    revoked = await buyer.client.post(f"/v1/keys/{made['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert (await http.get("/v1/me", headers=signed)).status_code == 401
    assert (await buyer.client.post(f"/v1/keys/{made['id']}/revoke")).json() == revoked.json()


async def test_a_key_ends_by_itself(http: httpx.AsyncClient, buyer: Actor, clock: Clock) -> None:
    end = format_rfc3339(clock.advance(hours=0).replace(microsecond=0))
    late = await buyer.client.post("/v1/keys", json={"label": "x", "roles": ["buyer"], "expires_at": end})
    assert (late.status_code, late.json()["code"]) == (422, "already_expired")
    clock.advance(hours=-1)
    made = await buyer.client.post("/v1/keys", json={"label": "x", "roles": ["buyer"], "expires_at": end})
    signed = {"Authorization": f"Bearer {made.json()['secret']}"}
    assert (await http.get("/v1/me", headers=signed)).status_code == 200
    clock.advance(hours=1)
    assert (await http.get("/v1/me", headers=signed)).status_code == 401


async def test_roles_are_never_widened(desk: Actor, buyer: Actor, make_actor: MakeActor) -> None:
    for roles in (["desk"], ["buyer", "supplier"]):
        answer = await buyer.client.post("/v1/keys", json={"label": "x", "roles": roles})
        assert (answer.status_code, answer.json()["code"]) == (422, "role_not_held")
    other = await make_actor("supplier")
    body = {"label": "x", "roles": ["supplier"], "org_id": encode_id("org", other.org_id)}
    assert (await buyer.client.post("/v1/keys", json=body)).status_code == 404
    assert (await desk.client.post("/v1/keys", json=body)).json()["org_id"] == body["org_id"]
    assert (await desk.client.post("/v1/keys", json=body | {"roles": ["desk"]})).json()["code"] == "role_not_held"


async def test_another_s_key_is_not_there(desk: Actor, buyer: Actor, supplier: Actor) -> None:
    assert buyer.caller.key_id is not None
    key_id = encode_id("key", buyer.caller.key_id)
    assert (await supplier.client.post(f"/v1/keys/{key_id}/revoke")).status_code == 404
    assert (await buyer.client.get("/v1/me")).status_code == 200
    assert (await desk.client.post(f"/v1/keys/{key_id}/revoke")).status_code == 200
    assert (await buyer.client.get("/v1/me")).status_code == 401
