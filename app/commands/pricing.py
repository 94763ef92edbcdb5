"""`cardhour prices`: what a card-hour of each chip class and a fen of each budget is worth, from a clearing's file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.clearing import ChipsFile, ClearedMarket, InstanceFile, read_checked, refuse
from app.commands.clearing_tables import print_budgets, print_prices
from app.commands.console import print_json
from app.kit.time import format_rfc3339, from_hour_index, hour_index, parse_rfc3339
from app.matching.core.congestion import PriceRun, UnknownChipError, class_prices, clip, find_classes
from app.matching.core.limits import InstanceError
from app.matching.core.verify import VerificationError
from app.matching.files import MarketError
from app.matching.results import ResultError, budget_json

pricing = typer.Typer()
Chips = Annotated[list[str] | None, typer.Option("--chip", help="A chip class, or a model of one; repeatable.")]
From = Annotated[str | None, typer.Option("--from", help="From this hour on (RFC 3339).")]
To = Annotated[str | None, typer.Option("--to", help="Up to this hour (RFC 3339), not included.")]
AsJson = Annotated[bool, typer.Option("--json", help="All stretches, those at price 0 too, as JSON.")]


def _hour(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        moment = parse_rfc3339(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
    if moment != from_hour_index(hour_index(moment)):
        raise typer.BadParameter(f"{option}: {text!r} is not on a whole hour")
    return hour_index(moment)


@pricing.command()
def prices(
    file: Annotated[Path, typer.Argument(help="What `cardhour clear` wrote, or a service's certificate.")],
    market: ClearedMarket = None,
    chip: Chips = None,
    begin: From = None,
    end: To = None,
    chips: ChipsFile = None,
    instance: InstanceFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a clearing's congestion prices by chip class and hour, and the shadow price of each budget.

    Example: `cardhour prices --market philly-cn o.json --chip V100-class`
    """
    first, last = _hour(begin, "--from"), _hour(end, "--to")
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter("--to is not after --from")
    try:
        result, cleared = read_checked(file, market, chips, instance)
        wanted = find_classes(cleared, chip or [])
    except (VerificationError, ResultError, MarketError, InstanceError, UnknownChipError) as error:
        raise refuse(str(error)) from None
    outcome = result.outcome
    runs = {
        each.name: clip(each.runs, first, last)
        for each in class_prices(cleared, outcome)
        if not wanted or each.name in wanted
    }
    budgets = [budget_json(use) for use in outcome.budgets]
    unit = outcome.objectives[0].unit
    if as_json:
        print_json({"unit": unit, "classes": [_class(name, found) for name, found in runs.items()], "budgets": budgets})
        return
    print_prices(
        unit,
        (
            (name, from_hour_index(run.hour), run.hours, run.price_micro)
            for name, found in runs.items()
            for run in found
        ),
    )
    print_budgets(unit, budgets)


def _class(name: str, runs: Iterable[PriceRun]) -> dict[str, Any]:
    told = [[format_rfc3339(from_hour_index(run.hour)), run.hours, run.price_micro] for run in runs]
    return {"chip_class": name, "runs": told}
