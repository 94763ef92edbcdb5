"""Holding capacity and subsidies for blocks of a request, ending reservations, and what follows for the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.catalog.models import Offer
from app.demand import service as demand
from app.demand.models import ComputeRequest, RequestState
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.ids import new_id
from app.kit.money import cost_fen
from app.kit.time import HOUR, format_rfc3339
from app.ledger.models import TransferKind
from app.reservations import repository
from app.reservations.errors import REQUEST_NOT_OPEN, START_PASSED, TOO_FEW_BLOCKS
from app.reservations.following import tell_changed
from app.reservations.models import Reservation, ReservationState
from app.reservations.repository import Turn
from app.reservations.schemas import EndReason
from app.vouchers import life
from app.vouchers import service as vouchers
from app.vouchers.budgets import Component, Earmark

QUOTE_HOLD: Final = timedelta(hours=24)
BEFORE_RUNNING: Final = (ReservationState.HELD, ReservationState.CONFIRMED)
_RELEASED_BY: Final = {
    ReservationState.CANCELLED: TransferKind.VOID,
    ReservationState.EXPIRED: TransferKind.EXPIRE,
}
OPEN_STATES: Final = (RequestState.OPEN, RequestState.PARTLY_MATCHED)


@dataclass(frozen=True, slots=True)
class Hold:
    """Capacity to hold for one block of a request, at the offer's price, and the subsidies it was matched with."""

    block: int
    offer: Offer
    cards: int
    starts_at: datetime
    hours: int
    components: tuple[Component, ...] = ()

    @property
    def subsidy_fen(self) -> int:
        """What vouchers take off the cost."""
        return sum(component.amount_fen for component in self.components)


async def hold_capacity(
    session: WriteSession,
    caller: Caller,
    request: ComputeRequest,
    holds: Sequence[Hold],
    *,
    now: datetime,
    hold_for: timedelta = QUOTE_HOLD,
) -> list[Reservation]:
    """Hold capacity for blocks of a request and set its subsidies aside, all or nothing.

    Offers that accept automatically have accepted.

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
        Problem: `request_not_open`, `start_passed`, `min_blocks`, what `take_earmarks` refuses; `capacity_taken`,
            `block_taken` and `funds_exhausted` at the edge.
    """
    await _check_bookable(session, request, holds, now)
    ids = [new_id() for _ in holds]
    rows = [
        {
            "id": reservation_id,
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
        for reservation_id, hold in zip(ids, holds, strict=True)
    ]
    await repository.insert_reservations(session, rows)
    async with acting_as_system(session, caller.scope):
        await recount(session, [request], now)
        earmarks = [
            earmark
            for reservation_id, hold in zip(ids, holds, strict=True)
            for earmark in earmarks_of(reservation_id, request.buyer_org_id, hold.components)
        ]
        await vouchers.take_earmarks(session, earmarks, now=now)
    return await repository.get_reservations(session, caller, ids)


async def _check_bookable(session: ReadSession, request: ComputeRequest, holds: Sequence[Hold], now: datetime) -> None:
    if request.state not in OPEN_STATES:
        raise REQUEST_NOT_OPEN.problem(state=request.state)
    for hold in holds:
        if hold.starts_at <= now:
            raise START_PASSED.problem(starts_at=format_rfc3339(hold.starts_at))
    live = len(await repository.live_blocks(session, request.id)) + len(holds)
    if live < request.min_blocks:
        raise TOO_FEW_BLOCKS.problem(live=live, min_blocks=request.min_blocks)


def earmarks_of(reservation_id: UUID, buyer_org_id: UUID, components: Sequence[Component]) -> list[Earmark]:
    """Return what to set aside for a reservation that was matched with these subsidies."""
    return [
        Earmark(
            reservation_id=reservation_id,
            buyer_org_id=buyer_org_id,
            programme=component.programme,
            version=component.version,
            tier=component.tier,
            year=component.year,
            amount_fen=component.amount_fen,
        )
        for component in components
    ]


async def take_turns(session: WriteSession, turns: Sequence[Turn], now: datetime) -> None:
    """Give reservations, locked before, their next states; those that end give their vouchers back (as the system)."""
    await repository.turn(session, turns, now)
    await tell_changed(session, [turn.reservation_id for turn in turns if turn.state in _RELEASED_BY], now)
    for state, kind in _RELEASED_BY.items():
        await life.end_for(session, [turn.reservation_id for turn in turns if turn.state is state], kind)


def released(request: ComputeRequest, left: Sequence[Reservation]) -> list[Turn]:
    """Return what becomes of the live blocks that a request has left: released if they are below its `min_blocks`.

    What runs or is completed stays: it is being paid for.
    """
    if len(left) >= request.min_blocks:
        return []
    return [
        Turn(row.id, ReservationState.CANCELLED, EndReason.BELOW_MIN_BLOCKS.value)
        for row in left
        if row.state in BEFORE_RUNNING
    ]


async def recount_for(session: WriteSession, caller: Caller, requests: Sequence[ComputeRequest], now: datetime) -> None:
    """Set the states of requests, locked before, from their live blocks, whoever asks."""
    async with acting_as_system(session, caller.scope):
        await recount(session, requests, now)


async def recount(session: WriteSession, requests: Sequence[ComputeRequest], now: datetime) -> None:
    """Set the states of requests, locked before, from their live blocks (as the system).

    One is closed when all that it has is completed and no block is left to match, or no time to match it.
    """
    counts = await repository.count_blocks(session, [request.id for request in requests])
    await demand.set_state_from_live(session, {request_id: count.live for request_id, count in counts.items()})
    done = [request for request in requests if 0 < counts[request.id].live == counts[request.id].completed]
    await demand.close_requests(
        session,
        [request.id for request in done if counts[request.id].live == request.blocks or request.deadline <= now],
    )
