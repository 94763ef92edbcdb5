"""`cardhour clearings`: clear the open market, and look at what came of it."""

import json
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from app.client import JobFailed
from app.client.types import ClearingIn, ClearingOut, ClearingState
from app.commands.clearing_tables import print_budgets, print_prices, tell_comparison
from app.commands.console import (
    EXIT_REFUSED,
    TIME_HELP,
    AsJson,
    Quiet,
    api,
    cny,
    err,
    local_time,
    moment,
    out,
    print_fields,
    print_ids,
    print_json,
    print_table,
)
from app.commands.what_ifs import OfferSet, Settings, parse_offer_changes, parse_settings
from app.matching.core.what_if import changes_to_json

clearings = typer.Typer(help="Clearings: run, list, show, compare, their prices, cancel.", no_args_is_help=True)
ClearingId = Annotated[str, typer.Argument(help="The clearing's id (clr_…).")]


def _gap(gap: float | None) -> str:
    return "" if gap is None else f"{gap:.2%}"


def _print(clearing: ClearingOut, as_json: bool) -> None:
    if as_json:
        print_json(clearing)
        return
    result, error = clearing["result"], clearing["error"]
    fields: list[tuple[str, object]] = [
        ("id", clearing["id"]),
        ("mode", clearing["mode"]),
        ("state", clearing["state"]),
        ("asked for", local_time(clearing["created_at"])),
        ("ended", local_time(clearing["finished_at"])),
    ]
    if result is not None:
        fields += [
            ("status", result["status"]),
            ("objective", f"{result['objective_fen']:,}"),
            ("bound", f"{result['bound_fen']:,}"),
            ("gap", _gap(result["gap"])),
            ("blocks matched", result["matches"]),
            ("blocks reserved", result["reserved"]),
            ("lost meanwhile", len(result["losers"])),
        ]
    if error is not None:
        fields += [("error", f"{error['detail']} ({error['code']})")]
    print_fields(fields)


@clearings.command("run")
def run_clearing(
    mode: Annotated[Literal["dry_run", "apply"], typer.Option(help="apply reserves what is matched.")] = "dry_run",
    objective: Annotated[Literal["surplus", "coverage", "thrift"], typer.Option(help="What to seek.")] = "surplus",
    programme: Annotated[
        list[str] | None, typer.Option(help="A voucher programme; repeatable. Without: all that are open.")
    ] = None,
    time_limit: Annotated[int | None, typer.Option(min=1, max=3600, help="Seconds for the search.")] = None,
    work_limit: Annotated[int | None, typer.Option(min=1, help="Units of work instead: reproducible.")] = None,
    limit_requests: Annotated[int | None, typer.Option(min=1, help="Only the first by submission.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="For the search's random choices.")] = 0,
    settings: Settings = None,
    offer_set: OfferSet = None,
    base: Annotated[
        str | None, typer.Option("--base", help="Solve again what this clearing cleared (clr_…); dry runs only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Clear the open market and follow the run to its end (the desk). Exits 1 if it ends without a result.

    An offer of `--offer-set` is named by its id: `offer/offer_….price=+10%`.

    Example: `cardhour clearings run --mode apply --programme open-example --time-limit 60`
    """
    chosen = parse_settings(settings or [], programme or [])
    body: dict[str, Any] = {"mode": mode, "objective": objective, "seed": seed}
    body |= {"time_limit_s": time_limit, "work_limit": work_limit}
    if programme:
        body["programmes"] = [{"id": name, "set": chosen[name]} for name in programme]
    if offer_set:
        body["offer_changes"] = [_change(change) for change in changes_to_json(parse_offer_changes(offer_set))]
    if base is not None:
        body["base_clearing_id"] = base
    if limit_requests is not None:
        body["filters"] = {"limit_requests": limit_requests}
    wanted: ClearingIn = body  # pyright: ignore[reportAssignmentType]  made above as the type says
    with api() as client, err.status("waiting …") as status:

        def show(clearing: ClearingOut) -> None:
            told = clearing["progress"]
            if told is not None:
                best = "" if told["best"] is None else f", best {told['best']:,}, gap {_gap(told['gap']) or '-'}"
                status.update(f"{told['phase']}{best}")

        try:
            clearing = client.clearings.run(wanted, on_progress=show)
        except JobFailed as failed:
            error = failed.job["error"]
            err.print(Text.assemble(("Error: ", "bold red"), f"{error['detail']} ({error['code']})"), soft_wrap=True)
            raise typer.Exit(EXIT_REFUSED) from None
    _print(clearing, as_json)


def _change(change: dict[str, Any]) -> dict[str, Any]:
    kind, _, ref = change.pop("name").partition("/")
    return {"offer_id" if kind == "offer" else "supplier": ref} | change


@clearings.command("compare")
def compare_clearings(
    clearing_id: ClearingId,
    other_id: Annotated[str, typer.Argument(help="What it is compared with (clr_…).")],
    as_json: AsJson = False,
) -> None:
    """Show who gains and who loses by a clearing against another, by how much, and why.

    Example: `cardhour clearings compare "$CLEARING" "$OTHER"`
    """
    with api() as client:
        found = client.clearings.compare(clearing_id, other_id)
    if as_json:
        print_json(found)
        return
    tell_comparison(out, found, other_id)


@clearings.command("prices")
def show_prices(
    clearing_id: ClearingId,
    chip: Annotated[list[str] | None, typer.Option("--chip", help="A chip class, or a model; repeatable.")] = None,
    begin: Annotated[str | None, typer.Option("--from", help=TIME_HELP)] = None,
    end: Annotated[str | None, typer.Option("--to", help=TIME_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Show a clearing's congestion prices by chip class and hour, and the shadow price of each budget.

    Example: `cardhour clearings prices "$CLEARING" --chip A100-class`
    """
    with api() as client:
        days = list(
            client.clearings.prices(
                clearing_id,
                chips=chip,
                begin=None if begin is None else moment(begin),
                end=None if end is None else moment(end),
                limit=100,
            )
        )
        budgets = list(client.clearings.budgets(clearing_id, limit=100))
    if as_json:
        print_json({"prices": days, "budgets": budgets})
        return
    unit = next((row["unit"] for row in [*days, *budgets]), "weighted_fen")
    print_prices(
        unit,
        (
            (day["chip_class"], datetime.fromisoformat(run["starts_at"]), run["hours"], run["price_micro"])
            for day in days
            for run in day["runs"]
        ),
    )
    print_budgets(unit, budgets)


@clearings.command("list")
def list_clearings(
    state: Annotated[ClearingState | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List clearings, newest first.

    Example: `cardhour clearings list --state succeeded`
    """
    with api() as client:
        found = list(islice(client.clearings.each(state=state), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "mode", "state", "asked for", ">matches", ">gap"),
        (
            (
                row["id"],
                row["mode"],
                row["state"],
                local_time(row["created_at"]),
                "" if row["result"] is None else row["result"]["matches"],
                "" if row["result"] is None else _gap(row["result"]["gap"]),
            )
            for row in found
        ),
        empty="No clearing yet.",
    )


@clearings.command("show")
def show_clearing(clearing_id: ClearingId, as_json: AsJson = False) -> None:
    """Show a clearing, what it matched, and what not and why (the first 100 of each).

    Example: `cardhour clearings show "$CLEARING"`
    """
    with api() as client:
        clearing = client.clearings.read(clearing_id)
        matches = list(islice(client.clearings.matches(clearing_id), 100))
        unmatched = list(islice(client.clearings.unmatched(clearing_id), 100))
    if as_json:
        print_json({"clearing": clearing, "matches": matches, "unmatched": unmatched})
        return
    _print(clearing, as_json=False)
    out.print()
    print_table(
        ("request", ">block", "offer", "from", ">hours", ">cards", ">net CNY", ">subsidy CNY", "reservation", "lost"),
        (
            (
                row["request_id"],
                row["block"] + 1,
                row["offer_id"],
                local_time(row["starts_at"]),
                row["hours"],
                row["cards"],
                cny(row["net_fen"]),
                cny(row["subsidy_fen"]),
                row["reservation_id"],
                row["lost"],
            )
            for row in matches
        ),
        empty="Nothing was matched.",
    )
    out.print()
    print_table(
        ("request", ">blocks", "why not", "in words"),
        ((row["request_id"], row["blocks_unmatched"], row["code"], row["detail"]) for row in unmatched),
        empty="Nothing was left out.",
    )


@clearings.command("plot")
def plot_clearing(
    clearing_id: ClearingId,
    file: Annotated[Path, typer.Option("--out", help="The picture: a name ending in .svg or .png.")],
) -> None:
    """Have a clearing drawn by the service (the desk, auditors).

    Example: `cardhour clearings plot "$CLEARING" --out clearing.svg`
    """
    kind = file.suffix.removeprefix(".").lower()
    if kind not in {"svg", "png"}:
        raise typer.BadParameter(f"{file.name} ends neither in .svg nor in .png")
    with api() as client:
        _write(file, client.clearings.plot(clearing_id, format="svg" if kind == "svg" else "png"))


@clearings.command("download")
def download_clearing(
    clearing_id: ClearingId,
    file: Annotated[Path, typer.Option("--out", help="Where the result with its certificate goes.")],
    instance: Annotated[Path | None, typer.Option("--instance", help="Where what was cleared goes.")] = None,
) -> None:
    """Save a clearing's result, and what it cleared, for `cardhour verify-clearing` and `plot` (the desk, auditors).

    Example: `cardhour clearings download "$CLEARING" --out o.json --instance i.json`
    """
    with api() as client:
        certificate = client.clearings.certificate(clearing_id)
        _write(file, json.dumps(certificate, ensure_ascii=False, indent=1).encode())
        if instance is not None:
            _write(instance, client.clearings.instance(clearing_id))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    typer.echo(str(path))


@clearings.command("cancel")
def cancel_clearing(clearing_id: ClearingId, as_json: AsJson = False) -> None:
    """Cancel a clearing before it reserves anything (the desk).

    Example: `cardhour clearings cancel "$CLEARING"`
    """
    with api() as client:
        _print(client.clearings.cancel(clearing_id), as_json)
