"""A voucher after its earmark: issued, rejected, returned, revoked. Each step is one posting with its change of state.

Everything runs as the system, in the caller's transaction, with the vouchers' reservations locked before. Vouchers are
locked by id; accounts come last. Whoever redeems locks the voucher too, so what is left of it stays until the end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.kit.db import ReadSession, WriteSession
from app.kit.ids import new_id
from app.ledger import service as ledger
from app.ledger.models import Guard, Transfer, TransferKind
from app.ledger.repository import NewAccount, NewTransfer, open_pending
from app.vouchers import budgets as caps
from app.vouchers import repository
from app.vouchers.models import Voucher, VoucherState
from app.vouchers.service import release_earmarks

RESERVATION_CANCELLED: Final = "reservation_cancelled"
TIME_OVER: Final = "time_over"


@dataclass(frozen=True, slots=True)
class Issue:
    """What is issued of an earmark: at most its amount, at the rate that each redemption is of."""

    voucher: Voucher
    amount_fen: int
    rate_ppm: int
    expires_at: datetime | None


async def issue(session: WriteSession, issues: Sequence[Issue], now: datetime) -> None:
    """Post what is issued on every leg of the earmarks; the rest of each goes back to its budgets.

    Raises:
        ValueError: for more than is earmarked, or for nothing.
    """
    amounts = {each.voucher.id: each.amount_fen for each in issues}
    for each in issues:
        if not 0 < each.amount_fen <= each.voucher.amount_fen:
            raise ValueError(f"{each.amount_fen} fen can't be issued of {each.voucher.amount_fen}")
        each.voucher.issued_fen, each.voucher.rate_ppm = each.amount_fen, each.rate_ppm
        each.voucher.issued_at, each.voucher.expires_at = now, each.expires_at
        _turn(each.voucher, VoucherState.ISSUED)
    await session.flush()
    posts = [
        NewTransfer(
            id=new_id(),
            debit_id=leg.debit_id,
            credit_id=leg.credit_id,
            amount_fen=amounts[leg.subject],
            kind=TransferKind.POST,
            pending_id=leg.id,
            subject=leg.subject,
        )
        for leg in await open_pending(session, list(amounts))
        if leg.subject is not None
    ]
    await ledger.post_transfers(session, posts)


async def release(session: WriteSession, voucher: Voucher, state: VoucherState) -> None:
    """Give the whole earmark back to its budgets: `rejected` by a decision, else `voided`."""
    _turn(voucher, state)
    await session.flush()
    await ledger.release_pending(session, [voucher.id], TransferKind.VOID)


async def end_for(
    session: WriteSession, reservation_ids: Collection[UUID], kind: TransferKind = TransferKind.VOID
) -> None:
    """Give back what reservations that ended before they ran have: earmarks, and what is left of issued vouchers.

    What a claim holds of what they redeemed ahead of delivery its claimant owes, as after a revocation.
    """
    if not reservation_ids:
        return
    await release_earmarks(session, reservation_ids, kind)
    issued = [
        voucher
        for voucher in await repository.lock_vouchers(session, subjects=reservation_ids)
        if voucher.state in (VoucherState.ISSUED, VoucherState.EXHAUSTED)
    ]
    await return_unspent(session, issued, VoucherState.REVOKED, RESERVATION_CANCELLED)
    for voucher in issued:
        await _claw_back(session, voucher)


async def return_unspent(
    session: WriteSession, vouchers: Sequence[Voucher], state: VoucherState, reason: str, detail: str | None = None
) -> None:
    """End issued vouchers, locked before; what is left of each goes back by new transfers.

    Args:
        session: the caller's transaction, as the system.
        vouchers: locked, `issued` or `exhausted`.
        state: `expired` or `revoked`.
        reason: a stable code.
        detail: the desk's own words.
    """
    if not vouchers:
        return
    left = await repository.left_fen(session, [voucher.id for voucher in vouchers])
    for voucher in vouchers:
        voucher.reason_code, voucher.reason_detail = reason, detail
        _turn(voucher, state)
    await session.flush()
    await _give_back(session, left)


async def give_back_ended(session: WriteSession, vouchers: Sequence[Voucher]) -> None:
    """Return what came onto vouchers after they ended, as a redemption that was given back, to their budgets.

    What the revocation claimed back for it before settles that debt instead: the budgets have it already.
    """
    left = await repository.left_fen(session, [voucher.id for voucher in vouchers])
    settled: list[NewTransfer] = []
    for voucher in vouchers:
        for debtor, owed in (await repository.clawed_back(session, voucher)).items():
            fen = min(owed, left[voucher.id])
            if fen > 0:
                left[voucher.id] -= fen
                settled.append(
                    NewTransfer(new_id(), voucher.account_id, debtor, fen, TransferKind.SINGLE, subject=voucher.id)
                )
    await ledger.post_transfers(session, settled)
    await _give_back(session, left)


async def _give_back(session: WriteSession, left: Mapping[UUID, int]) -> None:
    await ledger.post_transfers(session, _backwards(await repository.issued_legs(session, left), left))


def _backwards(legs: Sequence[Transfer], amounts: Mapping[UUID, int]) -> list[NewTransfer]:
    """Return the transfers that undo so much of each voucher's legs."""
    return [
        NewTransfer(
            new_id(), leg.credit_id, leg.debit_id, amounts[leg.subject], TransferKind.SINGLE, subject=leg.subject
        )
        for leg in legs
        if leg.subject is not None and amounts[leg.subject]
    ]


async def revoke(session: WriteSession, voucher: Voucher, reason: str, detail: str) -> dict[UUID, int]:
    """Revoke a voucher, locked before: what is left goes back, what was redeemed is claimed back.

    Each claimant that was, or will be, paid what the voucher redeemed owes it on its `clawback` account; pool and
    quotas have it back at once. What nobody has claimed yet is given back onto the voucher before this.

    Returns:
        What each claimant owes, in fen, by organisation.
    """
    if voucher.state == VoucherState.EXPIRED:
        voucher.reason_code, voucher.reason_detail = reason, detail
        _turn(voucher, VoucherState.REVOKED)
        await session.flush()
    else:
        await return_unspent(session, [voucher], VoucherState.REVOKED, reason, detail)
    return await _claw_back(session, voucher)


async def _claw_back(session: WriteSession, voucher: Voucher) -> dict[UUID, int]:
    """Let each claimant owe what a voucher that has ended redeemed for it; return what, in fen, by organisation."""
    redeemed = await repository.redeemed_by(session, voucher.id)
    owed = {org_id: fen for org_id, fen in redeemed.items() if fen}
    if not owed:
        return owed
    names = {org_id: caps.clawback_name(voucher.programme_id, org_id) for org_id in owed}
    await ledger.open_accounts(
        session, [NewAccount(name, caps.CLAWBACK, Guard.NONE, org_id) for org_id, name in names.items()]
    )
    accounts = await ledger.accounts_by_name(session, names.values())
    legs = await repository.issued_legs(session, [voucher.id])
    pools = [leg.debit_id for leg in legs if leg.credit_id == voucher.account_id]
    back = [
        NewTransfer(new_id(), accounts[names[org_id]].id, pool, fen, TransferKind.SINGLE, subject=voucher.id)
        for org_id, fen in owed.items()
        for pool in pools
    ]
    quotas = [leg for leg in legs if leg.credit_id != voucher.account_id]
    await ledger.post_transfers(session, back + _backwards(quotas, {voucher.id: sum(owed.values())}))
    return owed


async def set_exhausted(session: WriteSession, vouchers: Sequence[Voucher]) -> None:
    """Set issued and exhausted vouchers, locked before, by whether anything is left of them."""
    left = await repository.left_fen(session, [voucher.id for voucher in vouchers])
    for voucher in vouchers:
        wanted = VoucherState.ISSUED if left[voucher.id] else VoucherState.EXHAUSTED
        if voucher.state in (VoucherState.ISSUED, VoucherState.EXHAUSTED) and voucher.state != wanted:
            _turn(voucher, wanted)
    await session.flush()


async def redeemed_fen(session: ReadSession, voucher_ids: Collection[UUID]) -> dict[UUID, int]:
    """Return what was redeemed of vouchers, what was given back taken off, in fen; every id is in the answer."""
    return await repository.redeemed_fen(session, voucher_ids)


async def covered_fen(session: ReadSession, reservation_id: UUID) -> int:
    """Return what vouchers take off a reservation's cost, in fen: set aside, issued, or redeemed before their end."""
    vouchers = await repository.vouchers_of(session, [reservation_id])
    ended = [each.id for each in vouchers if each.state in (VoucherState.EXPIRED, VoucherState.REVOKED)]
    redeemed = await redeemed_fen(session, ended) if ended else {}
    covered = sum(redeemed.values())
    for voucher in vouchers:
        if voucher.state == VoucherState.EARMARKED:
            covered += voucher.amount_fen
        elif voucher.state in (VoucherState.ISSUED, VoucherState.EXHAUSTED):
            covered += voucher.issued_fen or 0
    return covered


def _turn(voucher: Voucher, state: VoucherState) -> None:
    voucher.state = state.value
    voucher.version += 1
