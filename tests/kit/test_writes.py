"""Idempotency, preconditions and retries, on an application of one route over the real database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.kit.db import SYSTEM, Database, WriteSession
from app.kit.errors import CONFLICT, ErrorCode
from app.kit.ids import new_id
from app.kit.logging import RequestLog
from app.kit.problems import install_handlers
from app.kit.schemas import Input, Output
from app.kit.writes import Answer, Writer, check_if_match

pytestmark = pytest.mark.anyio
ORG = new_id()
REFUSED = ErrorCode("no_luck", 409, "No luck with {name}.", "{name} 没有成功。")


class Body(Input):
    name: str
    wait: int = 0


class Made(Output):
    id: str
    name: str


@pytest.fixture
async def client(app_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install_handlers(app)
    app.add_middleware(RequestLog)

    def writer(request: Request) -> Writer:
        return Writer(request, app_database, SYSTEM, org_id=ORG, key_required=True)

    @app.post("/things")
    async def make(body: Body, write: Annotated[Writer, Depends(writer)]) -> Response:
        async def work(session: WriteSession) -> Answer:
            await asyncio.sleep(body.wait / 1000)
            made = new_id()
            await session.execute(
                text("INSERT INTO chip_model (name, version) VALUES (:name, 1)"), {"name": f"{body.name}-{made}"}
            )
            if body.name == "unlucky":
                raise REFUSED.problem(name=body.name)
            return Answer(Made(id=str(made), name=body.name), 201, {"Location": f"/things/{made}"})

        return await write.run(work)

    @app.post("/versions")
    async def version(request: Request) -> Response:
        check_if_match(request, 3)
        return Response(status_code=204)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://cardhour.test") as client:
        yield client


async def count(database: Database) -> int:
    async with database.read(SYSTEM) as session:
        return await session.scalar(text("SELECT count(*) FROM chip_model")) or 0


async def test_a_repeat_gets_the_stored_answer_and_has_no_second_effect(client, app_database: Database) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await client.post("/things", json={"name": "a"}, headers=key)
    again = await client.post("/things", json={"name": "a"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count(app_database) == 1


async def test_the_same_key_with_another_body_is_refused(client, app_database: Database) -> None:
    key = {"Idempotency-Key": "k2"}
    await client.post("/things", json={"name": "a"}, headers=key)
    other = await client.post("/things", json={"name": "b"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await count(app_database) == 1


@pytest.mark.parametrize("key", [None, "", "x" * 256])
async def test_a_missing_or_useless_key_is_refused(client, app_database: Database, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await client.post("/things", json={"name": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
    assert await count(app_database) == 0


async def test_a_twin_in_flight_is_told_so(client, app_database: Database) -> None:
    key = {"Idempotency-Key": "k3"}
    slow = asyncio.create_task(client.post("/things", json={"name": "slow", "wait": 600}, headers=key))
    await asyncio.sleep(0.3)
    twin = await client.post("/things", json={"name": "slow", "wait": 600}, headers=key)
    assert (twin.status_code, twin.json()["code"]) == (409, "idempotency_in_flight")
    assert (await slow).status_code == 201
    assert (await client.post("/things", json={"name": "slow", "wait": 600}, headers=key)).status_code == 201
    assert await count(app_database) == 1


async def test_a_refusal_is_stored_and_its_writes_are_gone(client, app_database: Database) -> None:
    key = {"Idempotency-Key": "k4"}
    first = await client.post("/things", json={"name": "unlucky"}, headers=key)
    again = await client.post("/things", json={"name": "unlucky"}, headers=key)
    assert (first.status_code, first.json()["code"]) == (409, "no_luck")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["request_id"] == first.json()["request_id"]
    assert again.headers["content-type"] == "application/problem+json"
    assert await count(app_database) == 0


async def test_a_validation_error_is_not_stored(client) -> None:
    key = {"Idempotency-Key": "k5"}
    assert (await client.post("/things", json={"nam": "a"}, headers=key)).status_code == 422
    assert (await client.post("/things", json={"name": "a"}, headers=key)).status_code == 201


@pytest.mark.parametrize(("header", "status"), [(None, 428), ('"2"', 412), ('"3"', 204), ("*", 204), ("3", 412)])
async def test_if_match(client, header: str | None, status: int) -> None:
    answer = await client.post("/versions", headers={} if header is None else {"If-Match": header})
    assert answer.status_code == status


async def test_problems_speak_chinese_where_it_is_preferred(client) -> None:
    headers = {"Idempotency-Key": "k6", "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
    answer = await client.post("/things", json={"name": "unlucky"}, headers=headers)
    assert answer.json()["detail"] == "unlucky 没有成功。"
    assert answer.headers["content-language"] == "zh-CN"


async def test_what_postgresql_wants_rerun_is_rerun_whole(app_database: Database) -> None:
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        async with app_database.write(SYSTEM) as session:
            if runs < 3:
                await session.execute(
                    text("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END $$")
                )
        return runs

    assert await app_database.retrying(work) == 3


async def test_other_errors_are_not_rerun(app_database: Database) -> None:
    async def work() -> None:
        async with app_database.write(SYSTEM) as session:
            await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await app_database.retrying(work)


async def test_giving_up_on_a_conflict_is_not_stored(client, app_database: Database, monkeypatch) -> None:
    key = {"Idempotency-Key": "k7"}

    async def in_vain(work: object) -> None:
        raise CONFLICT.problem()

    with monkeypatch.context() as patched:
        patched.setattr(app_database, "retrying", in_vain)
        answer = await client.post("/things", json={"name": "a"}, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (409, "concurrent_change")
    assert (await client.post("/things", json={"name": "a"}, headers=key)).status_code == 201
