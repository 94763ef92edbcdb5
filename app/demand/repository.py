"""SQL of requests. Every query for someone takes the caller; those for the service itself say so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Select, Uuid, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload

from app.accounts.callers import Caller
from app.accounts.models import Organisation, OrganisationRole, Role
from app.demand.models import Alternative, ComputeRequest, RequestState
from app.demand.schemas import Buyer
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page

_EXPIRED_AT_ONCE: Final = 5_000
# Counted against the row as it is now; what has ended (withdrawn, closed, expired) stays so.
_SET_STATE: Final = text(
    """
    UPDATE request SET state = wanted.state, version = version + 1
    FROM (
        SELECT r.id, CASE WHEN n.live = 0 THEN 'open' WHEN n.live < r.blocks THEN 'partly_matched' ELSE 'matched' END
            AS state
        FROM unnest(:ids, :live) AS n (id, live) JOIN request r ON r.id = n.id
    ) AS wanted
    WHERE request.id = wanted.id AND request.state <> wanted.state
        AND request.state IN ('open', 'partly_matched', 'matched')
    RETURNING request.id, request.state
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())), bindparam("live", type_=ARRAY(BigInteger())))


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are wanted; None asks for nothing. `buyer` is a reference; the range is half-open."""

    state: RequestState | None = None
    buyer: str | None = None
    submitted_at_gte: datetime | None = None
    submitted_at_lt: datetime | None = None


def _visible(caller: Caller) -> Select[ComputeRequest]:
    statement = select(ComputeRequest).options(selectinload(ComputeRequest.alternatives))
    return statement if caller.reads_all else statement.where(ComputeRequest.buyer_org_id == caller.org_id)


async def create(session: WriteSession, request: ComputeRequest, alternatives: Sequence[Alternative]) -> None:
    """Add a request with its alternatives.

    Raises:
        DBAPIError: `request_buyer_org_id_ref_key` (translated at the transaction's edge).
    """
    request.alternatives = list(alternatives)
    session.add(request)
    await session.flush()


async def replace_alternatives(
    session: WriteSession, request: ComputeRequest, alternatives: Sequence[Alternative]
) -> None:
    """Put other alternatives in the place of a request's."""
    request.alternatives.clear()
    await session.flush()
    request.alternatives.extend(alternatives)
    await session.flush()


async def get_request(
    session: ReadSession, caller: Caller, request_id: UUID, *, lock: bool = False
) -> ComputeRequest | None:
    """Return a request that the caller may see, with its alternatives; `lock` keeps others from changing it."""
    statement = _visible(caller).where(ComputeRequest.id == request_id)
    if lock:
        statement = statement.with_for_update(key_share=True, of=ComputeRequest).execution_options(
            populate_existing=True
        )
    return await session.scalar(statement)


async def lock_requests(session: WriteSession, request_ids: Collection[UUID]) -> dict[UUID, ComputeRequest]:
    """Lock requests in the order of their ids, for the service itself; return them with their alternatives."""
    rows = await session.scalars(
        select(ComputeRequest)
        .where(ComputeRequest.id.in_(set(request_ids)))
        .options(selectinload(ComputeRequest.alternatives))
        .order_by(ComputeRequest.id)
        .with_for_update(key_share=True, of=ComputeRequest)
        .execution_options(populate_existing=True)
    )
    return {request.id: request for request in rows}


async def list_requests(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    wanted: RequestFilter,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[ComputeRequest], bool, tuple[str, str] | None]:
    """Return a page of the requests that the caller may see, by submission, then id."""
    statement = _visible(caller)
    if wanted.state is not None:
        statement = statement.where(ComputeRequest.state == wanted.state.value)
    if wanted.buyer is not None:
        buyers = select(OrganisationRole.org_id).where(
            OrganisationRole.role == Role.BUYER.value, OrganisationRole.ref == wanted.buyer
        )
        statement = statement.where(ComputeRequest.buyer_org_id.in_(buyers))
    if wanted.submitted_at_gte is not None:
        statement = statement.where(ComputeRequest.submitted_at >= wanted.submitted_at_gte)
    if wanted.submitted_at_lt is not None:
        statement = statement.where(ComputeRequest.submitted_at < wanted.submitted_at_lt)
    sort = Sort[ComputeRequest](
        columns=(ComputeRequest.submitted_at.expression, ComputeRequest.id.expression),
        values=lambda row: (row.submitted_at.isoformat(), str(row.id)),
        parse=lambda values: (datetime.fromisoformat(values[0]), UUID(values[1])),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def load_buyers(session: ReadSession, org_ids: Collection[UUID]) -> dict[UUID, Buyer]:
    """Return how buyers that the caller may see are shown: their reference and name, by organisation."""
    rows = await session.execute(
        select(Organisation.id, OrganisationRole.ref, Organisation.name)
        .join(OrganisationRole, OrganisationRole.org_id == Organisation.id)
        .where(OrganisationRole.role == Role.BUYER.value, Organisation.id.in_(set(org_ids)))
    )
    return {org_id: Buyer(ref, name) for org_id, ref, name in rows}


async def set_state_from_live(session: WriteSession, live: Mapping[UUID, int]) -> dict[UUID, RequestState]:
    """Set the state of requests from how many of their blocks have a live reservation, in one statement.

    For the service itself, after it has locked them. Rows loaded before keep the state that they were read with.

    Args:
        session: an open transaction that acts as the system.
        live: live blocks by request.

    Returns:
        The requests whose state changed, with the new one.
    """
    if not live:
        return {}
    rows = await session.execute(_SET_STATE, {"ids": list(live), "live": list(live.values())})
    return {request_id: RequestState(state) for request_id, state in rows}


async def close(session: WriteSession, request_ids: Collection[UUID]) -> list[UUID]:
    """Close requests of which every live reservation is completed; return those that were not closed yet."""
    rows = await session.scalars(
        update(ComputeRequest)
        .where(
            ComputeRequest.id.in_(set(request_ids)),
            ComputeRequest.state.in_((RequestState.PARTLY_MATCHED.value, RequestState.MATCHED.value)),
        )
        .values(state=RequestState.CLOSED.value, version=ComputeRequest.version + 1)
        .returning(ComputeRequest.id)
        .execution_options(synchronize_session=False)
    )
    return list(rows)


async def expire_due(session: WriteSession, now: datetime) -> int:
    """Expire open requests whose deadline has passed, some thousands at once; return how many.

    Requests that someone works on are left for the next time; the others are locked in the order of their ids.
    """
    due = (
        select(ComputeRequest.id)
        .where(ComputeRequest.state == RequestState.OPEN.value, ComputeRequest.deadline <= now)
        .order_by(ComputeRequest.id)
        .limit(_EXPIRED_AT_ONCE)
        .with_for_update(key_share=True, skip_locked=True)
    )
    rows = await session.scalars(
        update(ComputeRequest)
        .where(ComputeRequest.id.in_(due))
        .values(state=RequestState.EXPIRED.value, version=ComputeRequest.version + 1)
        .returning(ComputeRequest.id)
        .execution_options(synchronize_session=False)
    )
    return len(rows.all())
