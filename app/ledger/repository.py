"""SQL of the ledger. What someone asks takes the caller; the books themselves are kept as the system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, String, Uuid, bindparam, exists, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.ids import new_id
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.ledger.models import Account, Correction, Guard, Line, Transfer, TransferKind

# In the order of names, so that two who open the same accounts wait for each other and never in a ring.
_OPEN = text(
    """
    INSERT INTO ledger_account (id, name, kind, guard, owner_org_id)
    SELECT * FROM unnest(:ids, :names, :kinds, :guards, :owners) AS a (id, name, kind, guard, owner_org_id)
    ORDER BY name
    ON CONFLICT (name) DO NOTHING RETURNING name
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("names", type_=ARRAY(String())),
    bindparam("kinds", type_=ARRAY(String())),
    bindparam("guards", type_=ARRAY(String())),
    bindparam("owners", type_=ARRAY(Uuid())),
)
# One statement however many, so that the posting trigger locks all accounts concerned at once and in their order.
# Never ON CONFLICT: a transfer that is on record already must be told, not swallowed.
_POST = text(
    """
    INSERT INTO ledger_transfer (id, debit_id, credit_id, amount_fen, kind, pending_id, subject)
    SELECT * FROM unnest(:ids, :debits, :credits, :amounts, :kinds, :pendings, :subjects)
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("debits", type_=ARRAY(Uuid())),
    bindparam("credits", type_=ARRAY(Uuid())),
    bindparam("amounts", type_=ARRAY(BigInteger())),
    bindparam("kinds", type_=ARRAY(String())),
    bindparam("pendings", type_=ARRAY(Uuid())),
    bindparam("subjects", type_=ARRAY(Uuid())),
)
_LOCK = text("SELECT ledger_lock(:ids)").bindparams(bindparam("ids", type_=ARRAY(Uuid())))


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to open under a unique name."""

    name: str
    kind: str
    guard: Guard
    owner_org_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A transfer to post; `amount_fen` is 0 for `void` and `expire` and positive else."""

    id: UUID
    debit_id: UUID
    credit_id: UUID
    amount_fen: int
    kind: TransferKind
    pending_id: UUID | None = None
    subject: UUID | None = None


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are wanted; None asks for nothing."""

    kind: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class TransferFilter:
    """Which transfers are wanted; None asks for nothing. `account_id` is either side."""

    account_id: UUID | None = None
    subject: UUID | None = None
    kind: TransferKind | None = None


async def open_accounts(session: WriteSession, accounts: Collection[NewAccount]) -> frozenset[str]:
    """Open the accounts whose names are not taken (as the system); return the names of those that were opened."""
    if not accounts:
        return frozenset()
    rows = list(accounts)
    opened = await session.scalars(
        _OPEN,
        {
            "ids": [new_id() for _ in rows],
            "names": [row.name for row in rows],
            "kinds": [row.kind for row in rows],
            "guards": [row.guard.value for row in rows],
            "owners": [row.owner_org_id for row in rows],
        },
    )
    return frozenset(opened)


async def insert_transfers(session: WriteSession, transfers: Sequence[NewTransfer]) -> None:
    """Add transfers by one statement (as the system).

    Raises:
        DBAPIError: what the accounts' guards and the posting trigger refuse (translated at the edge).
    """
    if not transfers:
        return
    await session.execute(
        _POST,
        {
            "ids": [each.id for each in transfers],
            "debits": [each.debit_id for each in transfers],
            "credits": [each.credit_id for each in transfers],
            "amounts": [each.amount_fen for each in transfers],
            "kinds": [each.kind.value for each in transfers],
            "pendings": [each.pending_id for each in transfers],
            "subjects": [each.subject for each in transfers],
        },
    )


async def lock_accounts(session: WriteSession, ids: Collection[UUID]) -> None:
    """Keep the balances of accounts as they are until the transaction's end, locked in id order (as the system)."""
    await session.execute(_LOCK, {"ids": list(ids)})


async def find_accounts(session: ReadSession, names: Collection[str]) -> dict[str, Account]:
    """Return those accounts that exist, by name, as they are now (as the system, or one who reads all)."""
    wanted = bindparam("names", list(names), type_=ARRAY(String()))
    statement = select(Account).where(Account.name == func.any(wanted)).execution_options(populate_existing=True)
    return {account.name: account for account in await session.scalars(statement)}


async def open_pending(session: ReadSession, subjects: Collection[UUID]) -> list[Transfer]:
    """Return the pending transfers of these subjects that nothing has resolved (as the system)."""
    resolution = aliased(Transfer)
    wanted = bindparam("subjects", list(subjects), type_=ARRAY(Uuid()))
    statement = (
        select(Transfer)
        .where(Transfer.subject == func.any(wanted), Transfer.kind == TransferKind.PENDING.value)
        .where(~exists().where(resolution.pending_id == Transfer.id))
        .order_by(Transfer.seq)
    )
    return list(await session.scalars(statement))


def _owned(caller: Caller) -> Select[UUID]:
    return select(Account.id).where(Account.owner_org_id == caller.org_id)


async def list_accounts(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: AccountFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Account], bool, tuple[str, str] | None]:
    """Return a page of the accounts that the caller owns (all, for the desk and auditors), in the order of opening."""
    statement = select(Account)
    if not caller.reads_all:
        statement = statement.where(Account.owner_org_id == caller.org_id)
    equals = ((Account.kind, wanted.kind), (Account.name, wanted.name))
    statement = statement.where(*(column == value for column, value in equals if value is not None))
    sort = Sort[Account](
        columns=(Account.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def list_transfers(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: TransferFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Transfer], bool, tuple[str, str] | None]:
    """Return a page of the transfers on accounts that the caller owns (all, for the desk and auditors), by `seq`."""
    statement = select(Transfer)
    if not caller.reads_all:
        owned = _owned(caller)
        statement = statement.where(or_(Transfer.debit_id.in_(owned), Transfer.credit_id.in_(owned)))
    if wanted.account_id is not None:
        statement = statement.where(
            or_(Transfer.debit_id == wanted.account_id, Transfer.credit_id == wanted.account_id)
        )
    if wanted.subject is not None:
        statement = statement.where(Transfer.subject == wanted.subject)
    if wanted.kind is not None:
        statement = statement.where(Transfer.kind == wanted.kind.value)
    sort = Sort[Transfer](
        columns=(Transfer.seq.expression,),
        values=lambda row: (row.seq,),
        parse=lambda values: (int(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


@dataclass(frozen=True, slots=True)
class Books:
    """Which part of the books is wanted; None asks for nothing.

    `programme` is the accounts named `PROGRAMME/…` and those that these post with, which balance among themselves.
    """

    programme: str | None = None
    owner_org_id: UUID | None = None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class KindBalance:
    """The sums of the accounts of one kind, in fen."""

    kind: str
    accounts: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


def _within(
    caller: Caller, wanted: Books, account: ColumnElement[UUID], owner: ColumnElement[UUID | None]
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if not caller.reads_all:
        found.append(owner == caller.org_id)
    if wanted.owner_org_id is not None:
        found.append(owner == wanted.owner_org_id)
    if wanted.account_id is not None:
        found.append(account == wanted.account_id)
    if wanted.programme is not None:
        named = select(Account.id).where(func.starts_with(Account.name, f"{wanted.programme}/"))
        found.append(
            or_(
                account.in_(named),
                account.in_(select(Transfer.credit_id).where(Transfer.debit_id.in_(named))),
                account.in_(select(Transfer.debit_id).where(Transfer.credit_id.in_(named))),
            )
        )
    return found


async def sum_by_kind(session: ReadSession, caller: Caller, wanted: Books) -> list[KindBalance]:
    """Return the sums of the accounts that the caller owns (all, for the desk and auditors), by kind."""
    sums = [
        func.sum(column).cast(BigInteger)
        for column in (
            Account.debits_pending,
            Account.debits_posted,
            Account.credits_pending,
            Account.credits_posted,
        )
    ]
    statement = (
        select(Account.kind, func.count(), *sums)
        .where(*_within(caller, wanted, Account.id.expression, Account.owner_org_id.expression))
        .group_by(Account.kind)
        .order_by(Account.kind)
    )
    return [KindBalance(*row) for row in await session.execute(statement)]


async def get_account(session: ReadSession, caller: Caller, account_id: UUID) -> Account | None:
    """Return an account that the caller owns (any, for the desk and auditors)."""
    statement = select(Account).where(Account.id == account_id)
    if not caller.reads_all:
        statement = statement.where(Account.owner_org_id == caller.org_id)
    return await session.scalar(statement)


async def list_lines(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    account_id: UUID,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Line], bool, tuple[str, str] | None]:
    """Return a page of an account's statement, by `seq`."""
    statement = select(Line).where(
        *_within(caller, Books(account_id=account_id), Line.account_id.expression, Line.owner_org_id.expression)
    )
    sort = Sort[Line](
        columns=(Line.seq.expression,),
        values=lambda row: (row.seq,),
        parse=lambda values: (int(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def find_lines(session: ReadSession, caller: Caller, wanted: Books, most: int) -> list[Line]:
    """Return the lines of all accounts wanted, by account's name and `seq`; at most `most`."""
    statement = (
        select(Line)
        .where(*_within(caller, wanted, Line.account_id.expression, Line.owner_org_id.expression))
        .order_by(Line.account_name, Line.seq)
        .limit(most)
    )
    return list(await session.scalars(statement))


async def count_lines(session: ReadSession, caller: Caller, wanted: Books) -> int:
    """Return how many lines `find_lines` would find."""
    statement = select(func.count()).select_from(Line)
    within = _within(caller, wanted, Line.account_id.expression, Line.owner_org_id.expression)
    return await session.scalar(statement.where(*within)) or 0


async def get_transfer(session: ReadSession, transfer_id: UUID) -> Transfer | None:
    """Return a transfer (as the system, or one who reads all)."""
    return await session.get(Transfer, transfer_id)


async def is_correction(session: ReadSession, transfer_id: UUID) -> bool:
    """Tell whether a transfer corrects another."""
    return await session.get(Correction, transfer_id) is not None


async def insert_correction(session: WriteSession, correction: Correction) -> None:
    """Record what a transfer corrects, after that transfer (as the desk or the system).

    Raises:
        DBAPIError: where more would be taken back than was posted (translated at the edge).
    """
    session.add(correction)
    await session.flush()
