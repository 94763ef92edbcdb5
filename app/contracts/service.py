"""Contracts: made at a confirmation, applied for, documented, evaluated; and vouchers as people turn them.

A party's or the desk's request is checked with its own eyes; what follows from it is written as the system.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.contracts import applying, repository
from app.contracts.applying import apply_for_all
from app.contracts.deciding import Case, decide_case, left_of, load_programme
from app.contracts.errors import (
    AMOUNT_ABOVE_RULE,
    APPLICATION_EXISTS,
    APPLICATION_STATE,
    CHOICE_OVER,
    EVALUATION_LATE,
    NOT_A_FREE_BONUS,
    NOT_OVER,
    NOTHING_TO_APPLY_FOR,
    OTHER_BUYER,
    PAYMENT_FIXED,
    RULE_REFUSES,
    VOUCHER_STATE,
)
from app.contracts.following import tell_before_revoked
from app.contracts.models import (
    ApplicationState,
    Choice,
    Contract,
    DecidedBy,
    Document,
    DocumentKind,
    Evaluation,
    VoucherApplication,
)
from app.contracts.schemas import ApproveIn, EvaluationIn, PaymentIn, RejectIn, RevokeIn
from app.kit.db import SYSTEM, ReadSession, WriteSession, acting_as_system, set_scope
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.kit.money import floor_rate, parse_cny
from app.kit.time import format_rfc3339
from app.reservations import service as reservations
from app.reservations.errors import WRONG_STATE
from app.reservations.following import on_confirmed
from app.reservations.models import LIVE, Reservation, ReservationState
from app.reservations.parties import side_of
from app.reservations.schemas import EndReason, Side
from app.reservations.service import CheckVersion, refresh_subsidy
from app.vouchers import life
from app.vouchers import repository as vouchers_repository
from app.vouchers import service as vouchers
from app.vouchers.budgets import Earmark
from app.vouchers.life import Issue
from app.vouchers.models import Voucher, VoucherJournalEntry, VoucherKind, VoucherState
from app.vouchers.policy import Programme
from app.vouchers.rules import Left, contract_year, ppm_of, voucher_ends_at

SWEEP_BATCH: Final = 200
_MAY_BE_USED: Final = (ReservationState.CONFIRMED, ReservationState.ACTIVE)


@on_confirmed
async def make_contracts(session: WriteSession, reservation_ids: Sequence[UUID], now: datetime) -> None:
    """Make the contracts of confirmed reservations and apply for their vouchers (as the system)."""
    for contract in await repository.insert_contracts(session, reservation_ids, now):
        reservation = await repository.lock_reservation(session, contract.reservation_id)
        await apply_for_all(session, Case(contract, reservation), now)


async def get_contract(session: ReadSession, caller: Caller, contract_id: UUID) -> Contract:
    """Return a contract with its items.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    row = await repository.get_contract(session, caller, contract_id)
    if row is None:
        raise NOT_FOUND.problem(what="contract")
    return row


async def get_contract_whole(
    session: ReadSession, caller: Caller, contract_id: UUID
) -> tuple[Contract, list[VoucherApplication], list[Document], Evaluation | None]:
    """Return a contract with its applications, documents and evaluation.

    Raises:
        Problem: `not_found`.
    """
    contract = await get_contract(session, caller, contract_id)
    return (
        contract,
        await repository.applications_of(session, contract_id),
        await repository.list_documents(session, contract_id),
        await repository.get_evaluation(session, contract_id),
    )


async def names_of_parties(session: ReadSession, contract: Contract) -> tuple[str, str]:
    """Return the names of a contract's buyer and supplier, each of which sees the other."""
    names = await repository.organisation_names(session, [contract.buyer_org_id, contract.supplier_org_id])
    return names[contract.buyer_org_id], names[contract.supplier_org_id]


async def set_payment(
    session: WriteSession,
    caller: Caller,
    contract_id: UUID,
    body: PaymentIn,
    check_version: CheckVersion,
) -> Contract:
    """Say when a contract is paid for, before it begins (the supplier, the desk).

    Raises:
        Problem: `not_found`, `forbidden`, `payment_fixed`, what `check_version` refuses.
    """
    seen = await get_contract(session, caller, contract_id)
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, Side.SUPPLIER)
    async with acting_as_system(session, caller.scope):
        reservation = await repository.lock_reservation(session, seen.reservation_id)
        if reservation.state != ReservationState.CONFIRMED:
            raise PAYMENT_FIXED.problem(state=reservation.state)
        contract = await repository.get_contract(session, caller, contract_id, lock=True)
        if contract is None:
            raise NOT_FOUND.problem(what="contract")
        check_version(contract.version)
        contract.payment = body.payment.value
        contract.version += 1
        await session.flush()
    return contract


async def add_document(
    session: WriteSession,
    caller: Caller,
    contract_id: UUID,
    *,
    kind: DocumentKind,
    name: str,
    media_type: str,
    content: bytes,
    now: datetime,
) -> Document:
    """Store a document of a contract (its sides, the desk); its hash is stored with it.

    Raises:
        Problem: `not_found`.
    """
    contract = await get_contract(session, caller, contract_id)
    row = {
        "id": new_id(),
        "contract_id": contract_id,
        "buyer_org_id": contract.buyer_org_id,
        "supplier_org_id": contract.supplier_org_id,
        "uploaded_by_org_id": caller.org_id,
        "kind": kind.value,
        "name": name,
        "media_type": media_type,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content": content,
        "created_at": now,
    }
    async with acting_as_system(session, caller.scope):
        return await repository.insert_document(session, row)


async def get_document(session: ReadSession, caller: Caller, contract_id: UUID, document_id: UUID) -> Document:
    """Return a document of a contract with its content.

    Raises:
        Problem: `not_found`.
    """
    await get_contract(session, caller, contract_id)
    row = await repository.get_document(session, contract_id, document_id)
    if row is None:
        raise NOT_FOUND.problem(what="document")
    return row


async def apply(session: WriteSession, caller: Caller, contract_id: UUID, now: datetime) -> list[VoucherApplication]:
    """Apply for the vouchers that are set aside for a contract, where that was not done at its confirmation.

    Raises:
        Problem: `not_found`, `forbidden`, `reservation_state`, `application_exists`, `nothing_to_apply_for`.
    """
    contract = await get_contract(session, caller, contract_id)
    side_of(caller, contract.buyer_org_id, contract.supplier_org_id, Side.BUYER)
    async with acting_as_system(session, caller.scope):
        case = Case(contract, await repository.lock_reservation(session, contract.reservation_id))
        _require_live(case.reservation)
        made = await apply_for_all(session, case, now)
        if not made:
            raise (
                APPLICATION_EXISTS if await repository.applications_of(session, contract_id) else NOTHING_TO_APPLY_FOR
            ).problem()
    return made


async def get_application(session: ReadSession, caller: Caller, application_id: UUID) -> VoucherApplication:
    """Return an application.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    row = await repository.get_application(session, caller, application_id)
    if row is None:
        raise NOT_FOUND.problem(what="voucher application")
    return row


@dataclass(frozen=True, slots=True)
class _Locked:
    case: Case
    application: VoucherApplication
    voucher: Voucher


async def _lock_application(
    session: WriteSession, seen: VoucherApplication, check_version: CheckVersion, *states: ApplicationState
) -> _Locked:
    """Lock an application with all that it rests on (as the system); require its version and state."""
    contract = await repository.contract_by_id(session, seen.contract_id)
    reservation = await repository.lock_reservation(session, contract.reservation_id)
    application = await repository.lock_application(session, seen.id)
    [voucher] = await vouchers_repository.lock_vouchers(session, ids=[application.voucher_id])
    check_version(application.version)
    if application.state not in states:
        raise APPLICATION_STATE.problem(state=application.state, wanted=", ".join(states))
    return _Locked(Case(contract, reservation), application, voucher)


async def approve(
    session: WriteSession,
    caller: Caller,
    application_id: UUID,
    body: ApproveIn,
    check_version: CheckVersion,
    now: datetime,
) -> VoucherApplication:
    """Approve a submitted application and issue its voucher (the desk); the rules are asked again and bind it.

    Raises:
        Problem: `not_found`, `application_state`, `clause_unmet`, `funds_exhausted`, `amount_above_rule`, what
            `check_version` refuses.
    """
    seen = await get_application(session, caller, application_id)
    async with acting_as_system(session, caller.scope):
        locked = await _lock_application(session, seen, check_version, ApplicationState.SUBMITTED)
        rules = await applying.decide_again(session, locked.case, locked.application, locked.voucher)
        most = locked.application.amount_fen
        if body.amount_fen is not None and body.amount_fen > most:
            raise AMOUNT_ABOVE_RULE.field("/amount_fen", most=most)
        amount = most if body.amount_fen is None else body.amount_fen
        await applying.grant(session, locked.case, locked.application, locked.voucher, rules, amount, now)
    return locked.application


async def reject(
    session: WriteSession,
    caller: Caller,
    application_id: UUID,
    body: RejectIn,
    check_version: CheckVersion,
    now: datetime,
) -> VoucherApplication:
    """Reject a submitted application with a reason (the desk); the buyer has 48 hours to accept the full price.

    Raises:
        Problem: `not_found`, `application_state`, what `check_version` refuses.
    """
    seen = await get_application(session, caller, application_id)
    async with acting_as_system(session, caller.scope):
        locked = await _lock_application(session, seen, check_version, ApplicationState.SUBMITTED)
        await applying.reject(
            session,
            locked.case,
            locked.application,
            locked.voucher,
            DecidedBy.DESK,
            body.reason.value,
            body.detail,
            now,
        )
        await refresh_subsidy(session, locked.case.reservation, now)
    return locked.application


async def withdraw(
    session: WriteSession, caller: Caller, application_id: UUID, check_version: CheckVersion, now: datetime
) -> VoucherApplication:
    """Withdraw a submitted application (its buyer, the desk): the voucher is given back, the full price is paid.

    Raises:
        Problem: `not_found`, `forbidden`, `application_state`, what `check_version` refuses.
    """
    seen = await get_application(session, caller, application_id)
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, Side.BUYER)
    async with acting_as_system(session, caller.scope):
        locked = await _lock_application(session, seen, check_version, ApplicationState.SUBMITTED)
        await applying.withdraw(session, locked.case, locked.application, locked.voucher, "withdrawn_by_buyer", now)
    return locked.application


async def accept_full_price(
    session: WriteSession, caller: Caller, application_id: UUID, check_version: CheckVersion, now: datetime
) -> VoucherApplication:
    """Keep the reservation at its full price after a rejection (its buyer, the desk).

    Raises:
        Problem: `not_found`, `forbidden`, `application_state`, `choice_over`, `reservation_state`, what
            `check_version` refuses.
    """
    seen = await get_application(session, caller, application_id)
    side_of(caller, seen.buyer_org_id, seen.supplier_org_id, Side.BUYER)
    async with acting_as_system(session, caller.scope):
        locked = await _lock_application(session, seen, check_version, ApplicationState.REJECTED)
        application, reservation = locked.application, locked.case.reservation
        ends_at = application.choice_ends_at
        if application.choice == Choice.FULL_PRICE:
            return application
        if ends_at is None or ends_at <= now or application.choice is not None:
            raise CHOICE_OVER.problem(ends_at="" if ends_at is None else format_rfc3339(ends_at))
        if reservation.state not in _MAY_BE_USED:
            raise WRONG_STATE.problem(state=reservation.state, wanted=", ".join(_MAY_BE_USED))
        applying.close_choices([application], Choice.FULL_PRICE)
        await session.flush()
    return application


async def evaluate(
    session: WriteSession, caller: Caller, contract_id: UUID, body: EvaluationIn, now: datetime
) -> tuple[Evaluation, list[Voucher]]:
    """Record what a completed contract achieved (the desk); a good score earns the programmes' bonus vouchers.

    Returns:
        The evaluation and the bonus vouchers, issued.

    Raises:
        Problem: `not_found`, `not_over`, `evaluation_late`; `already_evaluated` at the edge.
    """
    contract = await get_contract(session, caller, contract_id)
    async with acting_as_system(session, caller.scope):
        reservation = await repository.lock_reservation(session, contract.reservation_id)
        if reservation.state != ReservationState.COMPLETED:
            raise NOT_OVER.problem(state=reservation.state)
        rows = await vouchers_repository.lock_vouchers(session, subjects=[reservation.id])
        earned = [row for row in rows if row.issued_fen and row.kind == VoucherKind.CONTRACT]
        programmes = {row.id: await load_programme(session, row.programme_id, row.programme_version) for row in earned}
        for programme in programmes.values():
            _require_in_time(programme, reservation, now)
        evaluation = await repository.insert_evaluation(
            session,
            {
                "contract_id": contract_id,
                "buyer_org_id": contract.buyer_org_id,
                "supplier_org_id": contract.supplier_org_id,
                "score": body.score,
                "remarks": body.remarks,
                "created_at": now,
            },
        )
        redeemed = await life.redeemed_fen(session, [row.id for row in earned])
        bonuses = [
            bonus
            for row in earned
            if row.state != VoucherState.REVOKED
            and (bonus := await _give_bonus(session, row, programmes[row.id], redeemed[row.id], body.score, now))
        ]
    return evaluation, bonuses


def _require_in_time(programme: Programme, reservation: Reservation, now: datetime) -> None:
    if programme.evaluation is not None:
        until = reservation.ends_at + timedelta(days=programme.evaluation.within_days)
        if now > until:
            raise EVALUATION_LATE.problem(programme=programme.id, until=format_rfc3339(until))


async def _give_bonus(
    session: WriteSession, voucher: Voucher, programme: Programme, redeemed_fen: int, score: int, now: datetime
) -> Voucher | None:
    """Issue the bonus that a voucher's programme gives for a score: a rate of what was redeemed, as far as funds go."""
    bonus = None if programme.evaluation is None else programme.evaluation.bonus
    if bonus is None or score < bonus.min_score:
        return None
    year = contract_year(programme, now)
    key = (programme.id, year)
    version = (await vouchers.versions_open(session, [key])).get(key)
    if version is None:
        return None
    found = (await vouchers.lock_budgets(session, {key: [voucher.buyer_org_id]}))[key]
    left = left_of(found, voucher.buyer_org_id)
    limits = [left.pool_fen, left.buyer_year_fen, left.tier_fen.get(voucher.tier)]
    limits.append(None if bonus.cap_cny is None else parse_cny(bonus.cap_cny))
    amount = min([floor_rate(ppm_of(bonus.rate), redeemed_fen), *(fen for fen in limits if fen is not None)])
    if amount <= 0:
        return None
    earmark = Earmark(None, voucher.buyer_org_id, programme.id, version, voucher.tier, year, amount, voucher.id)
    [made] = await vouchers.take_earmarks(session, [earmark], now=now)
    [row] = await vouchers_repository.lock_vouchers(session, ids=[made])
    await life.issue(session, [Issue(row, amount, voucher.rate_ppm or 0, voucher_ends_at(programme, now))], now)
    return row


@dataclass(frozen=True, slots=True)
class VoucherWhole:
    """A voucher with what became of its money and its life so far."""

    voucher: Voucher
    journal: list[VoucherJournalEntry]
    redeemed_fen: int
    left_fen: int


async def get_voucher(session: ReadSession, caller: Caller, voucher_id: UUID) -> VoucherWhole:
    """Return a voucher with its life so far.

    Raises:
        Problem: `not_found`, also for one that the caller is no party of.
    """
    seen = await vouchers_repository.get_voucher(session, caller, voucher_id)
    if seen is None:
        raise NOT_FOUND.problem(what="voucher")
    # A supplier sees the voucher, not the buyer's accounts that its sums are read from.
    await set_scope(session, SYSTEM)
    return await _whole(session, seen)


async def _whole(session: ReadSession, voucher: Voucher) -> VoucherWhole:
    redeemed = await life.redeemed_fen(session, [voucher.id])
    left = await vouchers_repository.left_fen(session, [voucher.id])
    return VoucherWhole(
        voucher, await vouchers_repository.journal_of(session, voucher.id), redeemed[voucher.id], left[voucher.id]
    )


async def revoke(
    session: WriteSession,
    caller: Caller,
    voucher_id: UUID,
    body: RevokeIn,
    check_version: CheckVersion,
    now: datetime,
) -> VoucherWhole:
    """Revoke an issued voucher with a reason (the desk): what is left goes back, what was redeemed is claimed back.

    Raises:
        Problem: `not_found`, `voucher_state`, what `check_version` refuses.
    """
    seen = await vouchers_repository.get_voucher(session, caller, voucher_id)
    if seen is None:
        raise NOT_FOUND.problem(what="voucher")
    may = (VoucherState.ISSUED, VoucherState.EXHAUSTED, VoucherState.EXPIRED)
    async with acting_as_system(session, caller.scope):
        row = None if seen.subject_id is None else await repository.lock_reservation(session, seen.subject_id)
        voucher = await _lock_voucher(session, voucher_id, check_version, may)
        await tell_before_revoked(session, voucher_id, now)
        await life.revoke(session, voucher, body.reason.value, body.detail)
        if row is not None and row.state in LIVE:
            await refresh_subsidy(session, row, now)
        return await _whole(session, voucher)


async def _lock_voucher(
    session: WriteSession, voucher_id: UUID, check_version: CheckVersion, states: Sequence[VoucherState]
) -> Voucher:
    [voucher] = await vouchers_repository.lock_vouchers(session, ids=[voucher_id])
    check_version(voucher.version)
    if voucher.state not in states:
        raise VOUCHER_STATE.problem(state=voucher.state, wanted=", ".join(states))
    return voucher


async def use_bonus(
    session: WriteSession,
    caller: Caller,
    voucher_id: UUID,
    contract_id: UUID,
    check_version: CheckVersion,
    now: datetime,
) -> VoucherWhole:
    """Put a bonus voucher on a contract that its programme would subsidise (its buyer, the desk).

    Raises:
        Problem: `not_found`, `forbidden`, `voucher_state`, `not_a_free_bonus`, `other_buyer`, `reservation_state`,
            `clause_unmet`, what `check_version` refuses; `voucher_taken` at the edge.
    """
    contract = await get_contract(session, caller, contract_id)
    side_of(caller, contract.buyer_org_id, contract.supplier_org_id, Side.BUYER)
    seen = await vouchers_repository.get_voucher(session, caller, voucher_id)
    if seen is None:
        raise NOT_FOUND.problem(what="voucher")
    async with acting_as_system(session, caller.scope):
        case = Case(contract, await repository.lock_reservation(session, contract.reservation_id))
        voucher = await _lock_voucher(session, voucher_id, check_version, (VoucherState.ISSUED,))
        if voucher.kind != VoucherKind.BONUS or voucher.subject_id is not None:
            raise NOT_A_FREE_BONUS.problem()
        if voucher.buyer_org_id != contract.buyer_org_id:
            raise OTHER_BUYER.problem()
        if case.reservation.state not in _MAY_BE_USED:
            raise WRONG_STATE.problem(state=case.reservation.state, wanted=", ".join(_MAY_BE_USED))
        programme = await load_programme(session, voucher.programme_id, voucher.programme_version)
        decision = await decide_case(session, case, programme, voucher.tier, Left(), applied_at=contract.signed_at)
        if decision.best.unmet:
            raise RULE_REFUSES.problem(clauses=", ".join(decision.best.unmet))
        voucher.subject_id = case.reservation.id
        voucher.version += 1
        await session.flush()
        await refresh_subsidy(session, case.reservation, now)
        return await _whole(session, voucher)


def _require_live(reservation: Reservation) -> None:
    if reservation.state not in LIVE:
        raise WRONG_STATE.problem(state=reservation.state, wanted=", ".join(LIVE))


async def sweep_choices(session: WriteSession, now: datetime, *, limit: int = SWEEP_BATCH) -> int:
    """End reservations whose buyer did not accept the full price in time; return how many.

    Those before their start are cancelled, free; running ones end at the next whole hour. Requests that somebody holds
    just now are left to the next sweep.

    Args:
        session: a transaction of its own, with the system's eyes.
        now: the present.
        limit: most reservations to take.
    """
    due = await repository.lapsed_choices(session, now, limit)
    if not due:
        return 0
    requests, rows = await reservations.lock_free(session, due)
    lapsed = await repository.lock_lapsed(session, [row.id for row in rows], now)
    over = [row for row in rows if row.id in lapsed and row.state in _MAY_BE_USED]
    for row in over:
        applying.close_choices(lapsed[row.id], Choice.LAPSED)
    await session.flush()
    if over:
        await reservations.give_up(session, over, requests, EndReason.VOUCHER_REJECTED, now)
    return len(over)


async def sweep_vouchers(session: WriteSession, now: datetime, *, limit: int = SWEEP_BATCH) -> int:
    """Expire issued vouchers whose time is over and give back what is left of them; return how many.

    Args:
        session: a transaction of its own, with the system's eyes.
        now: the present.
        limit: most vouchers to take.
    """
    due = await vouchers_repository.find_due(session, now, limit)
    if not due:
        return 0
    rows = await repository.lock_reservations(session, [subject for _, subject in due if subject is not None])
    locked = await vouchers_repository.lock_vouchers(session, ids=[voucher for voucher, _ in due])
    over = [
        each
        for each in locked
        if each.state == VoucherState.ISSUED and (each.subject_id in rows or each.subject_id is None)
    ]
    await life.return_unspent(session, over, VoucherState.EXPIRED, life.TIME_OVER)
    for subject in sorted({each.subject_id for each in over if each.subject_id is not None}):
        if rows[subject].state in LIVE:
            await refresh_subsidy(session, rows[subject], now)
    return len(over)
