"""The picture of a clearing: how full each chip class is and at what price, and who runs where and when.

Drawn without a display, and alike for the same clearing: no dates or random ids in the file.
"""

# pyright: reportUnknownMemberType=false
# Matplotlib's own stubs leave **kwargs without types.

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import matplotlib as mpl
import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from app.kit.money import PPM, format_cny
from app.kit.time import from_hour_index
from app.matching.core.instance import Instance
from app.matching.core.outcome import BudgetUse, Match, Outcome
from app.matching.results import Run
from app.reports.canvas import FAINT, STYLE, TEXT, drawable, fonts, picture_of, plain, shown
from app.reports.lanes import F64, I64, ClassUse, Lane, Window, class_use, dearest_budgets, lanes, window_of

MOST_CLASSES: Final = 6
MOST_OFFERS: Final = 12
MOST_BUDGETS: Final = 5
_WIDTH: Final = 13.0
_COLUMNS: Final = 3
_IN_PAIRS: Final = (2, 4)
_CLASS_HEIGHT, _LANE_HEIGHT, _HEAD, _FOOT = 1.75, 0.46, 1.45, 0.55
_BUDGET_HEIGHT, _BUDGET_HEAD = 0.30, 0.75
_CAPACITY, _USED, _PRICE = "#e4e7eb", "#3e7cb1", "#d9480f"
_PLAIN, _SUBSIDISED = "#8fa7bf", "#2f9e6e"
# More than so many bars, or so many hours, are drawn as pixels also in an SVG, whose size would grow with them.
_MOST_SHAPES: Final = 3_000
_FEW_DAYS: Final = 3
_LABELLED: Final = 0.07
# The price axis shows at least this much: less is noise.
_LEAST_PRICE: Final = 0.1


def draw_clearing(instance: Instance, run: Run, outcome: Outcome, path: Path) -> None:
    """Draw a verified clearing into a file, SVG or PNG by its name.

    Args:
        instance: What was cleared.
        run: What was asked for.
        outcome: The result; one with matches or at least an objective.
        path: Where the picture goes; its suffix is one of `FORMATS`.

    Raises:
        OSError: if the file can't be written.
    """
    path.write_bytes(render_clearing(instance, run, outcome, path.suffix.removeprefix(".").lower()))


def render_clearing(instance: Instance, run: Run, outcome: Outcome, kind: str) -> bytes:
    """Return the picture of a verified clearing, as one of `FORMATS`; however large the market, it stays small."""
    with mpl.rc_context(cast("Any", STYLE)):
        window = window_of(instance, outcome)
        figure = _figure(
            class_use(instance, outcome, window, MOST_CLASSES),
            lanes(instance, outcome, MOST_OFFERS),
            dearest_budgets(outcome, MOST_BUDGETS),
            window,
            run,
            outcome,
        )
        return picture_of(figure, kind)


def _figure(
    classes: Sequence[ClassUse],
    rows: Sequence[Lane],
    budgets: Sequence[BudgetUse],
    window: Window,
    run: Run,
    outcome: Outcome,
) -> Figure:
    columns = 2 if len(classes) in _IN_PAIRS else min(_COLUMNS, max(1, len(classes)))
    class_rows = max(1, math.ceil(len(classes) / columns))
    upper, lower = class_rows * _CLASS_HEIGHT, max(3, len(rows)) * _LANE_HEIGHT
    below = _BUDGET_HEAD + len(budgets) * _BUDGET_HEIGHT if budgets else 0.0
    foot = _FOOT + below
    height = _HEAD + upper + 0.95 + lower + foot
    figure = Figure(figsize=(_WIDTH, height))
    _title(figure, height, run, outcome)
    left, right = 0.105, 0.945
    top = 1 - _HEAD / height
    upper_grid = figure.add_gridspec(
        class_rows, columns, left=0.05, right=right, top=top, bottom=top - upper / height, hspace=0.55, wspace=0.26
    )
    unit = _unit(outcome)
    for index, each in enumerate(classes):
        axes = figure.add_subplot(upper_grid[index // columns, index % columns])
        _draw_class(axes, each, window, unit, last=index % columns == columns - 1 or index == len(classes) - 1)
        if index % columns == 0:
            axes.set_ylabel("cards")
    lower_grid = figure.add_gridspec(1, 1, left=left, right=right, top=(foot + lower) / height, bottom=foot / height)
    _draw_lanes(figure.add_subplot(lower_grid[0, 0]), rows, window, outcome)
    if budgets:
        top = (below - _BUDGET_HEAD + 0.15) / height
        budget_grid = figure.add_gridspec(1, 1, left=0.235, right=0.60, top=top, bottom=0.15 / height)
        _draw_budgets(figure.add_subplot(budget_grid[0, 0]), budgets, outcome)
    return figure


def _unit(outcome: Outcome) -> tuple[str, float]:
    """Return how a price is told, and what divides the objective's unit."""
    if outcome.objectives and outcome.objectives[0].unit == "weighted_fen":
        return "CNY", 100.0
    return "weighted card-hours", 1.0


def _title(figure: Figure, height: float, run: Run, outcome: Outcome) -> None:
    name, divisor = _unit(outcome)
    value, bound, gap = outcome.objective_fen or 0, outcome.bound_fen or 0, outcome.gap or 0.0
    what = "surplus" if divisor > 1 else "coverage"
    unmatched = sum(each.blocks_unmatched for each in outcome.unmatched)
    blocks = len(outcome.matches) + unmatched
    subsidy = sum(match.subsidy_fen for match in outcome.matches)
    programmes = ", ".join(programme.id for programme in run.programmes) or "no programme"
    figure.text(
        0.02,
        1 - 0.30 / height,
        f"{len(outcome.matches):,} of {blocks:,} blocks matched · {what} {value / divisor:,.0f} {name}, "
        f"at most {gap:.2%} below the best there is",
        fontsize=14,
        fontweight="bold",
        va="center",
    )
    figure.text(
        0.02,
        1 - 0.58 / height,
        f"method {run.solver.method.value} · {outcome.status.value} · certified bound {bound / divisor:,.0f} {name} · "
        f"{programmes}, subsidy {subsidy / 100:,.0f} CNY · times in UTC",
        fontsize=10,
        color=FAINT,
        va="center",
    )
    figure.legend(
        handles=[
            Patch(facecolor=_CAPACITY, label="cards offered"),
            Patch(facecolor=_USED, label="cards matched"),
            Line2D([], [], color=_PRICE, linewidth=1.4, label=f"congestion price ({name} per card-hour, right axis)"),
        ],
        loc="upper left",
        bbox_to_anchor=(0.013, 1 - 0.72 / height),
        ncols=3,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
    )


def _draw_class(axes: Axes, use: ClassUse, window: Window, unit: tuple[str, float], *, last: bool) -> None:
    pixels = window.hours > _MOST_SHAPES
    axes.stairs(*_stairs(use.capacity, window), fill=True, color=_CAPACITY, linewidth=0, rasterized=pixels)
    axes.stairs(*_stairs(use.used, window), fill=True, color=_USED, linewidth=0, rasterized=pixels)
    axes.set_ylim(0, max(1, int(use.capacity.max())) * 1.04)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    _time_axis(axes, window, 4)
    name = shown(use.name, "chip class")
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold" if plain(name) else None, family=fonts(name), pad=5)
    axes.set_title(f"{use.share:.0%} matched", loc="right", fontsize=9, color=FAINT, pad=5)
    price = axes.twinx()
    price.stairs(*_stairs(use.price / unit[1], window), color=_PRICE, linewidth=1.2, baseline=None, rasterized=pixels)
    price.set_ylim(0, max(_LEAST_PRICE, float(use.price.max()) / unit[1]) * 1.15)
    price.yaxis.set_major_locator(MaxNLocator(3))
    price.tick_params(colors=_PRICE, length=2)
    if last:
        price.set_ylabel(f"{unit[0]}/card-hour" if unit[1] > 1 else "price", color=_PRICE)


def _draw_lanes(axes: Axes, rows: Sequence[Lane], window: Window, outcome: Outcome) -> None:
    begin, end = (_day_number(hour) for hour in (window.first, window.last))
    patches: dict[bool, list[Rectangle]] = {False: [], True: []}
    for index, lane in enumerate(rows):
        bottom, scale = len(rows) - 1 - index + 0.08, 0.84 / lane.cards
        for first, last in _open_hours(lane, window):
            axes.add_patch(Rectangle((first, bottom), last - first, 0.84, facecolor="#f3f5f7", linewidth=0))
        for bar in lane.bars:
            start, hours = _day_number(bar.match.start_hour), bar.match.hours / 24
            box = Rectangle((start, bottom + bar.card * scale), hours, bar.cards * scale)
            patches[bool(bar.match.subsidies)].append(box)
            _name_bar(axes, bar.match, box, end - begin, whole=bar.cards == bar.match.cards)
    for subsidised, boxes in patches.items():
        colour = _SUBSIDISED if subsidised else _PLAIN
        bars = PatchCollection(boxes, facecolor=colour, edgecolor="white", linewidth=0.6)
        bars.set_rasterized(len(boxes) > _MOST_SHAPES)
        axes.add_collection(bars)
    labels = [_offer_label(lane, index) for index, lane in enumerate(rows)]
    axes.set_yticks([len(rows) - 0.5 - index for index in range(len(rows))], labels)
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=TEXT)
    for text, tick in zip(labels, axes.get_yticklabels(), strict=True):
        tick.set_fontfamily(fonts(text))
    axes.set_ylim(0, max(1, len(rows)))
    _time_axis(axes, window, 14)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    offers = len({match.offer for match in outcome.matches})
    told = f"Matches on the {len(rows)} busiest of {offers} offers in use" if offers > len(rows) else "Matches by offer"
    axes.set_title(f"{told}, as tall as their cards", loc="left", fontsize=10, fontweight="bold", pad=8)
    if not rows:
        axes.text(0.5, 0.5, "nothing was matched", transform=axes.transAxes, ha="center", color=FAINT)
    handles = [Patch(facecolor=_SUBSIDISED, label="subsidised"), Patch(facecolor=_PLAIN, label="without subsidy")]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.005, 1.0),
        ncols=2,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
    )


def _draw_budgets(axes: Axes, budgets: Sequence[BudgetUse], outcome: Outcome) -> None:
    """Draw how much of each budget is used, and its shadow price beside it."""
    money = _unit(outcome)[1] > 1
    for index, use in enumerate(budgets):
        at = len(budgets) - 1 - index
        share = use.used_fen / use.limit_fen if use.limit_fen else 1.0
        axes.add_patch(Rectangle((0, at + 0.2), 1, 0.6, facecolor=_CAPACITY, linewidth=0))
        axes.add_patch(Rectangle((0, at + 0.2), share, 0.6, facecolor=_SUBSIDISED, linewidth=0))
        # Per fen of budget the objective gains so many fen: the same number in CNY per CNY.
        each = use.shadow_price_micro / PPM
        told = f"{each:,.3f} CNY per CNY" if money else f"{each * 100:,.4g} weighted card-hours per CNY"
        used, limit = (format_cny(fen).partition(".")[0] for fen in (use.used_fen, use.limit_fen))
        axes.text(1.02, at + 0.5, f"{int(used):,} of {int(limit):,} CNY", va="center", fontsize=8.5)
        axes.text(1.40, at + 0.5, f"shadow price {told}", va="center", fontsize=8.5, color=_PRICE)
    labels = [shown(use.name, f"budget {index + 1}") for index, use in enumerate(budgets)]
    axes.set_yticks([len(budgets) - 0.5 - index for index in range(len(budgets))], labels)
    for text, tick in zip(labels, axes.get_yticklabels(), strict=True):
        tick.set_fontfamily(fonts(text))
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=TEXT)
    axes.set_xticks([])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, len(budgets))
    for side in ("left", "bottom", "right"):
        axes.spines[side].set_visible(False)
    count = len(outcome.budgets)
    title = f"{len(budgets)} of {count} budgets" if count > len(budgets) else "Budgets"
    axes.set_title(
        f"{title}: used of the limit, and what one more unit would add", loc="left", fontsize=10, fontweight="bold",
        pad=6,
    )  # fmt: skip


def _open_hours(lane: Lane, window: Window) -> list[tuple[float, float]]:
    """Return the stretches in which the offer has any cards, inside the window, in days."""
    ends = [hour for hour, _ in lane.offer.steps[1:]] + [window.last]
    stretches: list[tuple[int, int]] = []
    for (hour, cards), end in zip(lane.offer.steps, ends, strict=True):
        first, last = max(hour, window.first), min(end, window.last)
        if not cards or first >= last:
            continue
        if stretches and stretches[-1][1] == first:
            first, _ = stretches.pop()
        stretches.append((first, last))
    return [(_day_number(first), _day_number(last)) for first, last in stretches]


def _name_bar(axes: Axes, match: Match, box: Rectangle, days: float, *, whole: bool) -> None:
    """Write the request's ref on a bar that has the room."""
    text = match.request
    room = box.get_width() / days / _LABELLED * 11
    if whole and box.get_height() > 0.3 and len(text) <= room and drawable(text):  # noqa: PLR2004  a text's height
        x, y = box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, family=fonts(text), color="white", zorder=5)


def _offer_label(lane: Lane, index: int) -> str:
    ref = shown(lane.offer.ref, f"offer {index + 1}")
    return f"{ref}\n{lane.cards:,} × {shown(lane.offer.chip, 'cards')}"


def _time_axis(axes: Axes, window: Window, most: int) -> None:
    days = window.hours / 24
    axes.set_xlim(_day_number(window.first), _day_number(window.last))
    if days <= _FEW_DAYS:
        axes.xaxis.set_major_locator(dates.AutoDateLocator(minticks=2, maxticks=most))
        axes.xaxis.set_major_formatter(dates.DateFormatter("%m-%d %Hh", tz=UTC))
    else:
        axes.xaxis.set_major_locator(dates.DayLocator(interval=1, tz=UTC))
        step = math.ceil(days / most)
        axes.set_xticks([_day_number(window.first + 24 * step * n) for n in range(math.floor(days / step) + 1)])
        axes.xaxis.set_major_formatter(dates.DateFormatter("%m-%d", tz=UTC))
    axes.tick_params(axis="both", length=2, labelsize=8)


def _stairs(values: I64 | F64, window: Window) -> tuple[I64 | F64, F64]:
    """Return values and edges with each stretch of equal values told once."""
    starts = np.flatnonzero(np.diff(values, prepend=values[0] - 1))
    edges = np.append(starts, window.hours).astype(np.float64)
    return values[starts], _day_number(window.first) + edges / 24


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _day_number(hour: int) -> float:
    """Return days since 1970, as Matplotlib counts by default."""
    return (from_hour_index(hour) - _EPOCH) / timedelta(days=1)
