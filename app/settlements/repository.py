"""SQL of deliveries and settlements. What someone asks takes the caller; the service's books are kept as the system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased, selectinload

from app.accounts.callers import Caller
from app.accounts.models import Organisation
from app.contracts.models import Contract, Payment
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.reservations.models import Reservation
from app.settlements.models import (
    DeliveryReport,
    PaymentState,
    Redemption,
    RedemptionKind,
    Settlement,
    SettlementCounter,
    SettlementDue,
    SettlementKind,
)
from app.settlements.planning import Redeemed
from app.vouchers.models import Voucher, VoucherState


@dataclass(frozen=True, slots=True)
class SettlementFilter:
    """Which settlements are wanted; None asks for nothing."""

    kind: SettlementKind | None = None
    payment_state: PaymentState | None = None
    contract_id: UUID | None = None
    reservation_id: UUID | None = None


def _of(caller: Caller, buyer: ColumnElement[UUID], supplier: ColumnElement[UUID]) -> list[ColumnElement[bool]]:
    return [] if caller.reads_all else [or_(buyer == caller.org_id, supplier == caller.org_id)]


def _corrected() -> ColumnElement[bool]:
    correction = aliased(DeliveryReport)
    return exists().where(correction.corrects_id == DeliveryReport.id)


async def list_reports(
    session: ReadSession,
    caller: Caller,
    reservation_id: UUID,
    page: PageRequest,
    *,
    in_force: bool | None,
    disputed: bool | None,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[DeliveryReport], bool, tuple[str, str] | None]:
    """Return a page of a reservation's reports, in the order of record."""
    statement = select(DeliveryReport).where(
        DeliveryReport.reservation_id == reservation_id,
        *_of(caller, DeliveryReport.buyer_org_id.expression, DeliveryReport.supplier_org_id.expression),
    )
    if in_force is not None:
        statement = statement.where(~_corrected() if in_force else _corrected())
    if disputed is not None:
        statement = statement.where(DeliveryReport.disputed_at.is_not(None) == disputed)
    sort = Sort[DeliveryReport](
        columns=(DeliveryReport.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def get_report(
    session: ReadSession, caller: Caller, report_id: UUID, *, lock: bool = False
) -> DeliveryReport | None:
    """Return a report of a reservation that the caller is a party of (any, for the desk and auditors)."""
    statement = select(DeliveryReport).where(
        DeliveryReport.id == report_id,
        *_of(caller, DeliveryReport.buyer_org_id.expression, DeliveryReport.supplier_org_id.expression),
    )
    if lock:
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
    return await session.scalar(statement)


async def corrections_of(session: ReadSession, ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return which reports correct these, by the corrected one's id."""
    rows = await session.execute(
        select(DeliveryReport.corrects_id, DeliveryReport.id).where(DeliveryReport.corrects_id.in_(ids))
    )
    return {corrected: correction for corrected, correction in rows if corrected is not None}


async def find_reports(session: ReadSession, reservation_id: UUID) -> list[DeliveryReport]:
    """Return a reservation's reports in force, by period."""
    statement = (
        select(DeliveryReport)
        .where(DeliveryReport.reservation_id == reservation_id, ~_corrected())
        .order_by(DeliveryReport.period_start)
    )
    return list(await session.scalars(statement))


async def reports_before(session: ReadSession, reservation_id: UUID, fresh: Collection[UUID]) -> list[DeliveryReport]:
    """Return a reservation's reports that were in force before the fresh ones."""
    correction = aliased(DeliveryReport)
    corrected = exists().where(correction.corrects_id == DeliveryReport.id, correction.id.not_in(fresh))
    statement = select(DeliveryReport).where(
        DeliveryReport.reservation_id == reservation_id, DeliveryReport.id.not_in(fresh), ~corrected
    )
    return list(await session.scalars(statement))


async def insert_reports(session: WriteSession, rows: Sequence[dict[str, Any]]) -> list[DeliveryReport]:
    """Add reports by one statement (as the system).

    Raises:
        DBAPIError: what the guard of deliveries refuses (translated at the edge).
    """
    added = await session.scalars(insert(DeliveryReport).returning(DeliveryReport, sort_by_parameter_order=True), rows)
    return list(added)


async def lock_reservation(
    session: WriteSession, reservation_id: UUID, *, skip_locked: bool = False
) -> Reservation | None:
    """Return a reservation, locked (as the system); None where somebody holds it and `skip_locked`.

    It comes with its offer and vouchers, for who has it in the same session to show.
    """
    statement = (
        select(Reservation)
        .where(Reservation.id == reservation_id)
        .options(selectinload(Reservation.offer), selectinload(Reservation.vouchers))
        .with_for_update(key_share=True, skip_locked=skip_locked)
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def lock_contract(session: WriteSession, reservation_id: UUID) -> Contract | None:
    """Return the contract of a reservation with its items, locked (as the system)."""
    statement = (
        select(Contract)
        .where(Contract.reservation_id == reservation_id)
        .options(selectinload(Contract.items))
        .with_for_update(key_share=True, of=Contract)
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def has_earmark(session: ReadSession, reservation_id: UUID) -> bool:
    """Tell whether a voucher of a reservation waits to be decided (as the system)."""
    statement = select(
        exists().where(Voucher.subject_id == reservation_id, Voucher.state == VoucherState.EARMARKED.value)
    )
    return bool(await session.scalar(statement))


async def find_settlements(session: ReadSession, contract_id: UUID) -> list[Settlement]:
    """Return a contract's settlements in the order they were made (as the system)."""
    statement = (
        select(Settlement)
        .where(Settlement.contract_id == contract_id)
        .order_by(Settlement.number)
        .execution_options(populate_existing=True)
    )
    return list(await session.scalars(statement))


async def lock_redeemed(session: WriteSession, voucher_ids: Collection[UUID]) -> list[Redeemed]:
    """Return the redemptions of vouchers and what is left of each, locked, the oldest first (as the system)."""
    statement = (
        select(Redemption)
        .where(Redemption.voucher_id.in_(voucher_ids))
        .order_by(Redemption.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    rows = list(await session.scalars(statement))
    back: dict[UUID, int] = {}
    for row in rows:
        if row.of_id is not None:
            back[row.of_id] = back.get(row.of_id, 0) + row.amount_fen
    return [
        Redeemed(row.id, row.voucher_id, row.settlement_id, row.amount_fen - back.get(row.id, 0), bool(row.claim_id))
        for row in rows
        if row.kind == RedemptionKind.REDEEMED
    ]


async def take_numbers(session: WriteSession, supplier_org_id: UUID, count: int) -> int:
    """Take a supplier's next `count` numbers, under its counter's lock; return the first (as the system)."""
    statement = (
        upsert(SettlementCounter)
        .values(supplier_org_id=supplier_org_id, last_number=count)
        .on_conflict_do_update(
            index_elements=["supplier_org_id"], set_={"last_number": SettlementCounter.last_number + count}
        )
        .returning(SettlementCounter.last_number)
    )
    return (await session.scalars(statement)).one() - count + 1


async def insert_settlements(session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
    """Add settlements by one statement (as the system)."""
    await session.execute(insert(Settlement), rows)


async def insert_redemptions(session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
    """Add redemptions and give-backs by one statement (as the system)."""
    if rows:
        await session.execute(insert(Redemption), rows)


async def void_settlements(session: WriteSession, ids: Collection[UUID]) -> None:
    """Void open settlements, of a contract that was locked before (as the system)."""
    if not ids:
        return
    await session.execute(
        update(Settlement)
        .where(Settlement.id.in_(ids), Settlement.payment_state == PaymentState.OPEN.value)
        .values(payment_state=PaymentState.VOID.value, version=Settlement.version + 1)
        .execution_options(synchronize_session=False)
    )


async def reservation_of_voucher(session: ReadSession, voucher_id: UUID) -> UUID | None:
    """Return the reservation that a voucher is for; None for a bonus that is not used (as the system)."""
    return await session.scalar(select(Voucher.subject_id).where(Voucher.id == voucher_id))


async def find_billed(session: ReadSession, reservation_ids: Collection[UUID]) -> list[UUID]:
    """Return those reservations that are paid ahead or that something was billed of, by id (as the system)."""
    billed = exists().where(Settlement.contract_id == Contract.id)
    statement = (
        select(Contract.reservation_id)
        .where(Contract.reservation_id.in_(reservation_ids), or_(Contract.payment == Payment.PREPAID.value, billed))
        .order_by(Contract.reservation_id)
    )
    return list(await session.scalars(statement))


async def find_due(session: ReadSession, limit: int) -> list[UUID]:
    """Return reservations whose contracts are to be settled, those that wait longest first (as the system)."""
    statement = select(SettlementDue.reservation_id).order_by(SettlementDue.since).limit(limit)
    return list(await session.scalars(statement))


async def take_off_due(session: WriteSession, reservation_id: UUID) -> None:
    """Note that a reservation, locked before, is settled (as the system)."""
    await session.execute(
        delete(SettlementDue)
        .where(SettlementDue.reservation_id == reservation_id)
        .execution_options(synchronize_session=False)
    )


def _settlements_of(caller: Caller) -> Select[Settlement]:
    parties = _of(caller, Settlement.buyer_org_id.expression, Settlement.supplier_org_id.expression)
    return select(Settlement).where(*parties).options(selectinload(Settlement.redemptions))


async def get_settlement(
    session: ReadSession, caller: Caller, settlement_id: UUID, *, lock: bool = False
) -> Settlement | None:
    """Return a settlement that the caller is a party of (any, for the desk and auditors), with its redemptions."""
    statement = _settlements_of(caller).where(Settlement.id == settlement_id)
    if lock:
        statement = statement.with_for_update(key_share=True, of=Settlement)
    return await session.scalar(statement.execution_options(populate_existing=True))


async def get_settlements(session: ReadSession, caller: Caller, ids: Collection[UUID]) -> list[Settlement]:
    """Return those of these settlements that the caller may see, by number."""
    statement = _settlements_of(caller).where(Settlement.id.in_(ids)).order_by(Settlement.number)
    return list(await session.scalars(statement.execution_options(populate_existing=True)))


async def list_settlements(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: SettlementFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Settlement], bool, tuple[str, str] | None]:
    """Return a page of the settlements that the caller may see, in the order they were made."""
    equals = (
        (Settlement.kind, wanted.kind.value if wanted.kind else None),
        (Settlement.payment_state, wanted.payment_state.value if wanted.payment_state else None),
        (Settlement.contract_id, wanted.contract_id),
        (Settlement.reservation_id, wanted.reservation_id),
    )
    statement = _settlements_of(caller).where(*(column == value for column, value in equals if value is not None))
    sort = Sort[Settlement](
        columns=(Settlement.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def get_organisations(session: ReadSession, ids: Collection[UUID]) -> dict[UUID, Organisation]:
    """Return organisations by id, of those that the transaction sees."""
    return {row.id: row for row in await session.scalars(select(Organisation).where(Organisation.id.in_(ids)))}


async def get_contract(session: ReadSession, contract_id: UUID) -> Contract | None:
    """Return a contract that the transaction sees."""
    return await session.get(Contract, contract_id)
