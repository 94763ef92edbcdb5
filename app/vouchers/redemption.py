"""Vouchers redeemed and given back, on the ledger: a voucher's account → what its claimant can claim, and the way back.

How much is due is arithmetic (`instalments`); who asks for it is the settlement of a delivery. Everything runs as the
system in the transaction of that settlement, after the contract is locked; vouchers are locked in id order, accounts
last. A voucher of which nothing is left is `exhausted`; what is given back makes it `issued` again, or goes on to the
budgets where its time is over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.kit.db import ReadSession, WriteSession
from app.kit.ids import encode_id
from app.kit.money import PPM
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.vouchers import budgets as caps
from app.vouchers import repository
from app.vouchers.models import Voucher, VoucherState
from app.vouchers.programmes import Programme
from app.vouchers.rules import ppm_of

CLAIMABLE = "claimable"
_OPEN = (VoucherState.ISSUED, VoucherState.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class IssuedVoucher:
    """A voucher that was issued for a contract, and how its programme redeems it.

    `open` is whether more may be redeemed now; giving back is always possible. `by_supplier` is who claims what is
    redeemed: the supplier, who then bills the buyer so much less, or the buyer, who pays all and claims itself.
    `usage` is whether the base is delivered usage instead of what was billed; `ceiling_ppm` is most that a contract's
    vouchers take of the base together.
    """

    id: UUID
    programme_id: str
    rate_ppm: int
    issued_fen: int
    open: bool
    by_supplier: bool
    usage: bool
    ceiling_ppm: int


@dataclass(frozen=True, slots=True)
class Movement:
    """Voucher money to move: `amount_fen` to the claimant's claimable, or from there where `back`."""

    transfer_id: UUID
    voucher_id: UUID
    claimant_org_id: UUID
    amount_fen: int
    back: bool


def claimable_name(programme: str, org_id: UUID) -> str:
    """Where what was redeemed waits for its claimant's claim."""
    return f"{programme}/claimable/{encode_id('org', org_id)}"


async def lock_issued(session: WriteSession, reservation_id: UUID, now: datetime) -> list[IssuedVoucher]:
    """Return the vouchers that were issued for a reservation's contract, locked, in the order they are redeemed.

    The order is by programme, a contract's own voucher before a bonus.
    """
    rows = await repository.lock_issued(session, reservation_id)
    found: list[IssuedVoucher] = []
    for row in sorted(rows, key=lambda each: (each.programme_id, each.kind != "contract", each.id)):
        programme = await _programme(session, row)
        assert row.rate_ppm is not None  # noqa: S101  the database keeps both where a voucher was issued
        assert row.issued_fen is not None and row.expires_at is not None  # noqa: S101, PT018
        found.append(
            IssuedVoucher(
                id=row.id,
                programme_id=row.programme_id,
                rate_ppm=row.rate_ppm,
                issued_fen=row.issued_fen,
                open=row.state in _OPEN and now < row.expires_at,
                by_supplier=programme.claim.by == "supplier",
                usage=programme.base == "settled_usage",
                ceiling_ppm=PPM if programme.stacking_ceiling is None else ppm_of(programme.stacking_ceiling),
            )
        )
    return found


async def move(session: WriteSession, movements: Sequence[Movement]) -> None:
    """Post movements of vouchers that `lock_issued` returned, all or none, and give the vouchers their states.

    Raises:
        Problem: `funds_exhausted` at the edge, where more would be redeemed than a voucher has, or given back than is
            claimable.
    """
    if not movements:
        return
    rows = {row.id: row for row in await repository.get_vouchers(session, {each.voucher_id for each in movements})}
    claimable = {
        each: claimable_name(rows[each.voucher_id].programme_id, each.claimant_org_id) for each in movements
    }
    await ledger.open_accounts(
        session,
        [
            NewAccount(name, CLAIMABLE, Guard.DEBITS_LE_CREDITS, each.claimant_org_id)
            for each, name in claimable.items()
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
    await _turn(session, rows.values())


async def _turn(session: WriteSession, rows: Collection[Voucher]) -> None:
    """Give vouchers the states that their balances mean."""
    names = {caps.voucher_account_name(row.id): row for row in rows}
    accounts = await ledger.accounts_by_name(session, names)
    left = {row.id: accounts[name].left_fen for name, row in names.items()}
    used = [row.id for row in rows if row.state == VoucherState.ISSUED and left[row.id] == 0]
    again = [row.id for row in rows if row.state == VoucherState.EXHAUSTED and left[row.id] > 0]
    await repository.turn_vouchers(session, used, VoucherState.EXHAUSTED)
    await repository.turn_vouchers(session, again, VoucherState.ISSUED)


async def _programme(session: ReadSession, row: Voucher) -> Programme:
    version = await repository.get_version(session, row.programme_id, row.programme_version)
    assert version is not None  # noqa: S101  a foreign key of the voucher's year
    return caps.programme_of(version.toml, version.sha256)
