"""The ledger: open accounts, post transfers, resolve pending ones. It knows nothing of what the money is for.

Everything that posts runs as the system (`acting_as_system`): nobody writes the books but the service. Accounts come
last in the order of locks; post all of a transaction's transfers at once, or lock the accounts before.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.accounts.callers import Caller
from app.kit.db import ReadSession, WriteSession
from app.kit.errors import NOT_FOUND
from app.kit.ids import new_id
from app.ledger import repository
from app.ledger.errors import (
    ALREADY_RESOLVED,
    CORRECTED_WITH_ITS_SUBJECT,
    EXPORT_TOO_LARGE,
    FUNDS_EXHAUSTED,
    NOT_POSTED,
    OVERCREDITED,
    RESOLUTION_MISMATCH,
    TRANSFER_EXISTS,
)
from app.ledger.models import RELEASES, Account, Correction, Line, Transfer, TransferKind
from app.ledger.repository import Books, NewAccount, NewTransfer

MOST_LINES: Final = 100_000
_POSTED: Final = (TransferKind.SINGLE.value, TransferKind.POST.value)

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


async def correct_transfer(
    session: WriteSession, transfer_id: UUID, amount_fen: int, reason: str, *, by_org_id: UUID, now: datetime
) -> tuple[Transfer, Correction]:
    """Take back what a transfer posted, in whole or in part, by a new one the other way (as the desk or the system).

    Args:
        session: the transaction.
        transfer_id: one that was posted (`single` or `post`), is no correction, and has no subject.
        amount_fen: positive.
        reason: in words, of 1 to 500 characters.
        by_org_id: whose desk corrects.
        now: the present.

    Returns:
        The new transfer, and what tells why it was made.

    Raises:
        Problem: `not_found`, `transfer_not_posted`, `transfer_of_a_subject`; at the edge `corrected_beyond_zero`, and
            `funds_exhausted` where the account that would give back has not that much left.
    """
    wrong = await repository.get_transfer(session, transfer_id)
    if wrong is None:
        raise NOT_FOUND.problem(what="transfer")
    if wrong.kind not in _POSTED or await repository.is_correction(session, transfer_id):
        raise NOT_POSTED.problem()
    if wrong.subject is not None:
        raise CORRECTED_WITH_ITS_SUBJECT.problem()
    back = NewTransfer(new_id(), wrong.credit_id, wrong.debit_id, amount_fen, TransferKind.SINGLE)
    await post_transfers(session, [back])
    correction = Correction(
        transfer_id=back.id, corrects_id=transfer_id, reason=reason, by_org_id=by_org_id, created_at=now
    )
    await repository.insert_correction(session, correction)
    posted = await repository.get_transfer(session, back.id)
    if posted is None:
        raise RuntimeError(f"transfer {back.id} was posted and is not found")
    return posted, correction


async def statement_lines(session: ReadSession, caller: Caller, wanted: Books) -> list[Line]:
    """Return the lines of all accounts wanted that the caller sees, by account's name and order of record.

    Raises:
        Problem: `not_found` for an account that the caller does not see; `ledger_export_too_large`.
    """
    if wanted.account_id is not None:
        await account_of(session, caller, wanted.account_id)
    lines = await repository.find_lines(session, caller, wanted, MOST_LINES + 1)
    if len(lines) > MOST_LINES:
        count = await repository.count_lines(session, caller, wanted)
        raise EXPORT_TOO_LARGE.problem(lines=count, most=MOST_LINES)
    return lines


async def account_of(session: ReadSession, caller: Caller, account_id: UUID) -> Account:
    """Return an account that the caller sees.

    Raises:
        Problem: `not_found`.
    """
    account = await repository.get_account(session, caller, account_id)
    if account is None:
        raise NOT_FOUND.problem(what="account")
    return account
