"""SQL of matching: pages of offers, quotes."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, Uuid, bindparam, delete, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import contains_eager

from app.accounts.callers import Caller
from app.accounts.models import Organisation, OrganisationState
from app.catalog.models import Offer
from app.catalog.repository import OfferFilter, offer_statement
from app.demand.models import ComputeRequest
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.matching.models import Quote


def _array(ids: Collection[UUID]) -> BindParameter[Sequence[UUID]]:
    """Return ids as one parameter, however many: a statement has 32 767 at most."""
    return bindparam("ids", list(ids), type_=ARRAY(Uuid()))


async def list_offers(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: OfferFilter,
    *,
    descending: bool,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Offer], bool, tuple[str, str] | None]:
    """Return a page of offers by price (the dearest first if `descending`), then id."""
    price = -Offer.price_fen if descending else Offer.price_fen.expression
    sort = Sort[Offer](
        columns=(price, Offer.id.expression),
        values=lambda row: (-row.price_fen if descending else row.price_fen, str(row.id)),
        parse=lambda values: (int(values[0]), UUID(values[1])),
    )
    return await fetch_page(session, offer_statement(wanted, caller), sort, page, signer=signer, listing=listing)


async def get_quote(session: ReadSession, caller: Caller, quote_id: UUID) -> Quote | None:
    """Return a quote of the caller's organisation; any, for the desk and auditors."""
    statement = select(Quote).where(Quote.id == quote_id)
    if not caller.reads_all:
        statement = statement.where(Quote.buyer_org_id == caller.org_id)
    return await session.scalar(statement)


async def lock_offers(session: WriteSession, ids: Collection[UUID]) -> dict[UUID, Offer]:
    """Return offers with their chips, in id order, so locked that nobody edits them meanwhile (as the system)."""
    wanted = Offer.id == _array(ids).any_()
    statement = select(Offer).where(wanted).order_by(Offer.id).with_for_update(read=True, of=Offer)
    statement = statement.join(Offer.chip).options(contains_eager(Offer.chip))
    rows = await session.scalars(statement.execution_options(populate_existing=True))
    return {offer.id: offer for offer in rows}


async def approved_organisations(session: ReadSession, ids: Collection[UUID]) -> set[UUID]:
    """Return which of these organisations the desk lets work."""
    approved = Organisation.state == OrganisationState.APPROVED.value
    return set(await session.scalars(select(Organisation.id).where(Organisation.id == _array(ids).any_(), approved)))


async def has_request(session: ReadSession, buyer_org_id: UUID, ref: str) -> bool:
    """Tell whether a buyer has a request with this reference."""
    statement = select(ComputeRequest.id).where(ComputeRequest.buyer_org_id == buyer_org_id, ComputeRequest.ref == ref)
    return await session.scalar(statement) is not None


async def delete_lapsed_quotes(session: WriteSession, now: datetime) -> int:
    """Delete the quotes that are no longer good; return how many."""
    result = await session.execute(delete(Quote).where(Quote.expires_at <= now).returning(Quote.id))
    return len(result.all())
