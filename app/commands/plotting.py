"""`cardhour plot`: the picture of a clearing on market files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.commands.clearing import ChipsFile, ClearedMarket, InstanceFile, cleared_from
from app.matching.core.instance import Instance
from app.matching.core.limits import InstanceError
from app.matching.core.verify import WITH_MATCHES, VerificationError, verify
from app.matching.files import MarketError
from app.matching.results import Result, ResultError, read_result

plotting = typer.Typer()
_REFUSED = 2
_FORMATS = (".svg", ".png")


def _refuse(message: str) -> typer.Exit:
    Console(stderr=True).print(f"[bold red]refused[/]: {message}", highlight=False, soft_wrap=True)
    return typer.Exit(_REFUSED)


def _read(file: Path, market: Path | None, chips: Path | None, instance: Path | None) -> tuple[Result, Instance]:
    """Read a clearing and what it cleared, and check that the one is of the other and holds.

    Raises:
        VerificationError: if it is another market's, has no matches to draw or does not hold.
    """
    result = read_result(file)
    cleared = cleared_from(result, market, chips, instance)
    if result.outcome.status not in WITH_MATCHES:
        raise VerificationError(f"{file.name} has nothing to draw: the run ended {result.outcome.status.value}")
    verify(cleared, result.run.solver, result.outcome, explained=False)
    return result, cleared


@plotting.command()
def plot(
    file: Annotated[Path, typer.Argument(help="What `cardhour clear` wrote, or a service's certificate.")],
    out: Annotated[Path, typer.Option("--out", help="The picture: a name ending in .svg or .png.")],
    market: ClearedMarket = None,
    chips: ChipsFile = None,
    instance: InstanceFile = None,
) -> None:
    """Draw a clearing: how full each chip class is and at what price, and the matches by offer. Needs Matplotlib.

    Example: `cardhour plot --market philly-cn o.json --out o.svg`
    """
    if out.suffix.lower() not in _FORMATS:
        raise _refuse(f"{out.name} ends neither in .svg nor in .png")
    try:
        from app.reports.clearing_plot import draw_clearing  # noqa: PLC0415  the extra may be absent
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise _refuse("drawing needs Matplotlib: pip install 'cardhour\\[plot]'") from None
    try:
        result, cleared = _read(file, market, chips, instance)
        draw_clearing(cleared, result.run, result.outcome, out)
    except (VerificationError, ResultError, MarketError, InstanceError) as error:
        raise _refuse(str(error)) from None
    except OSError as error:
        raise _refuse(f"{out}: {error.strerror}") from None
    typer.echo(str(out))
