"""Endpoints of the ledger: accounts, transfers, statements, trial balance, export; and the desk's corrections.

Nothing else is posted through the API directly.
"""

import asyncio
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from app.accounts.dependencies import Anyone, Context, Desk, KeyedWriting, Reading
from app.accounts.errors import NOT_APPROVED
from app.accounts.schemas import OrgId
from app.kit.db import WriteSession
from app.kit.errors import (
    FORBIDDEN,
    IDEMPOTENCY_IN_FLIGHT,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_REQUIRED,
    NOT_FOUND,
    UNAUTHENTICATED,
)
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import problems
from app.kit.writes import Answer
from app.ledger import repository, service
from app.ledger.errors import (
    CORRECTED_BEYOND,
    CORRECTED_WITH_ITS_SUBJECT,
    EXPORT_TOO_LARGE,
    FUNDS_EXHAUSTED,
    NOT_POSTED,
    OVERCREDITED,
)
from app.ledger.models import TransferKind
from app.ledger.repository import AccountFilter, Books, TransferFilter
from app.ledger.schemas import (
    AccountId,
    AccountOut,
    CorrectionIn,
    CorrectionOut,
    KindSums,
    LineOut,
    Sums,
    TransferOut,
    TrialBalanceOut,
    correction_out,
    line_out,
)
from app.ledger.writing import write_csv, write_jsonl

router = APIRouter(tags=["ledger"])

_TYPES: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/jsonl": {"schema": {"type": "string"}}},
        "description": "the lines",
    }
}
ProgrammeQuery = Annotated[
    str | None,
    Query(
        max_length=60,
        description="only accounts of this programme and those that these post with",
        examples=["open-example"],
    ),
]
OwnerQuery = Annotated[OrgId | None, Query(description="only accounts of this organisation")]


@router.get(
    "/ledger/accounts",
    summary="List the ledger's accounts",
    description="In the order they were opened: one's own; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_accounts(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    kind: Annotated[str | None, Query(max_length=40, description="only of this kind", examples=["pool"])] = None,
    name: Annotated[str | None, Query(max_length=300, description="only the one of this name")] = None,
) -> Page[AccountOut]:
    """Return a page of accounts with their balances."""
    query = {"kind": kind, "name": name}
    rows, has_more, cursors = await repository.list_accounts(
        session,
        caller,
        page,
        AccountFilter(kind, name),
        signer=context.signer,
        listing=listing_name("ledger/accounts", query),
    )
    items = [AccountOut.model_validate(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/ledger/transfers",
    summary="List the ledger's transfers",
    description="In the order of record: those on one's own accounts; all for the desk and auditors.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, BAD_CURSOR, ONE_CURSOR),
)
async def list_transfers(
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
    account_id: Annotated[AccountId | None, Query(description="only those from or to this account")] = None,
    subject: Annotated[UUID | None, Query(description="only those about this")] = None,
    kind: Annotated[TransferKind | None, Query(description="only of this kind")] = None,
) -> Page[TransferOut]:
    """Return a page of transfers."""
    query = {
        "account_id": None if account_id is None else encode_id("acct", account_id),
        "subject": None if subject is None else str(subject),
        "kind": kind,
    }
    rows, has_more, cursors = await repository.list_transfers(
        session,
        caller,
        page,
        TransferFilter(account_id, subject, kind),
        signer=context.signer,
        listing=listing_name("ledger/transfers", query),
    )
    items = [TransferOut.model_validate(row) for row in rows]
    return page_of(items, has_more=has_more, cursors=cursors, query=query | {"limit": page.limit})


@router.get(
    "/ledger/accounts/{account_id}/statement",
    summary="Read an account's statement",
    description="Its transfers in the order of record, each with the balances after it.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, BAD_CURSOR, ONE_CURSOR),
)
async def read_statement(
    account_id: Annotated[AccountId, Path(description="the account's id")],
    caller: Anyone,
    session: Reading,
    context: Context,
    page: Paging,
) -> Page[LineOut]:
    """Return a page of an account's lines."""
    await service.account_of(session, caller, account_id)
    rows, has_more, cursors = await repository.list_lines(
        session,
        caller,
        page,
        account_id,
        signer=context.signer,
        listing=listing_name(f"ledger/accounts/{account_id}/statement", {}),
    )
    return page_of([line_out(row) for row in rows], has_more=has_more, cursors=cursors, query={"limit": page.limit})


@router.get(
    "/ledger/trial-balance",
    summary="Read the trial balance",
    description="The sums of one's own accounts by kind; of all for the desk and auditors, or of a programme or owner.",
    responses=problems(UNAUTHENTICATED, NOT_APPROVED),
)
async def read_trial_balance(
    caller: Anyone, session: Reading, programme: ProgrammeQuery = None, owner_org_id: OwnerQuery = None
) -> TrialBalanceOut:
    """Return sums by kind of account and in all."""
    rows = await repository.sum_by_kind(session, caller, Books(programme, owner_org_id))
    total = Sums(
        debits_pending=sum(row.debits_pending for row in rows),
        debits_posted=sum(row.debits_posted for row in rows),
        credits_pending=sum(row.credits_pending for row in rows),
        credits_posted=sum(row.credits_posted for row in rows),
    )
    even = (total.debits_pending, total.debits_posted) == (total.credits_pending, total.credits_posted)
    return TrialBalanceOut(
        programme=programme,
        owner_org_id=owner_org_id,
        kinds=[KindSums.model_validate(row) for row in rows],
        total=total,
        balanced=even if caller.reads_all and owner_org_id is None else None,
    )


@router.get(
    "/ledger/export",
    summary="Export statements",
    description=(
        "Every line of one's own accounts (of all for the desk and auditors), by account and order of record, each with"
        " the balances after it. CSV has amounts in CNY, JSON Lines in fen. At most 100 000 lines."
    ),
    response_class=Response,
    responses=_FILE | problems(UNAUTHENTICATED, NOT_APPROVED, NOT_FOUND, EXPORT_TOO_LARGE),
)
async def export_statements(
    caller: Anyone,
    session: Reading,
    format: Annotated[Literal["csv", "jsonl"], Query(description="what to write")] = "csv",  # noqa: A002  its name
    programme: ProgrammeQuery = None,
    owner_org_id: OwnerQuery = None,
    account_id: Annotated[AccountId | None, Query(description="only this account")] = None,
) -> Response:
    """Return the lines as a file."""
    lines = await service.statement_lines(session, caller, Books(programme, owner_org_id, account_id))
    content = await asyncio.to_thread(write_csv if format == "csv" else write_jsonl, lines)
    headers = {"Content-Disposition": f'attachment; filename="ledger.{format}"'}
    return Response(content, media_type=_TYPES[format], headers=headers)


@router.post(
    "/ledger/corrections",
    summary="Correct a posted transfer",
    description=(
        "The desk takes back what a transfer posted, in whole or in part, by a new transfer the other way; nothing on"
        " record is changed. All corrections of a transfer together never exceed it."
    ),
    status_code=201,
    response_model=CorrectionOut,
    responses=problems(
        UNAUTHENTICATED,
        FORBIDDEN,
        NOT_APPROVED,
        NOT_FOUND,
        NOT_POSTED,
        CORRECTED_WITH_ITS_SUBJECT,
        CORRECTED_BEYOND,
        FUNDS_EXHAUSTED,
        OVERCREDITED,
        IDEMPOTENCY_REQUIRED,
        IDEMPOTENCY_IN_FLIGHT,
        IDEMPOTENCY_MISMATCH,
    ),
)
async def correct_transfer(body: CorrectionIn, caller: Desk, write: KeyedWriting, context: Context) -> Response:
    """Post a correction (the desk)."""

    async def work(session: WriteSession) -> Answer:
        transfer, correction = await service.correct_transfer(
            session,
            body.transfer_id,
            body.amount_fen,
            body.reason,
            by_org_id=caller.org_id,
            now=context.clock(),
        )
        return Answer(correction_out(transfer, correction), 201)

    return await write.run(work)
