"""What every command shares: the client, tables or JSON, and refusals told in one line."""

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from app.client import ApiError, Client, ClientError, JobFailed, ServiceUnreachable
from app.kit.money import format_cny, parse_cny
from app.kit.time import floor_hour, format_rfc3339, parse_rfc3339, utc_now

EXIT_REFUSED: Final = 1
_ANY_WIDTH: Final = 10_000
_LATER: Final = re.compile(r"\+([0-9]{1,5})([hd])")
_MOST_LATER: Final = {"h": 87_600, "d": 3_650}
out: Final = Console()
err: Final = Console(stderr=True)

TIME_HELP: Final = "RFC 3339 with offset, or now, +36h, +7d"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone, one a line.")]


class AnyRole(StrEnum):
    """What a key may act as; Typer takes no list of literals."""

    BUYER = "buyer"
    SUPPLIER = "supplier"
    DESK = "desk"
    AUDITOR = "auditor"


class MarketRole(StrEnum):
    """What an organisation registers as."""

    BUYER = "buyer"
    SUPPLIER = "supplier"


class MarketPart(StrEnum):
    """A part of a market, as it is exported."""

    CHIPS = "chips"
    SUPPLIERS = "suppliers"
    BUYERS = "buyers"
    OFFERS = "offers"
    REQUESTS = "requests"


_WHAT_TO_DO: Final = {
    "unauthenticated": "Set CARDHOUR_API_KEY; a first key: cardhour keys create --local --role desk --name NAME",
    "organisation_not_approved": "The desk approves it with: cardhour organisations approve ID",
    "stale": "Run the command again; it reads the newest state.",
}


@contextmanager
def api() -> Generator[Client]:
    """A client from the environment; refusals end the command with one line and exit code 1.

    Raises:
        typer.Exit: when the service refuses or can't be reached.
    """
    try:
        with Client() as client:
            yield client
    except ApiError as error:
        raise _fail(_told(error)) from None
    except ServiceUnreachable as error:
        raise _fail(f"{error} Start it with: cardhour serve (or set CARDHOUR_API_URL).") from None
    except JobFailed as error:
        raise _fail(str(error)) from None
    except (ClientError, ValueError) as error:
        raise _fail(str(error)) from None


def _told(error: ApiError) -> str:
    fields = "".join(f" {field.pointer or 'body'}: {field.detail}." for field in error.errors)
    advice = _WHAT_TO_DO.get(error.code, "")
    request = f", request {error.request_id}" if error.status >= 500 else ""  # noqa: PLR2004  ours, so quote it
    return f"{error.detail}{fields} ({error.code}{request}) {advice}".strip()


def _fail(message: str) -> typer.Exit:
    err.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)
    return typer.Exit(EXIT_REFUSED)


def print_json(data: Any) -> None:
    """Print data as JSON, whole and uncoloured, so that it can be piped."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_ids(rows: Iterable[Mapping[str, object]]) -> None:
    """Print the rows' ids, one a line, to go on with in a script."""
    for row in rows:
        typer.echo(row["id"])


def print_one(item: Mapping[str, Any], show: Callable[[Any], None], *, as_json: bool, quiet: bool) -> None:
    """Print one item as JSON, as its id alone, or as `show` does."""
    if as_json:
        print_json(item)
    elif quiet:
        print_ids([item])
    else:
        show(item)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, to: Console = out) -> None:
    """Print rows as a table, as wide as it must be: an id that is cut can't be copied.

    Columns whose head begins with `>` are right-aligned.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*[Text(cell_text(cell)) for cell in row])
    if not table.row_count:
        to.print(Text(empty, "dim"))
        return
    width = Measurement.get(to, to.options.update(width=_ANY_WIDTH), table).maximum
    Console(width=max(width, to.width), stderr=to.stderr).print(table)


def print_signals(signals: Iterable[Mapping[str, object]]) -> None:
    """Print the signs of abuse that the desk is shown with an application or a claim."""
    print_table(("signal", "told"), ((each["code"], each["told"]) for each in signals), empty="No signal.")


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print one thing as name and value, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in fields:
        table.add_row(name, Text(cell_text(value)))
    out.print(table)


def cell_text(value: object) -> str:
    """Return what a person reads: nothing for None, `yes`/`no`, lists with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell_text(part) for part in cast("list[object]", value))
    return str(value)


def cny(fen: int | None) -> str:
    """Return fen as CNY with thousands' commas: `1234567` → `12,345.67`."""
    if fen is None:
        return ""
    whole, _, cents = format_cny(fen).partition(".")
    return f"{int(whole):,}.{cents}"


def local_time(moment: str | None) -> str:
    """Return an RFC 3339 time in the machine's time zone, to the minute."""
    return "" if moment is None else datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def moment(text: str) -> str:
    """Return a time option as RFC 3339. `now` is the beginning of this hour, `+36h` and `+7d` are later than that.

    Raises:
        typer.BadParameter: if it is none of these, nor RFC 3339 with an offset.
    """
    later = _LATER.fullmatch(text)
    if text == "now" or later is not None:
        count, unit = (int(later[1]), later[2]) if later else (0, "h")
        if count > _MOST_LATER[unit]:
            raise typer.BadParameter(f"{text} is more than {_MOST_LATER[unit]}{unit} ahead")
        return format_rfc3339(floor_hour(utc_now()) + timedelta(hours=count * (24 if unit == "d" else 1)))
    try:
        return format_rfc3339(parse_rfc3339(text))
    except ValueError as error:
        raise typer.BadParameter(f"{error}; or write now, +36h, +7d") from None


def fen(text: str) -> int:
    """Return a price option in CNY as fen.

    Raises:
        typer.BadParameter: if it is not a plain amount with at most two decimals.
    """
    try:
        return parse_cny(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
