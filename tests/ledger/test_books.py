"""Statements, the trial balance, the export and corrections, over HTTP as each role."""

import csv
import io
import json

import asyncpg
import pytest

from app.kit.db import SYSTEM, Database
from app.kit.ids import encode_id, new_id
from app.ledger.models import TransferKind
from app.vouchers.service import release_earmarks
from tests.bazaar import refusal
from tests.conftest import Actor, MakeActor
from tests.grants import PROGRAMME, Grants
from tests.ledger.conftest import Books, constraint_of

pytestmark = pytest.mark.anyio
POOL = f"{PROGRAMME}/pool/2026"


@pytest.fixture
async def grants(app_database: Database) -> Grants:
    return await Grants(app_database).open()


async def account_id(actor: Actor, name: str) -> str:
    [found] = (await actor.client.get("/v1/ledger/accounts", params={"name": name})).json()["data"]
    return found["id"]


async def statement(actor: Actor, account: str, **query: str | int) -> list[dict[str, object]]:
    answer = await actor.client.get(f"/v1/ledger/accounts/{account}/statement", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_statement_runs_on_from_line_to_line(grants: Grants, desk: Actor, buyer: Actor) -> None:
    first, _ = await grants.take(buyer.org_id, 100, 200)
    async with grants.database.write(SYSTEM) as session:
        await release_earmarks(session, [first], TransferKind.EXPIRE)
    pool = await account_id(desk, POOL)
    lines = await statement(desk, pool)
    told = [(row["kind"], row["side"], row["pending_fen"], row["posted_fen"], row["left_fen"]) for row in lines]
    assert told == [
        ("single", "credit", 0, 100_000, 100_000),
        ("pending", "debit", 100, 0, 99_900),
        ("pending", "debit", 200, 0, 99_700),
        ("expire", "debit", -100, 0, 99_800),
    ]
    assert [row["debits_pending"] for row in lines] == [0, 100, 300, 200]
    assert lines[0]["other_account"] == f"{PROGRAMME}/treasury"
    assert lines[3]["pending_id"] == lines[1]["transfer_id"]


async def test_pages_of_a_statement_keep_the_balances(grants: Grants, desk: Actor, buyer: Actor) -> None:
    await grants.take(buyer.org_id, 10, 20, 30)
    pool = await account_id(desk, POOL)
    whole = await statement(desk, pool)
    paged: list[dict[str, object]] = []
    after = None
    while True:
        query: dict[str, str | int] = {"limit": 1} | ({} if after is None else {"after": after})
        page = (await desk.client.get(f"/v1/ledger/accounts/{pool}/statement", params=query)).json()
        paged += page["data"]
        after = page["next_cursor"]
        if not page["has_more"]:
            break
    assert paged == whole
    assert len(paged) == 4


async def test_a_statement_is_its_owners(
    grants: Grants, desk: Actor, auditor: Actor, buyer: Actor, supplier: Actor, make_actor: MakeActor
) -> None:
    rival = await make_actor("buyer")
    await grants.take(buyer.org_id, 10)
    [quota] = (await buyer.client.get("/v1/ledger/accounts", params={"kind": "buyer_quota"})).json()["data"]
    own = await statement(buyer, quota["id"])
    assert [(row["posted_fen"], row["pending_fen"], row["other_account"]) for row in own] == [
        (30_000, 0, None),  # the other side is not the buyer's to see
        (0, 10, None),
    ]
    assert len(await statement(auditor, quota["id"])) == 2
    path = f"/v1/ledger/accounts/{quota['id']}/statement"
    for stranger in (rival, supplier):
        assert refusal(await stranger.client.get(path)) == (404, "not_found")
    pool = await account_id(desk, POOL)
    assert refusal(await buyer.client.get(f"/v1/ledger/accounts/{pool}/statement")) == (404, "not_found")


async def trial(actor: Actor, **query: str) -> dict[str, object]:
    answer = await actor.client.get("/v1/ledger/trial-balance", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_trial_balance_of_all_of_a_programme_and_of_an_owner(
    grants: Grants, desk: Actor, auditor: Actor, buyer: Actor, supplier: Actor, make_actor: MakeActor
) -> None:
    rival = await make_actor("buyer")
    await grants.open(programme="second")
    await grants.take(buyer.org_id, 10)
    await grants.take(rival.org_id, 20, programme="second")
    everything = await trial(desk)
    assert everything["balanced"] is True
    assert everything["total"] == {
        "debits_pending": 60,
        "debits_posted": 260_000,
        "credits_pending": 60,
        "credits_posted": 260_000,
    }
    assert await trial(auditor) == everything
    one = await trial(desk, programme=PROGRAMME)
    assert (one["balanced"], one["total"]) == (
        True,
        {"debits_pending": 20, "debits_posted": 130_000, "credits_pending": 20, "credits_posted": 130_000},
    )
    kinds = {row["kind"]: row["accounts"] for row in one["kinds"]}  # type: ignore[attr-defined]
    assert kinds == {"buyer_quota": 1, "pool": 1, "quota_source": 2, "treasury": 1, "voucher": 1}
    owned = await trial(desk, owner_org_id=encode_id("org", rival.org_id))
    assert owned["balanced"] is None
    assert owned["total"] == {
        "debits_pending": 20,
        "debits_posted": 0,
        "credits_pending": 20,
        "credits_posted": 30_000,
    }
    mine = await trial(rival)
    assert (mine["kinds"], mine["balanced"]) == (owned["kinds"], None)
    assert (await trial(rival, owner_org_id=encode_id("org", buyer.org_id)))["kinds"] == []
    assert (await trial(rival, programme=PROGRAMME))["kinds"] == []
    assert (await trial(supplier))["kinds"] == []


async def test_exports_carry_the_same_lines(grants: Grants, desk: Actor, buyer: Actor, make_actor: MakeActor) -> None:
    rival = await make_actor("buyer")
    await grants.take(buyer.org_id, 12_345)
    await grants.take(rival.org_id, 20)

    async def exported(actor: Actor, **query: str) -> list[dict[str, object]]:
        answer = await actor.client.get("/v1/ledger/export", params={"format": "jsonl"} | query)
        assert answer.headers["content-type"] == "application/jsonl; charset=utf-8"
        return [json.loads(line) for line in answer.text.splitlines()]

    everything = await exported(desk)
    assert len(everything) == 2 * 7  # a line for each side
    assert len(await exported(desk, programme=PROGRAMME)) == len(everything)
    assert await exported(desk, programme="second") == []
    own = await exported(buyer)
    assert {row["account"] for row in own} == {
        f"{PROGRAMME}/buyer/{encode_id('org', buyer.org_id)}/2026",
        *(row["account"] for row in own if str(row["account"]).startswith("voucher/")),
    }
    assert await exported(desk, owner_org_id=encode_id("org", buyer.org_id)) == [
        row | {"other_account": found["other_account"]}
        for row, found in zip(own, await exported(desk, owner_org_id=encode_id("org", buyer.org_id)), strict=True)
    ]
    pool = await account_id(desk, POOL)
    lines = await exported(desk, account_id=pool)
    assert [row["left_fen"] for row in lines] == [row["left_fen"] for row in await statement(desk, pool)]
    answer = await desk.client.get("/v1/ledger/export", params={"account_id": pool})
    assert answer.headers["content-disposition"] == 'attachment; filename="ledger.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["account"], row["left_cny"], row["pending_cny"]) for row in table] == [
        (POOL, "1000.00", "0.00"),
        (POOL, "876.55", "123.45"),
        (POOL, "876.35", "0.20"),
    ]
    assert refusal(await buyer.client.get("/v1/ledger/export", params={"account_id": pool})) == (404, "not_found")
    assert refusal(await desk.client.get("/v1/ledger/export", params={"format": "xlsx"}))[0] == 422


async def test_an_export_too_large_is_refused(
    grants: Grants, desk: Actor, buyer: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grants.take(buyer.org_id, 10)
    monkeypatch.setattr("app.ledger.service.MOST_LINES", 7)
    answer = await desk.client.get("/v1/ledger/export")
    assert refusal(answer) == (422, "ledger_export_too_large")
    assert "8 lines" in answer.json()["detail"]
    monkeypatch.setattr("app.ledger.service.MOST_LINES", 8)
    assert (await desk.client.get("/v1/ledger/export")).status_code == 200


async def correct(actor: Actor, transfer: object, amount: object, reason: str = "Invoiced twice."):
    body = {"transfer_id": transfer, "amount_fen": amount, "reason": reason}
    return await actor.client.post("/v1/ledger/corrections", json=body, headers={"Idempotency-Key": str(new_id())})


async def test_corrections_never_take_back_more_than_was_posted(grants: Grants, desk: Actor, books: Books) -> None:
    pool = await account_id(desk, POOL)
    [fill] = await statement(desk, pool)
    made = await correct(desk, fill["transfer_id"], 40_000, "=Invoiced twice.")
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["corrects_id"], body["reason"]) == (fill["transfer_id"], "=Invoiced twice.")
    assert (body["transfer"]["kind"], body["transfer"]["amount_fen"]) == ("single", 40_000)
    assert refusal(await correct(desk, fill["transfer_id"], 60_001)) == (409, "funds_exhausted")
    assert (await correct(desk, fill["transfer_id"], 60_000)).status_code == 201
    assert refusal(await correct(desk, fill["transfer_id"], 1)) == (409, "funds_exhausted")
    lines = await statement(desk, pool)
    assert [(row["left_fen"], row["reason"]) for row in lines] == [
        (100_000, None),
        (60_000, "=Invoiced twice."),
        (0, "Invoiced twice."),
    ]
    table = list(
        csv.DictReader(io.StringIO((await desk.client.get("/v1/ledger/export", params={"account_id": pool})).text))
    )
    assert table[1]["reason"] == "'=Invoiced twice."  # no spreadsheet takes it for a formula
    await books.assert_sound()


async def test_corrections_end_at_zero_also_where_the_account_has_more(desk: Actor, books: Books) -> None:
    a, b = await books.account(), await books.account()
    await books.transfer(a, b, 1_000)
    wrong = encode_id("xfer", await books.transfer(a, b, 10))
    assert refusal(await correct(desk, wrong, 11)) == (409, "corrected_beyond_zero")
    assert (await correct(desk, wrong, 7)).status_code == 201
    assert refusal(await correct(desk, wrong, 4)) == (409, "corrected_beyond_zero")
    assert (await correct(desk, wrong, 3)).status_code == 201
    assert await books.balances(b) == (0, 10, 0, 1_010)
    await books.assert_sound()


async def test_only_what_was_posted_is_corrected(grants: Grants, desk: Actor, buyer: Actor) -> None:
    await grants.take(buyer.org_id, 10)
    pool = await account_id(desk, POOL)
    fill, held = await statement(desk, pool)
    assert refusal(await correct(desk, held["transfer_id"], 1)) == (409, "transfer_not_posted")
    made = (await correct(desk, fill["transfer_id"], 5)).json()
    assert refusal(await correct(desk, made["transfer"]["id"], 5)) == (409, "transfer_not_posted")
    assert refusal(await correct(desk, encode_id("xfer", new_id()), 1)) == (404, "not_found")
    # What is held can't be given back: the account's guard counts it.
    assert refusal(await correct(desk, fill["transfer_id"], 99_986)) == (409, "funds_exhausted")


async def test_what_belongs_to_a_voucher_is_not_corrected_alone(desk: Actor, books: Books) -> None:
    a, b = await books.account(), await books.account()
    owned = encode_id("xfer", await books.transfer(a, b, 10, subject=new_id()))
    assert refusal(await correct(desk, owned, 1)) == (409, "transfer_of_a_subject")
    assert await books.balances(b) == (0, 0, 0, 10)


@pytest.mark.parametrize("amount", [0, -1, 1.5, "1", None, 10**15 + 1])
async def test_a_bad_amount_is_refused(grants: Grants, desk: Actor, amount: object) -> None:
    assert (await correct(desk, encode_id("xfer", new_id()), amount)).status_code == 422


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
async def test_a_correction_needs_a_reason(grants: Grants, desk: Actor, reason: str) -> None:
    assert (await correct(desk, encode_id("xfer", new_id()), 1, reason)).status_code == 422


async def test_the_desk_alone_corrects(grants: Grants, auditor: Actor, buyer: Actor, supplier: Actor) -> None:
    for actor in (auditor, buyer, supplier):
        assert refusal(await correct(actor, encode_id("xfer", new_id()), 1)) == (403, "forbidden")


async def test_the_database_refuses_corrections_that_do_not_fit(books: Books, desk: Actor) -> None:
    a, b = await books.account(), await books.account()
    posted, held = await books.transfer(a, b, 10), await books.transfer(a, b, 10, "pending")
    insert = "INSERT INTO ledger_correction VALUES ($1, $2, 'why', $3, now())"

    async def refused(back: tuple[object, ...], wrong: object) -> None:
        with pytest.raises(asyncpg.CheckViolationError) as caught:
            async with books.app.transaction():
                await books.app.execute(insert, await books.transfer(*back), wrong, desk.org_id)  # type: ignore[arg-type]
        assert constraint_of(caught.value) == "ledger_correction_fits"

    await refused((b, a, 11), posted)
    await refused((a, b, 1), posted)  # the same way
    await refused((b, a, 1, "pending"), posted)
    await refused((b, a, 1), held)
    async with books.app.transaction():
        back = await books.transfer(b, a, 10)
        await books.app.execute(insert, back, posted, desk.org_id)
    await refused((b, a, 1), posted)
    await refused((a, b, 1), back)  # a correction of a correction
    for change in ("UPDATE ledger_correction SET reason = 'other'", "DELETE FROM ledger_correction"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.app.execute(change)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never allowed"):
            await books.admin.execute(change)
    await books.assert_sound()
