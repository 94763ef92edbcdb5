"""`cardhour reports`: how pools burn down, what was paid, and what it enabled; as tables, CSV or pictures."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from app.client.types import BurnDownOut, EffectOut, EffectRow, ReportFormat, TotalsOut, TotalsRow
from app.client.types import Group as GroupName
from app.commands.console import AsJson, api, cny, local_time, out, print_fields, print_json, print_table

reports = typer.Typer(help="Reports on voucher money (the desk, auditors).", no_args_is_help=True)


class Group(StrEnum):
    """What figures are told by; Typer takes no list of literals."""

    PROGRAMME = "programme"
    YEAR = "year"
    BUYER_KIND = "buyer_kind"
    CHIP_ORIGIN = "chip_origin"


_NAMES: Final[dict[Group, GroupName]] = {
    Group.PROGRAMME: "programme",
    Group.YEAR: "year",
    Group.BUYER_KIND: "buyer_kind",
    Group.CHIP_ORIGIN: "chip_origin",
}
_FORMATS: Final[dict[str, ReportFormat]] = {".csv": "csv", ".svg": "svg", ".png": "png", ".json": "json"}
_LAST_DAYS: Final = 10
By = Annotated[
    list[Group] | None,
    typer.Option(help="What to tell it by; repeatable, by default the programme.", show_default=False),
]
OnlyProgramme = Annotated[list[str] | None, typer.Option("--programme", help="Only of this programme; repeatable.")]
OnlyYear = Annotated[int | None, typer.Option("--year", min=2000, max=2200, help="Only of the budgets of this year.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write it there, as .csv, .svg, .png or .json; else print it.")
]


def _names(by: list[Group] | None) -> list[GroupName]:
    return [_NAMES[each] for each in by or [Group.PROGRAMME]]


def _write(path: Path, read: Callable[[ReportFormat], bytes]) -> None:
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise typer.BadParameter(f"{path}: a report is .csv, .svg, .png or .json")
    content = read(kind)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    out.print(f"Written to {path}.", soft_wrap=True)


@reports.command("burn-down")
def burn_down(
    programme: Annotated[str, typer.Argument(help="The programme's id.")],
    year: Annotated[int | None, typer.Option(min=2000, max=2200, help="By default the present one.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many last days make the forecast's pace.")] = 28,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Show how a programme's pool of a year burns down, and when it is used up at the pace of the last days.

    Example: `cardhour reports burn-down open-example -o pool.svg`
    """
    with api() as client:
        if output is not None:
            _write(output, lambda kind: client.reports.burn_down_file(programme, year=year, days=days, format=kind))
            return
        report = client.reports.burn_down(programme, year=year, days=days)
    if as_json:
        print_json(report)
        return
    _print_burn_down(report)


def _print_burn_down(report: BurnDownOut) -> None:
    found = report["forecast"]
    told = {
        "runs_out": f"used up on {local_time(found['used_up_at'])}",
        "lasts": f"lasts: {cny(found['left_at_year_end_fen'])} left at the year's end",
        "no_pace": "nothing was drawn lately",
        "used_up": "it is used up",
        "year_over": "its year is over",
        "no_cap": "it has no cap",
    }
    print_fields(
        (
            ("programme", f"{report['programme']} version {report['version']}, {report['year']}"),
            ("pool", cny(report["pool_fen"]) or "no cap"),
            ("issued", cny(report["issued_fen"])),
            ("earmarked", cny(report["earmarked_fen"])),
            ("left", cny(report["left_fen"])),
            ("redeemed", cny(report["redeemed_fen"])),
            ("drawn", f"{cny(found['drawn_fen'])} since {local_time(found['window_from'])}"),
            ("pace", f"{cny(found['fen_per_day'])} a day"),
            ("forecast", told[found["verdict"]]),
        )
    )
    print_table(
        ("day", ">issued", ">earmarked", ">left", ">redeemed"),
        (
            (
                day["day"],
                *(cny(fen) for fen in (day["issued_fen"], day["earmarked_fen"], day["left_fen"], day["redeemed_fen"])),
            )
            for day in report["days"][-_LAST_DAYS:]
        ),
        empty="No day yet.",
    )


@reports.command("totals")
def totals(
    by: By = None,
    programme: OnlyProgramme = None,
    year: OnlyYear = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Show what was earmarked, issued, redeemed, claimed and paid, by group and in all.

    Example: `cardhour reports totals --by programme --by buyer_kind -o totals.csv`
    """
    names = _names(by)
    with api() as client:
        if output is not None:
            _write(
                output,
                lambda kind: client.reports.totals_file(by=names, programme=programme, year=year, format=kind),
            )
            return
        report = client.reports.totals(by=names, programme=programme, year=year)
    if as_json:
        print_json(report)
        return
    sums = ("earmarked", "issued", "redeemed", "returned", "left", "clawed back", "claimed", "paid")
    print_table(
        (*report["by"], ">vouchers", *(f">{name}" for name in sums)),
        ((*_groups(row, report), row["vouchers"], *_sums(row)) for row in (*report["rows"], report["total"])),
        empty="No voucher yet.",
    )


def _sums(row: TotalsRow) -> tuple[str, ...]:
    return tuple(
        cny(fen)
        for fen in (
            row["earmarked_fen"],
            row["issued_fen"],
            row["redeemed_fen"],
            row["returned_fen"],
            row["left_fen"],
            row["clawed_back_fen"],
            row["claimed_fen"],
            row["paid_fen"],
        )
    )


def _groups(row: TotalsRow | EffectRow, report: TotalsOut | EffectOut) -> list[object]:
    if row is report["total"]:
        return ["total", *[""] * (len(report["by"]) - 1)]
    return [row[name] for name in report["by"]]


@reports.command("effect")
def effect(
    by: By = None,
    programme: OnlyProgramme = None,
    year: OnlyYear = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Show the card-hours that each CNY of subsidy enabled, by group and in all.

    Example: `cardhour reports effect --by chip_origin`
    """
    names = _names(by)
    with api() as client:
        if output is not None:
            _write(
                output,
                lambda kind: client.reports.effect_file(by=names, programme=programme, year=year, format=kind),
            )
            return
        report = client.reports.effect(by=names, programme=programme, year=year)
    if as_json:
        print_json(report)
        return
    print_table(
        (*report["by"], ">contracts", ">card-hours", ">settled", ">redeemed", ">card-hours per CNY"),
        (
            (
                *_groups(row, report),
                row["contracts"],
                f"{row['card_seconds'] // 3600:,}",
                cny(row["settled_fen"]),
                cny(row["redeemed_fen"]),
                row["card_hours_per_cny"],
            )
            for row in (*report["rows"], report["total"])
        ),
        empty="Nothing was redeemed yet.",
    )
