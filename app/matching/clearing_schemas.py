"""What goes out of the endpoints of clearings. Parties see their own rows, and of a match what concerns their side."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.accounts.callers import Caller
from app.accounts.schemas import OrgId
from app.catalog.schemas import OfferId
from app.demand.schemas import RequestId
from app.kit.ids import decode_id
from app.kit.schemas import Moment, Output
from app.matching.clearing_errors import Loss, end_sentence, loss_sentence
from app.matching.clearing_models import Clearing, ClearingMode, ClearingRow, ClearingState
from app.matching.clearing_options import ClearingId
from app.matching.core.outcome import Status
from app.reservations.schemas import ReservationId


class ClearingProgressOut(Output):
    """Where a run is."""

    phase: str = Field(description="waiting, reading, the engine's own, verifying, writing, done", examples=["prices"])
    best: int | None = Field(description="the first objective so far; fen, or weighted card-hours")
    bound: int | None = Field(description="what no outcome can exceed, as far as is proved")
    gap: float | None = Field(description="(bound - best) / bound")


class LoserOut(Output):
    """A match that the present had overtaken when it was to be reserved."""

    position: int = Field(description="of the match")
    request_id: RequestId
    offer_id: OfferId
    code: Loss
    detail: str


class ClearingResultOut(Output):
    """What a run decided."""

    status: Status
    objective_fen: int = Field(description="of the first objective; weighted card-hours for coverage and thrift")
    bound_fen: int = Field(description="certified: anyone can recompute it from the certificate")
    gap: float
    matches: int = Field(description="blocks matched")
    reserved: int = Field(description="blocks held; 0 for a dry run")
    losers: list[LoserOut]


class ClearingErrorOut(Output):
    """Why a run ended without a result, and what to do; nothing was reserved."""

    code: str = Field(examples=["infeasible"])
    status: Status | None = Field(description="the engine's word, where it had one")
    detail: str


class ClearingOut(Output):
    """A clearing. Buyers and suppliers see that it was, and their rows; the rest is for the desk and auditors."""

    id: ClearingId
    mode: ClearingMode
    state: ClearingState
    requested_by: OrgId | None
    options: dict[str, Any] | None = Field(description="what was asked for")
    attempt: int | None
    progress: ClearingProgressOut | None
    result: ClearingResultOut | None
    error: ClearingErrorOut | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None


class MatchSubsidyOut(Output):
    """What one programme's tier adds."""

    programme: str
    tier: str
    amount_fen: int


class MatchOut(Output):
    """One block on one offer."""

    position: int
    request_id: RequestId
    block: int = Field(description="which of the request's blocks, from 0")
    offer_id: OfferId
    starts_at: Moment
    hours: int
    cards: int
    cost_fen: int
    subsidies: list[MatchSubsidyOut]
    subsidy_fen: int
    net_fen: int = Field(description="cost less subsidy: what the buyer pays")
    surplus_fen: int | None = Field(description="the buyer's most less net; null for the supplier")
    reservation_id: ReservationId | None = Field(description="what holds it; null for a dry run or where it was lost")
    lost: Loss | None = Field(description="why it was not reserved")
    currency: Literal["CNY"] = "CNY"


class ChangeOut(Output):
    """A smallest change that would have let the request fit what was left."""

    model_config = ConfigDict(populate_by_name=True)
    change: str = Field(examples=["price"])
    before: str | int = Field(alias="from", description="as it is")
    after: str | int = Field(alias="to", description="as it would do")
    offer_id: OfferId
    starts_at: Moment


class UnmatchedOut(Output):
    """Why blocks of a request were not matched."""

    position: int
    request_id: RequestId
    blocks_unmatched: int
    code: str = Field(examples=["outbid"])
    detail: str
    changes: list[ChangeOut]


def clearing_out(row: Clearing, caller: Caller, language: str) -> ClearingOut:
    """Return a clearing as this caller may see it."""
    whole = caller.reads_all
    return ClearingOut(
        id=row.id,
        mode=ClearingMode(row.mode),
        state=ClearingState(row.state),
        requested_by=row.requested_by if whole else None,
        options=row.options if whole else None,
        attempt=row.attempt if whole else None,
        progress=ClearingProgressOut(**row.progress) if whole else None,
        result=_result(row, language) if whole else None,
        error=_error(row, language) if whole else None,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _result(row: Clearing, language: str) -> ClearingResultOut | None:
    if row.state != ClearingState.SUCCEEDED.value or row.objective_fen is None or row.bound_fen is None:
        return None
    matches = row.matches or 0
    is_applied = row.mode == ClearingMode.APPLY.value
    return ClearingResultOut(
        status=Status(row.status),
        objective_fen=row.objective_fen,
        bound_fen=row.bound_fen,
        gap=row.gap or 0.0,
        matches=matches,
        reserved=matches - len(row.losers) if is_applied else 0,
        losers=[
            LoserOut(
                position=each["position"],
                request_id=decode_id("req", each["request_id"]),
                offer_id=decode_id("offer", each["offer_id"]),
                code=(loss := Loss(each["code"])),
                detail=loss_sentence(loss, language),
            )
            for each in row.losers
        ],
    )


def _error(row: Clearing, language: str) -> ClearingErrorOut | None:
    if row.error is None:
        return None
    status = None if row.status is None else Status(row.status)
    return ClearingErrorOut(code=row.error["code"], status=status, detail=end_sentence(row.error, language))


def match_out(row: ClearingRow, caller: Caller) -> MatchOut:
    """Return a match as this caller may see it."""
    assert row.offer_id is not None  # noqa: S101  a match has one, by a constraint
    body = dict(row.body)
    sees_surplus = caller.reads_all or row.buyer_org_id == caller.org_id
    return MatchOut(
        position=row.position,
        request_id=row.request_id,
        offer_id=row.offer_id,
        reservation_id=row.reservation_id,
        starts_at=datetime.fromisoformat(body.pop("starts_at")),
        surplus_fen=(surplus if (surplus := body.pop("surplus_fen")) is not None and sees_surplus else None),
        lost=None if (lost := body.pop("lost")) is None else Loss(lost),
        **body,
    )


def unmatched_out(row: ClearingRow) -> UnmatchedOut:
    """Return why a request was not matched in full."""
    changes: list[dict[str, Any]] = row.body["changes"]
    return UnmatchedOut(
        position=row.position,
        request_id=row.request_id,
        blocks_unmatched=row.body["blocks_unmatched"],
        code=row.body["code"],
        detail=row.body["detail"],
        changes=[
            ChangeOut.model_validate(
                each
                | {
                    "offer_id": decode_id("offer", each["offer_id"]),
                    "starts_at": datetime.fromisoformat(each["starts_at"]),
                }
            )
            for each in changes
        ],
    )
