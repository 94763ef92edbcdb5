"""Endpoints of reports, and of pictures."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response

from app.accounts.dependencies import Context, DeskOrAuditor
from app.accounts.errors import NOT_APPROVED
from app.kit.errors import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED
from app.kit.ids import encode_id
from app.kit.problems import problems
from app.kit.web import AppContext
from app.matching.clearing_errors import NO_OUTCOME
from app.matching.clearing_schemas import ClearingId
from app.reports import figures, service
from app.reports.errors import (
    PLOT_TOO_LARGE,
    PLOT_UNAVAILABLE,
    REPORT_PLOT_SLOW,
    REPORT_PLOT_UNAVAILABLE,
    YEAR_NOT_OPEN,
)
from app.reports.repository import Wanted
from app.reports.schemas import BurnDownOut, EffectOut, Group, ReportFormat, TotalsOut
from app.reports.service import PlotFormat

pictures = APIRouter(tags=["clearings"])
reports = APIRouter(tags=["reports"])

_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {kind.media_type: _BYTES for kind in PlotFormat}, "description": "the picture"},
    304: {"description": "the picture is the one of the ETag in `If-None-Match`"},
}


@pictures.get(
    "/clearings/{clearing_id}/plot",
    summary="Draw a clearing",
    description=(
        "How full each chip class is and at what price, and the matches on the busiest offers, as `cardhour plot` draws"
        " them. An outcome never changes: send the `ETag` as `If-None-Match` and a picture that you have is 304."
    ),
    response_class=Response,
    responses=_ANSWERS
    | problems(UNAUTHENTICATED, NOT_APPROVED, FORBIDDEN, NOT_FOUND, NO_OUTCOME, PLOT_TOO_LARGE, PLOT_UNAVAILABLE),
)
async def plot_clearing(
    clearing_id: ClearingId,
    caller: DeskOrAuditor,
    context: Context,
    format: Annotated[PlotFormat, Query(description="the kind of file")] = PlotFormat.SVG,  # noqa: A002  the API's word
    if_none_match: Annotated[str | None, Header(description="ETags of pictures that you have")] = None,
) -> Response:
    """Return a clearing's picture (the desk, auditors)."""
    known = frozenset(tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(","))
    picture = await service.plot_clearing(context, caller, clearing_id, format, known=known)
    headers = {"ETag": picture.etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if picture.content is None:
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'inline; filename="{encode_id("clr", clearing_id)}.{format.value}"'
    return Response(picture.content, media_type=format.media_type, headers=headers)


_FILES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "image/svg+xml": _BYTES,
            "image/png": _BYTES,
        }
    }
}
_MEDIA: Final = {
    ReportFormat.JSON: "application/json",
    ReportFormat.CSV: "text/csv; charset=utf-8",
    ReportFormat.SVG: "image/svg+xml",
    ReportFormat.PNG: "image/png",
}
_REFUSALS: Final = (UNAUTHENTICATED, NOT_APPROVED, FORBIDDEN, NOT_FOUND, REPORT_PLOT_UNAVAILABLE, REPORT_PLOT_SLOW)
_FORMATS_TOLD: Final = (
    " As data (`format=json`), as a table for spreadsheets (`csv`, amounts in CNY) or drawn (`svg`, `png`; needs the"
    " service's extra `plot`)."
)
Format = Annotated[ReportFormat, Query(description="how to read it")]
ProgrammeId = Annotated[str, Query(min_length=1, max_length=60, description="the programme", examples=["open-example"])]
Programmes = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=60)]] | None,
    Query(max_length=100, description="only of this programme; repeatable"),
]
Year = Annotated[int | None, Query(ge=2000, le=2200, description="only of the budgets of this year")]
By = Annotated[list[Group], Query(max_length=4, description="what to tell it by; repeatable, by default the programme")]
_DEFAULT_BY: Final = [Group.PROGRAMME]


async def _file(
    context: AppContext, name: str, report: BurnDownOut | TotalsOut | EffectOut, kind: ReportFormat
) -> Response:
    content = await service.write_report(context, name, report, kind)
    headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
    if kind is not ReportFormat.JSON:
        shown = "attachment" if kind is ReportFormat.CSV else "inline"
        headers["Content-Disposition"] = f'{shown}; filename="{name}.{kind.value}"'
    return Response(content, media_type=_MEDIA[kind], headers=headers)


def _wanted(programmes: list[str] | None, year: int | None, by: list[Group]) -> Wanted:
    return Wanted(frozenset(programmes or ()), year, frozenset(by))


@reports.get(
    "/reports/burn-down",
    summary="Read a pool's burn-down",
    description="A programme's pool of a year, day by day, with a forecast of when it is used up at the pace of the"
    " last `days`." + _FORMATS_TOLD,
    response_model=BurnDownOut,
    responses=_FILES | problems(*_REFUSALS, YEAR_NOT_OPEN),
)
async def read_burn_down(
    caller: DeskOrAuditor,
    context: Context,
    programme: ProgrammeId,
    year: Annotated[int | None, Query(ge=2000, le=2200, description="by default the present one")] = None,
    days: Annotated[int, Query(ge=1, le=366, description="how many last days make the pace")] = 28,
    format: Format = ReportFormat.JSON,  # noqa: A002  the API's word
) -> Response:
    """Return a pool's burn-down (the desk, auditors)."""
    return await _file(
        context, "burn-down", await figures.burn_down(context.database, caller, programme, year, days), format
    )


@reports.get(
    "/reports/totals",
    summary="Read what was issued, redeemed, claimed and paid",
    description="Voucher money by programme, year of the budgets, kind of buyer and origin of the chips, and in all."
    + _FORMATS_TOLD,
    response_model=TotalsOut,
    responses=_FILES | problems(*_REFUSALS),
)
async def read_totals(
    caller: DeskOrAuditor,
    context: Context,
    by: By = _DEFAULT_BY,
    programme: Programmes = None,
    year: Year = None,
    format: Format = ReportFormat.JSON,  # noqa: A002  the API's word
) -> Response:
    """Return voucher money by group (the desk, auditors)."""
    report = await figures.totals(context.database, caller, _wanted(programme, year, by))
    return await _file(context, "totals", report, format)


@reports.get(
    "/reports/effect",
    summary="Read what vouchers enabled",
    description="Card-hours settled under contracts whose vouchers were redeemed, for each CNY redeemed."
    + _FORMATS_TOLD,
    response_model=EffectOut,
    responses=_FILES | problems(*_REFUSALS),
)
async def read_effect(
    caller: DeskOrAuditor,
    context: Context,
    by: By = _DEFAULT_BY,
    programme: Programmes = None,
    year: Year = None,
    format: Format = ReportFormat.JSON,  # noqa: A002  the API's word
) -> Response:
    """Return what vouchers enabled by group (the desk, auditors)."""
    report = await figures.effect(context.database, caller, _wanted(programme, year, by))
    return await _file(context, "effect", report, format)


router = APIRouter()
router.include_router(pictures)
router.include_router(reports)
