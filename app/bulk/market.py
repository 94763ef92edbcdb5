"""An upload to rows: the format by the file's name, the shift in time, the namespace; before anything is compared."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from app.bulk import errors
from app.bulk.csv_format import read_csv
from app.bulk.jsonl_format import read_jsonl
from app.bulk.progress import Progress
from app.bulk.rows import MAX_ROWS, Finding, Format, Kind, Located, Market, OfferRow, OrganisationRow, RequestRow, Table
from app.kit.time import EARLIEST, LATEST, floor_hour, format_rfc3339

SEPARATOR: Final = ":"
Moving = TypeVar("Moving", OfferRow, RequestRow)


def kind_and_format(name: str) -> tuple[Kind, Format] | None:
    """Return what a file of this name holds, or None if it is none of a market's."""
    path = PurePosixPath(name)
    try:
        return Kind(path.stem), Format(path.suffix.removeprefix("."))
    except ValueError:
        return None


def read_market(files: Mapping[str, bytes], progress: Progress) -> Market:
    """Return the rows of an upload and everything wrong with them; never raises for what a file holds."""
    market = Market()
    progress.begin("reading", sum(content.count(b"\n") for content in files.values()))
    for name, content in sorted(files.items()):
        found = kind_and_format(name)
        if found is None:
            continue
        kind, written = found
        read = read_csv if written is Format.CSV else read_jsonl
        setattr(market, kind.value, read(kind, name, content, market.bad, progress))
    if sum(table.total for table in market.tables) > MAX_ROWS:
        market.bad.append(Finding("", 0, None, errors.TOO_MANY_ROWS.code, {"most": MAX_ROWS}))
        for table in market.tables:
            table.readable = False
    return market


def earliest_time(market: Market) -> datetime | None:
    """Return the earliest submission, earliest start or begin of capacity, or None where the market has no times."""
    times = [steps[0][0] for steps in (at.row.steps for at in (market.offers.rows if market.offers else ()))]
    for at in market.requests.rows if market.requests else ():
        times += (at.row.submitted_at, at.row.earliest_start)
    return min(times, default=None)


def shift(market: Market, start_at: datetime) -> None:
    """Move every time by the same whole hours, so that the earliest, rounded down to the hour, becomes `start_at`.

    A row that would leave the years 2000–2200 is refused.
    """
    earliest = earliest_time(market)
    if earliest is None or (by := start_at - floor_hour(earliest)) == timedelta(0):
        return
    if market.offers:
        _replace_rows(market, market.offers, by, _shifted_offer)
    if market.requests:
        _replace_rows(market, market.requests, by, _shifted_request)


def _replace_rows(
    market: Market,
    table: Table[Moving],
    by: timedelta,
    change: Callable[[Moving, timedelta], tuple[Moving | None, str, datetime]],
) -> None:
    kept: list[Located[Moving]] = []
    for at in table.rows:
        row, column, moment = change(at.row, by)
        if row is None:
            params = {"value": format_rfc3339(moment), "low": EARLIEST.year, "high": LATEST.year}
            market.bad.append(Finding(table.file, at.line, column, errors.OUT_OF_RANGE.code, params))
            table.bad_keys.add(at.row.key)
        else:
            kept.append(Located(at.line, row))
    table.rows = kept


def _first_outside(times: Mapping[str, datetime], by: timedelta) -> tuple[str, datetime] | None:
    low, high = EARLIEST - by, LATEST - by
    return next(((column, time) for column, time in times.items() if not low <= time <= high), None)


def _shifted_offer(row: OfferRow, by: timedelta) -> tuple[OfferRow | None, str, datetime]:
    first, last = row.steps[0][0], row.steps[-1][0]
    outside = _first_outside({"available_from": first, "available_to": last}, by)
    if outside:
        return None, *outside
    return replace(row, steps=tuple((at + by, cards) for at, cards in row.steps)), "", first


def _shifted_request(row: RequestRow, by: timedelta) -> tuple[RequestRow | None, str, datetime]:
    times = {"submitted_at": row.submitted_at, "earliest_start": row.earliest_start, "deadline": row.deadline}
    outside = _first_outside(times, by)
    if outside:
        return None, *outside
    moved = replace(
        row,
        submitted_at=row.submitted_at + by,
        earliest_start=row.earliest_start + by,
        deadline=row.deadline + by,
    )
    return moved, "", row.submitted_at


def into_namespace(market: Market, namespace: str) -> None:
    """Put `NAME:` before every reference of the market, so that it stands beside others."""
    prefix = namespace + SEPARATOR
    for table in market.tables:
        if table is not market.chips:
            table.rows = [Located(at.line, prefixed(at.row, prefix)) for at in table.rows]
            table.bad_keys = {(owner and prefix + owner, prefix + ref) for owner, ref in table.bad_keys}


def prefixed(row: Any, prefix: str) -> Any:
    """Return an organisation's, an offer's or a request's row with a prefix before its references."""
    if isinstance(row, OrganisationRow):
        return replace(row, ref=prefix + row.ref)
    if isinstance(row, OfferRow):
        return replace(row, ref=prefix + row.ref, supplier=prefix + row.supplier)
    return replace(
        row,
        ref=prefix + row.ref,
        buyer=prefix + row.buyer,
        suppliers_allowed=tuple(prefix + ref for ref in row.suppliers_allowed),
        suppliers_refused=tuple(prefix + ref for ref in row.suppliers_refused),
    )


def without_prefix(row: Any, prefix: str) -> Any:
    """Return a row with the namespace's prefix taken off its references."""
    if isinstance(row, OrganisationRow):
        return replace(row, ref=row.ref.removeprefix(prefix))
    if isinstance(row, OfferRow):
        return replace(row, ref=row.ref.removeprefix(prefix), supplier=row.supplier.removeprefix(prefix))
    return replace(
        row,
        ref=row.ref.removeprefix(prefix),
        buyer=row.buyer.removeprefix(prefix),
        suppliers_allowed=tuple(ref.removeprefix(prefix) for ref in row.suppliers_allowed),
        suppliers_refused=tuple(ref.removeprefix(prefix) for ref in row.suppliers_refused),
    )
