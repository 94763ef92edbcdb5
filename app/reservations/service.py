"""Reservations: hold, accept, cancel, extend, end, access.

Every change locks the request first, then its reservations in id order; the guard's triggers lock the offers' books
(docs: locking). Capacity is never counted here: the database refuses what does not fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.accounts.models import Role
from app.catalog.models import Offer
from app.demand import service as demand
from app.demand.models import ComputeRequest, RequestState
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.errors import FORBIDDEN, NOT_FOUND
from app.kit.ids import new_id
from app.kit.money import cost_fen
from app.kit.time import HOUR, ceil_hour, format_rfc3339
from app.reservations import repository
from app.reservations.errors import (
    ALREADY_ENDED,
    EXTENSION_TOO_FAR,
    NOT_CONFIRMED,
    REASON_NOT_YOURS,
    REQUEST_NOT_OPEN,
    SIDE_NEEDED,
    START_PASSED,
    TOO_FEW_BLOCKS,
    WRONG_STATE,
)
from app.reservations.models import LIVE, Reservation, ReservationState
from app.reservations.repository import Turn
from app.reservations.schemas import (
    MAX_HOURS,
    REASONS_OF,
    AcceptIn,
    AccessIn,
    AccessOut,
    CancelIn,
    CancelReason,
    EndReason,
    Side,
    hours_between,
)

QUOTE_HOLD: Final = timedelta(hours=24)
# Given the version of a row that is about to change; raises where the caller read another one.
VersionCheck = Callable[[int], None]
_OPEN: Final = (RequestState.OPEN, RequestState.PARTLY_MATCHED)
_BEFORE_RUNNING: Final = (ReservationState.HELD, ReservationState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Hold:
    """Capacity to hold for one block of a request; `price_fen` per card-hour is the offer's."""

    block: int
    offer: Offer
    cards: int
    starts_at: datetime
    hours: int
    subsidy_fen: int = 0


async def hold_capacity(
    session: WriteSession,
    caller: Caller,
    request: ComputeRequest,
    holds: Sequence[Hold],
    *,
    now: datetime,
    hold_for: timedelta = QUOTE_HOLD,
) -> list[Reservation]:
    """Hold capacity for blocks of a request, all or nothing; offers that accept automatically have accepted.

    Args:
        session: a transaction with the caller's eyes, in which `request` is locked.
        caller: the buyer, or the desk.
        request: what the blocks are of.
        holds: one for each block.
        now: the present.
        hold_for: the hold ends after this, or at the start if that is earlier.

    Returns:
        The reservations by block, each with its offer.

    Raises:
        Problem: `request_not_open`, `start_passed`, `min_blocks`; `capacity_taken` and `block_taken` at the edge.
    """
    await _check_bookable(session, request, holds, now)
    rows = [
        {
            "id": new_id(),
            "offer_id": hold.offer.id,
            "request_id": request.id,
            "block": hold.block,
            "buyer_org_id": request.buyer_org_id,
            "supplier_org_id": hold.offer.supplier_org_id,
            "cards": hold.cards,
            "starts_at": hold.starts_at,
            "ends_at": hold.starts_at + hold.hours * HOUR,
            "state": ReservationState.HELD.value,
            "hold_ends_at": min(now + hold_for, hold.starts_at),
            "supplier_accepted_at": now if hold.offer.auto_accept else None,
            "price_fen": hold.offer.price_fen,
            "cost_fen": (cost := cost_fen(hold.offer.price_fen, hold.cards, hold.hours)),
            "subsidy_fen": hold.subsidy_fen,
            "net_fen": cost - hold.subsidy_fen,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        for hold in holds
    ]
    await repository.insert_reservations(session, rows)
    await _recount(session, caller, [request], now)
    return await repository.get_reservations(session, caller, [row["id"] for row in rows])


async def _check_bookable(
    session: ReadSession, request: ComputeRequest, holds: Sequence[Hold], now: datetime
) -> None:
    if request.state not in _OPEN:
        raise REQUEST_NOT_OPEN.problem(state=request.state)
    for hold in holds:
        if hold.starts_at <= now:
            raise START_PASSED.problem(starts_at=format_rfc3339(hold.starts_at))
    live = len(await repository.live_blocks(session, request.id)) + len(holds)
    if live < request.min_blocks:
        raise TOO_FEW_BLOCKS.problem(live=live, min_blocks=request.min_blocks)


async def get_reservation(session: ReadSession, caller: Caller, reservation_id: UUID) -> Reservation:
    """Return a reservation with its offer.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    row = await repository.get_reservation(session, caller, reservation_id)
    if row is None:
        raise NOT_FOUND.problem(what="reservation")
    return row


async def accept(
    session: WriteSession, caller: Caller, reservation_id: UUID, body: AcceptIn, check: VersionCheck, now: datetime
) -> Reservation:
    """Accept a hold for a side; the second side's acceptance confirms it. Accepting again changes nothing.

    Raises:
        Problem: `not_found`, `forbidden`, `side_needed`, `reservation_state`, what `check` refuses.
    """
    row, _ = await _lock(session, caller, reservation_id, check)
    side = _side(caller, row, body.side)
    accepted = row.buyer_accepted_at if side is Side.BUYER else row.supplier_accepted_at
    if accepted is not None and row.state in LIVE:
        return row
    _require_state(row, ReservationState.HELD)
    if side is Side.BUYER:
        row.buyer_accepted_at = now
    else:
        row.supplier_accepted_at = now
    if row.buyer_accepted_at is not None and row.supplier_accepted_at is not None:
        row.state = ReservationState.CONFIRMED.value
        row.hold_ends_at = None
    return await _changed(session, row, now)


async def cancel(
    session: WriteSession, caller: Caller, reservation_id: UUID, body: CancelIn, check: VersionCheck, now: datetime
) -> Reservation:
    """Cancel a held or confirmed reservation; its request opens again where it was in the order of submissions.

    If the request keeps fewer live blocks than its `min_blocks`, its other held and confirmed ones are released.

    Raises:
        Problem: `not_found`, `forbidden`, `reason_not_yours`, `reservation_state`, what `check` refuses.
    """
    row, request = await _lock(session, caller, reservation_id, check)
    allowed = _reasons(caller, row)
    if body.reason not in allowed:
        raise REASON_NOT_YOURS.field("/reason", allowed=", ".join(allowed))
    _require_state(row, *_BEFORE_RUNNING)
    async with acting_as_system(session, caller.scope):
        live = await repository.lock_live(session, Reservation.request_id == request.id)
        turns = [Turn(row.id, ReservationState.CANCELLED, body.reason.value, body.detail)]
        turns += released(request, [other for other in live if other.id != row.id])
        await repository.turn(session, turns, now)
    await _recount(session, caller, [request], now)
    await session.refresh(row)
    return row


async def extend(
    session: WriteSession, caller: Caller, reservation_id: UUID, hours: int, check: VersionCheck, now: datetime
) -> Reservation:
    """Keep a confirmed or active reservation's cards for more whole hours, at its price.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, `already_ended`, `extension_too_far`, what `check`
            refuses; `capacity_taken`.
    """
    row, _ = await _lock(session, caller, reservation_id, check)
    _side(caller, row, Side.BUYER)
    _require_state(row, ReservationState.CONFIRMED, ReservationState.ACTIVE)
    if row.ends_at <= now:
        raise ALREADY_ENDED.problem(ends_at=format_rfc3339(row.ends_at))
    if hours_between(row.starts_at, row.ends_at) + hours > MAX_HOURS:
        raise EXTENSION_TOO_FAR.field("/hours", most=MAX_HOURS)
    _set_end(row, row.ends_at + hours * HOUR)
    return await _changed(session, row, now)


async def end(
    session: WriteSession, caller: Caller, reservation_id: UUID, check: VersionCheck, now: datetime
) -> Reservation:
    """End an active reservation at the next whole hour and free the rest; it has at least its first hour.

    It is completed at once when nothing of it remains, else by the sweep at its new end.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, what `check` refuses.
    """
    row, request = await _lock(session, caller, reservation_id, check)
    if not _sides(caller, row):
        raise FORBIDDEN.problem(roles="buyer, supplier, desk")
    _require_state(row, ReservationState.ACTIVE)
    _set_end(row, min(max(ceil_hour(now), row.starts_at + HOUR), row.ends_at))
    if row.ends_at <= now:
        row.state = ReservationState.COMPLETED.value
    await _changed(session, row, now)
    await _recount(session, caller, [request], now)
    return row


async def set_access(
    session: WriteSession, caller: Caller, reservation_id: UUID, body: AccessIn, check: VersionCheck, now: datetime
) -> Reservation:
    """Say how the buyer gets to the cards of a confirmed or active reservation.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, what `check` refuses.
    """
    row, _ = await _lock(session, caller, reservation_id, check)
    _side(caller, row, Side.SUPPLIER)
    _require_state(row, ReservationState.CONFIRMED, ReservationState.ACTIVE)
    row.access_contact = body.contact
    row.access_instructions = body.instructions
    return await _changed(session, row, now)


async def read_access(session: ReadSession, caller: Caller, reservation_id: UUID) -> tuple[AccessOut, int]:
    """Return how the buyer gets to the cards, once confirmed, and the reservation's version.

    Raises:
        Problem: `not_found`, `not_confirmed`.
    """
    row = await get_reservation(session, caller, reservation_id)
    if row.state not in (ReservationState.CONFIRMED, ReservationState.ACTIVE, ReservationState.COMPLETED):
        raise NOT_CONFIRMED.problem(state=row.state)
    contact = row.access_contact or await repository.supplier_contact(session, row.supplier_org_id)
    return AccessOut(reservation_id=row.id, contact=contact, instructions=row.access_instructions), row.version


def released(request: ComputeRequest, left: Sequence[Reservation]) -> list[Turn]:
    """Return what becomes of the live blocks that a request has left: released if they are below its `min_blocks`.

    What runs or is completed stays: it is being paid for.
    """
    if len(left) >= request.min_blocks:
        return []
    return [
        Turn(row.id, ReservationState.CANCELLED, EndReason.BELOW_MIN_BLOCKS.value)
        for row in left
        if row.state in _BEFORE_RUNNING
    ]


async def _lock(
    session: WriteSession, caller: Caller, reservation_id: UUID, check: VersionCheck
) -> tuple[Reservation, ComputeRequest]:
    """Return a reservation and its request, both locked, the request first; compare the version."""
    seen = await get_reservation(session, caller, reservation_id)
    async with acting_as_system(session, caller.scope):
        request = await repository.lock_request(session, seen.request_id)
    row = await repository.get_reservation(session, caller, reservation_id, lock=True)
    if row is None:
        raise NOT_FOUND.problem(what="reservation")
    check(row.version)
    return row, request


async def _recount(
    session: WriteSession, caller: Caller, requests: Sequence[ComputeRequest], now: datetime
) -> None:
    async with acting_as_system(session, caller.scope):
        await recount(session, requests, now)


async def recount(session: WriteSession, requests: Sequence[ComputeRequest], now: datetime) -> None:
    """Set the states of requests, locked before, from their live blocks (as the system)."""
    counts = await repository.count_blocks(session, [request.id for request in requests])
    for request in requests:
        await demand.set_state_from_live(
            session, request, live=counts[request.id].live, completed=counts[request.id].completed, now=now
        )


async def _changed(session: WriteSession, row: Reservation, now: datetime) -> Reservation:
    row.version += 1
    row.updated_at = now
    await session.flush()
    return row


def _set_end(row: Reservation, ends_at: datetime) -> None:
    row.ends_at = ends_at
    row.cost_fen = cost_fen(row.price_fen, row.cards, hours_between(row.starts_at, ends_at))
    row.subsidy_fen = min(row.subsidy_fen, row.cost_fen)
    row.net_fen = row.cost_fen - row.subsidy_fen


def _require_state(row: Reservation, *states: ReservationState) -> None:
    if row.state not in states:
        raise WRONG_STATE.problem(wanted=", ".join(states))


def _sides(caller: Caller, row: Reservation) -> tuple[Side, ...]:
    """Return the sides that a caller may act for; the desk may for both."""
    sides = ((Side.BUYER, row.buyer_org_id, Role.BUYER), (Side.SUPPLIER, row.supplier_org_id, Role.SUPPLIER))
    return tuple(
        side for side, org_id, role in sides if caller.is_desk or (caller.org_id == org_id and role in caller.roles)
    )


def _side(caller: Caller, row: Reservation, asked: Side | None) -> Side:
    """Return the side that a caller acts for: the one asked for, or its only one.

    Raises:
        Problem: `forbidden` if it is not that side, `side_needed` if it is both and does not say.
    """
    sides = _sides(caller, row)
    if not sides or (asked is not None and asked not in sides):
        raise FORBIDDEN.problem(roles=asked.value if asked else "buyer, supplier, desk")
    if asked is not None:
        return asked
    if len(sides) > 1:
        raise SIDE_NEEDED.field("/side")
    return sides[0]


def _reasons(caller: Caller, row: Reservation) -> tuple[CancelReason, ...]:
    """Return the reasons that a caller may give; the desk may give every one.

    Raises:
        Problem: `forbidden` if it is no side.
    """
    sides = _sides(caller, row)
    if not sides:
        raise FORBIDDEN.problem(roles="buyer, supplier, desk")
    own = tuple(reason for side in sides for reason in REASONS_OF[side])
    return (*own, CancelReason.DESK_DECISION) if caller.is_desk else own
