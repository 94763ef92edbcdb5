"""Reserve funds: money advanced to suppliers, which their claims make up for when they are paid."""

from datetime import datetime

from app.accounts.callers import Caller
from app.claims import repository
from app.claims.errors import ADVANCE_ABOVE_CAP, NO_RESERVE_FUND, NOT_A_SUPPLIER, NOT_OPENED
from app.claims.models import Advance
from app.claims.schemas import AdvanceIn
from app.kit.db import WriteSession, acting_as_system
from app.kit.ids import new_id
from app.ledger import service as ledger
from app.ledger.models import Guard, TransferKind
from app.ledger.repository import NewAccount, NewTransfer
from app.vouchers import budgets as caps
from app.vouchers import service as programmes


async def advance(
    session: WriteSession, caller: Caller, programme_id: str, body: AdvanceIn, now: datetime
) -> tuple[Advance, int, int | None]:
    """Advance money of a programme's reserve fund to a supplier (the desk).

    Returns:
        The advance, what the supplier has in advance with it, and most that it may have (None: no limit), in fen.

    Raises:
        Problem: `not_found`, `no_reserve_fund`, `programme_never_opened`, `not_a_supplier`, `advance_above_cap`.
    """
    version, _ = await programmes.get_programme(session, programme_id)
    programme = caps.programme_of(version.toml, version.sha256)
    if not programme.reserve_fund or programme.claim.by != "supplier":
        raise NO_RESERVE_FUND.problem(programme=programme_id)
    supplier = body.supplier_org_id
    async with acting_as_system(session, caller.scope):
        if not await repository.is_supplier(session, supplier):
            raise NOT_A_SUPPLIER.field("/supplier_org_id")
        treasury, name = caps.treasury_name(programme_id), caps.advance_name(programme_id, supplier)
        await ledger.open_accounts(session, [NewAccount(name, caps.ADVANCE, Guard.DEBITS_LE_CREDITS, supplier)])
        accounts = await ledger.accounts_by_name(session, [treasury, name])
        if treasury not in accounts:
            raise NOT_OPENED.problem(programme=programme_id)
        await ledger.lock_accounts(session, [account.id for account in accounts.values()])
        outstanding = (await ledger.accounts_by_name(session, [name]))[name].left_fen
        cap = caps.cny_fen(programme.reserve_fund_supplier_cny)
        if cap is not None and outstanding + body.amount_fen > cap:
            raise ADVANCE_ABOVE_CAP.problem(cap_fen=cap, outstanding_fen=outstanding)
        transfer = NewTransfer(new_id(), accounts[treasury].id, accounts[name].id, body.amount_fen, TransferKind.SINGLE)
        await ledger.post_transfers(session, [transfer])
        row = await repository.insert_advance(
            session,
            {
                "id": new_id(),
                "programme_id": programme_id,
                "programme_version": version.version,
                "supplier_org_id": supplier,
                "amount_fen": body.amount_fen,
                "reference": body.reference,
                "transfer_id": transfer.id,
                "created_at": now,
            },
        )
    return row, outstanding + body.amount_fen, cap
