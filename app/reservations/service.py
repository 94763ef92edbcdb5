"""Reservations: hold, accept, cancel, extend, end, access.

Every change locks the request first, then its reservations in id order; the guard's triggers lock the offers' books
(docs: locking). Capacity is never counted here: the database refuses what does not fit.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.demand.models import ComputeRequest
from app.demand.repository import lock_requests
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.errors import NOT_FOUND
from app.kit.money import cost_fen
from app.kit.time import HOUR, ceil_hour, format_rfc3339
from app.reservations import repository
from app.reservations.errors import ALREADY_ENDED, EXTENSION_TOO_FAR, NOT_CONFIRMED, REASON_NOT_YOURS, WRONG_STATE
from app.reservations.following import tell_changed, tell_confirmed
from app.reservations.holding import BEFORE_RUNNING, recount, recount_for, released, take_turns
from app.reservations.models import LIVE, Reservation, ReservationState
from app.reservations.parties import reasons_of, side_of, sides_of
from app.reservations.repository import Turn
from app.reservations.schemas import (
    MAX_HOURS,
    AcceptIn,
    AccessIn,
    AccessOut,
    CancelIn,
    EndReason,
    Side,
    hours_between,
)
from app.vouchers import life

# Given the version of a row that is about to change; raises where the caller read another one.
CheckVersion = Callable[[int], None]
SWEEP_BATCH: Final = 500


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
    session: WriteSession,
    caller: Caller,
    reservation_id: UUID,
    body: AcceptIn,
    check_version: CheckVersion,
    now: datetime,
) -> Reservation:
    """Accept a hold for a side; the second side's acceptance confirms it. Accepting again changes nothing.

    What rests on a confirmed reservation, its contract first, is made in the same transaction.

    Raises:
        Problem: `not_found`, `forbidden`, `side_needed`, `reservation_state`, what `check_version` refuses.
    """
    row, _ = await _lock(session, caller, reservation_id, check_version)
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
    await _changed(session, row, now)
    if row.state != ReservationState.CONFIRMED:
        return row
    async with acting_as_system(session, caller.scope):
        await tell_confirmed(session, [row.id], now)
    return (await repository.get_reservations(session, caller, [row.id]))[0]


async def cancel(
    session: WriteSession,
    caller: Caller,
    reservation_id: UUID,
    body: CancelIn,
    check_version: CheckVersion,
    now: datetime,
) -> Reservation:
    """Cancel a held or confirmed reservation; its request opens again where it was in the order of submissions.

    If the request keeps fewer live blocks than its `min_blocks`, its other held and confirmed ones are released.

    Raises:
        Problem: `not_found`, `forbidden`, `reason_not_yours`, `reservation_state`, what `check_version` refuses.
    """
    row, request = await _lock(session, caller, reservation_id, check_version)
    allowed = reasons_of(caller, sides_of(caller, row.buyer_org_id, row.supplier_org_id))
    if body.reason not in allowed:
        raise REASON_NOT_YOURS.field("/reason", allowed=", ".join(allowed))
    _require_state(row, *BEFORE_RUNNING)
    async with acting_as_system(session, caller.scope):
        live = await repository.lock_live(session, Reservation.request_id == request.id)
        turns = [Turn(row.id, ReservationState.CANCELLED, body.reason.value, body.detail)]
        turns += released(request, [other for other in live if other.id != row.id])
        await take_turns(session, turns, now)
    await recount_for(session, caller, [request], now)
    return (await repository.get_reservations(session, caller, [row.id]))[0]


async def extend(
    session: WriteSession, caller: Caller, reservation_id: UUID, hours: int, check_version: CheckVersion, now: datetime
) -> Reservation:
    """Keep a confirmed or active reservation's cards for more whole hours, at its price.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, `already_ended`, `extension_too_far`, what
            `check_version` refuses; `capacity_taken` at the edge.
    """
    row, _ = await _lock(session, caller, reservation_id, check_version)
    _side(caller, row, Side.BUYER)
    _require_state(row, ReservationState.CONFIRMED, ReservationState.ACTIVE)
    if row.ends_at <= now:
        raise ALREADY_ENDED.problem(ends_at=format_rfc3339(row.ends_at))
    if hours_between(row.starts_at, row.ends_at) + hours > MAX_HOURS:
        raise EXTENSION_TOO_FAR.field("/hours", most=MAX_HOURS)
    async with acting_as_system(session, caller.scope):
        await _set_end(session, row, row.ends_at + hours * HOUR, now)
    return row


async def end(
    session: WriteSession, caller: Caller, reservation_id: UUID, check_version: CheckVersion, now: datetime
) -> Reservation:
    """End an active reservation at the next whole hour and free the rest; it has at least its first hour.

    It is completed at once when nothing of it remains, else by the sweep at its new end.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, what `check_version` refuses.
    """
    row, request = await _lock(session, caller, reservation_id, check_version)
    sides_of(caller, row.buyer_org_id, row.supplier_org_id)
    _require_state(row, ReservationState.ACTIVE)
    async with acting_as_system(session, caller.scope):
        await _end_early(session, row, now)
        await recount(session, [request], now)
    return row


async def set_access(
    session: WriteSession,
    caller: Caller,
    reservation_id: UUID,
    body: AccessIn,
    check_version: CheckVersion,
    now: datetime,
) -> Reservation:
    """Say how the buyer gets to the cards of a confirmed or active reservation.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, what `check_version` refuses.
    """
    row, _ = await _lock(session, caller, reservation_id, check_version)
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


async def _lock(
    session: WriteSession, caller: Caller, reservation_id: UUID, check_version: CheckVersion
) -> tuple[Reservation, ComputeRequest]:
    """Return a reservation and its request, both locked, the request first; compare the version."""
    seen = await get_reservation(session, caller, reservation_id)
    async with acting_as_system(session, caller.scope):
        request = (await lock_requests(session, [seen.request_id]))[seen.request_id]
    row = await repository.get_reservation(session, caller, reservation_id, lock=True)
    if row is None:
        raise NOT_FOUND.problem(what="reservation")
    check_version(row.version)
    return row, request


async def _changed(session: WriteSession, row: Reservation, now: datetime) -> Reservation:
    row.version += 1
    row.updated_at = now
    await session.flush()
    return row


async def _end_early(session: WriteSession, row: Reservation, now: datetime) -> None:
    """End an active reservation at the next whole hour, after its first one (as the system)."""
    ends_at = min(max(ceil_hour(now), row.starts_at + HOUR), row.ends_at)
    if ends_at <= now:
        row.state = ReservationState.COMPLETED.value
    await _set_end(session, row, ends_at, now)


async def _set_end(session: WriteSession, row: Reservation, ends_at: datetime, now: datetime) -> None:
    """Set another end and what it costs (as the system); vouchers stay as they are, and cover no more than the cost."""
    cost = cost_fen(row.price_fen, row.cards, hours_between(row.starts_at, ends_at))
    await _set_cost(session, row, cost)
    row.ends_at = ends_at
    await _changed(session, row, now)
    await tell_changed(session, [row.id], now)


async def refresh_subsidy(session: WriteSession, row: Reservation, now: datetime) -> None:
    """Set what the vouchers of a reservation, locked before, take off its cost (as the system)."""
    await _set_cost(session, row, row.cost_fen)
    await _changed(session, row, now)


async def _set_cost(session: WriteSession, row: Reservation, cost: int) -> None:
    subsidy = min(await life.covered_fen(session, row.id), cost)
    row.cost_fen, row.subsidy_fen, row.net_fen = cost, subsidy, cost - subsidy


async def lock_free(
    session: WriteSession, pairs: Collection[tuple[UUID, UUID]]
) -> tuple[dict[UUID, ComputeRequest], list[Reservation]]:
    """Return those requests of `(reservation, request)` pairs that nobody holds, and their live reservations of these.

    Both are locked, the requests first (as the system). Requests that somebody holds are left to the next time.
    """
    requests = await repository.lock_free_requests(session, {request for _, request in pairs})
    wanted = [reservation for reservation, request in pairs if request in requests]
    return requests, await repository.lock_live(session, Reservation.id.in_(wanted))


async def give_up(
    session: WriteSession,
    rows: Sequence[Reservation],
    requests: Mapping[UUID, ComputeRequest],
    reason: EndReason,
    now: datetime,
) -> None:
    """End live reservations for a reason of the service's own; they and their requests are locked (as the system).

    Those that do not run yet are cancelled, as a party's would be; those that run end at the next whole hour.
    """
    waiting = {row.id: row for row in rows if row.state in BEFORE_RUNNING}
    turns = {row_id: Turn(row_id, ReservationState.CANCELLED, reason.value) for row_id in waiting}
    touched = {row.request_id for row in waiting.values()}
    blocks = await repository.lock_live(session, Reservation.request_id.in_(touched))
    for request_id, live in groupby(sorted(blocks, key=_request_id), key=_request_id):
        left = [row for row in live if row.id not in waiting]
        turns = {turn.reservation_id: turn for turn in released(requests[request_id], left)} | turns
    await take_turns(session, list(turns.values()), now)
    for row in rows:
        if row.state == ReservationState.ACTIVE:
            await _end_early(session, row, now)
    await recount(session, [requests[request_id] for request_id in {row.request_id for row in rows}], now)


def _require_state(row: Reservation, *states: ReservationState) -> None:
    if row.state not in states:
        raise WRONG_STATE.problem(state=row.state, wanted=", ".join(states))


def _side(caller: Caller, row: Reservation, asked: Side | None) -> Side:
    return side_of(caller, row.buyer_org_id, row.supplier_org_id, asked)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """How many reservations took which turn in one transaction."""

    expired: int = 0
    activated: int = 0
    completed: int = 0
    released: int = 0

    @property
    def changed(self) -> int:
        """How many took any; sweep again, in a new transaction, until it is 0."""
        return self.expired + self.activated + self.completed + self.released


async def sweep(session: WriteSession, now: datetime, *, limit: int = SWEEP_BATCH) -> SweepResult:
    """Give at most `limit` due reservations their next state, then their requests theirs.

    Lapsed holds expire, confirmed reservations whose start has come are active, active ones whose end has come are
    completed. A request that loses a hold and falls below its `min_blocks` loses its other held and confirmed
    blocks. A request whose time is over and whose blocks are all completed is closed. Requests that somebody holds
    just now are left to the next sweep, so that nobody waits for another.

    Args:
        session: a transaction of its own, with the system's eyes.
        now: the present.
        limit: most due reservations to take.
    """
    due = await repository.find_due(session, now, limit)
    finished = await repository.find_finished(session, now, limit)
    requests = await repository.lock_free_requests(session, {*finished, *(request_id for _, request_id in due)})
    if not requests:
        return SweepResult()
    rows = await repository.lock_for_sweep(session, [row for row, request in due if request in requests], now)
    turns = {row.id: _turn_of(row) for row in rows}
    blocks = await repository.lock_live(session, Reservation.request_id.in_(_losers(rows)))
    for request_id, live in groupby(sorted(blocks, key=_request_id), key=_request_id):
        left = [row for row in live if row.id not in turns or turns[row.id].reason is None]
        # What is due to run, runs: it is not released, as it would not be a moment later.
        turns = {turn.reservation_id: turn for turn in released(requests[request_id], left)} | turns
    await take_turns(session, list(turns.values()), now)
    await recount(session, list(requests.values()), now)
    taken = Counter(turn.reason or turn.state.value for turn in turns.values())
    return SweepResult(
        expired=taken[EndReason.HOLD_LAPSED.value],
        activated=taken[ReservationState.ACTIVE.value],
        completed=taken[ReservationState.COMPLETED.value],
        released=taken[EndReason.BELOW_MIN_BLOCKS.value],
    )


def _turn_of(row: Reservation) -> Turn:
    """Return what a due reservation becomes."""
    if row.state == ReservationState.HELD:
        return Turn(row.id, ReservationState.EXPIRED, EndReason.HOLD_LAPSED.value)
    if row.state == ReservationState.CONFIRMED:
        return Turn(row.id, ReservationState.ACTIVE)
    return Turn(row.id, ReservationState.COMPLETED)


def _request_id(row: Reservation) -> UUID:
    return row.request_id


def _losers(rows: Sequence[Reservation]) -> set[UUID]:
    """Return the requests that lose a hold."""
    return {row.request_id for row in rows if row.state == ReservationState.HELD}
