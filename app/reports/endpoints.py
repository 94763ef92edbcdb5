"""Endpoints of pictures."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response

from app.accounts.dependencies import Context, DeskOrAuditor
from app.accounts.errors import NOT_APPROVED
from app.kit.errors import FORBIDDEN, NOT_FOUND, UNAUTHENTICATED
from app.kit.ids import encode_id
from app.kit.problems import problems
from app.matching.clearing_errors import NO_OUTCOME
from app.matching.clearing_schemas import ClearingId
from app.reports import service
from app.reports.errors import PLOT_TOO_LARGE, PLOT_UNAVAILABLE
from app.reports.service import PlotFormat

router = APIRouter(tags=["clearings"])

_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {kind.media_type: _BYTES for kind in PlotFormat}, "description": "the picture"},
    304: {"description": "the picture is the one of the ETag in `If-None-Match`"},
}


@router.get(
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
