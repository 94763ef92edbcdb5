"""Vouchers redeemed and given back, on the ledger: a voucher's account → what its claimant can claim, and the way back.

How much is due is arithmetic (`instalments`); who asks for it is the settlement of a delivery. Everything runs as the
system in the transaction of that settlement, after the contract is locked; vouchers are locked in id order, accounts
last. A voucher of which nothing is left is `exhausted`; what is given back makes it `issued` again, or goes on to the
budgets where its time is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import permutations
from uuid import UUID

from app.kit.db import ReadSession, WriteSession
from app.kit.money import PPM
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.vouchers import budgets as caps
from app.vouchers import life, repository
from app.vouchers.facts import Item
from app.vouchers.models import WERE_ISSUED, Voucher, VoucherKind, VoucherState
from app.vouchers.policy import Programme, Title
from app.vouchers.rules import base_fen, ppm_of

_OPEN = (VoucherState.ISSUED, VoucherState.EXHAUSTED)
_OVER = (VoucherState.EXPIRED, VoucherState.REVOKED)


@dataclass(frozen=True, slots=True)
class IssuedVoucher:
    """A voucher that was issued for a contract, and how its programme redeems it.

    `open` is whether more may be redeemed now; giving back is always possible. `by_supplier` is who claims what is
    redeemed: the supplier, who then bills the buyer so much less, or the buyer, who pays all and claims itself.
    `usage` is whether the base is delivered usage instead of what was billed; `counted_fen` is what the programme
    counts of the contract's items. A `revoked` voucher redeems nothing: what no claim holds comes back.
    """

    id: UUID
    programme_id: str
    rate_ppm: int
    issued_fen: int
    open: bool
    by_supplier: bool
    usage: bool
    counted_fen: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """Voucher money to move: `amount_fen` to the claimant's claimable, or from there where `back`."""

    transfer_id: UUID
    voucher_id: UUID
    claimant_org_id: UUID
    amount_fen: int
    back: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """A contract's vouchers in the order they are redeemed, and most that they take of the base together."""

    vouchers: tuple[IssuedVoucher, ...]
    ceiling_ppm: int


async def lock_issued(
    session: WriteSession, reservation_id: UUID, items: Sequence[Item], *, domestic: bool | None, now: datetime
) -> Issued:
    """Return the vouchers that were issued for a reservation's contract, locked, by programme, a bonus last.

    Args:
        session: a transaction as the system, with the contract locked.
        reservation_id: whose contract it is.
        items: the contract's.
        domestic: whether its chips are; what may be stacked can depend on it.
        now: the present.
    """
    rows = await repository.lock_vouchers(session, subjects=[reservation_id])
    issued = [row for row in rows if row.state in WERE_ISSUED]
    issued.sort(key=lambda row: (row.programme_id, row.kind == VoucherKind.BONUS, row.id))
    programmes = [await _programme(session, row) for row in issued]
    found = [_issued(row, programme, items, now) for row, programme in zip(issued, programmes, strict=True)]
    return Issued(tuple(found), _ceiling_ppm(programmes, domestic=domestic))


def _issued(row: Voucher, programme: Programme, items: Sequence[Item], now: datetime) -> IssuedVoucher:
    assert row.rate_ppm is not None and row.issued_fen is not None  # noqa: S101, PT018  a CHECK keeps them together
    return IssuedVoucher(
        id=row.id,
        programme_id=row.programme_id,
        rate_ppm=row.rate_ppm,
        issued_fen=row.issued_fen,
        open=row.state in _OPEN and (row.expires_at is None or now < row.expires_at),
        by_supplier=programme.claim.by == "supplier",
        usage=programme.base == "settled_usage",
        counted_fen=base_fen(programme, items),
        revoked=row.state == VoucherState.REVOKED,
    )


def _ceiling_ppm(programmes: Sequence[Programme], *, domestic: bool | None) -> int:
    """Return most that programmes take of a base together: the lowest of the ceilings that they name for each other."""
    lowest = PPM
    for one, other in permutations({programme.id: programme for programme in programmes}.values(), 2):
        named = [
            ppm_of(stack.ceiling)
            for stack in one.all_stacks
            if stack.ceiling is not None
            and (stack.with_programme == other.id or (stack.with_programme is None and stack.with_level == other.level))
            and stack.domestic in (None, domestic)
        ]
        # Of two rules for the same pair, the amounts that were issued tell which was applied: the wider one holds here.
        lowest = min(lowest, max(named, default=PPM))
    return lowest


async def move(session: WriteSession, movements: Sequence[Movement]) -> None:
    """Post movements of vouchers that `lock_issued` returned, all or none, and give the vouchers their states.

    What comes back to a voucher whose time is over goes on to its budgets.

    Raises:
        Problem: `funds_exhausted` at the edge, where more would be redeemed than a voucher has, or given back than is
            claimable.
    """
    if not movements:
        return
    rows = {row.id: row for row in await repository.lock_vouchers(session, ids={each.voucher_id for each in movements})}
    claimable = {
        each: caps.claimable_name(rows[each.voucher_id].programme_id, each.claimant_org_id) for each in movements
    }
    await ledger.open_accounts(
        session,
        [
            NewAccount(name, caps.CLAIMABLE, Guard.DEBITS_LE_CREDITS, each.claimant_org_id)
            for each, name in {name: (each, name) for each, name in claimable.items()}.values()
        ],
    )
    accounts = await ledger.accounts_by_name(session, set(claimable.values()))
    transfers = [
        NewTransfer(
            id=each.transfer_id,
            debit_id=accounts[claimable[each]].id if each.back else rows[each.voucher_id].account_id,
            credit_id=rows[each.voucher_id].account_id if each.back else accounts[claimable[each]].id,
            amount_fen=each.amount_fen,
            kind=TransferKind.SINGLE,
            subject=each.voucher_id,
        )
        for each in movements
    ]
    await ledger.post_transfers(session, transfers)
    await life.set_exhausted(session, list(rows.values()))
    await life.give_back_ended(session, [row for row in rows.values() if row.state in _OVER])


async def programme_title(session: ReadSession, voucher_id: UUID) -> Title:
    """Return the name of a voucher's programme, as the version that it was issued under has it."""
    [row] = await repository.get_vouchers(session, [voucher_id])
    return (await _programme(session, row)).title


async def _programme(session: ReadSession, row: Voucher) -> Programme:
    version = await repository.get_version(session, row.programme_id, row.programme_version)
    assert version is not None  # noqa: S101  a foreign key of the voucher's year
    return caps.programme_of(version.toml, version.sha256)
