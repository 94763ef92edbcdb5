"""`cardhour requests`: what is wanted."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from app.client.types import RequestDetail, RequestIn, RequestOut, RequestState
from app.commands.console import (
    TIME_HELP,
    AsJson,
    Quiet,
    api,
    cny,
    fen,
    local_time,
    moment,
    print_fields,
    print_ids,
    print_json,
    print_one,
    print_table,
)

requests = typer.Typer(help="Requests: list, show, post, withdraw.", no_args_is_help=True)

RequestId = Annotated[str, typer.Argument(help="The request's id (req_…).")]


def alternative_text(alternative: Any) -> str:
    """Return an alternative in short: `8 × A100 80G, 48 h, ≤ 11.50`."""
    limit = alternative.get("max_net_price_fen")
    price = "" if limit is None else f", ≤ {cny(limit)}"
    return f"{alternative['cards']} × {alternative['chips']}, {alternative['hours']:g} h{price}"


def _blocks(request: RequestOut | RequestDetail) -> str:
    least, blocks = request["min_blocks"], request["blocks"]
    return str(blocks) if least == blocks else f"{least} to {blocks}"


def _show(request: RequestDetail) -> None:
    site = request["site"]
    print_fields(
        (
            ("id", request["id"]),
            ("ref", request["ref"]),
            ("buyer", f"{request['buyer']['name']} ({request['buyer']['ref']})"),
            ("state", request["state"]),
            *(("asks for", alternative_text(alternative)) for alternative in request["alternatives"]),
            ("blocks", _blocks(request)),
            ("from", local_time(request["earliest_start"])),
            ("to", local_time(request["deadline"])),
            ("regions", site["regions"] or "any"),
            ("domestic", site["domestic"]),
            ("priority", request["priority"]),
            ("submitted", local_time(request["submitted_at"])),
            *(("notice", notice["detail"]) for notice in request["notices"]),
        )
    )


@requests.command("list")
def list_requests(
    state: Annotated[RequestState | None, typer.Option(help="Only in this state.")] = None,
    buyer: Annotated[str | None, typer.Option(help="Only of the buyer with this reference.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List one's requests, by submission; all for the desk and auditors.

    Example: `cardhour requests list --state open`
    """
    with api() as client:
        found = list(islice(client.requests.each(state=state, buyer=buyer), limit))
    if as_json or quiet:
        print_json(found) if as_json else print_ids(found)
        return
    print_table(
        ("id", "ref", "buyer", "state", "asks for", ">blocks", "from", "to"),
        (
            (
                row["id"],
                row["ref"],
                row["buyer"]["ref"],
                row["state"],
                [alternative_text(alternative) for alternative in row["alternatives"]],
                _blocks(row),
                local_time(row["earliest_start"]),
                local_time(row["deadline"]),
            )
            for row in found
        ),
        empty="No request matches.",
    )


@requests.command("show")
def show(request_id: RequestId, as_json: AsJson = False) -> None:
    """Show one request, and what stands in its way as things are.

    Example: `cardhour requests show req_…`
    """
    with api() as client:
        request = client.requests.read(request_id)
    print_json(request) if as_json else _show(request)


@requests.command("post")
def post(
    chips: Annotated[str, typer.Option(help="any, domestic, class:NAME, a model, or several joined by |.")] = "any",
    cards: Annotated[int | None, typer.Option(min=1, help="Cards side by side on one offer.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours in a row; reserved rounded up.")] = None,
    max_price: Annotated[
        int | None, typer.Option(help="The most to pay per card-hour, in CNY.", parser=fen, metavar="CNY")
    ] = None,
    earliest: Annotated[
        str | None, typer.Option("--from", help=f"Earliest start: {TIME_HELP}.", parser=moment, metavar="TIME")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--to", help=f"Deadline: {TIME_HELP}.", parser=moment, metavar="TIME")
    ] = None,
    blocks: Annotated[int, typer.Option(min=1, help="So many identical blocks.")] = 1,
    min_blocks: Annotated[int, typer.Option(min=1, help="At least so many of them, or none.")] = 1,
    region: Annotated[list[str] | None, typer.Option(help="Only in this region; repeatable.")] = None,
    ref: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    buyer: Annotated[str | None, typer.Option(help="For this organisation (org_…), by the desk.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="The whole request as JSON, instead of options: several alternatives, all site rules."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Post a need. What can't be met as things are is accepted, and told.

    Example: `cardhour requests post --chips domestic --cards 8 --hours 24 --max-price 11.50 --from now --to +7d`
    """
    if file is not None:
        body = cast("RequestIn", _read_json(file))
    elif cards is None or hours is None or max_price is None or earliest is None or deadline is None:
        raise typer.BadParameter("give --cards, --hours, --max-price, --from and --to, or --file")
    else:
        body: RequestIn = {
            "alternatives": [{"chips": chips, "cards": cards, "hours": hours, "max_net_price_fen": max_price}],
            "earliest_start": earliest,
            "deadline": deadline,
            "blocks": blocks,
            "min_blocks": min_blocks,
            "ref": ref,
            "buyer_org_id": buyer,
            "site": {"regions": region or []},
        }
    with api() as client:
        request = client.requests.create(body)
    print_one(request, _show, as_json=as_json, quiet=quiet)


@requests.command("withdraw")
def withdraw(request_id: RequestId, as_json: AsJson = False) -> None:
    """Take a request off the market; refused while something is reserved for it.

    Example: `cardhour requests withdraw req_…`
    """
    with api() as client:
        request = client.requests.withdraw(client.requests.read(request_id))
    print_json(request) if as_json else _show(request)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None
