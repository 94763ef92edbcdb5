"""`cardhour plot`: the picture of a clearing on market files."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.clearing import ChipsFile, ClearedMarket, InstanceFile, read_checked, refuse
from app.matching.core.limits import InstanceError
from app.matching.core.verify import VerificationError
from app.matching.files import MarketError
from app.matching.results import ResultError

plotting = typer.Typer()
_FORMATS = (".svg", ".png")


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
        raise refuse(f"{out.name} ends neither in .svg nor in .png")
    try:
        from app.reports.clearing_plot import draw_clearing  # noqa: PLC0415  the extra may be absent
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise refuse("drawing needs Matplotlib: pip install 'cardhour\\[plot]'") from None
    try:
        result, cleared = read_checked(file, market, chips, instance)
        draw_clearing(cleared, result.run, result.outcome, out)
    except (VerificationError, ResultError, MarketError, InstanceError) as error:
        raise refuse(str(error)) from None
    except OSError as error:
        raise refuse(f"{out}: {error.strerror}") from None
    typer.echo(str(out))
