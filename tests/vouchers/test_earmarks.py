"""Earmarks draw on the pool and on the buyer's caps, in one transaction with their vouchers, and give back."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.kit.db import SYSTEM, Database
from app.kit.errors import Problem
from app.kit.ids import encode_id, new_id
from app.ledger.models import Transfer, TransferKind
from app.vouchers import life, service
from app.vouchers.budgets import Budgets, Earmark
from app.vouchers.models import Voucher
from tests.conftest import Actor, MakeActor
from tests.grants import NOW, PROGRAMME, Grants, balances

pytestmark = pytest.mark.anyio


async def code_of(grants: Grants, buyer: UUID, *amounts: int, **more: object) -> str:
    with pytest.raises(Problem) as caught:
        await grants.take(buyer, *amounts, **more)  # type: ignore[arg-type]
    return caught.value.code.code


async def count(database: Database, model: type[Voucher | Transfer], **equals: object) -> int:
    async with database.read(SYSTEM) as session:
        return await session.scalar(select(func.count()).select_from(model).filter_by(**equals)) or 0


async def test_an_earmark_is_pending_on_pool_and_cap(grants: Grants, buyer: Actor) -> None:
    await grants.take(buyer.org_id, 10_000, 5_000)
    org = encode_id("org", buyer.org_id)
    assert balances(await grants.account(f"{PROGRAMME}/pool/2026")) == (15_000, 0, 0, 100_000)
    assert balances(await grants.account(f"{PROGRAMME}/buyer/{org}/2026")) == (15_000, 0, 0, 30_000)
    assert balances(await grants.account(f"{PROGRAMME}/quota/2026")) == (0, 30_000, 15_000, 0)
    assert balances(await grants.account(f"{PROGRAMME}/treasury")) == (0, 100_000, 0, 0)
    assert await grants.left(buyer.org_id) == Budgets(85_000, {buyer.org_id: 15_000}, {("lead", buyer.org_id): 20_000})


async def test_a_released_earmark_gives_all_back_and_stays_on_record(
    grants: Grants, buyer: Actor, app_database: Database
) -> None:
    [first, second] = await grants.take(buyer.org_id, 10_000, 5_000)
    async with app_database.write(SYSTEM) as session:
        assert await service.release_earmarks(session, [first, new_id()], TransferKind.EXPIRE) == 1
        assert await service.release_earmarks(session, [first], TransferKind.VOID) == 0
        assert await service.release_earmarks(session, []) == 0
        assert (await life.covered_fen(session, first), await life.covered_fen(session, second)) == (0, 5_000)
    assert (await grants.left(buyer.org_id)).buyer_fen == {buyer.org_id: 25_000}
    assert await count(app_database, Voucher, state="voided") == await count(app_database, Voucher, state="earmarked")
    assert await count(app_database, Transfer, kind="expire") == 2
    assert await count(app_database, Transfer, kind="void") == 0


async def test_a_buyers_cap_just_met_and_just_exceeded(grants: Grants, buyer: Actor, app_database: Database) -> None:
    assert await code_of(grants, buyer.org_id, 30_001) == "funds_exhausted"
    await grants.take(buyer.org_id, 29_999, 1)
    assert await code_of(grants, buyer.org_id, 1) == "funds_exhausted"
    assert await count(app_database, Voucher) == 2


async def test_a_pool_just_met_and_just_exceeded(grants: Grants, make_actor: MakeActor) -> None:
    buyers = [(await make_actor("buyer")).org_id for _ in range(4)]
    for buyer in buyers[:3]:
        await grants.take(buyer, 30_000)
    assert await code_of(grants, buyers[3], 10_001) == "funds_exhausted"
    await grants.take(buyers[3], 10_000)
    assert (await grants.left(*buyers)).pool_fen == 0


async def test_a_tiers_total_is_of_all_years(grants: Grants, buyer: Actor) -> None:
    await grants.open(year=2027)
    await grants.take(buyer.org_id, 15_000, tier="lead")
    assert await code_of(grants, buyer.org_id, 5_001, tier="lead", year=2027) == "funds_exhausted"
    await grants.take(buyer.org_id, 5_000, tier="lead", year=2027)
    left = await grants.left(buyer.org_id, year=2027)
    assert (left.buyer_fen, left.tier_fen) == ({buyer.org_id: 25_000}, {("lead", buyer.org_id): 0})


async def test_years_have_budgets_of_their_own(grants: Grants, buyer: Actor) -> None:
    await grants.open(50_000, 10_000, year=2027)
    await grants.take(buyer.org_id, 30_000)
    await grants.take(buyer.org_id, 10_000, year=2027)
    assert (await grants.left(buyer.org_id)).pool_fen == 70_000
    assert (await grants.left(buyer.org_id, year=2027)).pool_fen == 40_000


async def test_without_caps_anything_is_taken_and_still_on_record(app_database: Database, buyer: Actor) -> None:
    grants = await Grants(app_database).open(None, None)
    await grants.take(buyer.org_id, 10**12)
    left = await grants.left(buyer.org_id)
    assert (left.pool_fen, left.buyer_fen) == (None, {buyer.org_id: None})
    assert balances(await grants.account(f"{PROGRAMME}/pool/2026"))[0] == 10**12


async def test_a_cap_of_nothing_gives_nothing(app_database: Database, buyer: Actor) -> None:
    grants = await Grants(app_database).open(0, 100)
    assert await code_of(grants, buyer.org_id, 1) == "funds_exhausted"


async def test_all_or_nothing(grants: Grants, make_actor: MakeActor, app_database: Database) -> None:
    buyer, other = [(await make_actor("buyer")).org_id for _ in range(2)]
    with pytest.raises(Problem):
        async with app_database.write(SYSTEM) as session:
            await service.take_earmarks(
                session,
                [
                    Earmark(new_id(), buyer, PROGRAMME, 1, "general", 2026, 10),
                    Earmark(new_id(), other, PROGRAMME, 1, "general", 2026, 30_001),
                ],
                now=NOW,
            )
    assert await count(app_database, Voucher) == 0
    assert (await grants.left(buyer, other)).pool_fen == 100_000


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"year": 2027}, "programme_not_open"),
        ({"programme": "nobody"}, "programme_not_open"),
        ({"programme": "second"}, "programme_not_open"),
        ({"version": 2}, "programme_version"),
        ({"tier": "nobody"}, "unknown_tier"),
    ],
)
async def test_what_is_not_open(grants: Grants, buyer: Actor, more: dict[str, object], code: str) -> None:
    assert await code_of(grants, buyer.org_id, 10, **more) == code


async def test_one_voucher_of_a_programme_for_a_reservation(
    grants: Grants, buyer: Actor, app_database: Database
) -> None:
    await grants.open(programme="second")
    reservation = new_id()

    async def take(programme: str) -> None:
        async with app_database.write(SYSTEM) as session:
            earmark = Earmark(reservation, buyer.org_id, programme, 1, "general", 2026, 10)
            await service.take_earmarks(session, [earmark], now=NOW)

    await take(PROGRAMME)
    await take("second")  # programmes that stack
    with pytest.raises(Problem) as caught:
        await take(PROGRAMME)
    assert caught.value.code.code == "voucher_taken"
    async with app_database.write(SYSTEM) as session:
        assert await service.release_earmarks(session, [reservation]) == 2
    await take(PROGRAMME)


async def test_locked_budgets_stay_until_the_end(grants: Grants, buyer: Actor, app_database: Database) -> None:
    held, key = asyncio.Event(), (PROGRAMME, 2026)

    async def another() -> None:
        await held.wait()
        await grants.take(buyer.org_id, 30_000)

    async def clearing() -> None:
        async with app_database.write(SYSTEM) as session:
            left = (await service.lock_budgets(session, {key: [buyer.org_id]}))[key]
            held.set()
            await asyncio.sleep(0.2)  # the other one waits for the accounts
            assert left.buyer_fen == {buyer.org_id: 30_000}
            earmark = Earmark(new_id(), buyer.org_id, PROGRAMME, 1, "general", 2026, 30_000)
            await service.take_earmarks(session, [earmark], now=NOW)

    done = await asyncio.gather(clearing(), another(), return_exceptions=True)
    assert done[0] is None
    assert isinstance(done[1], Problem)
    assert (await grants.left(buyer.org_id)).buyer_fen == {buyer.org_id: 0}


async def test_budgets_of_what_is_not_open_are_refused(grants: Grants) -> None:
    with pytest.raises(Problem, match="programme_not_open"):
        await grants.left(year=2030)


async def test_thousands_of_earmarks_in_one_transaction(app_database: Database, buyer: Actor) -> None:
    grants = await Grants(app_database).open(10**9, 10**9)
    reservations = await grants.take(buyer.org_id, *([3] * 3_000))
    assert (await grants.left(buyer.org_id)).pool_fen == 10**9 - 9_000
    async with app_database.write(SYSTEM) as session:
        assert await service.release_earmarks(session, reservations) == 3_000
    assert (await grants.left(buyer.org_id)).pool_fen == 10**9
