"""Programmes as they are stored, opened and read."""

import hashlib

import asyncpg
import pytest
from sqlalchemy.engine import URL

from app.kit.db import SYSTEM, Database
from app.vouchers import service
from app.vouchers.programmes import ProgrammeError, shipped_programmes, shipped_text
from tests.bazaar import keyed, refusal
from tests.conftest import Actor
from tests.grants import NOW, PROGRAMME, TOML, Grants

pytestmark = pytest.mark.anyio


async def test_shipped_programmes_are_stored_once_and_stay(app_database: Database) -> None:
    async with app_database.write(SYSTEM) as session:
        assert sorted(await service.store_shipped_programmes(session, NOW)) == shipped_programmes()
    async with app_database.write(SYSTEM) as session:
        assert await service.store_shipped_programmes(session, NOW) == []
        changed = shipped_text("open-example").replace('"5000"', '"6000"')
        assert await service.store_programmes(session, [changed], NOW) == []
        row, years = await service.get_programme(session, "open-example")
    assert (row.version, row.toml, years) == (1, shipped_text("open-example"), [])
    assert row.sha256 == hashlib.sha256(row.toml.encode()).hexdigest()


async def test_a_text_that_is_no_programme(app_database: Database) -> None:
    with pytest.raises(ProgrammeError):
        async with app_database.write(SYSTEM) as session:
            await service.store_programmes(session, [TOML.replace("grade", "degree")], NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE programme_version SET toml = 'x'",
        "DELETE FROM programme_version",
        "TRUNCATE programme_version CASCADE",
        "UPDATE programme_year SET pool_fen = 1",
        "DELETE FROM programme_year",
        "TRUNCATE programme_year CASCADE",
        "UPDATE voucher SET amount_fen = 1",
        "DELETE FROM voucher",
        "TRUNCATE voucher CASCADE",
    ],
)
async def test_what_is_stored_never_changes(grants: Grants, buyer: Actor, database_url: URL, statement: str) -> None:
    await grants.take(buyer.org_id, 10)
    for user in ("cardhour_app", "postgres"):
        if user == "postgres" and "UPDATE voucher" in statement:
            continue  # nobody of ours has that right
        url = database_url.set(drivername="postgresql", username=user)
        connection = await asyncpg.connect(url.render_as_string(False))
        try:
            await connection.execute("SELECT set_config('cardhour.role', 'system', false)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        finally:
            await connection.close()


async def test_a_content_that_is_not_its_hash_is_refused(app_database: Database, database_url: URL) -> None:
    connection = await asyncpg.connect(database_url.set(drivername="postgresql").render_as_string(False))
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="programme_version_sha256_of_toml"):
            await connection.execute(
                "INSERT INTO programme_version VALUES ('x', 1, 'text', repeat('0', 64), 'published', now())"
            )
    finally:
        await connection.close()


async def stored(database: Database) -> None:
    async with database.write(SYSTEM) as session:
        await service.store_programmes(session, [TOML], NOW)


async def test_the_desk_opens_a_year_once(app_database: Database, desk: Actor, buyer: Actor) -> None:
    await stored(app_database)
    path = f"/v1/programmes/{PROGRAMME}/open"
    opened = await desk.client.post(path, json={"year": 2026}, headers=keyed())
    assert opened.status_code == 201, opened.text
    wanted = {
        "year": 2026,
        "version": 1,
        "pool_fen": 100_000,
        "buyer_year_fen": 30_000,
        "opened_at": "2026-12-01T00:30:00Z",
    }
    assert opened.json() == wanted
    again = await desk.client.post(path, json={"year": 2026}, headers=keyed())
    assert refusal(again) == (409, "programme_year_open")
    other = await desk.client.post(path, json={"year": 2027, "pool_fen": 5, "buyer_year_fen": 0}, headers=keyed())
    assert (other.json()["pool_fen"], other.json()["buyer_year_fen"]) == (5, 0)
    pool = (await desk.client.get("/v1/ledger/accounts", params={"name": f"{PROGRAMME}/pool/2026"})).json()["data"]
    assert [(row["kind"], row["guard"], row["credits_posted"]) for row in pool] == [
        ("pool", "debits_le_credits", 100_000)
    ]
    read = (await buyer.client.get(f"/v1/programmes/{PROGRAMME}")).json()
    assert (read["toml"], read["title"]["zh"], read["tiers"]) == (TOML, "虚构项目", ["general", "lead"])
    assert [year["year"] for year in read["years"]] == [2026, 2027]
    listed = (await buyer.client.get("/v1/programmes")).json()["data"]
    assert [(row["id"], row["version"], len(row["years"])) for row in listed] == [(PROGRAMME, 1, 2)]


async def test_opening_twice_with_one_key_is_once(app_database: Database, desk: Actor) -> None:
    await stored(app_database)
    headers = keyed()
    path = f"/v1/programmes/{PROGRAMME}/open"
    first, second = [await desk.client.post(path, json={"year": 2026}, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["Idempotent-Replayed"] == "true"
    transfers = (await desk.client.get("/v1/ledger/transfers")).json()["data"]
    assert [(row["kind"], row["amount_fen"]) for row in transfers] == [("single", 100_000)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"year": 1999},
        {"year": 2201},
        {"year": "2026"},
        {"year": 2026.0},
        {"year": 2026, "pool_fen": -1},
        {"year": 2026, "pool_fen": 1.5},
        {"year": 2026, "pool_fen": 2**63},
        {"year": 2026, "buyer_year_fen": True},
        {"year": 2026, "pool": 1},
    ],
)
async def test_bad_bodies(app_database: Database, desk: Actor, body: dict[str, object]) -> None:
    await stored(app_database)
    answer = await desk.client.post(f"/v1/programmes/{PROGRAMME}/open", json=body, headers=keyed())
    assert answer.status_code == 422


async def test_who_may_open(app_database: Database, desk: Actor, buyer: Actor, auditor: Actor) -> None:
    await stored(app_database)
    for actor in (buyer, auditor):
        answer = await actor.client.post(f"/v1/programmes/{PROGRAMME}/open", json={"year": 2026}, headers=keyed())
        assert refusal(answer) == (403, "forbidden")
    path = f"/v1/programmes/{PROGRAMME}/open"
    assert refusal(await desk.client.post(path, json={"year": 2026})) == (400, "idempotency_key_required")
    missing = await desk.client.post("/v1/programmes/nobody/open", json={"year": 2026}, headers=keyed())
    assert refusal(missing) == (404, "not_found")
    assert refusal(await desk.client.get("/v1/programmes/nobody")) == (404, "not_found")
