"""Two real connections race for the last fen: exactly one wins, every round. Rounds: CARDHOUR_ROUNDS."""

import asyncio
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from app.kit.db import SYSTEM, Database
from app.kit.errors import Problem
from app.kit.ids import new_id
from app.ledger.errors import FUNDS_EXHAUSTED
from app.vouchers import service
from app.vouchers.budgets import Earmark
from tests.conftest import MakeActor
from tests.grants import NOW, Grants
from tests.ledger.conftest import ROUNDS, Books, constraint_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1800)]


async def won(books: Books, over: asyncpg.Connection, account: UUID, other: UUID, level: str) -> bool:
    """Take the last fen, the whole transaction again after a serialization failure."""
    while True:
        try:
            async with over.transaction(isolation=level):
                await books.transfer(account, other, 1, "pending", over=over)
        except asyncpg.SerializationError:
            continue
        except asyncpg.CheckViolationError as refused:
            if constraint_of(refused) != "ledger_account_debits_within_credits":
                raise
            return False
        return True


@pytest.mark.parametrize("level", ["read_committed", "repeatable_read", "serializable"])
async def test_one_winner_for_the_last_fen(books: Books, level: str) -> None:
    other = await books.account()
    left, right = await books.connect(), await books.connect()
    for _ in range(ROUNDS):
        account = await books.account("debits_le_credits", 1)
        assert sum(await asyncio.gather(*(won(books, over, account, other, level) for over in (left, right)))) == 1
        assert await books.balances(account) == (1, 0, 0, 1)
    await books.assert_sound()


async def test_one_resolution_of_two_at_once(books: Books) -> None:
    a, b = await books.account("debits_le_credits", 10 * ROUNDS), await books.account()
    left, right = await books.connect(), await books.connect()

    async def resolve(over: asyncpg.Connection, pending: UUID, kind: str, amount: int) -> bool:
        try:
            await books.transfer(a, b, amount, kind, pending, over=over)
        except asyncpg.UniqueViolationError as refused:
            if constraint_of(refused) != "ledger_transfer_one_resolution":
                raise
            return False
        return True

    for _ in range(ROUNDS):
        pending = await books.transfer(a, b, 10, "pending")
        done = await asyncio.gather(resolve(left, pending, "post", 4), resolve(right, pending, "void", 0))
        assert sum(done) == 1
    assert (await books.balances(a))[0] == 0
    await books.assert_sound()


async def test_crossing_transfers_do_not_deadlock(books: Books) -> None:
    a, b = await books.account(), await books.account()
    left, right = await books.connect(), await books.connect()

    async def many(over: asyncpg.Connection, source: UUID, target: UUID) -> None:
        for _ in range(ROUNDS):
            await books.transfer(source, target, 1, over=over)

    await asyncio.gather(many(left, a, b), many(right, b, a))
    assert await books.balances(a) == (0, ROUNDS, 0, ROUNDS)


async def test_two_buyers_race_for_the_last_fen_of_a_pool(
    app_database: Database, make_actor: MakeActor, books: Books
) -> None:
    buyers = [(await make_actor("buyer")).org_id for _ in range(2)]
    grants = await Grants(app_database).open(1, 10**6)
    for _ in range(ROUNDS):

        async def take(buyer: UUID) -> list[UUID]:
            try:
                return await grants.take(buyer, 1)
            except Problem as problem:
                if problem.code is not FUNDS_EXHAUSTED:
                    raise
                return []

        [won] = [each for taken in await asyncio.gather(*(take(buyer) for buyer in buyers)) for each in taken]
        assert (await grants.left(*buyers)).pool_fen == 0
        async with app_database.write(SYSTEM) as session:
            await service.release_earmarks(session, [won])
    assert (await grants.left(*buyers)).pool_fen == 1
    await books.assert_sound()


async def test_two_redemptions_race_for_the_last_fen_of_a_voucher(
    app_database: Database, make_actor: MakeActor, books: Books
) -> None:
    """As a settlement does it: a single transfer from the voucher's account, whose guard bounds it."""
    buyer = (await make_actor("buyer")).org_id
    grants = await Grants(app_database).open(10**9, 10**9)
    claimable = await books.account()
    left, right = await books.connect(), await books.connect()

    async def redeem(over: asyncpg.Connection, voucher: UUID) -> bool:
        try:
            await books.transfer(voucher, claimable, 1, over=over)
        except asyncpg.CheckViolationError as refused:
            if constraint_of(refused) != "ledger_account_debits_within_credits":
                raise
            return False
        return True

    for _ in range(ROUNDS):
        await grants.take(buyer, 10)
        pending = await books.app.fetchrow(
            """SELECT t.id, t.debit_id, t.credit_id FROM ledger_transfer t JOIN voucher v ON v.account_id = t.credit_id
               ORDER BY t.seq DESC LIMIT 1"""
        )
        assert pending is not None
        held, pool, voucher = pending
        await books.transfer(pool, voucher, 1, "post", held)  # of 10 that were earmarked, 1 is issued
        assert sum(await asyncio.gather(redeem(left, voucher), redeem(right, voucher))) == 1
        assert await books.balances(voucher) == (0, 1, 0, 1)
    assert await books.balances(claimable) == (0, 0, 0, ROUNDS)
    await books.assert_sound()


async def test_a_buyers_first_two_earmarks_at_once_fill_the_quota_once(
    app_database: Database, make_actor: MakeActor, books: Books
) -> None:
    grants = await Grants(app_database).open(10**9, 100)
    for _ in range(ROUNDS):
        buyer = (await make_actor("buyer")).org_id

        async def take(buyer: UUID = buyer) -> bool:
            try:
                await grants.take(buyer, 60)
            except Problem as problem:
                if problem.code is not FUNDS_EXHAUSTED:
                    raise
                return False
            return True

        assert sum(await asyncio.gather(take(), take())) == 1
        assert (await grants.left(buyer)).buyer_fen == {buyer: 40}
    await books.assert_sound()


async def test_earmarks_in_any_order_do_not_deadlock(
    app_database: Database, make_actor: MakeActor, books: Books
) -> None:
    grants = await Grants(app_database).open(10**9, 10**6)
    await grants.open(10**9, 10**6, programme="second")
    for _ in range(ROUNDS):
        buyers = [(await make_actor("buyer")).org_id for _ in range(2)]
        wanted = [
            Earmark(new_id(), buyer, programme, 1, tier, 2026, 10)
            for buyer in buyers
            for programme, tier in (("made-up", "general"), ("second", "lead"))
        ]

        async def take(earmarks: list[Earmark]) -> None:
            async with app_database.write(SYSTEM) as session:
                await service.take_earmarks(session, earmarks, now=NOW)

        others = [replace(each, reservation_id=new_id()) for each in reversed(wanted)]
        await asyncio.gather(take(wanted), take(others))
        assert (await grants.left(*buyers)).buyer_fen == dict.fromkeys(buyers, 10**6 - 20)
    await books.assert_sound()
