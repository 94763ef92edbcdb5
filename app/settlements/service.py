"""Settling contracts: bill and redemptions follow from reports, reservation and vouchers, whoever changes them.

Locks: reservation → contract → vouchers → redemptions → the supplier's counter → accounts. What changes a contract's
account elsewhere (a cancellation, an early end, a voucher issued) puts its reservation on a list in the same
transaction, by triggers; `settle_next_due` works through the list, and a report settles its own reservation at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from app.accounts.callers import Caller
from app.accounts.models import Organisation
from app.contracts.following import before_revoked
from app.contracts.models import Contract, Payment
from app.kit.db import ReadSession, WriteSession, acting_as_system
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.reservations.following import on_changed
from app.reservations.models import LIVE, Reservation, ReservationState
from app.reservations.parties import side_of
from app.reservations.schemas import Side
from app.reservations.service import CheckVersion, refresh_subsidy
from app.settlements import repository
from app.settlements.arithmetic import Metered
from app.settlements.errors import OTHER_AMOUNT, PAID_LATER, PAYMENT_STATE
from app.settlements.invoices import arithmetic, capital_cny
from app.settlements.models import (
    DeliveryReport,
    PaymentState,
    Redemption,
    RedemptionKind,
    Settlement,
    SettlementKind,
)
from app.settlements.planning import Book, Line, Step
from app.settlements.schemas import InvoiceOut, InvoiceVoucherOut, PartyOut, PayIn
from app.vouchers import redemption as vouchers
from app.vouchers.facts import Item
from app.vouchers.redemption import Movement
from app.vouchers.schemas import TitleOut

_ENDED = (ReservationState.CANCELLED, ReservationState.EXPIRED)
_RAN = (ReservationState.ACTIVE, ReservationState.COMPLETED)


def metered(row: DeliveryReport) -> Metered:
    """Return what a report says, as arithmetic takes it."""
    return Metered(int((row.period_end - row.period_start).total_seconds()), row.card_seconds)


async def settle(
    session: WriteSession,
    reservation: Reservation,
    reports: Sequence[DeliveryReport],
    now: datetime,
    *,
    revoked: UUID | None = None,
) -> list[UUID]:
    """Bring a contract's bill and redemptions in line with what is owed now, a line for each new report.

    Args:
        session: a transaction as the system.
        reservation: locked before; one without a contract is left alone.
        reports: those that were just recorded, in the order to settle them.
        now: the present.
        revoked: a voucher that is about to be revoked: what no claim holds of it is given back.

    Returns:
        The ids of the settlements made, in the order of their numbers.

    Raises:
        Problem: what the ledger refuses, at the edge.
    """
    contract = await repository.lock_contract(session, reservation.id)
    if contract is None:
        return []
    book = await _open_book(session, contract, reservation, {report.id for report in reports}, now, revoked)
    given_back = await _void_unpaid(session, book, contract, reservation)
    lines = [book.settle(reservation.starts_at, reservation.ends_at)]
    for report in reports:
        book.report(report.id, metered(report), report.corrects_id)
        lines.append(book.settle(report.period_start, report.period_end, report.id))
    made = [line for line in lines if line is not None]
    await _record(session, book, contract, made, given_back, now)
    over = {voucher.id for voucher in book.vouchers if not voucher.open}
    back = any(step.of_id is not None and step.voucher_id in over for line in made for step in line.steps)
    if back and reservation.state in LIVE:
        # What comes back onto a voucher whose time is over is no longer taken off what the reservation costs.
        await refresh_subsidy(session, reservation, now)
    await repository.take_off_due(session, reservation.id)
    return [line.id for line in made]


async def _open_book(
    session: WriteSession,
    contract: Contract,
    reservation: Reservation,
    fresh: set[UUID],
    now: datetime,
    revoked: UUID | None,
) -> Book:
    """Return a contract's account as it was before the fresh reports."""
    items = [Item(item.kind, item.amount_fen) for item in contract.items]  # pyright: ignore[reportArgumentType]  a CHECK keeps it to these words
    issued = await vouchers.lock_issued(session, reservation.id, items, domestic=contract.domestic, now=now)
    redeemed = await repository.lock_redeemed(session, [voucher.id for voucher in issued.vouchers])
    made = await repository.find_settlements(session, contract.id)
    in_force = [line for line in made if line.payment_state != PaymentState.VOID]
    state, payment = ReservationState(reservation.state), Payment(contract.payment)
    due = state in _RAN or bool(in_force)
    if payment is Payment.PREPAID and state is ReservationState.CONFIRMED and not due:
        # What a voucher takes off is known first, so that nobody pays what is given back at once.
        due = not await repository.has_earmark(session, reservation.id)
    return Book(
        payment=payment,
        price_fen=reservation.price_fen,
        cards=reservation.cards,
        starts_at=reservation.starts_at,
        ends_at=reservation.ends_at,
        due=due,
        ended=state in _ENDED,
        contract_fen=contract.amount_fen,
        reports=await _reports_before(session, reservation.id, fresh),
        billed_fen=sum(line.amount_fen for line in in_force),
        deducted_fen=sum(line.amount_fen - line.payable_fen for line in in_force),
        vouchers=tuple(replace(each, revoked=each.revoked or each.id == revoked) for each in issued.vouchers),
        ceiling_ppm=issued.ceiling_ppm,
        redeemed=redeemed,
    )


async def _reports_before(session: ReadSession, reservation_id: UUID, fresh: set[UUID]) -> dict[UUID, Metered]:
    """Return the reports that were in force before the fresh ones."""
    rows = await repository.reports_before(session, reservation_id, fresh)
    return {row.id: metered(row) for row in rows}


async def _void_unpaid(
    session: WriteSession, book: Book, contract: Contract, reservation: Reservation
) -> list[tuple[UUID, Step]]:
    """Void what nobody has paid of a reservation that ended before it ran; return the give-backs by settlement."""
    if reservation.state not in _ENDED:
        return []
    made = await repository.find_settlements(session, contract.id)
    unpaid = [line for line in made if line.payment_state == PaymentState.OPEN]
    steps = [(line.id, step) for line in unpaid for step in book.void(line.id, line.amount_fen, line.payable_fen)]
    await repository.void_settlements(session, [line.id for line in unpaid])
    return steps


async def _record(
    session: WriteSession,
    book: Book,
    contract: Contract,
    lines: Sequence[Line],
    given_back: Sequence[tuple[UUID, Step]],
    now: datetime,
) -> None:
    """Write lines, move the voucher money and write the redemptions."""
    if lines:
        first = await repository.take_numbers(session, contract.supplier_org_id, len(lines))
        rows = [_settlement_row(book, contract, line, number, now) for number, line in enumerate(lines, start=first)]
        await repository.insert_settlements(session, rows)
    steps = [*given_back, *((line.id, step) for line in lines for step in line.steps)]
    issued = {voucher.id: voucher for voucher in book.vouchers}
    moves = [
        Movement(
            transfer_id=new_id(),
            voucher_id=step.voucher_id,
            claimant_org_id=(
                contract.supplier_org_id if issued[step.voucher_id].by_supplier else contract.buyer_org_id
            ),
            amount_fen=step.amount_fen,
            back=step.kind is RedemptionKind.GIVEN_BACK,
        )
        for _, step in steps
    ]
    await vouchers.move(session, moves)
    await repository.insert_redemptions(
        session,
        [
            {
                "id": step.id,
                "settlement_id": settlement_id,
                "voucher_id": step.voucher_id,
                "programme_id": issued[step.voucher_id].programme_id,
                "buyer_org_id": contract.buyer_org_id,
                "supplier_org_id": contract.supplier_org_id,
                "claimant_org_id": movement.claimant_org_id,
                "kind": step.kind.value,
                "of_id": step.of_id,
                "amount_fen": step.amount_fen,
                "transfer_id": movement.transfer_id,
                "claim_id": None,
                "created_at": now,
            }
            for (settlement_id, step), movement in zip(steps, moves, strict=True)
        ],
    )


def _settlement_row(book: Book, contract: Contract, line: Line, number: int, now: datetime) -> dict[str, object]:
    return {
        "id": line.id,
        "contract_id": contract.id,
        "reservation_id": contract.reservation_id,
        "buyer_org_id": contract.buyer_org_id,
        "supplier_org_id": contract.supplier_org_id,
        "number": number,
        "kind": line.kind.value,
        "report_id": line.report_id,
        "period_start": line.period_start,
        "period_end": line.period_end,
        "price_fen": book.price_fen,
        "card_seconds_total": line.card_seconds_total,
        "amount_fen": line.amount_fen,
        "payable_fen": line.payable_fen,
        "payment_state": (PaymentState.OPEN if line.payable_fen else PaymentState.PAID).value,
        "paid_at": None if line.payable_fen else now,
        "payment_reference": None,
        "version": 1,
        "created_at": now,
    }


@on_changed
async def follow(session: WriteSession, reservation_ids: Sequence[UUID], now: datetime) -> None:
    """Settle reservations that were cancelled, expired, ended early or extended, locked before (as the system)."""
    for reservation_id in await repository.find_billed(session, reservation_ids):
        reservation = await repository.lock_reservation(session, reservation_id)
        assert reservation is not None  # noqa: S101  never removed
        await settle(session, reservation, [], now)


@before_revoked
async def give_back_revoked(session: WriteSession, voucher_id: UUID, now: datetime) -> None:
    """Give back what a voucher, about to be revoked, redeemed and no claim holds; the buyer owes it (as the system)."""
    reservation_id = await repository.reservation_of_voucher(session, voucher_id)
    reservation = None if reservation_id is None else await repository.lock_reservation(session, reservation_id)
    if reservation is not None:
        await settle(session, reservation, [], now, revoked=voucher_id)


async def settle_next_due(session: WriteSession, now: datetime, *, limit: int = 100) -> bool:
    """Settle the contract that has waited longest, of those that nobody holds; return whether there was one.

    One in a transaction of its own, as the system: after its accounts no other reservation may be locked.
    """
    for reservation_id in await repository.find_due(session, limit):
        reservation = await repository.lock_reservation(session, reservation_id, skip_locked=True)
        if reservation is not None:
            await settle(session, reservation, [], now)
            await repository.take_off_due(session, reservation_id)
            return True
    return False


async def get_settlement(session: ReadSession, caller: Caller, settlement_id: UUID) -> Settlement:
    """Return a settlement with its redemptions.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    row = await repository.get_settlement(session, caller, settlement_id)
    if row is None:
        raise NOT_FOUND.problem(what="settlement")
    return row


async def pay(
    session: WriteSession,
    caller: Caller,
    settlement_id: UUID,
    body: PayIn,
    check_version: CheckVersion,
    now: datetime,
) -> Settlement:
    """Record that a settlement was paid, as the side that got the money (or the desk): the buyer's for a refund.

    Raises:
        Problem: `not_found`, `forbidden`, `payment_state`, `payment_differs`, `paid_in_future`, what `check_version`
            refuses.
    """
    seen = await get_settlement(session, caller, settlement_id)
    creditor = Side.SUPPLIER if seen.payable_fen > 0 else Side.BUYER
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, creditor)
    paid_at = body.paid_at or now
    if paid_at > now:
        raise PAID_LATER.field("/paid_at")
    async with acting_as_system(session, caller.scope):
        row = await repository.get_settlement(session, caller, settlement_id, lock=True)
        assert row is not None  # noqa: S101  never removed
        check_version(row.version)
        if not PaymentState(row.payment_state).may_become(PaymentState.PAID):
            raise PAYMENT_STATE.problem(state=row.payment_state)
        if body.amount_fen != abs(row.payable_fen):
            raise OTHER_AMOUNT.field("/amount_fen", payable_fen=abs(row.payable_fen), amount_fen=body.amount_fen)
        row.payment_state = PaymentState.PAID.value
        row.paid_at = paid_at
        row.payment_reference = body.reference
        row.version += 1
        await session.flush()
    return await get_settlement(session, caller, settlement_id)


async def get_invoice(session: ReadSession, caller: Caller, settlement_id: UUID) -> InvoiceOut:
    """Return a settlement as an invoice.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    seen = await get_settlement(session, caller, settlement_id)
    made = await repository.find_settlements(session, seen.contract_id)
    # Read again, with its redemptions: the list before has read the row without them.
    row = await get_settlement(session, caller, settlement_id)
    contract = await repository.get_contract(session, row.contract_id)
    assert contract is not None  # noqa: S101  a foreign key, and both sides see it
    parties = await repository.get_organisations(session, [row.supplier_org_id, row.buyer_org_id])
    before = [each for each in made if each.number < row.number and each.payment_state != PaymentState.VOID]
    billed_before = sum(each.amount_fen for each in before)
    payable_in_words = capital_cny(abs(row.payable_fen))
    return InvoiceOut(
        number=row.number,
        settlement_id=row.id,
        contract_id=row.contract_id,
        kind=SettlementKind(row.kind),
        issued_at=row.created_at,
        supplier=_party(parties, row.supplier_org_id),
        buyer=_party(parties, row.buyer_org_id),
        chip_model=contract.chip_model,
        region=contract.region,
        period_start=row.period_start,
        period_end=row.period_end,
        price_fen=row.price_fen,
        card_seconds=row.card_seconds_total - (before[-1].card_seconds_total if before else 0),
        card_seconds_total=row.card_seconds_total,
        billed_before_fen=billed_before,
        amount_fen=row.amount_fen,
        vouchers=[await _invoice_voucher(session, row, each) for each in row.redemptions],
        payable_fen=row.payable_fen,
        payable_in_words=payable_in_words,
        arithmetic=arithmetic(
            price_fen=row.price_fen,
            card_seconds_total=row.card_seconds_total,
            billed_before_fen=billed_before,
            amount_fen=row.amount_fen,
        ),
        payment_state=PaymentState(row.payment_state),
        paid_at=row.paid_at,
    )


def _party(parties: Mapping[UUID, Organisation], org_id: UUID) -> PartyOut:
    found = parties[org_id]
    return PartyOut(id=found.id, name=found.name, contact=found.contact)


async def _invoice_voucher(session: ReadSession, row: Settlement, each: Redemption) -> InvoiceVoucherOut:
    title = await vouchers.programme_title(session, each.voucher_id)
    return InvoiceVoucherOut(
        voucher_id=each.voucher_id,
        programme=each.programme_id,
        title=TitleOut(en=title.en, zh=title.zh),
        kind=RedemptionKind(each.kind),
        amount_fen=each.amount_fen,
        deducted=each.claimant_org_id == row.supplier_org_id,
    )
