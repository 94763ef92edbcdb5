"""`cardhour clear` and `cardhour verify-clearing`: clearings on market files, with no database."""

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from app.commands.clearing_tables import tell_comparison
from app.commands.what_ifs import OfferSet, Settings, parse_offer_changes, parse_settings
from app.kit.money import PPM, format_cny
from app.kit.time import hour_index, parse_rfc3339
from app.matching.comparing import LISTED, compare_results
from app.matching.core.codec import instance_sha256
from app.matching.core.config import Forbid, Method, Objective, Pin, Share, SolverConfig
from app.matching.core.cpsat import ModelTooLargeError
from app.matching.core.instance import Instance
from app.matching.core.limits import InstanceError
from app.matching.core.objective import enabled_card_hours, windfall_fen
from app.matching.core.outcome import Outcome
from app.matching.core.solve import solve
from app.matching.core.verify import WITH_MATCHES, VerificationError, verify
from app.matching.core.warm import warm_up
from app.matching.core.watch import Report
from app.matching.files import Market, MarketError, default_as_of, instance_of, read_market
from app.matching.results import (
    Result,
    ResultError,
    Run,
    read_instance,
    read_result,
    result_from_json,
    result_to_json,
    write_result,
)
from app.vouchers.programmes import Programme, ProgrammeError, load_programme

clearing = typer.Typer(help="Clear market files and check what came of it.")
LINE_EVERY_S: Final = 5.0
WRONG: Final = 1
REFUSED: Final = 2
BAD_INPUT = (MarketError, ProgrammeError, InstanceError, ModelTooLargeError, ResultError)

MarketFolder = Annotated[Path, typer.Option("--market", help="Folder with offers, requests, buyers and suppliers.")]
ClearedMarket = Annotated[Path | None, typer.Option("--market", help="Folder of the market that was cleared.")]
InstanceFile = Annotated[Path | None, typer.Option("--instance", help="What a service says it cleared, instead.")]
ChipsFile = Annotated[Path | None, typer.Option("--chips", help="The chips file, if it isn't beside the market.")]


def refuse(message: str) -> typer.Exit:
    """Say what was refused and return the exit with it."""
    Console(stderr=True).print(f"[bold red]refused[/]: {message}", highlight=False, soft_wrap=True)
    return typer.Exit(REFUSED)


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _pin(text: str) -> Pin:
    request, equals, rest = text.partition("=")
    offer, at, start = rest.partition("@")
    if not equals or not request or not offer:
        raise typer.BadParameter(f"{text!r} is not REQUEST=OFFER or REQUEST=OFFER@START")
    moment = _moment(start if at else None)
    if moment is not None and (moment.minute or moment.second or moment.microsecond):
        raise typer.BadParameter(f"{text!r}: a start is on a whole hour")
    return Pin(request, offer, None if moment is None else hour_index(moment))


def _forbid(text: str) -> Forbid:
    request, equals, offer = text.partition("=")
    if not equals or not request or not offer:
        raise typer.BadParameter(f"{text!r} is not REQUEST=OFFER")
    return Forbid(request, offer)


def _share(text: str) -> Share:
    name, equals, value = text.rpartition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not buyer/REF=SHARE or supplier/REF=SHARE")
    return Share(name, _ppm(value))


def _ppm(text: str) -> int:
    try:
        scaled = Decimal(text) * PPM
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number") from None
    if scaled != scaled.to_integral_value() or not 0 <= scaled <= 10 * PPM:
        raise typer.BadParameter(f"{text!r} is not a number of at most six decimals between 0 and 10")
    return int(scaled)


class _Screen:
    """Live progress on a terminal; elsewhere a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._told = 0.0

    def __enter__(self) -> Callable[[Report], None]:
        if self._live is not None:
            self._live.start()
        return self._show

    def __exit__(self, *_exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _show(self, report: Report) -> None:
        now = time.monotonic()
        if now - self._told < (0.2 if self._live is not None else LINE_EVERY_S):
            return
        self._told = now
        cells = _cells(report)
        if self._live is None:
            self._console.print("  ".join(f"{name} {value}" for name, value in cells.items()), highlight=False)
            return
        table = Table(*cells)
        table.add_row(*cells.values())
        self._live.update(table, refresh=True)


def _cells(report: Report) -> dict[str, str]:
    gap = report.gap
    return {
        "phase": report.phase,
        "best": "-" if report.best is None else f"{report.best:,}",
        "bound": "-" if report.bound is None else f"{report.bound:,.0f}",
        "gap": "-" if gap is None else f"{gap:.2%}",
        "seconds": f"{report.seconds:.1f}",
    }


def _peak_rss_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform != "darwin" else peak // 1024**2


def _load(market: Path, chips: Path | None, run: Run) -> tuple[Market, Instance, Run]:
    """Read the market and make the instance; the default of `--as-of` is filled in."""
    read = read_market(market, chips)
    as_of = run.as_of or default_as_of(read)
    full = replace(run, as_of=as_of)
    return read, instance_of(read, full.programmes, as_of, full.limit_requests, full.offer_changes), full


def cleared_from(result: Result, market: Path | None, chips: Path | None, file: Path | None) -> Instance:
    """Return what a clearing's file says it cleared: a market's folder, or the file of an instance.

    Raises:
        VerificationError: if it is of another.
        MarketError, InstanceError: if there is none that can be read.
    """
    if (market is None) == (file is None) or (chips is not None and market is None):
        raise typer.BadParameter("give --market DIR (and --chips if need be), or --instance FILE")
    if market is None:
        assert file is not None  # noqa: S101  one of the two
        instance, rejected = read_instance(file), ()
    else:
        try:
            read, instance, _ = _load(market, chips, result.run)
        except InstanceError as error:
            if not error.path.startswith("config/"):
                raise
            raise VerificationError(str(error)) from None
        rejected = read.rejected
    sha256 = instance_sha256(instance)
    if sha256 != result.instance_sha256:
        name = "market" if file is None else "instance"
        raise VerificationError(f"instance_sha256 is {result.instance_sha256}, the {name} gives {sha256}")
    if rejected != result.rejected:
        raise VerificationError("rejected_rows are not those of the market")
    return instance


def read_checked(file: Path, market: Path | None, chips: Path | None, instance: Path | None) -> tuple[Result, Instance]:
    """Read a clearing that has matches and what it cleared, and check that the one is of the other and holds.

    Raises:
        VerificationError: if it is another's, has no outcome or does not hold.
        ResultError, MarketError, InstanceError: if either can't be read.
    """
    result = read_result(file)
    try:
        cleared = cleared_from(result, market, chips, instance)
    except VerificationError as error:
        raise VerificationError(
            f"{file.name} is not a clearing of this {'market' if market else 'instance'}: {error}"
        ) from None
    if result.outcome.status not in WITH_MATCHES:
        raise VerificationError(f"{file.name} has nothing to show: the run ended {result.outcome.status.value}")
    verify(cleared, result.run.solver, result.outcome, explained=False)
    return result, cleared


@clearing.command()
def clear(
    market: MarketFolder,
    out: Annotated[Path, typer.Option("--out", help="Where to write the result.")],
    programme: Annotated[
        list[str] | None, typer.Option("--programme", help="A voucher programme, or a file of one (.toml); repeatable.")
    ] = None,
    settings: Settings = None,
    method: Annotated[Method, typer.Option(help="The engine, first come first served, or one CP-SAT model.")] = (
        Method.CLEAR
    ),
    objective: Annotated[Objective, typer.Option(help="What to seek.")] = Objective.SURPLUS,
    kappa: Annotated[str, typer.Option(help="Cost of public funds: 0 counts subsidy as no cost.")] = "0",
    as_of: Annotated[str | None, typer.Option(help="Whose year the contracts are of; the earliest submission.")] = None,
    chips: ChipsFile = None,
    limit_requests: Annotated[int | None, typer.Option(min=1, help="Only the first by submission.")] = None,
    offer_set: OfferSet = None,
    pin: Annotated[list[str] | None, typer.Option("--pin", help="REQUEST=OFFER[@START]; repeatable.")] = None,
    forbid: Annotated[list[str] | None, typer.Option("--forbid", help="REQUEST=OFFER; repeatable.")] = None,
    share: Annotated[
        list[str] | None, typer.Option("--share", help="buyer/REF=0.2 or supplier/REF=0.2; repeatable.")
    ] = None,
    time_limit: Annotated[float | None, typer.Option(min=0.01, help="Seconds for the search.")] = None,
    work_limit: Annotated[int | None, typer.Option(min=1, help="Units of work instead: reproducible.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="For the search's random choices.")] = 0,
    against: Annotated[
        Path | None, typer.Option("--against", help="An earlier result of this market: tell who gains, who loses, why.")
    ] = None,
    comparison: Annotated[
        Path | None, typer.Option("--comparison", help="Where to write the comparison as JSON; with --against.")
    ] = None,
) -> None:
    """Clear a market from files and write the result with its certificate and explanations.

    Example: `cardhour clear --market philly-cn --programme open-example --time-limit 120 --out o.json`
    """
    console = Console(stderr=True)
    if time_limit is not None and work_limit is not None:
        raise typer.BadParameter("give --time-limit or --work-limit, not both")
    if comparison is not None and against is None:
        raise typer.BadParameter("--comparison goes with --against")
    solver = SolverConfig(
        method=method,
        objective=objective,
        kappa_ppm=_ppm(kappa),
        pins=tuple(sorted(map(_pin, pin or []), key=lambda item: (item.request, item.offer, item.start_hour or 0))),
        forbids=tuple(sorted(map(_forbid, forbid or []))),
        shares=tuple(sorted(map(_share, share or []))),
        seed=seed,
        time_limit_s=time_limit,
        work_limit=work_limit,
        workers=1 if work_limit is not None else min(64, os.cpu_count() or 1),
    )
    wanted = Run(solver, (), _moment(as_of), limit_requests, parse_offer_changes(offer_set or []))
    other = None if against is None else _other(against, market, chips)
    began = time.monotonic()
    try:
        programmes = _programmes(programme or [], settings or [])
        read, instance, run = _load(market, chips, replace(wanted, programmes=programmes))
        with _Screen(console) as show:
            show(Report("compile", None, None, 0.0))
            warm_up()
            outcome = solve(instance, solver, progress=show)
        if outcome.status in WITH_MATCHES:
            verify(instance, solver, outcome, explained=False)
    except BAD_INPUT as error:
        raise refuse(str(error)) from None
    body = result_to_json(
        instance_sha256(instance),
        run,
        outcome,
        read.rejected,
        seconds=time.monotonic() - began,
        peak_rss_mib=_peak_rss_mib(),
    )
    try:
        write_result(out, body)
    except OSError as error:
        raise refuse(f"{out}: {error.strerror}") from None
    _summary(console, instance, outcome, len(read.rejected))
    if outcome.status not in WITH_MATCHES:
        raise typer.Exit(WRONG)
    if other is not None:
        found = compare_results((instance, result_from_json(body)), (other[1], other[0]), LISTED)
        try:
            if comparison is not None:
                comparison.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise refuse(f"{comparison}: {error.strerror}") from None
        tell_comparison(console, found, against.name if against else "")


def _programmes(names: list[str], settings: list[str]) -> tuple[Programme, ...]:
    """Return the programmes named, with the numbers set, by id.

    Raises:
        ProgrammeError: for one that can't be read, or two of one id.
    """
    files: dict[str, str] = {}
    for name in dict.fromkeys(names):
        own = load_programme(name).id
        if own in files:
            raise ProgrammeError(name, [(None, "id", f"{own} is given twice, by {files[own]} too")])
        files[own] = name
    chosen = parse_settings(settings, list(files))
    return tuple(load_programme(files[own], chosen[own]) for own in sorted(files))


def _other(file: Path, market: Path, chips: Path | None) -> tuple[Result, Instance]:
    try:
        return read_checked(file, market, chips, None)
    except (VerificationError, *BAD_INPUT) as error:
        raise refuse(f"--against {error}") from None


def _summary(console: Console, instance: Instance, outcome: Outcome, rejected: int) -> None:
    if outcome.objective_fen is None:
        console.print(f"{outcome.status.value}: {outcome.detail}", highlight=False, soft_wrap=True)
        return
    subsidy = sum(match.subsidy_fen for match in outcome.matches)
    rows = {
        "status": outcome.status.value,
        "objective": f"{outcome.objective_fen:,} ({outcome.objectives[0].unit})",
        "bound": f"{outcome.bound_fen:,}",
        "gap": "-" if outcome.gap is None else f"{outcome.gap:.2%}",
        "matches": f"{len(outcome.matches):,}",
        "requests not fully matched": f"{len(outcome.unmatched):,}",
        "rejected rows": f"{rejected:,}",
        "subsidy": f"{format_cny(subsidy)} CNY",
        "of it beyond need": f"{format_cny(windfall_fen(instance, outcome.matches))} CNY",
        "card-hours enabled by subsidy": f"{enabled_card_hours(instance, outcome.matches):,}",
    }
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table, highlight=False)


def _check(result: Result, instance: Instance) -> None:
    """Check a clearing's file against what it cleared.

    Raises:
        VerificationError: with the first thing wrong.
    """
    try:
        verify(instance, result.run.solver, result.outcome)
    except InstanceError as error:
        raise VerificationError(f"config: {error}") from None
    if result.gap != result.outcome.gap:
        raise VerificationError(f"gap is {result.gap}, recomputed {result.outcome.gap}")


@clearing.command("verify-clearing")
def verify_clearing(
    file: Annotated[Path, typer.Argument(help="What `cardhour clear` wrote, or a service's certificate.")],
    market: ClearedMarket = None,
    chips: ChipsFile = None,
    instance: InstanceFile = None,
) -> None:
    """Check a clearing without any solver: feasibility, amounts, objective, bound, explanations.

    Exits 0 if all of it holds, else 1 with the first thing wrong. A service's clearing is checked against the instance
    that it gives out: `cardhour clearings download`.

    Example: `cardhour verify-clearing --market philly-cn o.json`
    """
    console = Console(stderr=True)
    try:
        result = read_result(file)
        _check(result, cleared_from(result, market, chips, instance))
    except (VerificationError, ResultError) as error:
        console.print(f"[bold red]wrong[/]: {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(WRONG) from None
    except (MarketError, InstanceError) as error:
        raise refuse(str(error)) from None
    outcome = result.outcome
    told = json.dumps(
        {
            "status": outcome.status.value,
            "matches": len(outcome.matches),
            "objective_fen": outcome.objective_fen,
            "bound_fen": outcome.bound_fen,
            "gap": outcome.gap,
        }
    )
    typer.echo(f"holds: {told}")


@clearing.command("checker")
def checker(
    out: Annotated[Path, typer.Option(help="Folder to write it to; made if need be.", file_okay=False)],
) -> None:
    """Write out a second checker: one file, `check_clearing.py`, that needs only Python and NumPy, not Cardhour.

    It shares no code with the engine or with `cardhour verify-clearing`. The shipped catalogue of chips goes with it,
    for markets without a `chips.csv`.

    Example: `cardhour checker --out check && python check/check_clearing.py --market philly-cn o.json`
    """
    out.mkdir(parents=True, exist_ok=True)
    for package, folder, name in (
        ("app.matching", "standalone", "check_clearing.py"),
        ("app.catalog", "data", "chips.csv"),
    ):
        with resources.as_file(resources.files(package) / folder / name) as path:
            shutil.copyfile(path, out / name)
        typer.echo(str(out / name))
