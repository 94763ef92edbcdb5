"""SQL of contracts, documents and applications. What a party asks takes the caller; the rest runs as the system."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Uuid, bindparam, exists, func, insert, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload, undefer

from app.accounts.callers import Caller
from app.accounts.models import Organisation
from app.catalog.models import ChipModel, Offer
from app.contracts.models import (
    ApplicationState,
    Contract,
    ContractItem,
    Document,
    Evaluation,
    ItemKind,
    Payment,
    VoucherApplication,
)
from app.contracts.signals import Sale
from app.kit.db import ReadSession, WriteSession
from app.kit.ids import new_id
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.reservations.models import Reservation, ReservationState
from app.vouchers.models import Voucher, VoucherState

_NO_VOUCHER: Final = (VoucherState.VOIDED.value, VoucherState.REJECTED.value)


@dataclass(frozen=True, slots=True)
class ContractFilter:
    """Which contracts are wanted; None asks for nothing."""

    reservation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ApplicationFilter:
    """Which applications are wanted; None asks for nothing."""

    state: ApplicationState | None = None
    programme: str | None = None
    contract_id: UUID | None = None


def _ids(ids: Collection[UUID]) -> Any:
    return bindparam("ids", list(ids), type_=ARRAY(Uuid()))


def _seen_by(caller: Caller, model: Any) -> Any:
    statement = select(model)
    if caller.reads_all:
        return statement
    return statement.where(or_(model.buyer_org_id == caller.org_id, model.supplier_org_id == caller.org_id))


async def insert_contracts(session: WriteSession, reservation_ids: Collection[UUID], now: datetime) -> list[Contract]:
    """Make the contracts of these reservations, as they are now (as the system); return them by id."""
    statement = (
        select(Reservation, Offer.chip_model, Offer.region, ChipModel.domestic)
        .join(Offer, Offer.id == Reservation.offer_id)
        .outerjoin(ChipModel, ChipModel.name == Offer.chip_model)
        .where(Reservation.id == func.any(_ids(reservation_ids)))
        .order_by(Reservation.id)
    )
    contracts = [
        Contract(
            id=new_id(),
            reservation_id=row.id,
            buyer_org_id=row.buyer_org_id,
            supplier_org_id=row.supplier_org_id,
            chip_model=chip_model,
            domestic=domestic,
            region=region,
            cards=row.cards,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            price_fen=row.price_fen,
            amount_fen=row.cost_fen,
            payment=Payment.ARREARS.value,
            signed_at=now,
            created_at=now,
            items=[ContractItem(position=0, kind=ItemKind.COMPUTE.value, amount_fen=row.cost_fen)],
        )
        for row, chip_model, region, domestic in await session.execute(statement)
    ]
    session.add_all(contracts)
    await session.flush()
    return contracts


async def get_contract(
    session: ReadSession, caller: Caller, contract_id: UUID, *, lock: bool = False
) -> Contract | None:
    """Return a contract that the caller is a party of (any, for the desk and auditors), with its items."""
    statement: Select[Contract] = _seen_by(caller, Contract).where(Contract.id == contract_id)
    statement = statement.options(selectinload(Contract.items)).execution_options(populate_existing=True)
    if lock:
        statement = statement.with_for_update(key_share=True, of=Contract)
    return await session.scalar(statement)


async def list_contracts(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: ContractFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Contract], bool, tuple[str, str] | None]:
    """Return a page of the contracts that the caller may see, in the order of their ids."""
    statement: Select[Contract] = _seen_by(caller, Contract).options(selectinload(Contract.items))
    if wanted.reservation_id is not None:
        statement = statement.where(Contract.reservation_id == wanted.reservation_id)
    sort = Sort[Contract](
        columns=(Contract.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def organisation_names(session: ReadSession, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of organisations (as the system, or one who reads all)."""
    rows = await session.execute(
        select(Organisation.id, Organisation.name).where(Organisation.id == func.any(_ids(ids)))
    )
    return {row[0]: row[1] for row in rows}


async def sales_of(session: ReadSession, contract: Contract, *, since: datetime, chip: bool) -> list[Sale]:
    """Return the supplier's other contracts since a moment, the newest last (as the system).

    Args:
        session: sees everything.
        contract: the one that they are held against.
        since: when they were signed at the earliest.
        chip: those for the same chip model with anyone; else those with the same buyer for any.
    """
    voucher = exists().where(Voucher.subject_id == Contract.reservation_id, Voucher.state.not_in(_NO_VOUCHER))
    statement = select(Contract.signed_at, Contract.price_fen, Contract.amount_fen, voucher).where(
        Contract.supplier_org_id == contract.supplier_org_id,
        Contract.id != contract.id,
        Contract.signed_at >= since,
        Contract.chip_model == contract.chip_model if chip else Contract.buyer_org_id == contract.buyer_org_id,
    )
    rows = await session.execute(statement.order_by(Contract.signed_at, Contract.id))
    return [Sale(signed_at, price, amount, has) for signed_at, price, amount, has in rows]


async def insert_document(session: WriteSession, row: Mapping[str, Any]) -> Document:
    """Store a document (as the system)."""
    return (await session.scalars(insert(Document).values(**row).returning(Document))).one()


async def list_documents(session: ReadSession, contract_id: UUID) -> list[Document]:
    """Return a contract's documents without their content, in the order they came."""
    statement = select(Document).where(Document.contract_id == contract_id).order_by(Document.id)
    return list(await session.scalars(statement))


async def get_document(session: ReadSession, contract_id: UUID, document_id: UUID) -> Document | None:
    """Return a document of a contract with its content."""
    statement = (
        select(Document)
        .where(Document.contract_id == contract_id, Document.id == document_id)
        .options(undefer(Document.content))
    )
    return await session.scalar(statement)


async def insert_application(session: WriteSession, row: Mapping[str, Any]) -> VoucherApplication:
    """Record an application (as the system).

    Raises:
        DBAPIError: `voucher_application_one_per_contract` (translated at the edge).
    """
    return (await session.scalars(insert(VoucherApplication).values(**row).returning(VoucherApplication))).one()


async def get_application(session: ReadSession, caller: Caller, application_id: UUID) -> VoucherApplication | None:
    """Return an application that the caller is a party of (any, for the desk and auditors)."""
    statement: Select[VoucherApplication] = _seen_by(caller, VoucherApplication)
    statement = statement.where(VoucherApplication.id == application_id)
    return await session.scalar(statement.execution_options(populate_existing=True))


async def lock_application(session: WriteSession, application_id: UUID) -> VoucherApplication:
    """Return an application, locked (as the system, after its reservation)."""
    statement = select(VoucherApplication).where(VoucherApplication.id == application_id).with_for_update()
    return (await session.scalars(statement.execution_options(populate_existing=True))).one()


async def list_applications(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: ApplicationFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[VoucherApplication], bool, tuple[str, str] | None]:
    """Return a page of the applications that the caller may see, in the order they were made."""
    equals = (
        (VoucherApplication.state, wanted.state.value if wanted.state else None),
        (VoucherApplication.programme_id, wanted.programme),
        (VoucherApplication.contract_id, wanted.contract_id),
    )
    statement: Select[VoucherApplication] = _seen_by(caller, VoucherApplication)
    statement = statement.where(*(column == value for column, value in equals if value is not None))
    sort = Sort[VoucherApplication](
        columns=(VoucherApplication.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def applications_of(session: ReadSession, contract_id: UUID) -> list[VoucherApplication]:
    """Return a contract's applications, in the order they were made."""
    statement = select(VoucherApplication).where(VoucherApplication.contract_id == contract_id)
    return list(
        await session.scalars(statement.order_by(VoucherApplication.id).execution_options(populate_existing=True))
    )


async def lapsed_choices(session: ReadSession, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Return `(reservation, request)` of at most `limit` reservations whose buyer's choice is over, longest first."""
    statement = (
        select(Reservation.id, Reservation.request_id)
        .join(Contract, Contract.reservation_id == Reservation.id)
        .join(VoucherApplication, VoucherApplication.contract_id == Contract.id)
        .where(_open_choice(), VoucherApplication.choice_ends_at <= now)
        .where(Reservation.state.in_((ReservationState.CONFIRMED.value, ReservationState.ACTIVE.value)))
        .order_by(VoucherApplication.choice_ends_at)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in await session.execute(statement)]


def _open_choice() -> Any:
    return (VoucherApplication.state == ApplicationState.REJECTED.value) & VoucherApplication.choice.is_(None)


async def lock_lapsed(
    session: WriteSession, reservation_ids: Collection[UUID], now: datetime
) -> dict[UUID, list[VoucherApplication]]:
    """Return the applications whose choice is over, locked in id order, by reservation (as the system)."""
    statement = (
        select(Contract.reservation_id, VoucherApplication)
        .join(Contract, Contract.id == VoucherApplication.contract_id)
        .where(_open_choice(), VoucherApplication.choice_ends_at <= now)
        .where(Contract.reservation_id == func.any(_ids(reservation_ids)))
        .order_by(VoucherApplication.id)
        .with_for_update(of=VoucherApplication)
        .execution_options(populate_existing=True)
    )
    found: dict[UUID, list[VoucherApplication]] = {}
    for reservation_id, application in await session.execute(statement):
        found.setdefault(reservation_id, []).append(application)
    return found


async def lock_reservation(session: WriteSession, reservation_id: UUID) -> Reservation:
    """Return a reservation, locked (as the system, before contracts, vouchers and accounts)."""
    statement = select(Reservation).where(Reservation.id == reservation_id).with_for_update(key_share=True)
    return (await session.scalars(statement.execution_options(populate_existing=True))).one()


async def lock_reservations(session: WriteSession, ids: Collection[UUID]) -> dict[UUID, Reservation]:
    """Return these reservations, locked in id order (as the system)."""
    statement = (
        select(Reservation)
        .where(Reservation.id == func.any(_ids(ids)))
        .order_by(Reservation.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in await session.scalars(statement)}


async def contract_of(session: ReadSession, reservation_id: UUID) -> Contract | None:
    """Return the contract of a reservation with its items (as the system)."""
    statement = select(Contract).where(Contract.reservation_id == reservation_id)
    return await session.scalar(statement.options(selectinload(Contract.items)))


async def contract_by_id(session: ReadSession, contract_id: UUID) -> Contract:
    """Return a contract with its items (as the system)."""
    statement = select(Contract).where(Contract.id == contract_id)
    return (await session.scalars(statement.options(selectinload(Contract.items)))).one()


async def get_evaluation(session: ReadSession, contract_id: UUID) -> Evaluation | None:
    """Return what the desk found of a contract."""
    return await session.scalar(select(Evaluation).where(Evaluation.contract_id == contract_id))


async def insert_evaluation(session: WriteSession, row: Mapping[str, Any]) -> Evaluation:
    """Record an evaluation (as the system).

    Raises:
        DBAPIError: `evaluation_pkey` (translated at the edge).
    """
    return (await session.scalars(insert(Evaluation).values(**row).returning(Evaluation))).one()
