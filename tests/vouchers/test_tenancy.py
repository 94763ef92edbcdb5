"""Vouchers, accounts and transfers are their buyer's, the desk's and the auditors'; PostgreSQL itself hides them."""

import pytest
from sqlalchemy import text

from app.kit.db import Database, Scope
from app.kit.ids import encode_id
from tests.bazaar import refusal
from tests.conftest import Actor, MakeActor
from tests.grants import PROGRAMME, Grants

pytestmark = pytest.mark.anyio
OWNED = ("voucher", "ledger_account", "ledger_transfer")
LISTS = ("/v1/vouchers", "/v1/ledger/accounts", "/v1/ledger/transfers")


async def seen(database: Database, scope: Scope) -> tuple[int, ...]:
    async with database.read(scope) as session:
        return tuple([await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in OWNED])


async def test_row_level_security(
    grants: Grants, app_database: Database, buyer: Actor, supplier: Actor, make_actor: MakeActor
) -> None:
    rival = await make_actor("buyer")
    await grants.take(buyer.org_id, 10)
    # The buyer's quota and voucher account; its cap, and the two legs of the earmark.
    assert await seen(app_database, Scope("member", buyer.org_id)) == (1, 2, 3)
    for stranger in (rival.org_id, supplier.org_id, None):
        assert await seen(app_database, Scope("member", stranger)) == (0, 0, 0)
    everything = (1, 6, 4)
    assert await seen(app_database, Scope("desk", rival.org_id)) == everything
    assert await seen(app_database, Scope("auditor", rival.org_id)) == everything
    async with app_database.read(Scope("member")) as session:
        assert await session.scalar(text("SELECT count(*) FROM programme_version")) == 0
    async with app_database.write(Scope("member", buyer.org_id)) as session:
        released = await session.execute(text("UPDATE voucher SET state = 'voided' RETURNING 1"))
        assert released.all() == []


async def test_lists_are_ones_own(
    grants: Grants, desk: Actor, auditor: Actor, buyer: Actor, supplier: Actor, make_actor: MakeActor
) -> None:
    rival = await make_actor("buyer")
    [reservation] = await grants.take(buyer.org_id, 10)
    await grants.take(rival.org_id, 20)

    async def counts(actor: Actor) -> list[int]:
        return [len((await actor.client.get(path)).json()["data"]) for path in LISTS]

    assert await counts(buyer) == [1, 2, 3]
    assert await counts(supplier) == [0, 0, 0]
    assert await counts(desk) == await counts(auditor) == [2, 8, 7]
    [voucher] = (await buyer.client.get("/v1/vouchers")).json()["data"]
    assert voucher | {"id": "", "created_at": ""} == {
        "id": "",
        "kind": "contract",
        "reservation_id": encode_id("rsv", reservation),
        "buyer_org_id": encode_id("org", buyer.org_id),
        "programme": PROGRAMME,
        "programme_version": 1,
        "tier": "general",
        "year": 2026,
        "amount_fen": 10,
        "issued_fen": None,
        "rate_ppm": None,
        "currency": "CNY",
        "state": "earmarked",
        "reason_code": None,
        "reason_detail": None,
        "created_at": "",
        "issued_at": None,
        "expires_at": None,
        "version": 1,
    }


async def test_filters_and_pages(grants: Grants, desk: Actor, buyer: Actor) -> None:
    _, second = await grants.take(buyer.org_id, 10, 20)

    async def listed(path: str, **query: str) -> list[dict[str, object]]:
        answer = await desk.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    [voucher] = await listed("/v1/vouchers", reservation_id=encode_id("rsv", second))
    assert voucher["amount_fen"] == 20
    assert len(await listed("/v1/vouchers", programme=PROGRAMME, state="earmarked")) == 2
    assert await listed("/v1/vouchers", state="voided") == []
    assert await listed("/v1/vouchers", programme="nobody") == []
    [pool] = await listed("/v1/ledger/accounts", kind="pool")
    legs = await listed("/v1/ledger/transfers", account_id=str(pool["id"]), kind="pending")
    assert [leg["amount_fen"] for leg in legs] == [10, 20]
    assert {leg["debit_id"] for leg in legs} == {pool["id"]}
    about = await listed("/v1/ledger/transfers", subject=str(legs[0]["subject"]))
    assert [leg["amount_fen"] for leg in about] == [10, 10]
    page = (await desk.client.get("/v1/ledger/transfers", params={"limit": 2})).json()
    rest = (await desk.client.get("/v1/ledger/transfers", params={"limit": 99, "after": page["next_cursor"]})).json()
    numbers = [row["seq"] for row in page["data"] + rest["data"]]
    assert page["has_more"]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/vouchers", {"state": "spent"}),
        ("/v1/vouchers", {"reservation_id": "org_1"}),
        ("/v1/ledger/transfers", {"subject": "x"}),
        ("/v1/ledger/transfers", {"kind": "gift"}),
        ("/v1/ledger/accounts", {"owner": "x"}),
        ("/v1/ledger/accounts", {"after": "made up"}),
    ],
)
async def test_bad_queries(desk: Actor, path: str, query: dict[str, str]) -> None:
    assert refusal(await desk.client.get(path, params=query))[0] == 422
