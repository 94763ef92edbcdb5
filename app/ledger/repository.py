"""SQL of the ledger. What someone asks takes the caller; the books themselves are kept as the system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, Select, String, Uuid, bindparam, exists, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.ids import new_id
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.ledger.models import Account, Guard, Transfer, TransferKind

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
