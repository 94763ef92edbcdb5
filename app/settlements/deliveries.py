"""Delivery reports: taken together or not at all, corrected by new rows, disputed by the buyer, settled at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import WriteSession, acting_as_system
from app.kit.errors import NOT_FOUND, ErrorCode, FieldError
from app.kit.ids import new_id
from app.kit.time import format_rfc3339
from app.reservations.models import Reservation, ReservationState
from app.reservations.parties import side_of
from app.reservations.schemas import Side
from app.reservations.service import get_reservation
from app.settlements import repository
from app.settlements.errors import (
    ABOVE_RESERVED,
    ALREADY_CORRECTED,
    ALREADY_DISPUTED,
    ENDED_UNUSED,
    NO_CONTRACT,
    NOT_DISPUTED,
    NOT_IN_FORCE,
    NOT_OVER,
    NOT_STARTED,
    OTHER_PERIOD,
    OUTSIDE,
    OVERLAPS,
    PART_SECONDS,
    PERIOD_ORDER,
    REPORTS_REFUSED,
    UNKNOWN_REPORT,
)
from app.settlements.models import DeliveryReport, Settlement
from app.settlements.schemas import DeliveriesIn, DeliveryIn
from app.settlements.service import settle


async def report(
    session: WriteSession, caller: Caller, reservation_id: UUID, body: DeliveriesIn, now: datetime
) -> tuple[list[DeliveryReport], list[Settlement]]:
    """Take a supplier's reports of a reservation, all or none, and settle them in the order of their periods.

    Args:
        session: a transaction with the caller's eyes.
        caller: the reservation's supplier, or the desk.
        reservation_id: an active or completed reservation.
        body: the reports; a correction names the report in force that it takes the place of.
        now: the present.

    Returns:
        The reports in the order given, and the settlements that they made.

    Raises:
        Problem: `not_found`, `forbidden`, `delivery_not_started`, `delivery_reservation_ended`, `deliveries_refused`
            naming each report that can't be taken; `overlaps` and the like at the edge, where others were faster.
    """
    seen = await get_reservation(session, caller, reservation_id)
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, Side.SUPPLIER)
    async with acting_as_system(session, caller.scope):
        reservation = await repository.lock_reservation(session, reservation_id)
        assert reservation is not None  # noqa: S101  never removed
        _require_ran(reservation)
        if await repository.lock_contract(session, reservation_id) is None:
            raise NO_CONTRACT.problem()
        in_force = {row.id: row for row in await repository.find_reports(session, reservation_id)}
        corrected = await _corrected_of(session, body.reports, in_force)
        errors = list(_errors(reservation, body.reports, in_force, corrected, now))
        if errors:
            count = len({error.pointer.split("/")[2] for error in errors})
            raise REPORTS_REFUSED.problem(errors=errors, count=count)
        rows = await repository.insert_reports(session, [_row(reservation, each, now) for each in body.reports])
        made = await settle(session, reservation, sorted(rows, key=lambda row: row.period_start), now)
        return rows, await repository.get_settlements(session, caller, made)


def _require_ran(reservation: Reservation) -> None:
    state = ReservationState(reservation.state)
    if state in (ReservationState.CANCELLED, ReservationState.EXPIRED):
        raise ENDED_UNUSED.problem()
    if state in (ReservationState.HELD, ReservationState.CONFIRMED):
        raise NOT_STARTED.problem(state=state.value)


async def _corrected_of(
    session: WriteSession, reports: Sequence[DeliveryIn], in_force: Mapping[UUID, DeliveryReport]
) -> frozenset[UUID]:
    """Return which of the reports that are to be corrected have been."""
    named = {each.corrects_id for each in reports if each.corrects_id is not None} - in_force.keys()
    return frozenset(await repository.corrections_of(session, named)) if named else frozenset()


@dataclass(frozen=True, slots=True)
class _Span:
    """A period that a report takes."""

    start: datetime
    end: datetime
    position: int | None


def _errors(
    reservation: Reservation,
    reports: Sequence[DeliveryIn],
    in_force: Mapping[UUID, DeliveryReport],
    corrected: frozenset[UUID],
    now: datetime,
) -> Iterator[FieldError]:
    """Return everything that is wrong with reports, each by its place."""
    named: set[UUID] = set()
    for position, each in enumerate(reports):
        for field, code, more in _own_errors(reservation, each, in_force, corrected, named, now):
            yield FieldError(f"/reports/{position}/{field}", code.code, f"{code.en}{more}")
        if each.corrects_id is not None:
            named.add(each.corrects_id)
    spans = [_Span(row.period_start, row.period_end, None) for row in in_force.values() if row.id not in named]
    # A correction of what is not in force is told as that, not as an overlap with what is.
    spans += [
        _Span(each.period_start, each.period_end, position)
        for position, each in enumerate(reports)
        if each.corrects_id is None or each.corrects_id in in_force
    ]
    last: _Span | None = None
    for span in sorted(spans, key=lambda one: (one.start, one.end)):
        if last is not None and span.start < last.end:
            position = span.position if span.position is not None else last.position
            if position is not None:
                yield FieldError(f"/reports/{position}/period_start", OVERLAPS.code, OVERLAPS.en)
        if last is None or span.end > last.end:
            last = span


def _own_errors(
    reservation: Reservation,
    each: DeliveryIn,
    in_force: Mapping[UUID, DeliveryReport],
    corrected: frozenset[UUID],
    named: set[UUID],
    now: datetime,
) -> Iterator[tuple[str, ErrorCode, str]]:
    """Return what is wrong with one report by itself: the field, the code, and what would be right."""
    if each.period_start.microsecond or each.period_end.microsecond:
        yield "period_start", PART_SECONDS, ""
        return
    if each.period_end <= each.period_start:
        yield "period_end", PERIOD_ORDER, ""
        return
    if each.period_start < reservation.starts_at or each.period_end > reservation.ends_at:
        until = f"{format_rfc3339(reservation.starts_at)} to {format_rfc3339(reservation.ends_at)}"
        yield "period_start", OUTSIDE, f" It is from {until}."
    elif each.period_end > now:
        yield "period_end", NOT_OVER, ""
    most = reservation.cards * int((each.period_end - each.period_start).total_seconds())
    if each.card_seconds > most:
        yield "card_seconds", ABOVE_RESERVED, f" At most {most}."
    yield from _correction_errors(each, in_force, corrected, named)


def _correction_errors(
    each: DeliveryIn, in_force: Mapping[UUID, DeliveryReport], corrected: frozenset[UUID], named: set[UUID]
) -> Iterator[tuple[str, ErrorCode, str]]:
    if each.corrects_id is None:
        return
    before = in_force.get(each.corrects_id)
    if each.corrects_id in corrected or each.corrects_id in named:
        yield "corrects_id", ALREADY_CORRECTED, ""
    elif before is None:
        yield "corrects_id", UNKNOWN_REPORT, ""
    elif (before.period_start, before.period_end) != (each.period_start, each.period_end):
        period = f"{format_rfc3339(before.period_start)} to {format_rfc3339(before.period_end)}"
        yield "corrects_id", OTHER_PERIOD, f" That is {period}."


def _row(reservation: Reservation, each: DeliveryIn, now: datetime) -> dict[str, object]:
    return {
        "id": new_id(),
        "reservation_id": reservation.id,
        "buyer_org_id": reservation.buyer_org_id,
        "supplier_org_id": reservation.supplier_org_id,
        "period_start": each.period_start,
        "period_end": each.period_end,
        "card_seconds": each.card_seconds,
        "corrects_id": each.corrects_id,
        "disputed_at": None,
        "dispute_reason": None,
        "created_at": now,
    }


async def dispute(session: WriteSession, caller: Caller, report_id: UUID, reason: str, now: datetime) -> DeliveryReport:
    """Flag a report in force as not what was delivered, as the buyer or the desk; the supplier then corrects it.

    Raises:
        Problem: `not_found`, `forbidden`, `report_corrected`, `already_disputed`.
    """
    row = await _lock_disputable(session, caller, report_id)
    if row.disputed_at is not None:
        raise ALREADY_DISPUTED.problem(disputed_at=format_rfc3339(row.disputed_at))
    return await _set_dispute(session, caller, row, now, reason)


async def withdraw_dispute(session: WriteSession, caller: Caller, report_id: UUID) -> DeliveryReport:
    """Withdraw a dispute, as the buyer or the desk.

    Raises:
        Problem: `not_found`, `forbidden`, `report_corrected`, `not_disputed`.
    """
    row = await _lock_disputable(session, caller, report_id)
    if row.disputed_at is None:
        raise NOT_DISPUTED.problem()
    return await _set_dispute(session, caller, row, None, None)


async def _lock_disputable(session: WriteSession, caller: Caller, report_id: UUID) -> DeliveryReport:
    seen = await repository.get_report(session, caller, report_id)
    if seen is None:
        raise NOT_FOUND.problem(what="delivery report")
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, Side.BUYER)
    async with acting_as_system(session, caller.scope):
        row = await repository.get_report(session, caller, report_id, lock=True)
        assert row is not None  # noqa: S101  never removed
        if await repository.corrections_of(session, [report_id]):
            raise NOT_IN_FORCE.problem()
    return row


async def _set_dispute(
    session: WriteSession, caller: Caller, row: DeliveryReport, at: datetime | None, reason: str | None
) -> DeliveryReport:
    async with acting_as_system(session, caller.scope):
        row.disputed_at, row.dispute_reason = at, reason
        await session.flush()
    return row
