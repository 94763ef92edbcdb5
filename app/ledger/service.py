"""The ledger: open accounts, post transfers, resolve pending ones. It knows nothing of what the money is for.

Everything that posts runs as the system (`acting_as_system`): nobody writes the books but the service. Accounts come
last in the order of locks; post all of a transaction's transfers at once, or lock the accounts before.
"""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from app.kit.db import ReadSession, WriteSession
from app.kit.ids import new_id
from app.ledger import repository
from app.ledger.errors import (
    ALREADY_RESOLVED,
    FUNDS_EXHAUSTED,
    OVERCREDITED,
    RESOLUTION_MISMATCH,
    TRANSFER_EXISTS,
)
from app.ledger.models import RELEASES, Account, TransferKind
from app.ledger.repository import NewAccount, NewTransfer

# What the database may refuse of a posting, told at the transaction's edge.
POSTING_REFUSALS: Final = (
    FUNDS_EXHAUSTED,
    OVERCREDITED,
    ALREADY_RESOLVED,
    RESOLUTION_MISMATCH,
    TRANSFER_EXISTS,
)


async def open_accounts(session: WriteSession, accounts: Collection[NewAccount]) -> frozenset[str]:
    """Open accounts; one whose name exists is left as it is.

    Returns:
        The names of those opened by this call. Of two who open one at once, one alone is told so.
    """
    return await repository.open_accounts(session, accounts)


async def accounts_by_name(session: ReadSession, names: Collection[str]) -> dict[str, Account]:
    """Return those accounts that exist, by name, with their balances of now."""
    return await repository.find_accounts(session, names)


async def lock_accounts(session: WriteSession, ids: Collection[UUID]) -> None:
    """Keep balances as they are until the transaction's end, to read them before posting on them."""
    await repository.lock_accounts(session, ids)


async def post_transfers(session: WriteSession, transfers: Sequence[NewTransfer]) -> None:
    """Post transfers, all or none; guards are checked once for all of them together.

    Raises:
        Problem: one of `POSTING_REFUSALS`, at the edge.
    """
    await repository.insert_transfers(session, transfers)


async def release_pending(session: WriteSession, subjects: Collection[UUID], kind: TransferKind) -> int:
    """Void or expire every open pending transfer of these subjects; return how many there were.

    Raises:
        ValueError: if `kind` is neither.
    """
    if kind not in RELEASES:
        raise ValueError(f"{kind} does not release a pending transfer")
    releases = [
        NewTransfer(
            id=new_id(),
            debit_id=pending.debit_id,
            credit_id=pending.credit_id,
            amount_fen=0,
            kind=kind,
            pending_id=pending.id,
            subject=pending.subject,
        )
        for pending in await repository.open_pending(session, subjects)
    ]
    await repository.insert_transfers(session, releases)
    return len(releases)
