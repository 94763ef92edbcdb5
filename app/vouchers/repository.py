"""SQL of programmes and vouchers. What someone asks takes the caller; the rest is kept as the system."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Select,
    String,
    Uuid,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.ledger.models import Account, Transfer, TransferKind
from app.vouchers.budgets import BUYER_QUOTA, CLAIMABLE, CLAWBACK
from app.vouchers.models import (
    ProgrammeVersion,
    ProgrammeYear,
    VersionState,
    Voucher,
    VoucherJournalEntry,
    VoucherState,
)

_VOUCHER_COLUMNS: Final = {
    "id": Uuid(),
    "subject_id": Uuid(),
    "buyer_org_id": Uuid(),
    "programme_id": String(),
    "programme_version": BigInteger(),
    "tier": String(),
    "year": BigInteger(),
    "amount_fen": BigInteger(),
    "kind": String(),
    "bonus_of": Uuid(),
    "account_id": Uuid(),
}
# One statement however many: a clearing's apply adds thousands while it holds its locks.
_INSERT_VOUCHERS: Final = text(
    f"""
    INSERT INTO voucher ({", ".join(_VOUCHER_COLUMNS)}, state, version, created_at)
    SELECT {", ".join(f"v.{name}" for name in _VOUCHER_COLUMNS)}, '{VoucherState.EARMARKED.value}', 1, :now
    FROM unnest({", ".join(f":{name}" for name in _VOUCHER_COLUMNS)}) AS v ({", ".join(_VOUCHER_COLUMNS)})
    """  # noqa: S608  names of columns
).bindparams(
    bindparam("now", type_=DateTime(timezone=True)),
    *(bindparam(name, type_=ARRAY(kind)) for name, kind in _VOUCHER_COLUMNS.items()),
)


@dataclass(frozen=True, slots=True)
class VoucherFilter:
    """Which vouchers are wanted; None asks for nothing."""

    state: VoucherState | None = None
    programme: str | None = None
    reservation_id: UUID | None = None


async def store_versions(session: WriteSession, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Add programme versions that are not stored (as the system); return the ids of those added."""
    if not rows:
        return []
    statement = upsert(ProgrammeVersion).on_conflict_do_nothing(index_elements=["programme_id", "version"])
    return list(await session.scalars(statement.values(list(rows)).returning(ProgrammeVersion.programme_id)))


async def find_versions(session: ReadSession, programme: str | None = None) -> list[ProgrammeVersion]:
    """Return the published versions, of one programme or of all, by programme and version."""
    statement = select(ProgrammeVersion).where(ProgrammeVersion.state == VersionState.PUBLISHED.value)
    if programme is not None:
        statement = statement.where(ProgrammeVersion.programme_id == programme)
    return list(await session.scalars(statement.order_by(ProgrammeVersion.programme_id, ProgrammeVersion.version)))


async def get_version(session: ReadSession, programme: str, version: int) -> ProgrammeVersion | None:
    """Return a stored version."""
    return await session.get(ProgrammeVersion, (programme, version))


async def insert_year(session: WriteSession, row: dict[str, Any]) -> ProgrammeYear:
    """Record that a programme is open for a year.

    Raises:
        DBAPIError: `programme_year_pkey` (translated at the edge).
    """
    return (await session.scalars(insert(ProgrammeYear).values(**row).returning(ProgrammeYear))).one()


async def find_years(session: ReadSession, programme: str | None = None) -> list[ProgrammeYear]:
    """Return the years that a programme, or any, is open for."""
    statement = select(ProgrammeYear)
    if programme is not None:
        statement = statement.where(ProgrammeYear.programme_id == programme)
    return list(await session.scalars(statement.order_by(ProgrammeYear.programme_id, ProgrammeYear.year)))


async def open_years(
    session: ReadSession, keys: Collection[tuple[str, int]]
) -> dict[tuple[str, int], tuple[ProgrammeYear, ProgrammeVersion]]:
    """Return those years of these programmes that are open, each with the version that it is open under."""
    statement = (
        select(ProgrammeYear, ProgrammeVersion)
        .join(
            ProgrammeVersion,
            (ProgrammeVersion.programme_id == ProgrammeYear.programme_id)
            & (ProgrammeVersion.version == ProgrammeYear.programme_version),
        )
        .where(tuple_(ProgrammeYear.programme_id, ProgrammeYear.year).in_(list(keys)))
    )
    return {(row[0].programme_id, row[0].year): (row[0], row[1]) for row in await session.execute(statement)}


async def insert_vouchers(session: WriteSession, rows: Sequence[Mapping[str, object]], now: datetime) -> None:
    """Add earmarked vouchers by one statement (as the system)."""
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _VOUCHER_COLUMNS}
    await session.execute(_INSERT_VOUCHERS, columns | {"now": now})


async def void_vouchers(session: WriteSession, subjects: Collection[UUID]) -> list[UUID]:
    """Void the earmarked vouchers of these reservations, locked before (as the system); return their ids."""
    wanted = bindparam("subjects", list(subjects), type_=ARRAY(Uuid()))
    statement = (
        update(Voucher)
        .where(Voucher.subject_id == func.any(wanted), Voucher.state == VoucherState.EARMARKED.value)
        .values(state=VoucherState.VOIDED.value, version=Voucher.version + 1)
        .returning(Voucher.id)
        .execution_options(synchronize_session=False)
    )
    return list(await session.scalars(statement))


async def vouchers_of(session: ReadSession, subjects: Collection[UUID]) -> list[Voucher]:
    """Return every voucher of these reservations, by id (as the system)."""
    wanted = bindparam("subjects", list(subjects), type_=ARRAY(Uuid()))
    statement = select(Voucher).where(Voucher.subject_id == func.any(wanted)).order_by(Voucher.id)
    return list(await session.scalars(statement.execution_options(populate_existing=True)))


async def get_vouchers(session: ReadSession, ids: Collection[UUID]) -> list[Voucher]:
    """Return those of these vouchers that the transaction sees, by id."""
    return list(await session.scalars(select(Voucher).where(Voucher.id.in_(ids)).order_by(Voucher.id)))


async def lock_vouchers(
    session: WriteSession, *, ids: Collection[UUID] = (), subjects: Collection[UUID] = ()
) -> list[Voucher]:
    """Return these vouchers and those of these reservations, locked in id order (as the system)."""
    by_id = bindparam("ids", list(ids), type_=ARRAY(Uuid()))
    by_subject = bindparam("subjects", list(subjects), type_=ARRAY(Uuid()))
    statement = (
        select(Voucher)
        .where(or_(Voucher.id == func.any(by_id), Voucher.subject_id == func.any(by_subject)))
        .order_by(Voucher.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(await session.scalars(statement))


async def find_due(session: ReadSession, now: datetime, limit: int) -> list[tuple[UUID, UUID | None]]:
    """Return `(voucher, reservation)` of at most `limit` issued vouchers whose time is over, longest over first."""
    statement = (
        select(Voucher.id, Voucher.subject_id)
        .where(Voucher.state == VoucherState.ISSUED.value, Voucher.expires_at <= now)
        .order_by(Voucher.expires_at)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in await session.execute(statement)]


async def left_fen(session: ReadSession, voucher_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what is left on these vouchers' accounts, by voucher (as the system)."""
    statement = (
        select(Voucher.id, Account)
        .join(Account, Account.id == Voucher.account_id)
        .where(Voucher.id == func.any(bindparam("ids", list(voucher_ids), type_=ARRAY(Uuid()))))
        .execution_options(populate_existing=True)
    )
    return {row[0]: row[1].left_fen for row in await session.execute(statement)}


async def issued_legs(session: ReadSession, voucher_ids: Collection[UUID]) -> list[Transfer]:
    """Return the transfers by which these vouchers were issued, in the order of record (as the system)."""
    wanted = bindparam("ids", list(voucher_ids), type_=ARRAY(Uuid()))
    statement = (
        select(Transfer)
        .where(Transfer.subject == func.any(wanted), Transfer.kind == TransferKind.POST.value)
        .where(
            or_(
                exists().where(Voucher.id == Transfer.subject, Voucher.account_id == Transfer.credit_id),
                exists().where(Account.id == Transfer.debit_id, Account.kind == BUYER_QUOTA),
            )
        )
        .order_by(Transfer.seq)
    )
    return list(await session.scalars(statement))


def _redemptions(voucher_ids: Collection[UUID]) -> Select[UUID, UUID | None, int]:
    """Select (voucher, claimant, fen) from the transfers between vouchers and claimable accounts."""
    wanted = bindparam("ids", list(voucher_ids), type_=ARRAY(Uuid()))
    taken = Transfer.debit_id == Voucher.account_id
    amount = func.sum(case((taken, Transfer.amount_fen), else_=-Transfer.amount_fen))
    return (
        select(Voucher.id, Account.owner_org_id, cast(amount, BigInteger))
        .join(Transfer, or_(taken, Transfer.credit_id == Voucher.account_id))
        .join(Account, Account.id == case((taken, Transfer.credit_id), else_=Transfer.debit_id))
        .where(Voucher.id == func.any(wanted), Account.kind == CLAIMABLE, Transfer.kind == TransferKind.SINGLE.value)
        .group_by(Voucher.id, Account.owner_org_id)
    )


async def redeemed_fen(session: ReadSession, voucher_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what was redeemed of vouchers less what was given back (as the system, or one who reads all)."""
    found = dict.fromkeys(voucher_ids, 0)
    for voucher, _, amount in await session.execute(_redemptions(voucher_ids)):
        found[voucher] += int(amount)
    return found


async def redeemed_by(session: ReadSession, voucher_id: UUID) -> dict[UUID, int]:
    """Return what was redeemed of a voucher less what was given back, by claimant (as the system)."""
    rows = await session.execute(_redemptions([voucher_id]))
    return {claimant: int(amount) for _, claimant, amount in rows if claimant is not None}


async def clawed_back(session: ReadSession, voucher: Voucher) -> dict[UUID, int]:
    """Return what a voucher's revocation claimed back less what came back of it since, by account (as the system)."""
    owed = Transfer.debit_id == Account.id
    statement = (
        select(Account.id, cast(func.sum(case((owed, Transfer.amount_fen), else_=-Transfer.amount_fen)), BigInteger))
        .join(Transfer, or_(owed, Transfer.credit_id == Account.id))
        .where(Transfer.subject == voucher.id, Account.kind == CLAWBACK)
        .group_by(Account.id)
    )
    return {account: int(fen) for account, fen in await session.execute(statement)}


async def get_voucher(session: ReadSession, caller: Caller, voucher_id: UUID) -> Voucher | None:
    """Return a voucher that the caller may see: its buyer's, and its supplier's by row-level security."""
    statement = select(Voucher).where(Voucher.id == voucher_id).execution_options(populate_existing=True)
    if not caller.reads_all:
        statement = statement.where(or_(Voucher.buyer_org_id == caller.org_id, Voucher.subject_id.is_not(None)))
    return await session.scalar(statement)


async def journal_of(session: ReadSession, voucher_id: UUID) -> list[VoucherJournalEntry]:
    """Return the turns of a voucher, in order."""
    entry = VoucherJournalEntry
    return list(await session.scalars(select(entry).where(entry.voucher_id == voucher_id).order_by(entry.seq)))


async def list_vouchers(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: VoucherFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Voucher], bool, tuple[str, str] | None]:
    """Return a page of the caller's vouchers (of all, for the desk and auditors), in the order they were earmarked."""
    statement = select(Voucher)
    if not caller.reads_all:
        statement = statement.where(Voucher.buyer_org_id == caller.org_id)
    equals = (
        (Voucher.state, wanted.state.value if wanted.state else None),
        (Voucher.programme_id, wanted.programme),
        (Voucher.subject_id, wanted.reservation_id),
    )
    statement = statement.where(*(column == value for column, value in equals if value is not None))
    sort = Sort[Voucher](
        columns=(Voucher.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)
