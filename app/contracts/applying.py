"""Applications for vouchers: made at confirmation, decided by the rules where they can, else by the desk.

Locks: the request and reservation are locked first, then applications and vouchers by id, accounts last. Everything
that writes runs as the system; who may ask for it is decided before.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from app.contracts import repository
from app.contracts.deciding import Case, decide_case, left_of, left_with, load_programme
from app.contracts.errors import RULE_REFUSES
from app.contracts.models import ApplicationState, Choice, DecidedBy, VoucherApplication
from app.contracts.signalling import signal_application
from app.kit.db import WriteSession
from app.kit.ids import new_id
from app.ledger.errors import FUNDS_EXHAUSTED
from app.reservations.models import ReservationState
from app.reservations.service import refresh_subsidy
from app.vouchers import life
from app.vouchers import repository as vouchers_repository
from app.vouchers import service as vouchers
from app.vouchers.budgets import Earmark
from app.vouchers.errors import PROGRAMME_NOT_OPEN
from app.vouchers.life import Issue
from app.vouchers.models import Voucher, VoucherState
from app.vouchers.policy import Programme
from app.vouchers.rules import Decision, Left, contract_year, voucher_ends_at

CHOICE: Final = timedelta(hours=48)


async def apply_for_all(session: WriteSession, case: Case, now: datetime) -> list[VoucherApplication]:
    """Apply for every voucher that is set aside for a contract and has no application yet, and decide where rules can.

    Returns:
        The applications made by this call.
    """
    rows = await vouchers_repository.lock_vouchers(session, subjects=[case.reservation.id])
    before = {each.programme_id for each in await repository.applications_of(session, case.contract.id)}
    wanted = [row for row in rows if row.state == VoucherState.EARMARKED and row.programme_id not in before]
    made = [await _apply_for(session, case, voucher, now) for voucher in wanted]
    if made:
        await refresh_subsidy(session, case.reservation, now)
    return made


async def _apply_for(session: WriteSession, case: Case, voucher: Voucher, now: datetime) -> VoucherApplication:
    programme = await load_programme(session, voucher.programme_id, voucher.programme_version)
    if voucher.year != contract_year(programme, case.contract.signed_at):
        return await _apply_in_the_next_year(session, case, voucher, programme, now)
    left = await left_with(session, voucher)
    decision = await decide_case(session, case, programme, voucher.tier, left, applied_at=now, voucher_id=voucher.id)
    application = await _submit(session, case, voucher, decision, now)
    refused = _refused(decision)
    if refused is not None:
        await reject(session, case, application, voucher, DecidedBy.RULES, refused, None, now)
    elif not decision.desk_checks:
        await _grant(session, application, voucher, programme, decision, application.amount_fen, DecidedBy.RULES, now)
    return application


async def _apply_in_the_next_year(
    session: WriteSession, case: Case, voucher: Voucher, programme: Programme, now: datetime
) -> VoucherApplication:
    """Take the earmark again in the year of the signing, from that year's budgets, or refuse it."""
    buyer = voucher.buyer_org_id
    year = contract_year(programme, case.contract.signed_at)
    version = (await vouchers.versions_open(session, [(programme.id, year)])).get((programme.id, year))
    if version is None:
        decision = await decide_case(
            session, case, programme, voucher.tier, Left(0, 0), applied_at=now, voucher_id=voucher.id
        )
        application = await _submit(session, case, voucher, decision, now)
        await reject(session, case, application, voucher, DecidedBy.RULES, PROGRAMME_NOT_OPEN.code, None, now)
        return application
    programme = await load_programme(session, programme.id, version)
    found = (await vouchers.lock_budgets(session, {(programme.id, year): [buyer]}))[programme.id, year]
    known = {tier.id for tier in programme.tiers}
    tier = voucher.tier if voucher.tier in known else None
    left = left_of(found, buyer)
    decision = await decide_case(session, case, programme, tier, left, applied_at=now, voucher_id=voucher.id)
    refused = _refused(decision)
    if refused is not None:
        application = await _submit(session, case, voucher, decision, now)
        await reject(session, case, application, voucher, DecidedBy.RULES, refused, None, now)
        return application
    await life.release(session, voucher, VoucherState.VOIDED)
    amount = min(decision.amount_fen, voucher.amount_fen)
    earmark = Earmark(case.reservation.id, buyer, programme.id, version, decision.best.tier, year, amount)
    [again] = await vouchers.take_earmarks(session, [earmark], now=now)
    [fresh] = await vouchers_repository.lock_vouchers(session, ids=[again])
    application = await _submit(session, case, fresh, decision, now)
    if not decision.desk_checks:
        await _grant(session, application, fresh, programme, decision, amount, DecidedBy.RULES, now)
    return application


def _refused(decision: Decision) -> str | None:
    """Return why the rules refuse, as a code on record; None where they grant something."""
    if decision.best.unmet:
        return RULE_REFUSES.code
    return None if decision.amount_fen else FUNDS_EXHAUSTED.code


async def _submit(
    session: WriteSession, case: Case, voucher: Voucher, decision: Decision, now: datetime
) -> VoucherApplication:
    return await repository.insert_application(
        session,
        {
            "id": new_id(),
            "contract_id": case.contract.id,
            "programme_id": voucher.programme_id,
            "voucher_id": voucher.id,
            "buyer_org_id": voucher.buyer_org_id,
            "supplier_org_id": case.contract.supplier_org_id,
            "state": ApplicationState.SUBMITTED.value,
            **_told(decision, voucher),
            "signals": await signal_application(session, case.contract, voucher),
            "version": 1,
            "created_at": now,
        },
    )


def _told(decision: Decision, voucher: Voucher) -> dict[str, Any]:
    """Return what the rules found, as it is kept: clauses, arithmetic, what the desk must check, and the amount."""
    return {
        "clauses": [asdict(finding) for finding in decision.best.findings],
        "arithmetic": [asdict(step) for step in decision.best.steps],
        "desk_checks": [{"en": check.en, "zh": check.zh} for check in decision.desk_checks],
        "amount_fen": min(decision.amount_fen, voucher.amount_fen),
    }


async def decide_again(
    session: WriteSession, case: Case, application: VoucherApplication, voucher: Voucher
) -> tuple[Programme, Decision]:
    """Return what the rules say of a submitted application now: facts may have been verified since (as the system).

    Raises:
        Problem: `clause_unmet`, `funds_exhausted`; what the rules refuse, the desk can't grant.
    """
    programme = await load_programme(session, voucher.programme_id, voucher.programme_version)
    left = await left_with(session, voucher)
    decision = await decide_case(
        session, case, programme, voucher.tier, left, applied_at=application.created_at, voucher_id=voucher.id
    )
    if decision.best.unmet:
        raise RULE_REFUSES.problem(clauses=", ".join(decision.best.unmet))
    if not decision.amount_fen:
        raise FUNDS_EXHAUSTED.problem()
    for name, value in _told(decision, voucher).items():
        setattr(application, name, value)
    return programme, decision


async def grant(
    session: WriteSession,
    case: Case,
    application: VoucherApplication,
    voucher: Voucher,
    rules: tuple[Programme, Decision],
    amount_fen: int,
    now: datetime,
) -> None:
    """Approve a submitted application by the desk and issue its voucher."""
    await _grant(session, application, voucher, *rules, amount_fen, DecidedBy.DESK, now)
    await refresh_subsidy(session, case.reservation, now)


async def _grant(
    session: WriteSession,
    application: VoucherApplication,
    voucher: Voucher,
    programme: Programme,
    decision: Decision,
    amount_fen: int,
    by: DecidedBy,
    now: datetime,
) -> None:
    application.state, application.decided_by = ApplicationState.APPROVED.value, by.value
    application.amount_fen, application.decided_at = amount_fen, now
    application.version += 1
    await session.flush()
    issue = Issue(voucher, amount_fen, decision.best.rate_ppm, voucher_ends_at(programme, now))
    await life.issue(session, [issue], now)


async def reject(
    session: WriteSession,
    case: Case,
    application: VoucherApplication,
    voucher: Voucher,
    by: DecidedBy,
    reason: str,
    detail: str | None,
    now: datetime,
) -> None:
    """Reject a submitted application; its buyer may accept the full price within 48 hours, and before the start.

    What runs already goes on for these 48 hours; what is over was used, and its full price is due.
    """
    reservation = case.reservation
    ends_at = now + CHOICE
    if reservation.state == ReservationState.CONFIRMED:
        ends_at = min(ends_at, reservation.starts_at)
    application.state, application.decided_by = ApplicationState.REJECTED.value, by.value
    application.reason_code, application.reason_detail, application.decided_at = reason, detail, now
    application.amount_fen = 0
    application.choice_ends_at = ends_at
    if reservation.state == ReservationState.COMPLETED:
        application.choice_ends_at, application.choice = now, Choice.LAPSED.value
    application.version += 1
    await session.flush()
    await life.release(session, voucher, VoucherState.REJECTED)


async def withdraw(
    session: WriteSession, case: Case, application: VoucherApplication, voucher: Voucher, reason: str, now: datetime
) -> None:
    """Withdraw a submitted application: its voucher is given back and the full price is paid."""
    application.state, application.reason_code = ApplicationState.WITHDRAWN.value, reason
    application.decided_at, application.amount_fen = now, 0
    application.version += 1
    await session.flush()
    await life.release(session, voucher, VoucherState.VOIDED)
    await refresh_subsidy(session, case.reservation, now)


def close_choices(applications: Sequence[VoucherApplication], choice: Choice) -> None:
    """Set what came of the choices of rejected applications, locked before."""
    for application in applications:
        application.choice = choice.value
        application.version += 1
