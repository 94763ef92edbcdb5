"""Endpoints of the ledger: read accounts and transfers. Nothing is posted through the API directly."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.accounts.dependencies import Anyone, Context, Reading
from app.accounts.errors import NOT_APPROVED
from app.kit.errors import UNAUTHENTICATED
from app.kit.ids import encode_id
from app.kit.pages import BAD_CURSOR, ONE_CURSOR, Page, Paging, listing_name, page_of
from app.kit.problems import problems
from app.ledger import repository
from app.ledger.models import TransferKind
from app.ledger.repository import AccountFilter, TransferFilter
from app.ledger.schemas import AccountId, AccountOut, TransferOut

router = APIRouter(tags=["ledger"])


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
