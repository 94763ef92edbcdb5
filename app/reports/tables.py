"""Reports as CSV: UTF-8, LF, amounts in CNY with two decimals; no cell is a formula to a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from app.kit.money import format_cny
from app.ledger.writing import escape
from app.reports.schemas import BurnDownOut, EffectOut, EffectRow, Group, TotalsOut, TotalsRow

_SUMS: Final = (
    "earmarked_fen",
    "issued_fen",
    "redeemed_fen",
    "returned_fen",
    "left_fen",
    "clawed_back_fen",
    "claimed_fen",
    "paid_fen",
)
_DAY: Final = ("filled_fen", "issued_fen", "earmarked_fen", "left_fen", "redeemed_fen")


def write_csv(report: BurnDownOut | TotalsOut | EffectOut) -> bytes:
    """Return a report's rows, a total last where it has one; the forecast is not a row and not in it."""
    if isinstance(report, BurnDownOut):
        head = ("programme", "year", "day", *_in_cny(_DAY))
        return _table(
            head,
            (
                (report.programme, report.year, day.day.isoformat(), *(_cny(getattr(day, name)) for name in _DAY))
                for day in report.days
            ),
        )
    groups = tuple(report.by)
    if isinstance(report, TotalsOut):
        return _table(
            (*groups, "vouchers", *_in_cny(_SUMS)),
            (_totals_cells(row, groups, total=row is report.total) for row in (*report.rows, report.total)),
        )
    head = (*groups, "contracts", "card_hours", "settled_cny", "redeemed_cny", "card_hours_per_cny", "settled_per_cny")
    rows = (*report.rows, report.total)
    return _table(head, (_effect_cells(row, groups, total=row is report.total) for row in rows))


def _in_cny(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.replace("_fen", "_cny") for name in names)


def _cny(fen: int | None) -> str:
    return "" if fen is None else format_cny(fen)


def _groups(row: TotalsRow | EffectRow, groups: Sequence[Group], *, total: bool) -> tuple[str, ...]:
    if total:
        return tuple("total" if index == 0 else "" for index, _ in enumerate(groups))
    return tuple(str(getattr(row, group)) for group in groups)


def _totals_cells(row: TotalsRow, groups: Sequence[Group], *, total: bool) -> tuple[object, ...]:
    sums = (_cny(getattr(row, name)) for name in _SUMS)
    return (*_groups(row, groups, total=total), row.vouchers, *sums)


def _effect_cells(row: EffectRow, groups: Sequence[Group], *, total: bool) -> tuple[object, ...]:
    return (
        *_groups(row, groups, total=total),
        row.contracts,
        card_hours(row.card_seconds),
        _cny(row.settled_fen),
        _cny(row.redeemed_fen),
        row.card_hours_per_cny or "",
        row.settled_cny_per_cny or "",
    )


def card_hours(card_seconds: int) -> str:
    """Return card-seconds as card-hours with two decimals, rounded down."""
    hundredths = card_seconds * 100 // 3600
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([escape(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue().encode()
