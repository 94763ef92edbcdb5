"""The desk's part: lines approved or rejected, payment recorded, what was advanced or clawed back taken off.

Locks: reservations of rejected lines → the claim → its redemptions → accounts. What a rejected line held goes back to
what can be claimed; its contract is settled again by the sweep, since a correction or revocation may want it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.accounts.callers import Caller
from app.claims import repository
from app.claims.errors import ALL_REJECTED, CLAIM_PAYMENT_DIFFERS, CLAIM_STATE, LINE_TWICE, UNKNOWN_LINE
from app.claims.models import Claim, ClaimLine, ClaimState, LineState
from app.claims.schemas import ApproveClaimIn, ClaimReason, PayClaimIn, RejectClaimIn
from app.claims.service import get_claim
from app.contracts.repository import lock_reservations
from app.kit.db import SYSTEM, ReadSession, WriteSession, acting_as_system, set_scope
from app.kit.ids import new_id
from app.ledger import service as ledger
from app.ledger.models import Account, TransferKind
from app.ledger.repository import NewTransfer
from app.reservations.service import CheckVersion
from app.settlements.errors import PAID_LATER
from app.vouchers import budgets as caps


@dataclass(frozen=True, slots=True)
class Payable:
    """How an approved claim is paid, in fen: what makes up for advances and revoked vouchers, and the rest in cash."""

    netted_fen: int
    recovered_fen: int
    cash_fen: int


@dataclass(frozen=True, slots=True)
class _Accounts:
    """The accounts of a claim's payment; the last three only where something was advanced or clawed back."""

    claimable: Account
    paid: Account
    treasury: Account | None
    advance: Account | None
    clawback: Account | None


async def approve(
    session: WriteSession,
    caller: Caller,
    claim_id: UUID,
    body: ApproveClaimIn,
    check_version: CheckVersion,
    now: datetime,
) -> Claim:
    """Approve a submitted claim but for the lines named, which are rejected with their reasons (the desk).

    Raises:
        Problem: `not_found`, `claim_state`, `unknown_line`, `line_twice`, `all_lines_rejected`, what `check_version`
            refuses.
    """
    seen = await get_claim(session, caller, claim_id)
    reasons: dict[UUID, tuple[ClaimReason, str]] = {}
    for position, each in enumerate(body.rejected):
        if each.line_id not in {line.id for line in seen.lines}:
            raise UNKNOWN_LINE.field(f"/rejected/{position}/line_id")
        if each.line_id in reasons:
            raise LINE_TWICE.field(f"/rejected/{position}/line_id")
        reasons[each.line_id] = (each.reason, each.detail)
    if len(reasons) == len(seen.lines):
        raise ALL_REJECTED.field("/rejected")
    return await _decide(session, caller, seen, reasons, check_version, now)


async def reject(
    session: WriteSession,
    caller: Caller,
    claim_id: UUID,
    body: RejectClaimIn,
    check_version: CheckVersion,
    now: datetime,
) -> Claim:
    """Reject a submitted claim with all of its lines (the desk); what they hold can be claimed again.

    Raises:
        Problem: `not_found`, `claim_state`, what `check_version` refuses.
    """
    seen = await get_claim(session, caller, claim_id)
    reasons = {line.id: (body.reason, body.detail) for line in seen.lines}
    return await _decide(session, caller, seen, reasons, check_version, now)


async def _decide(
    session: WriteSession,
    caller: Caller,
    seen: Claim,
    reasons: Mapping[UUID, tuple[ClaimReason, str]],
    check_version: CheckVersion,
    now: datetime,
) -> Claim:
    async with acting_as_system(session, caller.scope):
        refused = [line.settlement_id for line in seen.lines if line.id in reasons]
        if refused:
            await lock_reservations(session, await repository.reservations_of(session, refused))
        approved = any(line.id not in reasons for line in seen.lines)
        state = ClaimState.APPROVED if approved else ClaimState.REJECTED
        claim = await _lock(session, seen.id, check_version, state)
        for line in claim.lines:
            if line.id in reasons:
                reason, line.reason_detail = reasons[line.id]
                line.state, line.reason_code = LineState.REJECTED.value, reason.value
            else:
                line.state = LineState.APPROVED.value
        rejected = [line for line in claim.lines if line.state == LineState.REJECTED]
        claim.state, claim.decided_at = state.value, now
        claim.approved_fen = claim.amount_fen - sum(line.amount_fen for line in rejected)
        claim.version += 1
        await session.flush()
        await _release(session, claim, rejected)
    return await get_claim(session, caller, seen.id)


async def _lock(session: WriteSession, claim_id: UUID, check_version: CheckVersion, state: ClaimState) -> Claim:
    claim = await repository.lock_claim(session, claim_id)
    check_version(claim.version)
    if not ClaimState(claim.state).may_become(state):
        wanted = [each for each in ClaimState if each.may_become(state)]
        raise CLAIM_STATE.problem(state=claim.state, wanted=", ".join(wanted))
    return claim


async def _release(session: WriteSession, claim: Claim, rejected: Sequence[ClaimLine]) -> None:
    """Void what rejected lines set aside and let go of their redemptions."""
    if not rejected:
        return
    redemptions = [line.redemption_id for line in rejected]
    await repository.lock_redemptions(session, redemptions)
    await repository.set_claim(session, redemptions, None)
    accounts = await _accounts(session, claim)
    voids = [_resolve(claim, line, accounts, TransferKind.VOID) for line in rejected]
    await ledger.post_transfers(session, voids)


def _resolve(claim: Claim, line: ClaimLine, accounts: _Accounts, kind: TransferKind) -> NewTransfer:
    return NewTransfer(
        id=new_id(),
        debit_id=accounts.claimable.id,
        credit_id=accounts.paid.id,
        amount_fen=line.amount_fen if kind is TransferKind.POST else 0,
        kind=kind,
        pending_id=line.transfer_id,
        subject=claim.id,
    )


async def _accounts(session: ReadSession, claim: Claim) -> _Accounts:
    programme, claimant = claim.programme_id, claim.claimant_org_id
    year = int(claim.period[:4])
    names = (
        caps.claimable_name(programme, claimant),
        caps.paid_name(programme, year),
        caps.treasury_name(programme),
        caps.advance_name(programme, claimant),
        caps.clawback_name(programme, claimant),
    )
    found = await ledger.accounts_by_name(session, names)
    return _Accounts(found[names[0]], found[names[1]], *(found.get(name) for name in names[2:]))


async def payable(session: ReadSession, claim: Claim) -> Payable:
    """Return how an approved claim would be paid now (as the system).

    First it makes up for vouchers that were revoked after they were paid, then for advances; the rest is cash.
    """
    return await _payable(session, claim, await _accounts(session, claim))


async def _payable(session: ReadSession, claim: Claim, accounts: _Accounts) -> Payable:
    approved = claim.approved_fen or 0
    owed = 0
    if accounts.clawback is not None:
        # What was clawed back and never paid is settled by its own rejection or give-back, not by this payment.
        unpaid = await repository.revoked_unpaid_fen(session, claim.programme_id, claim.claimant_org_id, claim.id)
        owed = max(0, -accounts.clawback.left_fen - unpaid)
    recovered = min(approved, owed)
    netted = min(approved - recovered, 0 if accounts.advance is None else accounts.advance.left_fen)
    return Payable(netted, recovered, approved - recovered - netted)


async def show(session: ReadSession, caller: Caller, claim_id: UUID) -> tuple[Claim, Payable | None]:
    """Return a claim, with what its payment would be now where it is approved.

    Raises:
        Problem: `not_found`, also for another's.
    """
    claim = await get_claim(session, caller, claim_id)
    if claim.state != ClaimState.APPROVED:
        return claim, None
    # The claimant sees its own claim, not the treasury that its payment is read from.
    await set_scope(session, SYSTEM)
    now = await payable(session, claim)
    await set_scope(session, caller.scope)
    return claim, now


async def pay(
    session: WriteSession,
    caller: Caller,
    claim_id: UUID,
    body: PayClaimIn,
    check_version: CheckVersion,
    now: datetime,
) -> Claim:
    """Record that an approved claim was paid, exactly its cash (the desk); the ledger follows in the same transaction.

    Raises:
        Problem: `not_found`, `claim_state`, `claim_payment_differs`, `paid_in_future`, what `check_version` refuses.
    """
    await get_claim(session, caller, claim_id)
    paid_at = body.paid_at or now
    if paid_at > now:
        raise PAID_LATER.field("/paid_at")
    async with acting_as_system(session, caller.scope):
        claim = await _lock(session, claim_id, check_version, ClaimState.PAID)
        accounts = await _lock_accounts(session, claim)
        due = await _payable(session, claim, accounts)
        if body.amount_fen != due.cash_fen:
            raise CLAIM_PAYMENT_DIFFERS.field(
                "/amount_fen",
                cash_fen=due.cash_fen,
                amount_fen=body.amount_fen,
                approved_fen=claim.approved_fen,
                netted_fen=due.netted_fen,
                recovered_fen=due.recovered_fen,
            )
        await ledger.post_transfers(session, _payment(claim, accounts, due))
        claim.netted_fen, claim.recovered_fen, claim.cash_fen = due.netted_fen, due.recovered_fen, due.cash_fen
        claim.state, claim.paid_at, claim.payment_reference = ClaimState.PAID.value, paid_at, body.reference
        claim.version += 1
        await session.flush()
    return await get_claim(session, caller, claim_id)


async def _lock_accounts(session: WriteSession, claim: Claim) -> _Accounts:
    """Return a payment's accounts as they stay until the transaction's end."""
    found = await _accounts(session, claim)
    rows = (found.claimable, found.paid, found.treasury, found.advance, found.clawback)
    await ledger.lock_accounts(session, [row.id for row in rows if row is not None])
    return await _accounts(session, claim)


def _payment(claim: Claim, accounts: _Accounts, due: Payable) -> list[NewTransfer]:
    """Return the transfers of a payment: each approved line posted, advances back to the treasury, debts settled."""
    approved = [line for line in claim.lines if line.state == LineState.APPROVED]
    transfers = [_resolve(claim, line, accounts, TransferKind.POST) for line in approved]
    ways = (
        (accounts.advance, accounts.treasury, due.netted_fen),
        (accounts.paid, accounts.clawback, due.recovered_fen),
    )
    transfers += [
        NewTransfer(new_id(), debit.id, credit.id, fen, TransferKind.SINGLE, subject=claim.id)
        for debit, credit, fen in ways
        if fen and debit is not None and credit is not None
    ]
    return transfers
