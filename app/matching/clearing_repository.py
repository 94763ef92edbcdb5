"""SQL of clearings: made, listed, claimed under a lease, finished, and their rows."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Select, String, Uuid, and_, bindparam, exists, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.accounts.callers import Caller
from app.catalog.models import Offer
from app.demand.models import ComputeRequest
from app.kit.db import ReadSession, WriteSession
from app.kit.pages import CursorSigner, PageRequest, Sort, fetch_page
from app.matching.clearing_models import Clearing, ClearingFile, ClearingMode, ClearingRow, ClearingState, RowKind

_UNFINISHED: Final = (ClearingState.QUEUED.value, ClearingState.RUNNING.value)
_ROW_COLUMNS: Final = {
    "kind": String(),
    "position": BigInteger(),
    "request_id": Uuid(),
    "offer_id": Uuid(),
    "buyer_org_id": Uuid(),
    "supplier_org_id": Uuid(),
    "reservation_id": Uuid(),
    "body": String(),
}
_INSERT_ROWS: Final = text(
    """
    INSERT INTO clearing_row (clearing_id, kind, position, request_id, offer_id, buyer_org_id, supplier_org_id,
        reservation_id, body)
    SELECT :clearing_id, r.kind, r.position, r.request_id, r.offer_id, r.buyer_org_id, r.supplier_org_id,
        r.reservation_id, CAST(r.body AS jsonb)
    FROM unnest(:kind, :position, :request_id, :offer_id, :buyer_org_id, :supplier_org_id, :reservation_id, :body)
        AS r (kind, position, request_id, offer_id, buyer_org_id, supplier_org_id, reservation_id, body)
    """
).bindparams(
    bindparam("clearing_id", type_=Uuid()),
    *(bindparam(name, type_=ARRAY(kind)) for name, kind in _ROW_COLUMNS.items()),
)


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row of a clearing to add."""

    kind: RowKind
    position: int
    request_id: UUID
    buyer_org_id: UUID
    body: dict[str, Any]
    offer_id: UUID | None = None
    supplier_org_id: UUID | None = None
    reservation_id: UUID | None = None


def _seen_by(caller: Caller) -> Select[Clearing]:
    statement = select(Clearing)
    if caller.reads_all:
        return statement
    party = or_(ClearingRow.buyer_org_id == caller.org_id, ClearingRow.supplier_org_id == caller.org_id)
    # What a dry run would give somebody is the desk's to weigh; the parties see what was done.
    applied = Clearing.mode == ClearingMode.APPLY.value
    return statement.where(applied, exists().where(ClearingRow.clearing_id == Clearing.id, party))


async def add_clearing(session: WriteSession, clearing: Clearing) -> None:
    """Queue a run."""
    session.add(clearing)
    await session.flush()
    await session.refresh(clearing)


async def count_waiting(session: ReadSession) -> int:
    """Return how many runs have not ended."""
    return int(await session.scalar(select(func.count()).where(Clearing.state.in_(_UNFINISHED))) or 0)


async def get_clearing(session: ReadSession, caller: Caller, clearing_id: UUID) -> Clearing | None:
    """Return a clearing: any for the desk and auditors, one with rows of their own for others."""
    statement = _seen_by(caller).where(Clearing.id == clearing_id)
    return await session.scalar(statement.execution_options(populate_existing=True))


async def list_clearings(
    session: ReadSession,
    caller: Caller,
    page: PageRequest,
    state: ClearingState | None,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[Clearing], bool, tuple[str, str] | None]:
    """Return a page of the clearings that the caller may see, newest first."""
    statement = _seen_by(caller)
    if state is not None:
        statement = statement.where(Clearing.state == state.value)
    sort = Sort[Clearing](
        columns=(Clearing.id.expression,),
        values=lambda row: (str(row.id),),
        parse=lambda values: (UUID(values[0]),),
        descending=True,
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def list_rows(
    session: ReadSession,
    caller: Caller,
    clearing_id: UUID,
    kind: RowKind,
    page: PageRequest,
    *,
    signer: CursorSigner,
    listing: str,
) -> tuple[list[ClearingRow], bool, tuple[str, str] | None]:
    """Return a page of a clearing's rows of a kind that the caller may see, in their order."""
    statement = select(ClearingRow).where(ClearingRow.clearing_id == clearing_id, ClearingRow.kind == kind.value)
    if not caller.reads_all:
        party = or_(ClearingRow.buyer_org_id == caller.org_id, ClearingRow.supplier_org_id == caller.org_id)
        statement = statement.where(party)
    sort = Sort[ClearingRow](
        columns=(ClearingRow.position.expression,),
        values=lambda row: (row.position,),
        parse=lambda values: (int(values[0]),),
    )
    return await fetch_page(session, statement, sort, page, signer=signer, listing=listing)


async def cancel(session: WriteSession, clearing_id: UUID, error: dict[str, Any], now: datetime) -> bool:
    """Cancel a run that has not ended (the desk); tell whether it was cancelled."""
    cancelled = await session.scalars(
        update(Clearing)
        .where(Clearing.id == clearing_id, Clearing.state.in_(_UNFINISHED))
        .values(state=ClearingState.CANCELLED.value, error=error, finished_at=now, lease_ends_at=None)
        .returning(Clearing.id)
    )
    return cancelled.first() is not None


async def claim(session: WriteSession, now: datetime, lease: timedelta) -> Clearing | None:
    """Take the oldest run that waits or whose runner's lease lapsed, and count the attempt (as the system)."""
    lapsed = and_(Clearing.state == ClearingState.RUNNING.value, Clearing.lease_ends_at <= now)
    clearing = await session.scalar(
        select(Clearing)
        .where(or_(Clearing.state == ClearingState.QUEUED.value, lapsed))
        .order_by(Clearing.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if clearing is None:
        return None
    clearing.state = ClearingState.RUNNING.value
    clearing.attempt += 1
    clearing.lease_ends_at = now + lease
    clearing.started_at = clearing.started_at or now
    clearing.progress = {"phase": "reading", "best": None, "bound": None, "gap": None}
    await session.flush()
    return clearing


async def renew(
    session: WriteSession, clearing_id: UUID, attempt: int, lease_ends_at: datetime, progress: dict[str, Any]
) -> bool:
    """Keep a run and show how far it is; False if it is no longer this attempt's."""
    renewed = await session.scalars(
        update(Clearing)
        .where(Clearing.id == clearing_id, Clearing.attempt == attempt, Clearing.state == ClearingState.RUNNING.value)
        .values(lease_ends_at=lease_ends_at, progress=progress)
        .returning(Clearing.id)
    )
    return renewed.first() is not None


async def put_back(session: WriteSession, clearing_id: UUID, attempt: int) -> None:
    """Let a run that is still this attempt's wait for another; the attempt counts."""
    await session.execute(
        update(Clearing)
        .where(Clearing.id == clearing_id, Clearing.attempt == attempt, Clearing.state == ClearingState.RUNNING.value)
        .values(state=ClearingState.QUEUED.value, lease_ends_at=None)
    )


async def lock_run(session: WriteSession, clearing_id: UUID, attempt: int) -> bool:
    """Lock a run that is about to end; False if it is no longer this attempt's."""
    found = await session.scalar(
        select(Clearing.id)
        .where(Clearing.id == clearing_id, Clearing.attempt == attempt, Clearing.state == ClearingState.RUNNING.value)
        .with_for_update()
    )
    return found is not None


async def finish(
    session: WriteSession,
    clearing_id: UUID,
    attempt: int,
    *,
    now: datetime,
    error: dict[str, Any] | None = None,
    **values: Any,
) -> bool:
    """End a run, with an error or without; False if it is no longer this attempt's."""
    state = ClearingState.SUCCEEDED if error is None else ClearingState.FAILED
    ended = await session.scalars(
        update(Clearing)
        .where(Clearing.id == clearing_id, Clearing.attempt == attempt, Clearing.state == ClearingState.RUNNING.value)
        .values(
            state=state.value,
            error=null() if error is None else error,
            finished_at=now,
            lease_ends_at=None,
            **values,
        )
        .returning(Clearing.id)
    )
    return ended.first() is not None


async def add_rows(session: WriteSession, clearing_id: UUID, rows: Sequence[NewRow]) -> None:
    """Add a clearing's rows by one statement."""
    if not rows:
        return
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in _ROW_COLUMNS}
    columns["kind"] = [row.kind.value for row in rows]
    columns["body"] = [json.dumps(row.body, ensure_ascii=False) for row in rows]
    await session.execute(_INSERT_ROWS, columns | {"clearing_id": clearing_id})


async def add_file(session: WriteSession, clearing_id: UUID, instance: bytes, outcome: bytes) -> None:
    """Keep what a run cleared and what came out."""
    session.add(ClearingFile(clearing_id=clearing_id, instance=instance, outcome=outcome))
    await session.flush()


async def get_file(session: ReadSession, clearing_id: UUID) -> ClearingFile | None:
    """Return what a run cleared and what came out."""
    return await session.get(ClearingFile, clearing_id)


async def load_parties(
    session: ReadSession, request_ids: Iterable[UUID], offer_ids: Iterable[UUID]
) -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
    """Return whose each request and each offer is (with the system's eyes)."""
    requests, offers = (
        bindparam(name, list(ids), type_=ARRAY(Uuid()))
        for name, ids in (("request_ids", request_ids), ("offer_ids", offer_ids))
    )
    buyers = await session.execute(
        select(ComputeRequest.id, ComputeRequest.buyer_org_id).where(ComputeRequest.id == requests.any_())
    )
    suppliers = await session.execute(select(Offer.id, Offer.supplier_org_id).where(Offer.id == offers.any_()))
    return {row[0]: row[1] for row in buyers}, {row[0]: row[1] for row in suppliers}


async def get_with_rows(session: ReadSession, clearing_id: UUID) -> tuple[Clearing, list[ClearingRow]]:
    """Return a clearing and all of its rows (for verification)."""
    clearing = await session.get_one(Clearing, clearing_id)
    return clearing, list(await session.scalars(select(ClearingRow).where(ClearingRow.clearing_id == clearing_id)))


async def succeeded_ids(session: ReadSession) -> list[UUID]:
    """Return the clearings that succeeded, oldest first (for verification)."""
    statement = select(Clearing.id).where(Clearing.state == ClearingState.SUCCEEDED.value).order_by(Clearing.id)
    return list(await session.scalars(statement))
