"""Comparisons and prices of clearings on a terminal, whether they come from files or from the service."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from rich.console import Console

from app.commands.console import cny, out, print_table
from app.kit.money import PPM

SHOWN: Final = 10
_COUNTS: Final = (
    ("objective", "objective_fen"),
    ("bound", "bound_fen"),
    ("blocks matched", "matches"),
    ("requests matched", "requests_matched"),
    ("card-hours", "card_hours"),
)
_MONEY: Final = (
    ("surplus, CNY", "surplus_fen"),
    ("cost, CNY", "cost_fen"),
    ("subsidy, CNY", "subsidy_fen"),
    ("net, CNY", "net_fen"),
)


def tell_comparison(console: Console, found: Mapping[str, Any], other: str) -> None:
    """Print a comparison as `compare_results` or the service tells it; `other` names what it is against."""
    this, that = found["this"], found["other"]
    rows: list[tuple[str, ...]] = [
        (label, f"{this[key]:,}", f"{that[key]:,}", f"{this[key] - that[key]:+,}") for label, key in _COUNTS
    ]
    rows += [(label, cny(this[key]), cny(that[key]), _signed(this[key] - that[key])) for label, key in _MONEY]
    print_table(("", ">this", f">{other}", ">more or less"), rows, empty="", to=console)
    totals: Mapping[str, Any] = found["totals"]
    _line(
        console,
        f"{totals['requests_gaining']:,} requests gain {cny(totals['gained_fen'])} CNY of surplus, "
        f"{totals['requests_losing']:,} lose {cny(totals['lost_fen'])} CNY; "
        f"{totals['requests_changed']:,} fare otherwise.",
    )
    if totals["causes"]:
        _line(console, "Why: " + ", ".join(f"{cause} {count:,}" for cause, count in totals["causes"].items()))
    for each in found["config"]:
        _line(console, f"Set otherwise: {each['key']}: {_setting(each['this'])}, there {_setting(each['other'])}")
    _requests(console, found["requests"][:SHOWN])
    _suppliers(console, found["suppliers"][:SHOWN])


def _setting(value: object) -> str:
    """Return a setting in words; of an object what it sets."""
    if isinstance(value, Mapping):
        named = cast("Mapping[str, object]", value)
        return ", ".join(f"{key} {part}" for key, part in named.items() if key not in ("name", "id"))
    return "none" if value in (None, []) else str(value)


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _signed(fen: int) -> str:
    return f"{'-' if fen < 0 else '+'}{cny(abs(fen))}"


def _requests(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    console.print()
    print_table(
        ("request", ">surplus, CNY", ">net, CNY", ">card-hours", "what", "why"),
        (
            (
                row.get("request_ref") or row["request_id"],
                _signed(row["surplus_gain_fen"]),
                _signed(row["this"]["net_fen"] - row["other"]["net_fen"]),
                f"{row['this']['card_hours'] - row['other']['card_hours']:+,}",
                row["effects"],
                _why(row),
            )
            for row in rows
        ),
        empty="",
        to=console,
    )


def _why(row: Mapping[str, Any]) -> str:
    """Return the causes, and the reason code of the side that matched fewer blocks."""
    this, other = row["this"], row["other"]
    code = this["code"] if this["blocks"] < other["blocks"] else other["code"]
    told = f" ({code})" if code and this["blocks"] != other["blocks"] else ""
    return ", ".join(row["causes"]) + told


def _suppliers(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    console.print()
    print_table(
        ("supplier", ">sales, CNY", ">card-hours"),
        (
            (
                row["ref"],
                _signed(row["this"]["cost_fen"] - row["other"]["cost_fen"]),
                f"{row['this']['card_hours'] - row['other']['card_hours']:+,}",
            )
            for row in rows
        ),
        empty="",
        to=console,
    )


def print_prices(unit: str, runs: Iterable[tuple[str, datetime, int, int]]) -> None:
    """Print stretches above price 0, given as (class, start, hours, millionths of the unit per card-hour)."""
    is_money = unit == "weighted_fen"
    print_table(
        ("chip class", "from (UTC)", ">hours", ">CNY per card-hour" if is_money else f">{unit} per card-hour"),
        (
            (name, f"{start:%Y-%m-%d %H:%M}", f"{hours:,}", f"{price / PPM / (100 if is_money else 1):,.4f}")
            for name, start, hours, price in runs
            if price
        ),
        empty="Cards are plentiful: no congestion price is above 0.",
    )


def print_budgets(unit: str, budgets: Iterable[Mapping[str, Any]]) -> None:
    """Print what is used of each budget, and what one more fen would add in units of the objective."""
    out.print()
    print_table(
        ("budget", ">limit, CNY", ">used, CNY", f">{unit} per fen"),
        (
            (each["budget"], cny(each["limit_fen"]), cny(each["used_fen"]), f"{each['shadow_price_micro'] / PPM:,.6f}")
            for each in budgets
        ),
        empty="No budget took part.",
    )
