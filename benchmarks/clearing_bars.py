"""The bars that the clearing engine is held to, judged on the benchmark's results, and the tables of the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Row = dict[str, Any]
Rows = Mapping[str, Row]
Judged = tuple[str, bool, bool]
# What CI holds at a fixed work limit: a little below what the engine reached when these were set.
GUARDS: Final = {"guard-sample": (1.22, 0.012), "guard-scarce": (1.31, 0.06)}


@dataclass(frozen=True)
class Bar:
    """One row of the table: `judge` returns what was reached and whether that is the must and the aim."""

    name: str
    must: str
    aim: str
    case: str
    judge: Callable[[Row], Judged]


def _run(row: Row, method: str = "clear") -> Row:
    return next(run for run in row["runs"] if run["method"] == method)


def _gap(must: float, aim: float, *, seconds: float | None = None, mib: int | None = None) -> Callable[[Row], Judged]:
    def judge(row: Row) -> Judged:
        run = _run(row)
        within = (seconds is None or run["wall_seconds"] <= seconds) and (mib is None or run["peak_rss_mib"] <= mib)
        gap = run["gap"]
        told = f"{gap:.2%} ({run['wall_seconds']:.0f} s in all, {run['peak_rss_mib']:,} MiB)"
        return told, within and gap <= must, within and gap <= aim

    return judge


def _proved(row: Row) -> Judged:
    run = _run(row)
    return f"{run['gap']:.2%}, {run['status']}", run["gap"] <= 0.02, run["status"] == "optimal"  # noqa: PLR2004  the bar


def _ratio(rival: str, must: float, aim: float) -> Callable[[Row], Judged]:
    def judge(row: Row) -> Judged:
        ratio = row[f"ratio_to_{rival}"]
        return f"{ratio:.3f} ×", ratio >= must, ratio >= aim

    return judge


def _tiny(row: Row) -> Judged:
    count = row["markets"]
    told = f"{row['cpsat_equal']} and {row['clear_between']} of {count}; clear equal in {row['clear_equal']}"
    must = row["cpsat_equal"] == row["clear_between"] == count
    return told, must, must and row["clear_equal"] == count


def _growth(row: Row) -> Judged:
    exponent = row["exponent"]
    if exponent is None:
        return "not every size reached the gap", False, False
    return f"{exponent:.2f}", exponent <= 1.2, exponent <= 1.0  # noqa: PLR2004  the bar


def _quote(row: Row) -> Judged:
    return f"{row['p99_ms']:.2f} ms", row["p99_ms"] <= 20, row["p99_ms"] <= 2  # noqa: PLR2004  the bar


def _assignment(row: Row) -> Judged:
    whole = row["all_jobs_matched"] == row["instances"]
    told = f"worst {row['worst_ratio']:.4f} ×, {row['equal']} of {row['instances']} equal"
    return told, whole and row["within_half_percent"] == row["instances"], whole and row["equal"] == row["instances"]


BARS: Final = (
    Bar("≤ 12 requests: cpsat equals brute force, clear between fcfs and it", "all", "clear equal too", "tiny", _tiny),
    Bar("S: value against direct CP-SAT (60 s)", "≥ 1.00 ×", "≥ 1.00 ×", "S", _ratio("cpsat", 1.0, 1.0)),
    Bar("S: gap in 10 s", "≤ 2 %", "proved optimal", "S", _proved),
    Bar("M: gap in 20 s", "≤ 4 %", "1 %", "M", _gap(0.04, 0.01)),
    Bar("L: gap in 60 s, ≤ 2 GiB", "≤ 4.5 %", "1 %", "L", _gap(0.045, 0.01, mib=2048)),
    Bar("XL: gap, ≤ 15 min in all, ≤ 8 GiB", "≤ 7 %", "2 %", "XL", _gap(0.07, 0.02, seconds=900, mib=8192)),
    Bar("philly-cn: gap in 120 s", "≤ 5 %", "1 %", "philly-cn", _gap(0.05, 0.01)),
    Bar("M: value against direct CP-SAT (5 × the time)", "≥ 1.04 ×", "1.07 ×", "M", _ratio("cpsat", 1.04, 1.07)),
    Bar("M: value against first come", "≥ 1.10 ×", "1.25 ×", "M", _ratio("fcfs", 1.10, 1.25)),
    Bar("L: value against first come", "≥ 1.10 ×", "1.25 ×", "L", _ratio("fcfs", 1.10, 1.25)),
    Bar("philly-cn: value against first come", "≥ 1.10 ×", "1.25 ×", "philly-cn", _ratio("fcfs", 1.10, 1.25)),
    Bar("growth 1 k → 100 k: exponent of time to a gap of 7 %", "≤ 1.2", "1.0", "growth", _growth),
    Bar("quote at L, in process: p99", "≤ 20 ms", "2 ms", "quote", _quote),
    Bar("GAP, every job matched: cost against the optimum, 10 s", "≤ 1.005 ×", "all equal", "gap", _assignment),
)  # fmt: skip


def judge_bars(rows: Rows) -> list[Row]:
    """Return a row for each bar: what was reached, `reached` being aim, must or no; `not run` has a reason."""
    judged: list[Row] = []
    for bar in BARS:
        row = rows.get(bar.case)
        told: Row = {"bar": bar.name, "must": bar.must, "aim": bar.aim}
        if row is None or "skipped" in row:
            reason = "not chosen" if row is None else row["skipped"]
            judged.append(told | {"value": None, "reached": "not run", "reason": reason})
            continue
        value, must, aim = bar.judge(row)
        judged.append(told | {"value": value, "reached": "aim" if aim else "must" if must else "no"})
    return judged


def judge_guards(rows: Rows) -> list[Row]:
    """Return whether the ratio to first come and the gap hold at the fixed work limit, for each guard that was run."""
    judged: list[Row] = []
    for name, (least, most) in GUARDS.items():
        if name in rows:
            row = rows[name]
            ratio, gap = row["ratio_to_fcfs"], _run(row)["gap"]
            judged.append(
                {"guard": name, "ratio_to_fcfs": ratio, "at_least": least, "gap": gap, "at_most": most}
                | {"holds": ratio is not None and gap is not None and ratio >= least and gap <= most}
            )
    return judged


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def markdown(report: Row) -> str:
    """Return the report's tables: the machine, the bars, every run, growth."""
    machine = report["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}"
    what = f"Python {machine['python']}; Cardhour {report['version']}; {report['date']}; scale `{report['scale']}`."
    lines = [f"{where}; {what}", ""]
    if report["scale"] == "full":
        lines += _table(
            ("bar", "must", "aim", "reached", ""),
            [
                (
                    row["bar"],
                    row["must"],
                    row["aim"],
                    row["value"] or f"not run: {row['reason']}",
                    _mark(row["reached"]),
                )
                for row in report["bars"]
            ],
        )
        lines.append("")
    lines += _table(
        ("market", "method", "limit", "status", "value", "bound", "gap", "seconds", "MiB", "× fcfs", "× cpsat"),
        [cells for row in report["cases"] for cells in _runs(row)],
    )
    skipped = [row for row in report["cases"] if "skipped" in row]
    lines += ["", *(f"{row['case']} was not run: {row['skipped']}." for row in skipped)] if skipped else []
    growth = next((row for row in report["cases"] if row["case"] == "growth" and "points" in row), None)
    if growth is not None:
        lines += ["", f"Seconds to a gap of {growth['gap']:.0%}, the growth series:", ""]
        points = [(f"{p['requests']:,}", _number(p["seconds"]), f"{p['peak_rss_mib']:,}") for p in growth["points"]]
        lines += _table(("requests", "seconds", "MiB"), points)
    return "\n".join(lines) + "\n"


def _mark(reached: str) -> str:
    return {"aim": "**aim**", "must": "must", "no": "missed"}.get(reached, "")


def _runs(row: Row) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = []
    for run in row.get("runs", []):
        is_mine = run["method"] == "clear"
        limit = f"{run['seconds_limit']:g} s" if run["work_limit"] is None else f"{run['work_limit']} units"
        cells.append(
            (
                row["case"],
                run["method"],
                limit,
                run["status"],
                _number(run["objective_fen"]),
                _number(run["bound_fen"]),
                "" if run["gap"] is None else f"{run['gap']:.2%}",
                f"{run['wall_seconds']:g}",
                f"{run['peak_rss_mib']:,}",
                _times(row["ratio_to_fcfs"]) if is_mine else "",
                _times(row["ratio_to_cpsat"]) if is_mine else "",
            )
        )
    return cells


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3f}"
