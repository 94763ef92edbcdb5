"""Pictures of reports: a pool's burn-down with its forecast, money by group, and what a CNY of subsidy enabled.

Drawn from the report as it is told, alike each time for the same figures.
"""

# pyright: reportUnknownMemberType=false
# Matplotlib's own stubs leave **kwargs without types.

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, cast

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from app.kit.money import format_cny
from app.reports.canvas import FAINT, STYLE, TEXT, fonts, picture_of, shown
from app.reports.forecast import Verdict
from app.reports.schemas import BurnDownOut, EffectOut, EffectRow, TotalsOut, TotalsRow

Row = TypeVar("Row", TotalsRow, EffectRow)
MOST_GROUPS: Final = 16
_WIDTH: Final = 11.0
_LEFT, _RIGHT = "#e4e7eb", "#d9480f"
_MONEY: Final = (
    ("earmarked", "earmarked_fen", "#c3d3e2"),
    ("issued", "issued_fen", "#3e7cb1"),
    ("redeemed", "redeemed_fen", "#2f9e6e"),
    ("claimed", "claimed_fen", "#f2b134"),
    ("paid", "paid_fen", "#7b4bb7"),
)
_TOLD: Final = {
    Verdict.LASTS: "at this pace it lasts to the year's end",
    Verdict.NO_PACE: "nothing was drawn lately",
    Verdict.USED_UP: "it is used up",
    Verdict.YEAR_OVER: "its year is over",
    Verdict.NO_CAP: "it has no cap",
}


def render_report(report: BurnDownOut | TotalsOut | EffectOut, kind: str) -> bytes:
    """Return the picture of a report as `svg` or `png`; of many groups those with the most money."""
    with mpl.rc_context(cast("Any", STYLE)):
        if isinstance(report, BurnDownOut):
            figure = _burn_down(report)
        elif isinstance(report, TotalsOut):
            figure = _totals(report)
        else:
            figure = _effect(report)
        return picture_of(figure, kind)


def cny(fen: int) -> str:
    """Return fen as CNY with thousands' commas."""
    whole, _, cents = format_cny(fen).partition(".")
    return f"{int(whole):,}.{cents}"


def forecast_told(report: BurnDownOut) -> str:
    """Return the forecast in one sentence."""
    found = report.forecast
    pace = f"{cny(found.fen_per_day)} CNY a day since {found.window_from:%Y-%m-%d}"
    if found.used_up_at is not None:
        return f"{pace}: at this pace it is used up on {found.used_up_at:%Y-%m-%d}"
    return f"{pace}: {_TOLD[found.verdict]}"


def _burn_down(report: BurnDownOut) -> Figure:
    figure = Figure(figsize=(_WIDTH, 5.2))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.1, right=0.97, top=0.8, bottom=0.1)
    _title(figure, f"{report.programme} · pool of {report.year}", forecast_told(report))
    days = [datetime(day.day.year, day.day.month, day.day.day, tzinfo=UTC) + timedelta(days=1) for day in report.days]
    at = _numbers([days[0] - timedelta(days=1), *days])
    series = (("redeemed_fen", "redeemed", "#2f9e6e"), ("issued_fen", "issued", "#3e7cb1"))
    stacked = [[(day.issued_fen + day.earmarked_fen) / 100 for day in report.days]]
    axes.stairs(stacked[0], at, fill=True, color="#c3d3e2", label="earmarked")
    for name, label, colour in reversed(series):
        axes.stairs([getattr(day, name) / 100 for day in report.days], at, fill=True, color=colour, label=label)
    if report.left_fen is not None:
        left = [(day.left_fen or 0) / 100 for day in report.days]
        axes.stairs(left, at, color=_RIGHT, linewidth=1.6, baseline=None, label="left")
        _forecast_line(axes, report, at[-1])
    axes.xaxis_date(tz="UTC")
    locator = dates.AutoDateLocator(minticks=3, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    _money_axis(axes)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.1), ncols=5, frameon=False)
    return figure


def _forecast_line(axes: Axes, report: BurnDownOut, now: float) -> None:
    found, left = report.forecast, report.left_fen or 0
    if found.used_up_at is not None:
        end, rest = _numbers([found.used_up_at])[0], 0
    elif found.left_at_year_end_fen is not None:
        end, rest = _numbers([datetime(report.year + 1, 1, 1, tzinfo=UTC)])[0], found.left_at_year_end_fen
    else:
        return
    axes.plot([now, max(end, now)], [left / 100, rest / 100], color=_RIGHT, linestyle="--", label="forecast")


def _totals(report: TotalsOut) -> Figure:
    rows = _largest(report.rows, "issued_fen")
    figure, axes = _bars(len(rows), 5)
    _title(figure, f"Vouchers by {_by(report)}", f"paid {cny(report.total.paid_fen)} CNY {_of(rows, report.rows)}")
    height = 0.8 / len(_MONEY)
    for index, (label, name, colour) in enumerate(_MONEY):
        at = [place + index * height for place in range(len(rows))]
        axes.barh(
            at, [getattr(row, name) / 100 for row in rows], height=height, color=colour, label=label, align="edge"
        )
    _name_bars(axes, [_name(row, report) for row in rows], 0.4)
    _money_axis(axes, horizontal=True)
    axes.legend(loc="lower right", ncols=5, frameon=False, bbox_to_anchor=(1, 1.0))
    return figure


def _effect(report: EffectOut) -> Figure:
    rows = _largest(report.rows, "redeemed_fen")
    figure, axes = _bars(len(rows), 2)
    told = (
        f"{report.total.card_hours_per_cny or '–'} card-hours for each CNY of subsidy in all {_of(rows, report.rows)}"
    )
    _title(figure, f"Card-hours per CNY of subsidy by {_by(report)}", told)
    values = [float(row.card_hours_per_cny or 0) for row in rows]
    bars = axes.barh(range(len(rows)), values, height=0.6, color="#2f9e6e")
    axes.bar_label(bars, [row.card_hours_per_cny or "" for row in rows], padding=4, color=TEXT)
    _name_bars(axes, [_name(row, report) for row in rows], 0)
    axes.set_xlim(0, max([*values, 0.0001]) * 1.15)
    axes.set_xlabel("card-hours per CNY")
    axes.spines["right"].set_visible(False)
    return figure


def _bars(rows: int, lines: int) -> tuple[Figure, Axes]:
    height = 1.7 + max(1, rows) * (0.25 + 0.13 * lines)
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_subplot()
    figure.subplots_adjust(left=0.26, right=0.97, top=1 - 1.1 / height, bottom=0.55 / height)
    return figure, axes


def _title(figure: Figure, title: str, told: str) -> None:
    height = float(figure.get_figheight())
    figure.text(0.02, 1 - 0.3 / height, title, fontsize=14, fontweight="bold", va="center")
    figure.text(0.02, 1 - 0.58 / height, told, fontsize=10, color=FAINT, va="center")


def _name_bars(axes: Axes, names: Sequence[str], offset: float) -> None:
    axes.set_yticks([index + offset for index in range(len(names))], names)
    for text, tick in zip(names, axes.get_yticklabels(), strict=True):
        tick.set_fontfamily(fonts(text))
    axes.tick_params(axis="y", length=0, labelcolor=TEXT)
    axes.invert_yaxis()
    if not names:
        axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color=FAINT)


def _money_axis(axes: Axes, *, horizontal: bool = False) -> None:
    axis = axes.xaxis if horizontal else axes.yaxis
    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FuncFormatter(_thousands))
    axis.set_label_text("CNY")
    axes.spines["right"].set_visible(False)
    axes.grid(axis="x" if horizontal else "y", color=_LEFT, linewidth=0.6)
    axes.set_axisbelow(True)


def _thousands(value: float, _position: int) -> str:
    return f"{value:,.0f}"


def _largest(rows: Sequence[Row], name: str) -> list[Row]:
    kept = sorted(range(len(rows)), key=lambda index: (-getattr(rows[index], name), index))[:MOST_GROUPS]
    return [rows[index] for index in sorted(kept)]


def _of(rows: Sequence[object], every: Sequence[object]) -> str:
    return f"· the {len(rows)} largest of {len(every)} groups" if len(rows) < len(every) else ""


def _by(report: TotalsOut | EffectOut) -> str:
    return ", ".join(group.replace("_", " ") for group in report.by) or "all"


def _name(row: TotalsRow | EffectRow, report: TotalsOut | EffectOut) -> str:
    return " · ".join(shown(str(getattr(row, group)), "–") for group in report.by) or "all"


def _numbers(moments: Sequence[datetime]) -> list[float]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [(moment - epoch) / timedelta(days=1) for moment in moments]
