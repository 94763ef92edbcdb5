"""SQL of reservations. What a party asks takes the caller; the service's own book-keeping runs as the system."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import contains_eager, selectinload

from app.accounts.callers import Caller
from app.accounts.models import Organisation
from app.demand.models import ComputeRequest, RequestState
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.reservations.models import LIVE, Reservation, ReservationState

# One statement, so that the guard locks the books of all offers concerned at once and in their order.
_TURN: Final = text(
    """
    UPDATE reservation SET state = t.state, reason_code = t.reason, reason_detail = t.detail,
        version = reservation.version + 1, updated_at = :now
    FROM unnest(:ids, :states, :reasons, :details) AS t (id, state, reason, detail)
    WHERE reservation.id = t.id
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("states", type_=ARRAY(String())),
    bindparam("reasons", type_=ARRAY(String())),
    bindparam("details", type_=ARRAY(String())),
    bindparam("now", type_=DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class ReservationFilter:
    """Which reservations are wanted; None asks for nothing."""

    state: ReservationState | None = None
    offer_id: UUID | None = None
    request_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A reservation's next state, with the reason where it ends by it."""

    reservation_id: UUID
    state: ReservationState
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """How many blocks of a request have a live reservation, and how many of these are completed."""

    live: int = 0
    completed: int = 0


def _seen_by(caller: Caller) -> Select[Reservation]:
    parts = (contains_eager(Reservation.offer), selectinload(Reservation.vouchers))
    statement = select(Reservation).join(Reservation.offer).options(*parts)
    if caller.reads_all:
        return statement
    return statement.where(or_(Reservation.buyer_org_id == caller.org_id, Reservation.supplier_org_id == caller.org_id))


async def get_reservation(
    session: ReadSession, caller: Caller, reservation_id: UUID, *, lock: bool = False
) -> Reservation | None:
    """Return a reservation that the caller is a party of (any, for the desk and auditors).

    It comes with its offer and its vouchers.
    """
    statement = _seen_by(caller).where(Reservation.id == reservation_id)
    if lock:
        statement = statement.with_for_update(key_share=True, of=Reservation)
        statement = statement.execution_options(populate_existing=True)
    return await session.scalar(statement)


async def get_reservations(session: ReadSession, caller: Caller, ids: Collection[UUID]) -> list[Reservation]:
    """Return those of these reservations that the caller may see, by request and block."""
    statement = _seen_by(caller).where(Reservation.id.in_(ids)).order_by(Reservation.request_id, Reservation.block)
    return list(await session.scalars(statement.execution_options(populate_existing=True)))


async def list_reservations(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: ReservationFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Reservation], bool, tuple[str, str] | None]:
    """Return a page of the reservations that the caller may see, in the order they were made."""
    equals = (
        (Reservation.state, wanted.state.value if wanted.state else None),
        (Reservation.offer_id, wanted.offer_id),
        (Reservation.request_id, wanted.request_id),
    )
    statement = _seen_by(caller).where(*(column == value for column, value in equals if value is not None))
    sort = Sort[Reservation](
        columns=(Reservation.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def insert_reservations(session: WriteSession, rows: Sequence[dict[str, Any]]) -> None:
    """Add reservations by one statement.

    Raises:
        DBAPIError: `reservation_within_capacity`, `reservation_one_live_per_block` (translated at the edge).
    """
    await session.execute(insert(Reservation).values(list(rows)))


async def turn(session: WriteSession, turns: Sequence[Turn], now: datetime) -> None:
    """Give reservations, locked before, their next states, by one statement."""
    if not turns:
        return
    await session.execute(
        _TURN,
        {
            "ids": [each.reservation_id for each in turns],
            "states": [each.state.value for each in turns],
            "reasons": [each.reason for each in turns],
            "details": [each.detail for each in turns],
            "now": now,
        },
    )


async def lock_free_requests(session: WriteSession, ids: Collection[UUID]) -> dict[UUID, ComputeRequest]:
    """Return those requests that nobody holds, locked in id order (as the system); the next sweep sees the others."""
    statement = (
        select(ComputeRequest)
        .where(ComputeRequest.id.in_(ids))
        .order_by(ComputeRequest.id)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return {request.id: request for request in await session.scalars(statement)}


async def lock_live(session: WriteSession, where: ColumnElement[bool]) -> list[Reservation]:
    """Return live reservations that meet a condition, locked in id order (as the system)."""
    statement = (
        select(Reservation)
        .where(Reservation.state.in_(LIVE), where)
        .order_by(Reservation.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return list(await session.scalars(statement))


async def live_blocks(session: ReadSession, request_id: UUID) -> frozenset[int]:
    """Return which blocks of a request have a live reservation."""
    statement = select(Reservation.block).where(Reservation.request_id == request_id, Reservation.state.in_(LIVE))
    return frozenset(await session.scalars(statement))


async def count_blocks(session: ReadSession, request_ids: Collection[UUID]) -> dict[UUID, BlockCounts]:
    """Return the counts of live and completed blocks by request; every id is in the answer."""
    completed = func.count().filter(Reservation.state == ReservationState.COMPLETED.value)
    rows = await session.execute(
        select(Reservation.request_id, func.count(), completed)
        .where(Reservation.request_id.in_(request_ids), Reservation.state.in_(LIVE))
        .group_by(Reservation.request_id)
    )
    counts = {request_id: BlockCounts() for request_id in request_ids}
    counts.update({request_id: BlockCounts(live, done) for request_id, live, done in rows})
    return counts


async def lock_for_sweep(session: WriteSession, ids: Sequence[UUID], now: datetime) -> list[Reservation]:
    """Return those of these reservations that are still due, locked in id order (as the system)."""
    return await lock_live(session, and_(Reservation.id.in_(ids), _is_due(now)))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(Reservation.state == ReservationState.HELD.value, Reservation.hold_ends_at <= now),
        and_(Reservation.state == ReservationState.CONFIRMED.value, Reservation.starts_at <= now),
        and_(Reservation.state == ReservationState.ACTIVE.value, Reservation.ends_at <= now),
    )


async def find_due(session: ReadSession, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Return `(reservation, request)` of at most `limit` due reservations, those longest due of each kind first."""
    kinds = (
        (ReservationState.HELD, Reservation.hold_ends_at),
        (ReservationState.CONFIRMED, Reservation.starts_at),
        (ReservationState.ACTIVE, Reservation.ends_at),
    )
    parts = [
        select(Reservation.id, Reservation.request_id)
        .where(Reservation.state == state.value, moment <= now)
        .order_by(moment)
        .limit(limit)
        .subquery()
        for state, moment in kinds
    ]
    rows = await session.execute(union_all(*(select(part) for part in parts)).limit(limit))
    return [(row[0], row[1]) for row in rows]


async def find_finished(session: ReadSession, now: datetime, limit: int) -> list[UUID]:
    """Return partly matched requests past their deadline of which nothing waits or runs any more."""
    unfinished = exists().where(
        Reservation.request_id == ComputeRequest.id,
        Reservation.state.in_(LIVE),
        Reservation.state != ReservationState.COMPLETED.value,
    )
    statement = (
        select(ComputeRequest.id)
        .where(ComputeRequest.state == RequestState.PARTLY_MATCHED.value, ComputeRequest.deadline <= now, ~unfinished)
        .order_by(ComputeRequest.deadline)
        .limit(limit)
    )
    return list(await session.scalars(statement))


async def supplier_contact(session: ReadSession, org_id: UUID) -> str | None:
    """Return a supplier's own contact, public to everyone who is signed in."""
    return await session.scalar(select(Organisation.contact).where(Organisation.id == org_id))
