"""The posting trigger is the only writer of balances, and refuses what does not match or exceeds a guard."""

import time
from uuid import UUID

import asyncpg
import pytest

from app.kit.db import SYSTEM, Database
from app.kit.errors import Problem
from app.kit.ids import new_id
from app.ledger import service
from app.ledger.models import TransferKind
from app.ledger.repository import NewTransfer
from tests.ledger.conftest import TRANSFER, Books, constraint_of

pytestmark = pytest.mark.anyio
MAX = 10**15
MANY = """INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
    SELECT gen_random_uuid(), $1, ($2::uuid[])[1 + n % cardinality($2::uuid[])], 1, 'pending'
    FROM generate_series(1, $3::int) AS n"""


async def refused(books: Books, *arguments: object, by: str | None, **more: object) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await books.transfer(*arguments, **more)  # type: ignore[arg-type]
    assert constraint_of(caught.value) == by
    await books.assert_sound()


async def test_each_kind_moves_its_balances(books: Books) -> None:
    a, b = await books.account(), await books.account()
    await books.transfer(a, b, 100)
    assert (await books.balances(a), await books.balances(b)) == ((0, 100, 0, 0), (0, 0, 0, 100))
    first, second, third = [await books.transfer(a, b, amount, "pending") for amount in (10, 20, 40)]
    assert (await books.balances(a), await books.balances(b)) == ((70, 100, 0, 0), (0, 0, 70, 100))
    await books.transfer(a, b, 7, "post", first)  # a part; the rest is released
    assert (await books.balances(a), await books.balances(b)) == ((60, 107, 0, 0), (0, 0, 60, 107))
    await books.transfer(a, b, 0, "void", second)
    await books.transfer(a, b, 0, "expire", third)
    assert (await books.balances(a), await books.balances(b)) == ((0, 107, 0, 0), (0, 0, 0, 107))
    await books.assert_sound()


@pytest.mark.parametrize("kind", ["single", "pending"])
async def test_debits_guard_just_met_and_just_exceeded(books: Books, kind: str) -> None:
    account, other = await books.account("debits_le_credits", 100), await books.account()
    await books.transfer(account, other, 40, "pending")
    await refused(books, account, other, 61, kind, by="ledger_account_debits_within_credits")
    await books.transfer(account, other, 60, kind)
    await refused(books, account, other, 1, kind, by="ledger_account_debits_within_credits")


@pytest.mark.parametrize("kind", ["single", "pending"])
async def test_credits_guard_just_met_and_just_exceeded(books: Books, kind: str) -> None:
    account, other = await books.account("credits_le_debits"), await books.account()
    await books.transfer(account, other, 100)
    await books.transfer(other, account, 40, "pending")
    await refused(books, other, account, 61, kind, by="ledger_account_credits_within_debits")
    await books.transfer(other, account, 60, kind)
    await refused(books, other, account, 1, kind, by="ledger_account_credits_within_debits")


async def test_pending_credits_fund_nothing(books: Books) -> None:
    account, other = await books.account("debits_le_credits"), await books.account()
    promised = await books.transfer(other, account, 50, "pending")
    await refused(books, account, other, 1, by="ledger_account_debits_within_credits")
    await books.transfer(other, account, 50, "post", promised)
    await books.transfer(account, other, 50)


async def test_what_a_void_gives_back_can_be_spent_again(books: Books) -> None:
    account, other = await books.account("debits_le_credits", 10), await books.account()
    held = await books.transfer(account, other, 10, "pending")
    await books.transfer(account, other, 0, "void", held)
    await books.transfer(account, other, 10)


async def test_resolutions_must_match(books: Books) -> None:
    a, b, c = await books.account(), await books.account(), await books.account()
    single, pending = await books.transfer(a, b, 10), await books.transfer(a, b, 10, "pending")
    mismatch = "ledger_transfer_matches_pending"
    await refused(books, a, b, 11, "post", pending, by=mismatch)
    await refused(books, a, c, 10, "post", pending, by=mismatch)
    await refused(books, b, a, 0, "void", pending, by=mismatch)
    await refused(books, a, b, 10, "post", single, by=mismatch)
    await refused(books, a, b, 0, "void", new_id(), by="ledger_transfer_pending_id_fkey")
    await refused(books, a, b, 10, "post", by="ledger_transfer_resolution_names_pending")
    await refused(books, a, b, 10, "single", pending, by="ledger_transfer_resolution_names_pending")
    await books.transfer(a, b, 10, "post", pending)
    for kind, amount in (("post", 1), ("void", 0), ("expire", 0)):
        await refused(books, a, b, amount, kind, pending, by="ledger_transfer_one_resolution")


@pytest.mark.parametrize(
    ("amount", "kind"), [(0, "single"), (-1, "single"), (0, "pending"), (MAX + 1, "single"), (1, "void"), (1, "expire")]
)
async def test_amounts_out_of_range(books: Books, amount: int, kind: str) -> None:
    a, b = await books.account(), await books.account()
    pending = await books.transfer(a, b, 10, "pending") if kind in ("void", "expire") else None
    await refused(books, a, b, amount, kind, pending, by="ledger_transfer_amount_range")


async def test_transfers_that_are_none(books: Books) -> None:
    a, b = await books.account(), await books.account()
    await refused(books, a, a, 1, by="ledger_transfer_two_accounts")
    await refused(books, a, b, 1, "gift", by="ledger_transfer_kind_known")
    await refused(books, a, new_id(), 1, by="ledger_transfer_credit_id_fkey")


async def test_the_same_id_again_is_refused_and_posts_nothing(books: Books) -> None:
    a, b = await books.account(), await books.account()
    done = await books.transfer(a, b, 5)
    await refused(books, a, b, 5, by="ledger_transfer_pkey", transfer_id=done)
    assert await books.balances(a) == (0, 5, 0, 0)


async def test_on_conflict_cannot_post_twice(books: Books) -> None:
    a, b = await books.account(), await books.account()
    done = await books.transfer(a, b, 5)
    await books.app.execute(f"{TRANSFER} ON CONFLICT DO NOTHING", done, a, b, 5, "single", None, None)
    assert await books.balances(a) == (0, 5, 0, 0)
    for connection in (books.app, books.admin):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                f"{TRANSFER} ON CONFLICT (id) DO UPDATE SET amount_fen = 9", done, a, b, 5, "single", None, None
            )
    await books.assert_sound()


async def test_a_pending_and_its_resolution_in_one_transaction(books: Books) -> None:
    a, b = await books.account("debits_le_credits", 10), await books.account()
    async with books.app.transaction():
        for _ in range(3):  # the guard is met each time, since each is released before the next
            held = await books.transfer(a, b, 10, "pending")
            await books.transfer(a, b, 0, "void", held)
        held = await books.transfer(a, b, 10, "pending")
        await books.transfer(a, b, 4, "post", held)
    assert await books.balances(a) == (0, 4, 0, 10)
    await books.assert_sound()


async def test_a_pending_and_its_resolution_in_one_statement(books: Books) -> None:
    a, b = await books.account(), await books.account()
    held = new_id()
    await books.app.execute(
        "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id) VALUES"
        " ($1, $2, $3, 10, 'pending', NULL), (gen_random_uuid(), $2, $3, 4, 'post', $1)",
        held,
        a,
        b,
    )
    assert await books.balances(a) == (0, 4, 0, 0)
    await books.assert_sound()


async def test_guards_look_at_a_whole_statement(books: Books) -> None:
    source, account, other = await books.account(), await books.account("debits_le_credits"), await books.account()
    await books.app.execute(
        "INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind) VALUES"
        " (gen_random_uuid(), $2, $3, 10, 'pending'), (gen_random_uuid(), $1, $2, 10, 'single')",
        source,
        account,
        other,
    )
    assert await books.balances(account) == (10, 0, 0, 10)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transfer SET amount_fen = 1",
        "DELETE FROM ledger_transfer",
        "TRUNCATE ledger_transfer CASCADE",
        "UPDATE ledger_account SET credits_posted = 1000000",
        "DELETE FROM ledger_account",
        "TRUNCATE ledger_account CASCADE",
        "DELETE FROM ledger_transfer WHERE false",
    ],
)
async def test_nothing_on_record_is_changed_by_anyone(books: Books, statement: str) -> None:
    a, b = await books.account(), await books.account()
    await books.transfer(a, b, 5)
    await books.admin.execute("SET ROLE cardhour_owner")
    for connection in (books.app, books.admin):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await books.admin.execute("RESET ROLE")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):  # a superuser has every right, but not past the trigger
        await books.admin.execute(statement)
    assert await books.balances(a) == (0, 5, 0, 0)


@pytest.mark.parametrize(
    "statement",
    [
        """INSERT INTO ledger_account (id, name, kind, guard, credits_posted)
           VALUES (gen_random_uuid(), 'x', 'x', 'none', 9)""",
        """INSERT INTO ledger_transfer (id, seq, debit_id, credit_id, amount_fen, kind)
           OVERRIDING SYSTEM VALUE SELECT gen_random_uuid(), 1, a.id, b.id, 1, 'single'
           FROM ledger_account a, ledger_account b WHERE a.id < b.id LIMIT 1""",
        "SELECT ledger_post()",
    ],
)
async def test_the_application_gives_neither_balances_nor_order(books: Books, statement: str) -> None:
    await books.account()
    await books.account()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await books.app.execute(statement)


async def test_members_write_nothing_and_lock_nothing(books: Books) -> None:
    a, b = await books.account(), await books.account()
    await books.app.execute("SELECT set_config('cardhour.role', 'member', false)")
    for statement in (
        "INSERT INTO ledger_account (id, name, kind, guard) VALUES (gen_random_uuid(), 'x', 'x', 'none')",
        f"""INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind)
            VALUES (gen_random_uuid(), '{a}', '{b}', 1, 'single')""",
        f"SELECT ledger_lock(ARRAY['{a}'::uuid])",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.app.execute(statement)


async def test_twenty_thousand_in_one_statement_grow_linearly(books: Books) -> None:
    pool = await books.account("debits_le_credits", 100_000)
    vouchers = [await books.account() for _ in range(200)]

    async def seconds(rows: int) -> float:
        transaction = books.app.transaction()
        await transaction.start()
        begun = time.perf_counter()
        await books.app.execute(MANY, pool, vouchers, rows)
        taken = time.perf_counter() - begun
        assert (await books.balances(pool))[0] == rows
        await transaction.rollback()
        return taken

    await seconds(1_000)
    small = min(await seconds(5_000), await seconds(5_000))
    large = min(await seconds(20_000), await seconds(20_000))
    assert large < 10 * small  # 16 times if it were quadratic
    await books.assert_sound()


def new(debit: UUID, credit: UUID, amount: int, kind: TransferKind, pending: UUID | None = None) -> NewTransfer:
    return NewTransfer(new_id(), debit, credit, amount, kind, pending, None)


async def test_refusals_have_codes(books: Books, app_database: Database) -> None:
    a, b = await books.account("debits_le_credits", 10), await books.account("credits_le_debits")
    c = await books.account()
    held = await books.transfer(a, c, 5, "pending")
    voided = await books.transfer(a, c, 5, "pending")
    await books.transfer(a, c, 0, "void", voided)
    done = await books.transfer(c, a, 1)
    cases = [
        (new(a, c, 7, TransferKind.SINGLE), "funds_exhausted"),
        (new(c, b, 1, TransferKind.PENDING), "overcredited"),
        (new(a, c, 6, TransferKind.POST, held), "resolution_mismatch"),
        (new(a, c, 0, TransferKind.EXPIRE, voided), "already_resolved"),
        (NewTransfer(done, c, a, 1, TransferKind.SINGLE), "transfer_exists"),
    ]
    for transfer, code in cases:
        with pytest.raises(Problem) as caught:
            async with app_database.write(SYSTEM) as session:
                await service.post_transfers(session, [transfer])
        assert caught.value.code.code == code
    await books.assert_sound()


async def test_release_takes_release_kinds_only(app_database: Database) -> None:
    with pytest.raises(ValueError, match="post does not release"):
        async with app_database.write(SYSTEM) as session:
            await service.release_pending(session, [new_id()], TransferKind.POST)
